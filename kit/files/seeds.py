"""Instruction files as people have them: Alpaca JSON (LLaMA-Factory's layout), JSONL, GSM8K's own, plain texts."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from kit.errors import RequestError, listed, one_line, shown
from kit.files.fields import CHATS, unread
from kit.files.queries import FIRST_TURNS, LINES, first_turn, lines
from kit.files.texts import HALF, REPLACEMENT, Mended
from kit.reading.jsonfiles import BeyondError, load_json
from kit.reading.jsonlines import BYTE_ORDER_MARK, beyond_json, objects_of
from kit.reading.textfiles import read_text
from kit.records import ChatRow, Instruction, Pair, parse_history, read_rows

FIELDS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"instruction": "instruction", "input": "input", "output": "output"},
    "gsm8k": {"instruction": "question", "output": "answer"},
    LINES: {"instruction": "instruction"},
    FIRST_TURNS: {"instruction": "instruction"},
}
CHAT_FIELDS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"system": "system", "history": "history"},
    "gsm8k": {},
    LINES: {},
    FIRST_TURNS: {},
}
"""Fields that may hold what comes before the instruction, by format."""
RECORD = ("instruction", "prompt", "question", "problem", "text")
"""A text under one of these makes an object on one line a record, and not something around a list of records."""
LAYOUT = ("id", "instruction", "input", "output")
"""Fields that :func:`write_alpaca` gives each record: by these four the kit knows a file of its own."""
WRITTEN = (*LAYOUT, "system", "history")
"""All fields that :func:`write_alpaca` writes."""
OPTIONAL = ("input", "output", "system")
"""Texts that may be absent or null."""


Kind = TypeVar("Kind", bound=ChatRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading(Generic[Kind]):
    """Rows, and what of their file was not taken as it stands."""

    rows: list[Kind]
    """In the order of the file."""
    unread: Mapping[str, int] = field(default_factory=dict)
    """Field that holds something and that nobody reads -> in how many rows."""
    mended: Mended = field(default_factory=Mended)
    """Counts of half characters and byte-order marks."""

    def facts(self) -> dict[str, Any]:
        """Counts for an artifact's facts: what is used beside instruction, input and output, and what is not."""
        return {
            "with_system": sum(bool(row.system) for row in self.rows),
            "with_history": sum(bool(row.history) for row in self.rows),
            "unread_fields": self._unread_fields(),
            "half_characters": self.mended.half_characters,
            "byte_order_marks": self.mended.byte_order_marks,
        }

    def _unread_fields(self) -> dict[str, int]:
        """Return the fields that nobody reads, by names that a UTF-8 file can hold."""
        found = Counter[str]()
        for name, count in self.unread.items():
            found[HALF.sub(REPLACEMENT, name)] += count
        return dict(sorted(found.items()))


def objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return the records of a JSON list or a JSONL file, each with its place.

    Raises:
        RequestError: the file is missing, is not UTF-8, is cut off, or holds something else than records.
    """
    text = read_text(path).lstrip(BYTE_ORDER_MARK)
    name = one_line(str(path))
    if not text.strip():
        raise RequestError(f"{name}: empty; wanted a JSON list or JSONL of records")
    if not text.lstrip().startswith("["):
        _no_wrapper(name, text)
        return [(where, _unmarked(row)) for where, row in objects_of(text, name)]
    try:
        rows = load_json(text, unique_names=True)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise RequestError(f"{name}: not JSON: {error.msg}: {place}; is the file cut off?") from error
    except BeyondError as error:
        raise RequestError(f"{name}: {beyond_json(error)}") from error
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestError(f"{name}[{index}]: found {type(row).__name__}, wanted an object")
        found.append((f"{name}[{index}]", _unmarked(row)))
    return found


def _unmarked(row: dict[str, Any]) -> dict[str, Any]:
    """The row with the byte-order mark off the name of its first field, where a converter took it from a table."""
    if not any(name.startswith(BYTE_ORDER_MARK) for name in row):
        return row
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
    if lists and not any(isinstance(whole.get(key), str) for key in RECORD):
        raise RequestError(
            f"{name}: one JSON object, whose {shown(lists[0])} holds a list of {len(whole[lists[0]]):,} objects; "
            "wanted the list alone, or JSONL"
        )
    if "\n" in text.strip():
        raise RequestError(f"{name}: one JSON object over several lines; wanted a JSON list of records, or JSONL")


def read_instructions(path: Path, format: str, name: str, rows: int | None = None) -> list[Instruction]:
    """Return seed instructions as the file has them, in its order.

    Args:
        path: Alpaca JSON or JSONL, GSM8K's JSONL, a text file or ShareGPT's JSON.
        format: ``alpaca``, ``gsm8k``, ``lines`` or ``first-turns``.
        name: the seed set's; ids are ``<name>/<position>``, or the file's own where its records have an ``id``.
        rows: the first so many; all by default.

    Raises:
        RequestError: an unknown format, no record, a record without an instruction or with a field that means something
            and can't be used, or an id that stands twice. A blank instruction is let through where the kit wrote it: a
            model may have said nothing.
    """
    return _read(path, format, name, rows, training=False)[0]


def read_seeds(path: Path, format: str, name: str, rows: int | None = None) -> Reading[Instruction]:
    """Seed instructions fit for a model, and what of the file was mended or left unread; see :func:`read_instructions`.

    A half character becomes U+FFFD, a byte-order mark in front of a text is dropped.
    """
    mended = Mended()
    found, left = _read(path, format, name, rows, training=False)
    return Reading(rows=mended.file_rows(found), unread=left, mended=mended)


def read_pairs(path: Path) -> list[Pair]:
    """Training pairs of a user's Alpaca file or of the kit's own JSONL, as they are: instructions with their outputs.

    Raises:
        RequestError: as :func:`read_instructions`, or every output is empty.
    """
    return _pairs(path)[0]


def read_training(path: Path, format: str = "alpaca", name: str | None = None) -> Reading[Pair]:
    """Return training pairs fit for a tokenizer, and what was mended or left unread; see :func:`read_pairs`.

    Args:
        path: the file.
        format: ``alpaca`` or ``gsm8k``.
        name: what the ids of its rows begin with; the file's name by default.
    """
    mended = Mended()
    found, left = _pairs(path, format, name)
    return Reading(rows=mended.file_rows(found), unread=left, mended=mended)


def read_stored(path: Path, kind: type[Kind]) -> Reading[Kind]:
    """Return the rows that an earlier stage wrote; a model's half characters are replaced, which no tokenizer takes."""
    mended = Mended()
    return Reading(rows=mended.stored_rows(read_rows(path, kind)), mended=mended)


def _pairs(path: Path, format: str = "alpaca", name: str | None = None) -> tuple[list[Pair], Counter[str]]:
    """Return the file's pairs, and its fields that are not read."""
    seeds, left = _read(path, format, name or path.stem, None, training=True)
    if not any(row.output.strip() for row in seeds):
        raise RequestError(f"{one_line(str(path))}: every 'output' is empty; run `kit respond` first")
    names = ("id", "instruction", "input", "output", "system", "history")
    return [Pair(**{name: getattr(row, name) for name in names}) for row in seeds], left


def _read(
    path: Path, format: str, name: str, rows: int | None, *, training: bool
) -> tuple[list[Instruction], Counter[str]]:
    """Return the file's first rows, and its fields that hold something and that are not read: field -> rows."""
    if format not in FIELDS:
        raise RequestError(f"{one_line(str(path))}: no seed format {shown(format)}; known: {', '.join(FIELDS)}")
    found: list[Instruction] = []
    seen: dict[str, str] = {}
    left = Counter[str]()
    for index, (where, row) in enumerate(_records(path, format)[:rows]):
        seed = _seed(row, format, f"{name}/{index}", where)
        left.update(unread(row, {**FIELDS[format], **CHAT_FIELDS[format]}, where, training=training))
        if seed.id in seen:
            raise RequestError(f"{where}: id {shown(seed.id)} stands twice, first at {seen[seed.id]}; ids must differ")
        seen[seed.id] = where
        found.append(seed)
    if not found:
        raise RequestError(f"{one_line(str(path))}: no record; the seed set is empty")
    return found, left


def _records(path: Path, format: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the records of a file in one of the formats, each with its place."""
    if format == LINES:
        return lines(path)
    found = objects(path)
    if format != FIRST_TURNS:
        return found
    turns = [(where, first_turn(row, where)) for where, row in found]
    return [(where, turn) for where, turn in turns if turn is not None]


def _seed(row: Mapping[str, Any], format: str, id: str, where: str) -> Instruction:
    """Return one record of a file as a row."""
    columns = FIELDS[format]
    if columns["instruction"] not in row:
        chat = f"; {field!r} holds a chat, which is not read" if (field := _chat_in(row)) else ""
        raise RequestError(
            f"{where}: no {columns['instruction']!r}; found {listed(sorted(row)) or 'no field'}, "
            f"wanted {', '.join(columns.values())}{chat}"
        )
    texts: dict[str, Any] = {name: _text(row, column, where) for name, column in columns.items()}
    if not texts["instruction"].replace(BYTE_ORDER_MARK, "").strip() and not all(name in row for name in LAYOUT):
        raise RequestError(f"{where}: {columns['instruction']!r} is empty; every record needs an instruction")
    if CHAT_FIELDS[format]:
        texts |= {"system": _text(row, "system", where), **parse_history(row, where)}
    own = row.get("id")
    if isinstance(own, list | dict):
        raise RequestError(f"{where}: 'id': found {type(own).__name__}, wanted text or a number")
    return Instruction(id=id if own in (None, "") else str(own), **texts)


def _chat_in(row: Mapping[str, Any]) -> str:
    """Return the field of a record that holds a chat in ShareGPT's or OpenAI's layout; empty where none does."""
    return next((name for name in CHATS if name in row), "")


def has_chats(path: Path) -> bool:
    """Return whether a row of an Alpaca file has a system prompt or a history."""
    return any(row.get(name) for _, row in objects(path) for name in CHAT_FIELDS["alpaca"])


def write_alpaca(path: Path, rows: Sequence[Instruction] | Sequence[Pair]) -> None:
    """A JSON list in the layout that trainers read: instruction, input, output, our id; system and history if any."""
    found = [row.to_json() for row in rows]
    records = [{name: row[name] for name in WRITTEN if name in row} for row in found]
    text = json.dumps(records, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    if row.get(column) is None and column in OPTIONAL:
        return ""
    value = row.get(column)
    if not isinstance(value, str):
        found = "nothing" if column not in row else f"{type(row[column]).__name__}"
        raise RequestError(f"{where}: {column!r}: found {found}, wanted text")
    return value
