"""The order of steps: marginal costs, one step of each part in a block, kept orders."""

from collections.abc import Sequence

import pytest

from kit.budget.order import Block, Costs, hours_of, plan_blocks
from kit.budget.steps import Step
from tests.budget.making import cell, plan_of, step


def own_step(name: str, keys: dict[str, str], part: str, seed: int = 0, rows: int = 100) -> Step:
    """Return a step that needs the job of its name, of two letters: replicate and part."""
    pair = cell(50.0, 50.0, rows, better_key=keys[name], worse_key=keys[name])
    return step(name, part, seed, [pair])


def names(blocks: Sequence[Block]) -> list[list[str]]:
    return [[one.name for one in block.steps] for block in blocks]


def test_what_two_steps_share_is_paid_once_and_what_is_done_costs_nothing():
    plan, keys = plan_of({"shared": 8.0, "a": 1.0, "b": 2.0, "c": 4.0}, {"a": ["shared"], "b": ["shared"]})
    steps = [own_step(name, keys, "p") for name in "cba"]
    found = plan_blocks(steps, Costs(plan, steps, set()), 1.0)
    assert [(*one.steps, one.hours) for one in found] == [(steps[0], 4.0), (steps[2], 9.0), (steps[1], 2.0)]
    assert found[1].keys == (keys["shared"], keys["a"])
    done = plan_blocks(steps, Costs(plan, steps, {keys["shared"]}), 1.0)
    assert [(one.steps[0].name, one.hours) for one in done] == [("a", 1.0), ("b", 2.0), ("c", 4.0)]
    # what only a known job needs is not needed
    assert [
        one.hours for one in plan_blocks(steps, Costs(plan, steps, set(keys.values()) - {keys["shared"]}), 1.0)
    ] == [0.0] * 3


def test_a_more_precise_step_is_worth_more_hours():
    plan, keys = plan_of({"a": 1.0, "b": 1.5}, {})
    steps = [own_step("a", keys, "p", rows=20), own_step("b", keys, "p", rows=2000)]
    assert names(plan_blocks(steps, Costs(plan, steps, set()), 1.0)) == [["b"], ["a"]]


def test_a_block_has_a_step_of_each_part_of_different_replicates():
    plan, keys = plan_of({"ax": 1, "ay": 1, "bx": 2, "by": 2}, {})
    steps = [own_step(name, keys, name[1]) for name in ("ax", "ay", "bx", "by")]
    # the cheapest of both parts is a's: the second part gives another replicate
    assert names(plan_blocks(steps, Costs(plan, steps, set()), 1.0)) == [["ax", "by"], ["bx", "ay"]]


def test_a_part_that_runs_out_ends_the_blocks():
    plan, keys = plan_of({"ax": 1, "bx": 2, "ay": 1}, {})
    steps = [own_step(name, keys, name[1]) for name in ("ax", "bx", "ay")]
    assert names(plan_blocks(steps, Costs(plan, steps, set()), 1.0)) == [["ax", "ay"]]  # y has no other replicate


def test_another_replicate_comes_before_another_seed():
    plan, keys = plan_of({"a1": 1, "a2": 1, "b1": 9}, {})
    steps = [own_step("a1", keys, "p"), own_step("a2", keys, "p", seed=1), own_step("b1", keys, "p")]
    assert names(plan_blocks(steps, Costs(plan, steps, set()), 1.0)) == [["a1"], ["b1"], ["a2"]]


def test_a_kept_order_is_followed_as_far_as_its_steps_are_the_same():
    plan, keys = plan_of({"a": 1, "b": 2, "c": 3}, {})
    steps = [own_step(name, keys, "p") for name in "abc"]
    ids = {one.name: one.id for one in steps}
    costs = Costs(plan, steps, {keys["b"]})
    for kept, wanted in (
        ([["b"]], "bac"),
        ([["c"], ["b"]], "cba"),
        ([["c"], ["?"], ["b"]], "cba"),  # after a step of another plan, the cheapest first
        ([["c"], ["c"]], "cba"),
        ([], "bac"),
    ):
        order = [[ids.get(name, name) for name in block] for block in kept]
        assert "".join(block.steps[0].name for block in plan_blocks(steps, costs, 1.0, order)) == wanted


@pytest.mark.parametrize("gpus, wanted", [(True, 3.0), (False, 6.0)], ids=["GPU-hours", "CPU-hours"])
def test_hours(gpus: bool, wanted: float):
    plan, keys = plan_of({"a": 3.0}, {})
    assert hours_of(plan.jobs[keys["a"]], gpus=gpus) == wanted  # 7200 s of wall-clock time for each GPU-hour
