"""Evidence for a claim: its number, interval, test and p value, by one function for each way to judge chance."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kit.comparing.distributions import t_probability
from kit.comparing.exact import mcnemar
from kit.comparing.intervals import Interval, difference_interval

Verdict: TypeAlias = Literal["holds", "does not hold", "cannot tell"]
HOLDS: Verdict = "holds"
FAILS: Verdict = "does not hold"
UNKNOWN: Verdict = "cannot tell"
CONFIDENCE = 0.95
"""Confidence of every interval; 1 - CONFIDENCE is what a family may err by."""
FEWEST_FOR_T = 6
"""Fewest replicates whose mean is tested by Student's t. Below, an exact sign test decides: with five replicates that
all agree its two-sided p is 2 / 2^5 = 0.0625, so that no five of them decide anything at 5 %."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The numbers that speak for or against a claim, before p values are corrected for their number."""

    value: float | None = None
    """The claim's number in ``unit``: above 0 where the numbers point the claimed way, for checks that have a test."""
    unit: str = ""
    digits: int = 2
    interval: Interval | None = None
    n: int = 0
    """Replicates, pairs, prompts or cells behind the number."""
    of: str = ""
    """Name of what is counted by ``n``; empty where it goes without saying."""
    test: str = ""
    """Name of the test; empty where arithmetic decides."""
    p: float | None = None
    """Two-sided p value; None where arithmetic decides, or nothing can."""
    verdict: Verdict | None = None
    """The verdict where no test is needed; None where ``p`` decides."""
    why: str = ""
    """Sentences on what was found."""


def p_text(p: float) -> str:
    """Return a p value for the end of a sentence: ``p = 0.031``, or ``p < 0.001``."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def nothing(why: str) -> Evidence:
    """Return the evidence of a claim that cannot be decided, with the reason."""
    return Evidence(verdict=UNKNOWN, why=why)


def over_replicates(values: Sequence[float]) -> tuple[Interval | None, str, float | None]:
    """Return the interval of a mean of replicates, the name of the test, and its two-sided p.

    Student's t over the values (``kit.comparing``); with fewer than :data:`FEWEST_FOR_T`, or no spread, the exact sign
    test. One replicate has neither interval nor test.
    """
    n = len(values)
    if n < 2:
        return None, "", None
    mean, stderr = statistics.fmean(values), statistics.stdev(values) / math.sqrt(n)
    interval = difference_interval(mean, stderr, n - 1, CONFIDENCE)
    if n < FEWEST_FOR_T or stderr == 0:
        return interval, "exact sign test", sign_test(values)
    return interval, "t test", min(1.0, 2 * t_probability(-abs(mean / stderr), n - 1))


def sign_test(values: Sequence[float]) -> float:
    """Return the two-sided p of the exact sign test; values of 0 are left out of it."""
    above, below = sum(value > 0 for value in values), sum(value < 0 for value in values)
    return mcnemar(above, below) if above + below else 1.0


def over_items(value: float, stderr: float, degrees: float | None = None) -> tuple[Interval, float]:
    """Return the interval of a value with a known standard error, and its two-sided p.

    Args:
        value: the value.
        stderr: its standard error; 0 leaves nothing to chance.
        degrees: degrees of freedom of the error; None for so many that the normal distribution holds.
    """
    interval = difference_interval(value, stderr, degrees, CONFIDENCE)
    if stderr == 0:
        return interval, 1.0 if value == 0 else 0.0
    ratio = -abs(value / stderr)
    tail = statistics.NormalDist().cdf(ratio) if degrees is None else t_probability(ratio, degrees)
    return interval, min(1.0, 2 * tail)


def decide(evidence: Evidence, p: float | None) -> Verdict:
    """Return the verdict of a test: which side the number is on, where chance is ruled out, and else "cannot tell".

    Args:
        evidence: the claim's.
        p: its p value, corrected for the family.
    """
    if evidence.verdict is not None:
        return evidence.verdict
    if p is None or evidence.value is None or p > 1 - CONFIDENCE or evidence.value == 0:
        return UNKNOWN
    return HOLDS if evidence.value > 0 else FAILS
