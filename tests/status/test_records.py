"""Records of runs: what was written is read again, what is damaged is named, and nothing of it ends a run."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kit.store import Store
from kit.store.runs import Work, end_run, read_runs, remove_old, write_run, write_work
from tests.status.making import NOW, begin, make_job, record

JOB = make_job("answer", "ifeval")
WORK = Work(key=JOB.key, phase="at work", done=3, total=9, rows_per_s=1.5, tokens_per_s=20.0, phase_s=2.0, job_s=8.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def test_the_last_run_comes_first_with_its_job_at_work(store: Store):
    first, second = record(1, JOB), record(2, JOB, batch_id="Slurm 17")
    begin(store, first, NOW - 60)
    begin(store, second, NOW - 50, WORK, seen=NOW - 5)
    runs, faults = read_runs(store)
    assert faults == []
    assert [(run.record, run.work, run.begun_at, run.seen_at) for run in runs] == [
        (second, WORK, NOW - 50, NOW - 5),
        (first, None, NOW - 60, NOW - 60),
    ]
    assert WORK.seconds_left() == 4.0


def test_a_run_that_ends_leaves_its_record_and_one_job_by_its_key_leaves_none(store: Store):
    asked, lone = record(1, JOB), record(2, JOB, request={})
    for run in (asked, lone):
        begin(store, run, NOW, WORK)
        end_run(store, run)
    assert [path.name for path in (store.root / "runs").iterdir()] == [f"{asked.id}.json"]
    (run,), _ = read_runs(store)
    assert run.record.ended_at.endswith("+00:00")


def test_a_store_without_the_folder_has_no_runs(store: Store):
    (store.root / "runs").rmdir()
    assert read_runs(store) == ([], [])
    write_run(store, record(1, JOB))  # a store of an earlier kit that may only be read
    write_work(store, record(1).id, WORK)
    end_run(store, record(1, JOB))
    assert not (store.root / "runs").exists()


def test_old_records_go_and_the_newest_stay(store: Store):
    for number in range(1, 6):
        begin(store, record(number, JOB), NOW, WORK)
    remove_old(store, [record(number).id for number in (4, 1, 2, 3)], kept=2)
    assert [run.record.pid for run in read_runs(store)[0]] == [1005, 1004, 1003]
    assert len(list((store.root / "runs").iterdir())) == 6


DAMAGED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a time": ("", {"started_at": "noon"}, "started_at: found 'noon', wanted a time such as 2026-01-31T12:00:00+00:00"),
    "a time without a zone": (
        "",
        {"ended_at": "2026-01-31T12:00:00"},
        "ended_at: found '2026-01-31T12:00:00', wanted a time such as 2026-01-31T12:00:00+00:00",
    ),
    "keys": ("", {"keys": ["../../etc"]}, "keys: wanted texts of 64 hexadecimal digits"),
    "no process": ("", {"pid": "1"}, "pid: found a text, wanted a whole number"),
    "another's id": (
        "",
        {"id": "20270115T070009000000-00000009"},
        "id: found '20270115T070009000000-00000009', its file is 20270115T070001000000-00000001",
    ),
    "a rate below 0": (".now", {"rows_per_s": -1}, "rows_per_s: found -1, wanted a number, not below 0"),
    "a rate that is a text": (".now", {"job_s": "9"}, "job_s: found '9', wanted a number, not below 0"),
    "a count": (".now", {"done": -1}, "done: wanted a count from 0 to 9,223,372,036,854,775,808"),
    "another key": (".now", {"key": "k"}, "key: wanted 64 hexadecimal digits, or nothing"),
}


@pytest.mark.parametrize("which, changes, message", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_record_is_named(which: str, changes: dict[str, Any], message: str, store: Store):
    run = record(1, JOB)
    begin(store, run, NOW, WORK)
    path = store.root / "runs" / f"{run.id}{which}.json"
    path.write_text(json.dumps((asdict(WORK) if which else asdict(run)) | changes))
    found, faults = read_runs(store)
    what = "not the job at work of a run" if which else "no record of a run"
    assert faults == [f"{path}: {what} ({message}); remove it"]
    assert [one.work for one in found] == ([None] if which else [])


def test_other_names_are_passed_over(store: Store):
    for name in ("notes.json", ".20270115T070001000000-00000001.json.1234", "20270115T070001000000-00000001.txt"):
        (store.root / "runs" / name).write_text("mine")
    assert read_runs(store) == ([], [])
