"""Text files as people keep them: UTF-8, with a byte-order mark or without, plain or packed by gzip."""

import gzip
import io
import zlib
from pathlib import Path

from kit.errors import RequestError

MAX_UNPACKED_BYTES = 4 * 2**30
"""The most that a packed file may unpack to; more would fill the memory of a small machine."""
GZIP = b"\x1f\x8b"
FOREIGN = {
    b"\x28\xb5\x2f\xfd": "packed by zstd; unpack it first, or pack it by gzip",
    b"\xfd7zXZ\x00": "packed by xz; unpack it first, or pack it by gzip",
    b"BZh": "packed by bzip2; unpack it first, or pack it by gzip",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    GZIP: "packed by gzip twice; unpack it once",
    b"PK\x03\x04": "a zip archive; unpack it first",
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
    return decode(unpack(read_bytes(path), str(path)), str(path))


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        RequestError: it is not there, or can't be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise RequestError(f"{path}: {error.strerror}") from error


def unpack(data: bytes, where: str) -> bytes:
    """Return what gzip packed, or the bytes as they are where it packed nothing; the first two bytes tell.

    Raises:
        RequestError: the packed bytes are cut off or damaged, or hold more than :data:`MAX_UNPACKED_BYTES`.
    """
    if not data.startswith(GZIP):
        return data
    try:
        with gzip.open(io.BytesIO(data)) as file:
            plain = file.read(MAX_UNPACKED_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise RequestError(f"{where}: cannot be unpacked ({error}); is the file cut off?") from error
    if len(plain) > MAX_UNPACKED_BYTES:
        raise RequestError(f"{where}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; split it")
    return plain


def decode(data: bytes, where: str) -> str:
    """Return bytes as UTF-8 text, without a byte-order mark.

    Raises:
        RequestError: they are something else; UTF-16, archives and the like are called by their names.
    """
    for mark, name in FOREIGN.items():
        if data.startswith(mark):
            raise RequestError(f"{where}: {name}")
    if data[257:262] == b"ustar":
        raise RequestError(f"{where}: a tar archive; unpack it, and name the folder")
    if data[:1] == b"\x00" or data[1:2] == b"\x00":  # JSON's first character is ASCII: UTF-16 without a mark
        raise RequestError(f"{where}: UTF-16 text; save the file as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(f"{where}: byte {error.start} is not UTF-8; save the file as UTF-8") from error
