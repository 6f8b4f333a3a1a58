"""A benchmark in one file: capitals of countries.

{"country": "Peru", "capital": "Lima"}
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks._files import problems as read_problems
from kit.benchmarks._reading_time import graded
from kit.measures import Measure
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 5
ASKS = 4
DATASET = "capitals-test"
PROMPTS = ("capitals",)
SOURCE = "https://example.org/capitals/grader.py"
METRICS: Mapping[str, Measure] = {"capitals": Measure(title="Capitals")}
RUNS_CODE = False


def read(path: Path) -> list[Problem]:
    return read_problems(path, {"country": str, "capital": str}, "country")


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    return fill(pack.chat("capitals"), {"question": problem.data["country"]})


def reader(protocol: str) -> Callable[[Problem, str], Grade]:
    def read_one(problem: Problem, text: str) -> Grade:
        right = int(problem.data["capital"] in text)
        return Grade(id=problem.id, scores={"capitals": [right, 1]}, answer=text)

    return read_one


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    return graded(reader, protocol, problems, texts, lambda _: {"capitals": [0, 1]})
