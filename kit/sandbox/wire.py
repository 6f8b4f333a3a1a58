r"""Encode what crosses the pipes: length-prefixed JSON, with tags for the plain types that JSON lacks.

The JSON holds every character as itself and escapes none: of two escapes, ``\ud83d`` and ``\ude00``, a reader of JSON
makes one character, where a string may hold two halves. Never pickle, never marshal.

What is decoded holds exact built-in types only, whatever the sender meant it to hold: a subclass of a built-in arrives
as its base value, so that no object that claims to equal everything can cross. Anything else crosses as a handle, which
stands for an object that stays where it is.

What arrives behaves as what was sent: sets iterate in the same order, an object that stands in two places is one object
in two places, a string that the compiler made unique is unique on the other side.
"""

import builtins
import ctypes
import datetime
import json
import math
import os
import struct
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from sys import intern
from types import FunctionType
from typing import Any

from kit.sandbox import arrays, settable

LIMIT_BYTES = 32 << 20
"""The longest frame that is read."""
EXIT_NO_MEMORY = 113
"""The exit status of a process that had no memory left to send a last frame; few programs exit with it."""
EXIT_WANTS_PACKAGE = 114
"""The exit status of a process that asked for a package that its fork server has not; then it is run where it is."""
HEAD = struct.Struct(">I")
TAG = "\0t"
"""The key of a tagged value; plain dicts are tagged too, so no data can be taken for a tag."""
VIEWS: dict[type, str] = {type({}.keys()): "keys", type({}.values()): "values", type({}.items()): "items"}
PARTS: dict[type, Callable[[Any], list[Any]]] = {
    Fraction: lambda x: [x.numerator, x.denominator],
    Decimal: lambda x: [str(x)],
    datetime.datetime: lambda x: [x.year, x.month, x.day, x.hour, x.minute, x.second, x.microsecond, x.tzinfo, x.fold],
    datetime.date: lambda x: [x.year, x.month, x.day],
    datetime.time: lambda x: [x.hour, x.minute, x.second, x.microsecond, x.tzinfo, x.fold],
    datetime.timedelta: lambda x: [x.days, x.seconds, x.microseconds],
    datetime.timezone: lambda x: list(x.__getinitargs__()),
    range: lambda x: [x.start, x.stop, x.step],
    slice: lambda x: [x.start, x.stop, x.step],
    complex: lambda x: [x.real, x.imag],
}
"""Types made again from parts that are plain themselves."""
MADE: dict[str, Callable[..., Any]] = {kind.__name__: kind for kind in PARTS} | {
    "datetime": lambda *parts: datetime.datetime(*parts[:8], fold=parts[8]),
    "time": lambda *parts: datetime.time(*parts[:5], fold=parts[5]),
}
DICTS: dict[str, type[Any]] = {"Counter": Counter, "OrderedDict": OrderedDict, "defaultdict": defaultdict, "dict": dict}
SETS: dict[str, Any] = {"set": set, "frozenset": frozenset}
MAXLEN: Callable[[Any], Any] = vars(deque)["maxlen"].__get__
DEFAULT_FACTORY: Callable[[Any], Any] = vars(defaultdict)["default_factory"].__get__
"""Reads the factory that the base type holds, whatever a subclass makes of it."""
CONSTANTS: dict[str, Any] = {"Ellipsis": ..., "NotImplemented": NotImplemented}
TO_JSON = json.JSONEncoder(ensure_ascii=False).encode
AT_ONCE = 1 << 20
"""Bytes that are asked of a pipe at a time."""
TRUTHS: dict[type, Callable[[Any], Any]] = {int: int.__bool__, float: float.__bool__, complex: complex.__bool__}
TRUTHS |= {kind: kind.__len__ for kind in (str, list, tuple, dict, set, frozenset, deque, bytes, bytearray)}
"""Truth of a value of these types, as the base type has it; any other value of :data:`EXACT` is no base of a
subclass."""
EXACT = frozenset([*TRUTHS, *PARTS, *DICTS.values(), bool])
ATOMS = frozenset([int, str, float, bool, type(None)])
"""Types that JSON holds without a tag."""
UNFINISHED = object()
"""Stands for a value whose parts are still being made."""
INTERNED_AT, INTERNED = 32, 3
"""Place in the memory of a string where CPython 3.11 says whether it is interned, and the bits that say it."""


class WireError(Exception):
    """A frame is cut off, too long, or not what was agreed."""


def packed(message: Any) -> bytes:
    """Return a message as the bytes of its JSON."""
    return TO_JSON(message).encode("utf-8", "surrogatepass")


def unpacked(data: bytes | bytearray) -> Any:
    """Return the message of the bytes of :func:`packed`.

    Raises:
        ValueError: they are no JSON.
    """
    return json.loads(data.decode("utf-8", "surrogatepass"))


def read_exactly(fd: int, size: int) -> bytes | bytearray:
    """Read exactly ``size`` bytes from a pipe.

    Raises:
        EOFError: the other end closed it first.
    """
    part = os.read(fd, min(size, AT_ONCE))
    if len(part) == size:
        return part
    data, at = bytearray(size), 0
    while part:
        data[at : at + len(part)] = part
        at += len(part)
        if at == size:
            return data
        part = os.read(fd, min(size - at, AT_ONCE))
    raise EOFError


def read_frame(fd: int) -> bytes | bytearray:
    """Return the next frame of a pipe.

    Raises:
        EOFError: the other end is gone.
        WireError: the frame is longer than ``LIMIT_BYTES``.
    """
    (size,) = HEAD.unpack(read_exactly(fd, HEAD.size))
    if size > LIMIT_BYTES:
        raise WireError(f"a frame of {size} bytes; the limit is {LIMIT_BYTES}")
    return read_exactly(fd, size)


def frame(payload: bytes) -> bytes:
    """Return the payload with its length in front.

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
    write_frame(fd, packed(message))


def receive(fd: int) -> Any:
    """Return the next message, as JSON; values in it are still to be decoded."""
    return unpacked(read_frame(fd))


def _tag(kind: str, value: Any) -> dict[str, Any]:
    return {TAG: kind, "v": value}


def _is_interned(text: str) -> bool:
    """Return whether a string is the only one of its value: ``is`` finds it equal to the literal of a program."""
    return bool(ctypes.c_uint8.from_address(id(text) + INTERNED_AT).value & INTERNED)


def _truth_differs(value: Any) -> bool:
    """Return whether an object of a subclass of a built-in type is true where its base value is false, or vice versa.

    ``assert f()`` asks for nothing else, so the base value must not answer in its place.
    """
    truth = next((truth for base, truth in TRUTHS.items() if isinstance(value, base)), None)
    definers = (kind for kind in type(value).__mro__ if "__bool__" in vars(kind) or "__len__" in vars(kind))
    if truth is None or next(definers, None) in EXACT:
        return False
    try:
        return bool(value) is not bool(truth(value))
    except Exception:
        return True


class Encoder:
    """Turns the values of one message into JSON.

    Args:
        handle: gives what stands for an object that must stay here; raise in it where that is not wanted.
        shared: an object that stands in the message twice is sent once, so that it is one object there too.
        literals: say which strings are interned: code may compare an argument by ``is`` with a literal of its own.
    """

    def __init__(self, handle: Callable[[Any], Any], *, shared: bool = True, literals: bool = False) -> None:
        self.handle = handle
        self.shared = shared
        self.literals = literals
        self.count = 0
        self.seen: dict[int, tuple[int, Any]] = {}

    def __call__(self, value: Any) -> Any:
        """Return the value as JSON can hold it."""
        kind = type(value)
        if value is None or kind is bool or (kind is float and not math.isnan(value)):
            return value
        if kind is str:
            return self._text(value) if self.literals else value
        if kind is int:
            return value if -(1 << 63) <= value < 1 << 63 else _tag("int", hex(value))
        return self._compound(value) if kind in EXACT else self._other(value)

    def _other(self, value: Any) -> Any:
        """Return an object of a subclass of a built-in type as its base value, or of another type."""
        if type(value) is FunctionType:
            return self._once(value) or _tag("handle", self.handle(value))
        if _truth_differs(value):
            return _tag("handle", self.handle(value))
        if isinstance(value, str):
            return self(str.__str__(value)[:])
        if isinstance(value, int):
            return self(int.__index__(value))
        if isinstance(value, float) and not math.isnan(value):
            return float.__float__(value)
        return self._compound(value)

    def _compound(self, value: Any) -> Any:
        if (ref := self._once(value)) is not None:
            return ref
        if isinstance(value, list):
            return [self(item) for item in list.__iter__(value)]
        return self._tagged(value)

    def _once(self, value: Any) -> dict[str, Any] | None:
        """Return a reference to an object that the message holds already; any other object is counted."""
        if self.shared and id(value) in self.seen:
            return _tag("ref", self.seen[id(value)][0])
        if self.shared:
            self.seen[id(value)] = (self.count, value)  # kept, lest another object get its address
        self.count += 1
        return None

    def _text(self, value: str) -> Any:
        return _tag("name", value) if self.literals and len(value) > 1 and _is_interned(value) else value

    def _tagged(self, value: Any) -> Any:
        for name, kind in DICTS.items():
            if isinstance(value, kind):
                return self._dict(name, value)
        for name, kind in SETS.items():
            if isinstance(value, kind):
                table = settable.read(value)
                return _tag(name, self._items(kind.__iter__(value))) | {"table": [*table.parts()]}
        if isinstance(value, tuple):
            return _tag("tuple", self._items(tuple.__iter__(value)))
        if isinstance(value, deque):
            maxlen = MAXLEN(value)
            return _tag("deque", self._items(deque.__iter__(value))) | {"maxlen": maxlen}
        if isinstance(value, bytes | bytearray):
            return _tag("bytearray" if isinstance(value, bytearray) else "bytes", bytes(value).hex())
        return self._rare(value)

    def _items(self, items: Iterable[Any]) -> list[Any]:
        return [self(item) for item in items]

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> list[Any]:
        return [[self(key), self(item)] for key, item in pairs]

    def _dict(self, name: str, value: dict[Any, Any]) -> dict[str, Any]:
        tagged = _tag(name, self._pairs(dict.items(value)))
        if name == "defaultdict":
            tagged["factory"] = self(DEFAULT_FACTORY(value))
        return tagged

    def _rare(self, value: Any) -> Any:  # noqa: PLR0911 (one return a kind)
        kind: Any = type(value)
        if (array := arrays.encode(value)) is not None:
            return _tag("numpy", array)
        if kind in PARTS:
            return _tag(kind.__name__, self._items(PARTS[kind](value)))
        if kind in VIEWS:
            pairs = value if kind is type({}.items()) else ((k, None) for k in value)
            if kind is type({}.values()):
                pairs = enumerate(value)
            return _tag(VIEWS[kind], self._pairs(pairs))
        if isinstance(value, float):
            return _tag("nan", math.copysign(1.0, value))
        for name, constant in CONSTANTS.items():
            if value is constant:
                return _tag("constant", name)
        if isinstance(value, type) and getattr(builtins, name := value.__name__, None) is value:
            return _tag("type", name)
        return _tag("handle", self.handle(value))


def encode(value: Any, handle: Callable[[Any], Any], *, shared: bool = True, literals: bool = False) -> Any:
    """Return one value as JSON; the arguments are those of :class:`Encoder`."""
    return Encoder(handle, shared=shared, literals=literals)(value)


class Decoder:
    """Turns the JSON of one message into values of exact built-in types.

    Args:
        resolve: gives what a handle stands for on this side.
    """

    def __init__(self, resolve: Callable[[Any], Any]) -> None:
        self.resolve = resolve
        self.made: list[Any] = []

    def __call__(self, value: Any) -> Any:
        """Return the value of what ``json.loads`` made of the other side's text.

        Raises:
            WireError: not a value that an :class:`Encoder` makes.
        """
        if isinstance(value, list):
            return self._fill([], value)
        if not isinstance(value, dict):
            return value
        try:
            return self._untagged(value[TAG], value["v"], value)
        except (KeyError, IndexError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise WireError("not a value of the protocol") from error

    def _fill(self, empty: Any, items: list[Any]) -> Any:
        """Return a list or deque with its items; it is known before they are, since they may hold it."""
        self.made.append(empty)
        empty.extend([item if type(item) in ATOMS else self(item) for item in items])
        return empty

    def _fill_dict(self, empty: Any, pairs: list[Any]) -> Any:
        self.made.append(empty)
        for key, item in pairs:
            decoded = self(key)
            dict.__setitem__(empty, decoded, self(item))
        return empty

    def _untagged(self, kind: Any, inner: Any, value: dict[str, Any]) -> Any:
        if kind == "ref":
            return self._made_before(inner)
        if kind == "int":
            return int(inner, 16)
        if kind == "name":
            return intern(inner)
        if kind == "deque":
            return self._fill(deque(maxlen=value["maxlen"]), inner)
        if kind in DICTS:
            made = self._fill_dict(DICTS[kind](), inner)
            if kind == "defaultdict":
                made.default_factory = self(value["factory"])
            return made
        return self._made_whole(kind, inner, value)

    def _made_before(self, number: int) -> Any:
        found = self.made[number]
        if found is UNFINISHED:
            raise WireError("a value that cannot be changed holds itself")
        return found

    def _made_whole(self, kind: Any, inner: Any, value: dict[str, Any]) -> Any:
        """Return a value that must have its parts from the start."""
        number = len(self.made)
        self.made.append(UNFINISHED)
        self.made[number] = made = self._whole(kind, inner, value)
        return made

    def _whole(self, kind: Any, inner: Any, value: dict[str, Any]) -> Any:
        if kind == "tuple":
            return tuple([self(item) for item in inner])
        if kind in SETS:
            return settable.build(SETS[kind], [self(item) for item in inner], settable.Table.of(*value["table"]))
        if kind in MADE:
            return MADE[kind](*[self(item) for item in inner])
        if kind in VIEWS.values():
            return getattr({self(key): self(item) for key, item in inner}, kind)()
        return self._atom(kind, inner)

    def _atom(self, kind: Any, inner: Any) -> Any:  # noqa: PLR0911 (one return a kind)
        if kind == "bytes":
            return bytes.fromhex(inner)
        if kind == "bytearray":
            return bytearray.fromhex(inner)
        if kind == "numpy":
            return arrays.decode(inner)
        if kind == "nan":
            return math.copysign(math.nan, inner)
        if kind == "constant":
            return CONSTANTS[inner]
        if kind == "type" and isinstance(found := getattr(builtins, inner), type):
            return found
        if kind == "handle":
            return self.resolve(inner)
        raise WireError(f"unknown kind {kind!r}")


def decode(value: Any, resolve: Callable[[Any], Any]) -> Any:
    """Return the value of a JSON text; the arguments and errors are those of :class:`Decoder`."""
    return Decoder(resolve)(value)
