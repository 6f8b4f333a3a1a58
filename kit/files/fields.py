"""Fields of a user's rows: which are read, which are left unread and counted, and which are refused by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from kit.errors import LONGEST_NAME, RequestError

OTHER_NAMES: Mapping[str, str] = {
    "prompt": "instruction",
    "question": "instruction",
    "context": "input",
    "query": "input",
    "response": "output",
    "completion": "output",
    "answer": "output",
    "target": "output",
    "system_prompt": "system",
    "system_message": "system",
    "histories": "history",
    "chat_history": "history",
    "conversation_history": "history",
}
"""Other tools' names for fields that are read here."""
RECORD = ("instruction", "prompt", "question", "problem", "text")
"""A text under one of these makes an object on one line a record, and not something around a list of records."""
MOST_FIELDS = 10_000
"""Fields of a record, columns of a table: with many more, something else than rows is being read."""
CHATS = ("conversations", "conversation", "messages")
"""Fields that hold whole chats, ShareGPT's and OpenAI's."""
IN_TURNS = ("weight", "train", "loss", "loss_mask")
"""Keys of a chat's turn by which other trainers learn it or not; 1 and true say what is done here."""
MORE_THAN_TEXT = ("image", "images", "video", "videos", "audio", "audios", "tools", "functions")
"""Fields that belong to a row's meaning: without them it is another row."""
OF_ALPACA = ("instruction", "input", "system", "history")
"""Fields that change the request, in a file of another format that has no such field."""
FOR_TRAINING = ("chosen", "rejected", "kto_tag", "label", "weight", "loss_mask")
"""Fields that other trainers learn from, or learn by: which answer is better, whether it is good, how much a row
counts."""


def unread(row: Mapping[str, Any], read: Mapping[str, str], where: str, *, training: bool) -> list[str]:
    """The row's fields that hold something and that nobody will read: sources, categories, scores, a rendered prompt.

    Args:
        row: a decoded row.
        read: what is read: the kit's name -> the field.
        where: file and place, for messages.
        training: the row's output is wanted too.

    Raises:
        RequestError: one of them means something that would be lost, or is the misspelt name of one that is read.
    """
    known = {*read.values(), "id"}
    found = [name for name, value in row.items() if name not in known and not is_nothing(value)]
    for name in found:
        _check_meaning(name, row[name], where, training)
        _check_name(name, row, read, where, training)
    return found


def is_nothing(value: Any) -> bool:
    """Return whether a field is as good as absent."""
    return value is None or value in ([], {}) or (isinstance(value, str) and not value.strip())


def _check_meaning(name: str, value: Any, where: str, training: bool) -> None:
    """Refuse a field without which the row would be another one."""
    if name in CHATS:
        raise RequestError(
            f"{where}: {name!r} holds a chat, which is not read; wanted its last question as 'instruction', its last "
            "answer as 'output', what stands before them as 'history' and 'system'"
        )
    if name in OF_ALPACA:
        raise RequestError(f"{where}: {name!r} would be lost, this format has no such field; take the alpaca format")
    if name in MORE_THAN_TEXT:
        raise RequestError(
            f"{where}: {name!r} would be lost, rows are text alone here; leave such rows out, or the field if they "
            "make sense without it"
        )
    plain = str(value).strip().casefold()  # a table's cells are texts
    a_class = name == "label" and isinstance(value, str) and plain not in ("true", "false", "0", "1", "0.0", "1.0")
    harmless = a_class or (name == "weight" and plain in ("1", "1.0", "true"))
    if training and name in FOR_TRAINING and not harmless:
        raise RequestError(
            f"{where}: {name!r} would be lost, every row counts alike and its 'output' is learnt; leave out the rows "
            "that are not to be learnt, then the field"
        )


def _check_name(name: str, row: Mapping[str, Any], read: Mapping[str, str], where: str, training: bool) -> None:
    """Refuse another name of a field that is read, where the row lacks that one."""
    empty = {column: field for column, field in read.items() if is_nothing(row.get(field))}
    wanted = {column: field for column, field in empty.items() if training or column != "output"}
    field = _meant(name, tuple(wanted.items()))
    if field is not None:
        raise RequestError(f"{where}: {name!r} is not read, and {field!r} is empty; is it {field!r}? Then rename it")


def other_name(row: Mapping[str, Any], field: str) -> str:
    """Return the name of a row's field that is likely meant to be another one; empty where none is."""
    return next((name for name in row if name != field and _meant(name, ((field, field),)) == field), "")


@lru_cache(maxsize=1024)
def _meant(name: str, wanted: tuple[tuple[str, str], ...]) -> str | None:
    """Return the field that a name is another one of, or misspells; rows repeat their names, so answers are kept."""
    plain = name.strip().casefold()
    if len(plain) > LONGEST_NAME:
        return None
    close = get_close_matches(plain, [field for _, field in wanted], n=1, cutoff=0.85)
    return close[0] if close else dict(wanted).get(OTHER_NAMES.get(plain, ""))
