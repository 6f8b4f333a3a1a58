"""MMLU: questions with four options on 57 subjects, 14,042 in the test split.

A row of ``test/astronomy_test.csv`` in the authors' ``data.tar``, and the same as JSONL:

    "Which planet is closest to the Sun?",Venus,Mars,Mercury,Earth,C

    {"subject": "astronomy", "question": "Which planet is closest to the Sun?",
     "choices": ["Venus", "Mars", "Mercury", "Earth"], "answer": 2}

Asked after the five examples of the subject (``dev``); a file without any is asked without. The number is the plain
mean over the subjects, as in OpenCompass's summary (``mmlu``; the share of all questions is ``mmlu-weighted`` there).

Official grader (hendrycks/test), which compares the likelihood of the four letters:
https://github.com/hendrycks/test/blob/4450500f923c49f1fb1dd3d99108a0bd9717b660/evaluate.py

Protocol ``paper`` reads a text as OpenCompass 0.3.3 does (``mmlu_gen_4d595a.py``: ``first_option_postprocess`` over
ABCD), protocol ``default`` as :func:`kit.benchmarks._letters.chosen`.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks._choice_files import LETTERS, read_choices
from kit.benchmarks._choices import Reader, ask, fair, grade_choices, group
from kit.benchmarks._choices import reader as choice_reader
from kit.benchmarks._letters import FirstOption
from kit.measures import Measure
from kit.prompts import Pack
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 1
ASKS = 1
DATASET = "mmlu"
PROMPTS = ("mmlu", "mmlu.example")
SOURCE = "https://github.com/hendrycks/test/blob/4450500f923c49f1fb1dd3d99108a0bd9717b660/evaluate.py"
METRICS: Mapping[str, Measure] = {"mmlu": Measure(title="MMLU", kind="mean over groups")}
RUNS_CODE = False
SUBJECTS = (
    *("abstract_algebra", "anatomy", "astronomy", "business_ethics", "clinical_knowledge", "college_biology"),
    *("college_chemistry", "college_computer_science", "college_mathematics", "college_medicine", "college_physics"),
    *("computer_security", "conceptual_physics", "econometrics", "electrical_engineering", "elementary_mathematics"),
    *("formal_logic", "global_facts", "high_school_biology", "high_school_chemistry", "high_school_computer_science"),
    *("high_school_european_history", "high_school_geography", "high_school_government_and_politics"),
    *("high_school_macroeconomics", "high_school_mathematics", "high_school_microeconomics", "high_school_physics"),
    *("high_school_psychology", "high_school_statistics", "high_school_us_history", "high_school_world_history"),
    *("human_aging", "human_sexuality", "international_law", "jurisprudence", "logical_fallacies", "machine_learning"),
    *("management", "marketing", "medical_genetics", "miscellaneous", "moral_disputes", "moral_scenarios", "nutrition"),
    *("philosophy", "prehistory", "professional_accounting", "professional_law", "professional_medicine"),
    *("professional_psychology", "public_relations", "security_studies", "sociology", "us_foreign_policy", "virology"),
    "world_religions",
)
"""The 57 subjects, as the files name them."""


def read(path: Path) -> list[Problem]:
    """Read the questions of the test split, and the examples of each subject (:mod:`kit.benchmarks._choice_files`).

    Raises:
        RequestError: not the benchmark's format, or a subject has some examples and fewer than five.
    """
    return read_choices(path, SUBJECTS, "test")


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the chat that asks a problem, in the words of ``pack``."""
    return ask(pack, "mmlu", group(problem).replace("_", " "), problem)


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems; ``sandbox`` is not used.

    Raises:
        RequestError: no such protocol, or OpenCompass's wheel is not installed.
    """
    del sandbox
    return grade_choices(reader, "mmlu", problems, texts, protocol)


def reader(protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by a protocol.

    Raises:
        RequestError: no such protocol, or OpenCompass's wheel is not installed.
    """
    return choice_reader("mmlu", PROTOCOLS, protocol)


def paper() -> Reader:
    """Return OpenCompass's reading: the first option in what the first of its patterns matches."""
    first = FirstOption(LETTERS)
    return lambda _, text: first(text)


PROTOCOLS: Mapping[str, Callable[[], Reader]] = {"paper": paper, "default": lambda: fair}
