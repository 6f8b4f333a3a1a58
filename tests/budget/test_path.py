"""Paths: when they stop, what they cost, and what is left."""

from collections.abc import Sequence

import pytest

from kit.budget.expected import Expected
from kit.budget.order import Block
from kit.budget.path import Look, Rules, ahead, follow
from tests.budget.making import block, seen, step

EXPECTED = Expected(effect=4.0, noise=4.0)
BLOCKS = [block(step(f"{letter}1"), step(f"{letter.upper()}2", "q"), hours=2.0) for letter in "abcdefgh"]


def walked(differences: Sequence[float], budget: float, alpha: float = 0.05) -> list[Look]:
    """Follow the blocks, whose steps are two replicates that differ by so many points each."""
    queue = list(differences)

    def read(one: Block) -> list:  # type: ignore[type-arg]
        return seen(*[queue.pop(0)] * len(one.steps))

    return list(follow(BLOCKS, EXPECTED, Rules(alpha=alpha, budget=budget), read))


def test_a_path_stops_where_the_evidence_suffices():
    # each block multiplies by 1.9 * 1.9 = 3.61 at most: 3.61, 13.0, 47.0
    found = walked([8.0] * 8, budget=100)
    assert [round(look.runs[1], 2) for look in found] == [3.61, 13.03, 47.05]
    assert [look.verdict("runs", 0.05) for look in found] == ["cannot tell", "cannot tell", "holds"]
    assert [look.spent for look in found] == [2.0, 4.0, 6.0]
    assert [look.number for look in found] == [1, 2, 3]


def test_the_other_side():
    found = walked([-8.0] * 8, budget=100)
    assert [look.verdict("runs", 0.05) for look in found] == ["cannot tell", "cannot tell", "does not hold"]


BUDGETS = {"nothing": (0.0, 0), "less than a block": (1.9, 0), "one block": (2.0, 1), "two, and a part": (5.9, 2)}


@pytest.mark.parametrize("budget, blocks", BUDGETS.values(), ids=list(BUDGETS))
def test_a_block_that_does_not_fit_is_not_begun(budget: float, blocks: int):
    assert len(walked([0.0] * 8, budget)) == blocks


def test_all_blocks_without_a_decision():
    found = walked([8.0, -8.0] * 4, budget=16.0)
    assert len(found) == 8
    assert found[-1].verdict("runs", 0.05) == "cannot tell"


def test_what_is_left():
    # m = 1/2 and q = 1/2: each of two replicates adds 1/4 to the log evidence, and log 20 = 3.0 takes six blocks
    evidence = {1: 1.0, -1: 1.0}
    found = ahead(BLOCKS, 0, evidence, EXPECTED, 0.05)
    assert (found.blocks, found.hours, found.next_hours, found.wanted, found.wanted_hours) == (8, 16.0, 2.0, 6, 12.0)
    assert ahead(BLOCKS, 3, evidence, EXPECTED, 0.05).wanted is None  # five are left
    assert ahead(BLOCKS, 3, {1: 15.0, -1: 1.0}, EXPECTED, 0.05).wanted == 1
    done = ahead(BLOCKS, 8, evidence, EXPECTED, 0.05)
    assert (done.blocks, done.hours, done.next_hours, done.wanted) == (0, 0.0, 0.0, None)
    assert ahead(BLOCKS, 0, evidence, Expected(effect=0.0, noise=4.0), 0.05).wanted is None


def test_settings_that_are_run_again_are_told_apart():
    again = block(step("a1", seed=1))
    look = walked([0.0], 2.0)[0]
    assert look.is_of_first_seeds
    assert not Look(number=1, block=again, seen=(), spent=0.0, runs={}, models={}).is_of_first_seeds
