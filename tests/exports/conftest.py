"""Exports of one filled store in all formats, made once, and the environment of the tools that read them."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.exports import crate, harness, inspect_logs
from kit.plan import Plan
from kit.store import Store
from tests.exports.filled import filled, own_plan

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-readers" / "bin" / "python"
CURE = "SKIPPED, not passed: no tools that read exports in this checkout; sh requirements/readers.sh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A filled store, and the folder with its exports: lm-eval, inspect, ro-crate, ro-crate-data."""

    plan: Plan
    store: Store
    folder: Path


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Export one store in every format."""
    folder = tmp_path_factory.mktemp("exported")
    plan = own_plan(folder)
    store = filled(folder / "store", plan)
    write_all(plan, store, folder)
    return Exported(plan=plan, store=store, folder=folder)


def write_all(plan: Plan, store: Store, folder: Path) -> None:
    """Write every format into a folder of its own."""
    for name in ("lm-eval", "inspect", "ro-crate", "ro-crate-data"):
        (folder / name).mkdir()
    harness.write(plan, store, folder / "lm-eval", "kit")
    inspect_logs.write(plan, store, folder / "inspect", "kit")
    crate.write(plan, store, folder / "ro-crate", "kit")
    crate.write(plan, store, folder / "ro-crate-data", "kit", data=True)


@pytest.fixture(scope="session")
def read() -> Callable[..., Any]:
    """Run a script of ``readers`` in the tools' own environment; what it prints, decoded."""
    if not PYTHON.exists():
        pytest.skip(CURE)

    def call(script: str, *words: object) -> Any:
        path = Path(__file__).parent / "readers" / script
        done = subprocess.run([PYTHON, "-I", path, *map(str, words)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout)

    return call
