"""Find the matches of IFEval's official patterns, in time that grows with the text.

Some of the patterns that the official checkers give to ``re.findall`` take time that grows with the square of a text
that repeats ``[`` or ``<<`` without an end, or of blank lines and blanks that no bullet point or postscript follows;
small models write those by the thousand. Here the same matches are looked up. :func:`stand_in` takes the place of
``re`` in the checkers' module. Their other patterns, and those that a problem brings along, are read by ``re``: each
reads a character a fixed number of times (tests/benchmarks/test_growth_of_ifeval.py tries every checker).
"""

import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

_NO_BLANK = re.compile(r"\S")
_AFTER_BLANKS = re.compile(r"\\s\*(\w(?:[\w ,:;!'\"-]|\\?\.|\\s\?)*\.\*\$)")
r"""A postscript's pattern: ``\s*``, then plain text that starts with no blank, then the rest of the line."""


def placeholders(text: str) -> list[str]:
    r"""Return the matches of ``\[.*?\]``: from a bracket to the first that closes one in the same line."""
    found: list[str] = []
    for line in text.split("\n"):
        end = -1
        while (start := line.find("[", end + 1)) >= 0 and (end := line.find("]", start)) >= 0:
            found.append(line[start : end + 1])
    return found


def titles(text: str) -> list[str]:
    r"""Return the matches of ``<<[^\n]+>>``: from a line's first ``<<`` to its last ``>>``, with something between."""
    found: list[str] = []
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2:
            found.append(line[start : end + 2])
    return found


def _items(item: str) -> Callable[[str], list[str]]:
    r"""Make a finder of ``^\s*ITEM.*$``, for an item that starts with no blank; ``^`` is the start of any line.

    Blanks may go over many lines; an item after them is one for all of these lines, and none is none for all.
    """
    pattern = re.compile(item + ".*")

    def find(text: str) -> list[str]:
        found: list[str] = []
        at = 0
        while True:
            if at and text[at - 1] != "\n":
                at = text.find("\n", at) + 1 or len(text)
            first = _NO_BLANK.search(text, at)
            if first is None:
                return found
            if match := pattern.match(text, first.start()):
                found.append(text[at : match.end()])
            at = match.end() if match else first.end()

    return find


def after_blanks(pattern: str, text: str) -> list[str]:
    r"""Return the matches of ``\s*PATTERN``, for a pattern that starts with no blank; ``$`` is the end of any line."""
    found: list[str] = []
    end = 0
    for match in re.finditer(pattern, text, re.MULTILINE):
        before = len(text[end : match.start()].rstrip())
        found.append(text[end + before : match.end()])
        end = match.end()
    return found


LINEAR: Mapping[tuple[str, int], Callable[[str], list[str]]] = {
    (r"\[.*?\]", 0): placeholders,
    (r"<<[^\n]+>>", 0): titles,
    (r"^\s*\*[^\*].*$", re.MULTILINE): _items(r"\*[^\*]"),
    (r"^\s*-.*$", re.MULTILINE): _items("-"),
}
"""Official pattern and flags -> what finds the same."""


def findall(pattern: str | re.Pattern[str], text: str, flags: int = 0) -> list[Any]:
    """Return what ``re.findall`` does, in time that grows with the text for the official patterns."""
    source, flags = (pattern, flags) if isinstance(pattern, str) else (pattern.pattern, pattern.flags & ~re.UNICODE)
    if (find := LINEAR.get((source, int(flags)))) is not None:
        return find(text)
    if flags == re.MULTILINE and (rest := _AFTER_BLANKS.fullmatch(source)):
        return after_blanks(rest[1], text)
    return re.findall(pattern, text) if isinstance(pattern, re.Pattern) else re.findall(pattern, text, flags)


def stand_in() -> SimpleNamespace:
    """Return what takes the place of the module ``re`` in the checkers' module."""
    return SimpleNamespace(**{**vars(re), "findall": findall})
