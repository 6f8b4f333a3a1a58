"""Rows of a user's file read one by one: a row that can't be read has its reason, and all others are read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import RequestError
from kit.files.fields import MOST_FIELDS, is_nothing, other_name, unread
from kit.files.formats import columns_read
from kit.files.rowfiles import RowFile
from kit.files.seeds import record_row
from kit.files.texts import Mended
from kit.records import Instruction, Pair

HALVES = "half a character in a text, read as U+FFFD"
MARKS = "a byte-order mark in front of a text, which is dropped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadRow:
    """One row of a file, or the reason why it can't be read."""

    where: str
    """File and place: ``rows.jsonl:12``, ``rows.json[11]``."""
    row: Instruction | None = None
    """Its texts, fit for a tokenizer; its id is its position, from 0. None where it can't be read."""
    fault: str = ""
    """Reason why it can't be read."""
    notes: Sequence[str] = ()
    """Sentences on what is odd in a row that was read."""


def read_each(file: RowFile, rows: int | None = None, *, answers: bool) -> list[ReadRow]:
    """Return the first rows of a file, each with its texts or with the reason why it has none.

    Args:
        file: the file, with its format.
        rows: number of rows; all by default.
        answers: whether the rows' answers are wanted.
    """
    found: list[ReadRow] = []
    seen: dict[tuple[Any, ...], str] = {}
    for position, (where, record) in enumerate(file.records[:rows]):
        mended = Mended()
        try:
            row = _read(record, file.format, str(position), where, answers)
        except RequestError as error:
            found.append(ReadRow(where=where, fault=_without(where, str(error))))
            continue
        (whole,) = mended.file_rows([row])
        texts = (whole.system, whole.history, whole.instruction, whole.input, whole.output)
        notes = [HALVES] * bool(mended.half_characters) + [MARKS] * bool(mended.byte_order_marks)
        notes += [f"the same texts as {seen[texts]}"] if texts in seen else []
        seen.setdefault(texts, where)
        found.append(ReadRow(where=where, row=whole, notes=notes))
    return found


def _read(record: Mapping[str, Any], format: str, id: str, where: str, answers: bool) -> Instruction:
    """Return a record as a row.

    Raises:
        RequestError: it has no instruction, or a field that means something and can't be used.
    """
    if len(record) > MOST_FIELDS:
        raise RequestError(f"{where}: {len(record):,} fields; wanted {MOST_FIELDS:,} at most")
    own = {name: value for name, value in record.items() if name != "id"}  # an id of the user's names nothing here
    row = record_row(own, format, id, where)
    unread(own, columns_read(own, format), where, training=False)
    if answers and not row.output.strip() and (name := other_name(own, "output")) and not is_nothing(own[name]):
        raise RequestError(f"{where}: {name!r} is not read, and 'output' is empty; is it 'output'? Then rename it")
    return row


def _without(where: str, message: str) -> str:
    """Return a message without the place of its row."""
    return message.removeprefix(where).removeprefix(":").strip()


def whole_and_turns(row: Instruction) -> Iterator[Pair]:
    """Yield what is scored of a row: the pair, and of a chat of several turns also each of the assistant's turns.

    The whole chat is one pair: the user's turns joined by line breaks, and the assistant's. A turn is a pair with the
    turns before it as its history. Ids are the row's, and ``<row>/<turn>``, from 1.
    """
    prompts = [prompt for prompt, _ in row.history]
    answers = [answer for _, answer in row.history]
    last = f"{row.instruction}\n{row.input}" if row.input and row.history else row.instruction
    yield Pair(
        id=row.id,
        system=row.system,
        instruction="\n".join([*prompts, last]),
        input="" if row.history else row.input,
        output="\n".join([*answers, row.output]),
    )
    if not row.history:
        return
    for turn, (prompt, answer) in enumerate(row.history, 1):
        before = row.history[: turn - 1]
        yield Pair(id=f"{row.id}/{turn}", system=row.system, history=before, instruction=prompt, output=answer)
    yield Pair(
        id=f"{row.id}/{len(row.history) + 1}",
        system=row.system,
        history=row.history,
        instruction=row.instruction,
        input=row.input,
        output=row.output,
    )
