"""The way of a container's output into the store: the worker fills a folder and sends an event, the host commits.

The container sees the store's artifacts read-only. For each job it fills ``out/<key>``, sends the event ``computed``
and waits until the artifact is in the store, or until ``refusals/<key>`` says why the host did not take it.

The host takes plain files out of ``out/<key>`` into a folder of its own, through descriptors, so that it follows no
link, and hashes and commits what it took. From a worker that runs model-written code (an untrusted kind of
:mod:`kit.workers`) it copies the bytes: nothing that the container still holds open reaches them. Other workers run
the image's code alone and leave up to 145 GB: their files are moved, and code of the image that keeps one open could
write to it after it was hashed (``kit store check`` would show it).
"""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from kit.containers import UID
from kit.errors import KitError
from kit.machine.cgroups import memory_kills, memory_limit
from kit.run.provenance import facts_of
from kit.store import Job, Store
from kit.store.provenance import LATER, fault_of

REPORTED = ("started_at", "wall_s", "python", "packages", "machine")
"""Fields of the provenance that only the container knows; the host writes the others."""
MEASURED = ("cpu_s", "memory")
"""Fields that it measured; null where it could not, as the kit of an older image did not. Of the fields that were added
later (``LATER``), those that it reports are taken."""
DEEPEST = 16
"""Most levels of folders in a container's output."""


class Handover(Store):
    """The store inside a container: artifacts are read from it, and the host commits what is written."""

    any_owner = True
    """Files are read whoever owns them: user ids may be mapped in a container, and the host has checked the owners."""

    def __init__(self, root: Path, out: Path, refusals: Path, emit: Callable[..., None]) -> None:
        super().__init__(root)
        self.out = out
        self.refusals = refusals
        self._emit = emit
        self._kills = memory_kills()

    @property
    def job_folder(self) -> Path:
        """Folder that the host sees; the store's own are closed to the container."""
        return self.out

    @contextmanager
    def lock(self, key: str, *, wait: bool = False) -> Iterator[None]:  # noqa: ARG002
        """Do nothing: the host holds the locks of every job that it gave to this container."""
        yield

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """Yield an empty folder that the host sees; it is removed afterwards."""
        folder = self.out / key
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self,
        job: Job,
        folder: Path,  # noqa: ARG002
        *,
        rows: int,
        facts: Mapping[str, Any],
        provenance: Mapping[str, Any],
    ) -> None:
        """Tell the host that the folder is filled, and wait until it has committed the output.

        Raises:
            KitError: the host refused the output, with its reason. Or the kernel killed a process for memory: the
                verdict "no verdict" that the worker then wrote is not the job's fault.
        """
        before, self._kills = self._kills, memory_kills()
        if self._kills > before:
            limit_gib = (memory_limit() or 0) / 2**30
            raise KitError(
                f"{job.id}: the kernel killed {self._kills - before} of its processes: its container is held to "
                f"{limit_gib:.1f} GiB of memory; run it where more memory, or fewer cores, are free"
            )
        was_there = self.has(job.key)  # and gave its files back
        self._emit("computed", key=job.key, rows=rows, facts=dict(facts), provenance=dict(provenance))
        refusal = self.refusals / job.key
        while not (self.holds(job.key) if was_there else self.has(job.key)):
            if refusal.exists():
                raise KitError(refusal.read_text(encoding="utf-8"))
            time.sleep(0.02)

    def record_failure(self, job: Job, reason: str) -> None:
        """Do nothing: the host records the reason of the ``failed`` event."""


class Exchange:
    """The folders that one container shares with the host: one for its output, and one for the host's refusals."""

    def __init__(self, store: Store, folder: Path, *, copies: bool, observed: Mapping[str, Any]) -> None:
        self.store = store
        self.folder = folder
        """The folder that holds the others. The runtime's client starts in it, as podman leaves a file in the folder
        in which it was started when a container is out of memory."""
        self.name = f"kit-{folder.name[:12]}-{secrets.token_hex(4)}"
        """Name of the container."""
        self.out = folder / "out"
        self.refusals = folder / "refusals"
        self.workdir = folder / "workdir"
        """Folder for the container's temporary files, where the runtime needs one."""
        self.copies = copies
        """Whether output is copied; else it is moved."""
        self.observed = observed
        """Fields of the provenance that the host knows: image, commit, and what the command was asked for."""

    def take(self, job: Job, event: Mapping[str, Any]) -> None:
        """Commit the output of one job; where that fails, write the reason where the container reads it."""
        if self.store.holds(job.key):
            return
        folder = Path(tempfile.mkdtemp(prefix="taken.", dir=self.folder))
        try:
            reported = {name: event["provenance"][name] for name in REPORTED}
            reported |= {name: event["provenance"].get(name) for name in MEASURED}
            reported |= {name: event["provenance"][name] for name in LATER if name in event["provenance"]}
            check_reported(reported)
            facts_here = facts_of(job, reported["wall_s"], self.observed.get("request", {}))
            provenance = {**reported, **facts_here, **self.observed}
            rows, facts = int(event["rows"]), dict(event["facts"])
            self._receive(job, folder)
            self.store.commit(job, folder, rows=rows, facts=facts, provenance=provenance)
        except OSError as error:
            self._refuse(job, f"{job.id}: its output could not be taken over: {error.strerror}")
        except (KitError, KeyError, TypeError, ValueError, RecursionError) as error:
            self._refuse(job, str(error) if isinstance(error, KitError) else f"{job.id}: a malformed event: {error!r}")
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _receive(self, job: Job, into: Path) -> None:
        """Bring a job's output from the container's folder into one that the container can't reach.

        Raises:
            KitError: there is no output, or it holds something else than plain files and folders.
        """
        with contextlib.ExitStack() as stack:
            try:
                out = stack.enter_context(_descriptor(self.out, os.O_DIRECTORY))
                folder = stack.enter_context(_descriptor(job.key, os.O_DIRECTORY, inside=out))
            except OSError as error:
                raise KitError(f"{job.id}: its container left no output folder") from error
            receive(folder, into, copy=self.copies, job_id=job.id)

    def _refuse(self, job: Job, reason: str) -> None:
        """Write the reason why a job's output was refused, in one step, so that the container reads all of it."""
        refusal = self.refusals / f".{job.key}"
        refusal.write_text(reason, encoding="utf-8", errors="backslashreplace")
        refusal.chmod(0o644)
        refusal.rename(self.refusals / job.key)


def check_reported(reported: Mapping[str, Any]) -> None:
    """Check the fields of the provenance that a container reports.

    Raises:
        ValueError: ``started_at`` is not a time, or a field has another type.
        TypeError: ``started_at`` is not a text.
    """
    datetime.fromisoformat(reported["started_at"])
    kinds = {"wall_s": (int, float), "python": (str,), "packages": (dict,), "machine": (dict,)}
    for name, wanted in kinds.items():
        if type(reported[name]) not in wanted:
            raise ValueError(f"provenance.{name}: found {type(reported[name]).__name__}")
    for name in (*REPORTED, *MEASURED, *(name for name in LATER if name in reported)):
        if fault := fault_of(name, reported.get(name)):
            raise ValueError(fault)


def receive(folder: int, into: Path, *, copy: bool, job_id: str, depth: int = 0) -> None:
    """Bring the plain files of a folder and its subfolders into another, while another process may change them.

    Args:
        folder: descriptor of the folder.
        into: an empty folder that no other user or container can reach.
        copy: whether the bytes are copied; else the files are moved.
        job_id: id of the job, for the message.
        depth: levels of folders above this one.

    Raises:
        KitError: the folder holds something else, or a file with a second name.
        OSError: the disk is full, or a permission is missing.
    """
    if depth > DEEPEST:
        raise KitError(f"{job_id}: more than {DEEPEST} folders in each other")
    for name in sorted(os.listdir(folder)):
        target = into / name
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            target.mkdir()
            with _descriptor(name, os.O_DIRECTORY, inside=folder) as subfolder:
                receive(subfolder, target, copy=copy, job_id=job_id, depth=depth + 1)
            continue
        if not copy:
            # moved first, so that the file that is checked is the file that is kept
            os.rename(name, target, src_dir_fd=folder)
        try:
            with _descriptor(name, inside=folder) if copy else _descriptor(target) as file:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
                    raise KitError(f"{job_id}: {name} is no plain file with one name; an artifact holds nothing else")
                if copy:
                    _copy(file, status.st_size, target)
                else:
                    os.fchown(file, os.geteuid(), os.getegid())
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise KitError(f"{job_id}: {name} is a link; an artifact holds plain files") from error
            raise


def _copy(source: int, size_bytes: int, target: Path) -> None:
    """Copy the first ``size_bytes`` of a file: its size when it was checked, as another process may make it grow."""
    with target.open("xb") as file:
        while size_bytes > 0 and (count := os.sendfile(file.fileno(), source, None, size_bytes)):
            size_bytes -= count


@contextmanager
def _descriptor(name: Path | str, flags: int = 0, *, inside: int | None = None) -> Iterator[int]:
    """Yield a descriptor for reading a file or folder; a link is not followed, a pipe not waited for.

    Raises:
        OSError: the name is a link or a socket, is gone, or may not be read.
    """
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | flags, dir_fd=inside)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def exchange(
    store: Store,
    keys: Sequence[str],
    *,
    other_user: bool,
    copies: bool = True,
    shares: Sequence[str] = (),
    observed: Mapping[str, Any] | None = None,
) -> Iterator[Exchange]:
    """Hold the locks of a container's jobs and make its folders; release and remove them afterwards.

    What a killed worker left of a part or of a checkpoint that is not whole is removed before and after, while the
    locks are held; in the container nobody does it.

    Args:
        store: the store that the host commits to.
        keys: keys of the container's jobs.
        other_user: whether the container's user is another than this process's: then it becomes the owner of the
            output folder, and everybody may read what the container reads.
        copies: whether its output is copied; else it is moved.
        shares: names of the store's folders that it writes too.
        observed: fields of the provenance that the host knows.
    """
    with ExitStack() as stack:
        for key in sorted(keys):  # in one order, or two runs could wait for each other
            stack.enter_context(store.lock(key, wait=True))
            store.clear_parts(key)
            stack.callback(store.clear_parts, key)
        folder = store.make_scratch(keys[0])
        stack.callback(store.remove_scratch, folder)  # a container may leave thousands of folders in each other
        folders = Exchange(store, folder, copies=copies, observed=observed or {})
        for path in (folders.out, folders.refusals, folders.workdir):
            path.mkdir()
        if other_user:
            for path in (folder, folders.refusals):
                path.chmod(0o755)  # whatever the umask
            for name in ("artifacts", "jobs"):
                store.let_others_read(name)
            shutil.chown(folders.out, UID, UID)
            for name in shares:
                store.let_group_write(name, UID)
        yield folders
