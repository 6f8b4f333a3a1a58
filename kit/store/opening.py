"""Open what lies in a store that other users may write: no link followed, nothing emptied, nothing waited for.

Each folder is opened inside the one that is open already, each file inside its folder, and looked at once it is open:
whoever puts a link there in the meantime is refused, not followed.

A file or folder is taken from

- this user, root, and the owner of the store's folder;
- the owner of the folder it lies in, which was taken itself: an artifact of a group's store is one user's, all of it;
- anybody, where its folder may be written by its group and not by everybody: whoever put it there was let in. So a
  group's folder (``chmod 2775``) needs no list of names, and root behind NFS's root_squash, whose files belong to
  ``nobody``, works there, and in a folder that is nobody's too.

In a folder that everybody may write the first two alone hold.
"""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from kit.errors import KitError
from kit.reading.textfiles import kind_of

SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Folder:
    """An open folder of a store."""

    path: Path
    """For messages; nothing is opened by it."""
    descriptor: int
    owners: frozenset[int]
    """User ids whose files are taken wherever they lie; empty: everybody's are."""

    # looking

    def names(self) -> list[str]:
        """Return the names that are here, sorted; bytes that are no UTF-8 as half characters."""
        return sorted(os.listdir(self.descriptor))  # noqa: PTH208  # of a descriptor

    def stat(self, name: str) -> os.stat_result:
        """Return what a name is; a link is itself.

        Raises:
            OSError: it is not there.
        """
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Whether something of that name is here, even if it is a link that leads nowhere."""
        try:
            self.stat(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def check(self, name: str, *, alone: bool = False) -> None:
        """Refuse what would be refused when it was opened as a file; a name that is not here is fine.

        Args:
            name: of a file.
            alone: whether it must have no second name.

        Raises:
            KitError: it is no plain file, or a stranger's.
        """
        with suppress(FileNotFoundError):
            self._refuse_odd(name, self.stat(name), stat.S_IFREG, alone=alone)

    # opening

    @contextmanager
    def folder(self, name: str) -> Iterator["Folder"]:
        """Open a folder in this one.

        Raises:
            KitError: it is a link, a file, or a stranger's.
            OSError: it is not there, or must not be read.
        """
        descriptor = self._open(name, os.O_RDONLY | os.O_DIRECTORY, wanted=stat.S_IFDIR)
        try:
            yield Folder(self.path / name, descriptor, self.owners)
        finally:
            os.close(descriptor)

    def open(self, name: str, flags: int = os.O_RDONLY, *, alone: bool = False) -> int:
        """Return a descriptor of a plain file that is here.

        Args:
            name: of the file.
            flags: to open it with; never to empty or to make it.
            alone: whether it must have no second name, because it is written to.

        Raises:
            KitError: it is a link, a pipe, a folder or the like, a stranger's, or a second name of another file.
            OSError: it is not there, or must not be opened.
        """
        return self._open(name, flags, wanted=stat.S_IFREG, alone=alone)

    def open_or_make(self, name: str, flags: int) -> int:
        """Return a descriptor of a plain file to be written; a new one is made empty, for those who may write here.

        Raises:
            KitError: as :meth:`open`.
            OSError: it must not be opened or made.
        """
        while True:
            try:
                return self.open(name, flags, alone=True)
            except FileNotFoundError:
                # O_EXCL, as the kernel keeps O_CREAT from opening what others left in a folder like /tmp
                with suppress(FileExistsError):
                    made = os.open(name, flags | os.O_CREAT | os.O_EXCL | SAFE, 0o600, dir_fd=self.descriptor)
                    os.fchmod(made, 0o600 | (os.fstat(self.descriptor).st_mode & 0o022) * 3)
                    return made

    def read(self, name: str, max_bytes: int) -> bytes:
        """Return a file's bytes.

        Raises:
            KitError: as :meth:`open`, or it holds more than ``max_bytes``.
            OSError: it is not there, or must not be read.
        """
        with os.fdopen(self.open(name), "rb") as file:
            data = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)  # that much memory is asked for
        if len(data) > max_bytes:
            raise KitError(f"more than {max_bytes:,} bytes")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all; whatever had its name is replaced, and not written to.

        Raises:
            OSError: the disk is full, or a permission is missing, or a folder has that name.
        """
        draft = f".{name}.{secrets.token_hex(4)}"
        made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o600, dir_fd=self.descriptor)
        try:
            with os.fdopen(made, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(made, 0o644)
                os.fsync(made)
            os.replace(draft, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(draft, dir_fd=self.descriptor)
            raise

    def _open(self, name: str, flags: int, *, wanted: int, alone: bool = False) -> int:
        """Open what a name means now, and look at what was opened."""
        try:
            descriptor = os.open(name, flags | SAFE, dir_fd=self.descriptor)
        except OSError as error:
            # A link, a socket, a pipe that nobody reads, a file for a folder: say which.
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO, errno.EISDIR):
                self._refuse_odd(name, self.stat(name), wanted, alone=alone)
            raise
        try:
            self._refuse_odd(name, os.fstat(descriptor), wanted, alone=alone)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def _refuse_odd(self, name: str, found: os.stat_result, wanted: int, *, alone: bool) -> None:
        """Refuse another kind than a plain file or a folder, a stranger's, and a second name where none may be."""
        path = self.path / name
        if stat.S_IFMT(found.st_mode) != wanted:
            what = "a folder" if wanted == stat.S_IFDIR else "a plain file"
            raise KitError(f"{path}: {kind_of(found.st_mode)}, wanted {what}; remove it")
        if alone and found.st_nlink > 1:
            raise KitError(f"{path}: a second name of a file elsewhere (a hard link), wanted one of its own; remove it")
        here = os.fstat(self.descriptor)
        if not self.owners or found.st_uid in self.owners or found.st_uid == here.st_uid:
            return
        if here.st_mode & stat.S_IWOTH or not here.st_mode & stat.S_IWGRP:
            open_to = ", and everybody may write its folder" * bool(here.st_mode & stat.S_IWOTH)
            raise KitError(
                f"{path}: belongs to user {found.st_uid}{open_to}; wanted this user's, root's or the store's owner's; "
                "remove it, or let a group alone write the store (chmod -R o-w,g+w)"
            )


@contextmanager
def open_root(path: Path, *, any_owner: bool = False, follow_links: bool = True) -> Iterator[Folder]:
    """Open a store's own folder: it is taken from whoever owns it, as somebody named it.

    Args:
        path: absolute.
        any_owner: whether all that lies in it is taken whoever owns it, as in a container, whose host has looked.
        follow_links: whether the last part of the path may be a link.

    Raises:
        OSError: it is not there, is no folder, or must not be read.
    """
    nofollow = 0 if follow_links else os.O_NOFOLLOW
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | nofollow)
    try:
        owners = () if any_owner else (os.geteuid(), 0, os.fstat(descriptor).st_uid)
        yield Folder(path, descriptor, frozenset(owners))
    finally:
        os.close(descriptor)
