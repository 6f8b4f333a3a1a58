"""Stage ``score``: a metric scores the rows of an instruction set; it writes a score a row, numbers and curves."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from kit import metrics
from kit.benchmarks._results import check_curves
from kit.catalogue.points import Point
from kit.errors import KitError
from kit.files.parts import in_parts
from kit.machine.ranks import spread
from kit.metrics import (
    CurvedMetric,
    FinishedMetric,
    JudgedMetric,
    Metric,
    PromptedMetric,
    Scorer,
    ScoreSettings,
)
from kit.metrics._sums import check_scores, results, skipped_rows
from kit.records import Score, Verdict, read_rows, write_rows
from kit.stages import SCORES, VERDICTS, Context, Planning, Summary
from kit.stages._metric_rows import planned_rows, read_metric_rows

VERSION = 1
WORKER = "text"


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that scores: one in which a model is at work, or one that only counts."""
    return WORKER if "dtype" in params else "cpu"


def plan(point: Point, planner: Planning) -> str:
    """Plan the scores that the point's metric gives the instructions or pairs of the point.

    Raises:
        RequestError: the setting names no model for the metric, or an option is not known.
    """
    name, spec = point.benchmark, planner.metric(point)
    metric = metrics.load(name)
    rows = planned_rows(metric, point, spec.rows, planner)
    params: dict[str, Any] = {"metric": name, "options": dict(spec.options), **rows.params}
    inputs = dict(rows.inputs)
    resources: dict[str, Any] = {}
    job_name = f"{name}/{planner.job_name(point, 'seeds', 'evolver', 'round')}"
    if isinstance(metric, PromptedMetric):
        pack_params, pack_inputs = planner.prompts(spec.prompts or planner.scale.prompts, metric.PROMPTS)
        params |= pack_params
        inputs |= pack_inputs
    if isinstance(metric, JudgedMetric):
        inputs["verdicts"] = planner.need("judge", point)
    if role := metrics.model_of(name, point.setting, point.name):
        model = planner.player(role)
        job_name = f"{job_name}/{model}"
        inputs["model"] = planner.model(model)
        world = 1 if metric.WHOLE else planner.engine_params(model)["world"]
        params |= {"dtype": planner.scale.engine.dtype, "max_tokens": spec.max_tokens, "world": world}
        resources = planner.scoring_cost(model, rows.count)
    return planner.job(
        "score",
        job_name,
        params,
        inputs,
        plugins={name: metric.VERSION},
        resources=resources,
        rows=rows.count,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``scores.jsonl`` (:class:`~kit.records.Score`), ``results.jsonl``, and perhaps ``curves.jsonl``.

    Raises:
        KitError: there are no rows, or none could be scored.
    """
    metric = metrics.load(params["metric"])
    rows = read_metric_rows(metric, params, inputs)
    if not rows:
        raise KitError(f"{params['metric']}: there are no rows to score")
    scores, facts = _scores(metric, rows, params, inputs, context)
    check_scores([row.id for row in rows], scores, metric.METRICS, params["metric"])
    if context.rank == 0:
        write_rows(out / SCORES, scores)
        write_rows(out / "results.jsonl", results(scores, metric.METRICS))
        if isinstance(metric, CurvedMetric):
            curves = metric.curves(rows, scores, params["options"])
            write_rows(out / "curves.jsonl", check_curves(curves, metric.CURVES))
    skipped = {"skipped": found} if (found := skipped_rows(scores)) else {}
    return Summary(rows=len(scores), facts={**skipped, **facts})


def _scores(
    metric: Metric, rows: Sequence[Any], params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context
) -> tuple[list[Score], dict[str, Any]]:
    """Return a score for each row, and facts on what computed them; of a judged metric, from the judge's verdicts."""
    if isinstance(metric, JudgedMetric):
        verdicts: list[Verdict] = read_rows(inputs["verdicts"] / VERDICTS, Verdict)
        return metric.judged(rows, {verdict.id: verdict for verdict in verdicts}, params["options"]), {}
    ids = metric.PROMPTS if isinstance(metric, PromptedMetric) else ()
    settings = ScoreSettings(
        dtype=params.get("dtype", "float32"),
        max_tokens=params.get("max_tokens", 0),
        options=params["options"],
        pack=context.pack(params["prompts"], ids, inputs.get("prompts")) if ids else None,
    )
    scorer = metric.open(inputs.get("model"), settings)
    if metric.WHOLE:
        scores = scorer.score(rows, lambda done: context.progress(done, len(rows)))
    else:
        scores = _score_in_parts(params["metric"], rows, scorer, context)
    if isinstance(metric, FinishedMetric):
        scores = metric.finish(scores, params["options"])
    return scores, {"scorer": dict(scorer.fingerprint)}


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
