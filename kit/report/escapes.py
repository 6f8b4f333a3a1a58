"""Texts of models and files, made safe to show: no terminal escapes, and no formulas for a spreadsheet."""

import json
import math
import re
from typing import Any

NOT_ASCII = re.compile(r"[^\n -~]")
"""Characters that may have to be escaped before they are shown; most texts have few, and are searched at once."""
SPACES = "\n\N{NO-BREAK SPACE}"
"""Characters that Python calls unprintable and that are shown as they are; tables have the second in their cells."""
FORMULA_STARTS = ("=", "+", "-", "@", "|")
"""First characters of cells that spreadsheets take for formulas."""


def plain(text: str) -> str:
    r"""Return a model's or file's text made safe to show: control characters, and so terminal escapes, as ``\x1b``."""
    return NOT_ASCII.sub(lambda found: found[0] if shows(found[0]) else escaped(found[0]), text)


def csv_cell(value: Any) -> Any:
    r"""Return a CSV cell that no spreadsheet runs: a text that opens like a formula gets an apostrophe before it.

    Numbers stay as they are, also those that come as texts: ``-0.5``.
    """
    if not isinstance(value, str):
        return value
    text = plain(value)
    return f"'{text}" if text.lstrip().startswith(FORMULA_STARTS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def shows(character: str) -> bool:
    """Return whether a character can be shown as it is."""
    return character.isprintable() or character in SPACES


def escaped(character: str) -> str:
    r"""Return a character as Python's texts write it: ``\x1b``."""
    return character.encode("unicode_escape").decode("ascii")


def plain_json(document: Any, indent: int | None = 1) -> str:
    r"""Return a JSON text that is safe to show: control characters are escaped as JSON does, ``\u001b``."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return NOT_ASCII.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)
