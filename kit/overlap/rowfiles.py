"""A user's file of records, read and written back: JSON lists and JSONL, packed by gzip or not."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import one_line
from kit.files.rowfiles import objects
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.reading.textfiles import GZIP, decode, read_bytes, unpack


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """A file of records, with the text that they stand in."""

    records: list[tuple[str, dict[str, Any]]]
    """Each record with its place, in the order of the file."""
    text: str
    """The text of the file."""
    packed: bool
    """Whether gzip packed it."""


def open_rows(path: Path) -> RowFile:
    """Return the records of a JSON list or a JSONL file.

    Raises:
        RequestError: as :func:`kit.files.rowfiles.objects`.
    """
    data, where = read_bytes(path), one_line(str(path))
    text = decode(unpack(data, where), where)
    return RowFile(records=objects(path), text=text, packed=data.startswith(GZIP))


def write_back(rows: Sequence[int], origin: RowFile, out: Path) -> None:
    """Write records of a file into another one of its kind, character by character.

    Args:
        rows: positions of the records, from 0.
        origin: the file that they are from.
        out: the file to write.
    """
    if origin.text.lstrip(BYTE_ORDER_MARK).lstrip().startswith("["):
        spans = _spans(origin.text)
        items = ",\n".join(" " + origin.text[start:end] for start, end in map(spans.__getitem__, rows))
        text = f"[\n{items}\n]\n" if rows else "[]\n"
    else:
        lines = [line.lstrip(BYTE_ORDER_MARK).rstrip("\r") for line in origin.text.split("\n")]
        kept = [line for line in lines if line and not line.isspace()]
        text = "".join(f"{kept[row]}\n" for row in rows)
    data = text.encode("utf-8", "surrogatepass")
    out.write_bytes(gzip.compress(data, mtime=0) if origin.packed else data)


def _spans(text: str) -> list[tuple[int, int]]:
    """Return where each item of a JSON list, which was read before, begins and ends."""
    decoder, found = json.JSONDecoder(), list[tuple[int, int]]()
    position = text.index("[") + 1
    while True:
        while text[position] in " \t\r\n,":
            position += 1
        if text[position] == "]":
            return found
        start = position
        _, position = decoder.raw_decode(text, start)
        found.append((start, position))
