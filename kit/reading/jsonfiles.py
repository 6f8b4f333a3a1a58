"""JSON that somebody else wrote: size and nesting are checked before it is parsed, and each fault is a sentence."""

import json
import math
import re
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from kit.errors import RequestError, one_line, shown
from kit.reading.textfiles import decode, read_bytes

DEEPEST = 100
"""Brackets in brackets; Python's own parser gives up at some thousands, and prints nothing that helps."""
MAX_BYTES = 64 * 2**20
"""The most that a JSON file may hold where its reader names no other limit; the largest tokenizer.json has 40 MB."""
_STRING_OR_BRACKET = re.compile(r'"(?>(?:[^"\\]++|\\.)*)"?|[\[\]{}]', re.DOTALL)
"""A string, closed or cut off, or a bracket outside strings; atomic, so that no text makes it go back."""


class BeyondError(ValueError):
    """JSON that Python reads and the kit does not; the message says what stands there."""

    def __init__(self, found: str, wanted: str) -> None:
        super().__init__(found)
        self.wanted = wanted
        """What should stand there instead."""


class DeepError(BeyondError):
    """More brackets in each other than are read."""


def load_json(text: str, *, deepest: int = DEEPEST, unique_names: bool = False) -> Any:
    """Return the value of a JSON text.

    Args:
        text: the text.
        deepest: how many brackets may stand in each other.
        unique_names: whether an object that has a name twice is refused; Python takes the last one in silence.

    Raises:
        json.JSONDecodeError: it is no JSON.
        BeyondError: it is nested deeper, or holds ``NaN``, ``Infinity``, a number that is too large, a name twice.
    """
    try:
        value = (_UNIQUE if unique_names else _ANY).decode(text)
    except RecursionError as error:
        raise _deep(deepest) from error
    except (json.JSONDecodeError, BeyondError):
        raise
    except ValueError as error:  # Python converts no more than 4,300 digits, which would take long
        raise BeyondError(str(error), "it as text, or rounded") from error
    if _is_deeper(value, deepest):
        raise _deep(deepest)
    return value


def likely_cause(error: json.JSONDecodeError) -> str:
    """Return what a message about text that is no JSON ends in: what the writer of it likely did."""
    before, sign = error.doc[: error.pos].rstrip()[-1:], error.doc[error.pos :].lstrip()[:1]
    quotes = (before in ",[{" and sign == "'") or (before == "{" and sign.isalpha())
    causes = {
        "does it go on in the next line? Wanted each object whole on a line of its own, or one JSON list": (
            error.doc.strip() in ("{", "[")
        ),
        "wanted each object on a line of its own, or one JSON list": error.msg == "Extra data" and sign in ("{", "["),
        "leave out the commas between the lines, or put all into one JSON list": (
            error.msg == "Extra data" and sign == ","
        ),
        "wanted names and texts in double quotes, as json.dumps writes them": quotes,
        "leave out the comma before it": (before == "," and sign in ("]", "}")) or "trailing comma" in error.msg,
        "is a comma lacking before it?": error.msg == "Expecting ',' delimiter" and sign in ("{", "["),
    }
    return next((cause for cause, holds in causes.items() if holds), "is the file cut off?")


def _deep(deepest: int) -> DeepError:
    return DeepError(f"more than {deepest} brackets in each other", "records of texts")


def _is_deeper(value: Any, deepest: int) -> bool:
    """Tell whether more than ``deepest`` lists and objects stand in each other, a layer at a time."""
    layer = [value] if type(value) in (list, dict) else []
    for _ in range(deepest):
        inner = [item for part in layer for item in (part.values() if type(part) is dict else part)]
        layer = [item for item in inner if type(item) in (list, dict)]
        if not layer:
            return False
    return bool(layer)


def _refuse(name: str) -> NoReturn:
    """Refuse the three names that Python reads and JSON does not have."""
    raise BeyondError(f"{name} is no number of JSON", "null, or the value as text")


def _finite(digits: str) -> float:
    """Return a number that a float can hold."""
    value = float(digits)
    if math.isinf(value):
        raise BeyondError(f"{digits[:40]} is too large a number", "it as text")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object whose names differ."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise BeyondError(f"an object has the name {shown(twice)} twice", "each name once")
    return found


_ANY = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite)
_UNIQUE = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_unique)


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
        return load_json(text, deepest=deepest)
    except DeepError as error:
        raise RequestError(f"{where}: {error} at character {_depth_at(text, deepest):,}") from error
    except ValueError as error:
        raise RequestError(f"{where}: not JSON: {error}; is the file cut off?") from error


def _depth_at(text: str, deepest: int) -> int:
    """Return where the bracket stands that is one too deep."""
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += (match[0] in "[{") - (match[0] in "]}")
        if depth > deepest:
            return match.start()
    return len(text)  # not reached: the text was found to be too deep


def read_object(
    path: Path, *, max_bytes: int = MAX_BYTES, deepest: int = DEEPEST, follow_links: bool = True
) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        RequestError: the file can't be read, is no plain file, is too large, or holds something else than an object.
    """
    where = one_line(str(path))
    data = read_bytes(path, max_bytes=max_bytes, follow_links=follow_links)
    value = parse_json(decode(data, where), where, deepest=deepest)
    if not isinstance(value, dict):
        raise RequestError(f"{where}: found {type(value).__name__}, wanted a JSON object")
    return value
