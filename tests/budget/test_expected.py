"""Expectations from printed numbers: noise of items and seeds, the information of a step."""

import math

import pytest

from kit.budget.expected import expected, information, item_variance, variance
from kit.budget.steps import CellPair
from tests.budget.making import cell, step

SEEDS = 2 * 1.33**2
"""Variance of the difference of two training seeds, at the widest spread that anybody measured."""

VARIANCES = {
    # q = 0.5 * 0.5 + 0.5 * 0.5 = 0.5
    "two of a half": (cell(50.0, 50.0, 100), 1e4 * 0.5 / 100),
    # q = 0.6 * 0.6 + 0.4 * 0.4 = 0.52, less 0.2^2
    "shares that differ": (cell(60.0, 40.0, 200), 1e4 * (0.52 - 0.04) / 200),
    "nothing printed": (cell(None, 40.0, 50), 1e4 * 0.5 / 50),
    "all right": (cell(100.0, 100.0, 50), 0.0),
    "a size that is not known": (cell(50.0, 50.0, 0), 1e4 * 0.5),
}


@pytest.mark.parametrize("pair, wanted", VARIANCES.values(), ids=list(VARIANCES))
def test_items(pair: CellPair, wanted: float):
    assert item_variance(pair) == pytest.approx(wanted)


def test_cells_of_one_benchmark_share_answers_and_benchmarks_do_not():
    one = cell(50.0, 50.0, 100, benchmark="ifeval", column="a")
    twin = cell(50.0, 50.0, 100, benchmark="ifeval", column="b")
    other = cell(50.0, 50.0, 100, benchmark="gsm8k", column="c")
    assert variance(step("s", cells=[one])) == pytest.approx(SEEDS + 50)
    assert variance(step("s", cells=[one, twin])) == pytest.approx(SEEDS + 50)
    assert variance(step("s", cells=[one, other])) == pytest.approx(SEEDS + 25)


def test_the_mean_of_steps_weighs_cells_alike():
    small = step("a", cells=[cell(50.0, 44.0, 100)])  # +6
    large = step("b", cells=[cell(50.0, 50.0, 100, column=c, benchmark="x") for c in "abc"])  # 0, three times
    found = expected([small, large])
    assert found.effect == pytest.approx(1.5)
    assert found.noise == pytest.approx(math.sqrt((variance(small) + 3 * variance(large)) / 4))
    assert found.scale == pytest.approx(2 * found.noise)
    assert expected([step("c", cells=[cell(None, None)])]).effect == 0.0


def test_information_grows_with_the_square_of_the_effect():
    each = step("a")
    assert information(each, 2.0) == pytest.approx(4 / (2 * (SEEDS + 50)))
    assert information(each, -4.0) == pytest.approx(4 * information(each, 2.0))
