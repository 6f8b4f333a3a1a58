"""Stand-ins, in the tests, for objects that stay in the candidate: what is asked of one is asked of the object itself.

A stand-in can do what its object's type can do and nothing else, so that ``callable``, ``isinstance(x, Iterator)`` and
``type(a) is type(b)`` say what they would say of the objects. Nothing is answered by what Python has ready for every
object: an operation that is not passed on (arithmetic, ``<``, ``int(x)``) is a TypeError.

One thing an object cannot decide: what it is equal to. It is equal to itself; claims to the contrary fail the tests.
"""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from kit.sandbox import exceptions

Ask = Callable[..., Any]


class Link(Protocol):
    """Connection to the candidate, as far as a stand-in needs it."""

    def ask(self, operation: str, target: Any, *args: Any) -> Any:
        """Have the candidate do something to one of its objects; gives the result."""
        ...

    def refuse(self, error: BaseException) -> BaseException:
        """Fail the tests whatever they make of the error, which is to be raised."""
        ...


class Remote:
    """An object that lives in the candidate."""

    __slots__ = ("_link", "_number")

    def __init__(self, link: Link, number: int) -> None:
        SET_LINK(self, link)
        SET_NUMBER(self, number)

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":  # that of the stand-in: what `isinstance` sees must not lie
            return type(self)
        return link_of(self).ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        link_of(self).ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        link_of(self).ask("del", self, name)

    def __hash__(self) -> int:
        return hash(("candidate", number_of(self)))

    def __str__(self) -> str:
        return str(_exactly(str, self, "str"))

    def __repr__(self) -> str:
        return str(_exactly(str, self, "repr"))

    def __format__(self, spec: str) -> str:
        return str(_exactly(str, self, "format", spec))

    def __dir__(self) -> list[str]:
        return list(_exactly(list, self, "dir"))


link_of: Callable[[Remote], Link] = vars(Remote)["_link"].__get__
number_of: Callable[[Remote], int] = vars(Remote)["_number"].__get__
"""Past ``__getattribute__``: an object may have attributes of these names too."""
SET_LINK, SET_NUMBER = vars(Remote)["_link"].__set__, vars(Remote)["_number"].__set__


def _exactly(kind: type, remote: Remote, operation: str, *args: Any) -> Any:
    """Return the candidate's answer, which must be of this very type."""
    value = link_of(remote).ask(operation, remote, *args)
    if type(value) is not kind:
        raise link_of(remote).refuse(exceptions.CandidateError())
    return value


def _agreed(remote: Remote, operation: str, other: Any, found: bool) -> bool:
    """Return ``found`` if the object says the same; it is asked last, so that its answer can't be made to fit.

    Raises:
        AssertionError: it says the contrary; the tests fail whatever they make of this.
    """
    if _exactly(bool, remote, operation, other) is not found:
        raise link_of(remote).refuse(AssertionError(f"{operation}: an object of the candidate says {not found}"))
    return bool(found)


def _bool(self: Remote) -> bool:
    return bool(_exactly(bool, self, "bool"))


def _hash(self: Remote) -> int:
    return int(_exactly(int, self, "hash"))


def _len(self: Remote) -> int:
    return int(_exactly(int, self, "len"))


def _eq(self: Remote, other: object) -> bool:
    return _agreed(self, "eq", other, other is self)


def _ne(self: Remote, other: object) -> bool:
    return _agreed(self, "ne", other, other is not self)


def _contains(self: Remote, item: Any) -> bool:
    return _agreed(self, "contains", item, any(item is found or item == found for found in iter(self)))


def _call(self: Remote, *args: Any, **kwargs: Any) -> Any:
    return link_of(self).ask("call", self, [*args], *([kwargs] if kwargs else []))


def _getitem(self: Remote, key: Any) -> Any:
    return link_of(self).ask("item", self, key)


def _setitem(self: Remote, key: Any, value: Any) -> None:
    link_of(self).ask("set item", self, key, value)


def _delitem(self: Remote, key: Any) -> None:
    link_of(self).ask("del item", self, key)


def _reversed(self: Remote) -> Any:
    return link_of(self).ask("reversed", self)


def _bytes(self: Remote) -> Any:
    return _exactly(bytes, self, "bytes")


def _iter(self: Remote) -> Iterator[Any]:
    """Yield the items, fetched in parts that grow: few trips for a long iterator, few too many for an endless one."""
    link = link_of(self)
    iterator = link.ask("iter", self)
    size = 1
    while True:
        part = link.ask("take", iterator, size)
        yield from part["items"]
        if part["error"]:
            raise exceptions.raised(part["error"], lambda value: value)
        if part["end"]:
            return
        size = min(2 * size, 1024)


def _next(self: Remote) -> Any:
    part = link_of(self).ask("take", self, 1)
    if part["error"]:
        raise exceptions.raised(part["error"], lambda value: value)
    if not part["items"]:
        raise StopIteration
    return part["items"][0]


ABILITIES: dict[str, Callable[..., Any]] = {
    "__bool__": _bool,
    "__bytes__": _bytes,
    "__call__": _call,
    "__contains__": _contains,
    "__delitem__": _delitem,
    "__eq__": _eq,
    "__getitem__": _getitem,
    "__hash__": _hash,
    "__iter__": _iter,
    "__len__": _len,
    "__ne__": _ne,
    "__next__": _next,
    "__reversed__": _reversed,
    "__setitem__": _setitem,
}
"""Special methods that a stand-in has if the type of its object has them, beside those of ``object``."""
NONE = "-"
"""In front of a method's name: the type sets it to ``None``, as ``__hash__`` where an object has no hash."""


def abilities_of(kind: type) -> list[str]:
    """Return which of the special methods a type has of its own, the names of those that are ``None`` after a ``-``."""
    found = []
    for name in ABILITIES:
        method = next((vars(base)[name] for base in MRO(kind) if name in vars(base)), UNKNOWN)
        if method is None:
            found.append(NONE + name)
        elif method is not UNKNOWN and method is not vars(object).get(name):
            found.append(name)
    return found


MRO: Callable[[type], tuple[type, ...]] = vars(type)["__mro__"].__get__
NAME: Callable[[type], str] = vars(type)["__name__"].__get__
UNKNOWN = object()


def stand_in(name: str, abilities: list[str]) -> type[Remote]:
    """Return the class of the stand-ins for the objects of one type."""
    methods = {word.removeprefix(NONE): None if word.startswith(NONE) else ABILITIES[word] for word in abilities}
    if "__eq__" in methods:  # else Python would take the hash away
        methods.setdefault("__hash__", Remote.__hash__)
    return type(name, (Remote,), {"__slots__": (), "__doc__": None, **methods})
