r"""MATH: competition mathematics with a worked solution, 5,000 in the test split.

    {"problem": "What is the sum of the first ten positive integers?", "level": "Level 1", "type": "Algebra",
     "solution": "They pair up to $5 \\cdot 11 = \\boxed{55}$.", "idx": 0}

Official grader (hendrycks/math):
https://github.com/hendrycks/math/blob/357963a7f5501a6c1708cf3f3fb0cdf525642761/modeling/math_equivalence.py

Protocol ``paper`` does as OpenCompass 0.3.3 (``math_postprocess_v2``, ``MATHEvaluator(version="v2")``), slips included.
Protocol ``default`` compares in the same way and reads the answer more fairly: the last ``\boxed``, else what follows
the last "answer is" in its sentence (a decimal point ends none), else the last formula, else the last number; a text of
one word is the answer as it is.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks._files import choose, problems
from kit.benchmarks._latex import boxed, equivalent, normalised
from kit.errors import RequestError
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 1
ASKS = 1
DATASET = "math-test"
PROMPTS = ("math",)
SOURCE = "https://github.com/hendrycks/math/blob/357963a7f5501a6c1708cf3f3fb0cdf525642761/modeling/math_equivalence.py"
METRICS: Mapping[str, str] = {"math": "items"}
RUNS_CODE = False


def read(path: Path) -> list[Problem]:
    """A JSONL file with ``problem`` and ``solution``; the id is ``idx``, or else the position.

    Raises:
        RequestError: not that format, an id stands twice, or a solution has no answer to compare with.
    """
    rows = problems(path, {"problem": str, "solution": str}, "idx")
    for row in rows:
        if not boxed(row.data["solution"]):
            raise RequestError(
                rf"{path}: problem {row.id}: no \boxed{{}} answer in its solution, so nothing could be right; "
                "is it another set?"
            )
    return rows


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """The chat that asks it, in the words of ``pack``."""
    return fill(pack.chat("math"), {"problem": problem.data["problem"]})


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """One grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol.
    """
    del sandbox
    extract = choose(PROTOCOLS, protocol)
    grades = []
    for problem, text in zip(problems, texts, strict=True):
        answer = extract(text)
        right = equivalent(answer, boxed(problem.data["solution"]))
        reason = "" if right or answer else "no answer found"
        grades.append(Grade(id=problem.id, scores={"math": [int(right), 1]}, answer=answer, reason=reason))
    return grades


def paper_answer(text: str) -> str:
    r"""OpenCompass's reading.

    The last ``\boxed{}``, one pair of outer braces stripped; else the first "sentence" (a full stop ends it, in a
    decimal number too) that says "final answer" or "answer is"; else the first sentence; the last two normalised.
    """
    if found := _box(text):
        return found
    sentences = text.split(".")
    telling = (sentence for sentence in sentences if re.search("final answer|answer is", sentence.lower()))
    return normalised(next(telling, sentences[0]))


def _box(text: str) -> str:
    r"""What the last ``\boxed{}`` holds, one pair of outer braces stripped; empty if there is none."""
    found = boxed(text) or ""
    inner = re.match(r"^\{(.*)\}$", found)
    return inner[1] if inner else found


def fair_answer(text: str) -> str:
    r"""The fairer reading.

    A further exercise that the model made up for itself is left out. The last ``\boxed{}``; else a text of one word as
    it is; else what follows the last "answer is"; else the last formula; else the last number.
    """
    text = re.split(r"\n(?:Question|Problem):", text)[0].strip()
    if found := _box(text):
        return found
    if text and not re.search(r"\s", text):
        return text
    told = re.findall(r"answer\s*(?:is|:)\s*:?\s*([^\n]+)", text, flags=re.IGNORECASE)
    if told:
        sentence: str = re.split(r"\.(?:\s|$)", told[-1])[0]
        formula = re.search(r"\$([^$]+)\$|\\\((.+?)\\\)", sentence)
        return (formula[1] or formula[2] if formula else sentence).strip().strip("*").strip()
    formulas = re.findall(r"\$([^$]+)\$", text)
    if formulas:
        return str(formulas[-1]).rpartition("=")[2].strip()
    numbers = re.findall(r"(?:(?<![\w)])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:/\d+)?", text)
    return numbers[-1] if numbers else ""


PROTOCOLS: Mapping[str, Callable[[str], str]] = {"paper": paper_answer, "default": fair_answer}
