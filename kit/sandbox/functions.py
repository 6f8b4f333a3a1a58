"""The kit's side of calling model-written functions: one process a function, and no tester.

A function is called on every input twice, in an order that depends on the inputs alone and then in the reverse of it;
where the two answers to any input differ, it has none at all. So what it remembers of earlier calls, wherever it hides
that, can only cost it answers. See docs/decisions/0007-cross-check.md.
"""

import ast
import builtins
import contextlib
import hashlib
import json
import math
import os
import re
import secrets
import select
import signal
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kit.errors import RequestError
from kit.sandbox import Function, Reply, Returned, client, packages, parsing, pipes, plain, wire
from kit.sandbox.client import Server, ServerDiedError
from kit.sandbox.outcome import NO_MEMORY
from kit.sandbox.watch import Watch

TOTAL_FACTOR = 4
"""A function may take this many times the CPU seconds of one call, for loading and for all of its calls."""
MOST_BYTES = 4 << 20
"""Bytes that a function may write in all."""
CPU_LIMIT, WALL_LIMIT, DIED, FORGED = "cpu limit", "wall limit", "died", "forged reply"
TOO_LONG = f"longer than {MOST_BYTES >> 20} MiB"
DIFFERS = "answers differ"
KNOWN = {"true": Reply(value=True), "false": Reply(value=False), "null": Reply(value=None)}
"""Replies of the texts that nearly all check functions give."""

ERROR = re.compile(r'\{"error": "([A-Za-z]+)"\}')
"""Text of a call that raised."""


class WantsPackageError(Exception):
    """The function asked for a package that its fork server has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Output of one process of a function, and why there is no more of it."""

    error: str = ""
    """Reason for which the function has no answers at all; empty if its source was loaded."""
    answers: Sequence[str] = ()
    """Texts of the calls that were made, in order: a value, or ``{"error": ...}``."""
    reason: str = ""
    """Reason for which the next call has no answer; empty where all have one, or it is to be made again."""
    cpu_s: float = 0.0


def call_all(
    functions: Sequence[Function],
    known: Collection[str],
    spread: Callable[[Sequence[Function]], Sequence[Returned]],
) -> list[Returned]:
    """Return what each function gives, in order; what can be told by looking is not started, nor is anything twice.

    Args:
        functions: those to call.
        known: packages that a function can import, beside the standard library.
        spread: calls functions in the sandbox's processes.

    Raises:
        RequestError: an input is nothing that JSON can hold.
    """
    keys: list[bytes] = []
    first: dict[bytes, Function] = {}
    told: dict[bytes, Returned] = {}
    for function in functions:
        shape, error = look(function.code, known)
        parts = json.dumps((shape, function.name, _texts_of(function), function.cpu_s, function.longest))
        keys.append(key := hashlib.sha256(parts.encode()).digest())
        if error and key not in told:
            told[key] = _without(function, error)
        elif not error:
            first.setdefault(key, function)
    told |= dict(zip(first, spread([*first.values()]), strict=True))
    return [replace(told[key], id=function.id) for key, function in zip(keys, functions, strict=True)]


def _texts_of(function: Function) -> list[str]:
    """Return the inputs of a function as texts of JSON.

    Raises:
        RequestError: one of them is nothing that JSON can hold.
    """
    try:
        return [json.dumps(each) for each in function.inputs]
    except (TypeError, ValueError, RecursionError) as error:
        raise RequestError(
            f"sandbox: function {function.id}: inputs: {error}; wanted what JSON can hold, since no other value can be "
            "handed to a model's code"
        ) from error


def look(code: str, known: Collection[str]) -> tuple[str, str]:
    """Look at a source without running it; nothing that a model can write makes this fail.

    Returns:
        What is the same for sources that do the same, whatever their comments and blanks; and why it can't be loaded,
        where that is certain: ``failed: SyntaxError``, ``failed: ModuleNotFoundError``.
    """
    parsed = parsing.Parser().parse(code)
    if parsed.nodes is None:
        return code, "failed: SyntaxError" if parsed.error_line is not None else ""
    for node in parsed.nodes:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break  # an import after it, it may have prepared
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        if not {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, *known}:
            return code, "failed: ModuleNotFoundError"
    try:
        return ast.dump(ast.Module(parsed.nodes, [])), ""
    except (RecursionError, ValueError):  # nested too deep, or a number too long to be printed
        return code, ""


def returned_of(function: Function, server: Server) -> Returned:
    """Call one function on all of its inputs, in a server that has the packages it wants."""
    has_all = server.plan["preload_packages"] or not server.plan["packages"]
    if not has_all and packages.named(function.code):
        return _called(function, server.with_packages())
    try:
        return _called(function, server)
    except WantsPackageError:
        return _called(function, server.with_packages())


def _called(function: Function, server: Server) -> Returned:
    """Call one function; one that meets a limit in a call goes on behind it, in a new process.

    It is handed the inputs in the order of their hashes, each once: the order of the cases would tell it something.
    """
    given = _texts_of(function)
    inputs = sorted({*given}, key=lambda text: hashlib.sha256(text.encode()).digest())
    todo = [*range(len(inputs)), *reversed(range(len(inputs)))]
    answers: list[list[str]] = [[] for _ in inputs]
    failed: dict[int, str] = {}
    spent_s = charged_s = 0.0
    while True:
        said = _said_safely(server, function, inputs, todo, TOTAL_FACTOR * function.cpu_s - charged_s)
        spent_s += said.cpu_s
        charged_s += max(said.cpu_s, function.cpu_s) if said.reason == NO_MEMORY else said.cpu_s  # so that they end
        if said.error:
            return _without(function, said.error, spent_s)
        for number, text in zip(todo, said.answers, strict=False):
            answers[number].append(text)
        todo = todo[len(said.answers) :]
        if said.reason and todo:
            failed[todo[0]] = said.reason
        if said.reason not in ("", CPU_LIMIT, NO_MEMORY) or charged_s >= TOTAL_FACTOR * function.cpu_s:
            failed |= dict.fromkeys(todo, said.reason or CPU_LIMIT)
        todo = [number for number in todo if number not in failed]
        if not todo:
            replies = dict(zip(inputs, _replies(answers, failed, function.longest), strict=True))
            return Returned(id=function.id, replies=tuple(replies[text] for text in given), cpu_s=round(spent_s, 3))


def _replies(answers: Sequence[Sequence[str]], failed: Mapping[int, str], longest: int) -> tuple[Reply, ...]:
    """Return the replies of a function, one an input.

    Args:
        answers: texts of both calls, one pair an input; fewer where a call has none.
        failed: place of an input -> why a call has none.
        longest: characters of the longest text that is read.
    """
    if any(len({*texts}) > 1 for texts in answers):
        return (Reply(error=DIFFERS),) * len(answers)
    return tuple(
        Reply(error=failed[number]) if number in failed else _reply(texts[0], longest)
        for number, texts in enumerate(answers)
    )


def _reply(text: str, longest: int) -> Reply:
    """Return the reply of a text: a value, or an error."""
    if text in KNOWN:
        return KNOWN[text]
    if text.startswith('{"error": '):
        return Reply(error=_error_in(text))
    if len(text) > longest:
        return Reply(value=plain.Opaque("long value"))
    try:
        return Reply(value=plain.value_of(text))
    except ValueError:
        return Reply(error=FORGED)


def _error_in(text: str) -> str:
    """Return the error of a text: it has the name of one of Python's own exceptions, or is forged."""
    match = ERROR.fullmatch(text)
    kind = getattr(builtins, match[1], None) if match else None
    return f"failed: {kind.__name__}" if isinstance(kind, type) and issubclass(kind, BaseException) else FORGED


def _without(function: Function, error: str, cpu_s: float = 0.0) -> Returned:
    """Return the result of a function that did not load."""
    replies = (Reply(error=error),) * len(function.inputs)
    return Returned(id=function.id, error=error, replies=replies, cpu_s=round(cpu_s, 3))


def _said_safely(server: Server, function: Function, inputs: Sequence[str], todo: Sequence[int], left_s: float) -> Said:
    """Run one process; a server that died is replaced, and what something outside the kit killed is run again."""
    for _ in range(client.ATTEMPTS):
        try:
            said = _said(server, function, inputs, todo, left_s)
        except ServerDiedError:
            server.restart()
            continue
        except wire.WireError:
            return Said(error=f"longer than {wire.LIMIT_BYTES >> 20} MiB")
        if server.used_up:
            server.restart()
        if said is not None:
            return said
    return Said(reason=DIED)


def _said(server: Server, function: Function, inputs: Sequence[str], todo: Sequence[int], left_s: float) -> Said | None:
    """Run one process of a function; None if something outside the kit killed it.

    Raises:
        ServerDiedError: the server died; it must be restarted.
        WantsPackageError: the function needs a server with packages.
        WireError: code and inputs are too long.
    """
    token = secrets.token_hex(8)
    job = {"token": token, "code": function.code, "name": function.name, "inputs": inputs, "order": todo}
    unsent = memoryview(wire.frame(wire.packed(job)))
    try:
        unsent = pipes.written(server.codes, unsent)
        wire.send(server.jobs, {"cpu_s": client.BACKSTOP_FACTOR * math.ceil(left_s), "function": True})
        talk = Talk(server, token, function.cpu_s, left_s)
        report = talk.attend(unsent)
        server.used_up = bool(talk.unsent) or bool(pipes.size_of(server.codes))
    except (EOFError, BrokenPipeError) as error:
        raise ServerDiedError("the fork server ended") from error
    return talk.said(report["candidate"], len(todo))


class Talk:
    """Conversation with one process of a function, which is stopped at a limit.

    Args:
        server: the fork server that runs it.
        token: what each of its lines begins with.
        call_s: CPU seconds that loading, or a call, may take.
        left_s: CPU seconds that it may take in all.
    """

    def __init__(self, server: Server, token: str, call_s: float, left_s: float) -> None:
        self.server = server
        self.token = token
        self.call_s = call_s
        self.left_s = left_s
        self.written = bytearray()
        self.unsent = memoryview(b"")
        self.stopped = ""

    def attend(self, unsent: memoryview) -> dict[str, Any]:
        """Write the job, stop the process at a limit, and read what it writes; returns the server's report."""
        server, self.unsent = self.server, unsent
        watch: Watch | None = None
        look_at = 0.0
        while True:
            left_s = max(0.0, look_at - time.monotonic()) if watch and not self.stopped else None
            reading = [server.results, server.verdicts] if watch else [server.results]
            ready = select.select(reading, [server.codes] if self.unsent else [], [], left_s)
            if ready[1]:
                self.unsent = pipes.written(server.codes, self.unsent)
            if server.results in ready[0]:
                message: dict[str, Any] = wire.receive(server.results)
                if "watch" not in message:
                    self.written += pipes.all_of(server.verdicts)  # of a process that is gone: it has an end
                    return message
                watch = self._watch(message["watch"])
            if not watch:
                continue
            self._read()
            too_long = len(self.written) > MOST_BYTES
            if not self.stopped and (too_long or time.monotonic() >= look_at):
                watch.cpu_s = min(self.left_s, self.call_s + self._last_cpu_s())
                self.stopped = TOO_LONG if too_long else watch.exceeded()
                look_at = time.monotonic() + watch.wait_s
                if self.stopped:
                    wire.send(server.jobs, {"stop": self.stopped})

    def _watch(self, pid: int) -> Watch:
        sleep_s = client.SLEEP_FACTOR * self.call_s
        return Watch(server=self.server.process.pid, candidate=pid, cpu_s=self.call_s, sleep_s=sleep_s)

    def _read(self) -> None:
        """Read what is in the pipe now, once: who writes without end must not be read without end."""
        if size := pipes.size_of(self.server.verdicts):
            with contextlib.suppress(BlockingIOError):  # the function itself read it away
                self.written += os.read(self.server.verdicts, size)
        del self.written[MOST_BYTES + 1 :]

    def _last_cpu_s(self) -> float:
        """Return the CPU seconds that the last whole line names."""
        words = bytes(self.written[: self.written.rfind(b"\n")]).rpartition(b"\n")[2].split(b" ", 3)
        return int(words[2]) / 1e9 if len(words) == 4 and words[2].isdigit() and len(words[2]) < 20 else 0.0

    def said(self, end: dict[str, Any], wanted: int) -> Said | None:
        """Return what the process wrote, and why no more; None if it is to be run again.

        Args:
            end: the server's report on the process.
            wanted: number of calls.

        Raises:
            WantsPackageError: the function needs a server with packages.
        """
        plan = self.server.plan
        if end["exit"] == wire.EXIT_WANTS_PACKAGE and plan["packages"] and not plan["preload_packages"]:
            raise WantsPackageError
        lines = lines_of(bytes(self.written), self.token)
        cpu_s = float(end["cpu_s"])
        if lines is None or len(lines) > wanted + 2 or (lines and lines[-1][0] > cpu_s):
            return Said(error=FORGED, cpu_s=cpu_s)
        if lines and lines[0][1].startswith('{"error": '):
            return Said(error=_error_in(lines[0][1]), cpu_s=cpu_s)
        within = _within(lines, self.call_s, self.left_s)
        complete = len(within) == wanted + 2 and within[-1][1] == "end"
        reason = "" if complete else self._reason(end, cpu_s - (within[-1][0] if within else 0.0))
        if reason is None:
            return None
        if not within:
            return Said(error=reason or CPU_LIMIT, cpu_s=cpu_s)
        return Said(answers=[text for _, text in within[1 : wanted + 1]], reason=reason, cpu_s=cpu_s)

    def _reason(self, end: dict[str, Any], since_s: float) -> str | None:
        """Return why a process wrote no more; empty if it was stopped too early, None if from outside.

        Args:
            end: the server's report.
            since_s: CPU seconds since the last line that counts.
        """
        if len(self.written) > MOST_BYTES:
            return TOO_LONG
        if since_s >= self.call_s or end["cpu_s"] >= self.left_s:
            return CPU_LIMIT
        if self.stopped:
            return WALL_LIMIT if self.stopped == WALL_LIMIT else ""
        if end["exit"] == -signal.SIGKILL:
            return None
        return NO_MEMORY if end["exit"] == wire.EXIT_NO_MEMORY else DIED


def lines_of(data: bytes, token: str) -> list[tuple[float, str]] | None:
    """Return the whole lines of :class:`kit.sandbox.caller.Lines`, with their CPU seconds; None if one is none."""
    lines: list[tuple[float, str]] = []
    before = 0
    for line in data.split(b"\n")[:-1]:
        words = line.split(b" ", 3)
        if len(words) != 4 or words[:2] != [token.encode(), str(len(lines)).encode()] or not line.isascii():
            return None
        if not words[2].isdigit() or len(words[2]) > 19 or int(words[2]) < before:
            return None
        before = int(words[2])
        lines.append((before / 1e9, words[3].decode()))
    return lines


def _within(lines: Sequence[tuple[float, str]], call_s: float, left_s: float) -> Sequence[tuple[float, str]]:
    """Return the lines up to the first that came beyond a limit, which makes no difference to one that never came."""
    before = 0.0
    for count, (cpu_s, _) in enumerate(lines):
        if cpu_s - before >= call_s or cpu_s >= left_s:
            return lines[:count]
        before = cpu_s
    return lines
