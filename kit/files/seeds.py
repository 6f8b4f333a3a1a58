"""Instructions and pairs out of the files that people have, in any format and container that is read."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from kit.errors import RequestError, listed, shown
from kit.files import chats
from kit.files.fields import CHATS, MOST_FIELDS, other_name, unread
from kit.files.formats import AUTO, CHAT_FIELDS, FIELDS, columns_read, like_a_turn, open_rows
from kit.files.rowfiles import RowFile, objects
from kit.files.texts import HALF, REPLACEMENT, Mended
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.records import ChatRow, Instruction, Pair, parse_history, read_rows

LAYOUT = ("id", "instruction", "input", "output")
"""Fields that each Alpaca record has which the kit writes: by these four it knows a file of its own."""
NO_ID = (None, "")
"""Values of ``id`` that are none."""
BYTES = {"type": "bytes"}
"""Value in the place of the bytes of a Parquet file's cell, which are no text."""
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


def read_instructions(path: Path, format: str, name: str, rows: int | None = None) -> list[Instruction]:
    """Return seed instructions as the file has them, in its order.

    Args:
        path: the file.
        format: a name of :data:`kit.files.formats.FORMATS`.
        name: the seed set's; ids are ``<name>/<position>``, or the file's own where its records have an ``id``.
        rows: the first so many; all by default.

    Raises:
        RequestError: an unknown format, no record, a record without an instruction or with a field that means something
            and can't be used, or an id that stands twice. A blank instruction is let through where the kit wrote it: a
            model may have said nothing.
    """
    return instructions_of(open_rows(path, format), name, rows)


def instructions_of(file: RowFile, name: str, rows: int | None = None) -> list[Instruction]:
    """Return the seed instructions of a file that is open; see :func:`read_instructions`."""
    return _read(file, name, rows, training=False)[0]


def read_seeds(path: Path, format: str, name: str, rows: int | None = None) -> Reading[Instruction]:
    """Seed instructions fit for a model, and what of the file was mended or left unread; see :func:`read_instructions`.

    A half character becomes U+FFFD, a byte-order mark in front of a text is dropped.
    """
    mended = Mended()
    found, left = _read(open_rows(path, format), name, rows, training=False)
    return Reading(rows=mended.file_rows(found), unread=left, mended=mended)


def read_pairs(path: Path, format: str = AUTO) -> list[Pair]:
    """Training pairs of a user's file, as they are: instructions with their outputs.

    Raises:
        RequestError: as :func:`read_instructions`, or every output is empty.
    """
    return pairs_of(open_rows(path, format))


def pairs_of(file: RowFile) -> list[Pair]:
    """Return the training pairs of a file that is open; see :func:`read_pairs`."""
    return _pairs(file, file.stem)[0]


def read_training(path: Path, format: str = AUTO, name: str | None = None) -> Reading[Pair]:
    """Return training pairs fit for a tokenizer, and what was mended or left unread; see :func:`read_pairs`.

    Args:
        path: the file.
        format: a name of :data:`kit.files.formats.FORMATS`.
        name: what the ids of its rows begin with; the file's name by default.
    """
    mended = Mended()
    found, left = _pairs(open_rows(path, format), name or path.stem)
    return Reading(rows=mended.file_rows(found), unread=left, mended=mended)


def read_stored(path: Path, kind: type[Kind]) -> Reading[Kind]:
    """Return the rows that an earlier stage wrote; a model's half characters are replaced, which no tokenizer takes."""
    mended = Mended()
    return Reading(rows=mended.stored_rows(read_rows(path, kind)), mended=mended)


def _pairs(file: RowFile, name: str) -> tuple[list[Pair], Counter[str]]:
    """Return the file's pairs, and its fields that are not read."""
    seeds, left = _read(file, name, None, training=True)
    if not any(row.output.strip() for row in seeds):
        raise RequestError(f"{file.name}: every 'output' is empty; run `kit respond` first")
    names = ("id", "instruction", "input", "output", "system", "history")
    return [Pair(**{name: getattr(row, name) for name in names}) for row in seeds], left


def _read(file: RowFile, name: str, rows: int | None, *, training: bool) -> tuple[list[Instruction], Counter[str]]:
    """Return the file's first rows, and its fields that hold something and that are not read: field -> rows."""
    found: list[Instruction] = []
    seen: dict[str, str] = {}
    left = Counter[str]()
    for index, (where, row) in enumerate(file.records[:rows]):
        if len(row) > MOST_FIELDS:
            raise RequestError(f"{where}: {len(row):,} fields; wanted {MOST_FIELDS:,} at most")
        seed = record_row(row, file.format, f"{name}/{index}", where, training=training)
        left.update(unread(row, columns_read(row, file.format), where, training=training))
        if file.format in chats.KEYS:
            left.update(chats.unread_keys(row, file.format))
        if seed.id in seen:
            raise RequestError(f"{where}: id {shown(seed.id)} stands twice, first at {seen[seed.id]}; ids must differ")
        seen[seed.id] = where
        found.append(seed)
    if not found:
        raise RequestError(f"{file.name}: no record; the seed set is empty")
    return found, left


def record_row(record: Mapping[str, Any], format: str, id: str, where: str, *, training: bool = False) -> Instruction:
    """Return one record of a file as a row.

    Args:
        record: its fields.
        format: the file's format.
        id: the row's id, where the record has none of its own.
        where: file and place, for messages.
        training: whether its answers are learnt.

    Raises:
        RequestError: as :func:`read_instructions`.
    """
    texts = _chat_texts(record, format, where, training) if format in chats.KEYS else _texts(record, format, where)
    own = record.get("id")
    if isinstance(own, list | dict):
        raise RequestError(f"{where}: 'id': found {type(own).__name__}, wanted text or a number")
    return Instruction(id=id if own in NO_ID else str(own), **texts)


def _chat_texts(record: Mapping[str, Any], format: str, where: str, training: bool) -> dict[str, Any]:
    """Return the texts of a record that holds a chat."""
    texts = chats.read_chat(record, format, where, training=training)
    # An evolver may have said nothing; `kit evolve` then gives the record an id.
    if _blank(texts["instruction"]) and (texts["output"] or record.get("id") in NO_ID):
        raise RequestError(
            f"{where}: {chats.chat_field(record)!r}: the user's last turn is empty; it is the instruction"
        )
    return texts


def _texts(record: Mapping[str, Any], format: str, where: str) -> dict[str, Any]:
    """Return the texts of a record that has a field for each."""
    columns = FIELDS[format]
    if columns["instruction"] not in record:
        raise RequestError(
            f"{where}: no {columns['instruction']!r}; found {listed(sorted(record)) or 'no field'}, "
            f"wanted {', '.join(columns.values())}{_likely_cure(record, format)}"
        )
    texts: dict[str, Any] = {name: _text(record, column, where) for name, column in columns.items()}
    if _blank(texts["instruction"]) and not all(name in record for name in LAYOUT):
        raise RequestError(f"{where}: {columns['instruction']!r} is empty; every record needs an instruction")
    if CHAT_FIELDS[format]:
        texts |= {"system": _text(record, "system", where), **parse_history(record, where)}
    return texts


def _likely_cure(record: Mapping[str, Any], format: str) -> str:
    """Return how a message goes on about a record that has no instruction."""
    if field := _chat_in(record):
        return f"; {field!r} holds a chat: give chats and other rows as files of their own, with --format auto"
    if like_a_turn(record):
        return "; is the file one chat? Then put it under 'messages' of one object"
    if format != "gsm8k" and all(isinstance(record.get(name), str) for name in FIELDS["gsm8k"].values()):
        return "; --format gsm8k reads 'question' and 'answer'"
    name = other_name(record, FIELDS[format]["instruction"])
    return f"; is {shown(name)} the {FIELDS[format]['instruction']}? Then rename it" if name else ""


def _blank(text: str) -> bool:
    """Return whether a text holds nothing but blanks and byte-order marks."""
    return not text.replace(BYTE_ORDER_MARK, "").strip()


def _chat_in(row: Mapping[str, Any]) -> str:
    """Return the field of a record that holds a chat in ShareGPT's or OpenAI's layout; empty where none does."""
    return next((name for name in CHATS if name in row), "")


def has_chats(path: Path) -> bool:
    """Return whether a row of an Alpaca file has a system prompt or a history."""
    return any(row.get(name) for _, row in objects(path) for name in CHAT_FIELDS["alpaca"])


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    if row.get(column) is None and column in OPTIONAL:
        return ""
    value = row.get(column)
    if not isinstance(value, str):
        found = "nothing" if column not in row else f"{type(row[column]).__name__}"
        found = "bytes" if value == BYTES else found
        raise RequestError(f"{where}: {column!r}: found {found}, wanted text")
    return value
