"""What a worker says while it works: one JSON object a line, marked, so that no log line is taken for one."""

import json
from collections.abc import Callable
from typing import Any, TextIO

MARK = "\x1ekit "
KINDS = ("start", "progress", "computed", "done", "failed", "blocked")


def sender(stream: TextIO) -> Callable[..., None]:
    """A function that writes events to ``stream``: ``emit("done", key=..., rows=...)``."""

    def emit(kind: str, **fields: Any) -> None:
        stream.write(f"{MARK}{json.dumps({'event': kind, **fields})}\n")
        stream.flush()

    return emit


def parse(line: str) -> dict[str, Any] | None:
    """The event of a line, or ``None`` for a line of log."""
    _, mark, text = line.partition(MARK)
    if not mark:
        return None
    try:
        value = json.loads(text)
    except json.JSONDecodeError:
        return None
    known = isinstance(value, dict) and value.get("event") in KINDS and isinstance(value.get("key"), str)
    return value if known else None
