"""A run writes its job at work and its counts, until it ends, is stopped or is killed."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.machine.identity import own_identity
from kit.plan.planning import plan_tables
from kit.report.status import StatusReader
from kit.run import recording
from kit.run.execute import execute
from kit.run.launch import Options
from kit.run.recording import Recorder, batch_id, recorded
from kit.store import Job, Store
from kit.store.runs import Work, read_runs, remove_old
from tests.status.making import begin, make_job, record

ANSWER, TUNE = make_job("answer", "ifeval"), make_job("sft", "alpaca")
REQUEST = {"tables": ["table-2"], "scale": "smoke"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


class Clock:
    """A clock whose seconds the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ignore(event: str, job: Job, fields: Mapping[str, Any]) -> None:
    """Do nothing with an event of a run."""


def phase(text: str) -> dict[str, Any]:
    return {"done": 0, "total": 0, "tokens": 0, "phase": text}


def count(done: int, total: int, tokens: int = 0) -> dict[str, Any]:
    return {"done": done, "total": total, "tokens": tokens}


def test_the_job_at_work_and_its_rates(store: Store):
    clock = Clock()
    recorder = Recorder(store, "run", ignore, clock)
    assert recorder.work() is None
    seen = []
    for seconds, event, job, fields in (
        (7, "progress", ANSWER, phase("starting a worker")),
        (3, "start", ANSWER, {}),
        (40, "progress", ANSWER, phase("starting the engine vllm")),
        (60, "progress", ANSWER, count(0, 541)),
        (0, "progress", ANSWER, count(120, 541, 7200)),
        (1, "done", ANSWER, {"rows": 541, "seconds": 110.0}),
        (2, "start", TUNE, {}),
    ):
        recorder(event, job, fields)
        clock.now += seconds
        seen.append(recorder.work())
    key = ANSWER.key
    counting = Work(key=key, phase="at work", total=541, phase_s=60.0, job_s=103.0)
    assert seen == [
        Work(key=key, phase="starting a worker", phase_s=7.0, job_s=7.0),
        Work(key=key, phase="at work", phase_s=3.0, job_s=3.0),
        Work(key=key, phase="starting the engine vllm", phase_s=40.0, job_s=43.0),
        counting,
        replace(counting, done=120, rows_per_s=2.0, tokens_per_s=120.0),
        None,
        Work(key=TUNE.key, phase="at work", phase_s=2.0, job_s=2.0),
    ]


def test_the_time_spent_grows_where_nothing_else_changes(store: Store):
    # it was touched alone, so that a job that counts nothing had spent 20 seconds at most
    clock, run = Clock(), record(1, ANSWER)
    begin(store, run, at=1.0)
    recorder = Recorder(store, run.id, ignore, clock)
    written = []
    recorder("start", ANSWER, {})
    for seconds in (0, 19, 1, 20):
        clock.now += seconds
        recorder.write()
        written.append(read_runs(store)[0][0].work)
    work = Work(key=ANSWER.key, phase="at work")
    assert written == [work, work, replace(work, phase_s=20.0, job_s=20.0), replace(work, phase_s=40.0, job_s=40.0)]


def test_between_two_jobs_none_is_at_work(store: Store):
    # the one that had ended was named until the next began
    run = record(1, ANSWER)
    begin(store, run, at=1.0)
    recorder = Recorder(store, run.id, ignore, Clock())
    for event in ("start", "done"):
        recorder(event, ANSWER, {"rows": 1, "seconds": 1.0})
        recorder.write()
    assert read_runs(store)[0][0].work == Work(key="", phase="")


def test_a_run_is_recorded_while_it_lasts_and_events_are_passed_on(store: Store):
    passed: list[tuple[str, str]] = []
    with recorded(
        [TUNE.key, ANSWER.key], store, REQUEST, lambda event, job, _: passed.append((event, job.id))
    ) as listen:
        listen("start", TUNE, {})
        (run,), _ = read_runs(store)
        own = own_identity()
        found = run.record
        assert (found.host, found.place, found.pid, found.born) == (own.host, own.place, own.pid, own.born)
        assert (found.keys, found.request, found.ended_at) == ([TUNE.key, ANSWER.key], REQUEST, "")
    (run,), _ = read_runs(store)
    assert (run.work, bool(run.record.ended_at)) == (None, True)
    assert passed == [("start", "sft/alpaca")]


def test_a_run_that_is_stopped_ends_too(store: Store):
    with pytest.raises(KeyboardInterrupt), recorded([ANSWER.key], store, REQUEST, ignore):
        raise KeyboardInterrupt
    (run,), _ = read_runs(store)
    assert run.record.ended_at


# keys, request: nothing is left
NOTHING: dict[str, tuple[list[str], dict[str, Any]]] = {
    "all is cached": ([], REQUEST),
    "one job by its key": ([ANSWER.key], {}),
}


@pytest.mark.parametrize("keys, request_", NOTHING.values(), ids=list(NOTHING))
def test_these_leave_nothing(keys: list[str], request_: dict[str, Any], store: Store):
    with recorded(keys, store, request_, ignore) as listen:
        listen("cached", ANSWER, {"rows": 1})
        assert len(read_runs(store)[0]) == len(keys)
    assert list((store.root / "runs").iterdir()) == []


def test_a_store_that_takes_nothing_lets_the_run_go_on(store: Store):
    (store.root / "runs").rmdir()
    (store.root / "runs").write_text("in the way")
    passed = []
    with recorded([ANSWER.key], store, REQUEST, lambda event, *_: passed.append(event)) as listen:
        listen("start", ANSWER, {})
    assert passed == ["start"]


def test_the_records_of_runs_that_are_over_do_not_pile_up(store: Store, monkeypatch: pytest.MonkeyPatch):
    own = own_identity()
    ended = "2027-01-15T08:00:00+00:00"
    killed = {"host": own.host, "place": own.place, "pid": own.pid, "born": "1"}
    begin(store, record(1, ended_at=ended), 1e9)
    begin(store, record(2, **killed), 1e9)  # of this machine
    begin(store, record(3), 1e9)  # of another, and silent for more than a week
    begin(store, record(4, ended_at=ended), 1e9)
    begin(store, record(5, **(killed | {"born": own.born})), 1e9)  # this process
    begin(store, record(6, ended_at=ended), 1e9)
    monkeypatch.setattr("kit.run.recording.remove_old", lambda *call: remove_old(*call, kept=2))
    with recorded([ANSWER.key], store, REQUEST, ignore):
        left = [run.record.pid for run in read_runs(store)[0]]
    assert sorted(left) == sorted([own.pid, own.pid, 1004, 1006])


def test_execute_records_what_it_runs(store: Store):
    plan = plan_tables(["2"], "smoke")
    jobs = {key: job for key, job in plan.jobs.items() if job.id == "fetch/mini-mbpp"}
    options = Options(store=store.root, request=plan.request())
    seen: list[tuple[str, bool, bool]] = []

    def look(event: str, job: Job, fields: Mapping[str, Any]) -> None:
        for run in read_runs(store)[0]:
            seen.append((event, run.record.keys == list(jobs), bool(run.record.ended_at)))

    execute(jobs, store, options, look)
    assert {("start", True, False), ("done", True, False)} <= set(seen)
    assert {ended for _, _, ended in seen} == {False}
    status = StatusReader(store).read()
    assert [run.record.request["tables"] for run in status.runs] == [["table-2"]]
    assert status.counts()["done"] == 1
    execute(jobs, store, options, ignore)  # all is cached
    assert len(read_runs(store)[0]) == 1


def test_a_batch_systems_id():
    assert batch_id({"SLURM_JOB_ID": "17"}) == "Slurm 17"
    assert batch_id({}) == ""


def test_a_killed_run_is_lost_and_one_that_ends_is_not(store: Store):
    store.plan(ANSWER)
    states = []
    for end in ("kill", "go on"):
        command = [sys.executable, str(Path(__file__).parent / "at_work.py"), str(store.root), ANSWER.key]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "at work\n"
            (one,) = StatusReader(store).read().jobs
            states.append((one.state, one.rows, one.total))
            if end == "kill":
                child.kill()
            child.communicate("\n")
        (one,) = StatusReader(store).read().jobs
        states.append((one.state, one.rows, one.total))
    assert states == [("running", 3, 9), ("lost", 3, 9), ("running", 3, 9), ("waiting", 0, 0)]


def test_a_run_that_hands_its_jobs_to_others_gives_signs_of_life_and_is_at_work_on_none(store: Store):
    clock, run = Clock(), record(1, ANSWER)
    begin(store, run, at=1.0)
    recorder = Recorder(store, run.id, ignore, clock)
    recorder.write()
    assert read_runs(store)[0][0].work is None
    clock.now += recording.SIGN_S
    recorder.write()
    assert read_runs(store)[0][0].work == Work(key="", phase="")
