"""Each state that a job of a store can be in, and the hours and seconds that are left, worked out by hand."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.machine.identity import own_identity
from kit.report.status import Status, StatusReader
from kit.store import Job, Store
from kit.store.clearing import release
from kit.store.runs import Work
from tests.status.making import NOW, begin, fail, make_job, put, record

DATA = make_job("fetch", "data")
EVOLVE = make_job("evolve", "round-1", DATA, wall_s=100, rows=50)
RESPOND = make_job("respond", "round-1", EVOLVE, wall_s=200, rows=50)
TUNE = make_job("sft", "base", RESPOND, wall_s=400)
OTHER = make_job("evolve", "round-2", DATA, wall_s=300, rows=60)
CHAIN = (DATA, EVOLVE, RESPOND, TUNE, OTHER)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.open(tmp_path / "store")
    for job in CHAIN:
        made.plan(job)
    return made


def read(store: Store, *, everything: bool = False) -> Status:
    return StatusReader(store, clock=lambda: NOW).read(everything=everything)


def states(found: Status) -> dict[str, str]:
    return {one.job.id: one.state for one in found.jobs}


def work_on(job: Job, **fields: Any) -> Work:
    return replace(Work(key=job.key, phase="at work"), **fields)


def test_jobs_nobody_runs_wait(store: Store):
    put(store, DATA, rows=7)
    found = read(store)
    assert states(found) == {
        "fetch/data": "done",
        "evolve/round-1": "waiting",
        "respond/round-1": "waiting",
        "sft/base": "waiting",
        "evolve/round-2": "waiting",
    }
    assert (found.runs, found.alive, found.faults) == ([], frozenset(), [])
    assert found.counts() == {"done": 1, "running": 0, "waiting": 4, "failed": 0, "blocked": 0, "lost": 0}


def test_a_failed_job_blocks_what_needs_it_at_any_distance(store: Store):
    put(store, DATA)
    fail(store, EVOLVE, "no memory", NOW - 10)
    begin(store, record(1, *CHAIN, ended_at="2027-01-15T08:00:00+00:00"), NOW - 60)
    found = read(store)
    assert states(found) == {
        "fetch/data": "done",
        "evolve/round-1": "failed",
        "respond/round-1": "blocked",
        "sft/base": "blocked",
        "evolve/round-2": "waiting",
    }
    assert {one.needs for one in found.of("blocked")} == {EVOLVE.key}
    assert [one.reason for one in found.of("failed")] == ["no memory"]
    assert [one.job.id for one in found.to_come()] == ["evolve/round-2"]


def test_a_run_at_work_that_began_later_tries_a_failed_job_again(store: Store):
    put(store, DATA)
    fail(store, EVOLVE, "no memory", NOW - 100)
    begin(store, record(1, *CHAIN), NOW - 60, work_on(OTHER), seen=NOW - 1)
    assert states(read(store))["evolve/round-1"] == "waiting"
    fail(store, EVOLVE, "no memory", NOW - 50)  # it has tried
    assert states(read(store))["evolve/round-1"] == "failed"


# seconds since the last sign of life on another machine -> state
SILENT = {"a second": (1.0, "running"), "three minutes less one second": (179.0, "running"), "three": (180.0, "lost")}


@pytest.mark.parametrize("silent_s, state", SILENT.values(), ids=list(SILENT))
def test_a_run_on_another_machine_counts_by_its_signs_of_life(silent_s: float, state: str, store: Store):
    put(store, DATA)
    begin(store, record(1, *CHAIN), NOW - 600, work_on(EVOLVE, job_s=400.0), seen=NOW - silent_s)
    found = read(store)
    assert states(found) == {
        "fetch/data": "done",
        "evolve/round-1": state,
        "respond/round-1": "waiting",
        "sft/base": "waiting",
        "evolve/round-2": "waiting",
    }
    (one,) = found.of(state)
    assert (one.silent_s, one.spent_s) == (silent_s, 400.0 + (silent_s if state == "running" else 0))


# process of the record -> state of its job, however long it was silent
PROCESSES = {"this one": ({}, "running"), "one that ended, whose number this one has": ({"born": "1"}, "lost")}


@pytest.mark.parametrize("changes, state", PROCESSES.values(), ids=list(PROCESSES))
def test_a_run_on_this_machine_counts_by_its_process(changes: dict[str, str], state: str, store: Store):
    own = replace(own_identity(), **changes)
    run = record(1, *CHAIN, host=own.host, place=own.place, pid=own.pid, born=own.born)
    begin(store, run, NOW - 9000, work_on(EVOLVE), seen=NOW - 8000)
    assert states(read(store))["evolve/round-1"] == state


def test_a_lost_job_that_a_later_run_planned_again_waits(store: Store):
    begin(store, record(1, *CHAIN), NOW - 9000, work_on(EVOLVE), seen=NOW - 8000)
    begin(store, record(2, *CHAIN), NOW - 60, work_on(OTHER), seen=NOW - 1)
    found = read(store)
    assert (states(found)["evolve/round-1"], states(found)["evolve/round-2"]) == ("waiting", "running")


# what left the last word on a job -> its state
STALE: dict[str, tuple[float, dict[str, str], Job, str]] = {
    # seconds since the failure, the run's end, its job at work; the run began 900 seconds ago and is gone
    "it was lost after it failed": (1000.0, {}, EVOLVE, "lost"),
    "it failed in that run": (850.0, {}, EVOLVE, "failed"),
    "another was lost": (1000.0, {}, OTHER, "failed"),
    "the run ended": (1000.0, {"ended_at": "2027-01-15T08:00:00+00:00"}, EVOLVE, "failed"),
}


@pytest.mark.parametrize("ago, ending, at_work, state", STALE.values(), ids=list(STALE))
def test_a_failure_is_older_than_the_run_that_was_lost(
    ago: float, ending: dict[str, str], at_work: Job, state: str, store: Store
):
    # nothing removes the reason of a failure when the job starts again
    put(store, DATA)
    fail(store, EVOLVE, "no memory", NOW - ago)
    begin(store, record(1, *CHAIN, **ending), NOW - 900, work_on(at_work), seen=NOW - 800)
    found = states(read(store))
    assert (found["evolve/round-1"], found["respond/round-1"]) == (state, "waiting" if state == "lost" else "blocked")


def released(store: Store, *jobs: Job) -> None:
    """Commit artifacts that gave their files back."""
    for job in jobs:
        put(store, job, rows=50, wall_s=100.0)
        release(store, job.key, "--keep results")


def test_what_gave_its_files_back_is_done_until_another_needs_them(store: Store):
    released(store, DATA, EVOLVE)
    put(store, RESPOND)
    put(store, TUNE)
    put(store, OTHER)
    assert set(states(read(store)).values()) == {"done"}
    shutil.rmtree(store.root / "artifacts" / RESPOND.key)
    # respond needs the files of evolve, which need those of data
    assert states(read(store)) == {
        "fetch/data": "waiting",
        "evolve/round-1": "waiting",
        "respond/round-1": "waiting",
        "evolve/round-2": "done",
        "sft/base": "done",
    }


def test_a_job_that_is_made_again_runs_and_is_done_once_more(store: Store):
    # it was done for as long as it was made again
    released(store, EVOLVE)
    reader = StatusReader(store, clock=lambda: NOW)
    begin(store, record(1, EVOLVE, request={}), NOW - 60, work_on(EVOLVE, job_s=30.0), seen=NOW - 1)
    (one,) = [one for one in reader.read().jobs if one.key == EVOLVE.key]
    assert (one.state, one.spent_s) == ("running", 31.0)
    put(store, EVOLVE, rows=50, wall_s=31.5)
    (one,) = [one for one in reader.read().jobs if one.key == EVOLVE.key]
    assert (one.state, one.spent_s) == ("done", 31.5)  # its head is another


def test_a_job_that_is_made_again_may_be_lost(store: Store):
    released(store, DATA, EVOLVE)
    begin(store, record(1, *CHAIN), NOW - 9000, work_on(DATA), seen=NOW - 8000)
    assert states(read(store))["fetch/data"] == "lost"


def test_a_job_that_another_run_finished_is_done(store: Store):
    put(store, EVOLVE, rows=50)
    begin(store, record(1, *CHAIN), NOW - 9000, work_on(EVOLVE), seen=NOW - 8000)
    assert states(read(store))["evolve/round-1"] == "done"


def test_the_last_run_is_shown_and_all_that_are_at_work(store: Store):
    begin(store, record(1, DATA, EVOLVE), NOW - 90, work_on(EVOLVE), seen=NOW - 1)
    begin(store, record(2, RESPOND), NOW - 80, seen=NOW - 70)
    begin(store, record(3, TUNE, ended_at="2027-01-15T08:00:00+00:00"), NOW - 60)
    begin(store, record(4, OTHER), NOW - 9000)  # of a machine that is gone, and written last
    found = read(store)
    assert [run.record.pid for run in found.runs] == [1004, 1002, 1001]
    assert set(states(found)) == {"fetch/data", "evolve/round-1", "respond/round-1", "evolve/round-2"}
    assert len(read(store, everything=True).jobs) == 5


def test_one_job_run_by_its_key_is_shown_with_the_run_that_planned_it(store: Store):
    ended = "2027-01-15T08:00:00+00:00"
    begin(store, record(1, DATA, EVOLVE, ended_at=ended), NOW - 900)
    begin(store, record(2, TUNE, ended_at=ended), NOW - 800)
    begin(store, record(3, EVOLVE, request={}), NOW - 10, work_on(EVOLVE), seen=NOW - 1)
    found = read(store)
    assert [run.record.pid for run in found.runs] == [1002, 1001]
    assert states(found) == {"sft/base": "waiting", "fetch/data": "waiting", "evolve/round-1": "running"}
    begin(store, record(4, OTHER, request={}), NOW - 10, work_on(OTHER), seen=NOW - 1)  # which no run planned
    found = read(store)
    assert (found.runs, len(found.jobs)) == ([], 5)
    assert [one.job.id for one in found.of("running")] == ["evolve/round-1", "evolve/round-2"]


def test_hours_left_are_estimates_by_what_the_finished_jobs_took(store: Store):
    put(store, DATA, wall_s=6.0)  # no estimate
    put(store, EVOLVE, wall_s=150.0, rows=50)  # 1.5 of its estimate
    found = read(store)
    left = {one.job.id: one.left_s for one in found.to_come()}
    assert left == {"respond/round-1": 300.0, "sft/base": 600.0, "evolve/round-2": 450.0}
    assert found.spent_h() == (156 / 3600, 0.0)
    assert found.left_h() == (1350 / 3600, 0.0)
    assert found.seconds_left() == 1350.0  # one at a time
    assert found.untold() == 0


def test_time_left_is_that_of_the_longest_chain_where_many_run_at_once(store: Store):
    put(store, DATA)
    for number, job in enumerate((EVOLVE, OTHER), start=1):
        work = work_on(job, done=10, total=50, rows_per_s=0.5, tokens_per_s=9.0, job_s=20.0)
        begin(store, record(number, *CHAIN), NOW - 60, work, seen=NOW - 4)
    found = read(store)
    left = {one.job.id: one.left_s for one in found.to_come()}
    # 40 rows at 0.5 a second, 4 seconds ago
    assert left == {"evolve/round-1": 76.0, "respond/round-1": 200.0, "sft/base": 400.0, "evolve/round-2": 76.0}
    assert found.seconds_left() == 76 + 200 + 400  # more than (76 + 200 + 400 + 76) / 2
    assert found.rows_per_s() == 1.0


def test_rows_that_are_kept_in_parts_are_not_left(store: Store):
    put(store, DATA)
    for first, rows in ((0, 20), (20, 5)):
        name = f"{EVOLVE.key}-{first:06}-{rows}-{'0' * 64}.jsonl"
        (store.root / "parts" / name).write_text("")
    left = {one.job.id: (one.kept, one.left_s) for one in read(store).to_come()}
    assert left["evolve/round-1"] == (25, 50.0)
    assert left["evolve/round-2"] == (0, 300.0)


# first row and rows of each part, by what the name has before them -> rows that the job goes on from
KEPT: dict[str, tuple[dict[str, list[tuple[int, int]]], int]] = {
    "of two calls the larger": ({"a" * 16: [(0, 20), (20, 5)], "b" * 16: [(0, 20)]}, 25),
    "none begins at the first row": ({"a" * 16: [(20, 5)]}, 0),
    "one is missing": ({"a" * 16: [(0, 20), (40, 5)]}, 20),
    "none has rows": ({"a" * 16: [(0, 0)]}, 0),
}


@pytest.mark.parametrize("parts, rows", KEPT.values(), ids=list(KEPT))
def test_rows_kept_are_those_of_one_call_each_once(parts: dict[str, list[tuple[int, int]]], rows: int, store: Store):
    # the parts of all calls were added up, and those that two writers left
    for call, ranges in parts.items():
        for first, count in ranges:
            for digit in "01":
                name = f"{EVOLVE.key}-{'f' * 16}-{call}-{first:06}-{count}-{digit * 64}.jsonl"
                (store.root / "parts" / name).write_text("")
    assert [one.kept for one in read(store).jobs if one.key == EVOLVE.key] == [rows]


def test_a_job_that_went_on_tells_nothing_of_its_stage(store: Store):
    # its last attempt took 3 seconds of some 100
    put(store, DATA)
    put(store, EVOLVE, wall_s=3.0, rows=50, resumed=True)
    found = read(store)
    assert {one.job.id: one.left_s for one in found.to_come()} == {
        "respond/round-1": 200.0,
        "sft/base": 400.0,
        "evolve/round-2": 300.0,
    }
    assert found.spent_h()[0] == 3 / 3600


def test_a_running_job_without_counts_is_left_the_rest_of_its_estimate(store: Store):
    begin(
        store, record(1, EVOLVE), NOW - 60, work_on(EVOLVE, phase="starting the engine vllm", job_s=28.0), seen=NOW - 2
    )
    (one,) = read(store).jobs
    assert (one.spent_s, one.left_s, one.foretold) == (30.0, 70.0, True)


def test_jobs_of_which_nothing_tells_the_time_are_counted(store: Store):
    begin(store, record(1, DATA, TUNE), NOW - 60, work_on(DATA), seen=NOW - 2)
    found = read(store)
    assert (found.untold(), found.left_h()[0]) == (1, 400 / 3600)


def test_gpu_hours_are_those_of_the_gpus_that_are_held(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    done, at_work = make_job("evolve", "a", gpu=True, wall_s=100), make_job("evolve", "b", gpu=True, wall_s=7200)
    put(store, done, wall_s=100.0, gpus_held=1, gpu_held_s=100.0)
    store.plan(at_work)
    begin(store, record(1, done, at_work), NOW - 60, work_on(at_work, job_s=1790.0), seen=NOW - 10)
    found = read(store)
    assert found.spent_h() == (1900 / 3600, 1900 / 3600)
    assert found.left_h() == (5400 / 3600, 5400 / 3600)


def test_damaged_jobs_and_heads_are_named_and_the_others_counted(store: Store):
    put(store, DATA)
    head = store.root / "artifacts" / DATA.key / "artifact.json"
    head.write_text("[]")
    (store.root / "jobs" / f"{TUNE.key}.json").write_text("{}")
    found = read(store)
    assert set(states(found)) == {"evolve/round-1", "respond/round-1", "evolve/round-2"}
    assert sorted(found.faults) == [
        f"{store.root}/jobs/{TUNE.key}.json: not a job (id: missing; wanted a text); remove it and plan again: "
        "kit plan TABLE --write",
        f"store {store.root}: the head of {DATA.key[:12]} can't be read: it: found a list, wanted an object; remove "
        f"{store.root}/artifacts/{DATA.key} and run again",
    ]


def test_a_head_is_read_once_and_an_artifact_that_is_removed_is_not_done(store: Store):
    put(store, DATA)
    reader = StatusReader(store, clock=lambda: NOW)
    first = reader.read()
    (store.root / "artifacts" / DATA.key / "artifact.json").write_text("[]")
    assert states(reader.read()) == states(first)
    shutil.rmtree(store.root / "artifacts" / DATA.key)
    assert states(reader.read()) == {**states(first), "fetch/data": "waiting"}
