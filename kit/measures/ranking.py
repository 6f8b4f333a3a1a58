"""Selections of rows: the first of an order by one score, of the whole set or of each group; or rows that are drawn."""

import math
import random
from collections.abc import Hashable, Sequence
from fractions import Fraction
from typing import Literal, TypeVar

Group = TypeVar("Group", bound=Hashable)


def kept_count(fraction: float | Fraction, rows: int) -> int:
    """Return how many rows a fraction keeps: rounded to the nearest whole number, a half upwards, one at least.

    The fraction is what its digits say: 0.29 of 50 rows is 14.5, so 15, and not the 14.499999999999998 of floats.
    """
    exact = Fraction(str(fraction)) * rows
    return min(rows, max(1, math.floor(exact + Fraction(1, 2)))) if rows else 0


def kept_rows(values: Sequence[float | None], count: int, keeps: Literal["highest", "lowest"]) -> list[int]:
    """Return the positions of the rows that are kept, in the order of the set.

    Rows of equal value are taken in the order of the set; a row without a value comes after all others.

    Args:
        values: the score of each row; None for a row that could not be scored.
        count: number of rows to keep.
        keeps: end of the order that is kept.
    """
    sign = -1 if keeps == "highest" else 1  # whole numbers stay whole
    scored = [(sign * value, position) for position, value in enumerate(values) if value is not None]
    order = [position for _, position in sorted(scored)]
    order += [position for position, value in enumerate(values) if value is None]
    return sorted(order[:count])


def cut_of(values: Sequence[float | None], kept: Sequence[int], keeps: Literal["highest", "lowest"]) -> float | None:
    """Return the value at which a selection is cut: that of the last row kept; None if no row that is kept has one.

    Args:
        values: the score of each row; None for a row that could not be scored.
        kept: positions of the rows that are kept.
        keeps: end of the order that is kept.
    """
    found = [value for value in (values[position] for position in kept) if value is not None]
    if not found:
        return None
    return min(found) if keeps == "highest" else max(found)


def cut_text(number: float) -> str:
    """Return the value of a cut for a sentence: a whole one with all its digits, another with six."""
    return f"{number:,}" if isinstance(number, int) else f"{number:.6g}" if abs(number) < 1e6 else f"{number:,.15g}"


def random_rows(rows: int, count: int, seed: int | str) -> list[int]:
    """Return the positions of rows that are drawn without replacement, in the order of the set."""
    return sorted(random.Random(seed).sample(range(rows), min(count, rows)))


def by_group(groups: Sequence[Group]) -> dict[Group, list[int]]:
    """Return group -> positions of its rows, in the order in which the groups begin."""
    found: dict[Group, list[int]] = {}
    for position, group in enumerate(groups):
        found.setdefault(group, []).append(position)
    return found
