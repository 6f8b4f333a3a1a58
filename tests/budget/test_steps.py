"""Steps of the paper's claims: pairs of trained models, their parts and replicates; claims that steps can't decide."""

from pathlib import Path

import pytest

from kit.budget.expected import expected
from kit.budget.steps import find_claim
from kit.budget.study import check_request, make_study
from kit.catalogue.claims import read_claims
from kit.errors import RequestError
from kit.plan.planning import plan_tables
from kit.store import Store
from tests.budget.making import study

BASES = ["deepseek-7b", "internlm-2-7b", "llama-3-8b", "llama-3.1-8b", "llama-3.2-3b", "mistral-7b-v0.3"]


def test_table_2_at_the_papers_scale(tmp_path: Path):
    found, _ = study("evol-instruct-qwen", "paper", tmp_path)
    assert len(found.steps) == 18
    assert sorted({step.replicate for step in found.steps}) == BASES
    assert [step.name for step in found.steps[:3]] == [
        "table-2, alpaca, mistral-7b-v0.3, seed 1",
        "table-2, gsm8k-train, mistral-7b-v0.3, seed 1",
        "table-2, code-alpaca, mistral-7b-v0.3, seed 1",
    ]
    assert [step.benchmarks for step in found.steps[:3]] == [
        ["ifeval"],
        ["gsm8k", "hendrycks_math"],
        ["humaneval", "mbpp"],
    ]
    assert [len(step.cells) for step in found.steps[:3]] == [4, 2, 2]
    assert [len(step.keys) for step in found.steps[:3]] == [2, 4, 4]
    assert [step.cells[0].rows for step in found.steps[:3]] == [541, 1319, 164]
    # the mean of Table 2's 48 differences, summed from manifests/paper/table-2.toml
    assert found.expected.effect == pytest.approx(2.026, abs=0.001)
    assert [len(block.steps) for block in found.blocks] == [3] * 6
    # each base once in each part; of the last blocks, two steps may be of one base, which bet together
    assert [len({step.replicate for step in block.steps}) for block in found.blocks[:4]] == [3] * 4
    for block in found.blocks:
        assert len({step.part for step in block.steps}) == 3
    assert found.unit == "GPU-hours"


def test_blocks_together_cost_what_the_plan_costs(tmp_path: Path):
    found, _ = study("evol-instruct-qwen", "paper", tmp_path)
    hours = sum(float(job.resources.get("gpu_hours", 0)) for job in found.plan.jobs.values())
    assert found.hours == pytest.approx(hours)
    assert {job.key for job in found.jobs(found.blocks)} == set(found.plan.jobs)


def test_more_seeds_add_blocks_behind_the_others_and_change_no_key(tmp_path: Path):
    one, _ = study("evol-instruct-qwen", "smoke", tmp_path)
    two, _ = study("evol-instruct-qwen", "smoke", tmp_path, seeds=2)
    assert set(one.plan.jobs) < set(two.plan.jobs)
    assert [[step.id for step in block.steps] for block in two.blocks[: len(one.blocks)]] == [
        [step.id for step in block.steps] for block in one.blocks
    ]
    assert {step.seed for block in two.blocks[len(one.blocks) :] for step in block.steps} == {1}
    assert expected(two.steps) == expected(one.steps)
    seeds = {job.params["seed"] for job in two.plan.jobs.values() if job.stage == "sft"}
    assert seeds == {42, 43}
    assert two.unit == "CPU-hours"


def test_the_plan_of_one_seed_is_that_of_kit_reproduce():
    assert list(plan_tables(["2"], "smoke", 1).jobs) == list(plan_tables(["2"], "smoke").jobs)


def test_cells_that_are_all_there_are_have_a_part_each(tmp_path: Path):
    found, _ = study("rounds-second-beats-third", "paper", tmp_path, seeds=2)
    assert len(found.blocks) == 2
    parts = {step.part for step in found.steps}
    assert [len(block.steps) for block in found.blocks] == [len(parts)] * 2


def test_a_claim_on_two_tables(tmp_path: Path):
    found, _ = study("seeds-llama-8b", "paper", tmp_path)
    assert {step.name.split(", ")[:2][0] for step in found.steps} == {"table-1"}
    assert {step.name.split(", ")[1] for step in found.steps} == {"table-9"}
    assert found.expected.effect == pytest.approx(11.39, abs=0.01)


REFUSED = {
    "misspelt": (
        "evol-instruct-qwem",
        "--claim: no claim is named 'evol-instruct-qwem'; did you mean 'evol-instruct-qwen'?",
    ),
    "made of others": (
        "three-scenarios",
        "--claim three-scenarios: is made of others; decide each by itself: evol-instruct-llama, evol-instruct-qwen, "
        "autoif, auto-evol-instruct",
    ),
    "arithmetic": (
        "every-base-autoif",
        "--claim every-base-autoif: its check is 'everywhere', which arithmetic decides; wanted one that asks whether "
        "cells are above others on average, as evol-instruct-llama; `kit claims` judges the others",
    ),
}


@pytest.mark.parametrize("id, message", REFUSED.values(), ids=list(REFUSED))
def test_claims_that_are_refused(id: str, message: str):
    with pytest.raises(RequestError) as error:
        find_claim(read_claims(), id)
    assert str(error.value) == message


def test_numbers_that_nothing_is_trained_for(tmp_path: Path):
    with pytest.raises(RequestError) as error:
        make_study("complexity-score", "paper", 1, Store(tmp_path))
    assert str(error.value) == (
        "--claim complexity-score: found numbers of instruction sets, which nothing is trained for; wanted shares, in "
        "percent, that trained models reach on benchmarks; `kit claims` judges it from what is in the store"
    )


NUMBERS = {
    "below 0": (-1.0, 1, "--budget: found -1.0, wanted hours, 0 or more; 0 uses what the store has"),
    "no number": (float("nan"), 1, "--budget: found nan, wanted hours, 0 or more; 0 uses what the store has"),
    "no seed": (1.0, 0, "--seeds: found 0, wanted 1 to 20 training seeds of each setting"),
    "too many": (1.0, 21, "--seeds: found 21, wanted 1 to 20 training seeds of each setting"),
}


@pytest.mark.parametrize("budget, seeds, message", NUMBERS.values(), ids=list(NUMBERS))
def test_numbers_that_are_refused(budget: float, seeds: int, message: str):
    with pytest.raises(RequestError) as error:
        check_request(budget, seeds)
    assert str(error.value) == message
