"""Intervals of two shares by hand, by published examples and by exact sums, and the requests that are refused."""

import itertools
import math

import pytest
from scipy import optimize, stats

from kit.comparing.exact import mcnemar
from kit.comparing.intervals import Spread
from kit.comparing.shares import (
    independent_items,
    paired_shares,
    pooled_angles,
    spread_at,
    tango_statistic,
    turned_stderr,
    two_shares,
)
from kit.errors import RequestError


def test_two_shares_by_hand():
    wilson = [stats.binomtest(right, n).proportion_ci(0.95, "wilson") for right, n in ((700, 1000), (600, 1000))]
    found = two_shares(0.7, 0.6, 1000, 0.95)
    assert found.low == pytest.approx(0.1 - math.hypot(0.7 - wilson[0].low, wilson[1].high - 0.6))
    assert found.high == pytest.approx(0.1 + math.hypot(wilson[0].high - 0.7, 0.6 - wilson[1].low))


def test_two_shares_of_few_items_take_exact_limits():
    exact = [stats.binomtest(right, 164).proportion_ci(0.95, "exact") for right in (0, 5)]
    found = two_shares(0.0, 5 / 164, 164, 0.95)
    assert found.low == pytest.approx(-5 / 164 - math.hypot(0, exact[1].high - 5 / 164))
    assert found.high == pytest.approx(-5 / 164 + math.hypot(exact[0].high, 5 / 164 - exact[1].low))
    assert two_shares(0.0, 0.0, 164, 0.95).high > 0.02  # none right in either: not no width


@pytest.mark.parametrize("p", [0.03, 0.2, 0.5])
def test_two_shares_of_one_truth_hold_0_in_95_of_100(p: float):
    # every pair of outcomes of two runs over 60 items of their own
    chance = [float(stats.binom.pmf(right, 60, p)) for right in range(61)]
    held = sum(
        chance[a] * chance[b]
        for a, b in itertools.product(range(61), repeat=2)
        if chance[a] * chance[b] > 1e-7 and two_shares(a / 60, b / 60, 60, 0.95).holds(0)
    )
    assert held > 0.95


PAIRED = {
    # by a search of the likelihood Tango's ends are 0.0611 and 0.3447; the exact interval of 12 of 14 is 0.5719 to
    # 0.9822, which gives (2 * 0.5719 - 1) * 14/50 = 0.0403 and (2 * 0.9822 - 1) * 14/50 = 0.2700
    "12 and 2 of 50": ((12, 2, 50), (0.0403, 0.3447)),
    # no item turned: z^2 / (n + z^2) on either side, 3.8415 / 167.8415
    "nothing of 164": ((0, 0, 164), (-0.022888, 0.022888)),
}


@pytest.mark.parametrize("counts, wanted", PAIRED.values(), ids=list(PAIRED))
def test_paired_shares(counts, wanted):
    found = paired_shares(*counts, 0.95)
    assert (found.low, found.high) == pytest.approx(wanted, abs=1e-4)
    turned_round = paired_shares(counts[1], counts[0], counts[2], 0.95)
    assert (turned_round.low, turned_round.high) == pytest.approx((-found.high, -found.low), abs=1e-9)


def test_tangos_statistic_is_mcnemars_at_0():
    assert tango_statistic(12, 2, 50, 0.0) == pytest.approx(10 / math.sqrt(14))


@pytest.mark.parametrize("only_a, only_b, n", [(12, 2, 50), (5, 1, 164), (40, 40, 500)])
@pytest.mark.parametrize("delta", [-0.3, -0.1, 0.05, 0.3])
def test_tangos_statistic_by_a_search_of_the_likelihood(only_a: int, only_b: int, n: int, delta: float):
    def unlikely(q: float) -> float:
        parts = ((only_a, q + delta), (only_b, q), (n - only_a - only_b, 1 - 2 * q - delta))
        return -sum(count * math.log(part) for count, part in parts)

    ends = max(0.0, -delta) + 1e-12, (1 - delta) / 2 - 1e-12
    q = optimize.minimize_scalar(unlikely, bounds=ends, method="bounded", options={"xatol": 1e-13}).x
    wanted = (only_a - only_b - n * delta) / math.sqrt(n * (2 * q + delta * (1 - delta)))
    assert tango_statistic(only_a, only_b, n, delta) == pytest.approx(wanted, rel=1e-5)


def test_paired_shares_leave_out_0_only_where_mcnemar_does():
    told = 0
    for only_a, only_b in itertools.product(range(16), repeat=2):
        away = not paired_shares(only_a, only_b, 164, 0.95).holds(0)
        told += away
        assert not away or mcnemar(only_a, only_b) < 0.05
    assert told > 50


INDEPENDENT = {
    "binomial": ((0.5, 0.5 / math.sqrt(100), 100), 100.0),
    "pairs that go together": ((0.5, 0.5 / math.sqrt(50), 100), 50.0),
    "no more than there are": ((0.5, 0.01, 100), 100.0),
    "all right": ((1.0, 0.0, 100), 100.0),
    "one at least": ((0.5, 3.0, 100), 1.0),
}


@pytest.mark.parametrize("given, wanted", INDEPENDENT.values(), ids=list(INDEPENDENT))
def test_independent_items(given, wanted: float):
    assert independent_items(*given) == pytest.approx(wanted)


def test_the_floor_that_a_rerun_sets():
    # a tenth turned: 0.87 points of GSM8K, 1.36 of IFEval, 2.47 of HumanEval
    found = [100 * turned_stderr(0.1, n) for n in (1319, 541, 164)]
    assert found == pytest.approx([0.8707, 1.3596, 2.4693], abs=1e-4)


def test_a_spread_as_angles_is_that_of_a_share_near_it():
    # 49 and 51 %: 2 / sqrt(2) points; the same angle is less at 10 %: sqrt(0.09 / 0.25) = 0.6 of it
    angles = pooled_angles([[49.0, 51.0]], 100)
    assert angles.degrees == 1
    assert spread_at(angles, 50, 100).value == pytest.approx(math.sqrt(2), rel=1e-3)
    assert spread_at(angles, 10, 100).value == pytest.approx(0.6 * math.sqrt(2), rel=1e-3)
    assert spread_at(angles, 0, 100) == Spread(0.0, 1)
    # cells at 5 and 50 % that spread by their binomial errors pool to one angle: 1 / (2 sqrt(n))
    n, groups = 1000, [[p + sign * math.sqrt(p * (1 - p) / 1000 / 2) for sign in (-1, 1)] for p in (0.05, 0.5)]
    assert pooled_angles(groups).value == pytest.approx(1 / (2 * math.sqrt(n)), rel=1e-2)


REFUSED = {
    "more turned than items": (
        lambda: paired_shares(3, 2, 4, 0.95),
        "paired_shares: found 3 and 2 turned items of 4, wanted counts of 0 or more that together are no more than n",
    ),
    "turned in percent": (
        lambda: turned_stderr(10, 164),
        "turned_stderr: found a turned share of 10 over 164 items, wanted 0 to 1 over one item at least; divide a "
        "share in percent by 100",
    ),
    "percent as shares": (
        lambda: pooled_angles([[0.5, 49.0]]),
        "pooled_angles: found a share of 49.0, wanted one from 0 to 1; percent have a whole of 100",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(call, message: str):
    with pytest.raises(RequestError) as error:
        call()
    assert str(error.value) == message
