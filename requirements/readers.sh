#!/bin/sh
# Install the tools that read what `kit export` writes (Inspect, lm-evaluation-harness, roc-validator) into .venv-readers
# beside the kit's own environment: tests/exports open our files with them. Development only.
#
#   requirements/readers.sh
exec sh "$(dirname -- "$0")/beside.sh" readers rocrate-validator "770 MB"
