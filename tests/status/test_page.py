"""The status as people read it, line by line, and as a document."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.report.status import StatusReader
from kit.report.statuspage import document, duration, lines
from kit.store import Store
from kit.store.runs import Work
from tests.status.making import NOW, begin, fail, make_job, put, record

DATA = make_job("fetch", "data")
EVOLVE = make_job("evolve", "round-1", DATA, wall_s=100, rows=50, gpu=True)
RESPOND = make_job("respond", "round-1", EVOLVE, wall_s=7200, rows=50, gpu=True)
TUNE = make_job("sft", "base", RESPOND, wall_s=3600, gpu=True)
ANSWER = make_job("answer", "ifeval", TUNE, wall_s=1800, rows=541, gpu=True)
MORE = make_job("evolve", "round-2", DATA, wall_s=360, rows=60, gpu=True)
ALL = (DATA, EVOLVE, RESPOND, TUNE, ANSWER, MORE)

DURATIONS = [
    (0, "0 s"),
    (59.4, "59 s"),
    (59.6, "1 min 0 s"),
    (185, "3 min 5 s"),
    (7800, "2 h 10 min"),
    (86400 * 1234 + 3700, "1,234 d 1 h"),
]


@pytest.mark.parametrize("seconds, text", DURATIONS)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store")
    for job in ALL:
        made.plan(job)
    return made


def page(store: Store, *, everything: bool = False) -> list[str]:
    return list(lines(StatusReader(store, clock=lambda: NOW).read(everything=everything)))


def test_a_run_at_work(store: Store):
    put(store, DATA, wall_s=3.0, rows=9)
    put(store, EVOLVE, wall_s=200.0, rows=50, gpus_held=1, gpu_held_s=200.0)  # twice its estimate
    work = Work(
        key=RESPOND.key, phase="at work", done=10, total=50, rows_per_s=0.25, tokens_per_s=80, phase_s=40, job_s=60
    )
    begin(store, record(1, *ALL, batch_id="Slurm 17"), NOW - 300, work, seen=NOW - 4)
    # respond: 40 rows at 0.25 a second, 4 seconds ago; the others: twice their estimates
    assert page(store) == [
        "table-2 at smoke: 6 jobs, at work; begun 2027-01-15T07:00:00+00:00 on node07 (process 1001, Slurm 17)",
        "2 done, 1 running, 3 waiting",
        "",
        "stage    jobs  done  running  waiting  rows  rows/s        took        left",
        "fetch       1     1                       9     3.0         3 s",
        "evolve      2     1                 1    50    0.25  3 min 20 s  12 min 0 s",
        "respond     1              1                          1 min 4 s  2 min 36 s",
        "sft         1                       1                             2 h 0 min",
        "answer      1                       1                             1 h 0 min",
        "",
        "0.1 GPU-hours spent, about 3.2 left; 0.25 rows/s now; done in about 3 h 14 min with 1 running at a time",
        "",
        "running",
        "  respond/round-1: 10/50, 0.25 rows/s, 80 tok/s, about 2 min 36 s left, 1 GPU, on node07, Slurm 17",
    ]


def test_a_job_that_went_on_counts_in_no_rate(store: Store):
    # 50 rows in the 2 seconds of its last attempt looked like 25 a second
    put(store, DATA)
    put(store, EVOLVE, wall_s=2.0, rows=50, resumed=True)
    put(store, MORE, wall_s=40.0, rows=60)
    (line,) = [line for line in page(store) if line.startswith("evolve")]
    assert line.split() == ["evolve", "2", "2", "110", "1.5", "42", "s"]


def test_failed_and_lost_jobs(store: Store):
    put(store, DATA)
    fail(store, EVOLVE, "evolve/round-1: the worker was killed (signal 9):\nout of memory, or by hand", NOW - 100)
    (store.root / "parts" / f"{MORE.key}-000000-20-{'0' * 64}.jsonl").write_text("")
    begin(store, record(1, *ALL), NOW - 9000, Work(key=MORE.key, phase="at work", job_s=60), seen=NOW - 3600)
    logs = store.root / "logs"
    assert page(store) == [
        "table-2 at smoke: 6 jobs, gone without a word, last seen 1 h 0 min ago; "
        "begun 2027-01-15T07:00:00+00:00 on node07 (process 1001)",
        "1 done, 1 failed, 3 blocked, 1 lost",
        "",
        "stage    jobs  done  failed  blocked  lost  rows       took       left",
        "fetch       1     1                            1",
        "evolve      2             1              1        1 min 0 s  4 min 0 s",
        "respond     1                      1",
        "sft         1                      1",
        "answer      1                      1",
        "",
        "0.0 GPU-hours spent, about 0.1 left; nothing is at work on it: the same command goes on",
        "",
        "lost",
        "  evolve/round-2: its run on node07 (process 1001) is gone without a word, last seen 1 h 0 min ago: killed by "
        "hand or for memory, or its machine is down, 20 of its rows are kept; the same command goes on; "
        f"log: {logs}/{MORE.key}.log",
        "",
        "failed",
        "  evolve/round-1: the worker was killed (signal 9):\\nout of memory, or by hand; 3 jobs need it; "
        f"log: {logs}/{EVOLVE.key}.log",
    ]


def test_a_job_that_starts_and_jobs_whose_time_nothing_tells(store: Store):
    work = Work(key=DATA.key, phase="starting a worker", phase_s=5.0, job_s=5.0)
    begin(store, record(1, DATA), NOW - 60, work, seen=NOW - 2)
    assert page(store) == [
        "table-2 at smoke: 1 jobs, at work; begun 2027-01-15T07:00:00+00:00 on node07 (process 1001)",
        "1 running",
        "",
        "stage  jobs  running  took",
        "fetch     1        1   7 s",
        "",
        "7 s spent; nothing tells how long 1 of the 1 jobs to come take",
        "",
        "running",
        "  fetch/data: starting a worker, 7 s, on node07",
    ]


def test_a_store_without_jobs(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    assert page(store) == [
        f"store {store.root}: no jobs there; `kit reproduce 2` runs some, `kit plan 2 --write` writes them down"
    ]


def test_all_jobs_and_many_failures(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    for number in range(25):
        fail(store, make_job("fetch", f"data-{number:02}"), "no network", NOW)
    found = page(store)
    assert found[:2] == [f"store {store.root}: all 25 jobs that were ever planned in it", "25 failed"]
    assert (len([line for line in found if "no network" in line]), found[-1]) == (20, "  and 5 more")


def asked(**request: Any) -> dict[str, Any]:
    return request


REQUESTS = {
    "tables": (asked(tables=["table-2", "table-3"], scale="mini"), "table-2, table-3 at mini"),
    "all tables": (asked(tables=["a", "b", "c", "d", "e", "f"], scale="mini"), "a, b, c, d and 2 more at mini"),
    "own files": (asked(scale="mini"), "own files at mini"),
    "no scale": (asked(tables=["a"]), "a"),
    "neither is what it should be": (asked(tables=7, scale=["mini"]), "own files"),
}


@pytest.mark.parametrize("request_, text", REQUESTS.values(), ids=list(REQUESTS))
def test_what_a_run_was_asked_for(request_: dict[str, Any], text: str, store: Store):
    begin(store, record(1, DATA, request=request_), NOW - 60)
    assert page(store)[0].partition(": ")[0] == text


def test_the_document_has_what_a_program_needs(store: Store):
    put(store, DATA, wall_s=3.0)
    fail(store, EVOLVE, "no memory", NOW - 100)
    work = Work(key=MORE.key, phase="at work", done=15, total=60, rows_per_s=1.5, phase_s=10, job_s=60)
    begin(store, record(1, *ALL), NOW - 300, work, seen=NOW - 5)
    found = document(StatusReader(store, clock=lambda: NOW).read())
    names = ("id", "host", "pid", "batch_id", "started_at", "ended_at", "request", "jobs", "at_work")
    assert tuple(found["runs"][0]) == names
    assert (found["schema"], found["store"], found["faults"]) == (1, str(store.root), [])
    assert found["jobs"] == {"done": 1, "running": 1, "waiting": 0, "failed": 1, "blocked": 3, "lost": 0}
    assert found["running"] == [
        {
            "key": MORE.key,
            "id": "evolve/round-2",
            "stage": "evolve",
            "gpus": 1,
            "rows_kept": 0,
            "phase": "at work",
            "done": 15,
            "total": 60,
            "host": "node07",
            "rows_per_s": 1.5,
            "tokens_per_s": 0.0,
            "run": record(1).id,
            "seconds": 65.0,
            "seconds_left": 25.0,
            "silent_s": 5.0,
        }
    ]
    assert [(one["id"], one["reason"]) for one in found["failed"]] == [("evolve/round-1", "no memory")]
    assert {one["needs"] for one in found["blocked"]} == {EVOLVE.key}
    assert found["gpu_hours"] == {"spent": 65 / 3600, "left": 25 / 3600}
    assert found["hours"] == {"spent": 68 / 3600, "left": 25 / 3600}
    assert (found["seconds_left"], found["rows_per_s"], found["jobs_without_estimate"]) == (25.0, 1.5, 0)
    assert json.loads(json.dumps(found)) == found
