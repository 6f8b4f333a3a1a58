"""Formats of instructions and pairs: how a record says what was asked and answered. A file's records tell which it is.

Alpaca (LLaMA-Factory's layout), GSM8K's own, ShareGPT's conversations, OpenAI's messages, and plain lines of text.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.errors import RequestError, did_you_mean, one_line, shown
from kit.files import chats
from kit.files.queries import FIRST_TURNS, LINES, first_turn
from kit.files.rowfiles import RowFile, open_container

AUTO = "auto"
"""Name that lets the file's records tell."""
FIELDS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"instruction": "instruction", "input": "input", "output": "output"},
    "gsm8k": {"instruction": "question", "output": "answer"},
    LINES: {"instruction": "instruction"},
    FIRST_TURNS: {"instruction": "instruction"},
}
"""Format -> field of a row -> field of a record."""
CHAT_FIELDS: Mapping[str, Mapping[str, str]] = {
    "alpaca": {"system": "system", "history": "history"},
    "gsm8k": {},
    LINES: {},
    FIRST_TURNS: {},
}
"""Fields that may hold what comes before the instruction, by format."""
FORMATS = (AUTO, "alpaca", "sharegpt", "messages", LINES, "gsm8k")
"""Names that ``--format`` takes."""
SEED_FORMATS = (*FORMATS, FIRST_TURNS)
"""Names that a seed set's ``format`` takes."""


def check_format(format: str, where: str) -> None:
    """Check that a format is known.

    Raises:
        RequestError: it is not.
    """
    if format not in SEED_FORMATS:
        raise RequestError(f"{where}: no seed format {shown(format)}{did_you_mean(format, SEED_FORMATS)}")


def open_rows(path: Path, format: str = AUTO, *, any_table: bool = False) -> RowFile:
    """Read a file of instructions or pairs, and tell its format.

    Args:
        path: the file.
        format: one of :data:`SEED_FORMATS`; ``auto`` tells it by the records.
        any_table: whether a table's columns may have any names, for scores without the rows' texts.

    Raises:
        RequestError: an unknown format, or a file that can't be read.
    """
    check_format(format, one_line(str(path)))
    rows = open_container(path, lines=None if format == AUTO else format == LINES, any_table=any_table)
    if format == FIRST_TURNS:
        turns = [(where, first_turn(record, where)) for where, record in rows.records]
        kept = [(where, turn) for where, turn in turns if turn is not None]
        if turns and not kept:
            raise RequestError(f"{one_line(str(path))}: none of {len(turns):,} conversations begins with a user's text")
        rows = replace(rows, records=kept)
    return replace(rows, format=format_of(rows) if format == AUTO else format)


def format_of(rows: RowFile) -> str:
    """Return the format that a file's records have; ``alpaca`` where nothing tells, which then says what is lacking."""
    if rows.container == "lines":
        return LINES
    for _, record in rows.records:
        if record.get("instruction"):
            return "alpaca"
        if found := chats.chat_format(record):
            return found
    return "alpaca"


def resolved(path: Path, format: str) -> str:
    """Return a format's own name: what ``auto`` means for a file, so that a job's key says it."""
    return open_rows(path, format).format if format == AUTO else format


def query_format(path: Path) -> str:
    """Return the format in which a file of queries is read: texts on lines by its name, the others by its records.

    Raises:
        RequestError: it can't be read.
    """
    if path.name.removesuffix(".gz").endswith(".txt"):
        return LINES
    found = open_rows(path).format
    return FIRST_TURNS if found in chats.KEYS else found


def columns_read(record: Mapping[str, Any], format: str) -> Mapping[str, str]:
    """Return what is read of a record: field of a row -> field of the record."""
    if format in chats.KEYS:
        return {"instruction": chats.chat_field(record), "system": "system"}
    return {**FIELDS[format], **CHAT_FIELDS[format]}


def like_a_turn(record: Mapping[str, Any]) -> bool:
    """Return whether a record is one turn of a chat, where a file is one chat and no list of them."""
    return any(role in record and text in record for role, text in chats.KEYS.values())
