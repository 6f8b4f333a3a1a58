"""Untrusted code in locked child processes: HumanEval and MBPP completions, AutoIF verifiers, foreign prompt files.

Each program gets two processes, forked from a server that has given up everything but computing. The *candidate* runs
the model's code and answers calls; the *tester* runs the benchmark's tests with proxies in place of the candidate's
functions, and alone holds the pipe for the verdict. So neither output, exit status nor anything the code does to its
interpreter counts as a pass.

    kit (pool) ── code ──> server ──fork──> candidate
         └────── tests ───────└───fork──> tester ── verdict ──> server ──> kit

A check function of AutoIF needs no tester (:class:`Function`): it is told its inputs, never what is expected, and the
kit compares the plain values that come back.

What crosses behaves as it was written: sets iterate in their order, an object that is passed twice is one object. What
a completion can still tell from inside the official grader and not here: its changes to the arguments it was given do
not reach the tests, and it cannot start threads, write files or open sockets.

No verdict and no reason depends on what else the machine does: a limit counts what a program used, not what the clock
says, and what something outside the kit killed is run again.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from kit.sandbox.plain import LONGEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A model-written candidate together with the benchmark's tests that judge it."""

    id: str
    code: str
    """Model-written source; runs in the candidate process alone."""
    tests: str
    """The benchmark's own tests; run in the tester process alone."""
    setup: str = ""
    """Trusted source that the tester runs before the tests (helpers from the prompt)."""
    names: tuple[str, ...] = ()
    """Names that the tests take from the candidate; empty: every public name it defines, built-in names left out."""
    cpu_s: float = 3.0
    """CPU seconds the candidate may take; it may sleep four times that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Result of one program: passed or not, the reason, and the CPU time."""

    id: str
    passed: bool
    reason: str
    """Empty if passed; else ``failed: AssertionError``, ``cpu limit``, ``wall limit``, ``no verdict``, ..."""
    cpu_s: float
    """CPU seconds the candidate took."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calls:
    """One function of a candidate with the arguments to try it on."""

    id: str
    code: str
    """Source of any origin; runs in the candidate process alone."""
    name: str
    """Name of the function to call."""
    arguments: tuple[tuple[Any, ...], ...]
    """One tuple of positional arguments a call; plain data."""
    cpu_s: float = 3.0
    """CPU seconds for all calls together; it may sleep four times that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Result of one function call: a plain value, or the reason why there is none."""

    value: Any = None
    """Plain data, of exact built-in types."""
    error: str = ""
    """Empty, or why there is no value: ``failed: ValueError``, ``cpu limit``, ``wall limit``, ``candidate died``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """A model-written function with the inputs to call it on; it is never told what is expected of it."""

    id: str
    code: str
    """Model-written source."""
    name: str
    """Name of the function to call."""
    inputs: tuple[Any, ...]
    """The only argument of each call: what JSON can hold."""
    cpu_s: float = 5.0
    """CPU seconds of one call; all of them together may take four times that."""
    longest: int = LONGEST
    """Characters of a value's text beyond which the value is of no use: it arrives as a
    :class:`kit.sandbox.plain.Opaque`, so that what many functions return fits into the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Returned:
    """Result of calling one function on each of its inputs."""

    id: str
    replies: tuple[Reply, ...]
    """One an input, in order. A value is of exact built-in types (None, bool, int, float, str, list, dict, tuple,
    bytes), or a :class:`kit.sandbox.plain.Opaque`, which equals nothing."""
    error: str = ""
    """Reason for which the source could not be loaded (``failed: SyntaxError``), or all of the function counts for
    nothing (``forged reply``); then each reply has it too. Empty otherwise."""
    cpu_s: float = 0.0
    """CPU seconds that it took."""


class Sandbox(Protocol):
    """Runs model-written code in locked and limited processes."""

    tier: str
    """The protection that was tested and found to hold, for instance ``landlock-v7+seccomp``, or ``unsafe``."""
    workers: int
    """Number of programs that run at a time; it belongs in the score's record."""
    packages: Mapping[str, str]
    """Packages beside the standard library that programs may import, with their versions; they can move scores."""

    def run(self, programs: Sequence[Program], progress: Callable[[int], None] | None = None) -> list[Verdict]:
        """Return one verdict a program, in order; ``progress`` is told how many are done."""
        ...

    def replies(self, calls: Sequence[Calls], progress: Callable[[int], None] | None = None) -> list[list[Reply]]:
        """Return the replies of each function to each of its arguments, in order."""
        ...

    def call_functions(
        self, functions: Sequence[Function], progress: Callable[[int, int], None] | None = None
    ) -> list[Returned]:
        """Call each function on its inputs, in one process a function; in order.

        Those that do the same on the same inputs are called once. ``progress`` is told how many were called and how
        many there are, each of these once; first 0, when they are known.
        """
        ...

    def call(self, source: str, name: str, arguments: Sequence[Any]) -> Any:
        """Run one function of an untrusted file and return its value.

        Raises:
            RequestError: it gave no plain value; the message says why.
        """
        ...

    def close(self) -> None:
        """Stop the worker processes of the sandbox."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_sandbox(*, workers: int | None = None, unsafe: bool = False, force_tier: int | None = None) -> Sandbox:
    """Start the workers and try the sandbox with attacks before anything runs in it.

    Args:
        workers: programs at a time; never more than this process may use cores, which is the default.
        unsafe: limits on memory and time only, no sandbox.
        force_tier: 1 (Landlock and seccomp) or 2 (seccomp alone); the best that holds otherwise.

    Raises:
        RequestError: no tier holds here; the message says what is missing, and the way round it.
    """
    from kit.sandbox.pool import open_pool

    return open_pool(workers=workers, unsafe=unsafe, force_tier=force_tier)
