"""Runs on a cluster, followed in the store: what is handed over, what is waited for, how failures come back."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cluster import queue
from kit.cluster.folder import Handover
from kit.cluster.following import ClusterRun
from kit.cluster.forgotten import Watch
from kit.cluster.program import Snakemake
from kit.cluster.queue import Queued
from kit.errors import KitError
from kit.run import nodes
from kit.run.execute import Outcome
from kit.stages._keeping import ALL
from kit.store import Job, Store, leases
from kit.store.runs import read_runs
from tests.cluster.stand_in import HARDWARE, head, make_job
from tests.cluster.test_leases import ELSEWHERE, commit, plant

FAKE = Path(__file__).resolve().parent / "fake_snakemake.py"
Events = list[tuple[str, str, dict[str, Any]]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def run(store: Store, events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Run jobs by a stand-in for Snakemake."""
    program = tmp_path / "snakemake"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("KIT_SNAKEMAKE", str(program))
    monkeypatch.setattr("kit.cluster.folder.kit_command", list)  # set back after the test
    monkeypatch.setattr("kit.cluster.following.POLL_S", 0.05)
    monkeypatch.setattr("kit.cluster.following.WAIT_S", 0.05)
    monkeypatch.setattr("kit.cluster.following.LATE_S", 0.1)

    def call(
        *jobs: Job, keep: str = ALL, sleep: Callable[[float], None] = time.sleep, scheduler: str = "local"
    ) -> Outcome:
        return head({job.key: job for job in jobs}, store, scheduler, None, events, keep=keep, sleep=sleep)

    return call


def told(events: Events) -> list[tuple[str, str]]:
    return [(event, job) for event, job, _ in events if event != "progress"]


A = make_job("a")
B = make_job("b", inputs={"x": A.key})
BAD = make_job("bad", failures=9)
AFTER = make_job("after", inputs={"x": BAD.key})


def test_jobs_are_done_and_found_in_the_store(run: Callable[..., Outcome], store: Store, events: Events):
    outcome = run(A, B)
    assert (outcome.done, outcome.failed, outcome.blocked) == ([A.key, B.key], {}, {})
    assert told(events) == [("done", "convert/a"), ("done", "convert/b")]
    assert events[0][2]["phase"] == "2 jobs in 2 units, handed to local"
    assert [store.check(key) for key in (A.key, B.key)] == [[], []]
    assert list((store.root / "cluster").iterdir()) == []  # nothing of a hand-over stays where all is done


def test_done_jobs_are_not_handed_over_and_nothing_starts_where_all_are(
    run: Callable[..., Outcome], store: Store, events: Events, monkeypatch: pytest.MonkeyPatch
):
    commit(store, A, "before")
    assert run(A, B).cached == [A.key]
    assert events[1][2]["phase"] == "1 jobs in 1 units, handed to local"
    monkeypatch.setenv("KIT_SNAKEMAKE", "/nowhere")
    assert run(A, B).cached == [A.key, B.key]


def test_a_failure_comes_back_with_its_reason_and_blocks_what_needs_it(
    run: Callable[..., Outcome], store: Store, events: Events
):
    outcome = run(A, B, BAD, AFTER)
    assert outcome.done == [A.key, B.key]
    assert outcome.failed == {BAD.key: "convert/bad fails as it was told to"}
    assert outcome.blocked == {AFTER.key: BAD.key}
    assert told(events)[-2:] == [("failed", "convert/bad"), ("blocked", "convert/after")]
    assert store.failure(BAD.key) == "convert/bad fails as it was told to"
    assert store.log_path(BAD.key).read_text() == "convert/bad fails as it was told to\n"
    assert len(list((store.root / "cluster").iterdir())) == 1  # its logs are there to be read


def test_a_retry_that_succeeds_is_no_failure(run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FAKE_RETRIES", "1")
    once = make_job("once", failures=1)
    outcome = run(once)
    assert (outcome.done, outcome.failed) == ([once.key], {})


def test_a_snakemake_that_forgot_its_jobs_is_started_again(
    run: Callable[..., Outcome], store: Store, events: Events, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # While Slurm's controller was away, the plugin dropped what it followed, and waited for ever.
    monkeypatch.setenv("FAKE_FORGETS", str(tmp_path / "forgets"))
    forgets = tmp_path / "forgets"
    forgets.touch()
    first = list[Path]()

    def look(*_: Any) -> list[Queued]:
        folders = list((store.root / "cluster").iterdir())
        first[:] = first or folders
        busy = folders if forgets.exists() else [one for one in folders if one not in first]
        return [Queued(number="1", state="RUNNING", unit="convert-0", folder=folder) for folder in busy]

    monkeypatch.setattr("kit.cluster.forgotten.LOOK_S", 0.1)
    monkeypatch.setattr("kit.cluster.forgotten.FORGOTTEN_S", 0.3)
    monkeypatch.setattr("kit.cluster.following.slurm_queue", lambda *_: [])
    monkeypatch.setattr("kit.cluster.forgotten.slurm_queue", look)
    outcome = run(A, B, scheduler="slurm")
    assert (outcome.done, outcome.failed) == ([A.key, B.key], {})
    assert [fields["phase"] for event, _, fields in events if event == "progress"] == [
        "2 jobs in 2 units, handed to slurm",
        "nothing is queued or at work any more, and Snakemake waits; it is started again",
        "1 jobs in 1 units, handed to slurm",
    ]


def test_one_that_forgets_before_it_did_anything_fails_its_jobs(
    run: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.cluster.forgotten.LOOK_S", 0.1)
    monkeypatch.setattr("kit.cluster.forgotten.FORGOTTEN_S", 0.5)
    monkeypatch.setattr("kit.cluster.following.slurm_queue", lambda *_: [])
    monkeypatch.setattr("kit.cluster.forgotten.slurm_queue", lambda *_: [])
    monkeypatch.setenv("FAKE_SLEEPS", "yes")
    outcome = run(A, B, scheduler="slurm")
    assert list(outcome.failed) == [A.key]
    assert outcome.failed[A.key].startswith("snakemake neither queued it nor ended: ")
    assert outcome.blocked == {B.key: A.key}


def forgotten_after(seen: list[Any], store: Store, monkeypatch: pytest.MonkeyPatch) -> int:
    """Return after how many looks, 30 s apart, jobs count as forgotten; each look sees one of these in the queue."""
    looks = iter(seen)

    def look(*_: Any) -> list[Queued]:
        found = next(looks)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("kit.cluster.forgotten.slurm_queue", look)
    watch = Watch(folder=store.root / "cluster" / "own", store=store, sleep=time.sleep)
    for number in range(1, len(seen) + 1):
        if watch.forgotten([A.key], 30.0):
            return number
    return 0


def test_what_is_queued_or_can_not_be_told_is_not_forgotten(store: Store, monkeypatch: pytest.MonkeyPatch):
    own = [Queued(number="1", state="PENDING", unit="convert-0", folder=store.root / "cluster" / "own")]
    other = [Queued(number="2", state="RUNNING", unit="convert-0", folder=store.root / "cluster" / "another")]
    nothing: list[Any] = [[]] * 20
    assert forgotten_after([own] * 60, store, monkeypatch) == 0
    # the first call only counts the pending jobs
    assert forgotten_after(nothing, store, monkeypatch) == 11
    assert forgotten_after([other] * 20, store, monkeypatch) == 11
    assert forgotten_after([[], [], own, *nothing], store, monkeypatch) == 14
    assert forgotten_after([[], [], KitError("Slurm does not answer"), *nothing], store, monkeypatch) == 14


def test_what_a_failed_unit_held_up_without_need_is_handed_over_again(run: Callable[..., Outcome], events: Events):
    # both of one unit: they wait for the same; the one that fails must not hold up what needs the other
    good, bad = make_job("good", inputs={"x": A.key}), make_job("bad", inputs={"x": A.key}, failures=9)
    needs_good = make_job("needs-good", inputs={"x": good.key})
    outcome = run(A, good, bad, needs_good)
    assert sorted(outcome.done) == sorted([A.key, good.key, needs_good.key])
    assert list(outcome.failed) == [bad.key]
    assert [fields["phase"] for event, _, fields in events if event == "progress"] == [
        "4 jobs in 3 units, handed to local",
        "1 jobs in 1 units, handed to local",
    ]


def test_a_failure_of_an_earlier_run_is_not_reported_as_one_of_this(
    run: Callable[..., Outcome], store: Store, monkeypatch: pytest.MonkeyPatch
):
    store.record_failure(A, "of an earlier run")
    monkeypatch.setenv("FAKE_REFUSAL", "no such profile")
    outcome = run(A)
    (log,) = (store.root / "cluster").glob("*/snakemake.log")
    reason = f"it was not started: snakemake ended with exit code 1: no such profile (log: {log})"
    assert (outcome.failed, store.failure(A.key)) == ({A.key: reason}, reason)


def test_a_job_that_ends_without_a_word_is_lost_with_the_end_of_its_log(
    run: Callable[..., Outcome], store: Store, monkeypatch: pytest.MonkeyPatch
):
    def start(self: Snakemake, folder: Path) -> Any:
        (unit,) = json.loads((folder / "plan.json").read_text())["units"]
        log = folder / "logs" / "rule_convert" / unit / "17.log"
        log.parent.mkdir(parents=True)
        log.write_text("at work\n\nslurmstepd: Detected 1 oom-kill event\n")
        monkeypatch.setenv("FAKE_REFUSAL", "a job failed")
        return start_really(self, folder)

    start_really = Snakemake.start
    monkeypatch.setattr(Snakemake, "start", start)
    outcome = run(A)
    (log,) = (store.root / "cluster").rglob("17.log")
    assert outcome.failed[A.key] == (
        "its cluster job ended without a word: out of memory or time, its node lost, or cancelled by hand; "
        f"at work | slurmstepd: Detected 1 oom-kill event (log: {log})"
    )


def test_what_another_run_is_at_work_on_is_waited_for_and_not_handed_over(
    store: Store, events: Events, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
):
    lease, other = plant(store, A.key, ELSEWHERE), make_job("other")

    def other_run_ends(self: ClusterRun) -> None:
        commit(store, A, "by another run")
        lease.unlink()
        self.settle()

    monkeypatch.setattr(ClusterRun, "wait", other_run_ends)
    outcome = run(A, B, other)
    assert sorted(outcome.done) == sorted([A.key, B.key, other.key])
    assert [fields["phase"] for event, _, fields in events if event == "progress"] == [
        "waiting for 1 jobs of another run, in the queue or at work",
        "1 jobs in 1 units, handed to local",  # what needs neither
        "1 jobs in 1 units, handed to local",
    ]
    assert store.get(A.key).provenance == {"started_at": "by another run"}


def test_what_no_job_to_come_needs_gives_its_files_back_and_is_made_again_where_one_does(
    run: Callable[..., Outcome], store: Store, events: Events
):
    outcome = run(A, B, BAD, AFTER, keep="results")  # a stage that writes copies of models
    assert (sorted(outcome.freed), outcome.left) == (sorted([A.key, B.key]), {})
    assert [store.is_released(key) for key in (A.key, B.key)] == [True, True]
    events.clear()
    late = make_job("late", inputs={"x": A.key})
    outcome = run(A, B, late)
    assert (outcome.cached, outcome.done) == ([B.key], [A.key, late.key])  # B counts as done: nobody needs it
    assert [store.holds(key) for key in (A.key, B.key, late.key)] == [True, False, True]


def test_the_head_is_a_run_of_the_store_at_work_on_none_of_its_jobs(
    run: Callable[..., Outcome], store: Store, monkeypatch: pytest.MonkeyPatch
):
    settle, seen = ClusterRun.settle, []
    monkeypatch.setattr(ClusterRun, "settle", lambda self: seen.append(read_runs(store)[0]) or settle(self))
    run(A, B)
    (at_work,) = seen[0]
    assert (at_work.record.keys, at_work.record.request) == ([A.key, B.key], {"tables": ["table-2"]})
    assert (at_work.work, at_work.record.ended_at) == (None, "")
    ((ended,), faults) = read_runs(store)
    assert (ended.record.id, bool(ended.record.ended_at), faults) == (at_work.record.id, True, [])


# The queue of Slurm: jobs that an earlier head left there.


def line(store: Store, unit: str, run: str = "run-1", rule: str = "convert", state: str = "PENDING") -> str:
    return f"12|{state}|{store.root}/cluster/{run}|rule_{rule}_wildcards_{unit}\n"


def test_jobs_of_this_store_are_found_in_the_queue(store: Store):
    unit = "convert-0123456789ab"
    listing = line(store, unit) + "13|RUNNING|/home/else|rule_text_wildcards_answer-0123456789ab\n"
    listing += f"14|RUNNING|{store.root}/cluster/run-1|by hand\n" + "15\n" + line(store, "x; y")
    found = queue.parse(listing, store.root)
    assert found == [Queued(number="12", state="PENDING", unit=unit, folder=store.root / "cluster" / "run-1")]
    assert found[0].keys() == []  # no plan there


def test_a_queued_unit_is_not_handed_over_again(
    store: Store, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
):
    del run  # its settings
    from kit.cluster.folder import write_folder

    handover = Handover(jobs={A.key: A, B.key: B}, hardware=HARDWARE, store=store.root)
    folder = store.root / "cluster" / "run-1"
    units = write_folder(folder, handover)
    monkeypatch.setattr(
        "kit.cluster.following.slurm_queue", lambda *_: queue.parse(line(store, units[0].name), store.root)
    )
    engine = Snakemake(program=Path("/nowhere"), scheduler="slurm")
    found = ClusterRun(handover, store, engine, lambda *_: None, lambda _: None)
    found.begin(ALL)
    assert (found.busy_keys(), found.ready_keys()) == ({A.key}, [])
    shutil.rmtree(folder)
    assert found.ready_keys() == [A.key, B.key]


def test_a_controller_that_does_not_answer_is_asked_again_and_then_named(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho Unable to contact slurm controller >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    pauses: list[float] = []
    with pytest.raises(KitError) as error:
        queue.slurm_queue(store.root, pauses.append)
    assert pauses == [nodes.PAUSE_S] * (nodes.ATTEMPTS - 1)
    assert str(error.value) == (
        "squeue: Unable to contact slurm controller; without it nobody can tell which jobs an earlier run left in the "
        "queue; run this on a host that can submit Slurm jobs"
    )


def test_a_dead_lease_is_no_job_at_work(store: Store):
    plant(store, A.key, ELSEWHERE, age_s=leases.DEAD_S + 30)
    plant(store, B.key, ELSEWHERE)
    assert queue.leased([A.key, B.key, BAD.key], store) == {B.key}


def test_jobs_are_written_with_all_that_their_key_is_made_of(store: Store):
    made: list[Job] = [A, B]
    handover = Handover(jobs={job.key: job for job in made}, hardware=HARDWARE, store=store.root)
    assert [Job.from_json(value).key for value in handover.to_json([])["jobs"].values()] == [A.key, B.key]
