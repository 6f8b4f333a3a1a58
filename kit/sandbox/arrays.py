"""numpy's arrays and scalars on the wire: type, shape and bytes, never a pickle.

Both processes have numpy from the fork server, or neither has.
"""

import importlib.util
import sys
from typing import Any

KINDS = "biufcSUmM"
"""Kinds of elements that are their bytes alone: no objects, no records."""


def encode(value: Any) -> list[Any] | None:
    """Return an array or scalar of numpy as JSON; ``None`` for anything else."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
        return None
    if value.dtype.kind not in KINDS:
        return None
    scalar = type(value) is not numpy.ndarray
    return [value.dtype.str, None if scalar else list(value.shape), numpy.ascontiguousarray(value).tobytes().hex()]


def decode(parts: Any) -> Any:
    """Return the array or scalar that :func:`encode` gave.

    Raises:
        ValueError: not such a value.
    """
    numpy: Any = sys.modules.get("numpy")
    if numpy is None:
        importlib.util.find_spec("numpy")  # does not return where a server with numpy is to run the program
        raise ValueError("an array where there is no numpy")
    kind, shape, data = parts
    dtype = numpy.dtype(str(kind))
    if dtype.kind not in KINDS or dtype.fields or dtype.subdtype:
        raise ValueError(f"elements of type {dtype}")
    flat = numpy.frombuffer(bytes.fromhex(data), dtype)
    if shape is None:
        return flat.reshape(())[()]
    if not all(type(size) is int and size >= 0 for size in shape):
        raise ValueError("a shape that is not of whole numbers")
    return flat.reshape(shape).copy()
