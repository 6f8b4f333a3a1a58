"""The bundled sets hold what they say, and every canonical answer is right by our graders."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import alpacafarm, gsm8k, hendrycks_math, ifeval
from kit.benchmarks._results import results

BUNDLED = Path(__file__).resolve().parent.parent / "kit/bundled"
FOLLOWS = {
    "1": "Dogs are loyal animals.",
    "2": "My favourite season is autumn because the leaves turn red and the air is cool and clear.",
    "3": "A bicycle is a vehicle with two wheels that you move with your feet.",
    "4": "The sun was warm and the sand was soft.",
    "5": "Rain is water that falls from clouds.",
    "6": "cats sleep for most of the day. they like to hunt at night.",
    "7": "BOIL SOME WATER. PUT A TEA BAG IN A CUP. POUR THE WATER OVER THE BAG AND WAIT.",
    "8": "<<The Fox>>\nA fox lived by the river.",
    "9": "Dear Ida, all is well here.\n\nP.S. I found your book.",
    "10": '"Libraries are wonderful places."',
    "11": "Dear [name], come to my party on [date].",
    "12": "Boil it for eight minutes. Enjoy your egg!",
    "13": "* It is free.\n* It is healthy.\n* It is quiet.",
    "14": "The trees are tall. The moss is soft. A stream runs through it.",
    "15": "The moon lights the night. Each night it looks different.",
    "16": "The town lies on a hill by the sea. It has *one old bakery* and two small churches. In the morning the boats"
    " come in and the people meet at the harbour to buy fish.",
}


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BUNDLED / name).read_text(encoding="utf-8").splitlines()]


SEEDS = [("mini-alpaca.json", 12, 5), ("mini-alpaca-picks.json", 20, 7), ("mini-code-alpaca.json", 12, 4)]


@pytest.mark.parametrize(("name", "count", "with_input"), SEEDS)
def test_seeds(name: str, count: int, with_input: int) -> None:
    rows = json.loads((BUNDLED / name).read_text(encoding="utf-8"))
    assert len({row["instruction"] for row in rows}) == len(rows) == count
    assert all(list(row) == ["instruction", "input", "output"] for row in rows)
    assert all(row["instruction"] and row["output"] for row in rows)
    assert sum(bool(row["input"]) for row in rows) == with_input


@pytest.mark.parametrize(("name", "rows"), [("mini-gsm8k-train.jsonl", 12), ("mini-gsm8k.jsonl", 16)])
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_gsm8k(name: str, rows: int, protocol: str) -> None:
    problems = gsm8k.read(BUNDLED / name)
    assert len(problems) == rows
    (result,) = results(gsm8k.grade(problems, [row.data["answer"] for row in problems], protocol, None), gsm8k.METRICS)
    assert result.value == 1


@pytest.mark.parametrize("name", ["mini-gsm8k-train.jsonl", "mini-gsm8k.jsonl"])
def test_every_annotated_calculation_holds(name: str) -> None:
    for row in lines(name):
        last = ""
        for part in row["answer"].split("<<")[1:]:
            calculation, _, last = part.partition(">>")[0].partition("=")
            assert eval(calculation) == int(last)
        assert row["answer"].endswith(f"\n#### {last}")


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_math(protocol: str) -> None:
    problems = hendrycks_math.read(BUNDLED / "mini-math.jsonl")
    assert len(problems) == 16
    for field in ("solution", "answer"):
        grades = hendrycks_math.grade(problems, [row.data[field] for row in problems], protocol, None)
        assert [grade.scores["math"] for grade in grades] == [[1, 1]] * 16


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_ifeval(protocol: str) -> None:
    problems = ifeval.read(BUNDLED / "mini-ifeval.jsonl")
    assert [row.id for row in problems] == list(FOLLOWS)
    found = results(ifeval.grade(problems, list(FOLLOWS.values()), protocol, None), ifeval.METRICS)
    assert [(result.value, result.n) for result in found] == [(1, 16), (1, 18), (1, 16), (1, 18)]


def test_humaneval() -> None:
    rows = lines("mini-humaneval.jsonl")
    assert [row["task_id"] for row in rows] == [f"Mini/{n}" for n in range(16)]
    for row in rows:
        scope: dict[str, Any] = {}
        exec(row["prompt"] + row["canonical_solution"] + row["test"], scope)
        scope["check"](scope[row["entry_point"]])
        with pytest.raises((AssertionError, TypeError, IndexError)):
            scope["check"](lambda *_: None)


def test_mbpp() -> None:
    rows = lines("mini-mbpp.jsonl")
    assert [row["task_id"] for row in rows] == list(range(1, 17))
    for row in rows:
        assert len(row["test_list"]) == 3
        assert set(row) == {"text", "code", "task_id", "test_list", "test_setup_code", "challenge_test_list"}
        scope: dict[str, Any] = {}
        exec("\n".join([row["code"], row["test_setup_code"], *row["test_list"]]), scope)


def test_alpacafarm() -> None:
    problems = alpacafarm.read(BUNDLED / "mini-alpacafarm.json")
    assert [row.id for row in problems] == [str(number) for number in range(16)]
    assert len({row.data["instruction"] for row in problems}) == 16
    assert all(set(row.data) == {"dataset", "instruction", "output", "generator"} for row in problems)
    assert all(row.data["output"].strip() for row in problems)


def test_the_licence_is_stated() -> None:
    assert "Licence: Apache-2.0" in (BUNDLED / "README.md").read_text(encoding="utf-8")
