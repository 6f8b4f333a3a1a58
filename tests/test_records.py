"""Grades summed into results: the standard error by hand where an item has several units, and where each has one."""

import itertools
import math

import pytest

from kit.records import Grade, cluster_stderr, results

BY_HAND = {
    # p = 3/5; 2 - 1.2, 0 - 0.6, 1 - 1.2: squares 0.64 + 0.36 + 0.04
    "2 of 2, 0 of 1, 1 of 2": ([(2, 2), (0, 1), (1, 2)], math.sqrt(1.04) / 5),
    # two units that stand and fall together are worth one: sqrt(0.5 * 0.5 / 2), and not / 4
    "pairs alike": ([(2, 2), (0, 2)], math.sqrt(0.125)),
    # each item half right: the items agree
    "pairs unlike": ([(1, 2), (1, 2)], 0.0),
    "all wrong": ([(0, 3), (0, 1)], 0.0),
    "all right": ([(3, 3), (1, 1)], 0.0),
}


@pytest.mark.parametrize("items, stderr", BY_HAND.values(), ids=list(BY_HAND))
def test_units_of_one_item_are_not_independent(items: list[tuple[int, int]], stderr: float):
    # IFEval's 834 instructions counted as 834 independent units; they stand in 541 prompts
    (found,) = {cluster_stderr(order) for order in itertools.permutations(items)}
    assert found == pytest.approx(stderr)


@pytest.mark.parametrize("n", [1, 2, 12, 164, 1319])
def test_one_unit_an_item_is_binomial(n: int):
    for right in {0, 1, n // 3, n // 2, n - 1, n}:
        items = [(1, 1)] * right + [(0, 1)] * (n - right)
        p = right / n
        assert cluster_stderr(items) == pytest.approx(math.sqrt(p * (1 - p) / n), rel=1e-12, abs=0)


def test_results():
    grades = [
        Grade(id="a", scores={"prompts": [1, 1], "instructions": [2, 2]}),
        Grade(id="b", scores={"prompts": [0, 1], "instructions": [0, 1]}, reason="broken: x"),
        Grade(id="c", scores={"prompts": [0, 1], "instructions": [1, 2]}, reason="broken: y"),
    ]
    units = {"prompts": "prompts", "instructions": "instructions"}
    failures = {"broken: x": 1, "broken: y": 1}
    # 1/3 over three prompts: sqrt(1/3 * 2/3 / 3); the instructions as above; n counts units
    prompts = {"metric": "prompts", "value": 1 / 3, "stderr": math.sqrt(2 / 27), "n": 3, "unit": "prompts"}
    instructions = {"metric": "instructions", "value": 0.6, "stderr": math.sqrt(1.04) / 5, "n": 5}
    found = results(grades, units)
    assert [row.to_json() for row in found] == [
        prompts | {"stderr": pytest.approx(prompts["stderr"]), "failures": failures},
        instructions | {"stderr": pytest.approx(instructions["stderr"]), "unit": "instructions", "failures": failures},
    ]


def test_nothing_judged_is_said():
    with pytest.raises(ValueError, match=r"^nothing was judged for a$"):
        results([], {"a": "items"})
