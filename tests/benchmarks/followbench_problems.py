"""Problems of FollowBench, made up for a test, and their grades."""

from collections.abc import Mapping, Sequence

from kit.benchmarks import followbench
from kit.plan.sources import BUNDLED
from kit.prompts import load
from kit.records import Grade, Problem, Verdict

MINI = BUNDLED / "mini-followbench"
KIT = load("kit")


def one(kind: str, source: str, level: int, target: str = "", example_id: int = 1) -> Problem:
    path = [f"step {step}" for step in range(level + 1)]
    data = {"kind": kind, "source": source, "level": level, "target": target, "example_id": example_id, "path": path}
    return Problem(id=f"{kind}/{example_id}/{level}", data=data)


def graded(
    problems: Sequence[Problem], texts: Sequence[str], labels: Mapping[str, str], protocol: str
) -> dict[str, Grade]:
    """Return the grades by id; a question without a label of its own gets NO, for a list all NO."""
    asked = followbench.questions(problems, texts, KIT, protocol)
    verdicts = {one.id: Verdict(id=one.id, label=labels.get(one.id, one.labels[-1])) for one in asked}
    return {grade.id: grade for grade in followbench.grade_judged(problems, texts, verdicts, protocol)}
