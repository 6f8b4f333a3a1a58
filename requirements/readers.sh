#!/bin/sh
# Install the tools that read what `kit export` writes (Inspect, lm-evaluation-harness, roc-validator) into .venv-readers
# beside the kit's own environment: tests/exports open our files with them. Development only.
#
#   requirements/readers.sh
#
# Run again it ends at once. Every package comes by its hash from requirements/readers.txt; what pip prints is in
# .cache/readers.log.
set -eu
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
venv=.venv-readers
log=.cache/readers.log
stamp=$venv/.kit-readers-$(sha256sum requirements/readers.txt | cut -c 1-16)

if [ "$(cat "$stamp" 2>/dev/null)" = "$root" ] && "$venv/bin/rocrate-validator" --version >/dev/null 2>&1; then exit 0; fi
python=
for one in ${KIT_PYTHON:+"$KIT_PYTHON"} .venv/bin/python .venv-cuda/bin/python python3.11 python3; do
    if "$one" -I -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1; then
        python=$one
        break
    fi
done
if [ -z "$python" ]; then
    echo "set-up failed: no Python 3.11 with venv; run make setup first, or name one: KIT_PYTHON=/path/to/python3.11" >&2
    exit 1
fi
mkdir -p .cache
rm -rf "$venv"
echo "set-up: requirements/readers.txt: $(grep -c == requirements/readers.txt) packages, hashes checked, 770 MB; log: $log"
if ! { "$python" -I -m venv "$venv" && "$venv/bin/python" -I -m pip install --no-input --progress-bar off --no-compile --no-deps \
    --require-hashes -r requirements/readers.txt; } >"$log" 2>&1; then
    grep -v '^WARNING: ' "$log" | tail -n 5 >&2
    echo "set-up failed: requirements/readers.txt (whole log: $log); then run the same command again" >&2
    exit 1
fi
printf '%s\n' "$root" >"$stamp"
echo "set-up: $venv"
