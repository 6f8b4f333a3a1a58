"""A store, another one as a folder or behind a stand-in for ssh, and the command line beside them."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import main
from kit.store import Store
from kit.store.clearing import release
from tests.stores.conftest import make_job, put

Kit = Callable[..., tuple[int, str]]
MODEL = {"stage": "convert", "version": "convert-1", "id": "convert/model"}
SSH = """#!/bin/sh
# A stand-in for ssh: leaves out its options and the host, and runs the command in a shell of this machine.
while [ $# -gt 0 ]; do
    case $1 in
    -o | -p) shift 2 ;;
    -O) exit 0 ;;
    --) shift; break ;;
    *) break ;;
    esac
done
[ "$1" = nobody ] && { echo "ssh: connect to host nobody port 22: Connection refused" >&2; exit 255; }
shift
[ "$1" = -- ] && shift
exec sh -c "$*"
"""


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """Return a function that runs the command line beside the stores: exit code, and output with the folder as HERE."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)

    def call(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, "".join(capsys.readouterr()).replace(str(tmp_path), "HERE")

    return call


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with rows, a model, and a model that gave its files back."""
    found = Store.open(tmp_path / "store")
    for made in (make_job(), make_job("model", **MODEL), make_job("gone", **{**MODEL, "id": "convert/gone"})):
        put(found, made)
    release(found, made.key, "--keep results")
    return found


def contents(root: Path) -> dict[str, bytes]:
    """Return path -> bytes of every file of a store's artifacts and jobs."""
    found = [path for name in ("artifacts", "jobs") for path in (root / name).rglob("*") if path.is_file()]
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.fixture(params=["folder", "host"])
def there(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return how another store is named: as a folder, or on a host behind a stand-in for ssh."""
    if request.param == "folder":
        return str(tmp_path / "other")
    if shutil.which("rsync") is None:
        pytest.skip("needs rsync, which is not here")
    stand_in_for_ssh(tmp_path, monkeypatch)
    return f"ssh://host{tmp_path}/other"


def stand_in_for_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
