"""Rounds of a run on a cluster: each has a job done, failed or made again, and none is repeated for ever.

A function stands in for Snakemake: it does in the store what a hand-over's jobs would do, and returns an exit code.
"""

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli.jobs import exported_jobs
from kit.cluster.folder import Handover, read_plan
from kit.cluster.following import LATE_S, POLL_S, WAIT_S, ClusterRun, run_on_cluster
from kit.cluster.program import Snakemake
from kit.errors import RequestError
from kit.report.status import StatusReader
from kit.run.execute import MOST_TIMES, Outcome
from kit.stages._keeping import ALL
from kit.store import Job, Store
from kit.store.clearing import release
from tests.cluster.stand_in import HARDWARE, make_job
from tests.cluster.test_leases import ELSEWHERE, commit, plant

LOOKS = round(LATE_S / POLL_S)
"""Looks at a disk that may be late."""
Round = Callable[[Path], int]


class Process:
    """Stands for a Snakemake that is at work for some looks into the store, and then ends."""

    def __init__(self, code: int, looks: int) -> None:
        self.code, self.looks = code, looks
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self.looks -= 1
        self.returncode = None if self.looks >= 0 else self.code
        return self.returncode


class Cluster:
    """Hands jobs over to functions, one a round, and keeps the names of the jobs that each round had."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rounds: list[list[str]] = []
        self.looks = 0
        """Looks into the store while Snakemake is at work."""

    def run(
        self, jobs: list[Job], *rounds: Round, keep: str = ALL, sleep: Callable[[float], None] = lambda _: None
    ) -> Outcome:
        """Run jobs; the last function does all rounds that are left."""

        def start(_: Snakemake, folder: Path) -> Process:
            self.rounds.append([job.params["name"] for job in read_plan(folder / "plan.json").jobs.values()])
            assert len(self.rounds) < 20
            return Process(rounds[min(len(self.rounds), len(rounds)) - 1](folder), self.looks)

        handover = Handover(jobs={job.key: job for job in jobs}, hardware=HARDWARE, store=self.store.root)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Snakemake, "start", start)
            engine = Snakemake(program=Path("/nowhere"), scheduler="local")
            return run_on_cluster(handover, self.store, engine, lambda *_: None, keep=keep, sleep=sleep)

    def do_all(self, folder: Path) -> int:
        """Do the jobs of a hand-over that its nodes would do."""
        for key, job in at_nodes(folder, self.store).items():
            if not self.store.holds(key):
                commit(self.store, job, "made")
        return 0


def at_nodes(folder: Path, store: Store) -> dict[str, Job]:
    """Return the jobs of a hand-over that its nodes have to do, as ``kit job`` finds them."""
    path = folder / "plan.json"
    return exported_jobs(list(read_plan(path).jobs), path, store)[0]


def write_log(folder: Path, job: Job) -> None:
    """Write the log that Slurm keeps of an attempt at a job's unit."""
    units = json.loads((folder / "plan.json").read_text())["units"]
    ((name, unit),) = [(name, unit) for name, unit in units.items() if job.key in unit["keys"]]
    place = folder / "logs" / f"rule_{unit['kind']}" / name
    place.mkdir(parents=True)
    (place / "17.log").write_text("Killed\n", encoding="utf-8")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def cluster(store: Store) -> Cluster:
    return Cluster(store)


A = make_job("a")
B = make_job("b", inputs={"x": A.key})
C = make_job("c", inputs={"x": B.key})
OTHER = make_job("other")


def test_jobs_that_were_not_started_are_known_to_the_status(cluster: Cluster, store: Store):
    seen: dict[str, int] = {}

    def look(folder: Path) -> int:
        seen.update(StatusReader(store).read().counts())
        return cluster.do_all(folder)

    commit(store, OTHER, "before")
    assert cluster.run([A, B, OTHER], look).done == [A.key, B.key]
    assert (seen["waiting"], sum(seen.values())) == (2, 3)


def test_a_wrong_number_of_minutes_is_refused_before_anything_is_handed_over(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("KIT_CHECKPOINT_MINUTES", "often")
    with pytest.raises(RequestError) as error:
        cluster.run([A], cluster.do_all)
    assert str(error.value).startswith("KIT_CHECKPOINT_MINUTES: found 'often', wanted the minutes ")
    assert (cluster.rounds, list((store.root / "jobs").iterdir())) == ([], [])


# Files that another run takes.


def taken(store: Store, *jobs: Job) -> None:
    """Do what another run with ``--keep results`` does to artifacts."""
    for job in jobs:
        release(store, job.key, "--keep results")


def test_a_cached_input_that_another_run_gave_back_is_made_again(cluster: Cluster, store: Store):
    commit(store, A, "before")

    def lose(_: Path) -> int:
        taken(store, A)
        store.record_failure(B, "on node7: x: its files were given back to the disk")
        return 1

    outcome = cluster.run([A, B], lose, cluster.do_all)
    assert cluster.rounds == [["b"], ["a", "b"]]
    assert (outcome.cached, outcome.done, outcome.failed) == ([], [A.key, B.key], {})
    assert outcome.changed == {A.key: ["line.txt"]}


def test_an_input_that_was_removed_is_made_again_with_its_own(cluster: Cluster, store: Store):
    for job in (A, B):
        commit(store, job, "before")

    def lose(_: Path) -> int:
        taken(store, A)
        store.remove(B.key)
        return 1

    outcome = cluster.run([A, B, C], lose, cluster.do_all)
    assert cluster.rounds == [["c"], ["a", "b", "c"]]
    assert (outcome.cached, sorted(outcome.done)) == ([], sorted([A.key, B.key, C.key]))


LOST = {
    "given back": (
        lambda store: taken(store, A),
        "x: {folder}: its files were given back to the disk; `kit job {key}` makes them again",
    ),
    "removed": (lambda store: store.remove(A.key), "x: {folder} was removed; `kit job {key}` makes it again"),
}


@pytest.mark.parametrize("lose, reason", LOST.values(), ids=list(LOST))
def test_an_input_that_is_lost_again_and_again_fails_its_reader(
    lose: Callable[[Store], Any], reason: str, cluster: Cluster, store: Store
):
    commit(store, A, "before")
    cluster.looks = 1  # A is seen as done while its reader waits

    def make_and_lose(_: Path) -> int:
        if not store.holds(A.key):
            commit(store, A, "again")
        lost.append(1)
        return 1

    def settle(self: ClusterRun) -> None:
        settled(self)
        if lost:
            lost.clear()
            lose(store)

    settled, lost = ClusterRun.settle, list[int]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClusterRun, "settle", settle)
        outcome = cluster.run([A, B, C], make_and_lose)
    assert cluster.rounds == [["b", "c"]] + [["a", "b", "c"]] * MOST_TIMES
    assert outcome.failed == {B.key: reason.format(folder=store.root / "artifacts" / A.key, key=A.key[:12])}
    assert (outcome.blocked, store.failure(B.key)) == ({C.key: B.key}, outcome.failed[B.key])


def test_what_another_run_made_used_and_gave_back_is_done(cluster: Cluster, store: Store):
    commit(store, A, "before")
    taken(store, A)

    def elsewhere(folder: Path) -> int:
        assert list(at_nodes(folder, store)) == [A.key, B.key]
        commit(store, B, "by another run, which made A and gave it back again")
        return 0

    outcome = cluster.run([A, B], elsewhere)
    assert (sorted(outcome.done), outcome.failed) == (sorted([A.key, B.key]), {})


def test_what_is_made_again_before_its_reader_can_run_is_made_once(cluster: Cluster, store: Store, tmp_path: Path):
    both = make_job("both", inputs={"x": A.key, "y": OTHER.key})
    commit(store, A, "before")
    taken(store, A)
    lease = plant(store, OTHER.key, ELSEWHERE)
    plans: list[bytes] = []

    def do(folder: Path) -> int:
        plans.append((folder / "plan.json").read_bytes())
        return cluster.do_all(folder)

    def other_run_ends(seconds: float) -> None:
        if seconds == WAIT_S:
            commit(store, OTHER, "by another run")
            lease.unlink()

    outcome = cluster.run([A, OTHER, both], do, sleep=other_run_ends)
    assert (cluster.rounds, outcome.failed) == ([["a"], ["both"]], {})
    taken(store, A)
    late = tmp_path / "late"  # an attempt of the first round that starts when all is over
    late.mkdir()
    (late / "plan.json").write_bytes(plans[0])
    assert at_nodes(late, store) == {}


def test_where_the_disk_has_no_room_for_all_the_jobs_run_in_waves(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
):
    # two models of 10 bytes, each read by one job that needs no disk: 20 bytes at the peak, 10 one after the other
    models = [make_job(name) for name in ("model-1", "model-2")]
    for model in models:
        model.resources["disk_bytes"] = 10
    reads = [make_job(f"reads-{number}", "select", {"x": model.key}) for number, model in enumerate(models, 1)]
    monkeypatch.setattr("kit.cluster.following.free_bytes", lambda _: 15)
    assert cluster.run([*models, *reads], cluster.do_all, keep="results").failed == {}
    assert cluster.rounds == [["model-1", "reads-1"], ["model-2", "reads-2"]]


# Jobs that end without a word, disks that show things late or do not answer, and other runs.

WITHOUT_A_WORD = (
    "its cluster job ended without a word: out of memory or time, its node lost, or cancelled by hand; Killed"
)


def killed(folder: Path, job: Job) -> int:
    """Do what Slurm and Snakemake do with a job that is killed at each attempt."""
    write_log(folder, job)
    return 1


def test_what_was_killed_fails_in_the_round_in_which_another_job_was_done(cluster: Cluster, store: Store):
    def half(folder: Path) -> int:
        commit(store, A, "made")
        return killed(folder, OTHER)

    outcome = cluster.run([A, OTHER], half)
    assert (outcome.done, list(outcome.failed), len(cluster.rounds)) == ([A.key], [OTHER.key], 1)
    assert outcome.failed[OTHER.key].startswith(WITHOUT_A_WORD)


def test_the_lease_of_a_killed_job_is_waited_for_and_the_job_has_failed(cluster: Cluster, store: Store):
    leases: list[Path] = []

    def kill(folder: Path) -> int:
        leases.append(plant(store, A.key, ELSEWHERE))
        return killed(folder, A)

    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) > LOOKS:  # nobody renews it
            os.utime(leases[0], ns=(0, 0))

    looks: list[int] = []
    outcome = cluster.run([A], kill, sleep=sleep)
    assert (len(cluster.rounds), len(looks)) == (1, LOOKS + 1)
    assert outcome.failed[A.key].startswith(WITHOUT_A_WORD)


def test_a_job_that_gave_way_to_another_run_is_waited_for_and_its_neighbour_handed_over_again(
    cluster: Cluster, store: Store
):
    model = make_job("model")
    busy, neighbour = (make_job(name, "answer", {"model": model.key}, world=2) for name in ("busy", "neighbour"))
    commit(store, model, "before")
    leases: list[Path] = []

    def give_way(folder: Path) -> int:
        leases.append(plant(store, busy.key, ELSEWHERE))
        write_log(folder, busy)
        return 1

    def sleep(seconds: float) -> None:
        if seconds == WAIT_S:
            commit(store, busy, "by another run")
            leases[0].unlink()
        elif leases:
            os.utime(leases[0])

    outcome = cluster.run([model, busy, neighbour], give_way, cluster.do_all, sleep=sleep)
    assert cluster.rounds == [["busy", "neighbour"], ["neighbour"]]
    assert (sorted(outcome.done), outcome.failed) == (sorted([busy.key, neighbour.key]), {})


def test_what_a_networks_disk_shows_late_is_done(cluster: Cluster, store: Store):
    def sleep(_: float) -> None:
        looks.append(1)
        if len(looks) == LOOKS:
            commit(store, A, "on another host")

    looks: list[int] = []
    outcome = cluster.run([A], lambda _: 0, sleep=sleep)
    assert (outcome.done, outcome.failed, len(cluster.rounds)) == ([A.key], {}, 1)


def test_a_reason_that_a_networks_disk_shows_late_is_the_reason(cluster: Cluster, store: Store):
    outcome = cluster.run([A], lambda folder: killed(folder, A), sleep=lambda _: store.record_failure(A, "too long"))
    assert outcome.failed == {A.key: "too long"}


def test_what_is_not_there_a_minute_after_it_was_done_has_failed(cluster: Cluster, store: Store):
    looks: list[float] = []
    outcome = cluster.run([A], lambda _: 0, sleep=looks.append)
    (folder,) = (store.root / "cluster").iterdir()
    log = folder / "snakemake.log"
    reason = f"snakemake ended well, and the store has no artifact of it: no log (log: {log})"
    assert (outcome.failed, looks) == ({A.key: reason}, [POLL_S] * LOOKS)


def stale(monkeypatch: pytest.MonkeyPatch, looks: int) -> None:
    """Have a network's disk not answer at the first looks for artifacts while Snakemake is at work and afterwards."""
    settled, left = ClusterRun.settle, list(range(looks + 1))

    def settle(self: ClusterRun) -> None:
        if left and left.pop() < looks:  # the first look comes before the hand-over
            raise OSError(errno.ESTALE, "Stale file handle")
        settled(self)

    monkeypatch.setattr(ClusterRun, "settle", settle)
    monkeypatch.setattr("kit.cluster.following.end", lambda _: pytest.fail("Snakemake was ended, with its jobs"))


def test_a_disk_that_does_not_answer_for_a_while_ends_nothing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    stale(monkeypatch, 10)
    cluster.looks = 5
    assert cluster.run([A], cluster.do_all).done == [A.key]


def test_a_disk_that_does_not_answer_any_more_ends_the_run_after_snakemake(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
):
    stale(monkeypatch, 1000)
    cluster.looks = 5
    with pytest.raises(OSError, match="Stale file handle"):
        cluster.run([A], cluster.do_all)


def test_a_damaged_head_fails_its_job_and_no_other(cluster: Cluster, store: Store):
    def damage(folder: Path) -> int:
        cluster.do_all(folder)
        (store.root / "artifacts" / A.key / "artifact.json").write_text("{half", encoding="utf-8")
        return 0

    outcome = cluster.run([A, OTHER], damage)
    assert (outcome.done, list(outcome.failed), len(cluster.rounds)) == ([OTHER.key], [A.key], 1)
    assert outcome.failed[A.key].startswith(f"store {store.root}: the head of {A.key[:12]} can't be read: ")
