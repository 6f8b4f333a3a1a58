r"""MATH: competition mathematics with a worked solution, 5,000 in the test split.

    {"problem": "What is the sum of the first ten positive integers?", "level": "Level 1", "type": "Algebra",
     "solution": "They pair up to $5 \\cdot 11 = \\boxed{55}$.", "idx": 0}

Official grader (hendrycks/math):
https://github.com/hendrycks/math/blob/357963a7f5501a6c1708cf3f3fb0cdf525642761/modeling/math_equivalence.py

Protocol ``paper`` does as OpenCompass 0.3.3 (``math_postprocess_v2``, ``MATHEvaluator(version="v2")``), slips included.
Protocol ``default`` reads the answer more fairly: what follows ``####`` in the last line, else the last ``\boxed``,
else what follows the last "answer is" in its sentence (a decimal point ends none), else the last formula, else the last
number; a text of mathematics alone is the answer as it is. Two answers are equal by the same rules, or as mathematics
by math-verify (docs/decisions/0003-reading-answers.md has the measurements).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks import _readings as readings
from kit.benchmarks._algebra import Algebra
from kit.benchmarks._files import choose, problems
from kit.benchmarks._latex import TOO_LONG, boxed, equivalent, normalised, too_long
from kit.benchmarks._reading_time import graded
from kit.errors import RequestError
from kit.measures import Measure
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 2
ASKS = 1
DATASET = "math-test"
PROMPTS = ("math",)
SOURCE = "https://github.com/hendrycks/math/blob/357963a7f5501a6c1708cf3f3fb0cdf525642761/modeling/math_equivalence.py"
METRICS: Mapping[str, Measure] = {"math": Measure(title="MATH")}
RUNS_CODE = False


def read(path: Path) -> list[Problem]:
    """Read the problems of a JSONL file with ``problem`` and ``solution``; the id is ``idx``, or else the position.

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
    """Return the chat that asks a problem, in the words of ``pack``."""
    return fill(pack.chat("math"), {"problem": problem.data["problem"]})


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol.
        KitError: math-verify is wanted, and is not installed.
    """
    del sandbox
    return graded(reader, protocol, problems, texts, lambda _: {"math": [0, 1]})


def reader(protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by a protocol; one process compares what is only equal as mathematics.

    Raises:
        RequestError: no such protocol.
    """
    one, algebra = choose(PROTOCOLS, protocol), Algebra()
    return lambda problem, text: one(problem, text, algebra)


def _graded(problem: Problem, answer: str, right: bool, reason: str = "") -> Grade:
    """Return the grade of an answer; empty where none was found."""
    reason = "no answer found" if not answer else TOO_LONG if too_long(answer) else reason
    return Grade(id=problem.id, scores={"math": [int(right), 1]}, answer=answer, reason="" if right else reason)


def paper(problem: Problem, text: str, algebra: Algebra) -> Grade:
    """Grade a text as OpenCompass does."""
    del algebra
    answer = paper_answer(text)
    return _graded(problem, answer, equivalent(answer, boxed(problem.data["solution"])))


def default(problem: Problem, text: str, algebra: Algebra) -> Grade:
    """Return the fairer grade: equal by the string rules in one of the answer's readings, or as mathematics."""
    wanted = boxed(problem.data["solution"]) or ""
    found = fair_answers(text, problem.data["problem"], several="," in wanted)
    answer = found[0] if found else ""
    plain = readings.unseparated(wanted)
    found = [reading for reading in found if not _unlike(reading, wanted)]
    if any(equivalent(reading, wanted) or equivalent(reading, plain) for reading in found):
        return _graded(problem, answer, True)
    verdict = algebra.any_same(found, plain)
    return _graded(problem, answer, verdict.same, verdict.reason)


def _unlike(answer: str, wanted: str) -> bool:
    """Whether commas or a base tell two answers apart that the rules and math-verify call equal: "1,2" and "12"."""
    bases = [re.search(r"\d_\{?(\d+)\}?\s*$", text) for text in (answer, wanted)]
    if bases[0] and bases[1] and bases[0][1] != bases[1][1]:
        return True
    if "," not in answer + wanted or not all(re.fullmatch(r"\d[\d,\s]*", text) for text in (answer, wanted)):
        return False
    return not _number_or_list(answer) & _number_or_list(wanted)


def _number_or_list(text: str) -> set[tuple[str, ...]]:
    """Return the readings of digits and commas: a number with separators, a list of numbers in any order, or either."""
    text = re.sub(r"\s", "", text)
    number = {(text.replace(",", ""),)} if re.fullmatch(r"\d+|\d{1,3}(?:,\d{3})+", text) else set()
    return number | {tuple(sorted(text.split(",")))}


def paper_answer(text: str) -> str:
    r"""Read the answer from a text as OpenCompass does.

    The last ``\boxed{}``, one pair of outer braces stripped; else the first "sentence" (a full stop ends it, in a
    decimal number too) that says "final answer" or "answer is"; else the first sentence; the last two normalised.
    """
    if found := _box(text):
        return found
    sentences = text.split(".")
    telling = (sentence for sentence in sentences if re.search("final answer|answer is", sentence.lower()))
    return normalised(next(telling, sentences[0]))


def _box(text: str) -> str:
    r"""Return the contents of the last ``\boxed{}``, one pair of outer braces stripped; empty if there is none."""
    found = boxed(text) or ""
    inner = re.match(r"^\{(.*)\}$", found)
    return inner[1] if inner else found


def fair_answers(text: str, question: str, several: bool) -> list[str]:
    r"""Return the readings of a text's answer, the likeliest first; none where it has no answer.

    A further exercise that the model made up for itself is left out. What ``####`` marks in the last line; else the
    last ``\boxed{}`` (``several``: with its neighbours too); else a text that is all mathematics; else what follows the
    last "answer is"; else the last formula, whole and after its last "="; else the last number.
    """
    text = readings.unseparated(readings.own_part(text, question)).strip()
    if (marked := readings.marked_text(text)) and readings.box(marked) is None:
        return _sides(marked)
    if (box := readings.box(text)) is not None:
        return list(filter(None, dict.fromkeys([box, readings.boxes(text)] if several else [box])))
    if marked := readings.marked_number(text) or (readings.stripped(text) if readings.bare(text) else ""):
        return _sides(marked)
    if announced := readings.announcement(text):
        return _announced(announced[1], several)
    if formulas := readings.formulas(text):
        return [readings.joined(formulas, text), *_sides(formulas[-1].body)] if several else _sides(formulas[-1].body)
    numbers = re.findall(readings.NUMBER + r"(?:/\d+)?", text)
    return [readings.clean_number(numbers[-1])] if numbers else []


def _announced(rest: str, several: bool) -> list[str]:
    """Return the readings of what follows "the answer is"."""
    sentence = readings.sentence(rest)
    formulas = [found for found in readings.formulas(rest) if found.start <= len(sentence)]
    if not formulas:
        sentence = readings.stripped(sentence)
        number = re.match(readings.NUMBER + r"(?:/\d+)?(?=\s+[a-z]|,\s)", sentence)
        return list(filter(None, [sentence, readings.clean_number(number[0]) if number else ""]))
    if several:
        return [readings.joined(formulas, rest), *_sides(formulas[0].body)]
    return _sides(formulas[0].body)


def _sides(formula: str) -> list[str]:
    """Return a formula after its last "=", and whole."""
    body = readings.unwrapped(readings.stripped(formula))
    return list(dict.fromkeys(filter(None, [body.rpartition("=")[2].strip(), body])))


PROTOCOLS: Mapping[str, Callable[[Problem, str, Algebra], Grade]] = {"paper": paper, "default": default}
