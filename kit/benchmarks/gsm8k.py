r"""GSM8K: grade-school word problems, 1,319 in the test split.

    {"question": "A pen costs $2 and a book three times as much. What do both cost together?",
     "answer": "The book costs 3 * 2 = $<<3*2=6>>6.\nTogether they cost 2 + 6 = $<<2+6=8>>8.\n#### 8"}

Official answer reading (openai/grade-school-math):
https://github.com/openai/grade-school-math/blob/3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/dataset.py

Protocol ``paper`` reads as OpenCompass 0.3.3 does (``gsm8k_postprocess``, ``Gsm8kEvaluator``): the last number of the
text, where "6,250" ends in the number 250. Protocol ``default`` takes the number after a final ``####``, else what a
``\boxed{}`` holds, else what "the answer is", else the last number; it knows thousands separators, and what is no plain
number is compared by math-verify (docs/decisions/0003-reading-answers.md has the measurements).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from kit.benchmarks import _readings as readings
from kit.benchmarks._algebra import Algebra
from kit.benchmarks._files import choose, problems
from kit.benchmarks._reading_time import graded
from kit.errors import RequestError
from kit.measures import Measure
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 2
ASKS = 1
DATASET = "gsm8k-test"
PROMPTS = ("gsm8k",)
SOURCE = (
    "https://github.com/openai/grade-school-math/blob/3101c7d5072418e28b9008a6636bde82a006892c/"
    "grade_school_math/dataset.py"
)
METRICS: Mapping[str, Measure] = {"gsm8k": Measure(title="GSM8K")}
RUNS_CODE = False
NUMBER = r"-?\d+(?:\.\d+)?"
LONGEST_FORMULA = 1_000
"""Characters after "the answer is" among which a formula is looked for."""


def read(path: Path) -> list[Problem]:
    """Read the problems of the official ``test.jsonl``; the id is the position.

    Raises:
        RequestError: not that format, or an answer without a number after ``#### ``.
    """
    rows = problems(path, {"question": str, "answer": str}, "id")
    for row in rows:
        if "#### " not in row.data["answer"]:
            raise RequestError(f"{path}: problem {row.id}: no '#### ' in its answer; is it another set?")
        if not re.fullmatch(NUMBER, reference(row).strip()):
            raise RequestError(
                f"{path}: problem {row.id}: found {reference(row)[:60]!r} after '#### ', wanted a number and no more"
            )
    return rows


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the chat that asks a problem, in the words of ``pack``."""
    return fill(pack.chat("gsm8k"), {"question": problem.data["question"]})


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol.
        KitError: math-verify is wanted, and is not installed.
    """
    del sandbox
    return graded(reader, protocol, problems, texts, lambda _: {"gsm8k": [0, 1]})


def reader(protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by a protocol; one process compares all answers that are no numbers.

    Raises:
        RequestError: no such protocol.
    """
    one, algebra = choose(PROTOCOLS, protocol), Algebra()
    return lambda problem, text: one(problem, text, algebra)


def reference(problem: Problem) -> str:
    """Return the number after ``#### ``, thousands separators left out."""
    return str(problem.data["answer"]).split("#### ")[1].replace(",", "")


def _graded(problem: Problem, answer: str | None, right: bool, reason: str = "") -> Grade:
    """Return the grade of an answer, or of none."""
    if answer is None:
        return Grade(id=problem.id, scores={"gsm8k": [0, 1]}, reason="no number found")
    return Grade(id=problem.id, scores={"gsm8k": [int(right), 1]}, answer=answer, reason=reason)


def paper(problem: Problem, text: str, algebra: Algebra) -> Grade:
    """Grade a text as OpenCompass does."""
    del algebra
    answer = last_plain_number(text)
    return _graded(problem, answer, answer is not None and equals_integer(answer, reference(problem)))


def default(problem: Problem, text: str, algebra: Algebra) -> Grade:
    """Return the fairer grade: numbers are compared as decimals, anything else as mathematics."""
    answer, wanted = final_answer(text, problem.data["question"]), reference(problem)
    number = readings.plain_number(answer) if answer else None
    if answer is None or number is not None:
        return _graded(problem, number, number is not None and Decimal(number) == Decimal(wanted))
    verdict = algebra.compare(answer, wanted)
    return _graded(problem, answer, verdict.same, verdict.reason)


def last_plain_number(text: str) -> str | None:
    """Return OpenCompass's reading: the last integer or decimal before a new ``Question:``; a comma ends a number."""
    numbers = re.findall(r"-?\d+\.\d+|-?\d+", text.partition("Question:")[0])
    return numbers[-1] if numbers else None


def equals_integer(answer: str, wanted: str) -> bool:
    """Compare as OpenCompass does: equal as text, or within 1e-6 of the reference as an integer."""
    if answer == wanted:
        return True
    try:
        return abs(float(answer) - int(wanted)) < 1e-6
    except (ValueError, OverflowError):  # a reference that is no integer is only ever equal as text
        return False


def final_answer(text: str, question: str) -> str | None:
    r"""Return the answer of a text: a number, or a piece of LaTeX that is more than a number; ``None`` without a digit.

    A further exercise that the model made up for itself is left out. Then the first of: the number after the last
    ``####`` that is no heading, what the last box holds, what "the answer is" announces, the last number.
    """
    text = readings.unseparated(readings.own_part(text, question))
    if (number := readings.marked_number(text)) is not None:
        return number
    if box := readings.box(text):
        return readings.plain_number(box) or box
    if (announced := _announced(text)) is not None:
        return announced
    found = readings.numbers(text)
    return found[-1] if found else None


def _announced(text: str) -> str | None:
    """Return what the last "answer is" or "answer:" announces, if it says it at once or in its own sentence."""
    announced = readings.announcement(text)
    if announced is None:
        return None
    verb, rest = announced
    sentence = readings.sentence(rest)
    if verb in (":", "=") and rest[len(sentence) :].strip(" .*\n") and readings.plain_number(sentence) is None:
        return None  # "Answer:" over a worked solution
    formula = next(iter(readings.formulas(rest[:LONGEST_FORMULA])), None)
    if formula and formula.start == 0:
        last = formula.body.rpartition("=")[2].strip()
        return readings.plain_number(last) or last
    if fraction := re.match(readings.OPENING + rf"({readings.NUMBER}/\d+)(?!\d|\s*[=+*/×-]|[/.]\d)", sentence):
        return fraction[1]
    start = re.match(readings.OPENING + f"({readings.NUMBER})", sentence)
    chain = re.match(r"[\d\s.,+*/×x÷$€£()%=-]*", sentence)
    if start and not (chain and "=" in chain[0]):
        return readings.clean_number(start[1])
    found = readings.numbers(chain[0] if start and chain else sentence)
    return found[-1] if found else None


PROTOCOLS: Mapping[str, Callable[[Problem, str, Algebra], Grade]] = {"paper": paper, "default": default}
