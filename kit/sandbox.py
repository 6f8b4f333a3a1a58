"""Untrusted code in a capped child process (interface; see docs)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One candidate with its tests."""

    id: str
    code: str
    """Model-written source; runs in the candidate process alone."""
    tests: str
    """The benchmark's own tests; run in the tester process alone."""
    setup: str = ""
    """Trusted source that the tester runs before the tests (helpers from the prompt)."""
    names: tuple[str, ...] = ()
    """Names that the tests take from the candidate; empty: every public name it defines."""
    cpu_s: float = 3.0
    """CPU seconds the candidate may take; the wall deadline is four times that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one program."""

    id: str
    passed: bool
    reason: str
    """Empty if passed; else ``failed: AssertionError``, ``cpu limit``, ``wall limit``, ``no verdict``, ..."""
    cpu_s: float


class Sandbox(Protocol):
    """Where model-written code runs."""

    tier: str
    """What was observed to hold, for instance ``landlock-v7+seccomp``, or ``unsafe``."""

    def run(self, programs: Sequence[Program], progress: Callable[[int], None] | None = None) -> list[Verdict]:
        """One verdict a program, in order."""
        ...
