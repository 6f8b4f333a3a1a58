"""Waits of a job on a cluster: for inputs that another host has just committed, for signs of life of another run."""

import time
from collections.abc import Callable, Iterable, Mapping

from kit.store import Job, Store
from kit.store.leases import POLL_S, Holder, this_process

BUSY = 75
"""Exit code of a job that another run is at work on: EX_TEMPFAIL, try again later."""

Sleep = Callable[[float], None]


def missing_inputs(jobs: Mapping[str, Job], store: Store) -> dict[str, list[str]]:
    """Return the inputs that are neither in the store nor made by these jobs: job's key -> roles; empty if none is."""
    found = {}
    for key, job in jobs.items():
        if store.holds(key):
            continue
        roles = [role for role, needed in job.inputs.items() if needed not in jobs and not store.holds(needed)]
        if roles:
            found[key] = roles
    return found


def wait_for_inputs(jobs: Mapping[str, Job], store: Store, wait_s: float, sleep: Sleep = time.sleep) -> None:
    """Wait until the inputs of jobs are in the store, for some seconds at most: disks of clusters show them late."""
    deadline = time.monotonic() + wait_s
    while missing_inputs(jobs, store) and time.monotonic() < deadline:
        sleep(POLL_S)
        store.look_again()


def at_work(keys: Iterable[str], store: Store, sleep: Sleep = time.sleep) -> tuple[str, Holder] | None:
    """Return a job that another run is at work on, and where; None if none is.

    On this host the kernel knows. On another one the run is alive once its lease is renewed; as long as it is not, this
    waits, until the lease counts as dead: a retry must not give up because of the attempt that it follows.
    """
    boot = this_process().boot
    waiting: dict[str, int | None] = {}
    first = True
    while first or waiting:
        for key in list(keys) if first else list(waiting):
            holder = store.holder(key)
            if holder is None:
                waiting.pop(key, None)
                continue
            renewed = store.lease_renewed_at(key)
            if holder.boot == boot or waiting.setdefault(key, renewed) != renewed:
                return key, holder
        first = False
        if waiting:
            sleep(POLL_S)
    return None
