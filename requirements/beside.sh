#!/bin/sh
# Install one lock into an environment of its own beside the kit's: what cluster.sh and readers.sh share.
#
#   requirements/beside.sh NAME PROGRAM SIZE
#
#   NAME      requirements/NAME.txt goes into .venv-NAME; what pip prints is in .cache/NAME.log
#   PROGRAM   a program of it whose --version shows that the environment is whole
#   SIZE      what is fetched, for the line that is printed
#
# Run again it ends at once. Every package comes by its hash.
set -eu
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
lock=requirements/$1.txt
program=$2
size=$3
venv=.venv-$1
log=.cache/$1.log
stamp=$venv/.kit-$1-$(sha256sum "$lock" | cut -c 1-16)

if [ "$(cat "$stamp" 2>/dev/null)" = "$root" ] && "$venv/bin/$program" --version >/dev/null 2>&1; then exit 0; fi
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
echo "set-up: $lock: $(grep -c == "$lock") packages, hashes checked, $size; log: $log"
if ! { "$python" -I -m venv "$venv" && "$venv/bin/python" -I -m pip install --no-input --progress-bar off --no-deps \
    --require-hashes -r "$lock"; } >"$log" 2>&1; then
    grep -v '^WARNING: ' "$log" | tail -n 5 >&2
    echo "set-up failed: $lock (whole log: $log); then run the same command again" >&2
    exit 1
fi
printf '%s\n' "$root" >"$stamp"
echo "set-up: $("$venv/bin/$program" --version | tail -n 1) in $venv"
