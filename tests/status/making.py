"""Stores with jobs in every state, whose times the test sets."""

import os
from dataclasses import replace
from typing import Any

from kit.store import Job, Store
from kit.store.runs import RunRecord, Work, write_run, write_work

NOW = 1_800_000_000.0
"""The present time of the tests, seconds since 1970."""
STARTED = "2027-01-15T07:00:00+00:00"


def make_job(stage: str, name: str, *inputs: Job, **resources: Any) -> Job:
    """Return a job that needs others, with the resources that its plan expects."""
    return Job(
        id=f"{stage}/{name}",
        stage=stage,
        version="1",
        environment="cuda" if resources.pop("gpu", False) else "cpu",
        lock="",
        params={"name": name},
        inputs={f"input-{number}": job.key for number, job in enumerate(inputs)},
        resources=resources,
    )


def put(store: Store, job: Job, *, rows: int = 1, **provenance: Any) -> None:
    """Commit an empty artifact that says how long its job took."""
    store.plan(job)
    with store.lock(job.key), store.scratch(job.key) as out:
        store.commit(job, out, rows=rows, facts={}, provenance=provenance)


def fail(store: Store, job: Job, reason: str, at: float) -> None:
    """Keep the reason why a job failed at some time."""
    store.plan(job)
    store.record_failure(job, reason)
    os.utime(store.root / "failed" / f"{job.key}.json", (at, at))


def record(number: int, *jobs: Job, **changes: Any) -> RunRecord:
    """Return the record of a run on another machine; the number tells which one came later."""
    made = RunRecord(
        id=f"20270115T0700{number:02}000000-0000000{number % 10}",
        host="node07",
        place="another start of another machine",
        pid=1000 + number,
        born="1",
        started_at=STARTED,
        request={"tables": ["table-2"], "scale": "smoke"},
        keys=[job.key for job in jobs],
    )
    return replace(made, **changes)


def begin(store: Store, run: RunRecord, at: float, work: Work | None = None, seen: float | None = None) -> None:
    """Write the record of a run that began at some time, and perhaps its job at work with its last sign of life."""
    write_run(store, run)
    os.utime(store.root / "runs" / f"{run.id}.json", (at, at))
    if work is not None:
        write_work(store, run.id, work)
        os.utime(store.root / "runs" / f"{run.id}.now.json", (seen or at, seen or at))
