"""What crosses the pipes: length-prefixed JSON, with tags for the plain types that JSON lacks.

Never pickle, never marshal. What is decoded holds exact built-in types only, whatever the sender meant it to hold: a
subclass of a built-in arrives as its base value, so that no object that claims to equal everything can cross. Anything
else crosses as a handle, a number that stands for an object which stays where it is.
"""

import builtins
import datetime
import json
import os
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from kit.sandbox import arrays

LIMIT_BYTES = 32 << 20
"""The longest frame that is read."""
HEAD = struct.Struct(">I")
TAG = "\0t"
"""The key of a tagged value; plain dicts are tagged too, so no data can be taken for a tag."""
VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
PARTS: dict[type, Callable[[Any], list[Any]]] = {
    Fraction: lambda x: [x.numerator, x.denominator],
    Decimal: lambda x: [str(x)],
    datetime.datetime: lambda x: [x.year, x.month, x.day, x.hour, x.minute, x.second, x.microsecond],
    datetime.date: lambda x: [x.year, x.month, x.day],
    datetime.time: lambda x: [x.hour, x.minute, x.second, x.microsecond],
    datetime.timedelta: lambda x: [x.days, x.seconds, x.microseconds],
    range: lambda x: [x.start, x.stop, x.step],
    slice: lambda x: [x.start, x.stop, x.step],
    complex: lambda x: [x.real, x.imag],
}
"""Types made again from parts that are plain themselves."""
MADE = {kind.__name__: kind for kind in PARTS}
COLLECTIONS: dict[str, Callable[[list[Any]], Any]] = {
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "dict": dict,
    "Counter": lambda pairs: Counter(dict(pairs)),
    "OrderedDict": OrderedDict,
    "defaultdict": lambda pairs: defaultdict(None, pairs),
    "keys": lambda pairs: dict(pairs).keys(),
    "values": lambda pairs: dict(pairs).values(),
    "items": lambda pairs: dict(pairs).items(),
}
DICTS = (Counter, OrderedDict, defaultdict, dict)
SEQUENCES: tuple[Any, ...] = (tuple, set, frozenset, deque)


class WireError(Exception):
    """A frame is cut off, too long, or not what was agreed."""


def read_exactly(fd: int, size: int) -> bytes:
    """Bytes of a pipe.

    Raises:
        EOFError: the other end closed it first.
    """
    data = bytearray()
    while len(data) < size:
        if not (part := os.read(fd, min(size - len(data), 1 << 20))):
            raise EOFError
        data += part
    return bytes(data)


def read_frame(fd: int) -> bytes:
    """The next frame of a pipe.

    Raises:
        EOFError: the other end is gone.
        WireError: the frame is longer than ``LIMIT_BYTES``.
    """
    (size,) = HEAD.unpack(read_exactly(fd, HEAD.size))
    if size > LIMIT_BYTES:
        raise WireError(f"a frame of {size} bytes; the limit is {LIMIT_BYTES}")
    return read_exactly(fd, size)


def frame(payload: bytes) -> bytes:
    """The payload with its length in front.

    Raises:
        WireError: longer than ``LIMIT_BYTES``.
    """
    if len(payload) > LIMIT_BYTES:
        raise WireError(f"a frame of {len(payload)} bytes; the limit is {LIMIT_BYTES}")
    return HEAD.pack(len(payload)) + payload


def write_frame(fd: int, payload: bytes) -> None:
    """Send one frame, all of it."""
    data = memoryview(frame(payload))
    while data:
        data = data[os.write(fd, data) :]


def send(fd: int, message: Any) -> None:
    """Send a message that is JSON already."""
    write_frame(fd, json.dumps(message).encode())


def receive(fd: int) -> Any:
    """The next message, as JSON; values in it are still to be decoded."""
    return json.loads(read_frame(fd))


def _tag(kind: str, value: Any) -> dict[str, Any]:
    return {TAG: kind, "v": value}


def encode(value: Any, handle: Callable[[Any], int]) -> Any:  # noqa: PLR0911 (one return a kind)
    """A value as JSON.

    Args:
        value: anything.
        handle: gives the number of an object that must stay here; raise in it where that is not wanted.
    """
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return value if type(value) is str else str.__str__(value)[:]
    if isinstance(value, int):
        number = int.__index__(value)
        return number if -(1 << 63) <= number < 1 << 63 else _tag("int", hex(number))
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, list):
        return [encode(item, handle) for item in list.__iter__(value)]
    for kind in DICTS:
        if isinstance(value, kind):
            pairs = [[encode(k, handle), encode(v, handle)] for k, v in dict.items(value)]
            return _tag(kind.__name__, pairs)
    for sequence in SEQUENCES:
        if isinstance(value, sequence):
            return _tag(sequence.__name__, [encode(item, handle) for item in sequence.__iter__(value)])
    if isinstance(value, bytes | bytearray):
        return _tag("bytearray" if isinstance(value, bytearray) else "bytes", bytes(value).hex())
    return _encode_rare(value, handle)


def _encode_rare(value: Any, handle: Callable[[Any], int]) -> Any:
    kind: Any = type(value)
    if (array := arrays.encode(value)) is not None:
        return _tag("numpy", array)
    if kind in PARTS:
        return _tag(kind.__name__, [encode(part, handle) for part in PARTS[kind](value)])
    if kind in VIEWS:
        pairs = value if kind is type({}.items()) else ((k, None) for k in value)
        if kind is type({}.values()):
            pairs = enumerate(value)
        return _tag(VIEWS[kind], [[encode(k, handle), encode(v, handle)] for k, v in pairs])
    if isinstance(value, type) and getattr(builtins, name := value.__name__, None) is value:
        return _tag("type", name)
    return _tag("handle", handle(value))


def decode(value: Any, resolve: Callable[[int], Any]) -> Any:
    """The value of a JSON text, as exact built-in types.

    Args:
        value: what ``json.loads`` made of the other side's text.
        resolve: gives what stands for a handle's number on this side.

    Raises:
        WireError: not a value that ``encode`` makes.
    """
    if isinstance(value, list):
        return [decode(item, resolve) for item in value]
    if not isinstance(value, dict):
        return value
    try:
        kind, inner = value[TAG], value["v"]
        if kind in COLLECTIONS:
            return COLLECTIONS[kind](decode(inner, resolve))
        if kind in MADE:
            return MADE[kind](*decode(inner, resolve))
        return _decode_atom(kind, inner, resolve)
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise WireError("not a value of the protocol") from error


def _decode_atom(kind: Any, inner: Any, resolve: Callable[[int], Any]) -> Any:
    if kind == "int":
        return int(inner, 16)
    if kind == "bytes":
        return bytes.fromhex(inner)
    if kind == "bytearray":
        return bytearray.fromhex(inner)
    if kind == "numpy":
        return arrays.decode(inner)
    if kind == "type" and isinstance(found := getattr(builtins, inner), type):
        return found
    if kind == "handle" and type(inner) is int:
        return resolve(inner)
    raise WireError(f"unknown kind {kind!r}")
