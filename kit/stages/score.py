"""Stage ``score``: a metric scores the rows of an instruction set; it writes a score a row, numbers and curves."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kit import metrics
from kit.benchmarks._results import check_curves
from kit.catalogue.points import Point
from kit.errors import KitError, RequestError
from kit.files.parts import in_parts
from kit.machine.ranks import spread
from kit.metrics import CurvedMetric, Metric, Rewrite, Scorer, ScoreSettings
from kit.metrics._sums import check_scores, results, skipped_rows
from kit.records import Instruction, Score, write_rows
from kit.stages import SCORES, Context, Origin, Planning, Summary, input_instructions, input_pairs

VERSION = 1
WORKER = "text"


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that scores: one in which a model is at work, or one that only counts."""
    return WORKER if "dtype" in params else "cpu"


def plan(point: Point, planner: Planning) -> str:
    """Plan the scores that the point's metric gives the instructions or pairs of the point."""
    name, spec = point.benchmark, planner.metric(point)
    metric = metrics.load(name)
    inputs, params, rows = _planned_rows(metric, point, planner)
    params |= {"metric": name, "score_rows": spec.rows, "options": dict(spec.options)}
    count = min(rows, spec.rows or rows)
    resources: dict[str, Any] = {}
    job_name = f"{name}/{planner.job_name(point, 'seeds', 'evolver', 'round')}"
    if role := metrics.model_of(name, point.setting, point.name):
        model = planner.player(role)
        job_name = f"{job_name}/{model}"
        inputs["model"] = planner.model(model)
        world = 1 if metric.WHOLE else planner.engine_params(model)["world"]
        params |= {"dtype": planner.scale.engine.dtype, "max_tokens": spec.max_tokens, "world": world}
        resources = planner.scoring_cost(model, count)
    return planner.job(
        "score",
        job_name,
        params,
        inputs,
        plugins={name: metric.VERSION},
        resources=resources,
        rows=count,
    )


def _planned_rows(metric: Metric, point: Point, planner: Planning) -> tuple[dict[str, str], dict[str, Any], int]:
    """Return the inputs with the rows that a metric reads, the parameters to read them, and their expected number.

    Raises:
        RequestError: the metric compares two rounds, and the point is before the first.
    """
    if metric.READS == "pairs":
        pairs = planner.pairs(point)
        return {"pairs": pairs.key}, dict(pairs.params), pairs.rows
    origin = planner.instructions(point)
    inputs, params = {origin.role: origin.key}, dict(origin.params)
    if metric.READS == "rewrites":
        if point.setting.round == 0:
            raise RequestError(
                f"{point.name}: round: found 0, and {point.benchmark} compares instructions with those of the round "
                "before; wanted 1 or more"
            )
        before = planner.instructions(point.with_round(point.setting.round - 1))
        inputs["before"] = before.key
        params["before"] = dict(before.params)
    return inputs, params, origin.rows


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``scores.jsonl`` (:class:`~kit.records.Score`), ``results.jsonl``, and perhaps ``curves.jsonl``.

    Raises:
        KitError: there are no rows, or none could be scored.
    """
    metric = metrics.load(params["metric"])
    rows = _rows(metric, params, inputs)
    if not rows:
        raise KitError(f"{params['metric']}: there are no rows to score")
    settings = ScoreSettings(
        dtype=params.get("dtype", "float32"), max_tokens=params.get("max_tokens", 0), options=params["options"]
    )
    scorer = metric.open(inputs.get("model"), settings)

    if metric.WHOLE:
        scores = scorer.score(rows, lambda done: context.progress(done, len(rows)))
        check_scores([row.id for row in rows], scores, metric.METRICS, params["metric"])
    else:
        scores = _score_in_parts(params["metric"], rows, scorer, context)
    if context.rank == 0:
        write_rows(out / SCORES, scores)
        write_rows(out / "results.jsonl", results(scores, metric.METRICS))
        if isinstance(metric, CurvedMetric):
            curves = check_curves(metric.curves(scores, params["options"]), metric.CURVES)
            write_rows(out / "curves.jsonl", curves)
    skipped = {"skipped": found} if (found := skipped_rows(scores)) else {}
    return Summary(rows=len(scores), facts={**skipped, "scorer": dict(scorer.fingerprint)})


def _score_in_parts(name: str, rows: Sequence[Any], scorer: Scorer, context: Context) -> list[Score]:
    """Return the scores of all rows, part by part; the rows of each part are spread over the ranks."""

    def compute(first: int, part: Sequence[Any]) -> list[Score]:
        context.progress(first, len(rows))
        report = partial(_report, context, first, len(part), len(rows))
        scores = spread(part, context.world, lambda share: scorer.score(share, report))
        check_scores([row.id for row in part], scores, metrics.load(name).METRICS, name)
        return scores

    return in_parts(rows, Score, context.parts, compute, writes=context.rank == 0)


def _report(context: Context, first: int, part: int, rows: int, done: int) -> None:
    """Report how many rows of the job are done, where this rank has done so many of its share of a part."""
    context.progress(first + min(done * context.world, part), rows)


def _rows(metric: Metric, params: Mapping[str, Any], inputs: Mapping[str, Path]) -> list[Any]:
    """Return the rows that a metric scores: the first so many, as its parameters ask, or all."""
    count = params.get("score_rows")
    if metric.READS == "pairs":
        return list(input_pairs(params, inputs["pairs"], "score").rows[:count])
    rows = input_instructions(params, inputs).rows[:count]
    if metric.READS == "instructions":
        return list(rows)
    before = _before(params["before"], inputs["before"])
    if missing := [row.id for row in rows if row.id not in before]:
        raise KitError(f"score: row {missing[0]} is not among those before the round")
    return [Rewrite(id=row.id, before=before[row.id], after=row) for row in rows]


def _before(params: Mapping[str, Any], folder: Path) -> dict[str, Instruction]:
    """Return the instructions before the round, by id."""
    role = Origin(key="", params=params, rows=0).role
    return {row.id: row for row in input_instructions(params, {role: folder}).rows}
