"""Leases: one holder among the processes of all hosts, taken over once it is dead, and never a second artifact."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from kit.run.elsewhere import at_work
from kit.store import BusyError, Job, Store, leases
from kit.store.leases import Holder, this_process
from tests.cluster.stand_in import make_job

ELSEWHERE = Holder(host="node7", boot="another run of a kernel", pid=812, slurm_job="4711", token="a" * 16)
"""The holder of a lease on another host."""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def plant(store: Store, key: str, holder: Holder, age_s: float = 0.0) -> Path:
    """Make a lease as another host would, renewed so many seconds ago; return its file."""
    with store.inside("locks") as folder:
        assert leases.make(folder, key, holder)
    path = store.root / "locks" / f"{key}.lease"
    renewed = path.stat().st_mtime_ns - int(age_s * 1e9)
    os.utime(path, ns=(renewed, renewed))
    return path


@contextmanager
def lock_in_another_process(store: Store, key: str) -> Iterator[int]:
    """Hold a job's lock in a process of its own; yield the process's number, and kill it where it is still there."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_hold, args=(store, key, theirs))
    process.start()
    assert ours.recv() == "held"
    try:
        yield int(process.pid or 0)
    finally:
        process.kill()
        process.join()


def _hold(store: Store, key: str, pipe: Any) -> None:
    with store.lock(key):
        pipe.send("held")
        threading.Event().wait(60)


def names(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "locks").iterdir())


def test_a_lease_is_there_while_the_lock_is_held_and_gone_afterwards(store: Store):
    key = make_job("a").key
    assert store.holder(key) is None
    with store.lock(key):
        with store.inside("locks") as folder:
            found = leases.read(folder, key)
        assert found is not None
        assert (found.pid, found.boot) == (os.getpid(), this_process().boot)
        assert names(store) == [key, f"{key}.lease"]
    assert (store.holder(key), names(store)) == (None, [key])


def test_another_hosts_live_lease_keeps_a_job(store: Store):
    key = make_job("a").key
    plant(store, key, ELSEWHERE, age_s=leases.DEAD_S - 30)
    with pytest.raises(BusyError) as error, store.lock(key):
        pass
    where = "node7, process 812, Slurm job 4711"
    assert str(error.value) == f"job {key[:12]} is being worked on by another run ({where})"
    assert store.holder(key) == ELSEWHERE


DEAD = {
    "not renewed for two minutes": (ELSEWHERE, leases.DEAD_S + 30),
    "of this host, where nobody has the kernel's lock": (
        Holder(host="here", boot=this_process().boot, pid=1, slurm_job="", token="b" * 16),
        0.0,
    ),
}


@pytest.mark.parametrize("holder, age_s", DEAD.values(), ids=list(DEAD))
def test_a_dead_lease_is_taken_over_at_once(holder: Holder, age_s: float, store: Store):
    key = make_job("a").key
    plant(store, key, holder, age_s)
    assert store.holder(key) is None
    with store.lock(key), store.inside("locks") as folder:
        assert leases.read(folder, key) != holder
    assert names(store) == [key]


def test_a_killed_process_of_this_host_leaves_nothing_that_is_waited_for(store: Store):
    key = make_job("a").key
    with lock_in_another_process(store, key) as process:
        assert getattr(store.holder(key), "pid", None) == process
        with pytest.raises(BusyError), store.lock(key):
            pass
        os.kill(process, 9)
        os.waitpid(process, 0)
        assert (store.root / "locks" / f"{key}.lease").exists()
        assert store.holder(key) is None
        with store.lock(key):
            pass
    assert names(store) == [key]


def test_a_damaged_lease_is_waited_for_until_it_is_old(store: Store):
    key = make_job("a").key
    path = plant(store, key, ELSEWHERE)
    path.write_text("{half")
    with pytest.raises(BusyError) as error, store.lock(key):
        pass
    assert str(error.value) == f"job {key[:12]} is being worked on by another run (an unknown host, process 0)"
    os.utime(path, ns=(0, 0))
    with store.lock(key):
        pass
    assert names(store) == [key]


def test_only_the_lease_that_was_looked_at_is_removed(store: Store):
    key = make_job("a").key
    plant(store, key, ELSEWHERE)
    with store.inside("locks") as folder:
        leases.end(folder, key, "b" * 16)  # the token of a lease that has had a successor
        assert leases.read(folder, key) == ELSEWHERE
        leases.end(folder, key, ELSEWHERE.token)
        assert leases.read(folder, key) is None


def test_a_lease_that_another_process_is_removing_is_left_to_it(store: Store):
    key = make_job("a").key
    plant(store, key, ELSEWHERE)
    guard = store.root / "locks" / f"{key}.lease-{ELSEWHERE.token}"
    guard.touch()
    with store.inside("locks") as folder:
        leases.end(folder, key, ELSEWHERE.token)
        assert leases.read(folder, key) == ELSEWHERE
        os.utime(guard, ns=(0, 0))  # whoever made it was killed right then
        leases.end(folder, key, ELSEWHERE.token)
        leases.end(folder, key, ELSEWHERE.token)
        assert leases.read(folder, key) is None
    assert names(store) == []


def test_a_process_of_this_host_that_was_killed_while_it_removed_a_lease_costs_no_time(store: Store):
    key, holder = make_job("a").key, this_process()
    plant(store, key, holder)
    guard = store.root / "locks" / f"{key}.lease-{holder.token}"
    guard.write_text(holder.boot)
    with store.inside("locks") as folder:
        leases.end(folder, key, holder.token)  # without the kernel's lock it may be alive
        assert leases.read(folder, key) == holder
    with store.lock(key):  # at once
        pass
    assert names(store) == [key]


def test_renewing_sets_the_disks_time_and_leaves_a_successors_lease_alone(store: Store):
    key = make_job("a").key
    path = plant(store, key, ELSEWHERE, age_s=1000)
    beat = leases.Heartbeat(lambda: store.inside("locks"), key, ELSEWHERE)
    with store.inside("locks") as folder:
        assert leases.is_dead(folder, key)
        beat.renew(folder)
        assert not leases.is_dead(folder, key)
        os.utime(path, ns=(0, 0))
        leases.Heartbeat(lambda: store.inside("locks"), key, this_process()).renew(folder)
        assert leases.is_dead(folder, key)


def test_the_heartbeat_renews_until_it_is_stopped(store: Store):
    key = make_job("a").key
    path = plant(store, key, ELSEWHERE, age_s=1000)
    before = path.stat().st_mtime_ns
    with leases.Heartbeat(lambda: store.inside("locks"), key, ELSEWHERE, beat_s=0.01):
        while path.stat().st_mtime_ns == before:
            threading.Event().wait(0.01)
    assert not path.exists()


NO_LEASE = {"a full disk": 28, "no permission": 13, "a read-only disk": 30}


@pytest.mark.parametrize("number", NO_LEASE.values(), ids=list(NO_LEASE))
def test_where_no_lease_can_be_made_the_lock_alone_is_held(number: int, store: Store, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> bool:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(leases, "make", refuse)
    key = make_job("a").key
    with store.lock(key):
        assert names(store) == [key]


def test_on_a_disk_without_locks_the_lease_alone_is_held(store: Store, monkeypatch: pytest.MonkeyPatch):
    def no_locks(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("kit.store.locking.fcntl.flock", no_locks)
    key = make_job("a").key
    with store.lock(key), pytest.raises(BusyError), store.lock(key):
        pass
    with store.lock(key):
        pass


def test_a_retry_waits_for_the_lease_of_a_lost_attempt_and_gives_way_to_a_live_one(store: Store):
    dead, alive = make_job("dead").key, make_job("alive").key
    path = plant(store, dead, ELSEWHERE, age_s=leases.DEAD_S - 30)
    looks = []

    def a_minute(_: float) -> None:
        looks.append(1)
        os.utime(path, ns=(path.stat().st_mtime_ns - 60 * 10**9,) * 2)

    # its time goes back here, as if the clock went on: that is a change, but a lease that is now dead has no holder
    assert (at_work([dead], store, a_minute), looks) == (None, [1])
    path = plant(store, alive, ELSEWHERE)
    assert at_work([alive], store, lambda _: os.utime(path)) == (alive, ELSEWHERE)
    with lock_in_another_process(store, dead):
        found = at_work([dead], store, lambda _: pytest.fail("this host's kernel knows at once"))
        assert found is not None
        assert found[0] == dead


# Two processes compute one job at once, as where a host was cut off from the disk for minutes: the first commit counts.


def commit(store: Store, job: Job, text: str) -> None:
    """Commit a job without its lock, with a file that says who did."""
    out = store.make_scratch(job.key)
    (out / "line.txt").write_text(text * 50, encoding="utf-8")
    store.commit(job, out, rows=1, facts={}, provenance={"started_at": text})
    store.remove_scratch(out)


def _commit_all(store: Store, count: int, text: str, barrier: Any) -> None:
    for number in range(count):
        barrier.wait()
        commit(store, make_job(f"n{number}"), text)


def test_two_processes_commit_one_key_at_once(store: Store):
    count, forked = int(os.environ.get("KIT_COMMITS", "100")), multiprocessing.get_context("fork")
    barrier = forked.Barrier(2)
    processes = [forked.Process(target=_commit_all, args=(store, count, text, barrier)) for text in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    keys = store.committed()
    assert len(keys) == count
    assert [store.check(key) for key in keys] == [[]] * count
    assert list((store.root / "tmp").iterdir()) == []


def test_a_second_commit_leaves_the_first_ones_bytes(store: Store):
    job = make_job("a")
    commit(store, job, "first")
    before = (store.root / "artifacts" / job.key / "artifact.json").read_bytes()
    commit(store, job, "second")
    assert (store.root / "artifacts" / job.key / "artifact.json").read_bytes() == before
    assert store.check(job.key) == []
