"""Commands on one's own files in this process: jobs run here, under a real model of two layers."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kit.cli import main, scoring
from kit.errors import KitError
from kit.run.worker import JobContext, run_job
from kit.store import Artifact, Store
from tests import tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model with random weights and a token for each byte."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    folder.mkdir()
    tiny_model.save(folder)
    return folder


def run_here(bench: Any, keys: list[str], store_path: Path, mirror: Path | None = None, **_: object) -> list[Artifact]:
    """Run the jobs of a workbench in this process, and return the artifacts of ``keys``; stands in for run_bench."""
    store, reasons = Store.open(store_path), []

    def emit(kind: str, **fields: Any) -> None:
        if kind == "failed":
            reasons.append(fields["reason"])

    context = JobContext(0, 1, mirror, unsafe_exec=False, emit=emit, parts_folder=store.root / "parts")
    for key, job in bench.plan.jobs.items():
        store.plan(job)
        if not run_job(store, key, context):
            raise KitError(*reasons)
    return [store.get(key) for key in keys]


@dataclass(frozen=True)
class Shell:
    """A folder in which commands are typed."""

    folder: Path
    call: Callable[..., tuple[int, str, str]]

    def write(self, name: str, rows: object) -> None:
        """Write rows as a JSON list, or as JSONL, by the file's name."""
        lines = name.endswith(".jsonl")
        text = "".join(json.dumps(row) + "\n" for row in rows) if lines else json.dumps(rows)  # type: ignore[attr-defined]
        (self.folder / name).write_text(text, encoding="utf-8")

    def read(self, name: str) -> list[dict[str, Any]]:
        """Return the rows of a file."""
        text = (self.folder / name).read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()] if name.endswith(".jsonl") else json.loads(text)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    """Type ``kit`` commands in a folder of its own: exit code, standard output and error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(scoring, "run_bench", run_here)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        text = capsys.readouterr()
        return int(ended.value.code or 0), text.out, text.err.removeprefix("error: ").strip()

    return Shell(tmp_path, call)
