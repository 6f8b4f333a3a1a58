"""The process that runs the model's code: it executes the source once, then answers what the tester asks."""

import builtins
import contextlib
from collections.abc import Callable
from itertools import islice
from typing import Any

from kit.sandbox import wire


class Objects:
    """The objects that stay here; the other side knows them by number."""

    def __init__(self) -> None:
        self.by_number: list[Any] = []
        self.number_of: dict[int, int] = {}

    def number(self, value: Any) -> int:
        """The object's number, the same each time."""
        if id(value) not in self.number_of:
            self.number_of[id(value)] = len(self.by_number)
            self.by_number.append(value)
        return self.number_of[id(value)]

    def encode(self, value: Any) -> Any:
        """The value for the wire."""
        return wire.encode(value, self.number)

    def decode(self, value: Any) -> Any:
        """A value of the wire, with our own objects in place of their numbers."""
        return wire.decode(value, self.by_number.__getitem__)


def _take(iterator: Any, count: int) -> dict[str, Any]:
    """The next items of an iterator, and what ended them, if anything did."""
    items: list[Any] = []
    error = ""
    try:
        items.extend(islice(iterator, count))
    except BaseException as raised:
        error = name_of(raised)
    return {"items": items, "error": error, "end": len(items) < count}


OPERATIONS: dict[str, Callable[..., Any]] = {
    "call": lambda target, args, kwargs: target(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "iter": iter,
    "take": _take,
    "len": len,
    "item": lambda target, key: target[key],
    "str": str,
}


def name_of(error: BaseException) -> str:
    """The type of an exception, by the nearest built-in name."""
    for kind in type(error).__mro__:
        if getattr(builtins, kind.__name__, None) is kind:
            return str(kind.__name__)
    return "Exception"


def _names(namespace: dict[str, Any], wanted: list[str], objects: Objects) -> dict[str, Any]:
    names = wanted or [name for name in namespace if not name.startswith("_")]
    return {name: objects.encode(namespace[name]) for name in names if name in namespace}


def answer(request: dict[str, Any], namespace: dict[str, Any], objects: Objects) -> dict[str, Any]:
    """The reply to one request: a value, or the name of an exception."""
    try:
        if request["op"] == "names":
            return {"names": _names(namespace, request["names"], objects)}
        result = OPERATIONS[request["op"]](*objects.decode(request["args"]))
        return {"value": objects.encode(result)}
    except BaseException as error:
        return {"error": name_of(error)}


def run(code: str, requests: int, replies: int) -> None:
    """Execute the source, say how that went, and answer until the tester is gone."""
    namespace: dict[str, Any] = {}
    started: dict[str, Any] = {"value": None}
    try:
        exec(compile(code, "<completion>", "exec", dont_inherit=True), namespace)
    except BaseException as error:
        started = {"error": name_of(error)}
    objects = Objects()
    with contextlib.suppress(EOFError, BrokenPipeError):
        wire.send(replies, started)
        while True:
            reply = answer(wire.receive(requests), namespace, objects)
            try:
                wire.send(replies, reply)
            except (wire.WireError, ValueError, RecursionError, MemoryError) as error:
                wire.send(replies, {"error": name_of(error)})
