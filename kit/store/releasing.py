"""Give back the files of an artifact whose head stays, and keep those that are read.

An artifact whose files were given back has a mark beside its head, ``artifact.released.json``. It counts as done; a job
that needs its files has it made again. The mark is written before the first file goes, and the folder keeps it: the
files that were made again come in a folder of their own, which takes its place (:mod:`kit.store.exchanging`). A process
that is killed at either leaves a marked artifact or a whole one, never one that looks whole and is not.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from kit.errors import KitError
from kit.store.faults import BusyError, cure_of
from kit.store.job import HEAD, MARK, Released, check_lone_name, readable_json
from kit.store.opening import SAFE, Folder
from kit.store.reading import StoredFiles
from kit.store.walking import remove, walk

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of a full disk, or of a user's full share of it."""


def mark_bytes(rule: str) -> bytes:
    """Return the mark of an artifact that gives its files back now."""
    return readable_json(Released(at=datetime.now(UTC).isoformat(timespec="seconds"), rule=rule).to_json())


def give_back(folder: Folder, tmp: Folder, rule: str) -> int:
    """Mark an artifact and remove its files; return the bytes that are free again.

    A file that can't be removed (a host still has it open on NFS) is left, and ``kit store gc`` removes it later.

    Args:
        folder: the artifact's, open; the caller holds its lock.
        tmp: the store's folder for what is half-written; a draft in the artifact's own would damage it.
        rule: option by which the files go: ``--keep results``.

    Raises:
        OSError: the mark can't be written; then every file is still there.
    """
    before, late = _bytes_in(folder), False
    if not folder.has(MARK):
        try:
            _write_mark(folder, tmp, rule)
        except OSError as error:
            if error.errno not in FULL:
                raise
            # a second name of the head takes no block; the mark itself follows once there is room
            os.link(HEAD, MARK, src_dir_fd=folder.descriptor, dst_dir_fd=folder.descriptor, follow_symlinks=False)
            late = True
        os.fsync(folder.descriptor)
    clear(folder)
    if late:
        with suppress(OSError):
            _write_mark(folder, tmp, rule)
    return before - _bytes_in(folder)


def _write_mark(folder: Folder, tmp: Folder, rule: str) -> None:
    """Write an artifact's mark whole, or not at all."""
    draft = f"{folder.path.name}.{secrets.token_hex(4)}"
    made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o644, dir_fd=tmp.descriptor)
    try:
        with os.fdopen(made, "wb") as file:
            file.write(mark_bytes(rule))
            file.flush()
            os.fchmod(made, 0o644)
            os.fsync(made)
        os.rename(draft, MARK, src_dir_fd=tmp.descriptor, dst_dir_fd=folder.descriptor)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=tmp.descriptor)
        raise


def clear(folder: Folder) -> None:
    """Remove all but the head and the mark from an artifact's folder, as far as permissions go."""
    for name in folder.names():
        if name not in (HEAD, MARK):
            with suppress(OSError):
                remove(folder, name)


def _bytes_in(folder: Folder) -> int:
    """Return the bytes of the files below a folder, the head and the mark left out."""
    return sum(one.size_bytes for one in walk(folder) if one.name not in (HEAD, MARK))


class Readers:
    """Shared locks on artifacts that are being read: nobody gives their files back or removes them meanwhile."""

    def __init__(self, store: StoredFiles) -> None:
        self.store = store
        self._held: dict[str, int] = {}

    def hold(self, keys: Iterable[str]) -> None:
        """Lock artifacts for reading; one that can't be is read all the same, as from a store that is read-only."""
        for key in keys:
            if key not in self._held:
                with suppress(OSError, KitError):
                    self._held[key] = _locked(self.store, key, fcntl.LOCK_SH)

    def drop(self, key: str) -> None:
        """Give back the lock of one artifact, if it is held."""
        if (held := self._held.pop(key, None)) is not None:
            os.close(held)

    def close(self) -> None:
        """Give back the locks of all artifacts."""
        for key in list(self._held):
            self.drop(key)


@contextmanager
def reading(store: StoredFiles, keys: Iterable[str]) -> Iterator[Readers]:
    """Hold artifacts for reading while they are worked with."""
    readers = Readers(store)
    try:
        readers.hold(keys)
        yield readers
    finally:
        readers.close()


@contextmanager
def unread(store: StoredFiles, key: str) -> Iterator[None]:
    """Keep an artifact from being read while its files go.

    Raises:
        BusyError: a run reads it.
        KitError: its lock can't be opened.
    """
    try:
        held = _locked(store, key, fcntl.LOCK_EX)
    except BlockingIOError as error:
        raise BusyError(f"artifact {key[:12]} is being read by another run") from error
    except OSError as error:
        path = store.root / "locks" / f"{key}.readers"
        raise KitError(f"{path}: can't be locked: {error.strerror}; {cure_of(error)}") from error
    try:
        yield
    finally:
        os.close(held)


def _locked(store: StoredFiles, key: str, how: int) -> int:
    """Return the descriptor of the lock that an artifact's readers share, locked now or not at all."""
    name = f"{check_lone_name(key)}.readers"
    with store.inside("locks") as folder:
        try:
            held = folder.open_or_make(name, os.O_RDWR)
        except PermissionError:  # another user's of the same group
            held = folder.open(name)
    try:
        fcntl.flock(held, how | fcntl.LOCK_NB)
    except BaseException:
        os.close(held)
        raise
    return held
