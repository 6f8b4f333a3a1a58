"""FollowBench's rules beside the official code, item by item on made texts; needs a checkout of its repository."""

import ast
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType

import pytest

from kit.benchmarks import followbench
from kit.benchmarks._followbench_rules import rule_of
from kit.records import Problem

CHECKOUT = os.environ.get("KIT_FOLLOWBENCH_DIR", "")
"""A checkout of YJiangcm/FollowBench at the pinned commit, whose rules this process then runs."""
TEXTS = 300
"""Made texts for each of the 350 items."""
PIECES = (
    *("We", "in", "bus", "Bus", "is", "are", "has", "have", "going", "done", "films", "actor", "Potter", "lavish"),
    *("Newton Stewart", "operation", "stuff", "Procrastinate", "activations", "transformer", "Those are suggestions"),
    *(
        "**1. Growth: ",
        "**2) Care:",
        "**3",
        ":",
        "1.",
        "2.",
        "10.",
        "$7",
        "$34",
        "(A)",
        "(Z)",
        "01/01/1900",
        "friend-ly",
    ),
    *(
        ".",
        "!",
        "?",
        ". ",
        "? ",
        "\n",
        "\n\n",
        " ",
        "  ",
        ",",
        "word word word word word ",
        "e.g. ",
        "Mr. ",
        "3.5",
        "é",
    ),
)


@pytest.fixture(scope="module")
def official() -> Iterator[ModuleType]:
    """The official module, with empty modules for what it draws and reads files with."""
    if not CHECKOUT:
        pytest.skip("KIT_FOLLOWBENCH_DIR names no checkout of FollowBench")
    path = Path(CHECKOUT) / "code" / "rule_based_evaluation.py"
    plot, utils = ModuleType("matplotlib"), ModuleType("utils")
    vars(plot)["pyplot"] = ModuleType("matplotlib.pyplot")
    vars(utils)["data_match_api_output"] = None
    stand_ins = {"matplotlib": plot, "matplotlib.pyplot": plot.pyplot, "utils": utils}
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    module = ModuleType("rule_based_evaluation")
    try:
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), vars(module))
        yield module
    finally:
        for name, found in before.items():
            if found is None:
                del sys.modules[name]
            else:
                sys.modules[name] = found


def by_official_code(official: ModuleType, problem: Problem, text: str) -> bool:
    data = problem.data
    if data["kind"] == "example":
        return bool(official.check_match(data["target"].replace("{instruction}\n", ""), text))
    if data["kind"] == "format":
        return bool(official.rule_evaluation_format(text, data["example_id"], data["level"]))
    rule = getattr(official, f"rule_evaluation_{data['source']}")
    return bool(rule(text, data["target"], data["level"]))


def made(rng: Random, target: str) -> str:
    """Return a text of pieces that the rules look for, with the target or a part of it now and then."""
    form = target.replace("{instruction}\n", "")
    answers = [target, target.partition("\n")[0], form.replace("{answer}", "any")]
    if target.startswith("["):
        answers += ast.literal_eval(target)
    if rng.random() < 0.15:
        return rng.choice(answers)
    pieces = [rng.choice((*PIECES, *answers)) for _ in range(rng.randint(0, rng.choice((4, 12, 60))))]
    return rng.choice(("", " ")).join(pieces)


@pytest.mark.shared
def test_every_rule_agrees_with_the_official_code_on_made_texts(shared: Path, official: ModuleType) -> None:
    problems = [one for one in followbench.read(shared / "data" / "followbench") if followbench.has_rule(one)]
    rng, right, differ = Random(820), 0, []
    for problem in problems:
        data = problem.data
        rule = rule_of(data["kind"], data["source"], data["example_id"])
        assert rule
        for _ in range(TEXTS):
            text = made(rng, data["target"])
            wanted = by_official_code(official, problem, text)
            right += wanted
            if rule(text, data["target"], data["level"]) != wanted:
                differ.append((problem.id, text))
    assert differ == []
    assert (len(problems), right > 1_000) == (350, True)
