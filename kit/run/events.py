"""Events that a worker sends while it works: one marked JSON object a line; the mark tells it from a line of log.

A worker in a container is not to be trusted: a line that is not a valid event in every detail is log text.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from kit.errors import RequestError
from kit.reading.jsonfiles import parse_json

MARK = "\x1ekit "
LONGEST_LINE = 1 << 24
"""Most characters of an event's line; a longer line is log text, and is read in pieces."""
DEEPEST = 32
"""Most levels of brackets in an event."""
LARGEST = 1 << 63
"""Bound that every number of an event is below."""
LONGEST_PHASE = 100
"""Most characters of a phase."""


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < LARGEST  # no bool, no NaN, nothing that is endless to print


def _is_count(value: Any) -> bool:
    return _is_number(value) and type(value) is int


def _is_text(value: Any) -> bool:
    return type(value) is str


def _is_object(value: Any) -> bool:
    return type(value) is dict


def _is_phrase(value: Any) -> bool:
    return type(value) is str and len(value) <= LONGEST_PHASE and value.isprintable()  # no line break, no escape


Fields = Mapping[str, Callable[[Any], bool]]
KINDS: Mapping[str, Fields] = {
    "start": {},
    "progress": {"done": _is_count, "total": _is_count, "tokens": _is_number},
    "computed": {"rows": _is_count, "facts": _is_object, "provenance": _is_object},
    "done": {"rows": _is_count, "seconds": _is_number},
    "failed": {"reason": _is_text},
    "blocked": {},
}
"""Kind of event -> its fields beside ``key``, each with the check of its value."""
OPTIONAL: Fields = {"tokens": _is_number, "shared": lambda value: type(value) is bool, "phase": _is_phrase}
"""Fields that an event may have; ``phase``, before there are counts, tells what it does: ``starting the trainer``."""


def sender(stream: TextIO) -> Callable[..., None]:
    """Return a function that writes events to ``stream``: ``emit("done", key=..., rows=...)``."""

    def emit(kind: str, **fields: Any) -> None:
        stream.write(f"{MARK}{json.dumps({'event': kind, **fields}, allow_nan=False)}\n")  # as parse wants it
        stream.flush()

    return emit


def parse(line: str) -> dict[str, Any] | None:
    """Return the event that a line holds, or ``None`` for a line of log."""
    _, mark, text = line.partition(MARK)
    if not mark:
        return None
    try:
        value = parse_json(text, "event", deepest=DEEPEST)
    except RequestError:  # no JSON; NaN or Infinity, which no head may hold; a nest, a number of thousands of digits
        return None
    if type(value) is not dict or not _is_text(value.get("key")):
        return None
    kind = value.get("event")
    fields = KINDS.get(kind) if isinstance(kind, str) else None
    if fields is None or not all(name in value and is_valid(value[name]) for name, is_valid in fields.items()):
        return None
    return value if all(is_valid(value[name]) for name, is_valid in OPTIONAL.items() if name in value) else None
