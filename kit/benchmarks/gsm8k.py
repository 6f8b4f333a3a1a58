r"""GSM8K: grade-school word problems, 1,319 in the test split.

    {"question": "A pen costs $2 and a book three times as much. What do both cost together?",
     "answer": "The book costs 3 * 2 = $<<3*2=6>>6.\nTogether they cost 2 + 6 = $<<2+6=8>>8.\n#### 8"}

Official answer reading (openai/grade-school-math):
https://github.com/openai/grade-school-math/blob/3101c7d5072418e28b9008a6636bde82a006892c/grade_school_math/dataset.py

Protocol ``paper`` reads as OpenCompass 0.3.3 does (``gsm8k_postprocess``, ``Gsm8kEvaluator``): the last number of the
text, where "6,250" ends in the number 250. Protocol ``default`` takes the number after the last ``####``, else the last
number, and knows thousands separators.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path

from kit.benchmarks._files import choose, problems
from kit.errors import RequestError
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 1
ASKS = 1
DATASET = "gsm8k-test"
PROMPTS = ("gsm8k",)
SOURCE = (
    "https://github.com/openai/grade-school-math/blob/3101c7d5072418e28b9008a6636bde82a006892c/"
    "grade_school_math/dataset.py"
)
METRICS: Mapping[str, str] = {"gsm8k": "items"}
RUNS_CODE = False
NUMBER = r"-?\d+(?:\.\d+)?"


def read(path: Path) -> list[Problem]:
    """The official ``test.jsonl``; the id is the position.

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
    """The chat that asks it, in the words of ``pack``."""
    return fill(pack.chat("gsm8k"), {"question": problem.data["question"]})


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """One grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol.
    """
    del sandbox
    extract, equal = choose(PROTOCOLS, protocol)
    return [_one(problem, text, extract, equal) for problem, text in zip(problems, texts, strict=True)]


def reference(problem: Problem) -> str:
    """The number after ``#### ``, thousands separators left out."""
    return str(problem.data["answer"]).split("#### ")[1].replace(",", "")


def _one(problem: Problem, text: str, extract: Callable[[str], str | None], equal: Callable[[str, str], bool]) -> Grade:
    """The grade of one text."""
    answer = extract(text)
    if answer is None:
        return Grade(id=problem.id, scores={"gsm8k": [0, 1]}, reason="no number found")
    right = equal(answer, reference(problem))
    return Grade(id=problem.id, scores={"gsm8k": [int(right), 1]}, answer=answer)


def last_plain_number(text: str) -> str | None:
    """OpenCompass's reading: the last integer or decimal before a new ``Question:``; a comma ends a number."""
    numbers = re.findall(r"-?\d+\.\d+|-?\d+", text.partition("Question:")[0])
    return numbers[-1] if numbers else None


def equals_integer(answer: str, wanted: str) -> bool:
    """OpenCompass's comparison: equal as text, or within 1e-6 of the reference as an integer."""
    if answer == wanted:
        return True
    try:
        return abs(float(answer) - int(wanted)) < 1e-6
    except (ValueError, OverflowError):  # a reference that is no integer is only ever equal as text
        return False


def final_number(text: str) -> str | None:
    """The number after the last ``####``, else the last number of the text; thousands separators are left out.

    A further exercise that the model made up for itself is left out. A minus sign counts only where nothing stands
    right before it: "3-4" ends in 4.
    """
    text = re.split(r"\n(?:Question|Problem):", text)[0]
    number = r"(?:(?<![\w)])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?"
    marked = re.findall(number, text.rpartition("####")[2]) if "####" in text else []
    numbers = marked[:1] or re.findall(number, text)[-1:]
    return numbers[0].replace(",", "") if numbers else None


def equals_number(answer: str, wanted: str) -> bool:
    """Equal as decimal numbers: 18, 18.0 and 18.00 are one."""
    return Decimal(answer) == Decimal(wanted)


PROTOCOLS: Mapping[str, tuple[Callable[[str], str | None], Callable[[str, str], bool]]] = {
    "paper": (last_plain_number, equals_integer),
    "default": (final_number, equals_number),
}
