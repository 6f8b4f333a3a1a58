"""A worker that may not commit and a host that does: whatever the worker's side leaves, the store stays sound."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError
from kit.handover import Exchange, Handover, exchange
from kit.store import BusyError, Job, Store

JOB = Job(id="a job", stage="grade", version="grade-1", environment="grade", lock="", params={}, inputs={})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def worker(store: Store, host: Exchange, fill: Callable[[Path], Any]) -> list[str]:
    """The worker's side of one job; returns why it failed, if it did. The host answers in this thread."""
    events: list[dict[str, Any]] = []
    computed, failures = threading.Event(), []

    def emit(kind: str, **fields: Any) -> None:
        events.append({"event": kind, **fields})
        computed.set()

    def work() -> None:
        seen = Handover(store.root, host.out, host.said, emit)
        try:
            with seen.lock(JOB.key), seen.scratch(JOB.key) as out:
                fill(out)
                seen.commit(JOB, out, rows=1, facts={"tokens": 2}, provenance={"image": "sha256:1"})
        except KitError as error:
            failures.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    assert computed.wait(10)
    host.take(JOB, events[0])
    thread.join(10)
    assert not thread.is_alive()
    return failures


def test_the_host_commits_what_the_worker_computed(store: Store) -> None:
    with exchange(store, [JOB.key], as_root=False) as host:
        assert worker(store, host, lambda out: (out / "rows.jsonl").write_text("{}\n")) == []
        assert list(host.out.iterdir()) == []  # out of the worker's reach
    artifact = store.get(JOB.key)
    assert (artifact.rows, artifact.facts, artifact.provenance) == (1, {"tokens": 2}, {"image": "sha256:1"})
    assert store.check(JOB.key) == []
    assert list((store.root / "tmp").iterdir()) == []


def replace_by_link(out: Path) -> None:
    out.rmdir()
    out.symlink_to("/etc")


@pytest.mark.parametrize(
    ("fill", "reason"),
    [
        (lambda out: (out / "link").symlink_to("/etc/passwd"), "a job: link is a link; an artifact holds plain files"),
        (lambda out: (out / "artifact.json").write_text("{}"), "a job: the name artifact.json is the head's; "),
        (replace_by_link, "a job: its container left no output folder"),
        (lambda out: out.rmdir(), "a job: its container left no output folder"),
    ],
    ids=["a link", "a head of its own", "the folder is a link", "no folder"],
)
def test_what_the_host_refuses_is_told_and_not_kept(store: Store, fill: Callable[[Path], Any], reason: str) -> None:
    with exchange(store, [JOB.key], as_root=False) as host:
        (told,) = worker(store, host, fill)
    assert told.startswith(reason)
    assert not store.has(JOB.key)


def test_an_event_that_lacks_a_part_is_refused(store: Store) -> None:
    with exchange(store, [JOB.key], as_root=False) as host:
        (host.out / JOB.key).mkdir()
        host.take(JOB, {"event": "computed", "key": JOB.key})
        assert (host.said / JOB.key).exists()
    assert not store.has(JOB.key)


def test_the_host_holds_the_locks_while_the_container_runs(store: Store) -> None:
    with exchange(store, [JOB.key], as_root=False):
        with pytest.raises(BusyError), store.lock(JOB.key):
            pass
        assert store.interrupted() == []  # another run leaves the folder alone
    with store.lock(JOB.key):
        pass
