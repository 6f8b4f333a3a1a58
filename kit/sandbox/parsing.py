"""Parsing the pieces of one model's text as Python: at most so much of it, and nothing twice; nothing here runs it."""

import ast
import re
import symtable
import unicodedata
import warnings
from dataclasses import dataclass

LONGEST = 20_000
"""Characters, without blanks around them; a longer piece counts as not Python. Of a program, the beginning is parsed.

Python's own parser takes a time that grows with the square of some texts: of many fields in one f-string, of many names
beside many functions in one function. Up to this length that is a tenth of a second at most.
"""
MOST_PARSED = 400_000
"""Characters that are parsed of one text in all; once they are spent, what is left of it counts as not Python."""
LEAST_COST = 50
"""Characters that a parse is reckoned to cost at least."""
MOST_MARKS = 100
"""Combining marks in a row (accents on one letter); Python sorts them in a time that grows with the square."""
MOST_DOTS = 100
"""Dots in one import; Python copies the name's beginning at every dot."""
IMPORT = re.compile(r"(?:import|from)((?:[^\n;\\]|\\.)*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Statements of one piece of text, or the line at which it is not Python."""

    nodes: list[ast.stmt] | None
    """The statements at the left margin; ``None`` where it is not Python, or not read."""
    error_line: int | None = None
    """Position of the line at which it is not Python; ``None`` where it is, or where that can't be told."""


class Parser:
    """Parses pieces of one text; once ``MOST_PARSED`` characters were parsed, no more of them."""

    def __init__(self) -> None:
        self._left = MOST_PARSED
        self._known: dict[str, Parsed] = {}

    def parse(self, code: str) -> Parsed:
        """Parse one piece of text; the same text is parsed once only."""
        if code not in self._known:
            self._known[code] = self._first_time(code)
        return self._known[code]

    def parses(self, code: str) -> bool:
        """Return whether the piece is Python, as far as was read."""
        return self.parse(code).nodes is not None

    def _first_time(self, code: str) -> Parsed:
        size = max(LEAST_COST, len(code.strip()))
        if size > min(LONGEST, self._left) or _costly(code):
            return Parsed(nodes=None)
        self._left -= size
        return _parsed(code)


def parses(code: str) -> bool:
    """Return whether the code of a data set is Python, whatever its length; for a model's text there is ``Parser``."""
    return _parsed(code).nodes is not None


def _parsed(code: str) -> Parsed:
    """Parse any text; Python may refuse one that it could read, where that is nested too deeply for it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            symtable.symtable(code, "<text>", "exec")  # first: it refuses what is nested too deeply for the other
            return Parsed(nodes=ast.parse(code).body)
        except SyntaxError as error:
            return Parsed(nodes=None, error_line=(error.lineno or 1) - 1)
        except (ValueError, RecursionError, MemoryError):
            return Parsed(nodes=None)


def _costly(code: str) -> bool:
    """Return whether Python needs a time, or a memory, for a name in it that grows with the square of its length."""
    if any(match[1].count(".") > MOST_DOTS for match in IMPORT.finditer(code)):
        return True
    marks = 0
    for character in "" if code.isascii() else code:
        marks = marks + 1 if unicodedata.combining(character) else 0
        if marks > MOST_MARKS:
            return True
    return False
