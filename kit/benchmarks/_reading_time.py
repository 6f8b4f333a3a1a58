"""Completions are read one by one in a process of their own, each within a limit of CPU time.

A model's text may keep a reader busy for hours, take all memory or bring the interpreter down, also inside one call of
C code that no signal handler interrupts. So a benchmark hands its reader over by name, and ``_reading_child.py`` calls
it. The kernel ends that process when one text has taken :data:`CPU_S` seconds of CPU time, never of wall-clock time: a
busy machine changes no grade. That text gets a reason (:class:`NotRead`), and the next one a new process.

A benchmark needs a function at the top of its module, the maker of the reader, and one line in its ``grade``::

    def reader(protocol: str) -> Callable[[Problem, str], Grade]:
        ...

    return graded(reader, protocol, problems, texts, lambda problem: {"name": [0, 1]})

The maker is called once a process. A :class:`~kit.errors.KitError` of the maker's or the reader's says that the request
is wrong, and ends the grading as it would here; any other exception is the text's own.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias, TypeVar

from kit import errors
from kit.errors import KitError
from kit.reading.child import Child
from kit.records import Grade, Problem
from kit.registry import PACKAGE
from kit.sandbox import Program, Sandbox

Read = TypeVar("Read", str, Grade)
Maker: TypeAlias = Callable[[str], Callable[[Problem, str], Read]]
"""For a protocol, the function that reads the text that answers a problem."""

CPU_S = 10.0
"""CPU seconds that reading one completion may take; real ones need milliseconds, the slowest tenths of a second."""
MEMORY_BYTES = 1 << 30
"""Memory that reading may take beyond what the reader has once it is loaded; real completions need a few MiB."""
NOT_IN_TIME = "not read in time"
"""Start of the reason where a text took too long."""
NOT_READ = "could not be read"
"""Start of the reason where a text ended its reader."""
SIGNALS_OF_A_TEXT = {signal.SIGPROF, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
"""Signals that end a process for what it does; others come from outside and say nothing about a text."""
TRIES = 3
"""Most readings of a text whose process is ended from outside."""
_CHILD = Path(__file__).with_name("_reading_child.py")


def not_in_time(cpu_s: float) -> str:
    """Return the reason of a text that took longer: ``not read in time (10 s of CPU time)``."""
    return f"{NOT_IN_TIME} ({cpu_s:g} s of CPU time)"


def not_read(grades: Sequence[Grade]) -> dict[str, int]:
    """Return how many texts were not read, by reason: they count as wrong, so whoever grades is told."""
    return dict(sorted(Counter(one.reason for one in grades if one.reason.startswith((NOT_IN_TIME, NOT_READ))).items()))


@dataclass(frozen=True, slots=True)
class NotRead:
    """Stands where a text has no reading."""

    reason: str
    """``not read in time (...)`` or ``could not be read: ...``."""


def graded(
    maker: Maker[Grade],
    protocol: str,
    problems: Sequence[Problem],
    texts: Sequence[str],
    failed: Callable[[Problem], Mapping[str, Sequence[float]]],
) -> list[Grade]:
    """Return one grade a text, in the order of the problems; a text that could not be read fails, with its reason.

    Args:
        maker: the function that makes the reader; at the top of a module, where the process can find it.
        protocol: what the maker is called with.
        problems: what was asked.
        texts: what was answered, one a problem.
        failed: the scores of a problem's grade when nothing in its text is right.

    Raises:
        KitError: as :func:`read_each`.
    """
    found = read_each(maker, protocol, problems, texts)
    return [
        Grade(id=problem.id, scores=failed(problem), reason=one.reason) if isinstance(one, NotRead) else one
        for problem, one in zip(problems, found, strict=True)
    ]


def read_each(
    maker: Maker[Read], protocol: str, problems: Sequence[Problem], texts: Sequence[str]
) -> list[Read | NotRead]:
    """Return what the reader makes of each text, in the order of the problems.

    Args:
        maker: the function that makes the reader; at the top of a module, where the process can find it.
        protocol: what the maker is called with.
        problems: what was asked.
        texts: what was answered, one a problem.

    Raises:
        KitError: what the maker or the reader raised of that kind, with its own message; or the process did not start,
            or was ended from outside.
    """
    with Reading(maker, protocol) as reading:
        return reading.each(problems, texts)


def run_each(
    sandbox: Sandbox,
    metric: str,
    problems: Sequence[Problem],
    codes: Sequence[str | NotRead],
    program: Callable[[Problem, str], Program],
) -> list[Grade]:
    """Return one grade a problem, of the code that was read from its text; what could not be read fails without a run.

    Args:
        sandbox: where the programs run.
        metric: what the grades count.
        problems: what was asked.
        codes: what :func:`read_each` gave, one a problem.
        program: makes the program of a problem and its code.
    """
    read = [(problem, code) for problem, code in zip(problems, codes, strict=True) if isinstance(code, str)]
    verdicts = iter(sandbox.run([program(problem, code) for problem, code in read]))
    grades = []
    for problem, code in zip(problems, codes, strict=True):
        if isinstance(code, NotRead):
            grades.append(Grade(id=problem.id, scores={metric: [0, 1]}, reason=code.reason))
            continue
        v = next(verdicts)
        scores = {metric: [int(v.passed), 1]}
        grades.append(Grade(id=v.id, scores=scores, answer=code, reason=v.reason, cpu_s=v.cpu_s))
    return grades


class Reading:
    """The process that reads, from the start of a ``with`` to its end; started again after a text that ended it.

    What stands in the ``with`` before the first text is done while the process starts.
    """

    def __init__(self, maker: Maker[Any], protocol: str) -> None:
        self._order = {
            "package": str(PACKAGE),
            "path": [str(folder) for folder in sys.path],
            "module": maker.__module__,
            "maker": maker.__qualname__,
            "protocol": protocol,
            "memory_bytes": MEMORY_BYTES,
        }
        self._child: Child | None = None
        self._ready = False

    def __enter__(self) -> "Reading":
        self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and self._child is not None:
            self._child.kill()  # it may be busy with a text for seconds
        self._end()

    def each(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Any]:
        """Read each text for its problem, as :func:`read_each` does."""
        self._wait()
        return [self._read(problem, text) for problem, text in zip(problems, texts, strict=True)]

    def _read(self, problem: Problem, text: str) -> Any:
        """Return the reader's result for one text, or the reason why there is none.

        Raises:
            KitError: the reader raised it, or its process was ended from outside.
        """
        row = {"id": problem.id, "data": problem.data, "text": text, "cpu_s": CPU_S}
        for _ in range(TRIES):
            reply = self._answer(row)
            code = 0 if reply else self._end()
            if reply or code >= 0 or -code in SIGNALS_OF_A_TEXT:
                break
        else:
            raise KitError(
                f"problem {problem.id}: the process that reads completions was ended from outside {TRIES} times, "
                f"by {signal.Signals(-code).name}; is memory short on this machine?"
            )
        if reply is None:
            return NotRead(_reason(code))
        if reply.get("last"):
            self._end()
        if "grade" in reply:
            return Grade.from_json(reply["grade"])
        if "raised" in reply:
            raise _known(reply)
        return reply["text"] if "text" in reply else NotRead(f"{NOT_READ}: {reply['failed']}")

    def _answer(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the process's answer to a row; ``None`` where it has ended.

        Raises:
            KitError: as :meth:`_wait`.
        """
        if self._child is None:
            self._start()
        return self._wait().ask(row)

    def _start(self) -> None:
        """Start the process, and tell it what to read with."""
        # -P and -S, and then the modules that this process finds: the reader is the one that would be called here.
        # What libraries print about a text nobody sees.
        self._ready = False
        self._child = Child(_CHILD, flags=("-P", "-S", "-B"), environment=os.environ, quiet=True)
        self._child.send(self._order)

    def _wait(self) -> Child:
        """Return the process, once it is ready to read.

        Raises:
            KitError: the maker raised it, or the process did not start.
        """
        assert self._child
        child = self._child
        if self._ready:
            return child
        reply = child.receive()
        if reply is not None and "ready" in reply:
            self._ready = True
            return child
        code = self._end()
        if reply is not None and "raised" in reply:
            raise _known(reply)
        failure = f"exit code {code}" if reply is None else reply["failed"]
        raise KitError(
            f"the process that reads completions ({self._order['module']}) did not start: {failure}; "
            "is the environment the locked one?"
        )

    def _end(self) -> int:
        """End the process, if there is one, and return its exit code."""
        child, self._child = self._child, None
        return child.end() if child else 0


def _reason(code: int) -> str:
    """Explain why there is no reading of a text that ended the process with this exit code."""
    if code == -signal.SIGPROF:
        return not_in_time(CPU_S)
    how = f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"
    return f"{NOT_READ}: its reader ended {how}"


def _known(reply: Mapping[str, str]) -> KitError:
    """Return the error of the kit's own that the process raised."""
    kind = getattr(errors, reply["raised"], KitError)
    error: KitError = kind(reply["message"])
    return error
