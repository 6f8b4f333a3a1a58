#!/bin/sh
# Install Snakemake, with its plugins for Slurm and Kubernetes, into .venv-cluster beside the kit's own environment.
#
#   requirements/cluster.sh
#
# The checkout must lie where every node of the cluster sees it, at the same path.
exec sh "$(dirname -- "$0")/beside.sh" cluster snakemake "370 MB"
