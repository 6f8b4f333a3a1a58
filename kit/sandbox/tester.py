"""The process that runs the benchmark's tests, with stand-ins for the candidate's functions.

It never executes model code, gets the tests after the fork, on a pipe that nobody else reads, and alone can give a
verdict. A candidate that dies, leaves the protocol, asks to exit or lies about equality fails its tests even where they
catch whatever is raised.
"""

import builtins
import sys
from collections.abc import Iterator
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType
from typing import Any

from kit.sandbox import exceptions, packages, wire
from kit.sandbox.remote import Remote, number_of, stand_in


class CandidateDiedError(BaseException):
    """The candidate is gone; not an ``Exception``, which many tests catch."""


LENDABLE: tuple[type, ...] = (FunctionType, MethodType, Iterator)
LENDABLE += (BuiltinFunctionType, MethodDescriptorType, partial, itemgetter, attrgetter, methodcaller)
"""Types of the tests' objects that the candidate may be given: it can call one or ask for its next item, nothing
else."""


class Link:
    """Connection of the tester to the candidate."""

    def __init__(self, requests: int, replies: int) -> None:
        self.requests = requests
        self.replies = replies
        self.lent: list[Any] = []
        """Functions and iterators of the tests that the candidate was given."""
        self.remotes: list[Remote] = []
        """The stand-ins for the candidate's objects, by number: one each, so that ``is`` says what it says there."""
        self.kinds: list[type[Remote]] = []
        """Their classes, one for each type of the candidate's."""
        self.lost: BaseException | None = None
        """Why no reply can come any more."""
        self.failure: BaseException | None = None
        """What fails the tests, even if they catch it."""

    def refuse(self, error: BaseException) -> BaseException:
        """Fail the tests whatever they make of the error, which is to be raised."""
        self.failure = self.failure or error
        return error

    def exchange(self, request: dict[str, Any] | None) -> dict[str, Any]:
        """Ask (or, with ``None``, only listen) and wait for the reply.

        Raises:
            CandidateDiedError: no reply will come.
            Exception: what the candidate raised.
        """
        reply = self._reply_to(request)
        if "error" not in reply:
            return reply
        error = exceptions.raised(reply, self.decode)
        raise self.refuse(error) if reply["error"] == "SystemExit" else error

    def _reply_to(self, request: dict[str, Any] | None) -> dict[str, Any]:
        """The reply as it came. Where this fails, question and answer are out of step: nothing more can be asked."""
        if self.lost is not None:
            raise self.lost
        try:
            if request is not None:
                wire.send(self.requests, request)
            while "ask" in (reply := self._receive()):
                wire.send(self.requests, self._answer(reply))
        except (EOFError, BrokenPipeError) as error:
            self.lost = self.refuse(CandidateDiedError())
            raise self.lost from error
        except BaseException as error:
            self.lost = self.refuse(error)
            raise
        return reply

    def _receive(self) -> dict[str, Any]:
        reply = wire.receive(self.replies)
        if not isinstance(reply, dict):
            raise exceptions.CandidateError
        for name, abilities in reply.get("kinds", ()):
            self.kinds.append(stand_in(name, abilities))
        for kind in reply.get("objects", ()):
            self.remotes.append(self.kinds[kind](self, len(self.remotes)))
        return reply

    def ask(self, operation: str, target: Remote, *args: Any) -> Any:
        """Have the candidate do something to one of its objects; gives the result."""
        reply = self.exchange({"op": operation, "on": number_of(target), "args": self.encode([*args])})
        return self.decode(reply.get("value"))

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """Run a function of the tests on the candidate's arguments; return its value, or the name of its error."""
        try:
            target, *args = self.decode(question["args"])
            if not any(target is lent for lent in self.lent):
                raise TypeError("not an object that was lent")
            value = next(target) if question["ask"] == "next" else target(*args[0], **args[1])
            return {"value": self.encode(value)}
        except Exception as error:
            return exceptions.error_of(error, self.encode)

    def encode(self, value: Any) -> Any:
        """Return the value in the form that crosses the pipe."""
        return wire.encode(value, self.number_of, literals=True)

    def decode(self, value: Any) -> Any:
        """Return a value of the wire, with stand-ins for the candidate's objects.

        Raises:
            WireError: not a value of the protocol; the tests fail whatever they make of this.
        """
        try:
            return wire.decode(value, self.object)
        except (wire.WireError, RecursionError, MemoryError) as error:
            self.refuse(error)
            raise

    def object(self, number: int) -> Any:
        """Return what a number stands for: an object of the candidate's, or, below zero, one that it was lent."""
        return self.remotes[number] if number >= 0 else self.lent[-1 - number]

    def number_of(self, value: Any) -> int:
        """Return the number of a candidate's object, or of a function or iterator of ours that it may call.

        Raises:
            TypeError: it is another object of ours, which cannot leave.
        """
        if isinstance(value, Remote):
            return number_of(value)
        if not isinstance(value, LENDABLE):
            raise TypeError(f"{type(value).__name__} cannot be passed to the candidate")
        found = next((number for number, lent in enumerate(self.lent) if lent is value), len(self.lent))
        if found == len(self.lent):
            self.lent.append(value)
        return -1 - found

    def names(self, wanted: list[str]) -> dict[str, Any]:
        """Return the candidate's definitions by name; where all are asked for, none that hides a built-in."""
        found = self.exchange({"op": "names", "names": wanted}).get("names")
        if not isinstance(found, dict):
            raise self.refuse(exceptions.CandidateError())
        allowed = set(wanted) if wanted else set(found) - set(dir(builtins))
        decoded = {name: self.decode(value) for name, value in found.items()}
        return {name: value for name, value in decoded.items() if name in allowed}


def not_plain(value: Any) -> int:
    """Refuse an object where only plain data will do; ``encode`` calls this for it.

    Raises:
        TypeError: always.
    """
    raise TypeError(f"{type(value).__name__} is not plain data")


def run_tests(job: dict[str, Any], link: Link, first_random: list[float]) -> dict[str, Any]:
    """Set up, take the candidate's names, run the tests; whatever is raised is the failure.

    Returns:
        The verdict; it says whether the tests drew random numbers, which start as the candidate's own do unless the job
        has a seed. See :func:`kit.sandbox.client.verdict_of`.
    """
    if "seed" in job:
        packages.seed(sys.modules, int(job["seed"], 16))
    link.exchange(None)
    namespace: dict[str, Any] = {}
    exec(compile(job["setup"], "<setup>", "exec", dont_inherit=True), namespace)
    namespace |= link.names(job["names"])
    exec(compile(job["tests"], "<tests>", "exec", dont_inherit=True), namespace)
    return {"passed": True, "drew": packages.next_random(sys.modules) != first_random}


def make_calls(job: dict[str, Any], link: Link, verdicts: int) -> dict[str, Any]:
    """Call the function on each set of arguments, and pass on what it gives."""
    link.exchange(None)
    found = link.names([job["name"]])
    if job["name"] not in found:
        raise NameError
    for arguments in job["arguments"]:
        try:
            value = found[job["name"]](*link.decode(arguments))
            reply = wire.packed({"value": wire.encode(value, not_plain, shared=False)})
            wire.frame(reply)  # or it is too long
        except Exception as error:
            reply = wire.packed({"error": f"failed: {type(error).__name__}"})
        wire.write_frame(verdicts, reply)
    return {"passed": True}


def run(tests: int, requests: int, replies: int, verdicts: int, first_random: list[float]) -> None:
    """Read the job, run it, give the verdict.

    Args:
        tests: where the job comes from.
        requests: where questions to the candidate go.
        replies: where its replies come from.
        verdicts: where the verdict goes.
        first_random: the first numbers that :func:`kit.sandbox.packages.next_random` draws, if nobody drew before.
    """
    job = wire.receive(tests)
    wire.send(verdicts, {"read": True})
    link = Link(requests, replies)
    failure: BaseException | None = None
    verdict: dict[str, Any] = {}
    try:
        verdict = run_tests(job, link, first_random) if "tests" in job else make_calls(job, link, verdicts)
    except BaseException as error:
        failure = error
    if "tests" in job:  # whether the tests let it pass or not
        failure = link.failure or failure
    if isinstance(failure, CandidateDiedError):
        verdict = {"reason": "candidate died"}
    elif failure is not None:
        verdict = {"reason": f"failed: {type(failure).__name__}"}
    wire.send(verdicts, verdict)
