"""Questions that can't be told apart are refused, labels are read without thoughts, and all that is read is counted."""

from typing import Any

import pytest

from kit.catalogue.served import Served
from kit.errors import KitError
from kit.judges.server import Reply
from kit.judges.verdicts import check_questions, counts, money, request, unanswered, verdict
from kit.records import Completion, Question, Turn, Verdict

ASK = (Turn(role="user", content="Is it blue?"),)


def question(id: str = "1", labels: tuple[str, ...] = ("YES", "NO"), turns: tuple[Turn, ...] = ASK) -> Question:
    return Question(id=id, turns=turns, labels=labels)


def first_label(asked: Question, reply: str) -> str:
    return next((label for label in asked.labels if label in reply), "")


FAULTS = {
    "an id twice": (
        [question("1#a"), question("1#a")],
        "benchmarks/b.py: questions: '1#a' stands twice; wanted an id for each question, <problem>#<part> for several",
    ),
    "no chat": ([question(turns=())], "benchmarks/b.py: questions: '1': no turn; wanted a chat that asks the judge"),
    "one label": (
        [question(labels=("YES",))],
        "benchmarks/b.py: questions: '1': found the labels ['YES'], wanted two or more, none of them empty",
    ),
    "an empty label": (
        [question(labels=("YES", ""))],
        "benchmarks/b.py: questions: '1': found the labels ['YES', ''], wanted two or more, none of them empty",
    ),
    "the start of another": (
        [question(labels=("better", "better by far"))],
        "benchmarks/b.py: questions: '1': the label 'better' is the start of another; no reply could tell them apart",
    ),
    "a label twice": (
        [question(labels=("YES", "YES"))],
        "benchmarks/b.py: questions: '1': the label 'YES' is the start of another; no reply could tell them apart",
    ),
}


@pytest.mark.parametrize(("questions", "message"), FAULTS.values(), ids=list(FAULTS))
def test_questions_that_no_judge_can_answer(questions: list[Question], message: str):
    with pytest.raises(KitError) as raised:
        check_questions(questions, "benchmarks/b.py")
    assert str(raised.value) == message


def test_questions_come_back_in_order():
    questions = [question(id) for id in ("2", "1", "1#b")]
    assert check_questions(questions, "benchmarks/b.py") == questions


READ = {
    "a label": ("It is. YES", "YES", "It is. YES", 0),
    "a label in a thought alone": ("<think>YES?</think> I can't say.", "", "I can't say.", 1),
    "a label after a thought": ("<think>NO, no</think>\nYES", "YES", "YES", 1),
    "cut off in a thought": ("<think>it is YES, but", "", "", 1),
    "nothing": ("", "", "", 0),
    "blanks": (" \n", "", " \n", 0),
}


@pytest.mark.parametrize(("reply", "label", "text", "thoughts"), READ.values(), ids=list(READ))
def test_a_reply_is_read_without_its_thoughts(reply: str, label: str, text: str, thoughts: int):
    said = Completion(id="1", text=reply, prompt_tokens=9, tokens=5, finish_reason="stop")
    assert verdict(question(), said, first_label, "gpt-x") == Verdict(
        id="1",
        label=label,
        text=text,
        model="gpt-x",
        prompt_tokens=9,
        tokens=5,
        finish_reason="stop",
        thoughts=thoughts,
    )


def test_a_benchmark_that_reads_a_label_of_another_question():
    with pytest.raises(KitError) as raised:
        verdict(question(), Completion(id="1", text="MAYBE"), lambda *_: "MAYBE")
    assert str(raised.value) == "question '1': label: found 'MAYBE', wanted one of YES, NO"


def test_nothing_is_read_out_of_an_empty_reply():
    assert verdict(question(), Completion(id="1", text=" "), lambda *_: "YES").label == ""


def test_a_request_asks_the_question_alone():
    first, again, other = request(question("1")), request(question("1")), request(question("2"))
    assert (first.id, first.turns) == ("1", ASK)
    assert first.seed == again.seed != other.seed


def said(id: str, label: str, **fields: Any) -> Verdict:
    return Verdict(id=id, label=label, **{"prompt_tokens": 10, "tokens": 2, **fields})


def test_verdicts_are_counted():
    rows = [
        said("1", "YES", model="m-2", thoughts=2),
        said("2", "NO", model="m-1"),
        said("3", "YES", model="m-2", finish_reason="length"),
        said("4", "", model="m-2"),
        said("5", "", prompt_tokens=900, tokens=0, finish_reason="too_long"),
    ]
    assert counts(rows) == {
        "labels": {"NO": 1, "YES": 2},
        "unreadable": 2,
        "thoughts": 2,
        "models": {"m-1": 1, "m-2": 3},
        "tokens": 8,
        "prompt_tokens": 940,
        "cut_at_limit": 1,
        "too_long": 1,
    }


def test_money_needs_prices():
    rows = [said("1", "YES", prompt_tokens=1_000, tokens=100), said("2", "", prompt_tokens=500, tokens=0)]
    free = Served(model="m", base_url="http://127.0.0.1:1/v1")
    priced = Served(model="m", base_url="http://127.0.0.1:1/v1", price_in=2.0, price_out=10.0, budget_money=1.0)
    assert money(rows, free) == {}
    assert money(rows, priced) == {"money": 0.004}  # 1,500 x 2 + 100 x 10 millionths


def test_unanswered_questions_are_counted_by_reason():
    fields: dict[str, Any] = {"text": "", "model": "", "prompt_tokens": 0, "tokens": 0, "finish_reason": ""}
    replies = [Reply(id=str(n), **fields, reason=reason) for n, reason in enumerate(["", "refused", "cut", "refused"])]
    assert unanswered(replies) == {"unanswered": {"cut": 1, "refused": 2}}
