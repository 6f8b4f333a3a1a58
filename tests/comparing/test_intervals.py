"""Intervals of differences against values worked out by hand, and the requests that are refused."""

import math
import random
import statistics

import pytest

from kit.comparing.intervals import (
    Interval,
    difference_interval,
    is_equivalent,
    paired_difference,
    pooled_spread,
    prediction_interval,
    smallest_difference,
)
from kit.errors import RequestError

PAIRED = {
    # d = 0, 1, -1, 1, 0: mean 0.2; squares 0.04 + 0.64 + 1.44 + 0.64 + 0.04 = 2.8; sqrt(2.8 / (4 * 5))
    "five items": ([1, 1, 0, 1, 0], [1, 0, 1, 0, 0], None, (0.2, math.sqrt(0.14), 5)),
    # clusters a (0, 1) and b (-1, 1, 0): sums about the mean -0.2 + 0.8 and -1.2 + 0.8 - 0.2, so 0.6 and -0.6;
    # 2/1 * (0.36 + 0.36) / 25
    "two clusters": ([1, 1, 0, 1, 0], [1, 0, 1, 0, 0], list("aabbb"), (0.2, math.sqrt(1.44 / 25), 5)),
    "each item a cluster": ([1, 1, 0, 1, 0], [1, 0, 1, 0, 0], list("abcde"), (0.2, math.sqrt(0.14), 5)),
    # two items that stand and fall together count as one: d = 1, 1, 0, 0
    "twins": ([1, 1, 0, 0], [0, 0, 0, 0], list("aabb"), (0.5, 0.5, 4)),
    "the same everywhere": ([1, 0], [1, 0], None, (0.0, 0.0, 2)),
}


@pytest.mark.parametrize("a, b, clusters, wanted", PAIRED.values(), ids=list(PAIRED))
def test_paired_items(a, b, clusters, wanted):
    found = paired_difference(a, b, clusters)
    assert (found.value, found.stderr, found.n) == (pytest.approx(wanted[0]), pytest.approx(wanted[1]), wanted[2])


def test_pairing_takes_out_what_items_share():
    # the same 200 items, of which 20 turned: sqrt(d / n) is 0.022; apart, sqrt(2 * 0.25 / 200) is 0.05
    draws = random.Random(1)
    a = [float(draws.random() < 0.5) for _ in range(200)]
    b = [1 - value if place < 20 else value for place, value in enumerate(a)]
    assert paired_difference(a, b).stderr == pytest.approx(math.sqrt(0.1 / 200), rel=0.05)


# t(0.975) is 4.302653 for 2 degrees, 2.776445 for 4, 2.178813 for 12
PREDICTED = {
    "three runs, 4.97 s": (3, 2, 4.302653 * math.sqrt(4 / 3)),
    "five runs, 3.04 s": (5, 4, 2.776445 * math.sqrt(1.2)),
    "two seeds, twelve cells, 2.67 s": (2, 12, 2.178813 * math.sqrt(1.5)),
}


@pytest.mark.parametrize("runs, degrees, half", PREDICTED.values(), ids=list(PREDICTED))
def test_one_more_run_lies_within(runs: int, degrees: int, half: float):
    found = prediction_interval(50.0, 2.0, runs, degrees, 0.95, 0.005)
    assert (found.low, found.high) == pytest.approx((50 - 2 * half - 0.005, 50 + 2 * half + 0.005), abs=1e-5)
    assert found.confidence == 0.95


def test_a_prediction_interval_holds_one_more_run_in_95_of_100():
    draws = random.Random(5)
    held = 0
    for _ in range(2000):
        runs = [draws.gauss(50, 1) for _ in range(3)]
        found = prediction_interval(statistics.fmean(runs), statistics.stdev(runs), 3, 2, 0.95)
        held += found.holds(draws.gauss(50, 1))
    assert 0.935 < held / 2000 < 0.965  # 0.95 and three standard errors


POOLED = {
    "one cell": ([[1.0, 3.0]], (math.sqrt(2), 1)),
    # (1, 3): 2 of one degree; (5, 5, 8): mean 6, squares 1 + 1 + 4 of two
    "cells of two and three": ([[1.0, 3.0], [5.0, 5.0, 8.0]], (math.sqrt(8 / 3), 3)),
    "a cell of one run adds nothing": ([[1.0, 3.0], [7.0], []], (math.sqrt(2), 1)),
    "runs that agree": ([[1.0, 1.0]], (0.0, 1)),
}


@pytest.mark.parametrize("groups, wanted", POOLED.values(), ids=list(POOLED))
def test_the_pooled_spread(groups, wanted):
    found = pooled_spread(groups)
    assert (found.value, found.degrees) == (pytest.approx(wanted[0]), wanted[1])


def test_intervals_of_a_difference():
    known, of_twelve = difference_interval(1.0, 0.5, None, 0.9), difference_interval(1.0, 0.5, 12, 0.95)
    assert (known.low, known.high) == pytest.approx((1 - 0.822427, 1 + 0.822427), abs=1e-6)
    assert (of_twelve.low, of_twelve.high) == pytest.approx((1 - 1.089406, 1 + 1.089406), abs=1e-6)


EQUIVALENT = {
    "within": ((-0.9, 0.8), 1.0, True),
    "at the margin": ((-1.0, 1.0), 1.0, True),
    "above": ((-0.5, 1.1), 1.0, False),
    "below": ((-1.1, 0.5), 1.0, False),
    "clear of 0 and within": ((0.2, 0.8), 1.0, True),
    "no width at all": ((0.0, 0.0), 0.0, True),
}


@pytest.mark.parametrize("ends, margin, wanted", EQUIVALENT.values(), ids=list(EQUIVALENT))
def test_equivalence(ends, margin: float, wanted: bool):
    assert is_equivalent(Interval(*ends, 0.9), margin) is wanted


def test_the_smallest_difference():
    assert smallest_difference(0.5) == pytest.approx(0.5 * (1.959964 + 0.841621), abs=1e-6)
    assert smallest_difference(0.5, 12) == pytest.approx(0.5 * (2.178813 + 0.872609), abs=1e-6)


REFUSED = {
    "scores of two sizes": (
        lambda: paired_difference([1, 0], [1]),
        "paired_difference: found 2 and 1 scores, wanted one of each for every item; pair the items by their ids first",
    ),
    "too few clusters": (
        lambda: paired_difference([1, 0], [1, 1], ["a"]),
        "paired_difference: found 2 and 2 scores and 1 clusters, wanted one of each for every item; pair the items by "
        "their ids first",
    ),
    "one item": (
        lambda: paired_difference([1], [0]),
        "paired_difference: found 1 items, wanted two at least: one has no error",
    ),
    "no item": (
        lambda: paired_difference([], []),
        "paired_difference: found 0 items, wanted two at least: one has no error",
    ),
    "one cluster": (
        lambda: paired_difference([1, 0], [0, 0], ["a", "a"]),
        "paired_difference: found 1 clusters, wanted two at least: one has no error",
    ),
    "one run each": (
        lambda: pooled_spread([[1.0], [2.0]]),
        "pooled_spread: found 2 groups with one run each at most, wanted one with two at least; run the same cell with "
        "another seed",
    ),
    "an error of nan": (
        lambda: difference_interval(1.0, math.nan, None, 0.95),
        "difference_interval: found a standard error of nan, wanted a finite number of 0 or more",
    ),
    "no run": (
        lambda: prediction_interval(1.0, 0.5, 0, 3, 0.95),
        "prediction_interval: found 0 runs and a spread of 0.5, wanted one run at least and a spread of 0 or more",
    ),
    "an interval of 95 %": (
        lambda: is_equivalent(Interval(-1.0, 1.0, 0.95), 2.0),
        "is_equivalent: found an interval of 95 % and a margin of 2.0, wanted one of 90 % and a margin of 0 or more",
    ),
    "a margin below 0": (
        lambda: is_equivalent(Interval(-1.0, 1.0, 0.9), -2.0),
        "is_equivalent: found an interval of 90 % and a margin of -2.0, wanted one of 90 % and a margin of 0 or more",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(call, message: str):
    with pytest.raises(RequestError) as error:
        call()
    assert str(error.value) == message
