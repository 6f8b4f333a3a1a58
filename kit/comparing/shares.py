"""Intervals of the difference between two shares: of items of their own, or of the same items, paired."""

import math
from collections.abc import Callable, Sequence

from kit.comparing.distributions import clopper_pearson, normal_quantile, wilson
from kit.comparing.intervals import Interval, Spread, pooled_spread
from kit.errors import RequestError, shown

EXACT_BELOW = 400
"""Below so many items the limits of a share are exact (Clopper and Pearson), from there on Wilson's.

"A few hundred" is where Bowyer et al. (arXiv 2503.01747) see normal intervals fail; the two kinds differ by less than
0.2 points from 400 items on."""


def two_shares(ours: float, paper: float, n: float, confidence: float) -> Interval:
    """Return the interval of the difference of two shares of ``n`` items each, as if each had items of its own.

    With limits ``l, u`` of each share it goes from ``d - sqrt((p1 - l1)^2 + (u2 - p2)^2)`` to
    ``d + sqrt((u1 - p1)^2 + (p2 - l2)^2)``.

    Args:
        ours: one share, 0 to 1.
        paper: the other share, 0 to 1.
        n: items behind each of them, or as many independent ones as :func:`independent_items` says.
        confidence: 0 to 1.

    Raises:
        RequestError: a share is not from 0 to 1, or there is no item.

    Source:
        Newcombe, Statistics in Medicine 17 (1998), 873-890, method 10; here with exact limits at small n.
    """
    limits = clopper_pearson if n < EXACT_BELOW else wilson
    one, other = limits(ours * n, n, confidence), limits(paper * n, n, confidence)
    below = math.hypot(ours - one.low, other.high - paper)
    above = math.hypot(one.high - ours, paper - other.low)
    return Interval(ours - paper - below, ours - paper + above, confidence)


def paired_shares(only_a: int, only_b: int, n: int, confidence: float) -> Interval:
    """Return the interval of the difference of two shares over the same ``n`` items, by the items that turned.

    It holds both the interval of Tango's score test and that of the exact test of McNemar, turned round: among the
    ``m = b + c`` items that turned, a's part has Clopper and Pearson's limits ``l, u``, and the difference lies from
    ``(2 l - 1) m/n`` to ``(2 u - 1) m/n``. So it leaves out 0 only where :func:`kit.comparing.exact.mcnemar` is below
    ``1 - confidence`` as well, and has a width also where no item turned.

    Args:
        only_a: items that a alone has right.
        only_b: items that b alone has right.
        n: all items.
        confidence: 0 to 1.

    Raises:
        RequestError: the counts are below 0, or together more than ``n``.

    Source:
        Tango, Statistics in Medicine 17 (1998), 891-908 (score interval of paired shares).
    """
    turned = only_a + only_b
    if min(only_a, only_b) < 0 or not 0 < n >= turned:
        raise RequestError(
            f"paired_shares: found {shown(only_a)} and {shown(only_b)} turned items of {shown(n)}, wanted counts of 0 "
            "or more that together are no more than n"
        )
    z = normal_quantile(0.5 + confidence / 2)
    low = _falls_to(lambda delta: tango_statistic(only_a, only_b, n, delta), z)
    high = _falls_to(lambda delta: tango_statistic(only_a, only_b, n, delta), -z)
    if turned:
        part = clopper_pearson(only_a, turned, confidence)
        low, high = min(low, (2 * part.low - 1) * turned / n), max(high, (2 * part.high - 1) * turned / n)
    return Interval(low, high, confidence)


def tango_statistic(only_a: int, only_b: int, n: int, delta: float) -> float:
    """Return Tango's score statistic of a true difference ``delta``: McNemar's ``(b - c) / sqrt(b + c)`` at 0.

    ``(b - c - n delta) / sqrt(n (2 q + delta (1 - delta)))`` with ``q`` the most likely share of items that b alone has
    right: the larger root of ``2n q^2 - (b + c - (2n - b + c) delta) q - c delta (1 - delta) = 0``.
    """
    half = only_a + only_b - (2 * n - only_a + only_b) * delta
    root = math.sqrt(max(0.0, half * half + 8 * n * only_b * delta * (1 - delta)))
    variance = n * (2 * (half + root) / (4 * n) + delta * (1 - delta))
    top = only_a - only_b - n * delta
    if variance <= 0:
        return math.copysign(math.inf, top) if top else 0.0
    return top / math.sqrt(variance)


def _falls_to(statistic: Callable[[float], float], wanted: float) -> float:
    """Return the difference, -1 to 1, at which a falling statistic passes a value, by bisection."""
    low, high = -1.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if statistic(middle) > wanted else (low, middle)
    return (low + high) / 2


def independent_items(share: float, stderr: float, n: float) -> float:
    """Return how many independent items have the standard error of a share whose units go together in clusters.

    ``p (1 - p) / SE^2``, and no more than the ``n`` units; all where the error says nothing (none or all right).

    Source:
        Kish, Survey Sampling (1965): n over the design effect.
    """
    if not stderr > 0 or not 0 < share < 1:
        return n
    return max(1.0, min(n, share * (1 - share) / stderr**2))


def pooled_angles(groups: Sequence[Sequence[float]], whole: float = 1.0) -> Spread:
    """Return the spread between runs of shares of different size, pooled as angles ``arcsin(sqrt(p))``, in radians.

    The spread of a share goes with ``sqrt(p (1 - p))``: pooled as they are, runs at 50 % hide how little those at 3 %
    move, and runs at 3 % make those at 20 % look too steady. As angles, all have about one spread.
    :func:`spread_at` turns it into that of a share.

    Args:
        groups: shares of the runs of each cell, which differ in nothing but the seed.
        whole: value of a share of 1 in the unit: 100 for percent.

    Raises:
        RequestError: a share is not from 0 to ``whole``, or no group has two runs.

    Source:
        Anscombe, Biometrika 35 (1948), 246-254 (the angle that gives binomial shares one variance).
    """
    for value in (value for group in groups for value in group):
        if not 0 <= value <= whole:
            raise RequestError(
                f"pooled_angles: found a share of {shown(value)}, wanted one from 0 to {whole:g}; "
                "percent have a whole of 100"
            )
    return pooled_spread([[math.asin(math.sqrt(value / whole)) for value in group] for group in groups])


def spread_at(angles: Spread, share: float, whole: float = 1.0) -> Spread:
    """Return the spread of a share between runs, from one pooled by :func:`pooled_angles`: ``2 sqrt(p (1 - p)) * s``.

    Args:
        angles: the pooled spread, in radians.
        share: the share at which it is wanted; for two numbers that may have one truth, their mean.
        whole: value of a share of 1 in the unit: 100 for percent.

    Source:
        The derivative of ``sin(angle)^2``.
    """
    p = min(1.0, max(0.0, share / whole))
    return Spread(whole * 2 * math.sqrt(p * (1 - p)) * angles.value, angles.degrees)


def turned_stderr(turned: float, n: int) -> float:
    """Return the standard error of the difference between two runs of one model, ``sqrt(d/n)``, by the turned share d.

    If each turned item is a fair coin, the sum of n differences of -1, 0 and 1 has the variance ``n d``. It is what
    decoding adds alone; another training seed adds to it.

    Args:
        turned: share of items whose outcome is another in a rerun, 0 to 1.
        n: items behind the number; the rerun may have had fewer.

    Raises:
        RequestError: the share is not from 0 to 1, or there is no item.

    Source:
        Miller, arXiv 2411.00640 (paired differences), for differences of -1, 0 and 1 whose mean is 0.
    """
    if not 0 <= turned <= 1 or n < 1:
        raise RequestError(
            f"turned_stderr: found a turned share of {shown(turned)} over {shown(n)} items, wanted 0 to 1 over one "
            "item at least; divide a share in percent by 100"
        )
    return math.sqrt(turned / n)
