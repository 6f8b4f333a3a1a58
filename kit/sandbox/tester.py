"""The process that runs the benchmark's tests, with proxies in place of the candidate's functions.

It never executes model code, gets the tests after the fork, on a pipe that nobody else reads, and alone can give a
verdict.
"""

import builtins
import json
from collections.abc import Iterator
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType
from typing import Any

from kit.sandbox import wire


class CandidateDiedError(BaseException):
    """The candidate is gone; not an ``Exception``, so that no test can swallow it."""


LENDABLE: tuple[type, ...] = (FunctionType, MethodType, Iterator)
LENDABLE += (BuiltinFunctionType, MethodDescriptorType, partial, itemgetter, attrgetter, methodcaller)
"""What the candidate may be given of ours: it can call it or ask for the next item, and do nothing else to it."""


class Link:
    """The line to the candidate."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests = requests
        self.replies = replies
        self.lent: list[Any] = []
        """Functions and iterators of the tests that the candidate was given."""

    def exchange(self, request: dict[str, Any] | None) -> dict[str, Any]:
        """Ask (or, with ``None``, only listen) and wait for the reply.

        Raises:
            CandidateDiedError: no reply will come.
            Exception: what the candidate raised.
        """
        try:
            if request is not None:
                wire.send(self.requests, request)
            while "ask" in (reply := wire.receive(self.replies)):
                wire.send(self.requests, self._answer(reply))
        except (EOFError, BrokenPipeError) as error:
            raise CandidateDiedError from error
        if not isinstance(reply, dict):
            raise wire.CandidateError
        if "error" in reply:
            raise wire.raised(reply["error"])
        return reply

    def ask(self, operation: str, *args: Any) -> Any:
        """Have the candidate do something to its objects; gives the result."""
        reply = self.exchange({"op": operation, "args": self.encode(args)})
        return self.decode(reply.get("value"))

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """What a function of the tests gives for the candidate's arguments, or the name of what it raises."""
        try:
            target, *args = self.decode(question["args"])
            if not any(target is lent for lent in self.lent):
                raise TypeError("not an object that was lent")
            value = next(target) if question["ask"] == "next" else target(*args[0], **args[1])
            return {"value": self.encode(value)}
        except Exception as error:
            return {"error": wire.name_of(error)}

    def encode(self, value: Any) -> Any:
        """The value for the wire."""
        return wire.encode(value, self.number_of, literals=True)

    def decode(self, value: Any) -> Any:
        """A value of the wire, with proxies for the candidate's objects."""
        return wire.decode(value, self.object)

    def object(self, number: int) -> Any:
        """Return what a number stands for: an object of the candidate's, or, below zero, one that it was lent."""
        return Remote(self, number) if number >= 0 else self.lent[-1 - number]

    def number_of(self, value: Any) -> int:
        """Return the number of a candidate's object, or of a function or iterator of ours that it may call.

        Raises:
            TypeError: it is another object of ours, which cannot leave.
        """
        if type(value) is Remote:
            return int(value._number)
        if not isinstance(value, LENDABLE):
            raise TypeError(f"{type(value).__name__} cannot be passed to the candidate")
        found = next((number for number, lent in enumerate(self.lent) if lent is value), len(self.lent))
        if found == len(self.lent):
            self.lent.append(value)
        return -1 - found

    def names(self, wanted: list[str]) -> dict[str, Any]:
        """What the candidate defines, by name; of all it defines, nothing that hides a built-in."""
        found = self.exchange({"op": "names", "names": wanted}).get("names")
        if not isinstance(found, dict):
            raise wire.CandidateError
        allowed = set(wanted) if wanted else set(found) - set(dir(builtins))
        return {name: self.decode(value) for name, value in found.items() if name in allowed}


class Remote:
    """An object that lives in the candidate: equal to itself alone, whatever it says."""

    __slots__ = ("_link", "_number")

    def __init__(self, link: Link, number: int) -> None:
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_number", number)

    def __eq__(self, other: object) -> bool:
        return type(other) is Remote and other._number == self._number

    def __hash__(self) -> int:
        return hash(("candidate", self._number))

    def __bool__(self) -> bool:
        return True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Have it called there; what it returns comes here."""
        return self._link.ask("call", self, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        return self._link.ask("get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self, name, value)

    def __len__(self) -> int:
        return int(self._link.ask("len", self))

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self, key)

    def __str__(self) -> str:
        return str(self._link.ask("str", self))

    def __iter__(self) -> Iterator[Any]:
        """The items, fetched in parts that grow: few trips for a long iterator, few too many for an endless one."""
        iterator = self._link.ask("iter", self)
        size = 1
        while True:
            part = self._link.ask("take", iterator, size)
            yield from part["items"]
            if part["error"]:
                raise wire.raised(part["error"])
            if part["end"]:
                return
            size = min(2 * size, 1024)

    def __next__(self) -> Any:
        part = self._link.ask("take", self, 1)
        if part["error"]:
            raise wire.raised(part["error"])
        if not part["items"]:
            raise StopIteration
        return part["items"][0]


def not_plain(value: Any) -> int:
    """What ``encode`` calls for an object where only plain data will do.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"{type(value).__name__} is not plain data")


def run_tests(job: dict[str, Any], link: Link) -> None:
    """Set up, take the candidate's names, run the tests; whatever is raised is the failure."""
    link.exchange(None)
    namespace: dict[str, Any] = {}
    exec(compile(job["setup"], "<setup>", "exec", dont_inherit=True), namespace)
    namespace |= link.names(job["names"])
    exec(compile(job["tests"], "<tests>", "exec", dont_inherit=True), namespace)


def make_calls(job: dict[str, Any], link: Link, verdicts: int) -> None:
    """Call the function on each set of arguments, and pass on what it gives."""
    link.exchange(None)
    found = link.names([job["name"]])
    if job["name"] not in found:
        raise NameError
    for arguments in job["arguments"]:
        try:
            reply = {"value": wire.encode(found[job["name"]](*link.decode(arguments)), not_plain, shared=False)}
            wire.frame(json.dumps(reply).encode())  # or it is too long
        except Exception as error:
            reply = {"error": f"failed: {type(error).__name__}"}
        wire.send(verdicts, reply)


def run(tests: int, requests: int, replies: int, verdicts: int) -> None:
    """Read the job, run it, give the verdict."""
    job = wire.receive(tests)
    wire.send(verdicts, {"read": True})
    link = Link(requests, replies)
    try:
        if "tests" in job:
            run_tests(job, link)
        else:
            make_calls(job, link, verdicts)
        verdict: dict[str, Any] = {"passed": True}
    except CandidateDiedError:
        verdict = {"reason": "candidate died"}
    except BaseException as error:
        verdict = {"reason": f"failed: {type(error).__name__}"}
    wire.send(verdicts, verdict)
