"""Text files as people keep them: UTF-8, with a byte-order mark or without, plain or packed by gzip."""

import gzip
import io
import os
import stat
import zlib
from pathlib import Path
from typing import BinaryIO

from kit.errors import RequestError, one_line

MAX_UNPACKED_BYTES = 4 * 2**30
"""The most that a packed file may unpack to; more would fill the memory of a small machine."""
MAX_FILE_BYTES = 4 * 2**30
"""The most that is read of any file, for the same reason."""
PIECE_BYTES = 1 << 20
"""Bytes that are read at once."""
BOMB_BYTES = 256 * 2**20
BOMB_FOLD = 500
"""Limits of a packed text: what unpacks to more than so many bytes, and to so many times its size, is none. Rows of one
text 100 times over pack 100-fold, and gzip packs 1,032-fold at most."""
GZIP = b"\x1f\x8b"
FOREIGN = {
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it first, or pack it by gzip",
    b"\xfd7zXZ\x00": "packed by xz; unpack it first, or pack it by gzip",
    b"BZh": "packed by bzip2; unpack it first, or pack it by gzip",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    GZIP: "packed by gzip twice; unpack it once",
    b"PK\x03\x04": "a zip archive; unpack it first",
    b"\xd0\xcf\x11\xe0": "an old Excel or Word file; save it as CSV in UTF-8",
    b"ARROW1": "an Arrow file; write its rows as JSONL or Parquet",
    b"\xff\xff\xff\xff": "an Arrow file, as datasets' save_to_disk writes it; write its rows as JSONL or Parquet",
    b"%PDF": "a PDF; wanted the rows themselves",
    b"version https://git-lfs": "a pointer of Git LFS in the place of the file; fetch the file itself (git lfs pull)",
    b"PAR1": "a Parquet file; write its rows as JSONL",
    b"\xff\xfe\x00\x00": "UTF-32 text; save the file as UTF-8",
    b"\x00\x00\xfe\xff": "UTF-32 text; save the file as UTF-8",
    b"\xff\xfe": "UTF-16 text; save the file as UTF-8",
    b"\xfe\xff": "UTF-16 text; save the file as UTF-8",
}
"""First bytes of what is no UTF-8 text -> what it is and what helps; the longer marks stand first."""


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, unpacked where gzip packed it, without its byte-order mark.

    Raises:
        RequestError: the file can't be read or unpacked, or is something else than UTF-8 text.
    """
    where = one_line(str(path))
    return decode(unpack(read_bytes(path), where), where)


def open_regular(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a plain file to read its bytes; a pipe without a writer and a device are refused at once, not waited for.

    Args:
        path: the file.
        follow_links: whether the last part of the path may be a link; an attacker may own it in a shared folder.

    Raises:
        RequestError: it is not there, can't be read, or is no plain file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow_links else os.O_NOFOLLOW))
    except OSError as error:
        if not follow_links and path.is_symlink():
            raise RequestError(f"{one_line(str(path))}: a link, wanted a plain file; remove it") from error
        raise RequestError(f"{one_line(str(path))}: {error.strerror}") from error
    except ValueError as error:  # a zero byte in the name
        raise RequestError(f"{str(path)!r}: no file's name ({error})") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise RequestError(f"{one_line(str(path))}: {kind_of(mode)}, wanted a plain file")
    return os.fdopen(descriptor, "rb")


def kind_of(mode: int) -> str:
    """Return the name of a file's kind: ``a pipe``."""
    kinds = {stat.S_IFREG: "a file", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return {**kinds, stat.S_IFLNK: "a link"}.get(stat.S_IFMT(mode), "a device")


def read_bytes(path: Path, *, max_bytes: int = MAX_FILE_BYTES, follow_links: bool = True) -> bytes:
    """Return the bytes of a plain file.

    Raises:
        RequestError: it is not there, can't be read, is no plain file, or holds more than ``max_bytes``.
    """
    name, data = one_line(str(path)), bytearray()
    with open_regular(path, follow_links=follow_links) as file:
        try:
            if os.fstat(file.fileno()).st_size <= max_bytes:  # else it is refused before it is read
                # Piece by piece: one read of so many bytes would ask for that much memory, whatever the file holds.
                while len(data) <= max_bytes and (piece := file.read(min(PIECE_BYTES, max_bytes + 1 - len(data)))):
                    data += piece
                if len(data) <= max_bytes:
                    return bytes(data)
        except OSError as error:
            raise RequestError(f"{name}: {error.strerror}") from error
    raise RequestError(f"{name}: more than {max_bytes:,} bytes, which no such file has; is it the right one?")


def unpack(data: bytes, where: str) -> bytes:
    """Return what gzip packed, or the bytes as they are where it packed nothing; the first two bytes tell.

    Raises:
        RequestError: the packed bytes are cut off or damaged, or hold more than :data:`MAX_UNPACKED_BYTES`.
    """
    if not data.startswith(GZIP):
        return data
    pieces, size = list[bytes](), 0
    try:
        with gzip.open(io.BytesIO(data)) as file:
            while piece := file.read(PIECE_BYTES):
                pieces.append(piece)
                size += len(piece)
                if size > MAX_UNPACKED_BYTES:
                    raise RequestError(f"{where}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; split it")
                if size > BOMB_BYTES and size > BOMB_FOLD * len(data):
                    raise RequestError(
                        f"{where}: unpacks to more than {BOMB_FOLD} times its {len(data):,} bytes; no rows do"
                    )
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
            raise RequestError(f"{where}: other bytes follow the packed text; unpack it, and pack it anew") from error
        raise RequestError(f"{where}: cannot be unpacked ({error}); is the file cut off?") from error
    return b"".join(pieces)


def decode(data: bytes, where: str) -> str:
    """Return bytes as UTF-8 text, without a byte-order mark.

    Raises:
        RequestError: they are something else; UTF-16, archives and the like are called by their names.
    """
    if data.startswith(b"PK\x03\x04") and b"[Content_Types].xml" in data[:4096]:
        raise RequestError(f"{where}: an Excel workbook or another Office file; save it as CSV in UTF-8")
    for mark, name in FOREIGN.items():
        if data.startswith(mark):
            raise RequestError(f"{where}: {name}")
    if data[257:262] == b"ustar":
        raise RequestError(f"{where}: a tar archive; unpack it, and name the folder")
    if data[:1] == b"\x00" and not data.strip(b"\x00"):
        raise RequestError(f"{where}: nothing but zero bytes; was it copied whole?")
    if data[:1] == b"\x00" or data[1:2] == b"\x00":  # JSON's first character is ASCII: UTF-16 without a mark
        raise RequestError(f"{where}: UTF-16 text; save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        read = error.object  # the bytes behind the mark, from which its places are counted
        line, start = read.count(b"\n", 0, error.start) + 1, read.rfind(b"\n", 0, error.start) + 1
        raise RequestError(f"{where}: line {line:,}: {not_utf8(read, error.start, start)}") from error


def not_utf8(data: bytes, position: int, line_start: int = 0) -> str:
    """Explain that a byte is no UTF-8, by its place in its line, from 0."""
    return f"byte {position - line_start} (0x{data[position]:02x}) is not UTF-8; save the file as UTF-8"
