"""Jobs that another user put into a shared store: they are checked before they run, and write nowhere else."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.catalogue import lock_hash
from kit.errors import KitError
from kit.plan.planning import plan_tables
from kit.run import processes
from kit.run.jobfiles import check_fields, check_versions
from kit.run.worker import JobContext, run_job
from kit.stages import Summary, fetch
from kit.store import Job, Store

Kit = Callable[..., tuple[int, str]]
LOCK = lock_hash("grade")
LOCAL = {"kind": "file", "sha256": "a" * 64}

JOBS: dict[str, tuple[dict[str, Any], str]] = {
    "a stage of its own": ({"stage": "steal", "version": "steal-1"}, "no stage named 'steal'"),
    "a stage that is a path": ({"stage": "../../x"}, "no stage named '../../x'"),
    "an environment of its own": ({"environment": "mine"}, "no environment named 'mine'"),
    "an environment that is a path": ({"environment": "../../tmp/x"}, "no environment named '../../tmp/x'"),
    "a name that leads out": ({"id": "fetch/../../x"}, "its name 'fetch/../../x' leads out of a folder"),
    # its code would have run without the caps
    "another kind of worker": (
        {"stage": "grade", "lock": LOCK, "worker": "cpu"},
        "worker: found 'cpu', wanted 'sandbox' as stages/grade.py has it; plan it again",
    ),
    "no lock": ({"stage": "convert", "version": "convert-1"}, "planned for another requirements/grade.txt (none) than"),
    "another lock": ({"stage": "grade", "lock": "b" * 64}, f"requirements/grade.txt ({'b' * 12}) than this checkout's"),
    "a lock on a fetch": ({"lock": LOCK}, "(none, as fetching computes nothing)"),
    "a version of no kit": ({"version": "fetch-99"}, "planned for fetch-99, this kit runs fetch-1"),
    "a plug-in's version of no kit": (
        {"stage": "grade", "lock": LOCK, "version": f"grade-{registry.load('stages', 'grade').VERSION}.gsm8k-99"},
        "planned for gsm8k-99, which this kit does not run",
    ),
    "no number of processes": ({"params": {"world": "many"}}, "params.world: found 'many'"),
    "a billion processes": ({"params": {"world": 10**9}}, "params.world: found 1000000000, wanted 1 to 4,096"),
    "no place to look": ({"resources": {"source": ["/etc"]}}, "resources.source: wanted texts by name"),
}


@pytest.mark.parametrize("changes, sentence", JOBS.values(), ids=list(JOBS))
def test_a_job_that_no_plan_can_make_is_refused(
    changes: dict[str, Any],
    sentence: str,
    store: Store,
    kit: Kit,
    new_job: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    store.plan(planted := new_job("two", **changes))
    code, output = kit("job", planted.key)
    assert (code, sentence in output) == (2, True)


def test_every_job_of_a_plan_passes(store: Store):
    for scale in ("smoke", "paper"):
        for job in plan_tables(["2"], scale).jobs.values():
            store.plan(job)
            read = store.job(job.key)
            check_fields(read)
            check_versions(read)
            assert read == job


def context(store: Store, **source: Any) -> JobContext:
    made = JobContext(
        rank=0, world=1, mirror=store.root.parent / "mirror", unsafe_exec=False, emit=lambda *_, **__: None
    )
    made.source = source
    return made


NAMES = ["../outside", "../../outside", "/tmp/outside", "a/../../outside", "", ".", "a\0b", "./a"]


@pytest.mark.parametrize("name", NAMES)
def test_a_fetch_writes_into_its_folder_alone(name: str, store: Store, tmp_path: Path):
    # `kit job` on a planted file wrote <store>/../../outside
    (tmp_path / "source").write_text("planted")
    (tmp_path / "mirror").mkdir()
    out = tmp_path / "a" / "b" / "out"
    out.mkdir(parents=True)
    path = str(tmp_path / "source")
    before = sorted(tmp_path.rglob("*"))
    jobs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({**LOCAL, "name": name}, {"path": path}),
        ({"kind": "folder", "files": {name: "a" * 64}}, {"path": str(tmp_path)}),
        ({"kind": "prompts", "files": {name: "a" * 64}}, {"url": "https://a.invalid/{file}", "mirror": "m"}),
        ({**LOCAL, "name": "a"}, {"url": "https://a.invalid/a", "mirror": name}),
    ]
    for params, source in jobs:
        with pytest.raises(KitError, match="wanted a path inside the folder"):
            fetch.run(params, {}, out, context(store, **source))
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://a/b", "data:text/plain,a", "/etc/passwd", "FILE:///etc/passwd"]
)
def test_a_planted_fetch_reads_only_web_addresses(url: str, store: Store, tmp_path: Path):
    with pytest.raises(KitError, match="wanted an address that begins with https://"):
        fetch.run({**LOCAL, "name": "a"}, {}, tmp_path, context(store, url=url, mirror=None))


@pytest.mark.parametrize(
    "source, sentence",
    [
        ({"path": "/etc/hostname"}, "a file of this disk is taken by its sha256 alone"),
        ({"url": "https://other.invalid/a"}, "another address than its job names"),
        ({}, "another address than its job names"),
    ],
)
def test_a_fetch_without_a_hash_uses_the_address_in_its_key(
    source: dict[str, Any], sentence: str, store: Store, tmp_path: Path
):
    # a job's places to look are no part of its key: whoever wrote the file chose them
    params = {"kind": "file", "name": "a", "sha256": None, "url": "https://a.invalid/a"}
    with pytest.raises(KitError, match=sentence):
        fetch.run(params, {}, tmp_path, context(store, **source))


def test_a_plan_replaces_a_planted_job_file(store: Store, new_job: Callable[..., Job]):
    # the first file under a key stayed, with the places to look that its writer chose
    planned = new_job("two", resources={"source": {"path": "/ours"}})
    store.plan(dataclasses.replace(planned, id="theirs", environment="cpu", resources={"source": {"path": "/theirs"}}))
    store.plan(planned)
    assert store.job(planned.key) == planned


def test_a_worker_reports_a_file_that_is_not_a_job(store: Store, made: Job):
    events: list[tuple[str, dict[str, Any]]] = []
    worker = context(store)
    worker.emit = lambda kind, **fields: events.append((kind, fields))
    (store.root / "jobs" / f"{made.key}.json").write_text("{}")
    assert not run_job(store, made.key, worker)
    ((kind, fields),) = events
    assert (kind, fields["key"], "not a job (id: missing; wanted a text)" in fields["reason"]) == (
        "failed",
        made.key,
        True,
    )


@pytest.mark.parametrize("harm", ["link", "pipe", "added", "gone"])
def test_a_worker_does_not_read_an_input_that_was_changed(
    harm: str, store: Store, made: Job, new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
):
    def compute(*_: Any) -> Summary:
        pytest.fail("the stage was run")

    stage = type("Stage", (), {"WORKER": "cpu", "run": staticmethod(compute)})
    monkeypatch.setattr(registry, "load", lambda *_: stage)
    rows = store.root / "artifacts" / made.key / "rows.jsonl"
    if harm != "added":
        rows.unlink()
    {
        "link": lambda: rows.symlink_to("/etc/passwd"),
        "pipe": lambda: os.mkfifo(rows),
        "added": lambda: (rows.parent / "pairs.jsonl").write_text("{}"),
        "gone": lambda: None,
    }[harm]()
    store.plan(reader := new_job("two", inputs={"data": made.key}))
    assert not run_job(store, reader.key, context(store))
    assert str(store.failure(reader.key)).endswith("; remove it and run again")
