"""Unpack tar archives on any Python 3.11: the filters of ``tarfile`` came with 3.11.4, and Debian 12 has 3.11.2."""

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from kit.errors import KitError


def unpack(tar: tarfile.TarFile, folder: Path) -> None:
    """Unpack folders, files and links of an archive, and nothing that leads out of the folder.

    Modes and times are the archive's, whatever the umask; the owner is whoever unpacks. Set-user bits are dropped.

    Args:
        tar: an archive that is open for reading.
        folder: where to; it exists.

    Raises:
        KitError: a member is a device or a pipe, is there already, or leads out of the folder by its name or its link.
    """
    folders = []
    for member in tar:
        target = folder / inner_path(member, member.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.parent.resolve().is_relative_to(folder.resolve()):
            raise KitError(f"archive: {member.name} goes through a link that leads out of its folder")
        if os.path.lexists(target) and not (member.isdir() and target.is_dir()):
            raise KitError(f"archive: {member.name} is in it twice")
        if member.isdir():
            target.mkdir(exist_ok=True)
            folders.append((target, member))
        elif member.issym():
            inner_path(member, os.path.join(os.path.dirname(member.name), member.linkname))  # noqa: PTH118, PTH120
            target.symlink_to(member.linkname)
        elif member.islnk():
            os.link(folder / inner_path(member, member.linkname), target, follow_symlinks=False)
        elif member.isreg():
            write_file(tar, member, target)
        else:
            raise KitError(f"archive: {member.name} is neither a file nor a folder nor a link")
    for target, member in reversed(folders):  # last: what is unpacked into a folder changes its time
        set_mode_and_time(target, member)


def write_file(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    """Write one plain file that is not there yet, with its mode and time."""
    content = tar.extractfile(member)
    assert content is not None, "a plain file has content"
    with content, target.open("xb") as file:
        shutil.copyfileobj(content, file)
    set_mode_and_time(target, member)


def set_mode_and_time(target: Path, member: tarfile.TarInfo) -> None:
    """Give a file or a folder the permissions and the time that the archive has for it."""
    target.chmod(member.mode & 0o777)
    os.utime(target, (member.mtime, member.mtime))


def inner_path(member: tarfile.TarInfo, name: str) -> str:
    """Return a path of an archive without ``..``, relative to the folder it is unpacked into.

    Raises:
        KitError: it is absolute, or leads out of that folder.
    """
    found = os.path.normpath(name)
    if PurePosixPath(found).is_absolute() or found.split("/")[0] == "..":
        raise KitError(f"archive: {member.name} leads out of its folder ({name})")
    return found
