"""A store with one artifact, and the command line on it, for tests that damage the store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.store import Job, Store

Kit = Callable[..., tuple[int, str]]


def make_job(name: str = "one", **changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": f"fetch/{name}",
        "stage": "fetch",
        "version": "fetch-1",
        "environment": "grade",
        "lock": "",
        "params": {"name": name},
        "inputs": {},
    }
    return Job(**(values | changes))


def put(store: Store, made: Job) -> Path:
    """Commit an artifact of two files and return its folder."""
    store.plan(made)
    with store.lock(made.key), store.scratch(made.key) as out:
        (out / "rows.jsonl").write_text('{"n": 1}\n{"n": 2}\n', encoding="utf-8")
        (out / "deep").mkdir()
        (out / "deep" / "b.txt").write_text("b", encoding="utf-8")
        store.commit(made, out, rows=2, facts={"f": 1}, provenance={"started_at": "2026-01-01T00:00:00+00:00"})
    return store.get(made.key).folder


@pytest.fixture
def new_job() -> Callable[..., Job]:
    return make_job


@pytest.fixture
def commit() -> Callable[[Store, Job], Path]:
    return put


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def made(store: Store) -> Job:
    """The job of the one artifact in the store."""
    put(store, found := make_job())
    return found


@pytest.fixture
def kit(kit: Callable[..., tuple[int, str, str]]) -> Kit:
    """Return a function that runs the command line beside the store: exit code and output."""

    def call(*words: str) -> tuple[int, str]:
        code, out, err = kit(*words)
        return code, out + err

    return call
