"""Files packed in a tar or zip archive, read in memory: nothing is unpacked onto the disk."""

import gzip
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kit.errors import RequestError, one_line
from kit.reading.textfiles import GZIP, open_regular

ZIP = b"PK\x03\x04"
MOST_FILES = 100_000
"""Files of one archive; MMLU's has some 180."""
MOST_PACKED = 512 * 2**20
"""Bytes of an archive; MMLU's has 166 MB. One header of a tar may take four times its size in memory."""
MOST_BYTES = 16 * 2**20
"""The most that one file may unpack to; the longest of MMLU's has 2 MB."""
MOST_TOGETHER = 128 * 2**20
"""The most that the files which are read may unpack to together; MMLU's have some 8 MB."""
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError),
    *(RuntimeError, ValueError, EOFError, OSError, OverflowError),
)
"""Errors that the two modules raise on archives that are damaged, encrypted or made to mislead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One plain file of an archive."""

    name: str
    """Its path inside the archive."""
    where: str
    """The archive and the path, for messages."""
    data: bytes
    """Its bytes."""


def kind_of_archive(path: Path) -> str:
    """Return ``tar`` or ``zip`` by what a file begins with; empty for another file.

    Raises:
        RequestError: the file can't be read, or is a tar archive that gzip packed.
    """
    with open_regular(path) as file:
        head = file.read(262)
        if head.startswith(GZIP):
            file.seek(0)
            _refuse_packed_tar(file, one_line(str(path)))
    return "zip" if head.startswith(ZIP) else "tar" if head[257:262] == b"ustar" else ""


def _refuse_packed_tar(file: BinaryIO, where: str) -> None:
    """Refuse a tar archive that gzip packed; what gzip packed otherwise, or is damaged, is for others to read.

    Raises:
        RequestError: it is one.
    """
    try:
        with gzip.open(file) as unpacked:
            head = unpacked.read(262)
    except DAMAGED:
        return
    if head[257:262] == b"ustar":
        raise RequestError(f"{where}: a tar archive packed by gzip; unpack it with gunzip, and name the .tar file")


def read_members(path: Path, wanted: Callable[[str], bool]) -> list[Member]:
    """Return the plain files of an archive whose paths are wanted, in the order of their paths.

    Args:
        path: a tar or a zip archive.
        wanted: says by a path whether the file is read; links and folders never are.

    Raises:
        RequestError: the archive is damaged, two of its files have one path, or more is wanted than fits the limits.
    """
    where = one_line(str(path))
    kind = kind_of_archive(path)
    found: dict[str, Member] = {}
    together = 0
    with open_regular(path) as file:
        if (packed := os.fstat(file.fileno()).st_size) > MOST_PACKED:
            raise RequestError(f"{where}: {packed:,} bytes; no set of questions has so many, is it another archive?")
        try:
            for name, size, read in (_zipped if kind == "zip" else _tarred)(file, where):
                if not wanted(name):
                    continue
                inner = f"{where}/{one_line(name, 200)}"
                together += size
                if size > MOST_BYTES or together > MOST_TOGETHER:
                    raise RequestError(f"{inner}: {size:,} bytes; no set of questions has so many, is it another set?")
                if name in found:
                    raise RequestError(f"{inner}: the path stands twice in the archive; which of the two counts?")
                if len(data := read()) != size:
                    found_bytes = "more" if len(data) > size else f"{len(data):,}"
                    raise RequestError(f"{inner}: {found_bytes} bytes where {size:,} are stated; is it damaged?")
                found[name] = Member(name=name, where=inner, data=data)
        except DAMAGED as error:
            raise RequestError(f"{where}: cannot be unpacked ({one_line(str(error), 200)}); is it cut off?") from error
    return [found[name] for name in sorted(found)]


_File = tuple[str, int, Callable[[], bytes]]
"""A file of an archive: its path, its size, and the function that reads it."""


def _tarred(file: BinaryIO, where: str) -> Iterator[_File]:
    """Yield the plain files of a tar archive."""
    with tarfile.open(fileobj=file, mode="r:") as archive:
        offset = -1
        for count, info in enumerate(archive, 1):
            # A made-up size may lead back to a file that was read, without end.
            if info.size < 0 or info.offset <= offset or count > MOST_FILES:
                raise RequestError(f"{where}: {_too_many(count) or 'a file of it begins inside another'}")
            offset = info.offset
            if info.isreg() and not info.issparse():
                yield info.name, info.size, lambda info=info: _content(archive, info)  # type: ignore[misc]


def _content(archive: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    """Return the bytes of a plain file of a tar archive."""
    content = archive.extractfile(info)
    return content.read() if content else b""


def _zipped(file: BinaryIO, where: str) -> Iterator[_File]:
    """Yield the plain files of a zip archive; the copies of attributes that macOS adds are left out."""
    with zipfile.ZipFile(file) as archive:
        infos = archive.infolist()
        if fault := _too_many(len(infos)):
            raise RequestError(f"{where}: {fault}")
        for info in infos:
            if not info.is_dir() and not info.filename.startswith("__MACOSX/"):
                yield info.filename, info.file_size, lambda info=info: _unzipped(archive, info)  # type: ignore[misc]


def _unzipped(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """Return the bytes of a file of a zip archive, and one more at most than its header states."""
    with archive.open(info) as content:
        return content.read(info.file_size + 1)


def _too_many(count: int) -> str:
    """Return what is wrong with a number of files; empty if nothing is."""
    return f"more than {MOST_FILES:,} files, which no such archive has" if count > MOST_FILES else ""
