"""Go through a folder of a store, and remove one, however deep it is and whatever lies in it."""

import hashlib
import os
import secrets
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from kit.errors import KitError
from kit.reading.textfiles import kind_of
from kit.store.opening import Folder

DEEPEST = 32
"""Folders in folders that an artifact may have; a model's folder has two."""


@dataclass(frozen=True, slots=True)
class Found:
    """One thing below a folder."""

    name: str
    """``adapter/config.json``."""
    folder: Folder
    """The open folder that it lies in."""
    fault: str = ""
    """Why it is no part of an artifact: a link, a pipe, a folder that can't be read."""
    is_folder: bool = False
    size_bytes: int = 0
    """Of a file."""

    @property
    def base(self) -> str:
        """The last part of its name."""
        return self.name.rpartition("/")[2]


def walk(folder: Folder, above: str = "", depth: int = 0) -> Iterator[Found]:
    """Yield all that lies below a folder, by name, folders before what they hold; no link is followed.

    Args:
        folder: where to look.
        above: what its own name is below the first folder, with a slash at its end.
        depth: how many folders down this is.
    """
    for base in folder.names():
        name, found = above + base, folder.stat(base)
        if stat.S_ISDIR(found.st_mode):
            yield Found(name, folder, is_folder=True)
            if depth == DEEPEST:
                yield Found(name, folder, fault=f"more than {DEEPEST} folders in each other")
                continue
            try:
                with folder.folder(base) as inner:
                    yield from walk(inner, f"{name}/", depth + 1)
            except KitError as error:
                yield Found(name, folder, fault=str(error))
            except OSError as error:
                yield Found(name, folder, fault=f"can't be read: {error.strerror}")
        elif stat.S_ISREG(found.st_mode):
            yield Found(name, folder, size_bytes=found.st_size)
        else:
            yield Found(name, folder, fault=f"{kind_of(found.st_mode)}; an artifact holds plain files")


def sha256_of(descriptor: int) -> str:
    """Return the hash of an open file's bytes, hex, and close it."""
    with os.fdopen(descriptor, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove(folder: Folder, name: str) -> None:
    """Remove a file, a link or a folder with all that is in it; what a link leads to stays.

    Folders in folders are moved up before they are emptied, so that no nest of thousands is too deep: Python's own
    removal takes a descriptor and a call for each level, and ends in a RecursionError.

    Raises:
        OSError: a permission is missing.
    """
    if not stat.S_ISDIR(folder.stat(name).st_mode):
        os.unlink(name, dir_fd=folder.descriptor)
        return
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    top = os.open(name, flags, dir_fd=folder.descriptor)
    try:
        while inner_names := _unlink_files(top):
            for base in inner_names:
                inner = os.open(base, flags, dir_fd=top)
                try:
                    for deeper in _unlink_files(inner):
                        os.rename(deeper, f"up.{secrets.token_hex(8)}", src_dir_fd=inner, dst_dir_fd=top)
                finally:
                    os.close(inner)
                os.rmdir(base, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=folder.descriptor)


def _unlink_files(folder: int) -> list[str]:
    """Remove what is no folder from an open folder; return the names of the folders in it."""
    with os.scandir(folder) as found:
        entries = list(found)
    folders = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in {entry.name for entry in entries} - set(folders):
        os.unlink(name, dir_fd=folder)
    return folders
