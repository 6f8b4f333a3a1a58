"""Simulated paths on the paper's numbers: few wrong stops, and fewer hours than everything; docs/budget.md has more."""

import random
from collections.abc import Callable, Sequence

import pytest

from kit.budget.path import Rules
from kit.budget.simulate import Ends, Truth, as_printed, centred, nothing, of_parts, random_blocks, simulate, walk
from kit.budget.steps import Step
from kit.budget.study import Study
from kit.claims.evidence import FAILS, HOLDS
from tests.budget.making import study

RULES = Rules(alpha=0.05, budget=1e9)
RUNS = 1500


@pytest.fixture(scope="module")
def qwen(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study of Table 2's claim at the paper's scale, with three seeds."""
    return study("evol-instruct-qwen", "paper", tmp_path_factory.mktemp("store"), seeds=3)[0]


def these_bases(steps: Sequence[Step]) -> Truth:
    return of_parts(steps, is_whole=True)


@pytest.mark.parametrize("truth", [nothing, centred, these_bases], ids=["none differs", "each leans", "parts lean"])
def test_wrong_stops_are_rare(truth: Callable[[Sequence[Step]], Truth], qwen: Study):
    found = simulate(qwen.blocks, qwen.expected, RULES, truth(qwen.steps), runs=RUNS, seed=1)
    assert found.runs == RUNS
    assert found.share(HOLDS) <= 0.05
    assert found.share(FAILS) <= 0.05


def test_truths_without_a_difference_have_the_mean_0(qwen: Study):
    for truth in (centred(qwen.steps), of_parts(qwen.steps, is_whole=False)):
        cells = [truth.means[step.name] for step in qwen.steps for _ in step.cells]
        assert sum(cells) / len(cells) == pytest.approx(0.0, abs=1e-9)


def test_a_decision_costs_less_than_everything_and_than_a_random_order(qwen: Study):
    truth = as_printed(qwen.steps)
    ours = simulate(qwen.blocks, qwen.expected, RULES, truth, runs=400, seed=1)
    source, others = random.Random(1), Ends()
    for _ in range(400):
        verdict, hours = walk(random_blocks(qwen.steps, qwen.costs, source), qwen.expected, RULES, truth, source)
        others.verdicts[verdict] += 1
        others.hours.append(hours)
    assert ours.share(HOLDS) > 0.75
    assert ours.share(FAILS) == 0.0
    assert ours.mean_hours < 0.7 * qwen.hours
    assert ours.mean_hours < others.mean_hours


def test_a_random_order_has_all_steps_and_costs_the_same_in_all(qwen: Study):
    blocks = random_blocks(qwen.steps, qwen.costs, random.Random(3))
    assert sorted(step.name for block in blocks for step in block.steps) == sorted(step.name for step in qwen.steps)
    assert sum(block.hours for block in blocks) == pytest.approx(qwen.hours)


def test_the_same_seed_gives_the_same_paths(qwen: Study):
    truth = as_printed(qwen.steps)
    first, again = (simulate(qwen.blocks, qwen.expected, RULES, truth, runs=20, seed=5) for _ in range(2))
    assert first.hours == again.hours
