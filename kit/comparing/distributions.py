"""Quantiles and probabilities of the normal, Student's t and binomial distributions; intervals of one share."""

import math
from functools import lru_cache
from statistics import NormalDist

from kit.comparing.shapes import Interval
from kit.errors import RequestError, shown

SMALLEST_STEP = 1e-15
"""Relative change at which the continued fraction has come to rest."""
MOST_TERMS = 100_000
"""Terms of the continued fraction; it takes about as many as the square root of the larger parameter."""


def normal_quantile(p: float) -> float:
    """Return the value below which a standard normal variable lies with probability ``p``.

    Raises:
        RequestError: ``p`` is not between 0 and 1.

    Source:
        Wichura (1988), Algorithm AS 241, as in Python's statistics.NormalDist.
    """
    _check_probability("normal_quantile", p)
    return NormalDist().inv_cdf(p)


def incomplete_beta(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta function ``I_x(a, b)``, the CDF of a Beta(a, b) variable at ``x``.

    Its continued fraction by Lentz's method; on the side where that is slow, ``1 - I_{1-x}(b, a)``.

    Source:
        NIST Digital Library of Mathematical Functions, 8.17.4 (the other side) and 8.17.22 (the fraction); Thompson and
        Barnett, Journal of Computational Physics 64 (1986), 490-509 (Lentz's method, modified).
    """
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1.0 - incomplete_beta(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    return min(1.0, front * _beta_fraction(x, a, b))


def _beta_fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of DLMF 8.17.22 without its front factor, by the modified Lentz method."""
    tiny = 1e-300
    c, d = 1.0, 1.0 - (a + b) * x / (a + 1)
    d = 1 / (d if abs(d) > tiny else tiny)
    found = d
    for m in range(1, MOST_TERMS):
        before = found
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 + term * d
            c = 1 + term / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            found *= c * d
        if abs(found - before) <= SMALLEST_STEP * abs(found):
            break
    return found


def t_probability(t: float, degrees: float) -> float:
    """Return the probability that a Student's t variable is at most ``t``, for any degrees of freedom above 0.

    ``1 - I_x(v/2, 1/2) / 2`` with ``x = v / (v + t^2)`` for ``t`` above 0; below it, the same of the other tail.

    Raises:
        RequestError: the degrees are not above 0.

    Source:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.1 and 26.5.27.
    """
    _check_degrees("t_probability", degrees)
    if math.isinf(degrees):
        return NormalDist().cdf(t)
    tail = incomplete_beta(degrees / (degrees + t * t), degrees / 2, 0.5) / 2
    return 1 - tail if t > 0 else tail


@lru_cache(maxsize=4096)
def t_quantile(p: float, degrees: float) -> float:
    """Return the value below which a Student's t variable lies with probability ``p``, by bisection of its CDF.

    Raises:
        RequestError: ``p`` is not between 0 and 1, or the degrees are not above 0.
    """
    _check_probability("t_quantile", p)
    _check_degrees("t_quantile", degrees)
    if math.isinf(degrees):
        return normal_quantile(p)
    if p == 0.5:
        return 0.0
    tail = min(p, 1 - p)  # the lower tail keeps its digits
    low = -1.0
    while t_probability(low, degrees) > tail:
        low *= 2
    high = 0.0
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if t_probability(middle, degrees) < tail else (low, middle)
    return high if p < 0.5 else -high


def binomial_upper(k: int, n: int, p: float) -> float:
    """Return the probability of ``k`` or more successes in ``n`` independent trials: ``P(X >= k) = I_p(k, n - k + 1)``.

    Raises:
        RequestError: ``n`` is below 0, or ``p`` is outside 0 to 1.

    Source:
        NIST Digital Library of Mathematical Functions, 8.17.5.
    """
    if n < 0 or not 0 <= p <= 1:
        raise RequestError(
            f"binomial_upper: found n = {shown(n)} and p = {shown(p)}, wanted n of 0 or more and p from 0 to 1; "
            "a p in percent has to be divided by 100"
        )
    if k <= 0:
        return 1.0
    return 0.0 if k > n else incomplete_beta(p, k, n - k + 1)


def wilson(right: float, n: float, confidence: float) -> Interval:
    """Return Wilson's interval of a share: the shares that a score test does not reject.

    ``(p + z^2/2n ± z * sqrt(p(1 - p)/n + z^2/4n^2)) / (1 + z^2/n)``. It keeps its coverage on average at small n, where
    ``p ± z * SE`` does not, and has a width also where all or none are right.

    Args:
        right: successes; not necessarily whole, where items count in part.
        n: trials.
        confidence: 0 to 1.

    Raises:
        RequestError: ``right`` is not from 0 to ``n``, or the confidence is not between 0 and 1.

    Source:
        Wilson, JASA 22 (1927), 209-212; for evaluations of a few hundred items, Bowyer et al. (arXiv 2503.01747).
    """
    _check_counts("wilson", right, n, confidence)
    z, p = normal_quantile(0.5 + confidence / 2), right / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = 0.0 if right == 0 else max(0.0, middle - half)
    return Interval(low, 1.0 if right == n else min(1.0, middle + half), confidence)


def clopper_pearson(right: float, n: float, confidence: float) -> Interval:
    """Return the exact interval of a share: its coverage is at least ``confidence`` at every n and every true share.

    The lower end is the ``(1 - confidence)/2`` quantile of Beta(right, n - right + 1), the upper end the
    ``(1 + confidence)/2`` quantile of Beta(right + 1, n - right).

    Raises:
        RequestError: ``right`` is not from 0 to ``n``, or the confidence is not between 0 and 1.

    Source:
        Clopper and Pearson, Biometrika 26 (1934), 404-413.
    """
    _check_counts("clopper_pearson", right, n, confidence)
    tail = (1 - confidence) / 2
    low = _beta_quantile(tail, right, n - right + 1) if right > 0 else 0.0
    high = 1 - _beta_quantile(tail, n - right, right + 1) if right < n else 1.0
    return Interval(low, high, confidence)


@lru_cache(maxsize=4096)
def _beta_quantile(p: float, a: float, b: float) -> float:
    """Return the value below which a Beta(a, b) variable lies with probability ``p``, by bisection of its CDF."""
    low, high = 0.0, 1.0
    while high - low > 1e-15 * high and (middle := (low + high) / 2) not in (low, high):
        low, high = (middle, high) if incomplete_beta(middle, a, b) < p else (low, middle)
    return high


def _check_probability(where: str, p: float) -> None:
    if not 0 < p < 1:
        raise RequestError(f"{where}: found p = {shown(p)}, wanted a probability between 0 and 1, neither of them")


def _check_degrees(where: str, degrees: float) -> None:
    if not degrees > 0:
        raise RequestError(
            f"{where}: found {shown(degrees)} degrees of freedom, wanted more than 0; a spread takes two runs at least"
        )


def _check_counts(where: str, right: float, n: float, confidence: float) -> None:
    if not (n > 0 and 0 <= right <= n):
        raise RequestError(
            f"{where}: found {shown(right)} right of {shown(n)}, wanted 0 to n right of n items, at least one; "
            "a share has to be multiplied by n"
        )
    if not 0 < confidence < 1:
        raise RequestError(f"{where}: found a confidence of {shown(confidence)}, wanted one between 0 and 1, as 0.95")
