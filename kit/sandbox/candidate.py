"""The process that runs the model's code: it executes the source once, then answers what the tester asks."""

import contextlib
import operator
import os
from collections.abc import Callable
from itertools import islice
from types import MappingProxyType
from typing import Any

from kit.sandbox import exceptions, wire
from kit.sandbox.remote import NAME, abilities_of


class Foreign:
    """A function or an iterator of the tests: to be called, or asked for its next item, and nothing else."""

    __slots__ = ("_ask", "_number")

    def __init__(self, ask: Callable[[dict[str, Any]], Any], number: int) -> None:
        self._ask = ask
        self._number = number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function in the tester; what it returns comes here."""
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
        self.kinds: list[type] = []
        self.kind_of: dict[int, int] = {}
        self.sent_counts = (0, 0)
        """How many objects and types the other side knows."""
        self.foreign: dict[int, Foreign] = {}

    def number(self, value: Any) -> int:
        """Return the object's number, the same each time; that of the tests' objects is negative."""
        if type(value) is Foreign:
            return value._number
        if id(value) not in self.number_of:
            self.number_of[id(value)] = len(self.by_number)
            self.by_number.append(value)
            if id(type(value)) not in self.kind_of:
                self.kind_of[id(type(value))] = len(self.kinds)
                self.kinds.append(type(value))
        return self.number_of[id(value)]

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, with what the other side must know of objects that are new to it: their types' abilities."""
        counts = (len(self.by_number), len(self.kinds))
        if counts != self.sent_counts:
            objects, kinds = self.by_number[self.sent_counts[0] :], self.kinds[self.sent_counts[1] :]
            message["kinds"] = [[NAME(kind), abilities_of(kind)] for kind in kinds]
            message["objects"] = [self.kind_of[id(type(value))] for value in objects]
        wire.send(self.replies, message)
        self.sent_counts = counts  # now: nothing is sent of a message that is too long

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
        self.send(question | {"args": self.encode(question["args"])})
        while "op" in (message := wire.receive(self.requests)):
            self.serve(message)
        if "error" in message:
            raise exceptions.raised(message, self.decode)
        return self.decode(message["value"])

    def serve(self, request: dict[str, Any]) -> None:
        """Answer one request of the tester."""
        reply = answer(request, self.namespace, self)
        try:
            self.send(reply)
        except (wire.WireError, ValueError, RecursionError, MemoryError) as error:
            self.send({"error": exceptions.name_of(error)})


def _take(iterator: Any, count: int) -> dict[str, Any]:
    """Return the next items of an iterator, and what ended them, if anything did."""
    items: list[Any] = []
    error: dict[str, Any] = {}
    try:
        items.extend(islice(iterator, count))
    except BaseException as raised:
        error = exceptions.error_of(raised, lambda arguments: arguments)
    return {"items": items, "error": error, "end": len(items) < count}


OPERATIONS: dict[str, Callable[..., Any]] = {
    "bool": bool,
    "bytes": bytes,
    "call": lambda target, args, kwargs=MappingProxyType({}): target(*args, **kwargs),
    "contains": lambda target, item: item in target,
    "del": delattr,
    "del item": operator.delitem,
    "dir": dir,
    "eq": lambda target, other: bool(target == other),
    "format": format,
    "get": getattr,
    "hash": hash,
    "item": lambda target, key: target[key],
    "iter": iter,
    "len": len,
    "ne": lambda target, other: bool(target != other),
    "repr": repr,
    "reversed": reversed,
    "set": setattr,
    "set item": operator.setitem,
    "str": str,
    "take": _take,
}


def _names(namespace: dict[str, Any], wanted: list[str], objects: Objects) -> dict[str, Any]:
    names = wanted or [name for name in namespace if not name.startswith("_")]
    return {name: objects.encode(namespace[name]) for name in names if name in namespace}


def answer(request: dict[str, Any], namespace: dict[str, Any], objects: Objects) -> dict[str, Any]:
    """Return the reply to one request: a value, or an exception."""
    try:
        if request["op"] == "names":
            return {"names": _names(namespace, request["names"], objects)}
        result = OPERATIONS[request["op"]](objects.object(request["on"]), *objects.decode(request["args"]))
        return {"value": objects.encode(result)}
    except BaseException as error:
        return exceptions.error_of(error, objects.encode)


def run(codes: int, requests: int, replies: int) -> None:
    """Read the source and execute it, say how that went, and answer until the tester is gone."""
    code = wire.receive(codes)
    os.close(codes)
    namespace: dict[str, Any] = {}
    objects = Objects(requests, replies, namespace)
    started: dict[str, Any] = {"value": None}
    try:
        exec(compile(code, "<completion>", "exec", dont_inherit=True), namespace)
    except BaseException as error:
        started = exceptions.error_of(error, objects.encode)
    with contextlib.suppress(EOFError, BrokenPipeError):
        objects.send(started)
        while True:
            objects.serve(wire.receive(requests))
