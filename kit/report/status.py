"""The state of a store's jobs (done, running, waiting, failed, blocked, lost), read from the store alone.

A job is

- ``done`` where its artifact is there, though it may have given its files back;
- ``running`` where a run that gives signs of life says that it is at work on it;
- ``failed`` where its last attempt left a reason, and no later run is to try it again or was lost at it;
- ``lost`` where the run that was at work on it last is gone without a word: killed, or its machine is;
- ``blocked`` where it needs a job that failed, at any distance;
- ``waiting`` else, as is one that gave its files back where another that is not done needs them.

Hours left are the plan's estimates, corrected by what the finished jobs took: per stage by the ratio of the sums of
measured and estimated seconds, for a stage of which nothing is finished by the ratio of all stages, and by 1 where
there is none. A job that went on from what an earlier attempt had kept tells nothing, as its last attempt alone was
timed. A job without an estimate is taken to last as long as the finished jobs of its stage, on average. A running job
is left what its rows take at its present rate; of a job that keeps rows in parts the other rows are left. Time left is
the larger of two bounds: all seconds left, shared by as many jobs as are running now, and the longest chain of jobs
that need each other. Jobs whose time nothing tells are counted, and add no seconds.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import KitError
from kit.files.parts import NAME as PART
from kit.run.needs import to_run
from kit.run.provenance import gpus_held
from kit.run.recording import is_at_work
from kit.store import Artifact, Job, Store
from kit.store.kept import key_of
from kit.store.runs import Run, Work, read_runs

STATES = ("done", "running", "waiting", "failed", "blocked", "lost")
Clock = Callable[[], float]


@dataclass(slots=True, kw_only=True)
class JobStatus:
    """One job of the store: its state, and what it took or is expected to take."""

    key: str
    job: Job
    state: str
    """One of :data:`STATES`."""
    rows: int = 0
    """Rows that are done: those of the artifact, or those counted while it runs."""
    total: int = 0
    """Rows that are expected, or a trainer's steps; 0 where nobody knows."""
    spent_s: float = 0.0
    """Seconds that it took, or has been running for; of one that was stopped and went on, its last attempt's."""
    resumed: bool = False
    """Whether it went on from what an earlier attempt had kept, whose seconds nobody knows."""
    left_s: float = 0.0
    """Seconds that it is expected to take still; 0 where nothing tells them."""
    foretold: bool = True
    """Whether something tells how long it takes: an estimate, its rate, or finished jobs of its stage."""
    gpus: int = 0
    """GPUs that it holds while it runs."""
    gpu_spent_s: float = 0.0
    """GPUs times seconds that it took so far."""
    work: Work | None = None
    """Record of its progress, where it runs or was lost."""
    run: Run | None = None
    """The run that is at work on it, or was when it was lost."""
    silent_s: float = 0.0
    """Seconds since that run's last sign of life."""
    kept: int = 0
    """Rows that it keeps in parts, from which it goes on."""
    reason: str = ""
    """The reason why it failed."""
    needs: str = ""
    """Key of the failed job that a blocked one needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The jobs of some runs, or all jobs of a store, at one moment."""

    store: Path
    jobs: list[JobStatus]
    """Each after its inputs."""
    runs: list[Run]
    """The runs whose jobs these are, the last one first; none where they are all jobs of the store."""
    alive: frozenset[str]
    """Ids of the runs that give signs of life."""
    faults: list[str]
    """A sentence for each file of the store that can't be read."""
    now: float
    """Time of the reading, seconds since 1970."""

    def of(self, state: str) -> list[JobStatus]:
        """Return the jobs of one state."""
        return [one for one in self.jobs if one.state == state]

    def counts(self) -> dict[str, int]:
        """Return the number of jobs of each state."""
        found = Counter(one.state for one in self.jobs)
        return {state: found[state] for state in STATES}

    def rows_per_s(self) -> float:
        """Return the rows that all running jobs together make in a second."""
        return sum(one.work.rows_per_s for one in self.of("running") if one.work)

    def to_come(self) -> list[JobStatus]:
        """Return the jobs that are not done and that the same command would do: all but failed and blocked ones."""
        return [one for one in self.jobs if one.state in ("running", "waiting", "lost")]

    def untold(self) -> int:
        """Return the number of jobs to come of which nothing tells how long they take."""
        return sum(not one.foretold for one in self.to_come())

    def spent_h(self) -> tuple[float, float]:
        """Return the hours that all jobs took so far, and the GPU-hours."""
        return sum(one.spent_s for one in self.jobs) / 3600, sum(one.gpu_spent_s for one in self.jobs) / 3600

    def left_h(self) -> tuple[float, float]:
        """Return the hours that the jobs to come are expected to take, and the GPU-hours."""
        left = self.to_come()
        return sum(one.left_s for one in left) / 3600, sum(one.left_s * one.gpus for one in left) / 3600

    def seconds_left(self) -> float:
        """Return the expected time until all jobs to come are done, with as many at work as now, one at least."""
        left = self.to_come()
        longest: dict[str, float] = {}
        for one in left:
            before = [longest[needed] for needed in one.job.inputs.values() if needed in longest]
            longest[one.key] = one.left_s + max(before, default=0.0)
        together = sum(one.left_s for one in left) / max(1, len(self.of("running")))
        return max([together, *longest.values()])


def _inputs_first(jobs: Mapping[str, Job]) -> Iterable[str]:
    """Yield keys so that each comes after those of its inputs that are among them."""
    seen: set[str] = set()
    stack = list(jobs)[::-1]
    while stack:
        key = stack.pop()
        if key in seen:
            continue
        needed = [other for other in jobs[key].inputs.values() if other in jobs and other not in seen]
        if needed:
            stack += [key, *needed]
            continue
        seen.add(key)
        yield key


@dataclass(slots=True)
class StatusReader:
    """A reader of one store's status, which keeps what can't change between two readings: heads and jobs."""

    store: Store
    clock: Clock = time.time
    heads: dict[str, Artifact] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)

    def read(self, *, everything: bool = False) -> Status:
        """Return the status of the runs at work and of the last run.

        Args:
            everything: whether all jobs of the store are looked at, whichever run planned them.
        """
        now = self.clock()
        runs, faults = read_runs(self.store)
        alive = [run for run in runs if is_at_work(run, now)]
        keys, scope = self._keys(runs, alive, everything=everything)
        parts = self._parts()
        jobs = self._known(keys, faults)
        unfinished = set(to_run(jobs, self.store))
        found: dict[str, JobStatus] = {}
        for key in jobs:
            try:
                found[key] = self._job_status(key, runs, alive, now, unfinished=key in unfinished)
            except KitError as error:
                faults.append(str(error))
        _block(found)
        _expect(found, parts)
        return Status(
            store=self.store.root,
            jobs=list(found.values()),
            runs=scope,
            alive=frozenset(run.record.id for run in alive),
            faults=faults,
            now=now,
        )

    def _keys(self, runs: list[Run], alive: list[Run], *, everything: bool) -> tuple[list[str], list[Run]]:
        """Return the keys to look at, and the runs whose they are: those at work, and the last that was a command's.

        A job that somebody runs by its key alone is shown with the run that planned it; where there is none, all jobs
        of the store are.
        """
        asked = [run for run in runs if run.record.request]
        scope = {run.record.id: run for run in [*alive, *asked[:1]] if run.record.request}
        for lone in (run for run in alive if not run.record.request):
            planned = [run for run in asked if set(lone.record.keys) <= set(run.record.keys)]
            everything |= not planned
            scope |= {run.record.id: run for run in planned[:1]}
        if everything or not scope:
            return self._all_keys(), []
        shown = [run for run in runs if run.record.id in scope]
        return list(dict.fromkeys(key for run in shown for key in run.record.keys)), shown

    def _all_keys(self) -> list[str]:
        """Return the keys of all jobs and artifacts of the store."""
        planned: list[str] = []
        with suppress(FileNotFoundError), self.store.inside("jobs") as folder:
            planned = [name.removesuffix(".json") for name in folder.names() if name.endswith(".json")]
        return sorted({name for name in planned if len(name) == 64} | set(self.store.committed()))

    def _parts(self) -> dict[str, int]:
        """Return the number of rows that jobs keep in parts, by key: those of the call of which most are kept."""
        calls: dict[str, dict[int, int]] = {}
        with suppress(FileNotFoundError), self.store.inside("parts") as folder:
            for name in folder.names():
                if match := PART.fullmatch(name):
                    calls.setdefault(name[: match.start(1)], {})[int(match[1])] = int(match[2])
        found: dict[str, int] = {}
        for call, parts in calls.items():
            rows = 0
            while more := parts.get(rows):  # in order, as they are taken
                rows += more
            found[key_of(call)] = max(rows, found.get(key_of(call), 0))
        return found

    def _known(self, keys: Iterable[str], faults: list[str]) -> dict[str, Job]:
        """Return the jobs of these keys, each after its inputs; what can't be read becomes a sentence."""
        found: dict[str, Job] = {}
        for key in keys:
            try:
                found[key] = self._head(key).job if self.store.has(key) else self._job(key)
            except KitError as error:
                faults.append(str(error))
        return {key: found[key] for key in _inputs_first(found)}

    def _job_status(self, key: str, runs: list[Run], alive: list[Run], now: float, *, unfinished: bool) -> JobStatus:
        """Return the state of one job by itself; whether it is blocked the others tell.

        Args:
            key: of the job.
            runs: all runs of the store.
            alive: those that give signs of life.
            now: the present time.
            unfinished: whether it has to run: its artifact is not there, or gave back files that others need.

        Raises:
            KitError: its head, its job or its failure can't be read.
        """
        at_work = next((run for run in alive if run.work and run.work.key == key), None)
        if self.store.holds(key) or not (unfinished or at_work):
            return _done(self._head(key))
        job = self._job(key)
        status = JobStatus(key=key, job=job, state="waiting", gpus=gpus_held(job))
        status.total = _count(job.resources.get("rows"))
        last = next((run for run in runs if key in run.record.keys), None)
        gone = last if last and last not in alive and not last.record.ended_at else None
        lost = gone if gone and gone.work and gone.work.key == key else None
        tried = [run for run in [*alive, lost] if run and key in run.record.keys]
        if at_work and at_work.work:
            _take_work(status, at_work, at_work.work, "running", now)
        elif reason := self._failure(key, tried):
            status.state, status.reason = "failed", reason
        elif lost and lost.work:
            _take_work(status, lost, lost.work, "lost", now)
        return status

    def _head(self, key: str) -> Artifact:
        """Return a head, kept unless its artifact gave its files back: it may be made again."""
        if self.store.is_released(key):
            self.heads.pop(key, None)
            return self.store.get(key)
        if key not in self.heads:
            self.heads[key] = self.store.get(key)
        return self.heads[key]

    def _job(self, key: str) -> Job:
        if key not in self.jobs:
            self.jobs[key] = self.store.job(key)
        return self.jobs[key]

    def _failure(self, key: str, tried: Iterable[Run]) -> str:
        """Return the reason why a job failed; empty if it did not, or one of the runs that tried it began later."""
        reason = self.store.failure(key)
        if reason is None:
            return ""
        with suppress(OSError, KitError), self.store.inside("failed") as folder:
            failed_at = folder.stat(f"{key}.json").st_mtime
            if any(run.begun_at > failed_at for run in tried):
                return ""
        return reason or "no reason was kept"


def _done(artifact: Artifact) -> JobStatus:
    """Return the status of a job whose artifact is there."""
    found, job = artifact.provenance, artifact.job
    return JobStatus(
        key=artifact.key,
        job=job,
        state="done",
        rows=artifact.rows,
        total=artifact.rows,
        spent_s=_number(found.get("wall_s")),
        resumed=found.get("resumed") is True,
        gpus=_count(found.get("gpus_held")),
        gpu_spent_s=_number(found.get("gpu_held_s")),
    )


def _take_work(status: JobStatus, run: Run, work: Work, state: str, now: float) -> None:
    """Take over what a run said last of the job it is at work on, or was."""
    status.state, status.run, status.work = state, run, work
    status.silent_s = max(0.0, now - run.seen_at)
    status.spent_s = work.job_s + (status.silent_s if state == "running" else 0.0)
    status.gpu_spent_s = status.gpus * status.spent_s
    if work.total:
        status.rows, status.total = work.done, work.total


def _block(found: Mapping[str, JobStatus]) -> None:
    """Mark the waiting jobs that need a failed one, at any distance."""
    for one in found.values():  # each after its inputs
        for needed in one.job.inputs.values() if one.state == "waiting" else ():
            other = found.get(needed)
            if other and other.state in ("failed", "blocked"):
                one.state, one.needs = "blocked", other.needs or needed
                break


def _expect(found: Mapping[str, JobStatus], parts: Mapping[str, int]) -> None:
    """Set the seconds that each job that is not done is expected to take still, and the rows that it keeps in parts."""
    expected = Expected.of(found.values())
    for key, one in found.items():
        if one.state == "done":
            continue
        told = expected.seconds(one.job)
        seconds = told or 0.0
        one.kept = parts.get(key, 0)
        if rows := _count(one.job.resources.get("rows")):
            seconds *= max(0.0, 1 - one.kept / rows)
        if one.state == "running" and one.work:
            at_rate = one.work.seconds_left()
            told = at_rate if at_rate is not None else told
            seconds = seconds - one.spent_s if at_rate is None else at_rate - one.silent_s
        one.left_s, one.foretold = max(0.0, seconds), told is not None


@dataclass(frozen=True, slots=True)
class Expected:
    """Expected seconds of jobs: ratios of measured to estimated ones, and means where nothing was estimated."""

    ratios: Mapping[str, float]
    """Stage -> ratio over its finished jobs that have an estimate."""
    overall: float
    """The ratio over all finished jobs that have one; 1 where there is none."""
    means: Mapping[str, float]
    """Stage -> mean seconds of its finished jobs that have no estimate."""

    @classmethod
    def of(cls, jobs: Iterable[JobStatus]) -> "Expected":
        """Return what the finished jobs among these tell."""
        measured: dict[str, float] = {}
        estimated: dict[str, float] = {}
        alone: dict[str, list[float]] = {}
        for one in jobs:
            if one.state != "done" or one.spent_s <= 0 or one.resumed:
                continue
            stage = one.job.stage
            if guess := _number(one.job.resources.get("wall_s")):
                measured[stage] = measured.get(stage, 0.0) + one.spent_s
                estimated[stage] = estimated.get(stage, 0.0) + guess
            else:
                alone.setdefault(stage, []).append(one.spent_s)
        total = sum(estimated.values())
        return cls(
            ratios={stage: measured[stage] / estimated[stage] for stage in estimated},
            overall=sum(measured.values()) / total if total else 1.0,
            means={stage: sum(seconds) / len(seconds) for stage, seconds in alone.items()},
        )

    def seconds(self, job: Job) -> float | None:
        """Return how long a job is expected to take from its beginning; None where nothing tells it."""
        if guess := _number(job.resources.get("wall_s")):
            return guess * self.ratios.get(job.stage, self.overall)
        return self.means.get(job.stage)


def _number(value: Any) -> float:
    """Return a number of a head or a job, 0 for anything else: others may have written it."""
    return float(value) if type(value) in (int, float) and 0 <= value < 1e15 else 0.0


def _count(value: Any) -> int:
    return int(_number(value))
