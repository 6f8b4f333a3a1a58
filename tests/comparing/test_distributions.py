"""Quantiles and probabilities beside scipy's, by hand where a hand can, and the requests that are refused."""

import math

import pytest
from scipy import special, stats

from kit.comparing.distributions import (
    binomial_upper,
    clopper_pearson,
    incomplete_beta,
    normal_quantile,
    t_probability,
    t_quantile,
    wilson,
)
from kit.errors import RequestError

DEGREES = (0.5, 1, 2, 2.5, 3, 5, 12, 30, 1000)
PROBABILITIES = (0.001, 0.025, 0.2, 0.5, 0.8, 0.95, 0.975, 0.9995)


@pytest.mark.parametrize("degrees", DEGREES)
def test_students_t_beside_scipy(degrees: float):
    for p in PROBABILITIES:
        t = float(stats.t.ppf(p, degrees))
        assert t_quantile(p, degrees) == pytest.approx(t, rel=1e-8, abs=1e-9)
        assert t_probability(t, degrees) == pytest.approx(p, rel=1e-9)


BY_HAND = {
    # one degree is the Cauchy distribution: tan(pi (p - 1/2))
    "one degree, 3/4": (t_quantile(0.75, 1), 1.0),
    "one degree, 97.5 %": (t_quantile(0.975, 1), math.tan(math.pi * 0.475)),
    # two degrees: (2p - 1) * sqrt(2 / (4 p (1 - p)))
    "two degrees, 97.5 %": (t_quantile(0.975, 2), 0.95 * math.sqrt(2 / (4 * 0.975 * 0.025))),
    "two degrees, probability of 1": (t_probability(1.0, 2), 0.5 + 1 / (2 * math.sqrt(3))),
    "no end of degrees": (t_quantile(0.975, math.inf), 1.959963984540054),
    "no end of degrees, probability": (t_probability(1.959963984540054, math.inf), 0.975),
    "the middle": (t_quantile(0.5, 7), 0.0),
    "normal": (normal_quantile(0.8), 0.8416212335729143),
    # 1 - 0.5^3, and 3 * 0.5^3 + 0.5^3
    "one of three or more": (binomial_upper(1, 3, 0.5), 0.875),
    "two of three or more": (binomial_upper(2, 3, 0.5), 0.5),
    "none or more": (binomial_upper(0, 3, 0.5), 1.0),
    "more than all": (binomial_upper(4, 3, 0.5), 0.0),
    "certain": (binomial_upper(3, 3, 1.0), 1.0),
    "impossible": (binomial_upper(1, 3, 0.0), 0.0),
}


@pytest.mark.parametrize("found, wanted", BY_HAND.values(), ids=list(BY_HAND))
def test_by_hand(found: float, wanted: float):
    assert found == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("a", [0.5, 1, 3, 40, 700, 7000])
@pytest.mark.parametrize("b", [0.5, 1, 9, 200, 7300])
def test_the_incomplete_beta_function_beside_scipy(a: float, b: float):
    for x in (0.0, 1e-6, 0.01, 0.3, 0.5, 0.77, 0.99, 1.0):
        wanted = float(special.betainc(a, b, x))
        assert incomplete_beta(x, a, b) == pytest.approx(wanted, rel=1e-10, abs=1e-14)


@pytest.mark.parametrize("n", [1, 10, 164, 541, 1319, 14042])
def test_binomial_tails_and_intervals_beside_scipy(n: int):
    for right in {0, 1, n // 3, n // 2, n - 1, n}:
        for p in (0.1, 0.5, 0.83):
            assert binomial_upper(right, n, p) == pytest.approx(float(stats.binom.sf(right - 1, n, p)), abs=1e-11)
        for method, limits in (("wilson", wilson), ("exact", clopper_pearson)):
            for confidence in (0.9, 0.95):
                wanted = stats.binomtest(right, n).proportion_ci(confidence, method)
                found = limits(right, n, confidence)
                assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high), abs=1e-11)
                assert found.confidence == confidence


def covered(n: int, p: float, method: str) -> float:
    """Return how often an interval of 95 % holds p, summed over all outcomes."""
    limits = {"wilson": wilson, "exact": clopper_pearson}.get(method)
    total = 0.0
    for right in range(n + 1):
        if limits:
            holds = limits(right, n, 0.95).holds(p)
        else:
            share = right / n
            holds = abs(share - p) <= 1.96 * math.sqrt(share * (1 - share) / n)
        total += float(stats.binom.pmf(right, n, p)) if holds else 0.0
    return total


def test_intervals_keep_their_coverage_at_small_n_where_the_normal_one_does_not():
    # HumanEval's 164 items at the lowest share that the paper prints, near 10 %
    shares = [step / 200 for step in range(6, 40)]
    exact, score, normal = ([covered(164, p, method) for p in shares] for method in ("exact", "wilson", "normal"))
    assert min(exact) >= 0.95
    assert 0.945 < sum(score) / len(score) < 0.955
    assert min(score) > 0.92
    assert min(normal) < 0.90


REFUSED = {
    "normal of 1": (
        lambda: normal_quantile(1.0),
        "normal_quantile: found p = 1.0, wanted a probability between 0 and 1, neither of them",
    ),
    "t of 0": (
        lambda: t_quantile(0.0, 3),
        "t_quantile: found p = 0.0, wanted a probability between 0 and 1, neither of them",
    ),
    "no degrees": (
        lambda: t_probability(1.0, 0),
        "t_probability: found 0 degrees of freedom, wanted more than 0; a spread takes two runs at least",
    ),
    "p in percent": (
        lambda: binomial_upper(3, 4, 50),
        "binomial_upper: found n = 4 and p = 50, wanted n of 0 or more and p from 0 to 1; a p in percent has to be "
        "divided by 100",
    ),
    "more right than items": (
        lambda: wilson(5, 4, 0.95),
        "wilson: found 5 right of 4, wanted 0 to n right of n items, at least one; a share has to be multiplied by n",
    ),
    "no items": (
        lambda: clopper_pearson(0, 0, 0.95),
        "clopper_pearson: found 0 right of 0, wanted 0 to n right of n items, at least one; a share has to be "
        "multiplied by n",
    ),
    "confidence in percent": (
        lambda: wilson(1, 4, 95),
        "wilson: found a confidence of 95, wanted one between 0 and 1, as 0.95",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(call, message: str):
    with pytest.raises(RequestError) as error:
        call()
    assert str(error.value) == message
