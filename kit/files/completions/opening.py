"""The files of a run: one file, a folder as a tool leaves it, or a zip archive (Inspect's ``.eval`` is one)."""

import io
import lzma
import os
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath

from kit.errors import RequestError, listed, one_line
from kit.reading.textfiles import MAX_UNPACKED_BYTES, decode, read_bytes, unpack

ENDINGS = (".json", ".jsonl", ".ndjson", ".json.gz", ".jsonl.gz", ".ndjson.gz", ".eval", ".zip")
ZIP = b"PK\x03\x04"
INSPECT_HEADERS = ("header.json", "_journal/start.json")
CHUNKED = re.compile(r"_epoch_\d+/")
"""A folder for each sample; else it is a file, whose name has the slash of an id like ``HumanEval/0`` in it."""
MOST_FILES = 100_000
"""Files of one folder or archive; the largest runs write one a problem, some ten thousand."""
DEEPEST_ARCHIVE = 1
"""Archives inside an archive: Inspect's logs, packed by somebody."""
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, NotImplementedError),
    *(RuntimeError, ValueError, EOFError, OSError, OverflowError),
)
"""What zipfile raises on archives that are damaged, encrypted or made to mislead."""
CONVERT = "convert it by `inspect log convert {name} --to json --output-dir .`, and name the JSON file"


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of a run."""

    where: str
    """How messages name it."""
    name: str
    """Its path inside the folder or archive; the file's own name where it stands alone."""
    text: str
    """Its contents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Member:
    """A file that may be read: a folder or an archive holds many that are not wanted."""

    where: str
    name: str
    read: Callable[[], bytes]


def open_files(path: Path, benchmark: str = "") -> tuple[list[File], int]:
    """Return the files that hold completions, in the order of their numbers, and how many others were passed by.

    Of a folder's files those count that a tool writes samples to (``samples_*.jsonl``, ``predictions/``,
    ``<task>/0.py``, the kit's own ``completions.jsonl``); where only some carry the benchmark's name,
    those.

    Raises:
        RequestError: the file can't be read, or the folder holds no file of completions.
    """
    where = one_line(str(path))
    if not os.path.isdir(path):  # noqa: PTH112  # a Path's raises on a name that is too long
        data = read_bytes(path)
        if not data.startswith(ZIP):
            return [File(where=where, name=path.name, text=decode(unpack(data, where), where))], 0
        members = list(_zipped(data, where))
    else:
        members = _inside(path)
    chosen = _choose(members, benchmark)
    if not chosen:
        found = listed(member.name for member in members[:3]) or "nothing"
        raise RequestError(
            f"{where}: no file of completions in it, found {found}; wanted {', '.join(ENDINGS)}, or <task>/0.py"
        )
    files = list[File]()
    size = 0
    for member in chosen:
        read = _read(member)
        size += sum(len(file.text) for file in read)
        if size > MAX_UNPACKED_BYTES:
            raise RequestError(f"{where}: its files hold more than {MAX_UNPACKED_BYTES:,} characters; split it")
        files += read
    return files, len(members) - len(chosen)


def _inside(folder: Path) -> list[_Member]:
    """Return the files under a folder; hidden ones are not a tool's results.

    Raises:
        RequestError: it holds more files than a run leaves.
    """
    paths = list(islice((path for path in folder.rglob("*") if path.is_file()), MOST_FILES + 1))
    if len(paths) > MOST_FILES:
        raise RequestError(f"{one_line(str(folder))}: more than {MOST_FILES:,} files; name the run's own folder")
    named = [(path.relative_to(folder).as_posix(), path) for path in paths]
    visible = [(name, path) for name, path in named if not any(part.startswith(".") for part in name.split("/"))]
    return [
        _Member(where=one_line(str(path)), name=name, read=lambda path=path: read_bytes(path))  # type: ignore[misc]
        for name, path in sorted(visible, key=lambda pair: natural(pair[0]))
    ]


def _zipped(data: bytes, where: str) -> Iterator[_Member]:
    """Give the files of a zip archive; of an Inspect log its samples.

    Raises:
        RequestError: the archive is damaged, or of a kind that can't be read here, or would fill the memory.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except DAMAGED as error:
        raise RequestError(f"{where}: cannot be unpacked ({error}); is the file cut off?") from error
    infos = [info for info in archive.infolist() if not info.is_dir() and not info.filename.startswith("__MACOSX/")]
    if any(info.filename in INSPECT_HEADERS for info in infos):
        infos = [info for info in infos if info.filename.startswith("samples/")]
        if any(CHUNKED.search(info.filename) for info in infos):
            raise RequestError(f"{where}: an Inspect log in chunks; {CONVERT.format(name=where)}")
    if len(infos) > MOST_FILES:
        raise RequestError(f"{where}: more than {MOST_FILES:,} files; pack the run's own folder")
    if sum(info.file_size for info in infos) > MAX_UNPACKED_BYTES:
        raise RequestError(f"{where}: unpacks to more than {MAX_UNPACKED_BYTES:,} bytes; split it")

    def member(info: zipfile.ZipInfo, name: str) -> bytes:
        try:
            return archive.read(info)
        except NotImplementedError as error:  # Inspect may pack by zstd, which zipfile reads from Python 3.14 on
            cure = CONVERT.format(name=where) if where.endswith(".eval") else "pack it by deflate"
            raise RequestError(f"{name}: {error}; {cure}") from error
        except DAMAGED as error:
            raise RequestError(f"{name}: cannot be unpacked ({error})") from error

    for info in sorted(infos, key=lambda info: natural(info.filename)):
        inner = one_line(info.filename, 200)
        named = f"{where}: {inner}"
        yield _Member(
            where=f"{where}/{inner}",
            name=info.filename,
            read=lambda info=info, named=named: member(info, named),  # type: ignore[misc]
        )


def _read(member: _Member, depth: int = 0) -> list[File]:
    """Return a member's text; of an archive inside, those of its own members.

    Raises:
        RequestError: archives stand in each other deeper than tools pack them; one may hold itself, without end.
    """
    data = member.read()
    if data.startswith(ZIP):
        if depth == DEEPEST_ARCHIVE:
            raise RequestError(f"{member.where}: an archive in an archive in an archive; unpack it first")
        return [file for inner in _zipped(data, member.where) for file in _read(inner, depth + 1)]
    return [File(where=member.where, name=member.name, text=decode(unpack(data, member.where), member.where))]


def _choose(members: Sequence[_Member], benchmark: str) -> list[_Member]:
    """Return the members that hold completions, by the names that the tools give them."""
    data = [member for member in members if member.name.lower().endswith(ENDINGS)]
    samples = [member for member in data if _base(member).startswith(("samples_", "completions.jsonl"))]
    predictions = [member for member in data if "predictions" in PurePosixPath(member.name).parts[:-1]]
    chosen = samples or predictions or [member for member in data if not _base(member).startswith("tmp_")]
    if not chosen:
        return [member for member in members if member.name.endswith(".py") and "/" in member.name]
    short = benchmark.rpartition("_")[2]
    named = [member for member in chosen if short and short in _base(member).lower()]
    return named or chosen


def _base(member: _Member) -> str:
    return PurePosixPath(member.name).name


def natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts ``x_2`` before ``x_10``; a number counts by its digits, of which it may have many."""
    parts = [(part.lstrip("0") if part.isdecimal() else part, part.isdecimal()) for part in re.split(r"(\d+)", name)]
    return [(len(part), part) if number else (0, part) for part, number in parts]
