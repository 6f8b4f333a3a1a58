"""Compare two answers as mathematics, by math-verify, in a process that can be ended.

Texts come from a model and may be hostile: ``9^{9^{9^9}}`` keeps sympy busy for ever. So what is plainly too large is
told before sympy sees it, and the process that compares is ended by the kernel after :data:`CPU_S` seconds of CPU time,
not of wall-clock time: a busy machine changes no verdict. Neither is "wrong" in silence: the verdict has its reason.
"""

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from kit.errors import KitError
from kit.reading.child import Child

CPU_S = 5
"""CPU seconds that one comparison may take; the slowest of MATH's own answers takes less than one."""
LENGTH = 1_000
"""Characters that an answer may have; the longest of MATH has 159."""
DEPTH = 8
"""Brackets that may stand inside each other; those of MATH's answers: three. The parser slows down with each."""
DIGITS = 400
"""Digits that a number may have."""
EXPONENT_DIGITS = 4
"""Digits that an exponent or the number before a factorial sign may have."""
PEAK_BYTES = 512 << 20
"""Memory that one comparison may fill; "not equal" after more is not believed, for failing looks the same."""
KEPT_BYTES = 256 << 20
"""A process that once filled more is replaced by a new one, so that nothing is counted against the next answer."""
NOT_IN_TIME = f"not read in time ({CPU_S} s of CPU time)"
TOO_LARGE = "too large to compare"

_LONG_NUMBER = re.compile(rf"\d{{{DIGITS + 1}}}")
_POWER = re.compile(rf"\^[\s{{(+-]*\d{{{EXPONENT_DIGITS + 1}}}|(?<!\d)\d{{{EXPONENT_DIGITS + 1},{DIGITS}}}[\s)}}]*!")
_TOWER = re.compile(r"\d[\s)}]*\^[\s{(+-]*\d+[\s)}]*\^[\s{(+-]*\d|![\s)}]*!|![\s)}]*\^|\^[\s{(+-]*\d+[\s)}]*!")
_CHILD = Path(__file__).with_name("_algebra_child.py")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of comparing two answers as mathematics."""

    same: bool
    reason: str = ""
    """Reason why it is not known whether they are equal; empty where it is."""


def too_large(text: str) -> bool:
    """Say whether a text is so long, deep or full of powers that it is not given to sympy."""
    if len(text) > LENGTH or _LONG_NUMBER.search(text) or _POWER.search(text):
        return True
    tower = _TOWER.search(text)
    return (tower is not None and not _small_tower(text)) or depth(text) > DEPTH


def depth(text: str) -> int:
    """Return the number of brackets that stand inside each other where the text is deepest."""
    deepest = now = 0
    for character in text:
        if character in "{([":
            now += 1
            deepest = max(deepest, now)
        elif character in "})]":
            now = max(0, now - 1)
    return deepest


def _small_tower(text: str) -> bool:
    """Whether all of a text's numbers have one digit and at most two powers or factorials stand in it: ``2^{3^2}``."""
    return not re.search(r"\d\d", text) and text.count("^") + text.count("!") <= 2 and not re.search("[5-9]", text)


class Algebra:
    """Compares pairs of answers; its process starts with the first pair, and again after a pair that ended it."""

    def __init__(self) -> None:
        self._child: Child | None = None
        self._known: dict[tuple[str, str], Verdict] = {}

    def __enter__(self) -> "Algebra":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def compare(self, answer: str, wanted: str) -> Verdict:
        """Compare an answer with the reference, both LaTeX without dollar signs around it.

        Raises:
            KitError: math-verify is not installed, or does not start.
        """
        answer, wanted = _braced(answer), _braced(wanted)
        if too_large(answer) or too_large(wanted):
            return Verdict(False, TOO_LARGE)
        pair = (answer, wanted)
        if pair not in self._known:
            self._known[pair] = self._ask(answer, wanted)
        return self._known[pair]

    def any_same(self, answers: Iterable[str], wanted: str) -> Verdict:
        """Compare readings of one answer until one is equal; the first reason of those that could not be compared."""
        reason = ""
        for answer in answers:
            verdict = self.compare(answer, wanted)
            if verdict.same:
                return verdict
            reason = reason or verdict.reason
        return Verdict(False, reason)

    def _ask(self, answer: str, wanted: str) -> Verdict:
        """Compare two answers in the child process."""
        child = self._child or self._start()
        reply = child.ask({"answer": answer, "wanted": wanted, "cpu_s": CPU_S})
        if reply is None:
            code = self._end()
            return Verdict(False, NOT_IN_TIME if code == -signal.SIGXCPU else f"its reader ended with exit code {code}")
        if reply["peak"] > KEPT_BYTES:
            self._end()
        filled = reply["peak"] > PEAK_BYTES
        return Verdict(reply["same"], TOO_LARGE if filled and not reply["same"] else "")

    def _start(self) -> Child:
        """Start the child process, and wait until it is ready.

        Raises:
            KitError: it ended before it was ready.
        """
        child = self._child = Child(_CHILD)
        if child.receive() is None:
            last_error = child.last_error()
            self._end()
            raise KitError(
                f"the process that reads mathematics did not start: {last_error}; "
                "is the environment the locked one? math-verify is in its `grade` extra"
            )
        return child

    def _end(self) -> int | None:
        """End the process, if there is one, and return its exit code."""
        child, self._child = self._child, None
        return child.end() if child else None


def _braced(text: str) -> str:
    r"""Brace fractions whose parts are commands: ``\frac \pi4``, which the parser cannot read, is ``\frac{\pi}{4}``."""
    return re.sub(r"\\[dtc]?frac\s*(\\[A-Za-z]+|\d)\s*(\\[A-Za-z]+|\d)", r"\\frac{\1}{\2}", text)
