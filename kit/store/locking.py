"""Locks and leases of a store's jobs: one process works on a job at a time, on one host and on all."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import KitError
from kit.store import leases
from kit.store.faults import BusyError, cure_of, disk_fault
from kit.store.job import check_lone_name
from kit.store.reading import StoredFiles

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a disk that has no locks: Lustre without ``-o flock``, NFS without its lock service."""


def _flock(descriptor: int, key: str, path: Path, *, wait: bool) -> bool:
    """Take the kernel's lock of an open file; return whether it is held, which it never is on a disk without locks.

    Raises:
        BusyError: another process holds it and ``wait`` is off.
        KitError: it can't be locked.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError as error:
        raise BusyError(f"job {key[:12]} is being worked on by another run") from error
    except OSError as error:  # NFS locks what may be written alone
        if error.errno in NO_LOCKS:
            return False
        cure = "let its group write it (chmod g+w), or take another --store"
        raise KitError(f"{path}: can't be locked: {error.strerror}; {cure}") from error
    return True


class Locks(StoredFiles):
    """The files of a store, with the locks by which processes keep out of each other's jobs."""

    @contextmanager
    def lock(self, key: str, *, wait: bool = False) -> Iterator[None]:
        """Hold a job's lock and its lease; the kernel gives the lock back when the process ends, however it ends.

        The lock keeps this host's processes apart, the lease (:mod:`kit.store.leases`) those of all hosts. Where no
        lease can be made, as on a full disk, the lock alone is held; where the disk has no locks, the lease alone.

        Raises:
            BusyError: another process holds it and ``wait`` is off.
            KitError: it is no plain file, a stranger's, or must not be opened.
        """
        held = self._open_lock(check_lone_name(key))
        try:
            locked = _flock(held, key, self.root / "locks" / key, wait=wait)
            with self._lease(key, alone_on_host=locked, wait=wait):
                yield
        finally:
            os.close(held)

    def _open_lock(self, key: str) -> int:
        """Return a descriptor of a job's lock."""
        try:
            with self.inside("locks") as folder:
                try:
                    return folder.open_or_make(key, os.O_RDWR)
                except PermissionError:  # another user's of the same group
                    return folder.open(key)
        except OSError as error:
            path = self.root / "locks" / key
            cure = cure_of(error) if disk_fault(error) else "remove it, or take another --store"
            raise KitError(f"{path}: can't be opened: {error.strerror}; {cure}") from error

    @contextmanager
    def _lease(self, key: str, *, alone_on_host: bool, wait: bool) -> Iterator[None]:
        """Hold a job's lease; where none can be made, and a lock is held, go on without one."""
        holder = leases.this_process()
        while True:
            try:
                with self.inside("locks") as folder:
                    other = leases.take(folder, key, holder, alone_on_host=alone_on_host)
            except OSError as error:
                if not alone_on_host:
                    path = self.root / "locks" / leases.file_name(key)
                    raise KitError(f"{path}: can't be written: {error.strerror}; take another --store") from error
                yield
                return
            if other is None:
                break
            if not wait:
                raise BusyError(f"job {key[:12]} is being worked on by another run ({other.text()})")
            time.sleep(leases.POLL_S)
        with leases.Heartbeat(lambda: self.inside("locks"), key, holder):
            yield

    def holder(self, key: str) -> leases.Holder | None:
        """Return the process that works on a job, on whatever host, as far as its lease tells; None if none does."""
        with self.inside("locks") as folder:
            found = leases.read(folder, check_lone_name(key))
            if found is None or leases.is_dead(folder, key):
                return None
        if found.boot == leases.this_process().boot:
            held = self._open_lock(key)
            try:
                if _flock(held, key, self.root / "locks" / key, wait=False):
                    return None  # its holder is gone
            except BusyError:
                return found
            finally:
                os.close(held)
        return found

    def lease_renewed_at(self, key: str) -> int | None:
        """Return when a job's lease was last renewed, in nanoseconds by the disk's clock; None if there is none."""
        with self.inside("locks") as folder:
            return leases.renewed_at_ns(folder, check_lone_name(key))

    def look_again(self) -> None:
        """Have a network's disk tell what other hosts committed: it remembers for a while what was not there."""
        with self.inside("artifacts") as folder:
            folder.names()
