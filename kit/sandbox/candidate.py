"""The process that runs the model's code: it executes the source once, then answers what the tester asks."""

import contextlib
from collections.abc import Callable
from itertools import islice
from typing import Any

from kit.sandbox import wire


class Foreign:
    """A function or an iterator of the tests: to be called, or asked for its next item, and nothing else."""

    __slots__ = ("_ask", "_number")

    def __init__(self, ask: Callable[[dict[str, Any]], Any], number: int) -> None:
        self._ask = ask
        self._number = number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Have it called there; what it returns comes here."""
        return self._ask({"ask": "call", "args": [self, args, kwargs]})

    def __iter__(self) -> "Foreign":
        return self

    def __next__(self) -> Any:
        return self._ask({"ask": "next", "args": [self]})


class Objects:
    """The objects that stay here, which the other side knows by number, and those of the tests that we know so.

    Args:
        requests: where the tester's requests come from.
        replies: where our replies go.
    """

    def __init__(self, requests: int, replies: int, namespace: dict[str, Any]) -> None:
        self.requests = requests
        self.replies = replies
        self.namespace = namespace
        self.by_number: list[Any] = []
        self.number_of: dict[int, int] = {}
        self.foreign: dict[int, Foreign] = {}

    def number(self, value: Any) -> int:
        """Return the object's number, the same each time; that of the tests' objects is negative."""
        if type(value) is Foreign:
            return value._number
        if id(value) not in self.number_of:
            self.number_of[id(value)] = len(self.by_number)
            self.by_number.append(value)
        return self.number_of[id(value)]

    def object(self, number: int) -> Any:
        """Return the object of a number."""
        return self.by_number[number] if number >= 0 else self.foreign.setdefault(number, Foreign(self.ask, number))

    def encode(self, value: Any) -> Any:
        """Return the value for the wire."""
        return wire.encode(value, self.number)

    def decode(self, value: Any) -> Any:
        """Return a value of the wire, with our own objects in place of their numbers."""
        return wire.decode(value, self.object)

    def ask(self, question: dict[str, Any]) -> Any:
        """Return what a function of the tests gives; it may call ours before it does.

        Raises:
            Exception: what it raised.
        """
        wire.send(self.replies, question | {"args": self.encode(question["args"])})
        while "op" in (message := wire.receive(self.requests)):
            self.serve(message)
        if "error" in message:
            raise wire.raised(message["error"])
        return self.decode(message["value"])

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request."""
        reply = answer(request, self.namespace, self)
        try:
            wire.send(self.replies, reply)
        except (wire.WireError, ValueError, RecursionError, MemoryError) as error:
            wire.send(self.replies, {"error": wire.name_of(error)})


def _take(iterator: Any, count: int) -> dict[str, Any]:
    """The next items of an iterator, and what ended them, if anything did."""
    items: list[Any] = []
    error = ""
    try:
        items.extend(islice(iterator, count))
    except BaseException as raised:
        error = wire.name_of(raised)
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
        return {"error": wire.name_of(error)}


def run(code: str, requests: int, replies: int) -> None:
    """Execute the source, say how that went, and answer until the tester is gone."""
    namespace: dict[str, Any] = {}
    started: dict[str, Any] = {"value": None}
    try:
        exec(compile(code, "<completion>", "exec", dont_inherit=True), namespace)
    except BaseException as error:
        started = {"error": wire.name_of(error)}
    objects = Objects(requests, replies, namespace)
    with contextlib.suppress(EOFError, BrokenPipeError):
        wire.send(replies, started)
        while True:
            objects.serve(wire.receive(requests))
