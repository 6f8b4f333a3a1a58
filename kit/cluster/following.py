"""A run on a cluster: hand jobs over, follow them in the store, and go on until each is done or has failed.

The store alone says what is done. Jobs that an earlier run left in the queue, or another one is at work on, are waited
for and not handed over again. Where a unit failed, what does not need its failed jobs is handed over once more. Each
hand-over has a job done, failed or made again, of which there is an end, or finds another run at work.
"""

import contextlib
import math
import os
import secrets
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from kit.cluster.endings import changed_files, failed_at, failure_reason, gone_reason, logs_of, lost_reason
from kit.cluster.folder import Handover, write_folder
from kit.cluster.forgotten import Watch
from kit.cluster.program import Snakemake, end
from kit.cluster.queue import RUNS, leased, slurm_queue
from kit.cluster.units import Unit
from kit.errors import KitError
from kit.run.asking import check_servers
from kit.run.disk import free_bytes, next_wave, task_of
from kit.run.elsewhere import at_work
from kit.run.execute import MOST_TIMES, Listener, Outcome, blocking_key
from kit.run.keeping import Keeping
from kit.run.needs import to_run
from kit.run.recording import recorded
from kit.stages._keeping import ALL
from kit.store import Artifact, Job, Store
from kit.training.checkpoints import minutes_between

POLL_S = 2.0
"""Seconds between two looks into the store."""
WAIT_S = 15.0
"""Seconds between two looks at jobs of another run, while nothing else is left to do."""
LATE_S = 60.0
"""Seconds that a network's disk may be late with what other hosts wrote, or not answer."""

Found = TypeVar("Found")


def run_on_cluster(
    handover: Handover,
    store: Store,
    snakemake: Snakemake,
    listen: Listener,
    *,
    keep: str = ALL,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Run the jobs that the store lacks on a cluster; what is committed stays, however this process ends.

    Args:
        handover: all jobs of the plan.
        store: the store, on a disk that every host of the cluster has at the same path.
        snakemake: Snakemake and its profile.
        listen: is told how each job ends, as by :func:`kit.run.execute.execute`, and in its event ``progress`` what is
            handed over or waited for.
        keep: rule by which artifacts that no job to come needs give their files back (:mod:`kit.stages._keeping`).
        sleep: waits for some seconds.

    Raises:
        RequestError: a server's key is missing, or a job can't be spread over the cluster's nodes, or the minutes
            between checkpoints are no number.
        KitError: the store's disk does not answer for a minute, or Slurm for some.
        OSError: likewise.
    """
    started = time.monotonic()
    minutes_between(os.environ)
    run = ClusterRun(handover, store, snakemake, listen, sleep)
    run.begin(keep)
    check_servers(handover.jobs[key] for key in run.pending)
    with recorded(handover.jobs if run.pending else (), store, handover.request, listen):
        run.follow_all()
    run.outcome.wall_s = time.monotonic() - started
    return run.outcome


class ClusterRun:
    """The state of one run: jobs that are pending, and how the others ended."""

    def __init__(
        self,
        handover: Handover,
        store: Store,
        snakemake: Snakemake,
        listen: Listener,
        sleep: Callable[[float], None],
    ) -> None:
        self.handover = handover
        self.jobs: Mapping[str, Job] = handover.jobs
        self.store = store
        self.snakemake = snakemake
        self.listen = listen
        self.sleep = sleep
        self.pending: dict[str, Job] = {}
        self.outcome = Outcome()
        self.former: dict[str, Artifact] = {}
        """key -> head of an artifact that is made again, because a job needs the files that it gave back."""
        self.again: Counter[str] = Counter()
        """key -> number of times that it was to be made again, because another run took its files."""
        self.damaged: dict[str, str] = {}
        """key -> why the head of a pending job's artifact can't be read."""
        self.keeping = Keeping.begin({}, store, ALL, (), ())
        self.waited = False
        """Whether it was said that another run's jobs are waited for."""

    def begin(self, keep: str) -> None:
        """Record the jobs that are done as cached and the others as pending, and give back what none of them needs."""
        unfinished = set(to_run(self.jobs, self.store))
        for key, job in self.jobs.items():
            if key in unfinished:
                self.add(key)
            else:
                self.outcome.cached.append(key)
                self.listen("cached", job, {"rows": self.store.get(key).rows})
        self.keeping = Keeping.begin(self.jobs, self.store, keep, unfinished, ())
        self.outcome.freed, self.outcome.left = self.keeping.freed, self.keeping.left

    def add(self, key: str) -> None:
        """Record a job as pending, in the store too, with the head of an artifact that gave its files back."""
        self.pending[key] = self.jobs[key]
        self.store.plan(self.jobs[key])
        with contextlib.suppress(KitError):  # without its head, or of a damaged one, nothing can be compared
            self.former.setdefault(key, self.store.get(key))

    def follow_all(self) -> None:
        """Hand jobs over and wait for them, until each is done, has failed, or needs one that failed."""
        while self.open_keys():
            self.make_again()
            if ready := self.ready_keys():
                self.hand_over(ready)
            elif self.open_keys():
                self.wait()
        self.report_blocked()

    def make_again(self) -> None:
        """Add the done jobs whose files another run took while an open job needs them; fail what lost them too often.

        What has been added is looked at in its turn: its own inputs may be gone as well.
        """
        needed, ended = set(self.open_keys()), self.pending.keys() | self.outcome.failed.keys()
        added, lacking = set[str](), dict[str, str]()
        for key in reversed(list(self.jobs)):
            if key not in needed:
                continue
            inputs = self.jobs[key].inputs.items()
            gone = [(role, one) for role, one in inputs if not (one in ended or self.store.holds(one))]
            if any(one not in self.jobs or self.again[one] >= MOST_TIMES for _, one in gone):
                lacking[key] = gone_reason(self.store, gone)
                continue
            added.update(one for _, one in gone)
            needed.update(one for _, one in gone)
        for key in added:
            self.again[key] += 1
            self.add(key)
            self.keeping.needs.add(key)
            for done in (self.outcome.cached, self.outcome.done):
                done[:] = [one for one in done if one != key]
        self.pending = {key: job for key, job in self.jobs.items() if key in self.pending}
        for key, reason in lacking.items():
            self.store.record_failure(self.jobs[key], reason)
            self.fail(key, reason)

    def open_keys(self) -> list[str]:
        """Return the pending jobs that do not need a failed one, in the plan's order."""
        return self.without_descendants(self.outcome.failed)

    def without_descendants(self, keys: Iterable[str]) -> list[str]:
        """Return the pending jobs that are none of these, and need none of them at any distance."""
        left_out = set(keys)
        found = []
        for key, job in self.pending.items():  # each after its inputs
            if key in left_out or left_out.intersection(job.inputs.values()):
                left_out.add(key)
            else:
                found.append(key)
        return found

    def patiently(self, look: Callable[[], Found]) -> Found:
        """Return what a look into the store finds; a disk that does not answer is asked again for a minute."""
        for _ in range(math.ceil(LATE_S / POLL_S)):
            try:
                return look()
            except (OSError, KitError):
                self.sleep(POLL_S)
        return look()

    def queued_keys(self) -> set[str]:
        """Return the keys of pending jobs that wait or run in the cluster's queue."""
        found = set[str]()
        if self.snakemake.scheduler == "slurm":
            for queued in slurm_queue(self.store.root, self.sleep):
                found.update(queued.keys())
        return found & self.pending.keys()

    def busy_keys(self) -> set[str]:
        """Return the keys of jobs that are in the cluster's queue already, or that a process has a lease of."""
        return self.patiently(lambda: leased(self.pending, self.store)) | self.queued_keys()

    def ready_keys(self) -> list[str]:
        """Return the jobs that can be handed over now: nobody has them or what they need, and the disk has room."""
        busy = self.busy_keys()
        self.patiently(self.settle)  # what ended between the two looks is no longer pending
        ready = self.without_descendants({*busy, *self.outcome.failed})
        if busy and not self.waited:
            self.waited = True
            self.say(busy, f"waiting for {len(busy)} jobs of another run, in the queue or at work")
        if not ready or self.keeping.rule == ALL:
            return ready
        task = task_of(self.jobs, self.store, self.keeping.rule)
        return next_wave(replace(task, unfinished=tuple(ready)), free_bytes(self.store))

    def say(self, keys: Iterable[str], phase: str) -> None:
        """Report what happens to some jobs, as the phase of the first of them."""
        if first := next((key for key in self.pending if key in set(keys)), None):
            self.listen("progress", self.pending[first], {"done": 0, "total": 0, "tokens": 0, "phase": phase})

    def wait(self) -> None:
        """Wait a while for jobs that another run has, and take over how they ended."""
        self.sleep(WAIT_S)
        self.patiently(self.settle)

    def settle(self) -> None:
        """Record the pending jobs that the store has now as done.

        One that another run made, and whose files are gone again as nobody needs them, is done too.
        """
        with self.store.inside("artifacts") as folder:
            names = set(folder.names())
        self.damaged.clear()
        for key in [key for key in self.pending if key in names and self.store.holds(key)]:
            self.finish(key)
        read = {needed for job in self.pending.values() for needed in job.inputs.values()}
        for key in [key for key in self.pending if key in names and key not in read and self.store.is_released(key)]:
            self.finish(key)

    def finish(self, key: str) -> None:
        """Record a pending job as done; one whose head can't be read stays pending."""
        try:
            artifact = self.store.get(key)
        except (OSError, KitError) as error:
            self.damaged[key] = str(error)
            return
        job = self.pending.pop(key)
        self.outcome.done.append(key)
        if (former := self.former.pop(key, None)) and (names := changed_files(former, artifact)):
            self.outcome.changed[key] = names
        self.listen("done", job, {"rows": artifact.rows, "seconds": float(artifact.provenance.get("wall_s", 0))})
        self.keeping.finish(key)

    def hand_over(self, keys: list[str]) -> None:
        """Hand jobs to Snakemake, follow them until it ends, and record which of them failed."""
        folder = self.store.root / RUNS / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        jobs = {key: self.pending[key] for key in keys}
        units = write_folder(folder, replace(self.handover, jobs=jobs, again=self.read_elsewhere(keys)))
        words = {key: failed_at(self.store, key) for key in keys}
        self.say(keys, f"{len(keys)} jobs in {len(units)} units, handed to {self.snakemake.scheduler}")
        code = self.follow(folder)
        self.take_words(words)
        if code is not None or self.pending.keys() >= set(keys):
            self.fail_lost(units, words, folder, code)
        if set(keys).issubset(self.outcome.done):
            shutil.rmtree(folder, ignore_errors=True)

    def read_elsewhere(self, keys: Iterable[str]) -> dict[str, list[str]]:
        """Return which of these jobs gave their files back and are read by pending jobs that are none of these.

        Returns:
            key -> keys of those readers.
        """
        found = {key: list[str]() for key in keys if self.store.has(key)}
        for reader in self.pending.keys() - set(keys):
            for needed in found.keys() & set(self.pending[reader].inputs.values()):
                found[needed].append(reader)
        return {key: sorted(readers) for key, readers in found.items() if readers}

    def follow(self, folder: Path) -> int | None:
        """Start Snakemake in a folder and look into the store until it ends.

        Returns:
            its exit code; None where it had forgotten its jobs and was ended.
        """
        watch = Watch(folder=folder, store=self.store, sleep=self.sleep)
        forgotten = False
        process = self.snakemake.start(folder)
        try:
            while process.poll() is None and not forgotten:
                self.sleep(POLL_S)
                with contextlib.suppress(OSError, KitError):  # the next look may find more
                    self.settle()
                forgotten = self.snakemake.scheduler == "slurm" and watch.forgotten(self.pending.keys(), POLL_S)
            if forgotten:
                self.say(
                    self.pending, "nothing is queued or at work any more, and Snakemake waits; it is started again"
                )
                end(process)
        except BaseException:
            end(process)
            raise
        self.patiently(self.settle)
        return None if forgotten else process.returncode

    def fail(self, key: str, reason: str) -> None:
        """Record a pending job as failed and report its reason."""
        job = self.pending.pop(key)
        self.outcome.failed[key] = reason
        self.listen("failed", job, {"reason": reason})

    def could_run(self, key: str) -> bool:
        """Return whether a job is pending and all that it reads is there."""
        return key in self.pending and all(map(self.store.holds, self.pending[key].inputs.values()))

    def take_words(self, words: Mapping[str, int | None]) -> None:
        """Record the jobs that left a reason since they were handed over as failed.

        Where an input is gone, that was the reason; it is made again, and the job with it.

        Args:
            words: key -> when its failure was recorded before.
        """
        for key, before in words.items():
            if self.could_run(key) and failed_at(self.store, key) != before:
                self.fail(key, failure_reason(self.store, key))

    def lost_keys(self, units: Iterable[Unit], folder: Path, code: int | None) -> dict[str, Unit]:
        """Return the jobs of a hand-over that could have run and left nothing, with their units.

        Where Snakemake failed, units that it did not start are among them only if the hand-over changed nothing: else
        the next may start them.
        """
        idle = not code or all(key in self.pending for unit in units for key in unit.keys)
        found = dict[str, Unit]()
        for unit in units:
            ran = idle or bool(logs_of(unit, folder))
            found |= {key: unit for key in unit.keys if (ran and self.could_run(key)) or key in self.damaged}
        return found

    def fail_lost(self, units: list[Unit], words: Mapping[str, int | None], folder: Path, code: int | None) -> None:
        """Record the jobs that left nothing as failed, once a late disk and a dead process's lease have had their time.

        Jobs of a unit of which another run has one are left: the unit gave way to that run.
        """
        for _ in range(math.ceil(LATE_S / POLL_S)):
            if not self.lost_keys(units, folder, code):
                return
            self.sleep(POLL_S)
            self.look_again(words)
        busy = self.still_at_work(key for unit in self.lost_keys(units, folder, code).values() for key in unit.keys)
        self.look_again(words)
        for key, unit in self.lost_keys(units, folder, code).items():
            if busy.intersection(unit.keys) or (busy and not logs_of(unit, folder)):
                continue
            reason = self.damaged.get(key) or lost_reason(unit, folder, code)
            self.store.record_failure(self.pending[key], reason)
            self.fail(key, reason)

    def look_again(self, words: Mapping[str, int | None]) -> None:
        """Take over what other hosts wrote in the meantime: artifacts and reasons."""
        self.patiently(self.settle)
        self.take_words(words)

    def still_at_work(self, keys: Iterable[str]) -> set[str]:
        """Return the jobs among these that are in the queue or that another run is at work on.

        A killed process leaves a lease that looks alive for two minutes: it is waited for until it is renewed or dead.
        """
        wanted = self.pending.keys() & set(keys)
        busy = self.queued_keys() & wanted
        for key in self.patiently(lambda: leased(wanted - busy, self.store)):
            if at_work([key], self.store, self.sleep):
                busy.add(key)
        return busy

    def report_blocked(self) -> None:
        """Record which failed job each job needs that is still pending, and report it."""
        for key, job in self.pending.items():
            needed = blocking_key(key, self.jobs, self.outcome.failed)
            self.outcome.blocked[key] = needed
            by = self.jobs[needed].id if needed in self.jobs else f"job {needed[:10]}"
            self.listen("blocked", job, {"by": by})
