"""Plain values as JSON text, for a reader that trusts nobody: what a check function returned, on its way to the kit.

What JSON has crosses as itself; a dict, a tuple and bytes cross under a tag, so that no value can be taken for another.
Anything else, an object of a subclass of a built-in type too, crosses as the name of its type alone and arrives as an
:class:`Opaque`, which equals nothing: an object has no say in how it is compared. Reading builds no object of the
sender's choosing, and takes a time that grows as the text.
"""

import json
import sys
from typing import Any

LONGEST = 1 << 16
"""Characters of a value's text; a longer one crosses as the name of its type."""
LONGEST_INT_BITS = 4096
DEEPEST = 50
"""Lists within lists; deeper, a value crosses as the name of its type."""
FROM_JSON = json.JSONDecoder(parse_constant=float).decode
"""Reads JSON; each NaN is an object of its own, since in two equal lists one and the same NaN equals itself."""


class Opaque:
    """A returned value that is not plain data: it is known by the name of its type, and equals nothing."""

    __slots__ = ("kind",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __eq__(self, other: object) -> bool:
        return False

    def __repr__(self) -> str:
        return f"Opaque({self.kind!r})"


def text_of(value: Any) -> str:
    """Return a value's text: JSON in ASCII, on one line."""
    try:
        text = json.dumps(_tagged(value, 0)) if type(value) is not str or len(value) <= LONGEST else ""
    except (ValueError, RecursionError):
        text = ""
    return text if 0 < len(text) <= LONGEST else json.dumps({"opaque": type(value).__name__[:100]})


def _tagged(value: Any, depth: int) -> Any:
    kind = type(value)
    if value is None or kind in (bool, str, float) or (kind is int and value.bit_length() <= LONGEST_INT_BITS):
        return value
    if depth > DEEPEST:
        raise ValueError("nested too deeply")
    if kind is list:
        return [_tagged(item, depth + 1) for item in value]
    if kind is tuple:
        return {"tuple": [_tagged(item, depth + 1) for item in value]}
    if kind is dict and all(type(key) is str for key in value):
        return {"dict": {key: _tagged(item, depth + 1) for key, item in value.items()}}
    return _rare(value)


def _rare(value: Any) -> Any:
    """Return bytes, a number of numpy, or the name of another type, as JSON can hold it."""
    kind = type(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind in (numpy.bool_, numpy.int64, numpy.int32, numpy.float64, numpy.float32):
        return value.item()
    return {"bytes": value.hex()} if kind is bytes else {"opaque": kind.__name__[:100]}


def value_of(text: str) -> Any:
    """Return the value of a text, whoever wrote it.

    Raises:
        ValueError: not a text that :func:`text_of` writes.
    """
    if len(text) > LONGEST:
        raise ValueError("the text of a value is too long")
    try:
        return _untagged(FROM_JSON(text), 0)
    except RecursionError as error:
        raise ValueError("the text of a value is nested too deeply") from error


def _untagged(value: Any, depth: int) -> Any:
    if not isinstance(value, list | dict):
        return value
    if depth > DEEPEST:
        raise ValueError("the text of a value is nested too deeply")
    if isinstance(value, list):
        return [_untagged(item, depth + 1) for item in value]
    if len(value) != 1:
        raise ValueError("not a value under one tag")
    ((tag, inner),) = value.items()
    if tag == "dict" and isinstance(inner, dict):
        return {key: _untagged(item, depth + 1) for key, item in inner.items()}
    if tag == "tuple" and isinstance(inner, list):
        return tuple(_untagged(item, depth + 1) for item in inner)
    if tag == "bytes" and isinstance(inner, str):
        return bytes.fromhex(inner)
    if tag == "opaque" and isinstance(inner, str):
        return Opaque(inner)
    raise ValueError("not a value under a known tag")
