r"""Reading mathematics out of a text takes time in proportion to the text, whatever piece a model repeats."""

from collections.abc import Callable
from typing import Any

import pytest

from kit.benchmarks import _algebra, _latex, gsm8k, hendrycks_math
from kit.benchmarks import _readings as readings
from kit.records import Problem
from tests.growth import assert_linear

QUESTION = "A cup costs 3 coins. What do two cups cost?"
GSM8K = Problem(id="0", data={"question": QUESTION, "answer": "#### 77"})
MATH = Problem(id="0", data={"problem": QUESTION, "solution": r"so $\boxed{1,77}$"})


class NoAlgebra(_algebra.Algebra):
    """Finds everything unequal without a process: what grows there is limited by its own CPU time."""

    def _ask(self, answer: str, wanted: str) -> _algebra.Verdict:
        return _algebra.Verdict(False)


def stripped(text: str) -> None:
    """The rules of ``v2``, which raise ValueError where the oracle gives up."""
    try:
        _latex.stripped(text)
    except ValueError as error:
        assert "int" in str(error)


def joined(text: str) -> str:
    """The formulas of a text as a list."""
    found = readings.formulas(text)
    return readings.joined(found, text) if found else ""


READERS: dict[str, Callable[[str], Any]] = {
    "boxed": _latex.boxed,
    "normalised": _latex.normalised,
    "v2": stripped,
    "equivalent": lambda text: _latex.equivalent(text, "77"),
    "too_long": _latex.too_long,
    "unseparated": readings.unseparated,
    "own_part": lambda text: readings.own_part(text, QUESTION),
    "box": readings.box,
    "boxes": readings.boxes,
    "marked_number": readings.marked_number,
    "marked_text": readings.marked_text,
    "numbers": readings.numbers,
    "clean_number": readings.clean_number,
    "plain_number": readings.plain_number,
    "formulas, joined": joined,
    "unwrapped": readings.unwrapped,
    "told": readings.announcement,
    "bare": readings.bare,
    "sentence": readings.sentence,
    "stripped": readings.stripped,
    "last_plain_number": gsm8k.last_plain_number,
    "equals_integer": lambda text: gsm8k.equals_integer(text, "77"),
    "final_answer": lambda text: gsm8k.final_answer(text, QUESTION),
    "paper_answer": hendrycks_math.paper_answer,
    "fair_answers": lambda text: hendrycks_math.fair_answers(text, QUESTION, several=True),
    "too_large": _algebra.too_large,
    "depth": _algebra.depth,
    "compare": lambda text: NoAlgebra().compare(text, "77"),
    "gsm8k paper": lambda text: gsm8k.paper(GSM8K, text, NoAlgebra()),
    "gsm8k default": lambda text: gsm8k.default(GSM8K, text, NoAlgebra()),
    "math paper": lambda text: hendrycks_math.paper(MATH, text, NoAlgebra()),
    "math default": lambda text: hendrycks_math.default(MATH, text, NoAlgebra()),
}
"""Every public function that reads a text or an answer, by its name."""

REPEATED = {
    "digits": ("", "1", ""),
    "zeros": ("1.", "0", "x"),
    "dotted": ("", "1.", "x"),
    "decimals": ("", "1.0", "y"),
    "point-zeros": ("1", ".0", "x"),
    "commas": ("1", ",000", "1"),
    "commas in a box": ("\\boxed{1", ",000", "x}"),
    "lists": ("", "0,", ""),
    "thousands by blanks": ("1", " 000", " 1"),  # each group was a new start: 60,000 characters took minutes
    "thousands by blanks, told": ("The answer is 1", " 123", "4"),
    "separators": ("1", "\\,111", "\\"),
    "slash": ("1/", "1", ""),
    "slashes": ("", "1/", "1"),
    "text": ("", "\\text{(", ""),
    "text and blanks": ("5\\text", " ", "x"),
    "mbox": ("", "\\mbox{", ""),
    "oxed": ("", "oxed{", "}"),
    "boxes": ("", "\\boxed{", ""),
    "boxes, closed": ("", "\\boxed{1}, ", "\\boxed{"),
    "boxes and fboxes": ("\\fbox{1}", "\\boxed", ""),
    "braces": ("\\boxed", "{", ""),
    "braces, closed": ("\\boxed{", "{}", ""),
    "closing braces": ("\\boxed{{", "}", "x"),
    "round": ("", "\\(", ""),
    "square": ("", "\\[", ""),
    "round and square": ("", "\\(\\[$$", "x"),
    "dollars": ("", "$", "1"),
    "prices": ("", "$1 ", ""),
    "formulas": ("", "$1$ and ", ""),
    "double dollars": ("", "$$", "$"),
    "fractions": ("", "\\frac", "1"),
    "fractions and blanks": ("\\frac", " ", "x"),
    "roots": ("", "\\sqrt", "3"),
    "environments": ("", "\\begin{align}", "\\end{align"),
    "blanks": ("7", " ", "x"),
    "blanks alone": ("", " ", ""),
    "line breaks": ("7", "\n", "x"),
    "blank lines": ("", "\n \t", "7"),
    "marks": ("", "#### ", "1"),
    "marks with numbers": ("", "#### 1\n", ""),
    "marks on their own": ("", "####\n", "1 x"),
    "a mark at the end": ("", "1 ", "\n#### 1"),
    "number signs": ("", "#", " 1"),
    "letters after a mark": ("#### ", "a", " 1x"),  # every split of the letters was tried
    "words after a mark": ("#### ", "ab ", "\\"),
    "headings after a mark": ("#### A", " 1a", ""),
    "told": ("", "answer is ", ""),
    "told and blanks": ("the answer", " ", "is"),
    "told in a sentence": ("The answer is 1", ",", " x"),
    "colons": ("Answer", " :", "x"),
    "questions": ("", "Question: 1\n", ""),
    "questions, counted": ("1\n", "Question 1:\n", ""),
    "question and blanks": ("1\nQuestion", " ", "x"),  # two runs of blanks side by side: minutes
    "exercise and tabs": ("1\n**Exercise", "\t", "#"),
    "short headings": ("", "Q:\n", ""),
    "number signs and blanks": ("1\n", "# ", "Q"),
    "turns": ("", "<|im_end|>", ""),
    "turns of nobody": ("", "<|im_start|>assistant ", "x"),
    "units": ("5 ", "km ", "+"),
    "degrees": ("5 ", "^\\circ ", "^"),
    "degrees and blanks": ("5^", " ", "x"),  # two runs of blanks side by side
    "degrees with a blank": ("\\boxed{5", "^ \\circ", "+}"),  # each could be read in two ways: 2^n steps
    "minus": ("", "-", "1"),
    "typographic minus": ("", "−", "1"),
    "equals": ("x", "=", "1"),
    "equations": ("#### 1", " = 1", "x"),
    "powers": ("\\boxed{2", "^2", "}"),
    "bases": ("\\boxed{1", "_1", "x}"),
    "a base and digits": ("\\boxed{1_", "1", "x}"),
    "sentences": ("", "a. ", ""),
    "stops": ("", ".", "1"),
    "emphasis": ("", "**", "1"),
    "introduction": ("1 ", ":*", "x"),
    "quotes": ("1", "'", "000"),
    "words": ("", "and ", ""),
    "backslashes": ("", "\\", ""),
    "infinities": ("", "inf", ""),
    "finals": ("", "finalansweris", ""),
}
"""Hostile texts: what stands before, the piece that is repeated, what stands after."""


@pytest.mark.parametrize("name", REPEATED)
@pytest.mark.parametrize("reader", READERS)
def test_reading_is_linear(reader: str, name: str) -> None:
    before, piece, after = REPEATED[name]
    assert_linear(READERS[reader], lambda n: before + piece * (n // len(piece) + 1) + after, 8_000)
