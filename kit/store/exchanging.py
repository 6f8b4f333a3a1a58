"""Put an artifact that was made again into the place of the one that gave its files back: one folder for the other.

A folder that has a mark never becomes whole again, and a whole one is never filled: so two processes that make one
artifact at once, as where a lease was lost, can take nothing from each other, on any disk.

Where the kernel and the disk can (Linux, no network's disk), both folders change places in one step. Elsewhere the
marked one is moved aside first, to ``tmp/<key>.former.<random>``; a process that is killed right then leaves it there
with its head, and whoever clears ``tmp`` next puts it back (:func:`put_back`).
"""

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path

from kit.store.job import HEAD, MARK
from kit.store.opening import Folder
from kit.store.walking import remove

FORMER = ".former."
"""Part of the name of a folder of ``tmp`` that was in ``artifacts`` before."""
AT_FDCWD = -100
RENAME_EXCHANGE = 2


def refill(made: Folder, key: str, artifacts: Folder, tmp: Folder) -> None:
    """Put a filled folder into the place of a marked artifact, which then lies in its stead or is gone.

    Args:
        made: folder of the new artifact, its head in it, on the same disk.
        key: of the artifact.
        artifacts: folder of the store.
        tmp: folder of the store.

    Raises:
        FileExistsError: another process was first, and its artifact stays; or the new one is marked itself.
        OSError: the disk is full, or a permission is missing; the artifact stays as it was, marked.
    """
    if made.has(MARK):
        raise _taken(key)
    if not exchange(made.path, artifacts, key):
        _by_way_of_tmp(made, key, artifacts, tmp)
    elif not os.path.lexists(made.path / MARK):
        exchange(made.path, artifacts, key)
        raise _taken(key)


def exchange(path: Path, folder: Folder, name: str) -> bool:
    """Exchange two folders in one step; return whether it was done, which not every kernel and disk can."""
    import ctypes

    libc = ctypes.CDLL(None)
    if not hasattr(libc, "renameat2"):
        return False
    names = os.fsencode(path), os.fsencode(name)
    return bool(libc.renameat2(AT_FDCWD, names[0], folder.descriptor, names[1], RENAME_EXCHANGE) == 0)


def _by_way_of_tmp(made: Folder, key: str, artifacts: Folder, tmp: Folder) -> None:
    """Move the marked artifact aside, then the new one into the place that is free."""
    aside = f"{key}{FORMER}{secrets.token_hex(4)}"
    with suppress(FileNotFoundError):  # another process is at this very step: whose rename comes first counts
        os.rename(key, aside, src_dir_fd=artifacts.descriptor, dst_dir_fd=tmp.descriptor)
    try:
        if tmp.has(aside) and not tmp.has(f"{aside}/{MARK}"):
            raise _taken(key)
        os.rename(made.path, key, dst_dir_fd=artifacts.descriptor)
    except BaseException:
        if tmp.has(aside):
            put_back(aside, key, artifacts, tmp)
        raise
    with suppress(OSError):
        os.unlink(f"{aside}/{HEAD}", dir_fd=tmp.descriptor)  # first: what has a head is whole, and may be put back
        remove(tmp, aside)


def put_back(aside: str, key: str, artifacts: Folder, tmp: Folder) -> bool:
    """Move a former artifact from ``tmp`` back into its place, if that is free; return whether it was."""
    if not tmp.has(f"{aside}/{HEAD}"):
        return False
    try:
        os.rename(aside, key, src_dir_fd=tmp.descriptor, dst_dir_fd=artifacts.descriptor)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True


def _taken(key: str) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "it is there already", key)
