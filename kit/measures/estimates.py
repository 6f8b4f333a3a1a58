"""Estimates with their standard errors, one function for each kind of measure; the order of the rows moves no digit.

Rows are taken for independent of each other; the units of one row are not. The errors of a mean and of clustered units
are those of Miller, "Adding error bars to evals" (arXiv 2411.00640).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from kit.measures import Bounds, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """The score of one row: what it reached, out of how many units."""

    total: float
    """Units right, or the sum of the units' scores."""
    units: int
    """Units judged."""
    group: str = ""
    """The group of the row, for a mean over groups."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with its standard error."""

    value: float
    stderr: float
    n: int
    """Units or rows behind the number."""
    groups: int | None = None
    """Groups that the number is a mean over; None for other kinds."""
    step: float | None = None
    """The most by which one unit that turns out otherwise moves the number; None for a share, where it is 1/n."""


def share(items: Sequence[Item], bounds: Bounds) -> Estimate:
    """Return the units right of all units judged, pooled over the rows.

    Raises:
        ValueError: a row has a part of a unit right.
    """
    del bounds
    if parts := [item.total for item in items if item.total != int(item.total)]:
        raise ValueError(f"a share counts whole units, found {parts[0]} right; a mean takes parts")
    pairs = [(int(item.total), item.units) for item in items]
    right, judged = (sum(column) for column in zip(*pairs, strict=True))
    return Estimate(value=right / judged, stderr=cluster_stderr(pairs), n=judged)


def count(items: Sequence[Item], bounds: Bounds) -> Estimate:
    """Return the number of units right; its error is that of the share, times the units judged."""
    pooled = share(items, bounds)
    right = sum(item.total for item in items)
    return Estimate(value=float(right), stderr=pooled.n * pooled.stderr, n=pooled.n, step=1.0)


def mean(items: Sequence[Item], bounds: Bounds) -> Estimate:
    """Return the mean of the rows' scores, each the mean over the row's units.

    The standard error is ``sqrt(sum((s_i - mean)^2) / ((n - 1) n))``; one row tells of no spread, and has 0.
    """
    scores = [item.total / item.units for item in items]
    n, value = len(scores), math.fsum(scores) / len(scores)
    squares = math.fsum((score - value) ** 2 for score in scores)
    stderr = math.sqrt(squares / ((n - 1) * n)) if n > 1 else 0.0
    return Estimate(value=value, stderr=stderr, n=n, step=span(scores, bounds) / n)


def mean_over_groups(items: Sequence[Item], bounds: Bounds) -> Estimate:
    """Return the mean of the groups' means, so that a small group weighs as much as a large one.

    The groups are all there are, no sample: the error comes from the rows in them alone. For group g with rows i,
    ``p = sum(total_i) / sum(units_i)``, c rows and J units::

        SE_g^2 = c / (c - 1) * sum((total_i - p * units_i)^2) / J^2        SE^2 = sum(SE_g^2) / G^2

    A group of one row tells of no spread of its own: the spread of all rows about their mean stands in.
    """
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.group, []).append(item)
    lone = _squares(items) / len(items)  # of one row, in units^2, with c / (c - 1)
    variances = [
        (_squares(group) if len(group) > 1 else lone) / sum(item.units for item in group) ** 2
        for group in groups.values()
    ]
    largest = max(item.units / sum(other.units for other in group) for group in groups.values() for item in group)
    return Estimate(
        value=math.fsum(_pooled(group) for group in groups.values()) / len(groups),
        stderr=math.sqrt(math.fsum(variances)) / len(groups),
        n=sum(item.units for item in items),
        groups=len(groups),
        step=span([item.total / item.units for item in items], bounds) * largest / len(groups),
    )


def _pooled(items: Sequence[Item]) -> float:
    """Return the score of a unit, on average over all units of the rows."""
    return math.fsum(item.total for item in items) / sum(item.units for item in items)


def _squares(items: Sequence[Item]) -> float:
    """Return ``c / (c - 1) * sum((total_i - p * units_i)^2)``; 0 for one row."""
    p, rows = _pooled(items), len(items)
    squares = math.fsum((item.total - p * item.units) ** 2 for item in items)
    return squares * rows / (rows - 1) if rows > 1 else 0.0


def span(scores: Sequence[float], bounds: Bounds) -> float:
    """Return how far two scores can lie apart: by the bounds, or else by the scores that are there."""
    low, high = bounds
    return (max(scores) if high is None else high) - (min(scores) if low is None else low)


ESTIMATES: Mapping[Kind, Callable[[Sequence[Item], Bounds], Estimate]] = {
    "share": share,
    "mean": mean,
    "mean over groups": mean_over_groups,
    "count": count,
}
"""The function of each kind; each takes at least one row, with at least one unit."""


def cluster_stderr(items: Sequence[tuple[int, int]]) -> float:
    """Return the standard error of ``p = sum(right) / sum(judged)`` where a row's units stand and fall together.

    ``p - P = sum(right_i - P * judged_i) / sum(judged)`` for the true share ``P``: a sum of terms that are independent
    from row to row, each of mean 0. Its variance is the sum of theirs, each estimated by its square at ``P = p``::

        sqrt(sum((right_i - p * judged_i)^2)) / sum(judged)

    With one unit a row, ``n * p`` terms are ``1 - p`` and ``n * (1 - p)`` are ``-p``: their squares sum up to
    ``n * p * (1 - p)``, and this is the binomial ``sqrt(p * (1 - p) / n)``. Where all is right, or wrong, it is 0.

    Args:
        items: units right and units judged, one pair a row; at least one unit is judged.
    """
    right, judged = sum(numerator for numerator, _ in items), sum(denominator for _, denominator in items)
    # times judged^2, so that whole numbers are summed: no order of the rows and no rounding moves a digit
    squares = sum((numerator * judged - right * denominator) ** 2 for numerator, denominator in items)
    return math.sqrt(squares) / judged**2
