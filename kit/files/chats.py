"""Rows that hold whole chats: ShareGPT's turns (``from``, ``value``) and OpenAI's messages (``role``, ``content``).

A chat becomes a row whose instruction is the user's last turn; what stands before it is the row's system prompt and
history, so that training takes the loss on every turn of the assistant's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import RequestError, did_you_mean, listed, shown
from kit.files.fields import CHATS, IN_TURNS, MORE_THAN_TEXT, is_nothing
from kit.records import ChatRow, Instruction, Pair

KEYS: Mapping[str, tuple[str, str]] = {"sharegpt": ("from", "value"), "messages": ("role", "content")}
"""Format -> the keys of a turn: who says it, and the text."""
ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bing", "bard", "bot", "model"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
}
"""Names of roles -> what they are; in any case of letters."""
TOOLS = ("tool", "function", "function_call", "tool_call", "tool_response", "observation", "ipython")
"""Roles of turns that a tool says, or that call one."""
WRITTEN_ROLES: Mapping[str, Mapping[str, str]] = {
    "sharegpt": {"user": "human", "assistant": "gpt", "system": "system"},
    "messages": {"user": "user", "assistant": "assistant", "system": "system"},
}
"""Format -> the names that are written where a chat has none of its own for a role."""
TEXT_PARTS = ("text", "input_text", "output_text")
"""Types of the parts of a message that are text."""
OF_CALLS = ("tool_calls", "function_call", "tool_call_id", *MORE_THAN_TEXT)
"""Keys of a turn without which it would be another one."""


@dataclass(frozen=True, slots=True)
class _Said:
    """One turn of a chat as it was read."""

    role: str
    """``system``, ``user`` or ``assistant``."""
    text: str
    where: str
    """Field and place of the turn, for messages."""


def chat_format(row: Mapping[str, Any]) -> str:
    """Return the format of a row's chat, told by the keys of its first turn; empty where the row holds none."""
    field = chat_field(row)
    turns = row.get(field)
    if not field or not isinstance(turns, list):
        return ""
    first = next((turn for turn in turns if isinstance(turn, dict)), {})
    found = [format for format, (role, text) in KEYS.items() if role in first or text in first]
    return found[0] if len(found) == 1 else ("messages" if field == "messages" else "sharegpt")


def chat_field(row: Mapping[str, Any]) -> str:
    """Return the field that holds a row's chat: the first that holds something; empty where there is none."""
    there = [name for name in CHATS if name in row]
    return next((name for name in there if not is_nothing(row[name])), there[0] if there else "")


def read_chat(row: Mapping[str, Any], format: str, where: str, *, training: bool = False) -> dict[str, Any]:
    """Return a chat as the fields of a row: system, history, instruction, output.

    Args:
        row: the record that holds it.
        format: ``sharegpt`` or ``messages``.
        where: file and place, for messages.
        training: whether the chat has to end with an answer, since every answer is learnt.

    Raises:
        RequestError: no chat is there, a turn is a tool's or has no text, or the turns do not take turns.
    """
    field, turns = _turns(row, format, where)
    said = [_said(turn, format, f"{where}: {field!r}[{number}]", training) for number, turn in enumerate(turns)]
    system, said = _system(row, said, where)
    _check_order(said, field, where)
    output = said[-1].text if said[-1].role == "assistant" else ""
    asked = said[:-1] if said[-1].role == "assistant" else said
    if training and asked is said:
        raise RequestError(
            f"{said[-1].where}: the chat ends with the user, so an answer is lacking; run `kit respond`, or leave that "
            "turn out"
        )
    texts = [turn.text for turn in asked]
    history = tuple(zip(texts[0:-1:2], texts[1:-1:2], strict=True))
    return {"system": system, "history": history, "instruction": texts[-1], "output": output}


def _turns(row: Mapping[str, Any], format: str, where: str) -> tuple[str, Sequence[Any]]:
    """Return the field that holds the chat, and its turns."""
    field = chat_field(row)
    role, text = KEYS[format]
    if not field:
        raise RequestError(
            f"{where}: no {CHATS[0]!r} and no {CHATS[-1]!r}; found {listed(sorted(row)) or 'no field'}, wanted a list "
            f"of turns with {role!r} and {text!r} (format {format})"
        )
    turns = row[field]
    if not isinstance(turns, list):
        raise RequestError(f"{where}: {field!r}: found {type(turns).__name__}, wanted a list of turns")
    if not turns:
        raise RequestError(f"{where}: {field!r} is empty; wanted a turn of the user's at least")
    return field, turns


def _said(turn: Any, format: str, where: str, training: bool) -> _Said:
    """Return one turn with its role and its text."""
    role_key, text_key = KEYS[format]
    if not isinstance(turn, dict):
        raise RequestError(f"{where}: found {type(turn).__name__}, wanted an object with {role_key!r} and {text_key!r}")
    for key in (role_key, text_key):
        if key not in turn:
            found = listed(sorted(turn)) or "no key"
            raise RequestError(f"{where}: no {key!r}; found {found}, wanted {role_key!r} and {text_key!r}")
    role = _role(turn[role_key], f"{where}: {role_key!r}")
    _check_meaning(turn, role, where, training)
    return _Said(role, _text(turn[text_key], f"{where}: {text_key!r}"), where)


def _check_meaning(turn: Mapping[str, Any], role: str, where: str, training: bool) -> None:
    """Refuse a key without which the turn would be another one."""
    as_done = (0, 1) if role != "assistant" else (1,)  # no other turn is learnt, whatever its weight
    for key, value in turn.items():
        if is_nothing(value):
            continue
        if key in OF_CALLS:
            raise RequestError(f"{where}: {key!r} would be lost, turns are text alone here; leave such rows out")
        if training and key in IN_TURNS and value not in as_done:
            raise RequestError(
                f"{where}: {key!r} would be lost, every answer counts alike; leave out what is not to be learnt, then "
                "the key"
            )


def _role(role: Any, where: str) -> str:
    """Return what a role's name is."""
    if not isinstance(role, str):
        raise RequestError(f"{where}: found {type(role).__name__}, wanted a role's name")
    plain = role.strip().casefold()
    if plain in TOOLS:
        raise RequestError(f"{where}: {shown(role)} is a tool's turn, turns are text alone here; leave such rows out")
    if plain not in ROLES:
        raise RequestError(f"{where}: no role {shown(role)}{did_you_mean(plain, ROLES)}")
    return ROLES[plain]


def _text(value: Any, where: str) -> str:
    """Return a turn's text: as it stands, or its parts, a line break between two."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise RequestError(f"{where}: found {type(value).__name__}, wanted text, or a list of parts of text")
    texts = []
    for number, part in enumerate(value):
        place = f"{where}[{number}]"
        kind = part.get("type", "text") if isinstance(part, dict) else None
        if isinstance(part, dict) and kind not in TEXT_PARTS:
            raise RequestError(
                f"{place}: a part of the type {shown(kind)} would be lost, turns are text alone here; leave such rows "
                "out"
            )
        text = part.get("text") if isinstance(part, dict) else part
        if not isinstance(text, str):
            raise RequestError(f"{place}: found {type(text).__name__}, wanted text, or an object with 'text'")
        texts.append(text)
    return "\n".join(texts)


def _system(row: Mapping[str, Any], said: list[_Said], where: str) -> tuple[str, list[_Said]]:
    """Return the system prompt of a chat, and its other turns."""
    beside = row.get("system")
    if not isinstance(beside, str | None):
        raise RequestError(f"{where}: 'system': found {type(beside).__name__}, wanted text")
    first = said[0] if said[0].role == "system" else None
    if first and first.text and beside:
        raise RequestError(f"{first.where}: a second system prompt, beside the field 'system'; wanted one")
    rest = said[1:] if first else said
    for turn in rest:
        if turn.role == "system":
            raise RequestError(
                f"{turn.where}: a system turn in the middle of the chat, which is not read; wanted it as the first turn"
            )
    return beside or (first.text if first else ""), rest


def _check_order(said: Sequence[_Said], field: str, where: str) -> None:
    """Check that user and assistant speak in turn, the user first.

    Raises:
        RequestError: they don't.
    """
    if not said:
        raise RequestError(f"{where}: {field!r} has a system turn alone; wanted a turn of the user's after it")
    for number, turn in enumerate(said):
        wanted = ("user", "assistant")[number % 2]
        if turn.role == wanted:
            continue
        if number == 0:
            raise RequestError(f"{turn.where}: the assistant speaks first; wanted the user, leave this turn out")
        raise RequestError(
            f"{turn.where}: the {turn.role} speaks twice in a row; wanted the {wanted}, join the two turns"
        )


def unread_keys(row: Mapping[str, Any], format: str) -> list[str]:
    """Return the keys of a chat's turns that hold something and are not read: ``messages.name``."""
    field = chat_field(row)
    keys = {key for turn in row[field] for key, value in turn.items() if not is_nothing(value)}
    return [f"{field}.{key}" for key in sorted(keys - set(KEYS[format]))]


def with_chat(record: Mapping[str, Any], format: str, row: ChatRow) -> dict[str, Any]:
    """Return a record whose chat says what a row says; all else of it is kept, in order.

    Args:
        record: the record that the row was made of, or ``{"conversations": []}`` for a new one.
        format: ``sharegpt`` or ``messages``.
        row: an :class:`Instruction`, whose chat ends with the user, or a :class:`Pair`, whose output answers it.
    """
    assert isinstance(row, Instruction | Pair)
    field, (role_key, text_key) = chat_field(record), KEYS[format]
    turns: list[dict[str, Any]] = record[field]
    roles = [ROLES[turn[role_key].strip().casefold()] for turn in turns]
    names = dict(WRITTEN_ROLES[format]) | {role: turn[role_key] for role, turn in zip(roles, turns, strict=True)}
    beside = bool(record.get("system"))
    said = [(turn.role, turn.content) for turn in row.turns_before() if not (beside and turn.role == "system")]
    said.append(("user", f"{row.instruction}\n{row.input}" if row.input else row.instruction))
    if isinstance(row, Pair):
        said.append(("assistant", row.output))
    made = []
    for number, (role, text) in enumerate(said):
        fits = number < len(turns) and roles[number] == role
        turn = turns[number] if fits else {role_key: names[role], text_key: ""}
        made.append(
            turn if fits and _text(turn[text_key], "") == text else {**turn, text_key: _like(turn, text_key, text)}
        )
    changed = {**record, field: made}
    return changed | {"system": row.system} if beside else changed


def _like(turn: Mapping[str, Any], text_key: str, text: str) -> str | list[dict[str, str]]:
    """Return a new text in the way of the old one: as a list of one part where that was a list."""
    old = turn[text_key]
    if not isinstance(old, list):
        return text
    kind = next((part["type"] for part in old if isinstance(part, dict) and "type" in part), "text")
    return [{"type": kind, "text": text}]
