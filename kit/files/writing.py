"""Rows written back into the format and the container that they came in, with all that the kit does not understand."""

import gzip
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.files import chats, csvrows, parquet
from kit.files.formats import CHAT_FIELDS, FIELDS
from kit.files.jsontexts import RecordTexts, line_texts, list_texts, with_fields
from kit.files.rowfiles import LINE_BREAK, RowFile
from kit.files.seeds import LAYOUT, NO_ID, record_row
from kit.files.texts import HALF, REPLACEMENT
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.records import Instruction, Pair

INDENT = " "
"""Blanks in front of each level of a JSON list that the kit writes."""


@dataclass(frozen=True, slots=True)
class _Written:
    """Record that is to be written, old or new."""

    position: int | None
    """Position of the record that it is made of, from 0; None for a new one."""
    fields: Mapping[str, Any] | None
    """Its fields; None for a record that stays as it stands."""


def write_back(rows: Iterable[int | Instruction | Pair], origin: RowFile, out: Path) -> None:
    """Write rows into a file like the one that they came from: same format, same container, other fields in order.

    Plain lines have no place for line breaks and for answers: where a row is no line of the file as it stands, Alpaca
    records are written, as a JSON list.

    Args:
        rows: for each record to write its position in ``origin`` (from 0), which writes it as it stands, or the row
            that was made of it, known by its id; a row of an id that ``origin`` lacks becomes a new record.
        origin: the file, as :func:`kit.files.formats.open_rows` gives it.
        out: the file to write.

    Raises:
        KitError: a Parquet file's columns can't hold the new values.
    """
    found = list(rows)
    as_lines = origin.container == "lines" and all(isinstance(row, int) for row in found)
    if as_lines:
        lines = [line.lstrip(BYTE_ORDER_MARK) for line in LINE_BREAK.split(origin.text)]
        lines = [line for line in lines if line.strip()]
        _write_text("".join(f"{lines[row]}\n" for row in found if isinstance(row, int)), origin, out)
        return
    if origin.container in ("json", "jsonl") and all(isinstance(row, int) for row in found):
        texts = _record_texts(origin)
        _write_text(texts.joined({row: texts.records[row] for row in found if isinstance(row, int)}), origin, out)
        return
    _write(_records(found, origin), origin, out)


def write_with(fields: Mapping[int, Mapping[str, Any]], origin: RowFile, out: Path) -> None:
    """Write records with more fields: same format, same container, all else of them kept, in order.

    What a JSON record holds is kept by its characters: digits, escapes, indents. Lines have no place for fields: Alpaca
    records are written of them, as a JSON list.

    Args:
        fields: position of each record that is written, in order -> the fields that it gets, in place of its own of
            these names.
        origin: the file, as :func:`kit.files.formats.open_rows` gives it.
        out: the file to write.

    Raises:
        KitError: a Parquet file's columns can't hold the new values.
    """
    if origin.container in ("json", "jsonl"):
        texts = _record_texts(origin)
        own = {row: texts.records[row] for row in fields}
        _write_text(texts.joined({row: with_fields(own[row], fields[row]) for row in fields}), origin, out)
        return
    _write([_Written(row, {**origin.records[row][1], **more}) for row, more in fields.items()], origin, out)


def _write(written: Sequence[_Written], origin: RowFile, out: Path) -> None:
    """Write records into the container of a file."""
    if origin.container == "parquet":
        _write_parquet(written, origin, out)
        return
    if origin.container == "csv":
        text = HALF.sub(REPLACEMENT, _csv(written, origin))
    elif origin.container in ("json", "lines"):
        text = _json_list(written, origin)
    else:
        text = _json_lines(written, origin)
    _write_text(text, origin, out)


def _write_text(text: str, origin: RowFile, out: Path) -> None:
    """Write a text as UTF-8, packed where the file was."""
    data = text.encode("utf-8", "backslashreplace")
    out.write_bytes(gzip.compress(data, mtime=0) if origin.packed else data)


def _records(rows: Sequence[int | Instruction | Pair], origin: RowFile) -> list[_Written]:
    """Return what is written for each row."""
    positions: dict[str, int] = {}
    if any(not isinstance(row, int) for row in rows):
        for position, (_, record) in enumerate(origin.records):
            own = record.get("id")
            positions[f"{origin.stem}/{position}" if own in NO_ID else str(own)] = position
    made = []
    for row in rows:
        if isinstance(row, int):
            made.append(_Written(row, origin.records[row][1] if origin.container == "lines" else None))
            continue
        place = positions.get(row.id)
        before = None if place is None or origin.format == "lines" else origin.records[place][1]
        made.append(_Written(place, record_of(row, origin.format, before)))
    return made


def record_of(row: Instruction | Pair, format: str, record: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return a row as a record of a format.

    Args:
        row: the row.
        format: a name of :data:`kit.files.formats.FORMATS` other than ``auto``; for ``lines`` Alpaca's.
        record: the record that it was made of, whose other fields are kept, in order.
    """
    if format in chats.KEYS:
        start = record if record is not None else {"id": row.id, _chat_name(format): []}
        changed = chats.with_chat(start, format, row)
        no_id = record is not None and changed.get("id") in NO_ID and not row.instruction.strip()
        return {"id": row.id, **{name: value for name, value in changed.items() if name != "id"}} if no_id else changed
    format = "alpaca" if format == "lines" else format
    if record is None:
        fields: dict[str, Any] = {"id": row.id, **_texts(row, format)}
        optional = CHAT_FIELDS[format]
        return {name: value for name, value in fields.items() if value or name not in optional}
    before = _texts(record_row(record, format, row.id, ""), format)
    changes = {name: value for name, value in _texts(row, format).items() if value != before[name]}
    fields = {**record, **changes}
    if fields.get("id") in NO_ID:
        fields = {"id": row.id, **{name: value for name, value in fields.items() if name != "id"}}
    # By these four fields the kit knows a file of its own.
    return fields if format != "alpaca" else fields | {name: "" for name in LAYOUT if name not in fields}


def _chat_name(format: str) -> str:
    """Return the field that a new record of a format holds its chat in."""
    return "messages" if format == "messages" else "conversations"


def _texts(row: Instruction | Pair, format: str) -> dict[str, Any]:
    """Return a row's texts by the fields of a format's records."""
    columns = {**FIELDS[format], **CHAT_FIELDS[format]}
    texts = {field: getattr(row, name) for name, field in columns.items()}
    return {
        field: [list(pair) for pair in value] if isinstance(value, tuple) else value for field, value in texts.items()
    }


def _record_texts(origin: RowFile) -> RecordTexts:
    """Return the records of a JSON list or of JSONL as they stand."""
    return list_texts(origin.text) if origin.container == "json" else line_texts(origin.text)


def _json_list(rows: Sequence[_Written], origin: RowFile) -> str:
    """Return a JSON list, laid out as the kit does it; records that stay as they stand are copied."""
    own = _record_texts(origin).records if any(row.fields is None for row in rows) else ()
    texts = []
    for row in rows:
        if row.fields is None:
            texts.append(own[row.position or 0])
        else:
            text = json.dumps(row.fields, ensure_ascii=False, indent=len(INDENT))
            texts.append(text.replace("\n", f"\n{INDENT}"))
    return "[\n" + ",\n".join(INDENT + text for text in texts) + "\n]\n" if texts else "[]\n"


def _json_lines(rows: Sequence[_Written], origin: RowFile) -> str:
    """Return JSONL; records that stay as they stand are copied."""
    own = _record_texts(origin)
    return "".join(
        (own.records[row.position or 0] if row.fields is None else json.dumps(row.fields, ensure_ascii=False))
        + own.after
        for row in rows
    )


def _columns(rows: Sequence[_Written], origin: RowFile) -> tuple[list[str], list[str]]:
    """Return the new columns that stand before a table's own, and those after."""
    known = {name.lstrip(BYTE_ORDER_MARK) for name in origin.columns}
    new = list(dict.fromkeys(name for row in rows for name in row.fields or () if name not in known))
    return [name for name in new if name == "id"], [name for name in new if name != "id"]


def _csv(rows: Sequence[_Written], origin: RowFile) -> str:
    """Return a table with the delimiter, the line ends and the quoting of the file."""
    table = origin.table
    assert table is not None
    before, after = _columns(rows, origin)
    columns = [*before, *table.columns, *after]
    cells = []
    for row in rows:
        own = table.rows[row.position].cells if row.position is not None else [""] * len(table.columns)
        old = [*[""] * len(before), *own, *[""] * len(after)]
        read = table.rows[row.position].fields if row.position is not None else {}
        cells.append([_cell(column, cell, row, read) for column, cell in zip(columns, old, strict=True)])
    return csvrows.dumped(table, columns, cells)


def _cell(column: str, old: str, row: _Written, read: Mapping[str, Any]) -> str:
    """Return a cell: as it stands unless the record's value is another one."""
    name = column.lstrip(BYTE_ORDER_MARK)
    if row.fields is None or name not in row.fields:
        return old
    return old if column in read and read[column] == row.fields[name] else csvrows.cell_of(row.fields[name])


def _write_parquet(rows: Sequence[_Written], origin: RowFile, out: Path) -> None:
    """Write a Parquet file with the columns, types and metadata of the file."""
    changes: dict[str, list[tuple[int, Any]]] = {}
    before, after = _columns(rows, origin)
    for name in (*before, *after):
        changes[name] = []
    for number, row in enumerate(rows):
        read = origin.records[row.position][1] if row.position is not None else {}
        for name, value in (row.fields or {}).items():
            if name not in read or read[name] != value:
                changes.setdefault(name, []).append((number, _whole(value)))
    parquet.write(origin.data, out, [row.position for row in rows], changes, before)


def _whole(value: Any) -> Any:
    """Return a value with U+FFFD for each half of a character, which no table can hold."""
    return json.loads(HALF.sub(REPLACEMENT, json.dumps(value, ensure_ascii=False)))
