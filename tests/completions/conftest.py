"""Ways to read a file of completions as a user does."""

import functools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.cli import main
from kit.errors import RequestError
from kit.files.completions import Completions, read_completions
from kit.records import Problem

JOB_LINE = re.compile(r"(done|cached)  +[0-9a-f]{10}  (fetch|grade)/")
"""Line on standard error for a job that ended well."""
TOOLS = Path(__file__).parents[1] / "data" / "tools"


def problems_of(benchmark: str) -> list[Problem]:
    return registry.load("benchmarks", benchmark).read(TOOLS / f"{benchmark}.jsonl")  # type: ignore[no-any-return]


def _read(benchmark: str, path: Path, **options: Any) -> Completions:
    return read_completions(path, problems_of(benchmark), benchmark=benchmark, **options)


def _message(benchmark: str, path: Path, **options: Any) -> str:
    with pytest.raises(RequestError) as error:
        _read(benchmark, path, **options)
    return str(error.value)


def _edited(name: str, edit: Callable[[Any], Any], folder: Path) -> Path:
    """Write a copy of a sample with its JSON edited; JSONL is edited as a list of its rows."""
    text = (TOOLS / name).read_text(encoding="utf-8")
    path = folder / Path(name).name
    if name.endswith(".jsonl"):
        rows = edit([json.loads(line) for line in text.splitlines()])
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        path.write_text(json.dumps(edit(json.loads(text)), indent=2), encoding="utf-8")
    return path


def _lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _graded(store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run ``kit grade`` and return the text that it prints."""
    monkeypatch.setattr(sys, "argv", ["kit", "grade", *words, "--store", str(store)])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, [line for line in err.splitlines() if not JOB_LINE.match(line)]) == (0, [])
    return out


@pytest.fixture(scope="session")
def read() -> Callable[..., Completions]:
    return _read


@pytest.fixture(scope="session")
def message() -> Callable[..., str]:
    return _message


@pytest.fixture(scope="session")
def edited() -> Callable[..., Path]:
    return _edited


@pytest.fixture(scope="session")
def lines() -> Callable[..., Path]:
    return _lines


@pytest.fixture
def graded(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    return functools.partial(_graded, tmp_path_factory.mktemp("graded") / "store")
