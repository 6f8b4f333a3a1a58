"""Arithmetic of counts: which k of n items a printed percentage can stand for, in whole numbers and so without error.

The test is called GRIM (Brown and Heathers, Social Psychological and Personality Science 8(4), 2017,
doi:10.1177/1948550616673876): a mean of whole numbers over n items can take only so many values.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import lcm
from typing import Literal

Rule = Literal["rounded", "cut", "raised"]
RULES: tuple[Rule, ...] = ("rounded", "cut", "raised")
"""Ways to print fewer digits: to the nearest (halves either way: up or to the even digit), down, up."""
MOST_PLACES = 1 << 24
"""Most places in which a mean over groups is looked up; more would take seconds."""


def power(decimals: int) -> int:
    """Return ten to the number of decimals."""
    return int(10**decimals)


@dataclass(frozen=True, slots=True)
class Number:
    """A printed number: its digits as a whole number, and how many of them stand behind the point."""

    digits: int
    """The number times ``10 ** decimals``: 3350 for 33.50."""
    decimals: int

    @property
    def value(self) -> float:
        """The number itself, rounded to a float."""
        return self.digits / self.unit

    @property
    def unit(self) -> int:
        """One, in last digits: 100 for two decimals."""
        return power(self.decimals)

    @property
    def text(self) -> str:
        """The number as it is printed, with all its decimals."""
        whole, part = divmod(abs(self.digits), self.unit)
        sign = "-" if self.digits < 0 else ""
        return f"{sign}{whole}.{part:0{self.decimals}}" if self.decimals else f"{sign}{whole}"


def number(value: float, decimals: int) -> Number:
    """Return a float as a printed number with so many decimals."""
    return Number(round(value * power(decimals)), decimals)


def counts(printed: Number, n: int, rule: Rule = "rounded") -> range:
    """Return every k for which ``100 * k / n`` is printed as this number under a rule; an empty range if there is none.

    A share that lies exactly between two printed numbers counts for both: half up and half to even both occur.
    """
    value, whole = printed.digits, 100 * printed.unit
    if rule == "rounded":
        low, high = -((1 - 2 * value) * n // (2 * whole)), (2 * value + 1) * n // (2 * whole)
    elif rule == "cut":
        low, high = -(-value * n // whole), -(-(value + 1) * n // whole) - 1
    else:
        low, high = (value - 1) * n // whole + 1, value * n // whole
    return range(max(low, 0), min(high, n) + 1)


def around(printed: Number, n: int) -> range:
    """Return the counts that a number can mean at all: under any rule, or where none fits the two around it."""
    found = [k for rule in RULES for k in counts(printed, n, rule)]
    below = min(max(printed.digits * n // (100 * printed.unit), 0), n)
    return range(min(found), max(found) + 1) if found else range(below, min(below + 1, n) + 1)


def as_printed(k: int, n: int, decimals: int) -> Number:
    """Return ``100 * k / n`` as it is printed with so many decimals, halves up."""
    return Number((200 * power(decimals) * k + n) // (2 * n), decimals)


def fit_share(n: int, decimals: int) -> float:
    """Return the share of all numbers from 0 to 100 with so many decimals that some k of n gives."""
    return min(1.0, (n + 1) / (100 * power(decimals) + 1))


@lru_cache(maxsize=16)
def group_places(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Return the values that a mean of shares over groups can take: bit s is set where s parts can be, and all parts.

    A group of n items gives k / n, k from 0 to n. In parts of 1 / lcm of all sizes these are whole numbers, and so is
    their sum; the mean is the sum over the number of groups.
    """
    whole = lcm(*sizes)
    bits = 1
    for size in sizes:
        step, seen = whole // size, 0
        for k in range(size + 1):
            seen |= bits << (k * step)
        bits = seen
    return bits, whole * len(sizes)


def can_be_looked_up(sizes: Sequence[int]) -> bool:
    """Return whether :func:`group_places` is quick for groups of these sizes."""
    return bool(sizes) and lcm(*sizes) * len(sizes) <= MOST_PLACES


def fits_groups(printed: Number, sizes: Sequence[int]) -> bool:
    """Return whether the mean of the groups' percentages can be printed as this number, rounded or cut."""
    bits, whole = group_places(tuple(sizes))
    parts = 100 * printed.unit
    low = max(-((1 - 2 * printed.digits) * whole // (2 * parts)), 0)
    high = min((printed.digits + 1) * whole // parts, whole)
    return high >= low and bool((bits >> low) & ((1 << (high - low + 1)) - 1))
