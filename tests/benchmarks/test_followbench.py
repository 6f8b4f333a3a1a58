"""FollowBench's files: the problems that are read of them, and the message for each that is damaged."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import followbench
from kit.benchmarks._followbench_items import KINDS, LEVELS
from kit.errors import RequestError
from tests.benchmarks.followbench_problems import KIT, MINI, graded

Row = dict[str, Any]


def made(tmp_path: Path, kind: str, change: Callable[[list[Row]], object]) -> Path:
    """Return a copy of the mini set, with the records of one kind changed."""
    for name in KINDS:
        rows = json.loads((MINI / f"{name}_constraints.json").read_text(encoding="utf-8"))
        if name == kind:
            change(rows)
        (tmp_path / f"{name}_constraints.json").write_text(json.dumps(rows), encoding="utf-8")
    return tmp_path


def test_the_first_thirty_problems_are_an_item_of_each_kind_on_all_levels() -> None:
    problems = followbench.read(MINI)
    assert [problem.id for problem in problems[:30]] == [f"{kind}/1/{level}" for kind in KINDS for level in LEVELS]
    assert [problem.id for problem in problems[30:]] == [f"{kind}/2/{level}" for kind in KINDS for level in LEVELS]
    assert {followbench.group(problem) for problem in problems} == set(KINDS)


def test_a_problem_has_the_instructions_that_lead_to_it_and_asks_the_last() -> None:
    problems = {problem.id: problem for problem in followbench.read(MINI)}
    rain = problems["style/1/2"]
    assert rain.data["path"] == [
        "What is rain?",
        "What is rain? Answer as if you talked to a small child.",
        "What is rain? Answer as if you talked to a small child, in a cheerful voice.",
    ]
    (turn,) = followbench.turns(rain, KIT)
    assert (turn.role, turn.content) == ("user", rain.data["path"][-1])


def test_one_of_the_files_alone_can_be_read() -> None:
    found = followbench.read(MINI / "mixed_constraints.json")
    assert [problem.id for problem in found] == [f"mixed/{item}/{level}" for item in (1, 2) for level in LEVELS]


MINI_ANSWERS = {
    "content/2": ["Ida", "Bern", "Lyon", "Lyon", "Oslo"],
    "situation/1": ["$2 a cup: $6", "$10", "$6 + $4 + $1 = $11", "$15", "$15 - $5 is $10."],
    "example/1": ["The capital of Spain is Madrid."] * 5,
    "example/2": ["{'word': 'small'}"] * 5,
    "mixed/1": ["the cat sat.", "the cat sat!", "THE CAT SAT!", "THE DOG SAT!", "THE DOG SAT!!"],
}


def test_every_item_of_the_mini_set_with_a_rule_can_be_right_and_wrong() -> None:
    problems = followbench.read(MINI)
    ruled = [problem for problem in problems if followbench.has_rule(problem)]
    assert [problem.id for problem in ruled] == [
        f"{item}/{level}"
        for item in ("situation/1", "example/1", "mixed/1", "content/2", "example/2")
        for level in LEVELS
    ]
    answers = {f"{item}/{level}": texts[level - 1] for item, texts in MINI_ANSWERS.items() for level in LEVELS}
    for texts, met in ((answers, 1), ({}, 0)):
        grades = graded(problems, [texts.get(problem.id, "Something else.") for problem in problems], {}, "default")
        hard = {problem.id: grades[problem.id].scores[f"followbench_hsr_l{problem.data['level']}"] for problem in ruled}
        assert hard == {problem.id: [met, 1] for problem in ruled}


def remove(index: int) -> Callable[[list[Row]], object]:
    return lambda rows: rows.pop(index)


def put(index: int, **fields: Any) -> Callable[[list[Row]], object]:
    return lambda rows: rows[index].update(fields)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        pytest.param(
            "style",
            remove(3),
            "{folder}/style_constraints.json: example_id 1 has the levels 0, 1, 2, 4, 5; wanted 0 to 5, each once",
            id="a level is missing",
        ),
        pytest.param(
            "example",
            remove(0),
            "{folder}/example_constraints.json: example_id 1 has the levels 2, 3, 4, 5; wanted 1 to 5, each once",
            id="the first level of an example is missing",
        ),
        pytest.param(
            "content",
            put(7, example_id=1),
            "{folder}/content_constraints.json[7]: example_id 1 has level 1 twice; is the file two files joined?",
            id="a level stands twice",
        ),
        pytest.param(
            "format",
            put(2, level="2"),
            "{folder}/format_constraints.json[2]: field 'level': found str, wanted int; is it another set?",
            id="a level that is a text",
        ),
        pytest.param(
            "format",
            lambda rows: rows[2].pop("source"),
            "{folder}/format_constraints.json[2]: field 'source': found nothing, wanted str; is it another set?",
            id="no source",
        ),
        pytest.param(
            "mixed",
            put(5, level=6),
            "{folder}/mixed_constraints.json[5]: example_id 1: found level 6, wanted 0 to 5",
            id="a sixth level",
        ),
        pytest.param(
            "situation",
            put(1, instruction=" "),
            "{folder}/situation_constraints.json[1]: example_id 1, level 1: an empty instruction; level 0 alone "
            "may have one",
            id="an empty instruction",
        ),
        pytest.param(
            "situation",
            put(1, target=""),
            "{folder}/situation_constraints.json[1]: example_id 1, level 1: field 'target': empty; wanted the right "
            "answer; a rule compares answers with it",
            id="a rule without its target",
        ),
        pytest.param(
            "content",
            put(8, target="Oslo"),
            "{folder}/content_constraints.json[8]: example_id 2, level 2: field 'target': no list; wanted the right "
            "answers, as \"['Bonn', 'Paris']\"; a rule compares answers with it",
            id="a list of names that is none",
        ),
        pytest.param(
            "example",
            put(0, target="City: Rome"),
            "{folder}/example_constraints.json[0]: example_id 1, level 1: field 'target': without {{answer}}; wanted "
            "the form of an answer, as 'Answer: {{answer}}'; a rule compares answers with it",
            id="a form without an answer",
        ),
        pytest.param(
            "mixed",
            lambda rows: rows.clear(),
            "{folder}/mixed_constraints.json: no record in it; is the file cut off?",
            id="no record",
        ),
    ],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path, kind: str, change: Callable[[list[Row]], object], message: str
) -> None:
    folder = made(tmp_path, kind, change)
    with pytest.raises(RequestError) as error:
        followbench.read(folder)
    assert str(error.value) == message.format(folder=folder)


def test_a_folder_without_a_kind_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path, "style", lambda rows: None)
    for kind in ("style", "mixed"):
        (folder / f"{kind}_constraints.json").unlink()
    with pytest.raises(RequestError) as error:
        followbench.read(folder)
    assert str(error.value) == (
        f"{folder}: no style_constraints.json, mixed_constraints.json in the folder; wanted the six files of "
        "FollowBench's data"
    )


def test_a_file_of_no_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(RequestError) as error:
        followbench.read(path)
    assert str(error.value) == (
        f"{path}: its name tells no kind of constraints; wanted content_constraints.json, situation_constraints.json, "
        "style_constraints.json, format_constraints.json, example_constraints.json, mixed_constraints.json, or their "
        "folder"
    )
