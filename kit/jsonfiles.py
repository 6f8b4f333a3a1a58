"""JSON that somebody else wrote: size and nesting are checked before it is parsed, and each fault is a sentence."""

import json
import math
import re
from pathlib import Path
from typing import Any, NoReturn

from kit.errors import RequestError
from kit.textfiles import decode, read_bytes

DEEPEST = 100
"""Brackets in brackets; Python's own parser gives up at some thousands, and prints nothing that helps."""
MAX_BYTES = 64 * 2**20
"""The most that a JSON file may hold where its reader names no other limit; the largest tokenizer.json has 40 MB."""
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)
"""A string, closed or cut off, or a bracket outside strings; possessive, so that no text makes it go back."""


def parse_json(text: str, where: str, *, deepest: int = DEEPEST) -> Any:
    """Return the value of a JSON text.

    Args:
        text: the text.
        where: file and place, for the message.
        deepest: how many brackets may stand in each other.

    Raises:
        RequestError: it is no JSON, is nested deeper, or holds ``NaN``, ``Infinity``, a number of thousands of digits.
    """
    try:
        return checked_value(text, deepest=deepest)
    except TooDeepError as error:
        raise RequestError(f"{where}: {error}") from error
    except ValueError as error:
        raise RequestError(f"{where}: not JSON: {error}; is the file cut off?") from error


class TooDeepError(ValueError):
    """More brackets in each other than are read."""


def checked_value(text: str, *, deepest: int = DEEPEST, unique: bool = False) -> Any:
    """Return the value of a JSON text, for a caller that has a sentence of its own.

    Args:
        text: the text.
        deepest: how many brackets may stand in each other.
        unique: whether a name that an object has twice is refused; else the last one holds, as in most parsers.

    Raises:
        ValueError: as for :func:`parse_json`; the message says what is wrong and not where.
    """
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > deepest:
            raise TooDeepError(f"more than {deepest} brackets in each other at character {match.start():,}")
    pairs = _named_once if unique else None
    return json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=pairs)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names differ."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:80]!r} stands in it twice")
        found[name] = value
    return found


def _refuse(name: str) -> NoReturn:
    """Refuse the three names that Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number of JSON")


def _finite(digits: str) -> float:
    """Return a number that a float can hold."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"{digits[:40]} is too large a number")
    return value


def read_object(
    path: Path, *, max_bytes: int = MAX_BYTES, deepest: int = DEEPEST, follow_links: bool = True
) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        RequestError: the file can't be read, is no plain file, is too large, or holds something else than an object.
    """
    data = read_bytes(path, max_bytes=max_bytes, follow_links=follow_links)
    value = parse_json(decode(data, str(path)), str(path), deepest=deepest)
    if not isinstance(value, dict):
        raise RequestError(f"{path}: found {type(value).__name__}, wanted a JSON object")
    return value
