"""Files of rows as people keep them: a JSON list, JSONL, CSV, Parquet or plain lines, told apart by what they hold."""

import json
import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.errors import RequestError, one_line, shown
from kit.files import csvrows, parquet
from kit.files.fields import CHATS, RECORD
from kit.reading.jsonfiles import BeyondError, likely_cause, load_json
from kit.reading.jsonlines import BYTE_ORDER_MARK, beyond_json, objects_of
from kit.reading.textfiles import GZIP, decode, read_bytes, read_text, unpack

NO_LINES = (".json", ".jsonl", ".ndjson", ".parquet", ".toml", ".yaml", ".yml", ".xml", ".html", ".py")
"""Endings of names that say something else than plain lines: JSON that is cut off, another file than was meant."""
PAGE = re.compile(r"\s*+(?:<!doctype html|<html|<\?xml)\b", re.IGNORECASE)
"""The beginning of what is HTML or XML."""
NO_JSON = re.compile(r"(?!NaN|Infinity|null|true|false)[^\s\[{\"\-0-9]|-[^0-9I]")
"""First characters of a text that is no JSON from the start."""
LINE_BREAK = re.compile("\r\n|\n|\r")
HEADER = frozenset((*RECORD, *CHATS))
"""Fields of which a table's first line names at least one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowFile:
    """A file's records, and what is needed to write some of them again as they were."""

    name: str
    """The file's name in messages."""
    stem: str
    """The file's name without ending, with which the ids of its rows begin."""
    container: str
    """``json``, ``jsonl``, ``csv``, ``parquet`` or ``lines``."""
    format: str = ""
    """Format of its records, see :mod:`kit.files.formats`; empty where it is not asked for."""
    packed: bool = False
    """Whether gzip packed it."""
    records: Sequence[tuple[str, dict[str, Any]]]
    """Place and fields of each record, in the file's order."""
    text: str = field(default="", repr=False)
    """The text of a JSON list, of JSONL or of lines."""
    table: csvrows.Table | None = None
    """The cells of a CSV file."""
    data: bytes = field(default=b"", repr=False)
    """The bytes of a Parquet file."""
    columns: tuple[str, ...] = ()
    """Names of a table's columns, in order."""


def objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the records of a JSON list, or a JSONL, CSV or Parquet file, each with its place.

    Raises:
        RequestError: the file is missing, is not UTF-8, is cut off, or holds something else than records.
    """
    return list(open_container(path, lines=False).records)


def is_empty(path: Path) -> bool:
    """Return whether a file is blank."""
    data = read_bytes(path)
    return not data.startswith(parquet.MAGIC) and not read_text(path).strip()


def open_container(path: Path, *, lines: bool | None = None, any_table: bool = False) -> RowFile:
    """Read a file, whatever it keeps its records in.

    Args:
        path: the file; its name counts only where its text could be one thing as well as another.
        lines: whether it is plain lines of text; by default they are what is neither JSON nor a table.
        any_table: whether a table's columns may have any names, for scores without the rows' texts.

    Raises:
        RequestError: the file can't be read or unpacked, is cut off, or holds something else than records.
    """
    name, data = one_line(str(path)), read_bytes(path)
    if data.startswith(parquet.MAGIC) and not lines:
        columns, rows = parquet.read(path, len(data), name)
        records = [(f"{name}[{index}]", row) for index, row in enumerate(rows)]
        return RowFile(
            name=name, stem=path.stem, container="parquet", records=records, data=data, columns=tuple(columns)
        )
    unpacked = unpack(data, name)
    text = decode(unpacked, name)
    container, records, table = _records(text, name, lines, marked=unpacked.startswith(BOM_UTF8), any_table=any_table)
    return RowFile(
        name=name,
        stem=path.stem,
        container=container,
        packed=data.startswith(GZIP),
        records=records,
        text=text if container in ("json", "jsonl", "lines") else "",
        table=table,
        columns=tuple(table.columns) if table else (),
    )


def _records(
    text: str, name: str, lines: bool | None, *, marked: bool, any_table: bool
) -> tuple[str, list[tuple[str, dict[str, Any]]], csvrows.Table | None]:
    """Return the container of a text, its records, and a table's cells."""
    bare = text.lstrip(BYTE_ORDER_MARK)
    if not bare.strip() and not lines:
        raise RequestError(f"{name}: empty; wanted a JSON list or JSONL of records")
    if lines:
        return "lines", _lines(bare, name), None
    csvrows.check_no_note(bare, name)
    if PAGE.match(bare):
        raise RequestError(f"{name}: a web page or XML, as a server may send it for a file; download the file itself")
    first = bare.lstrip()[0]
    if first not in "[{" and (delimiter := csvrows.delimiter_of(bare, name, HEADER)):
        table = csvrows.read(bare, name, delimiter, marked=marked)
        if not any_table:
            csvrows.check_header(table, name, HEADER)
        return "csv", [(row.where, _unmarked(row.fields)) for row in table.rows], table
    if first in "[{" or lines is False or name.lower().removesuffix(".gz").endswith(NO_LINES):
        return ("json" if first == "[" else "jsonl"), _json(bare, name), None
    return "lines", _lines(bare, name), None


def _lines(text: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the lines of a text as records, without the blanks around them, and without empty ones.

    Raises:
        RequestError: a zero byte stands in one, or they are JSON.
    """
    found = []
    for number, line in enumerate(LINE_BREAK.split(text), 1):
        if "\0" in line:
            raise RequestError(f"{name}:{number}: a zero byte in it; wanted lines of text")
        if bare := line.lstrip(BYTE_ORDER_MARK).strip():
            found.append((f"{name}:{number}", {"instruction": bare}))
    if found and _is_json(found[0][1]["instruction"]):
        raise RequestError(f"{found[0][0]}: found JSON, wanted a text on each line")
    return found


def _is_json(text: str) -> bool:
    """Return whether a line begins a JSON list, or is a JSON object."""
    if text.startswith("["):
        return text.rstrip() == "[" or text.startswith("[{")
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _json(text: str, name: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the records of a JSON list or of JSONL."""
    bare = text.lstrip()
    if NO_JSON.match(bare):
        line = text.count("\n", 0, len(text) - len(bare)) + 1
        start = shown(bare[:200].split("\n")[0].rstrip())
        raise RequestError(
            f"{name}:{line}: found {start}, wanted a JSON list of records, or a JSON object on each line"
        )
    if not bare.startswith("["):
        _no_wrapper(name, text)
        return [(where, _unmarked(row)) for where, row in objects_of(text, name)]
    try:
        rows = load_json(text, unique_names=True)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise RequestError(f"{name}: not JSON: {error.msg}: {place}; {likely_cause(error)}") from error
    except BeyondError as error:
        raise RequestError(f"{name}: {beyond_json(error)}") from error
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestError(f"{name}[{index}]: found {type(row).__name__}, wanted an object")
        found.append((f"{name}[{index}]", _unmarked(row)))
    return found


def _unmarked(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the byte-order mark off the name of its first field, where a converter took it from a table."""
    if not any(name.startswith(BYTE_ORDER_MARK) for name in row):
        return dict(row)
    bare = {name: name.lstrip(BYTE_ORDER_MARK) for name in row}
    return {name if bare[name] in row else bare[name]: value for name, value in row.items()}


def _no_wrapper(name: str, text: str) -> None:
    """A file that is one JSON object: a record on a line of its own, or what somebody put around the records.

    Raises:
        RequestError: the latter.
    """
    try:
        whole = load_json(text)
    except ValueError:  # more than one line, or no JSON: the lines tell
        return
    if not isinstance(whole, dict):
        return
    lists = [key for key, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    # A record may hold a list of objects itself: kwargs, messages.
    if lists and not any(isinstance(whole.get(key), str) for key in RECORD) and not set(lists) & set(CHATS):
        raise RequestError(
            f"{name}: one JSON object, whose {shown(lists[0])} holds a list of {len(whole[lists[0]]):,} objects; "
            "wanted the list alone, or JSONL"
        )
    parts = list(whole.values())
    by_column = len(parts) > 0 and any(all(isinstance(part, kind) and part for part in parts) for kind in (dict, list))
    if by_column and not set(whole) & set(CHATS):
        raise RequestError(
            f"{name}: one JSON object of {'lists' if isinstance(parts[0], list) else 'objects'}, a table by columns or "
            "by numbers of rows; wanted a list of records (pandas: to_json with orient='records')"
        )
    if "\n" in text.strip():
        raise RequestError(f"{name}: one JSON object over several lines; wanted a JSON list of records, or JSONL")
