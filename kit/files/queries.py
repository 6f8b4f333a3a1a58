"""Queries out of ShareGPT's conversations: the first turn of each."""

from collections.abc import Mapping
from typing import Any

from kit.errors import RequestError, shown

LINES, FIRST_TURNS = "lines", "first-turns"
"""Formats of such files."""
MESSAGES = "messages"
"""Field that holds a chat in OpenAI's files."""
CHAT_FIELDS = ("conversations", "conversation", MESSAGES)
"""Fields that hold a conversation."""
SYSTEM = ("system", "developer")
"""Roles of the turn that OpenAI's chats have in front of the user's."""
USERS = ("human", "user")
"""Names that ShareGPT's files have for the one who asks."""


def first_turn(row: Mapping[str, Any], where: str) -> dict[str, Any] | None:
    """Return the first turn of a conversation as a record; None where the user does not begin it.

    Long conversations are often cut into several, and all but the first of these begin with an answer.

    Args:
        row: a decoded row of the file.
        where: file and place, for messages.

    Raises:
        RequestError: the row holds no conversation.
    """
    field = next((name for name in CHAT_FIELDS if name in row), None)
    if field is None:
        raise RequestError(f"{where}: no 'conversations'; found {shown(sorted(row)[:6])}, wanted ShareGPT's layout")
    turns = row[field]
    if not isinstance(turns, list):
        raise RequestError(f"{where}: {field!r}: found {type(turns).__name__}, wanted a list of turns")
    first = 0
    if field == MESSAGES and turns and isinstance(turns[0], dict) and turns[0].get("role") in SYSTEM:
        first = 1
    if len(turns) <= first:
        return None
    speaker, text = _turn(turns[first], f"{where}: {field!r}[{first}]")
    return {"instruction": text} if speaker in USERS and text.strip() else None


def _turn(turn: Any, where: str) -> tuple[str, str]:
    """Return who speaks in a turn, and the text."""
    if isinstance(turn, dict):
        if isinstance(turn.get("human"), str):  # the layout with both texts in one turn
            return "human", turn["human"]
        speaker, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        if isinstance(speaker, str) and isinstance(text, str):
            return speaker, text
    raise RequestError(f"{where}: found {shown(turn)}, wanted an object with the texts 'from' and 'value'")
