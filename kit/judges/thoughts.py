"""The thoughts of a model that reasons before it replies: parts ``<think> ... </think>`` of its text."""

import re

OPENED, CLOSED = "<think>", "</think>"
_PART = re.compile(rf"{OPENED}.*?(?:{CLOSED}|\Z)", re.DOTALL)


def without_thoughts(text: str) -> tuple[str, int]:
    """Return a reply without its thoughts, and how many parts were taken off.

    A part that is never closed, because the reply was cut there, goes to the end of the text: nothing was replied. A
    text that closes a part which it does not open (some chat templates open it in the prompt) has its thoughts before.
    """
    head, closed, rest = text.partition(CLOSED)
    count = 0
    if closed and OPENED not in head:
        text, count = rest, 1
    text, more = _PART.subn("", text)
    return (text.strip() if count + more else text), count + more
