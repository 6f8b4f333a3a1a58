"""Instruction files as people have them: Alpaca JSON (LLaMA-Factory's layout), JSONL, and GSM8K's own."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.records import Instruction, Pair, beyond_json, read_objects
from kit.textfiles import read_text

FIELDS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"instruction": "instruction", "input": "input", "output": "output"},
    "gsm8k": {"instruction": "question", "output": "answer"},
}
RECORD = ("instruction", "prompt", "question", "problem", "text")
"""A text under one of these makes an object on one line a record, and not something around a list of records."""
LAYOUT = ("id", "instruction", "input", "output")
"""What :func:`write_alpaca` gives each record: by these four the kit knows a file of its own."""


def objects(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """The records of a JSON list or a JSONL file, each with its place.

    Raises:
        RequestError: the file is missing, is not UTF-8, is cut off, or holds something else than records.
    """
    text = read_text(path)
    if not text.strip():
        raise RequestError(f"{path}: empty; wanted a JSON list or JSONL of records")
    if not text.lstrip().startswith("["):
        _no_wrapper(path, text)
        return list(read_objects(path))
    try:
        rows = json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        raise RequestError(f"{path}: not JSON: {error.msg}: {place}; is the file cut off?") from error
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path}: {beyond_json(error)}") from error
    found = []
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            raise RequestError(f"{path}[{index}]: found {type(row).__name__}, wanted an object")
        found.append((f"{path}[{index}]", row))
    return found


def _no_wrapper(path: Path, text: str) -> None:
    """A file that is one JSON object: a record on a line of its own, or what somebody put around the records.

    Raises:
        RequestError: the latter.
    """
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):  # more than one line, or no JSON: the lines tell
        return
    if not isinstance(whole, dict):
        return
    lists = [name for name, value in whole.items() if isinstance(value, list) and value and isinstance(value[0], dict)]
    # A record may hold a list of objects itself: kwargs, messages.
    if lists and not any(isinstance(whole.get(name), str) for name in RECORD):
        raise RequestError(
            f"{path}: one JSON object, whose {lists[0]!r} holds a list of {len(whole[lists[0]]):,} objects; "
            "wanted the list alone, or JSONL"
        )
    if "\n" in text.strip():
        raise RequestError(f"{path}: one JSON object over several lines; wanted a JSON list of records, or JSONL")


def read_instructions(path: Path, format: str, name: str, rows: int | None = None) -> list[Instruction]:
    """Seed instructions, in the order of the file.

    Args:
        path: Alpaca JSON or JSONL, or GSM8K's JSONL.
        format: ``alpaca`` or ``gsm8k``.
        name: the seed set's; ids are ``<name>/<position>``, or the file's own where its records have an ``id``.
        rows: the first so many; all by default.

    Raises:
        RequestError: an unknown format, no record, a record without an instruction, or an id that stands twice. A blank
            instruction is let through where the kit wrote it: a model may have said nothing.
    """
    if format not in FIELDS:
        raise RequestError(f"{path}: no seed format {format!r}; known: {', '.join(FIELDS)}")
    columns = FIELDS[format]
    found: list[Instruction] = []
    seen: dict[str, str] = {}
    for index, (where, row) in enumerate(objects(path)):
        if rows is not None and index >= rows:
            break
        if columns["instruction"] not in row:
            raise RequestError(
                f"{where}: no {columns['instruction']!r}; found {', '.join(sorted(row)) or 'no field'}, "
                f"wanted {', '.join(columns.values())}"
            )
        texts = {field: _text(row, column, where) for field, column in columns.items()}
        id = f"{name}/{index}" if row.get("id") is None else str(row["id"])
        if id in seen:
            raise RequestError(f"{where}: id {id!r} stands twice, first at {seen[id]}; ids must differ")
        seen[id] = where
        if not texts["instruction"].strip() and not all(field in row for field in LAYOUT):
            raise RequestError(f"{where}: {columns['instruction']!r} is empty; every record needs an instruction")
        found.append(Instruction(id=id, **texts))
    if not found:
        raise RequestError(f"{path}: no record; the seed set is empty")
    return found


def read_pairs(path: Path) -> list[Pair]:
    """Training pairs of a user's Alpaca file or of the kit's own JSONL: instructions with their outputs.

    Raises:
        RequestError: as :func:`read_instructions`, or every output is empty.
    """
    rows = read_instructions(path, "alpaca", path.stem)
    if not any(row.output.strip() for row in rows):
        raise RequestError(f"{path}: every 'output' is empty; run `kit respond` first")
    return [Pair(id=row.id, instruction=row.instruction, input=row.input, output=row.output) for row in rows]


def write_alpaca(path: Path, rows: list[Instruction] | list[Pair]) -> None:
    """A JSON list in the layout that trainers read: instruction, input, output, and our id."""
    records = [{"id": row.id, "instruction": row.instruction, "input": row.input, "output": row.output} for row in rows]
    text = json.dumps(records, ensure_ascii=False, indent=1)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column, "" if column in ("input", "output") else None)
    if value is None and column in ("input", "output"):
        return ""
    if not isinstance(value, str):
        found = "nothing" if column not in row else f"{type(row[column]).__name__}"
        raise RequestError(f"{where}: {column!r}: found {found}, wanted text")
    return value
