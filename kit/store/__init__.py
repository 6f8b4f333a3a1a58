"""Content-addressed artifacts on a disk: each is there whole or not at all.

store/
  jobs/<key>.json        what the job is: stage, version, parameters, inputs
  artifacts/<key>/       artifact.json (the head) and the files it lists; never changed once there, but the files may be
                         given back: artifact.released.json beside the head says so (:mod:`kit.store.releasing`)
  tmp/<key>.<random>/    what a running job writes; renamed into artifacts/ as the last step; tmp/<key>.copy/ is a batch
                         of artifacts that are copied here (:mod:`kit.transfers`)
  locks/<key>            held (flock) while a process works on the job; <key>.lease tells other hosts
                         (:mod:`kit.store.leases`)
  logs/<key>.log         what the job printed
  replies/<sha256>.json  what a server replied, for as long as the store is there (:mod:`kit.judges.replies`)
  parts/<key>-...        rows of a job that is not committed yet (:mod:`kit.files.parts`), or the last checkpoint of its
                         training (:mod:`kit.training.checkpoints`); removed when it is, or when nobody needs it
  runs/<id>.json         a run, its jobs and how far it is, for ``kit status`` (:mod:`kit.store.runs`)
  failed/<key>.json      why the last attempt failed; removed by the next success
  overlaps/<hash>.json   counts of training rows that repeat test items (kit.report.overlaps); made anew where missing
  figures/<name>.svg     pictures of reproduced figures, .png and .csv beside (kit.report.pictures); drawn anew
  cluster/<run>/         jobs handed to a cluster (kit.cluster.queue): plan, Snakefile, logs; kept where one failed
  budgets/<claim>.json   the order in which steps decide a claim (kit.budget.kept); kept for the next call

Others may write here too: a group shares a store, or a folder is open to all. What they left is opened as
:mod:`kit.store.opening` says, read by one reader that checks every field (:mod:`kit.store.job`), and told with its path
and the cure where it is damaged. ``docs/shared-stores.md`` says what this holds off and what it does not.
"""

import errno
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError
from kit.store import kept
from kit.store.contents import head_bytes, seal
from kit.store.exchanging import FORMER, put_back, refill
from kit.store.faults import BusyError, cure_of, disk_fault
from kit.store.job import FORMAT, HEAD, Artifact, Job, canonical, check_lone_name, readable_json, sha256_file
from kit.store.layout import COPY, FOLDERS, check_folders, check_format, check_place, check_writable, key_in
from kit.store.locking import Locks
from kit.store.opening import Folder, open_root
from kit.store.releasing import unread
from kit.store.walking import remove, walk

__all__ = ["FORMAT", "HEAD", "Artifact", "BusyError", "Job", "Store", "canonical", "sha256_file"]


def _cure(error: OSError) -> str:
    """Return what helps where a job's own file can't be written: the disk's cure, or that the file goes."""
    return cure_of(error) if disk_fault(error) else "remove it, or take another --store"


class Store(Locks):
    """A folder of artifacts, with the jobs, logs and locks beside them."""

    @classmethod
    def open(cls, root: Path) -> "Store":
        """Return a store at ``root``, made if it is not there.

        Raises:
            RequestError: something else is there, the folder can't be made or written, one of its folders is a link or
                a stranger's, or another version of the kit laid it out. What is no store of this kit stays as it is.
        """
        store = cls(root)
        try:
            check_place(store.root)
            for name in FOLDERS:
                if not os.path.lexists(store.root / name):
                    (store.root / name).mkdir(parents=True, exist_ok=True)
            with store.inside() as folder:
                check_folders(folder)
                check_writable(folder)
                if not folder.has("format"):
                    folder.write("format", f"{FORMAT}\n".encode())
                check_format(folder)
        except OSError as error:
            raise RequestError(f"store {root}: {error.strerror}; {cure_of(error)}") from error
        return store

    @classmethod
    def existing(cls, root: Path) -> "Store":
        """Return a store that is there, to look at: nothing is made, so a folder that may only be read will do.

        Raises:
            RequestError: there is none, one of its folders is a link or a stranger's, or another version of the kit
                laid it out.
        """
        store = cls(root)
        if not os.path.lexists(store.root / "artifacts"):
            raise RequestError(f"store {root}: no store there; name the folder that a run wrote with --store")
        try:
            with store.inside() as folder:
                check_folders(folder)
                check_format(folder)
        except OSError as error:
            raise RequestError(f"store {root}: {error.strerror}; name another --store") from error
        return store

    # writing

    def plan(self, job: Job) -> None:
        """Write down what a key stands for; a file that says something else is replaced.

        Raises:
            KitError: it can't be, and what is there is no file of this job.
        """
        path = self.root / "jobs" / f"{job.key}.json"
        with suppress(KitError):
            if self.job(job.key) == job:
                return
        try:
            with self.inside("jobs") as folder:
                folder.write(path.name, readable_json(job.to_json()))
        except OSError as error:
            with suppress(KitError):
                self.job(job.key)  # another user's, of the same job
                return
            raise KitError(f"{path}: can't be written: {error.strerror}; {_cure(error)}") from error

    def check_ready(self, key: str) -> None:
        """Refuse a job whose lock or log is not what its run could use.

        Raises:
            KitError: one is no plain file, a stranger's, or a second name of another file.
        """
        for where, name in (("locks", key), ("logs", f"{key}.log")):
            with self.inside(where) as folder:
                folder.check(name, alone=True)

    def make_scratch(self, key: str) -> Path:
        """Make an empty folder in ``tmp`` that nobody else may enter."""
        name = f"{check_lone_name(key)}.{secrets.token_hex(4)}"
        with self.inside("tmp") as folder:
            os.mkdir(name, 0o700, dir_fd=folder.descriptor)
        return self.root / "tmp" / name

    def remove_scratch(self, path: Path) -> None:
        """Remove a folder of :meth:`make_scratch` with all that is in it; what may not be removed stays."""
        with suppress(OSError, KitError), self.inside("tmp") as folder:
            remove(folder, path.name)

    @property
    def job_folder(self) -> Path:
        """Folder below which jobs write: an error of another disk is not the store's to tell of."""
        return self.root

    @contextmanager
    def scratch(self, key: str) -> Iterator[Path]:
        """Make an empty folder for the job's output, gone afterwards unless it was committed; hold the lock."""
        self.clear(key)
        folder = self.make_scratch(key)
        try:
            yield folder
        finally:
            self.remove_scratch(folder)

    def commit(
        self, job: Job, folder: Path, *, rows: int, facts: Mapping[str, Any], provenance: Mapping[str, Any]
    ) -> None:
        """Hash the files, write the head, and rename the folder into place: the artifact is there whole, or not at all.

        Where another process committed the same job in the meantime, its artifact stays, and this one is not kept.

        Raises:
            KitError: the disk is full, or a permission is gone, or the folder holds something else than plain files, or
                the facts are no JSON; nothing is left behind.
        """
        try:
            with open_root(folder, follow_links=False) as inside:
                artifact = Artifact(
                    key=job.key,
                    folder=folder,
                    job=job,
                    files=seal(job, inside),
                    rows=rows,
                    facts=dict(facts),
                    provenance=dict(provenance),
                )
                head = head_bytes(artifact)
                self.place(inside, job.key, head)
        except OSError as error:
            taken = error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR)
            # Two hosts may compute one job, where a lease was lost: the first to be done counts.
            if not (taken and not self.check(job.key, hashes=False)):
                cure = f"; remove {self.root / 'artifacts' / job.key} and run again" * taken
                helps = cure or f"; {cure_of(error)}" * (disk_fault(error) is not None)
                raise KitError(
                    f"{job.id}: could not be stored in {self.root}: {error.strerror}; nothing was kept{helps}"
                ) from error
        with suppress(OSError, KitError), self.inside("failed") as failed:
            os.unlink(f"{job.key}.json", dir_fd=failed.descriptor)
        self.clear_parts(job.key, made=True)

    def place(self, made: Folder, key: str, head: bytes) -> None:
        """Move a filled folder into the place of an artifact, which is none yet, or one that gave its files back.

        Raises:
            OSError: an artifact is there already, the disk is full, or a permission is missing.
        """
        made.write(HEAD, head)
        os.fchmod(made.descriptor, 0o755)
        os.fsync(made.descriptor)
        with self.inside("artifacts") as artifacts, self.inside("tmp") as tmp:
            if self.is_released(key):
                refill(made, key, artifacts, tmp)
            else:
                os.rename(made.path, key, dst_dir_fd=artifacts.descriptor)
            os.fsync(artifacts.descriptor)

    def record_failure(self, job: Job, reason: str) -> None:
        """Keep why an attempt failed; a disk too full even for that is no further failure."""
        text = reason.encode("utf-8", "backslashreplace").decode()  # a worker's words may hold half a character
        with suppress(OSError, KitError), self.inside("failed") as folder:
            folder.write(f"{job.key}.json", canonical({"id": job.id, "reason": text}) + b"\n")

    def log_path(self, key: str) -> Path:
        """Return the path of the job's log."""
        return self.root / "logs" / f"{key}.log"

    def append_log(self, key: str, text: str) -> None:
        """Add text to a job's log.

        Raises:
            KitError: the log is a link, a pipe, a stranger's, or a second name of another file.
            OSError: the disk is full, or a permission is missing.
        """
        with self.inside("logs") as folder:
            log = folder.open_or_make(f"{check_lone_name(key)}.log", os.O_WRONLY | os.O_APPEND)
        with os.fdopen(log, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)

    def let_others_read(self, name: str) -> None:
        """Let every user look into one of the store's folders, whatever the umask made of it; a container's does."""
        with self.inside(name) as folder:
            os.fchmod(folder.descriptor, os.fstat(folder.descriptor).st_mode & 0o7777 | 0o055)

    def let_group_write(self, name: str, group: int) -> None:
        """Let a group write one of the store's folders; what is made there is the group's too."""
        with self.inside(name) as folder:
            os.fchown(folder.descriptor, -1, group)
            os.fchmod(folder.descriptor, os.fstat(folder.descriptor).st_mode & 0o5777 | 0o2775)

    # clearing away

    def clear(self, key: str, *, copies: bool = False) -> None:
        """Remove what a dead attempt left half-written, as far as permissions go; hold the lock.

        Args:
            key: of the job.
            copies: whether batches of artifacts that are copied here go too (:mod:`kit.transfers`).
        """
        with self.inside("tmp") as folder, self.inside("artifacts") as artifacts:
            for name in folder.names():
                with suppress(OSError):
                    if name.startswith(f"{key}{FORMER}") and put_back(name, key, artifacts, folder):
                        continue
                    if name.startswith(f"{key}.") and (copies or not name.endswith(COPY)):
                        remove(folder, name)
        self.clear_parts(key)

    def clear_parts(self, key: str, *, made: bool = False) -> None:
        """Remove what a dead attempt left of a part or of a checkpoint that is not whole; hold the lock.

        Args:
            key: of the job.
            made: whether its artifact is there: then whole parts go too, which nobody reads any more.
        """
        with suppress(OSError, KitError), self.inside("parts") as parts:
            names = kept.names_of(parts, key)
            kept.remove_kept(parts, names if made else kept.half_written(names))

    def half_written(self, *, remove: bool, copies: bool = False, faults: list[str] | None = None) -> dict[str, int]:
        """List what dead runs left half-written, key -> bytes; what a run is at work on is none of it.

        Args:
            remove: whether it is removed.
            copies: whether batches of an interrupted copy count, with which the same command goes on. A host that
                copies them here over ssh has no lease, so that a run on another host leaves them alone.
            faults: takes a sentence for each that was left, because its lock can't be told to be free or it can't be
                removed.
        """
        found: dict[str, int] = {}
        with self.inside("tmp") as folder:
            names = [name for name in folder.names() if key_in("tmp", name) and (copies or not name.endswith(COPY))]
        for key in sorted({key_in("tmp", name) for name in names}):
            leftovers = [name for name in names if key_in("tmp", name) == key]
            try:
                with self.lock(key):
                    found[key] = sum(map(self._size, leftovers))
                    if remove:
                        self.clear(key, copies=copies)
                        left = [name for name in leftovers if os.path.lexists(self.root / "tmp" / name)]
                        if left and faults is not None:
                            faults.append(f"{self.root / 'tmp' / left[0]}: no permission to remove all of it")
            except BusyError:
                continue
            except KitError as error:
                if faults is not None:
                    faults.append(f"tmp/{leftovers[0]} is left: {error}")
        return found

    def _size(self, name: str) -> int:
        """Return the bytes of the files below a folder of ``tmp``."""
        with (
            suppress(OSError, KitError),
            open_root(self.root / "tmp", any_owner=True) as folder,
            folder.folder(name) as inner,
        ):
            return sum(one.size_bytes for one in walk(inner))
        return 0

    def remove(self, key: str) -> int:
        """Delete an artifact; returns the bytes given back.

        Raises:
            BusyError: a run works on its job, or reads it.
            KitError: its head or its lock can't be read, or it may not be removed.
        """
        artifact = self.get(key)
        gone = f"{key}.removed"
        with self.lock(key), unread(self, key), self.inside("tmp") as tmp, self.inside("artifacts") as artifacts:
            try:
                if tmp.has(gone):
                    remove(tmp, gone)
                os.rename(key, gone, src_dir_fd=artifacts.descriptor, dst_dir_fd=tmp.descriptor)
                remove(tmp, gone)
            except OSError as error:
                raise KitError(f"{artifact.folder}: can't be removed: {error.strerror}") from error
        return 0 if artifact.released else artifact.size_bytes
