"""The letter that a text chooses: OpenCompass's function item by item, and the kit's own reading."""

import ast
import json
import re
import warnings
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.benchmarks._letters import FirstOption, chosen, first_capital
from tests.growth import assert_linear

CHOICES = ("Venus", "Mars", "Mercury", "Earth")
QUESTION = "Which planet is closest to the Sun?"


def oracle(name: str) -> Callable[..., str]:
    """A function of the wheel's ``text_postprocessors.py``, taken out of its file."""
    path = Path(str(distribution("opencompass").locate_file("opencompass/utils/text_postprocessors.py")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = ast.parse(path.read_text(encoding="utf-8"))
        (node,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
        node.decorator_list = []
        scope: dict[str, Any] = {"re": re}
        exec(compile(ast.Module([node], []), str(path), "exec"), scope)
    return scope[name]  # type: ignore[no-any-return]


READ = FirstOption("ABCD")
FIRST_OPTION, FIRST_CAPITAL = oracle("first_option_postprocess"), oracle("first_capital_postprocess")


@pytest.fixture(scope="module")
def paper() -> FirstOption:
    return READ


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("B", "B", id="letter"),
        pytest.param("The answer is (C).", "C", id="told"),
        pytest.param("ANSWER: d or answer: D", "D", id="capitals-of-the-phrase-alone"),
        pytest.param("答案是：乙 B。", "B", id="chinese"),
        # the run up to its last full stop is searched for A first, then B
        pytest.param("答案是乙BA。B 其他", "A", id="options-in-order-not-in-place"),
        pytest.param("the correct answer is: so \\boxed{D}", "D", id="box-without-braces-before"),
        # "The correct answer is" is found where it first stands; the A of "A planet" is never looked at
        pytest.param("A planet. The correct answer is B", "B", id="an-article"),
        pytest.param("Because A planet is near", "A", id="any-capital-at-last"),
        pytest.param("none of them", "", id="none"),
        pytest.param("", "", id="empty"),
    ],
)
def test_paper(text: str, wanted: str, paper: FirstOption) -> None:
    assert (paper(text), FIRST_OPTION(text, "ABCD")) == (wanted, wanted)


PIECES = [*("答案", "答案是", "答案应该是", "答案为", "是", "。", "所以", "选项", "选"), *" \nABDEx:：()}", "1."]
PIECES += ["The correct answer is", "The correct option is", "the answer is", "boxed{", "boxed{C}"]


@settings(max_examples=600)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_paper_is_the_oracle_on_made_up_texts(text: str) -> None:
    assert READ(text) == FIRST_OPTION(text, "ABCD")
    assert first_capital(text) == FIRST_CAPITAL(text)


def texts(data: Path) -> Iterator[str]:
    """Real texts of models: answers that are long, full of lists and code, and know nothing of these questions."""
    for path in sorted((data / "ifeval").glob("*_response_data_*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["response"]
    for line in (data / "gsm8k/example_model_solutions_finetuning.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)["175b_finetuning"]["solution"]


def test_paper_is_the_oracle_on_real_texts(reference_data: Path, paper: FirstOption) -> None:
    found = list(texts(reference_data / "data"))
    assert len(found) == {"sample": 60, "shared": 1860}.get(reference_data.name, 0) or len(found) > 50
    assert [paper(text) for text in found] == [FIRST_OPTION(text, "ABCD") for text in found]
    assert [first_capital(text) for text in found] == [FIRST_CAPITAL(text) for text in found]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("B", "B", id="letter"),
        pytest.param("b", "B", id="small-letter"),
        pytest.param(" **(B).**\n", "B", id="marks"),
        pytest.param("Ｂ", "B", id="full-width"),
        pytest.param("B) Mars", "B", id="as-in-a-list"),
        pytest.param("The answer is B.", "B", id="told"),
        # a small model that only repeats the options was given its A
        pytest.param("A. Venus\nB. Mars\nC. Mercury\nD.", "", id="the-options-again"),
        pytest.param("A. Venus\nA. Venus\nA.", "A", id="one-option-again-and-again"),
        pytest.param("C\nbecause it is", "C", id="a-line-of-its-own"),
        pytest.param("Answer: (C)", "C", id="told-by-a-colon"),
        pytest.param("A. Venus is hot. B. Mars is far. So the answer is C", "C", id="told-after-the-list"),
        pytest.param("The answer is A. No: the answer is D.", "D", id="the-last-counts"),
        pytest.param("The answer is not B. I choose option D", "D", id="denied"),
        pytest.param("A is wrong; B is correct.", "B", id="called-right"),
        pytest.param("so $\\boxed{\\text{C}}$", "C", id="box"),
        pytest.param("答案是B。", "B", id="chinese"),
        pytest.param("故选C项", "C", id="chinese-letter-in-a-word"),
        pytest.param("选项B是正确的，选项A不是", "B", id="chinese-called-right"),
        pytest.param("A good question: I would say Mercury.", "C", id="words-of-an-option"),
        pytest.param("Venus and Mars", "", id="words-of-two-options"),
        # a made-up question after the answer was read as this one's
        pytest.param("B\n\nQuestion: And the largest?\nA. x\nAnswer: C", "B", id="a-further-question"),
        pytest.param("D\n题目：下一题\nA. x\n正确选项：C", "D", id="a-further-question-in-chinese"),
        pytest.param("A planet near the Sun", "", id="an-article"),
        # a small letter after an announcement, or in a box, was no answer
        pytest.param("the answer is c", "C", id="small-letter-told"),
        pytest.param("Answer: (d)", "D", id="small-letter-in-brackets"),
        pytest.param("答案是b。", "B", id="small-letter-in-chinese"),
        pytest.param("the answer is a planet", "", id="an-article-told"),
        pytest.param("so \\boxed{b}", "B", id="small-letter-in-a-box"),
        # a letter in apostrophes was read as a part of a word
        pytest.param("The answer is 'B'.", "B", id="apostrophes"),
        pytest.param("It's B's turn", "", id="possessive"),
        pytest.param("B is the answer.", "B", id="called-the-answer"),
        pytest.param("答案不是A，而是C", "C", id="chinese-not-but"),
        pytest.param("I would go with C because it is small.", "C", id="a-letter-before-a-small-one"),
        # of several letters the first, or the second, was taken
        pytest.param("The answer is A or C", "", id="told-two"),
        pytest.param("A or B", "", id="two"),
        pytest.param("Both A and C", "", id="both"),
        pytest.param("答案是A和C", "", id="chinese-two"),
        pytest.param("A、C", "", id="chinese-list"),
        pytest.param("so \\boxed{A and C}", "", id="two-in-a-box"),
        pytest.param("The answer is B and C is wrong.", "B", id="told-one-of-two"),
        pytest.param("I can't say.", "", id="none"),
        pytest.param("", "", id="empty"),
    ],
)
def test_default(text: str, wanted: str) -> None:
    assert chosen(text, CHOICES, QUESTION) == wanted


def test_of_options_in_each_other_the_longest_counts() -> None:
    assert chosen("It has 3 legs and 30 arms", ("3", "30 arms", "30", "4"), QUESTION) == ""
    assert chosen("It has 30 arms", ("3", "30 arms", "30", "4"), QUESTION) == "B"


REPEATED = {
    "答案是": ("", "答案是", " x"),
    "答案是 and a run": ("答案是", "x", " y"),
    "答案是 and stops": ("", "答案是。", " x"),
    "correct answer": ("", "The correct answer is ", ""),
    "correct answer and boxes": ("", "The correct answer is boxed{", "E}"),
    "blanks": ("答案", " ", "x"),
    "blanks after answer": ("ANSWER", " ", ":x"),
    "answers": ("", "answer ", "x"),
    "ones": ("", "1.", "\n"),
    "letters": ("", "A ", ""),
    "lists": ("", "A. x\n", ""),
    "not": ("", "not ", "A"),
    "marks": ("the answer is ", "*", "x"),
    "marks alone": ("", "(", "B"),
    "small letters": ("", "the answer is c ", "x"),
    "blanks behind": ("the answer is c", " ", "x"),
    "several": ("the answer is A", " and", " x"),
    "boxes of marks": ("\\boxed{", "(", "x}"),
    "questions": ("", "Question: ", ""),
    "question lines": ("A\n", "Question 1\n", ""),
    "options": ("", "Mars Venus ", ""),
    "ligatures": ("", "\ufb00", ""),
}


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("reading", ["paper", "default", "ceval paper"])
def test_takes_time_in_proportion_to_the_text(name: str, reading: str, paper: FirstOption) -> None:
    first, piece, last = REPEATED[name]
    read: dict[str, Callable[[str], str]] = {
        "paper": paper,
        "default": lambda text: chosen(text, CHOICES, QUESTION),
        "ceval paper": first_capital,
    }
    assert_linear(read[reading], lambda size: first + piece * (size // len(piece)) + last)
