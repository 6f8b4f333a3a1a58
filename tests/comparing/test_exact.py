"""Exact tests and corrected families, by hand and beside scipy, and the requests that are refused."""

import itertools
import random

import pytest
from scipy import stats

from kit.comparing.exact import mcnemar, sign_permutation
from kit.comparing.families import holm, largest_statistic
from kit.errors import RequestError

MCNEMAR = {
    "nothing turned": ((0, 0), 1.0),
    "evenly": ((4, 4), 1.0),
    "one way": ((1, 0), 1.0),  # 2 * 1/2
    "six to none": ((0, 6), 2 / 64),
    # 2 * (C(6,5) + C(6,6)) / 64
    "five to one": ((5, 1), 14 / 64),
    "one to five": ((1, 5), 14 / 64),
}


@pytest.mark.parametrize("turned, p", MCNEMAR.values(), ids=list(MCNEMAR))
def test_mcnemar(turned, p: float):
    assert mcnemar(*turned) == pytest.approx(p)


def test_mcnemar_is_a_binomial_test_of_a_half():
    for only_a, only_b in itertools.product((0, 3, 17, 130), (1, 9, 44, 700)):
        wanted = float(stats.binomtest(only_a, only_a + only_b, 0.5).pvalue)
        assert mcnemar(only_a, only_b) == pytest.approx(wanted, rel=1e-9, abs=1e-14)


PERMUTED = {
    "nothing": ([], 1.0),
    "all 0": ([0.0, 0.0], 1.0),
    # of 8 ways, +++ and --- are as far out
    "three of one size": ([1.0, 1.0, 1.0], 2 / 8),
    # |sum| 3: +++ 4, ++- no: 1 + 2 - 1 = 2; of 8: 4, 2, 0, -2, 2, 0, -2, -4; as far as 4: 2
    "two sizes": ([1.0, 2.0, 1.0], 2 / 8),
    # sum 2: 4, 2, 0, -2, 2, 0, -2, -4, six of which are 2 or more away from 0
    "two sizes, one turned": ([1.0, 2.0, -1.0], 6 / 8),
    # sums of tenths in another order differ in the last bit, and count as equal all the same
    "tenths": ([0.1, 0.2, 0.3], 2 / 8),
}


@pytest.mark.parametrize("differences, p", PERMUTED.values(), ids=list(PERMUTED))
def test_sign_permutations_gone_through(differences, p: float):
    assert sign_permutation(differences, seed=0, draws=100) == pytest.approx(p)
    assert sign_permutation([*differences, 0.0], seed=1, draws=8) == pytest.approx(p)


def test_sign_permutations_drawn():
    # 12 items up, 4 down: exact McNemar; standard error of 4,000 draws 0.0042
    differences = [1.0] * 12 + [-1.0] * 4
    assert sign_permutation(differences, seed=3, draws=4000) == pytest.approx(mcnemar(12, 4), abs=0.017)
    assert sign_permutation(differences, 3, 500) == sign_permutation(differences, 3, 500)
    assert sign_permutation([1.0] * 40, 3, 999) == 0.001  # never 0


HOLM = {
    "none": ({}, {}),
    "one": ({"a": 0.03}, {"a": 0.03}),
    # 3 * 0.01; 2 * 0.03 = 0.06; 0.04 not below it
    "three": ({"a": 0.01, "b": 0.04, "c": 0.03}, {"a": 0.03, "b": 0.06, "c": 0.06}),
    "none above 1": ({"a": 0.6, "b": 0.9}, {"a": 1.0, "b": 1.0}),
    "ties": ({"a": 0.02, "b": 0.02}, {"a": 0.04, "b": 0.04}),
}


@pytest.mark.parametrize("p_values, wanted", HOLM.values(), ids=list(HOLM))
def test_holm(p_values, wanted):
    found = holm(p_values)
    assert list(found) == list(p_values)  # in the order given
    assert found == pytest.approx(wanted)


def test_columns_that_share_answers_count_once():
    # 14 items up, 5 down: p is 0.064; four columns of the same answers have that p, and not four times it
    items = {str(place): 1.0 if place < 14 else -1.0 for place in range(19)}
    four = {name: dict(items) for name in "abcd"}
    found = largest_statistic(four, seed=2, draws=4000)
    assert len(set(found.values())) == 1
    assert found["a"] == pytest.approx(mcnemar(14, 5), abs=0.016)
    # of items of their own they have about 1 - (1 - p)^4
    apart = {name: {f"{name}{id}": value for id, value in items.items()} for name in "abcd"}
    several = largest_statistic(apart, seed=2, draws=4000)
    assert several["a"] == pytest.approx(1 - (1 - mcnemar(14, 5)) ** 4, abs=0.03)


def test_columns_with_nothing_turned():
    found = largest_statistic({"a": {"x": 0.0}, "b": {}}, seed=0, draws=10)
    assert found == {"a": 1.0, "b": 1.0}
    assert largest_statistic({}, seed=0, draws=10) == {}


def test_a_table_of_one_truth_is_called_different_in_one_of_twenty():
    # three columns over 30 items, two of them of the same answers
    draws = random.Random(8)
    wrong = 0
    for _ in range(200):
        a = {str(place): draws.choice((-1.0, 0.0, 1.0)) for place in range(30)}
        b = {id: value if draws.random() < 0.8 else 0.0 for id, value in a.items()}
        c = {f"other {place}": draws.choice((-1.0, 0.0, 1.0)) for place in range(30)}
        wrong += min(largest_statistic({"a": a, "b": b, "c": c}, seed=4, draws=199).values()) <= 0.05
    assert wrong <= 19  # 10 expected, and three standard errors of 3.1


REFUSED = {
    "a count below 0": (
        lambda: mcnemar(-1, 3),
        "mcnemar: found -1 and 3 turned items, wanted two counts of 0 or more",
    ),
    "no draws": (
        lambda: sign_permutation([1.0], 0, 0),
        "sign_permutation: found 0 draws, wanted 1 or more; 9,999 give p to 0.0001",
    ),
    "a p above 1": (lambda: holm({"gsm8k": 1.2}), "holm: 'gsm8k': found p = 1.2, wanted one from 0 to 1"),
    "no draws of a table": (
        lambda: largest_statistic({}, 0, 0),
        "largest_statistic: found 0 draws, wanted 1 or more; 9,999 give p to 0.0001",
    ),
    "an item without a number": (
        lambda: largest_statistic({"gsm8k": {"7": float("nan")}}, 0, 9),
        "largest_statistic: 'gsm8k': item '7': found nan, wanted a finite number",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(call, message: str):
    with pytest.raises(RequestError) as error:
        call()
    assert str(error.value) == message
