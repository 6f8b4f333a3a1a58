"""The first stage that differs between two runs, of stores whose jobs are made up, one difference at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.differences.runs import run_of_store
from kit.differences.stages import StageDifference, changed, first_differences
from kit.store import Store
from tests.differences.made_stores import make_run


def differences(before: Path, after: Path, id: str = "grade/gsm8k/small") -> list[StageDifference]:
    """Return the stages that differ between two stores' gradings of one id."""
    one, other = (run_of_store(Store.existing(root), root.name).found[id] for root in (before, after))
    return first_differences([(one, other)])


def told(found: list[StageDifference]) -> list[str]:
    """Return each stage with its changes, the first ones marked by a star."""
    return ["*" * one.is_first + f"{one.stage}: {', '.join(change.text() for change in one.changes)}" for one in found]


DIFFERENCES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "nothing": ({}, {}, []),
    "the seed of the training": ({}, {"seeds": {"sft": 43}}, ["*sft: params.seed 42 -> 43"]),
    "seeds of two stages": (
        {},
        {"seeds": {"sft": 43, "evolve": 7}},
        ["*evolve: params.seed 42 -> 7", "sft: params.seed 42 -> 43"],
    ),
    "a version": (
        {"versions": {"answer": "answer-1.gsm8k-1.vllm-2"}},
        {"versions": {"answer": "answer-1.gsm8k-1.vllm-3"}},
        ["*answer: version answer-1.gsm8k-1.vllm-2 -> answer-1.gsm8k-1.vllm-3"],
    ),
    "a lock": ({}, {"locks": {"sft": "b" * 64}}, ["*sft: lock of cpu aaaaaaaaaa -> bbbbbbbbbb"]),
    "a parameter inside a table, and one that is new": (
        {"params": {"evolve": {"sampling": {"temperature": 0.7, "top_p": 1.0}}}},
        {"params": {"evolve": {"sampling": {"temperature": 1.0, "top_p": 1.0, "max_tokens": 8}}}},
        ["*evolve: params.sampling.max_tokens none -> 8, params.sampling.temperature 0.7 -> 1.0"],
    ),
    "a whole number for a truth": (
        {"params": {"grade": {"rows": 1}}},
        {"params": {"grade": {"rows": True}}},
        ["*grade: params.rows 1 -> True"],
    ),
    "another model": ({}, {"model": "large"}, ["*evolve: inputs.model fetch/small -> fetch/large"]),
    "other bytes of the same job": (
        {},
        {"words": ["text 0", "other", *(f"text {n}" for n in range(2, 8))]},
        ["*answer: the same job wrote other bytes: completions.jsonl in 1 of 8 rows"],
    ),
    "other bytes on another machine": (
        {"words": ["one"], "ran_on": {"machine": {"cpu": "A", "cores": 2}, "commit": "c" * 40}},
        {"words": ["two"], "ran_on": {"machine": {"cpu": "B", "cores": 2}, "commit": "c" * 40}},
        ["*answer: the same job wrote other bytes: completions.jsonl in 1 of 1 rows, it ran with machine.cpu A -> B"],
    ),
    "other bytes of the same job, and fewer": (
        {"pairs": '{"id":"0"}\n{"id":"1"}\n'},
        {},
        ["*respond: the same job wrote other bytes: pairs.jsonl in 1 of 2 rows"],
    ),
    "other bytes where no rows are": (
        {},
        {"pairs": "x"},
        ["*respond: the same job wrote other bytes: pairs.jsonl in 1 of 1 rows"],
    ),
    "long texts that part late": (
        {"params": {"sft": {"chat_template": "a" * 300 + "one"}}},
        {"params": {"sft": {"chat_template": "a" * 300 + "two"}}},
        ["*sft: params.chat_template (after 300 characters) one -> two"],
    ),
}


@pytest.mark.parametrize("before, after, wanted", DIFFERENCES.values(), ids=list(DIFFERENCES))
def test_stages_that_differ(tmp_path: Path, before: dict[str, Any], after: dict[str, Any], wanted: list[str]):
    make_run(tmp_path / "a", **before)
    make_run(tmp_path / "b", **after)
    assert told(differences(tmp_path / "a", tmp_path / "b")) == wanted


def test_jobs_that_differ_alike_are_one_line_and_same_bytes_are_counted(tmp_path: Path):
    for root, seeds in (("a", {}), ("b", {"sft": 43})):
        for name in ("small", "large"):
            make_run(tmp_path / root, name=name, seeds=seeds)
    runs = [run_of_store(Store.existing(tmp_path / root), root) for root in "ab"]
    pairs = [(runs[0].found[id], runs[1].found[id]) for id in runs[0].found]
    (one,) = first_differences(pairs)
    assert (one.jobs, one.made, one.same_bytes) == (["sft/large", "sft/small"], 2, 0)
    # a lock alone: what was trained is the same
    make_run(tmp_path / "c", locks={"sft": "b" * 64})
    (one,) = differences(tmp_path / "a", tmp_path / "c")
    assert (one.jobs, one.made, one.same_bytes) == (["sft/small"], 1, 1)


def test_a_job_that_a_store_knows_no_more(tmp_path: Path):
    keys = make_run(tmp_path / "a")
    other = make_run(tmp_path / "b", seeds={"sft": 43})
    for folder in ("artifacts", "jobs"):
        ending = ".json" if folder == "jobs" else ""
        (tmp_path / "b" / folder / f"{other['sft']}{ending}").rename(tmp_path / f"{folder}.gone")
    assert told(differences(tmp_path / "a", tmp_path / "b")) == [
        f"*sft: its job, which store B knows no more: {keys['sft'][:10]} -> {other['sft'][:10]}"
    ]
    # its job is known where the artifact alone was removed
    (tmp_path / "jobs.gone").rename(tmp_path / "b" / "jobs" / f"{other['sft']}.json")
    assert told(differences(tmp_path / "a", tmp_path / "b")) == ["*sft: params.seed 42 -> 43"]


def test_a_damaged_head_on_the_way(tmp_path: Path):
    make_run(tmp_path / "a")
    other = make_run(tmp_path / "b", seeds={"evolve": 43})
    (tmp_path / "b" / "artifacts" / other["respond"] / "artifact.json").write_text("{}")
    assert told(differences(tmp_path / "a", tmp_path / "b")) == ["*evolve: params.seed 42 -> 43"]


CHANGES: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], list[str]]] = {
    "an empty text": ({"a": ""}, {"a": "x"}, ["a '' -> x"]),
    "a text that a terminal would obey": ({"a": "\x1b[5m"}, {"a": "x"}, ["a '\\x1b[5m' -> x"]),
    "a table for a value": ({"a": {"b": 1}}, {"a": 1}, ["a {'b': 1} -> 1"]),
    "a list": ({"a": [1, 2]}, {"a": [1, 3]}, ["a [1, 2] -> [1, 3]"]),
    "a hash": ({"a": "0" * 64}, {"a": "1" * 64}, ["a 0000000000 -> 1111111111"]),
    "null": ({"a": None}, {}, ["a None -> none"]),
}


@pytest.mark.parametrize("before, after, wanted", CHANGES.values(), ids=list(CHANGES))
def test_how_values_are_shown(before: Mapping[str, Any], after: Mapping[str, Any], wanted: list[str]):
    assert [change.text() for change in changed(before, after, "")] == wanted
