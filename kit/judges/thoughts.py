"""The part of a reply that thinks aloud, which is taken off before a label is looked for."""

import re

RULE = "think-tags-1"
"""Name of the rule of :func:`without_thoughts`, for a job's parameters."""
OPENED, CLOSED = "<think>", "</think>"
_MARKS = re.compile(f"({OPENED}|{CLOSED})")


def without_thoughts(text: str) -> tuple[str, int]:
    """Return a reply without its thoughts, and how many parts were taken off.

    A thought goes from ``<think>`` to the next ``</think>``, or to the end where none follows: what was cut off in a
    thought has no answer. A ``</think>`` that nothing opened ends a thought that the prompt began, so that all before
    it is one. Where nothing is taken off the text stays as it is; else blanks around the rest are taken off too.
    """
    kept: list[str] = []
    parts, thinking = 0, False
    for piece in _MARKS.split(text):
        if piece == OPENED:
            parts += not thinking
            thinking = True
        elif piece == CLOSED:
            if not thinking:
                parts += 1
                kept.clear()
            thinking = False
        elif not thinking:
            kept.append(piece)
    return ("".join(kept).strip() if parts else text), parts
