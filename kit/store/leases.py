"""Leases tell hosts that share a disk which of them works on a job; they hold where a kernel's lock (flock) does not.

locks/<key>.lease    who works on the job; made whole or not at all, renewed every :data:`BEAT_S` seconds

A lease is made by ``link``, which fails where the name is taken, on NFS too. It counts as dead when it was not renewed
for :data:`DEAD_S` seconds, measured by the clock of the disk's server: both times are of files that it made. On the
host of its holder no time has to pass: whoever has the kernel's lock there knows that no other process does.

Each lease has a token. It is removed by whoever makes ``<key>.lease-<token>`` first and then finds this token in it,
so that nobody who looked at a dead lease long ago removes its successor. A lease saves work and nothing else: two
processes that compute one job commit one artifact (:meth:`kit.store.Store.commit`).
"""

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from kit.errors import KitError
from kit.store.job import fitting
from kit.store.opening import SAFE, Folder

BEAT_S = 20.0
"""Seconds between two renewals of a lease."""
DEAD_S = 120.0
"""Seconds without a renewal after which a lease counts as dead: more than a network's or a server's short break."""
POLL_S = 2.0
"""Seconds between two looks at another host's lease that is waited for."""
MOST_BYTES = 4096
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

OpenFolder = Callable[[], AbstractContextManager[Folder]]
"""Opens the folder of leases anew: each renewal does, as a descriptor may not outlive a server's restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that has a lease, as the lease's file names it."""

    host: str
    boot: str
    """Id of the kernel's run: the same for every process and container of one host, another after a restart."""
    pid: int
    slurm_job: str
    """Number of the Slurm job that it is part of; empty outside Slurm."""
    token: str
    """Random text, another for each lease."""

    def text(self) -> str:
        """Return where the process is, for people: ``node7, process 812, Slurm job 4711``."""
        return f"{self.host}, process {self.pid}" + f", Slurm job {self.slurm_job}" * bool(self.slurm_job)


UNREADABLE = Holder(host="an unknown host", boot="", pid=0, slurm_job="", token="unreadable")
"""Stands for the holder of a lease whose file is damaged."""


def this_process() -> Holder:
    """Return this process as the holder of a new lease."""
    try:
        boot = BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # no /proc: then the name tells hosts apart
        boot = socket.gethostname()
    slurm_job = os.environ.get("SLURM_JOB_ID", "")
    return Holder(
        host=socket.gethostname(),
        boot=boot,
        pid=os.getpid(),
        slurm_job=slurm_job if slurm_job.isdigit() else "",
        token=secrets.token_hex(8),
    )


def file_name(key: str) -> str:
    """Return the name of a job's lease."""
    return f"{key}.lease"


def read(folder: Folder, key: str) -> Holder | None:
    """Return who has a job's lease, dead or alive; None if there is none."""
    try:
        value = json.loads(folder.read(file_name(key), MOST_BYTES))
        texts = {name: fitting(value, name, str) for name in ("host", "boot", "slurm_job", "token")}
        return Holder(pid=fitting(value, "pid", int), **texts)
    except FileNotFoundError:
        return None
    except (OSError, KitError, ValueError, RecursionError):
        return UNREADABLE if folder.has(file_name(key)) else None


def renewed_at_ns(folder: Folder, key: str) -> int | None:
    """Return the time of a lease's last renewal by the disk's clock, in nanoseconds; None if there is no lease."""
    try:
        descriptor = os.open(file_name(key), os.O_RDONLY | SAFE, dir_fd=folder.descriptor)  # NFS asks its server anew
    except OSError:
        return None
    try:
        return os.fstat(descriptor).st_mtime_ns
    finally:
        os.close(descriptor)


def is_dead(folder: Folder, key: str) -> bool:
    """Return whether a job's lease was not renewed for :data:`DEAD_S` seconds of the disk's clock, or is gone."""
    renewed = renewed_at_ns(folder, key)
    return renewed is None or _now_ns(folder) - renewed > DEAD_S * 1e9


def _now_ns(folder: Folder) -> int:
    """Return the time on the disk's clock: that of a file made now; this host's where none may be made."""
    name = f".now.{secrets.token_hex(8)}"
    try:
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o600, dir_fd=folder.descriptor)
    except OSError:
        return time.time_ns()
    try:
        return os.fstat(made).st_mtime_ns
    finally:
        os.close(made)
        with suppress(OSError):
            os.unlink(name, dir_fd=folder.descriptor)


def make(folder: Folder, key: str, holder: Holder) -> bool:
    """Make a job's lease; return whether the holder has it now.

    Raises:
        OSError: the disk is full, or a permission is missing.
    """
    _link(folder, f".{file_name(key)}.{holder.token}", file_name(key), json.dumps(asdict(holder)))
    # A server whose answer was lost is asked twice, and then says that the name is taken: by this very lease.
    return read(folder, key) == holder


def _link(folder: Folder, draft: str, name: str, text: str) -> bool:
    """Make a file with a text, whole or not at all; return False where the name is taken.

    Raises:
        OSError: the disk is full, or a permission is missing.
    """
    made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o644, dir_fd=folder.descriptor)
    try:
        with os.fdopen(made, "w", encoding="utf-8") as file:
            file.write(text)
        os.link(draft, name, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor)
    except FileExistsError:
        return False
    finally:
        os.unlink(draft, dir_fd=folder.descriptor)
    return True


def end(folder: Folder, key: str, token: str, boot: str = "") -> None:
    """Remove the lease that has this token, unless another process is about to, or it has a successor.

    Args:
        folder: the folder of leases.
        key: the job's key.
        token: of the lease.
        boot: this host's, if this process has the kernel's lock: whoever else of this host was about to is dead.

    Raises:
        OSError: a permission is missing.
    """
    guard = f"{file_name(key)}-{token}"
    while not _make_guard(folder, guard):
        if not _is_dead_guard(folder, guard, boot):
            return
        with suppress(FileNotFoundError):
            os.unlink(guard, dir_fd=folder.descriptor)
    try:
        found = read(folder, key)
        if found is not None and found.token == token:
            os.unlink(file_name(key), dir_fd=folder.descriptor)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(guard, dir_fd=folder.descriptor)


def _make_guard(folder: Folder, guard: str) -> bool:
    """Make the file that one process alone can have while it removes a lease; it says on which host. Return whether."""
    return _link(folder, f".{guard}.{secrets.token_hex(8)}", guard, this_process().boot)


def _is_dead_guard(folder: Folder, guard: str, boot: str) -> bool:
    """Return whether the process that made a guard was killed right then: it is old, or it was of this host."""
    try:
        made_by = folder.read(guard, MOST_BYTES).decode(errors="backslashreplace")
        age_ns = _now_ns(folder) - folder.stat(guard).st_mtime_ns
    except (OSError, KitError):
        return False
    return age_ns > DEAD_S * 1e9 or (bool(boot) and made_by == boot)


def take(folder: Folder, key: str, holder: Holder, *, alone_on_host: bool) -> Holder | None:
    """Take a job's lease if it is free or dead; return who has it, if another process does.

    Args:
        folder: the folder of leases.
        key: the job's key.
        holder: this process.
        alone_on_host: whether no other process of this host can be at work on the job: this one has the kernel's lock.

    Raises:
        OSError: the disk is full, or a permission is missing.
    """
    while not make(folder, key, holder):
        found = read(folder, key)
        if found is None:
            continue
        dead_here = alone_on_host and found.boot == holder.boot
        if not (dead_here or is_dead(folder, key)):
            return found
        end(folder, key, found.token, holder.boot if alone_on_host else "")
        if found == read(folder, key):  # another process is removing it, or its clock stands still
            return found
    return None


class Heartbeat:
    """Renews a lease from a thread of its own until it is stopped, and then gives the lease back."""

    def __init__(self, open_folder: OpenFolder, key: str, holder: Holder, beat_s: float = BEAT_S) -> None:
        self._open_folder = open_folder
        self._key = key
        self._holder = holder
        self._beat_s = beat_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"lease {key[:10]}", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()
        with suppress(OSError, KitError), self._open_folder() as folder:
            end(folder, self._key, self._holder.token)

    def _run(self) -> None:
        """Renew the lease every few seconds; a disk that does not answer once may answer the next time."""
        while not self._stopped.wait(self._beat_s):
            with suppress(OSError, KitError), self._open_folder() as folder:
                self.renew(folder)

    def renew(self, folder: Folder) -> None:
        """Set the time of the lease to now, by the disk's clock, if it is still this process's."""
        if read(folder, self._key) == self._holder:
            os.utime(file_name(self._key), dir_fd=folder.descriptor, follow_symlinks=False)
