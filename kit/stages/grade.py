"""Completions -> grades -> results; no GPU, and model-written code only in the sandbox."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit import registry
from kit.benchmarks import Curved, Grouped
from kit.benchmarks._reading_time import not_read
from kit.catalogue.points import Point
from kit.errors import KitError
from kit.records import Completion, check_curves, read_rows, results, write_rows
from kit.stages import Context, Planning, Summary, only_file

VERSION = 2
WORKER = "sandbox"
SLOWEST = 5
"""Programs that the facts name with their CPU seconds: those nearest to the limit."""


def plan(at: Point, kit: Planning) -> str:
    """Plan the grades of what the point's model answers."""
    problems = kit.problems(at)
    params = {"benchmark": at.benchmark, "protocol": problems.protocol, "rows": problems.rows}
    answers = kit.need("answer", at)
    return kit.job(
        "grade",
        kit.name(at, "benchmark", "seeds", "evolver", "base", "round"),
        params,
        {"completions": answers, "data": kit.data(problems.dataset)},
        plugins={at.benchmark: registry.load("benchmarks", at.benchmark).VERSION},
        rows=kit.rows(answers),
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``grades.jsonl`` (:class:`~kit.records.Grade`) and ``results.jsonl`` (:class:`~kit.records.Result`).

    A benchmark with ``CURVES`` leaves ``curves.jsonl`` (:class:`~kit.records.Curve`) too.
    """
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(only_file(inputs["data"]))[: params["rows"]]
    completions = read_rows(inputs["completions"] / "completions.jsonl", Completion)
    if [problem.id for problem in problems] != [completion.id for completion in completions]:
        raise KitError(
            f"{params['benchmark']}: {len(completions):,} completions don't go with {len(problems):,} problems in order"
        )
    sandbox = context.sandbox() if benchmark.RUNS_CODE else None
    texts = [completion.text for completion in completions]
    grades = benchmark.grade(problems, texts, params["protocol"], sandbox)
    write_rows(out / "grades.jsonl", grades)
    groups = {one.id: benchmark.group(one) for one in problems} if isinstance(benchmark, Grouped) else {}
    write_rows(out / "results.jsonl", results(grades, benchmark.METRICS, groups))
    if isinstance(benchmark, Curved):
        curves = check_curves(benchmark.curves(problems, texts, grades), benchmark.CURVES)
        write_rows(out / "curves.jsonl", curves)
    unread = {"not_read": counts} if (counts := not_read(grades)) else {}
    if sandbox is None:
        return Summary(rows=len(grades), facts=unread)
    slowest = sorted(grades, key=lambda grade: grade.cpu_s, reverse=True)[:SLOWEST]
    facts = {
        "sandbox": sandbox.tier,
        "packages": dict(sandbox.packages),
        "cpu_s": round(sum(grade.cpu_s for grade in grades), 3),
        "slowest_cpu_s": {grade.id: round(grade.cpu_s, 3) for grade in slowest},
        **unread,
    }
    return Summary(rows=len(grades), facts=facts)
