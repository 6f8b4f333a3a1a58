"""Bets that may stop at any item: by hand, wrong stops by simulation, the order of items, and what is refused."""

import math
import random

import pytest

from kit.comparing.sequential import HIGHEST_BET, EProcess, averaged, item_order, multiplied
from kit.errors import RequestError

WEALTHS = {
    "nothing known, nothing bet": ([1], [1.0]),
    # after one win the bet is 1 / (1 + 4), after two 2 / 6
    "three wins": ([1, 1, 1], [1.0, 1.2, 1.2 * 4 / 3]),
    "two wins and a loss": ([1, 1, -1], [1.0, 1.2, 1.2 * 2 / 3]),
    "no bets while behind": ([-1, -1, 1, 1, 1], [1.0, 1.0, 1.0, 1.0, 1.0]),
    "items that agree change nothing": ([1, 0, 0, 1], [1.0, 1.0, 1.0, 1.2]),
    # half a win: 0.5 / (0.25 + 4) = 2/17 bet on the next half
    "scores between": ([0.5, 0.5], [1.0, 1 + 2 / 17 / 2]),
}


@pytest.mark.parametrize("differences, wanted", WEALTHS.values(), ids=list(WEALTHS))
def test_wealth_by_hand(differences, wanted):
    process = EProcess(0.05)
    assert [process.update(one) for one in differences] == pytest.approx(wanted)
    assert process.items == len(differences)
    assert process.largest == pytest.approx(max(wanted))
    assert process.p == pytest.approx(1 / max(wanted))


def test_a_bet_is_fixed_before_its_item():
    process, draws = EProcess(0.05), random.Random(3)
    for _ in range(200):
        bet, wealth = process.bet, process.wealth
        assert 0 <= bet <= HIGHEST_BET
        difference = draws.choice((-1, 0, 1, 1))
        assert process.update(difference) == pytest.approx(wealth * (1 + bet * difference))
    assert process.wealth > 0


def test_it_stops_for_good():
    process = EProcess(0.05)
    for _ in range(9):
        process.update(1)
    assert process.has_stopped  # 23.3, above 20
    assert process.p < 0.05
    for _ in range(30):
        process.update(-1)
    assert process.wealth < 1
    assert process.has_stopped  # what was reached was reached


def stops(differences) -> bool:
    """Return whether a process over these items stops."""
    process = EProcess(0.05)
    for difference in differences:
        process.update(difference)
        if process.has_stopped:
            return True
    return False


def test_wrong_stops_of_drawn_items():
    # 264 items of GSM8K that turned, each a fair coin; looked at after each one
    draws = random.Random(11)
    wrong = sum(stops([1 if draws.getrandbits(1) else -1 for _ in range(264)]) for _ in range(2000))
    assert wrong <= 100  # 5 % of 2,000
    assert wrong > 5  # a test that never stops would pass for nothing


def test_wrong_stops_of_a_fixed_benchmark_in_random_order():
    # as many up as down; at the end nothing is left, and the process may not have stopped on the way
    draws, wrong = random.Random(12), 0
    for _ in range(1000):
        items = [1] * 82 + [-1] * 82
        draws.shuffle(items)
        wrong += stops(items)
    assert wrong <= 50


def test_a_true_difference_stops_it_early():
    draws, seen = random.Random(13), []
    for _ in range(200):
        items = [1] * 150 + [-1] * 70 + [0] * 1099  # 6 points of GSM8K
        draws.shuffle(items)
        process = EProcess(0.05)
        for item in items:
            process.update(item)
            if process.has_stopped:
                break
        seen.append(process.items)
    assert sum(count < 1319 for count in seen) > 190
    assert sum(seen) / len(seen) < 0.5 * 1319


def test_wealths_together():
    assert averaged([30.0, 0.0, 3.0]) == 11.0
    assert multiplied([30.0, 0.5, 2.0]) == 30.0


def test_the_order_of_items_is_that_of_a_hash():
    # sha256 of "1:d" is below those of "1:a", "1:f", ...
    assert item_order("abcdef", 1) == ["d", "a", "f", "e", "b", "c"]
    assert item_order("fedcba", 1) == item_order("abcdef", 1)
    assert item_order("abcdef", 2) != item_order("abcdef", 1)
    assert item_order([], 1) == []


def test_each_item_comes_first_about_as_often():
    firsts = [item_order("abcd", seed)[0] for seed in range(400)]
    chi_squared = sum((firsts.count(id) - 100) ** 2 / 100 for id in "abcd")
    assert chi_squared < 16.3  # 0.1 % of three degrees


REFUSED = {
    "alpha in percent": (
        lambda: EProcess(5),
        "EProcess: found alpha = 5, wanted a probability between 0 and 1, as 0.05",
    ),
    "a score of points": (
        lambda: EProcess(0.05).update(4.0),
        "EProcess: item 1: found a difference of 4.0, wanted one from -1 to 1; divide scores by the widest range that "
        "they can have",
    ),
    "no number": (
        lambda: EProcess(0.05).update(math.nan),
        "EProcess: item 1: found a difference of nan, wanted one from -1 to 1; divide scores by the widest range that "
        "they can have",
    ),
    "no process": (lambda: averaged([]), "averaged: found [], wanted one wealth at least, each of 0 or more"),
    "a debt": (
        lambda: multiplied([2.0, -1.0]),
        "multiplied: found [2.0, -1.0], wanted one wealth at least, each of 0 or more",
    ),
    "an item twice": (
        lambda: item_order(["a", "b", "a"], 1),
        "item_order: found 'a' twice, wanted each item once; name parts of an item apart",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(call, message: str):
    with pytest.raises(RequestError) as error:
        call()
    assert str(error.value) == message
