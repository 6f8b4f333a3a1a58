"""A local judge is asked for the likelihood of labels: what it finds likelier whatever is asked decides nothing."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit import registry
from kit.engines import EngineSettings
from kit.judges import local
from kit.models import packaged_model
from kit.records import Question, Turn


class Judge:
    """Gives labels the likelihoods that a test wants; a token is a word."""

    max_model_len = 8

    def __init__(self, likelihoods: dict[str, list[float]]) -> None:
        self.likelihoods = likelihoods
        self.asked: list[tuple[str, str]] = []
        self.calls = 0

    def tokenizer(self, text: str, add_special_tokens: bool) -> dict[str, list[str]]:
        assert not add_special_tokens
        return {"input_ids": text.split()}

    def rendered(self, request: Any) -> str:
        return " ".join(turn.content for turn in request.turns)

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        self.calls += 1
        self.asked += texts
        return [self.likelihoods[label] for _, label in texts]


def question(text: str = "Is it?", id: str = "1", labels: tuple[str, ...] = ("YES", "NO")) -> Question:
    return Question(id=id, turns=(Turn(role="user", content=text),), labels=labels)


def judged(found: Judge, questions: Sequence[Question]) -> list[Any]:
    scored = local.score_labels(questions, found, found, lambda *_: None)  # type: ignore[arg-type]
    return local.by_labels(questions, scored)


LIKELIEST = {
    "the second": ({"YES": [-2.0], "NO": [-1.0]}, "NO"),
    "of equals the first": ({"YES": [-1.0], "NO": [-1.0]}, "YES"),
    "the whole label counts": ({"YES": [-0.1, -3.0], "NO": [-3.0]}, "NO"),
    "not the mean of its tokens": ({"YES": [-1.0, -1.0, -1.0], "NO": [-2.0]}, "NO"),
    "one that can't be": ({"YES": [-math.inf], "NO": [-99.0]}, "NO"),
}


@pytest.mark.parametrize(("likelihoods", "label"), LIKELIEST.values(), ids=list(LIKELIEST))
def test_the_likeliest_label(likelihoods: dict[str, list[float]], label: str):
    found = Judge(likelihoods)
    (verdict,) = judged(found, [question()])
    assert (verdict.label, verdict.text, verdict.tokens, verdict.prompt_tokens) == (label, "", 0, 2)
    assert found.asked == [("Is it?", "YES"), ("Is it?", "NO")]


def scores(*rows: tuple[float, ...]) -> list[local.Scored]:
    return [local.Scored(likelihoods=row, prompt_tokens=1) for row in rows]


ABOVE = {
    # the judge finds YES likelier whatever it is asked: above the mean of both it is only in the first
    "above the mean": (scores((-1.0, -3.0), (-1.5, -2.0)), ["YES", "NO"]),
    "all alike": (scores((-1.0, -3.0), (-1.0, -3.0)), ["YES", "YES"]),
    # the mean of three times 0.1 is not 0.1: by that little, the second label won
    "all alike, but for rounding": (scores(*[(-0.1, -0.2)] * 3), ["YES"] * 3),
    "one alone": (scores((-3.0, -1.0)), ["NO"]),
    "too long ones are in no mean": (scores((-3.0, -1.0), ()), ["NO", ""]),
    "an impossible label in both": (scores((-1e4, -1.0), (-1e4, -2.0)), ["NO", "YES"]),
}


@pytest.mark.parametrize(("scored", "labels"), ABOVE.values(), ids=list(ABOVE))
def test_a_label_that_the_judge_always_finds_likelier_has_no_start(scored: list[local.Scored], labels: list[str]):
    questions = [question(id=str(number)) for number in range(len(scored))]
    assert [row.label for row in local.by_labels(questions, scored)] == labels


def test_the_mean_is_of_questions_with_the_same_labels():
    questions = [question(id="a"), question(id="b"), question(id="c", labels=("NO", "MAYBE"))]
    rows = local.by_labels(questions, scores((-1.0, -3.0), (-1.5, -2.0), (-5.0, -1.0)))
    assert [row.label for row in rows] == ["YES", "NO", "MAYBE"]


def test_questions_of_a_group_are_answered_together():
    # by itself each says what its order brings: the mean of both says that the tested answer is better in a, worse in b
    orders = {"a#1": ("+", "-", "="), "b#1": ("+", "-", "="), "a#2": ("-", "+", "="), "b#2": ("-", "+", "=")}
    asked = [replace(question(id, id, labels), group=id[0]) for id, labels in orders.items()]
    said = scores((-1.0, -3.0, -3.0), (-3.0, -1.0, -3.0), (-3.0, -3.0, -1.0), (-3.0, -3.0, -1.0))
    assert [row.label for row in local.by_labels(asked, said)] == ["+", "-", "-", "+"]
    alone = [replace(one, group="") for one in asked]
    assert [row.label for row in local.by_labels(alone, said)] == ["+", "-", "=", "="]


@pytest.mark.parametrize("value", [-1.0, -0.99999])
def test_two_equal_answers_are_never_a_win(value: float):
    # the same question in both orders: whatever a batch's rounding does to one of them, the first answer isn't better
    asked = [
        replace(question(id=id, labels=labels), group="a")
        for id, labels in (("a#1", ("+", "-", "=")), ("a#2", ("-", "+", "=")))
    ]
    said = scores((-1.0, -1.00001, -3.0), (-1.00001, value, -3.0))
    assert [row.label for row in local.by_labels(asked, said)] in (["+", "+"], ["-", "-"])


def test_of_a_group_with_a_question_that_is_too_long_the_others_are_answered():
    asked = [replace(question(id, id), group="a") for id in ("a#1", "a#2", "a#3")]
    rows = local.by_labels(asked, scores((-1.0, -3.0), (), (-1.5, -3.0)))
    assert [(row.label, row.finish_reason) for row in rows] == [("YES", ""), ("", "too_long"), ("YES", "")]


def test_a_question_that_is_too_long_stops_no_other():
    # 8 tokens are all that the engine takes, and it wants room for one more than it scores
    found = Judge({"YES": [-1.0], "NO": [-2.0]})
    questions = [question("w " * 6, "a"), question("w " * 7, "b"), question("w", "c")]
    rows = judged(found, questions)
    assert [(row.id, row.label, row.finish_reason) for row in rows] == [
        ("a", "YES", ""),
        ("b", "", "too_long"),
        ("c", "YES", ""),
    ]
    assert judged(Judge({}), [question("w " * 9)])[0].label == ""  # nothing is left to ask


def test_the_progress_is_told_and_each_question_is_asked_once():
    found, told = Judge({"YES": [-1.0], "NO": [-2.0]}), []
    questions = [question(id=str(number)) for number in range(local.AT_ONCE + 1)]
    local.score_labels(questions, found, found, lambda *done: told.append(done))  # type: ignore[arg-type]
    assert told == [(local.AT_ONCE, local.AT_ONCE + 1), (local.AT_ONCE + 1, local.AT_ONCE + 1)]
    assert (found.calls, len(found.asked)) == (2, 2 * len(questions))


@pytest.mark.real
def test_a_model_of_135_million_parameters_answers_by_labels(request: pytest.FixtureRequest):
    """It reads the question: the right label of three is the likeliest, wherever in the list it stands."""
    model: Path = packaged_model("smollm2-135m-instruct", request.config.rootpath / ".cache")
    settings = EngineSettings(name="transformers", dtype="float32", max_model_len=256)
    engine = registry.load("engines", "transformers").open(model, settings)
    chat = local.open_chat(model, settings)
    asked = {"What is the capital of France?": "Paris", "What is the capital of Italy?": "Rome"}
    questions = [
        question(text, f"{text}{turn}", labels[turn:] + labels[:turn])
        for labels in [("Paris", "Rome", "Madrid")]
        for text in asked
        for turn in range(3)
    ]
    progress = SimpleNamespace(told=0)
    rows = local.by_labels(
        questions, local.score_labels(questions, engine, chat, lambda done, _: setattr(progress, "told", done))
    )
    assert [row.label for row in rows] == ["Paris"] * 3 + ["Rome"] * 3
    assert progress.told == 6 and all(row.prompt_tokens > 10 for row in rows)
    engine.close()
