"""Intervals of differences between runs, by items that both answered or by the spread between training seeds."""

import math
import statistics
from collections.abc import Sequence

from kit.comparing.distributions import normal_quantile, t_quantile
from kit.comparing.shapes import Difference, Interval, Spread
from kit.errors import RequestError, shown

__all__ = [
    "Difference",
    "Interval",
    "Spread",
    "difference_interval",
    "is_equivalent",
    "paired_difference",
    "pooled_spread",
    "prediction_interval",
    "smallest_difference",
]
POWER = 0.8
"""Probability with which the smallest difference is told."""
LEVEL = 0.05
"""Two-sided level at which it is told."""


def paired_difference(a: Sequence[float], b: Sequence[float], clusters: Sequence[str] | None = None) -> Difference:
    """Return the mean of ``a - b`` over items that both answered, with the standard error of paired items.

    ``SE = sqrt(sum((d_i - mean d)^2) / ((n - 1) n))``. With clusters, items of one cluster go together:
    ``SE^2 = C/(C - 1) * 1/n^2 * sum over clusters of (sum over its items of (d_i - mean d))^2``, which is the first
    where each item is a cluster of its own.

    Args:
        a: score of each item.
        b: score of the same items, in the same order.
        clusters: name of each item's cluster, for instance the prompt of an instruction.

    Raises:
        RequestError: the lengths differ, or there are fewer than two items or clusters.

    Source:
        Miller, arXiv 2411.00640 (clusters and pairs); the factor C/(C - 1) is that of inspect_ai.
    """
    n = len(a)
    if n != len(b) or (clusters is not None and n != len(clusters)):
        other = "" if clusters is None else f" and {len(clusters):,} clusters"
        raise RequestError(
            f"paired_difference: found {n:,} and {len(b):,} scores{other}, wanted one of each for every item; "
            "pair the items by their ids first"
        )
    names = range(n) if clusters is None else clusters
    differences = [one - other for one, other in zip(a, b, strict=True)]
    mean = statistics.fmean(differences) if n else 0.0
    sums: dict[object, float] = {}
    for name, difference in zip(names, differences, strict=True):
        sums[name] = sums.get(name, 0.0) + difference - mean
    if len(sums) < 2:
        what = "items" if clusters is None else "clusters"
        raise RequestError(f"paired_difference: found {len(sums)} {what}, wanted two at least: one has no error")
    squares = math.fsum(value * value for value in sums.values())
    return Difference(mean, math.sqrt(squares * len(sums) / (len(sums) - 1)) / n, n)


def difference_interval(value: float, stderr: float, degrees: float | None, confidence: float) -> Interval:
    """Return ``value ± q * stderr`` with the two-sided quantile ``q`` of Student's t, or of the normal distribution.

    Args:
        value: a difference or a mean.
        stderr: its standard error.
        degrees: degrees of freedom of the error; None where it is known, or is of very many items.
        confidence: 0 to 1.

    Raises:
        RequestError: the error is below 0 or no number.
    """
    if not (stderr >= 0 and math.isfinite(stderr)):
        raise RequestError(
            f"difference_interval: found a standard error of {shown(stderr)}, wanted a finite number of 0 or more"
        )
    half = quantile(0.5 + confidence / 2, degrees) * stderr
    return Interval(value - half, value + half, confidence)


def quantile(p: float, degrees: float | None) -> float:
    """Return the quantile of Student's t, or of the normal distribution where no degrees of freedom are given."""
    return normal_quantile(p) if degrees is None else t_quantile(p, degrees)


def prediction_interval(  # noqa: PLR0917  # in the order of the formula
    mean: float, spread: float, runs: int, degrees: float, confidence: float, rounding: float = 0.0
) -> Interval:
    """Return the interval in which one more run lies, as it is printed: ``m ± t(v) * s * sqrt(1 + 1/K) + rounding``.

    Args:
        mean: mean of our runs.
        spread: standard deviation between runs.
        runs: number K of runs behind the mean.
        degrees: degrees of freedom v of the spread.
        confidence: 0 to 1.
        rounding: half of the last digit that is printed.

    Raises:
        RequestError: no run is behind the mean, or the spread is below 0.

    Source:
        Hahn and Meeker, Statistical Intervals (1991), for one future observation; here with a spread that may come from
        other runs as well. CORE-Bench passes a number inside such an interval (arXiv 2409.11363).
    """
    if runs < 1 or not spread >= 0:
        raise RequestError(
            f"prediction_interval: found {shown(runs)} runs and a spread of {shown(spread)}, wanted one run at least "
            "and a spread of 0 or more"
        )
    found = difference_interval(mean, spread * math.sqrt(1 + 1 / runs), degrees, confidence)
    return Interval(found.low - rounding, found.high + rounding, confidence)


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread:
    """Return the standard deviation within groups of runs, pooled, with its degrees of freedom.

    ``s^2 = sum over groups of sum (x - mean of the group)^2 / v`` with ``v = sum of (K - 1)``: two seeds in each of 12
    cells have v = 12. A group of one run adds nothing.

    Args:
        groups: values of the runs of each cell, which differ in nothing but the seed.

    Raises:
        RequestError: no group has two runs.

    Source:
        NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.5.3 (pooled standard deviation).
    """
    degrees = sum(len(group) - 1 for group in groups if group)
    if degrees < 1:
        raise RequestError(
            f"pooled_spread: found {len(groups)} groups with one run each at most, wanted one with two at least; "
            "run the same cell with another seed"
        )
    means = [statistics.fmean(group) if group else 0.0 for group in groups]
    squares = math.fsum((value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group)
    return Spread(math.sqrt(squares / degrees), degrees)


def is_equivalent(interval_90: Interval, margin: float) -> bool:
    """Return whether a 90 % interval of a difference lies within ``±margin``: two one-sided tests of 5 % each.

    Raises:
        RequestError: the interval has another confidence, or the margin is below 0.

    Source:
        Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15 (1987), 657-680 (the two tests); Micheloud and
        Held, arXiv 2204.06960 (for replications).
    """
    if round(interval_90.confidence, 6) != 0.9 or not margin >= 0:
        raise RequestError(
            f"is_equivalent: found an interval of {100 * interval_90.confidence:g} % and a margin of {shown(margin)}, "
            "wanted one of 90 % and a margin of 0 or more"
        )
    return -margin <= interval_90.low and interval_90.high <= margin


def smallest_difference(stderr: float, degrees: float | None = None) -> float:
    """Return the smallest true difference that is told with 80 % power at a two-sided level of 5 %.

    ``(q(0.975) + q(0.8)) * SE``: 2.80 SE for the normal distribution, more with few degrees of freedom (3.05 SE for 12,
    5.36 SE for 2; there the second quantile is an approximation of the noncentral t).

    Source:
        Miller, arXiv 2411.00640 (power analysis, solved for the effect).
    """
    return (quantile(1 - LEVEL / 2, degrees) + quantile(POWER, degrees)) * stderr
