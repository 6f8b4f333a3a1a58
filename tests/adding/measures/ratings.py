"""A benchmark whose numbers are of every kind there is, with a curve; the scores stand in its problems.

{"name": "a", "subject": "law", "right": 1, "points": 7.5}
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.benchmarks._files import problems as read_problems
from kit.measures import CurveMeasure, Measure, Quantity
from kit.prompts import Pack
from kit.records import Curve, Grade, Problem, Turn
from kit.sandbox import Sandbox

VERSION = 1
ASKS = 1
DATASET = "ratings-test"
PROMPTS = ()
SOURCE = "https://example.org/ratings/grader.py"
METRICS: Mapping[str, Measure] = {
    "ratings_right": Measure(title="Right"),
    "ratings_subjects": Measure(title="By subject", kind="mean over groups"),
    "ratings_points": Measure(
        title="Rating", unit="points", digits=3, kind="mean", counts="rows", lowest=0, highest=10
    ),
    "ratings_kept": Measure(title="Kept", unit="rows", digits=0, kind="count", counts="rows"),
}
CURVES: Mapping[str, CurveMeasure] = {
    "ratings_histogram": CurveMeasure(
        title="Ratings", x=Quantity(title="Rating", unit="points"), y=Quantity(title="Rows", unit="rows", digits=0)
    )
}
RUNS_CODE = False


def read(path: Path) -> list[Problem]:
    return read_problems(path, {"name": str, "subject": str, "right": int, "points": float}, "name")


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    return (Turn(role="user", content=problem.data["name"]),)


def group(problem: Problem) -> str:
    return problem.data["subject"]


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    grades = []
    for problem in problems:
        right = [problem.data["right"], 1]
        shares = dict.fromkeys(("ratings_right", "ratings_subjects", "ratings_kept"), right)
        grades.append(Grade(id=problem.id, scores={**shares, "ratings_points": [problem.data["points"], 1]}))
    return grades


def curves(problems: Sequence[Problem], texts: Sequence[str], grades: Sequence[Grade]) -> list[Curve]:
    found = []
    for subject in sorted({group(problem) for problem in problems}):
        points = [problem.data["points"] for problem in problems if group(problem) == subject]
        counts = [float(sum(low <= rating < low + 5 for rating in points)) for low in (0, 5)]
        found.append(Curve(curve="ratings_histogram", group=subject, x=(2.5, 7.5), y=tuple(counts)))
    return found
