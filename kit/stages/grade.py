"""Stage ``grade``: completions to grades and results, without a GPU; model-written code runs in the sandbox only."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import metrics, registry
from kit.benchmarks import Curved, Grouped, HasItems, Judged, Pairwise
from kit.benchmarks._reading_time import not_read
from kit.benchmarks._results import check_curves, results
from kit.catalogue.experiments import NO_SELECTION, RANDOM_SELECTION
from kit.catalogue.points import Point
from kit.errors import KitError, RequestError, shown
from kit.records import Completion, Grade, Problem, Verdict, read_rows, write_rows
from kit.stages import VERDICTS, Context, Planning, Summary, data_path

VERSION = 2
WORKER = "sandbox"
SLOWEST = 5
"""Number of programs that the facts list with their CPU seconds: those that come nearest to the limit."""


def plan(point: Point, planner: Planning) -> str:
    """Plan the grades of the answers of the point's model.

    Raises:
        RequestError: the rows that are graded end in the middle of an item; or the point names a selection to compare
            with that is not known, or the benchmark compares nothing.
    """
    problems, benchmark = planner.problems(point), registry.load("benchmarks", point.benchmark)
    if isinstance(benchmark, HasItems) and (problems.rows or 0) % benchmark.ITEM_ROWS:
        raise RequestError(
            f"{point.benchmark}: rows: found {problems.rows}, wanted a multiple of {benchmark.ITEM_ROWS}, so that the "
            "last item is whole"
        )
    if point.setting.against:
        _check_against(point, benchmark)
    params = {"benchmark": point.benchmark, "protocol": problems.protocol, "rows": problems.rows}
    answers = planner.need("answer", point)
    if isinstance(benchmark, Judged):
        verdicts = {"verdicts": planner.need("judge", point)}
    else:
        verdicts = {}
        planner.judge(point)  # an error if the scale names one: it would have nothing to do
    return planner.job(
        "grade",
        planner.job_name(point, "benchmark", "seeds", "evolver", "base", "round", "selection", "against"),
        params,
        {"completions": answers, "data": planner.data(problems.dataset), **verdicts},
        plugins={point.benchmark: benchmark.VERSION},
        rows=planner.expected_rows(answers),
    )


def _check_against(point: Point, benchmark: object) -> None:
    """Check that a benchmark can compare the point's answers with those of the model of another selection.

    Raises:
        RequestError: it compares no answers, or there is no such selection.
    """
    against = point.setting.against
    if not isinstance(benchmark, Pairwise):
        raise RequestError(
            f"{point.name}: against = {shown(against)}, and {point.benchmark} compares no two answers; leave it out "
            "for this benchmark"
        )
    if against not in (NO_SELECTION, RANDOM_SELECTION):
        metrics.metric_with(against, f"{point.name}: against")


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``grades.jsonl`` (:class:`~kit.records.Grade`) and ``results.jsonl`` (:class:`~kit.records.Result`).

    For a benchmark with ``CURVES``, write ``curves.jsonl`` (:class:`~kit.records.Curve`) too.
    """
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(data_path(inputs["data"]))[: params["rows"]]
    completions = read_rows(inputs["completions"] / "completions.jsonl", Completion)
    if [problem.id for problem in problems] != [completion.id for completion in completions]:
        raise KitError(
            f"{params['benchmark']}: {len(completions):,} completions don't go with {len(problems):,} problems in order"
        )
    sandbox = context.sandbox() if benchmark.RUNS_CODE else None
    texts = [completion.text for completion in completions]
    if "verdicts" in inputs:
        grades = _judged(benchmark, problems, texts, inputs["verdicts"], params["protocol"])
    else:
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


def _judged(
    benchmark: Judged, problems: Sequence[Problem], texts: Sequence[str], verdicts: Path, protocol: str
) -> list[Grade]:
    """Return the grades that a judge's verdicts give."""
    rows = read_rows(verdicts / VERDICTS, Verdict)
    return benchmark.grade_judged(problems, texts, {verdict.id: verdict for verdict in rows}, protocol)
