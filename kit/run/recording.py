"""Write into the store what a run is at work on, so that ``kit status`` tells it from any shell.

A thread does all the writing, every few seconds: no event waits for a disk. What it can't write is left out, and the
run goes on.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from kit.machine.identity import Identity, own_identity, still_runs
from kit.run.progress import JobProgress
from kit.store import Job, Store
from kit.store.runs import (
    Run,
    RunRecord,
    Work,
    end_run,
    new_id,
    read_runs,
    remove_old,
    write_run,
    write_work,
)

Listener = Callable[[str, Job, Mapping[str, Any]], None]
Clock = Callable[[], float]
WRITE_S = 2.0
"""Seconds between two looks whether something has changed, and is to be written."""
SIGN_S = 20.0
"""Seconds after which it is written again where nothing has changed: a sign of life, and the time that was spent."""
SILENT_S = 180.0
"""Seconds without a sign of life after which a run on another machine counts as lost: NFS shows times a minute late."""
FORGOTTEN_S = 7 * 24 * 3600.0
"""Seconds without a sign of life after which the record of such a run may be removed."""


@contextmanager
def recorded(keys: Iterable[str], store: Store, request: Mapping[str, Any], listen: Listener) -> Iterator[Listener]:
    """Record a run in the store while it lasts; yields the listener to which its events go.

    Args:
        keys: keys of all jobs of the run, each after its inputs; where there are none, nothing is recorded.
        store: the store that it works in.
        request: tables, scale and manifests that were asked for; empty for one job run by its key.
        listen: gets every event too.
    """
    if not (known := list(keys)):
        yield listen
        return
    record = RunRecord(
        id=new_id(),
        **asdict(own_identity()),
        batch_id=batch_id(os.environ),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        request=dict(request),
        keys=known,
    )
    clear(store)
    write_run(store, record)
    recorder = Recorder(store, record.id, listen)
    thread = threading.Thread(target=recorder.write_on, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        recorder.stopped.set()
        thread.join()
        end_run(store, record)


def batch_id(environment: Mapping[str, str]) -> str:
    """Return the id of the batch system's job that this process is part of; empty outside one."""
    number = environment.get("SLURM_JOB_ID", "")
    return f"Slurm {number}" if number else ""


def clear(store: Store) -> None:
    """Remove the records of runs that are over, except the newest."""
    now = time.time()
    remove_old(store, [run.record.id for run in read_runs(store)[0] if is_over(run, now)])


def is_at_work(run: Run, now: float) -> bool:
    """Return whether a run is at work; of one on another machine the last sign of life tells it.

    Args:
        run: the run.
        now: the present time, seconds since 1970.
    """
    if run.record.ended_at:
        return False
    runs = still_runs(identity_of(run.record))
    return now - run.seen_at < SILENT_S if runs is None else runs


def is_over(run: Run, now: float) -> bool:
    """Return whether nothing more will come of a run; one that is silent on another machine gets a week."""
    silent = now - run.seen_at > FORGOTTEN_S
    return bool(run.record.ended_at) or (not is_at_work(run, now) and (silent or _ended_here(run)))


def _ended_here(run: Run) -> bool:
    """Return whether a run's process was on this machine and has ended."""
    return still_runs(identity_of(run.record)) is False


def identity_of(record: RunRecord) -> Identity:
    """Return the process that a record says it is of."""
    return Identity(host=record.host, place=record.place, pid=record.pid, born=record.born)


class Recorder:
    """The job at work of one run, kept in memory and written into the store by a thread of its own."""

    def __init__(self, store: Store, run_id: str, listen: Listener, clock: Clock = time.monotonic) -> None:
        self.store = store
        self.run_id = run_id
        self.listen = listen
        self.clock = clock
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.progress: JobProgress | None = None
        self.begun_at = 0.0
        """Time at which the job at work began."""
        self.changed = False
        """Whether something has changed since it was written last."""
        self.written_at = clock()

    def __call__(self, event: str, job: Job, fields: Mapping[str, Any]) -> None:
        """Take one event of the run, and pass it on."""
        with self.lock:
            self.changed = True
            if event in ("start", "progress"):
                now = self.clock()
                if event == "start" or self.progress is None or self.progress.job.key != job.key:
                    self.progress, self.begun_at = JobProgress(job=job, since=now), now
                if event == "progress":
                    self.progress.update(fields, now)
            elif self.progress and self.progress.job.key == job.key:
                self.progress = None
        self.listen(event, job, fields)

    def work(self) -> Work | None:
        """Return the job at work as it is written; None between two jobs."""
        with self.lock:
            now, progress = self.clock(), self.progress
            if progress is None:
                return None
            rows_per_s, tokens_per_s = progress.rates(now)
            return Work(
                key=progress.job.key,
                phase=progress.phase,
                done=progress.done,
                total=progress.total,
                rows_per_s=round(rows_per_s, 6),
                tokens_per_s=round(tokens_per_s, 3),
                phase_s=round(now - progress.since, 1),
                job_s=round(now - self.begun_at, 1),
            )

    def write(self) -> None:
        """Write the job at work, or that there is none, if something has changed and from time to time."""
        with self.lock:
            changed, self.changed = self.changed, False
        now = self.clock()
        if changed or now - self.written_at >= SIGN_S:
            write_work(self.store, self.run_id, self.work() or Work(key="", phase=""))
            self.written_at = now

    def write_on(self) -> None:
        """Write every few seconds, until the run is over."""
        while True:
            self.write()
            if self.stopped.wait(WRITE_S):
                return
