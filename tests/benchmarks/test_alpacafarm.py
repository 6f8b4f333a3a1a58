"""AlpacaFarm: orders and labels of both protocols, outcomes, and the published win rate from its real annotations."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from kit import prompts
from kit.benchmarks import UNREADABLE, Annotated, Estimated, Judged, alpacafarm
from kit.benchmarks._results import results
from kit.errors import RequestError
from kit.judges.verdicts import check_questions
from kit.prompts import Templates
from kit.records import Question, Turn, Verdict

KIT = prompts.load("kit")
BETTER, WORSE, EQUAL = LABELS = ("Reply 1 is better", "Reply 1 is worse", "Both replies are equal")
ROWS = [
    {"instruction": "Name a river.", "output": "The Danube.", "generator": "r", "dataset": "d"},
    {"instruction": "Shorten it.", "input": "A long text.", "output": "A text.", "generator": "r", "dataset": "d"},
]


def problems(folder: Path, rows: Any = ROWS) -> list[Any]:
    path = folder / "problems.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    return alpacafarm.read(path)


def test_it_satisfies_the_interfaces():
    assert isinstance(alpacafarm, Judged) and isinstance(alpacafarm, Estimated) and isinstance(alpacafarm, Annotated)


def test_a_problem_is_asked_as_a_pair_is(tmp_path: Path):
    first, second = problems(tmp_path)
    assert (first.id, second.id) == ("0", "1")
    assert alpacafarm.turns(first, KIT) == (Turn(role="user", content="Name a river."),)
    (turn,) = alpacafarm.turns(second, KIT)
    assert "Shorten it." in turn.content and "A long text." in turn.content


@pytest.mark.parametrize(
    ("protocol", "ids"), [("paper", ["0", "1"]), ("default", ["0#first", "1#first", "0#second", "1#second"])]
)
def test_the_tested_answer_stands_first_or_in_both_places(protocol: str, ids: list[str], tmp_path: Path):
    asked = alpacafarm.questions(problems(tmp_path), ["The Rhine.", "{user_query}"], KIT, protocol)
    assert [one.id for one in check_questions(asked, "benchmarks/alpacafarm.py")] == ids
    # the labels of one place say the same of the tested answer
    better, worse, equal = LABELS
    assert [one.labels for one in asked] == [LABELS] * 2 + [(worse, better, equal)] * 2 * (protocol == "default")
    assert [one.group for one in asked] == (["0", "1"] * 2 if protocol == "default" else ["", ""])
    assert len(asked) == alpacafarm.question_count(2, protocol)
    texts = [one.turns[0].content for one in asked]
    assert "Name a river.\n\nReply 1:\n\nThe Rhine.\n\nReply 2:\n\nThe Danube.\n" in texts[0]
    # the input stands below the instruction; braces of an answer are text
    assert "Shorten it.\nA long text.\n\nReply 1:\n\n{user_query}\n\nReply 2:\n\nA text.\n" in texts[1]
    if protocol == "default":
        assert "Name a river.\n\nReply 1:\n\nThe Danube.\n\nReply 2:\n\nThe Rhine.\n" in texts[2]


TOLD = {
    "alone": (BETTER, BETTER, BETTER),
    "quoted at the end": (f"Both are fine.\n'{WORSE}'", WORSE, WORSE),
    "none": ("Reply 2, clearly.", "", ""),
    # the authors' script takes better before worse, wherever they stand
    "named before, decided last": (f"Is it so that {BETTER}? No: {WORSE}.", BETTER, WORSE),
    "decided first": (f"{WORSE}. I first thought that {BETTER}", BETTER, BETTER),
    "lower case": ("reply 1 is better", "", BETTER),
    "equal, after worse": (f"{WORSE}? {EQUAL}", WORSE, EQUAL),
}


@pytest.mark.parametrize(("reply", "one_order", "two_orders"), TOLD.values(), ids=list(TOLD))
def test_the_label_of_a_reply(reply: str, one_order: str, two_orders: str):
    for id, label in (("7", one_order), ("7#first", two_orders), ("7#second", two_orders)):
        question = Question(id=id, turns=(), labels=(EQUAL, WORSE, BETTER))
        assert alpacafarm.label(question, reply) == label


OUTCOMES = {
    "better": ((BETTER,), "win", ""),
    "worse": ((WORSE,), "lose", "the other answer is better"),
    "equal": ((EQUAL,), "tie", "neither is better"),
    "unreadable": (("",), "tie", UNREADABLE),
    "both for it": ((BETTER, WORSE), "win", ""),
    "both against it": ((WORSE, BETTER), "lose", "the other answer is better"),
    "the first place twice": ((BETTER, BETTER), "tie", "the two orders disagree"),
    "the second place twice": ((WORSE, WORSE), "tie", "the two orders disagree"),
    "equal twice": ((EQUAL, EQUAL), "tie", "neither is better"),
    "better, then equal": ((BETTER, EQUAL), "tie", "the two orders disagree"),
    "better, then unreadable": ((BETTER, ""), "tie", UNREADABLE),
    "unreadable, then equal": (("", EQUAL), "tie", UNREADABLE),
    "unreadable twice": (("", ""), "tie", UNREADABLE),
}


@pytest.mark.parametrize(("labels", "outcome", "reason"), OUTCOMES.values(), ids=list(OUTCOMES))
def test_the_outcome_of_a_problem(labels: tuple[str, ...], outcome: str, reason: str, tmp_path: Path):
    protocol = "paper" if len(labels) == 1 else "default"
    ids = [f"0{end}" for end in alpacafarm.ORDERS[protocol]]
    said = {id: Verdict(id=id, label=label) for id, label in zip(ids, labels, strict=True)}
    (grade,) = alpacafarm.grade_judged(problems(tmp_path)[:1], ["x"], said, protocol)
    assert (grade.answer, grade.reason) == (outcome, reason)
    rate = {"win": 1.0, "tie": 0.5, "lose": 0.0}[outcome]
    assert grade.scores == {
        **{f"alpacafarm_{name}": [int(name == outcome), 1] for name in ("win", "tie", "lose")},
        "alpacafarm_win_rate": [rate, 1],
    }


def test_counts_and_the_rate_with_their_errors(tmp_path: Path):
    rows = [{"instruction": str(n), "output": ""} for n in range(4)]
    said = {str(n): Verdict(id=str(n), label=label) for n, label in enumerate((BETTER, BETTER, "", WORSE))}
    grades = alpacafarm.grade_judged(problems(tmp_path, rows), [""] * 4, said, "paper")
    found = {result.metric.removeprefix("alpacafarm_"): result for result in results(grades, alpacafarm.METRICS)}
    assert {name: result.value for name, result in found.items()} == {"win": 2, "tie": 1, "lose": 1, "win_rate": 0.625}
    assert found["win"].stderr == pytest.approx(1.0)  # 4 x sqrt(0.5 x 0.5 / 4)
    # squares about 0.625: 2 x 0.140625 + 0.015625 + 0.390625 = 0.6875, over 3 x 4
    assert found["win_rate"].stderr == pytest.approx((0.6875 / 12) ** 0.5)
    assert found["win_rate"].failures == {UNREADABLE: 1, "the other answer is better": 1}


LABELS_OF = {
    "two": ("So?\n'A is better'\n'A is worse'", "['A is better', 'A is worse']"),
    "no apostrophes": ("A is better\nA is worse\nequal", "[]"),
    "two alike": ("'A is better'\n'B is better'\n'equal'", "['A is better', 'B is better', 'equal']"),
}


@pytest.mark.parametrize(("template", "found"), LABELS_OF.values(), ids=list(LABELS_OF))
def test_a_template_without_labels(template: str, found: str, tmp_path: Path):
    pack = Templates(name="mine", templates={"pairwise.judge": (Turn(role="user", content=template),)})
    with pytest.raises(RequestError) as raised:
        alpacafarm.questions(problems(tmp_path), ["", ""], pack, "paper")
    assert str(raised.value) == (
        f"prompt pack 'mine': pairwise.judge: found {found} on its last three lines, wanted three labels between "
        "apostrophes: one with 'better', one with 'worse', one with neither"
    )


def test_an_unknown_protocol(tmp_path: Path):
    with pytest.raises(RequestError) as raised:
        alpacafarm.questions(problems(tmp_path), ["", ""], KIT, "papers")
    assert str(raised.value) == "no protocol named 'papers'; did you mean 'paper'?"


# annotations of alpaca_eval


def annotated(preference: Any, instruction: Any = "Name a river.") -> dict[str, Any]:
    return {"instruction": instruction, "preference": preference, "annotator": "a", "output_2": "x"}


@pytest.mark.parametrize(
    ("preference", "outcome", "reason"),
    [
        pytest.param(2, "win", "", id="the second"),
        pytest.param(2.0, "win", "", id="the second, a float"),
        pytest.param(1, "lose", "the other answer is better", id="the first"),
        pytest.param(0, "tie", "neither is better", id="0"),
        pytest.param(1.5, "tie", "neither is better", id="halfway"),
        pytest.param(None, "tie", UNREADABLE, id="none"),
    ],
)
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_an_annotation(preference: Any, outcome: str, reason: str, protocol: str, tmp_path: Path):
    (tmp_path / "a.json").write_text(json.dumps([annotated(1, "Another."), annotated(preference)]))
    asked = problems(tmp_path)[:1]
    (said,) = alpacafarm.read_annotations(tmp_path / "a.json", asked, ["x"])
    (grade,) = alpacafarm.grade_judged(asked, ["x"], {said.id: said}, protocol)
    assert (grade.answer, grade.reason, said.model) == (outcome, reason, "a")


ANNOTATIONS = {
    "another format": (
        [{"instruction": "Name a river.", "output": "x"}],
        "{path}[0]: wanted the fields 'instruction' and 'preference', as alpaca_eval writes them",
    ),
    "a preference between": (
        [annotated(1.73)],
        "{path}[0]: 'preference': found 1.73, wanted 1, 2, or 0 or 1.5 for a tie",
    ),
    "a truth value": (
        [annotated(True)],
        "{path}[0]: 'preference': found True, wanted 1, 2, or 0 or 1.5 for a tie",
    ),
    "two models": (
        [annotated(1), annotated(2)],
        "{path}[1]: problem 0 stands twice; wanted the verdicts on one model's answers",
    ),
    # verdicts on whatever answers were taken for verdicts on those that are graded
    "another model's": (
        [annotated(1) | {"output_1": "r", "output_2": "z"}],
        "{path}[0]: 'output_2' is not the answer that is graded; are the verdicts another model's?",
    ),
    # a win was a loss
    "the other way round": (
        [annotated(1) | {"output_1": "x", "output_2": "r"}],
        "{path}[0]: 'output_1' is the answer that is graded; wanted it as 'output_2'",
    ),
    "a part": (
        [annotated(1)],
        "{path}: 1 of 2 problems have no annotation, the first is 1",
    ),
}


@pytest.mark.parametrize(("rows", "message"), ANNOTATIONS.values(), ids=list(ANNOTATIONS))
def test_annotations_that_can_not_be_read(rows: list[Any], message: str, tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(rows), encoding="utf-8")
    with pytest.raises(RequestError) as raised:
        alpacafarm.read_annotations(path, problems(tmp_path), ["x", "y"])
    assert str(raised.value) == message.format(path=path)


def test_annotations_hold_an_input_below_its_instruction(tmp_path: Path):
    # such a problem had no annotation; one instruction with two inputs had none either
    rows = [{"instruction": "Do.", "input": text, "output": "o"} for text in ("a", "b")]
    asked = problems(tmp_path, [*rows, rows[0], {"instruction": "Do.", "output": "o", "id": None}])
    said = [annotated(2, "Do.\n\nb"), annotated(1, "Do."), annotated(1, "Do.\n\na"), annotated(0, "Do.\n\na")]
    (tmp_path / "a.json").write_text(json.dumps(said))
    found = alpacafarm.read_annotations(tmp_path / "a.json", asked, ["x"] * 4)
    assert [(one.id, one.label) for one in found] == [("0", "worse"), ("1", "better"), ("2", "equal"), ("3", "worse")]


def test_an_input_that_is_no_text(tmp_path: Path):
    # ended in a traceback when the judge's questions were made
    with pytest.raises(RequestError) as raised:
        problems(tmp_path, [ROWS[0] | {"input": 3}])
    assert str(raised.value) == f"{tmp_path / 'problems.json'}: problem 0: 'input': found 3, wanted a text, or nothing"


def test_an_id_with_a_mark_is_no_order(tmp_path: Path):
    # the authors' way of reading a reply was another one for ids with a "#" in them
    (asked,) = alpacafarm.questions(problems(tmp_path, [ROWS[0] | {"id": "a#1"}]), ["x"], KIT, "paper")
    assert alpacafarm.label(asked, f"{BETTER}, or {WORSE}") == BETTER


@pytest.mark.shared
def test_the_published_win_rate(shared: Path):
    folder = shared / "data" / "alpaca_farm"
    asked = alpacafarm.read(folder / "text_davinci_003_outputs.json")
    answers = {row["instruction"]: row["output"] for row in json.loads((folder / "alpaca-7b_outputs.json").read_text())}
    texts = [answers[one.data["instruction"]] for one in asked]
    said = alpacafarm.read_annotations(folder / "alpaca-7b_gpt4_annotations.json", asked, texts)
    grades = alpacafarm.grade_judged(asked, [""] * 805, {one.id: one for one in said}, "paper")
    assert Counter(grade.answer for grade in grades) == {"win": 205, "tie": 16, "lose": 584}
    rate = results(grades, alpacafarm.METRICS)[-1]
    assert (rate.n, round(100 * rate.value, 2), round(100 * rate.stderr, 2)) == (805, 26.46, 1.54)


@pytest.mark.shared
def test_the_real_questions_are_whole(shared: Path):
    asked = alpacafarm.read(shared / "data" / "alpaca_farm" / "text_davinci_003_outputs.json")
    texts = [row["output"] for row in json.loads((shared / "data/alpaca_farm/alpaca-7b_outputs.json").read_text())]
    assert len(check_questions(alpacafarm.questions(asked, texts, KIT, "default"), "benchmarks/alpacafarm.py")) == 1610
