"""Stage ``score``: a metric scores the rows of an instruction set; it writes a score a row, numbers and curves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import metrics
from kit.catalogue.points import Point
from kit.errors import KitError, RequestError
from kit.machine.ranks import spread
from kit.metrics import CurvedMetric, Metric, Rewrite, Role, RowCurvedMetric, ScoreSettings, options_with
from kit.metrics._sums import results, skipped_rows
from kit.records import Instruction, Probe, Score, read_rows, write_rows
from kit.stages import PROBES, SCORES, Context, Origin, Planning, Summary, input_instructions, input_pairs

VERSION = 1
WORKER = "text"


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that scores: one in which a model is at work, or one that only counts."""
    return WORKER if "dtype" in params else "cpu"


def plan(point: Point, planner: Planning) -> str:
    """Plan the scores that the point's metric gives the instructions or pairs of the point."""
    name, spec = point.benchmark, planner.metric(point)
    metric = metrics.load(name)
    options = options_with(name, spec.options, f"metrics.{name}.options")
    params: dict[str, Any] = {"metric": name, "rows": spec.rows, "options": options}
    inputs, row_params, rows = _planned_rows(metric, point, planner)
    params |= row_params
    count = min(rows, spec.rows or rows)
    resources: dict[str, Any] = {}
    if metric.ROLE:
        model = planner.player(_model(metric.ROLE, point))
        inputs["model"] = planner.model(model)
        world = 1 if metric.WHOLE else planner.engine_params(model)["world"]
        params |= {"dtype": planner.scale.engine.dtype, "max_tokens": spec.max_tokens, "world": world}
        resources = planner.generation_cost(model, count, 1)
    return planner.job(
        "score",
        f"{name}/{planner.job_name(point, 'seeds', 'evolver', 'round')}",
        params,
        inputs,
        plugins={name: metric.VERSION},
        resources=resources,
        rows=count,
    )


def _model(role: Role, point: Point) -> str:
    """Return the paper's model that scores; the base scores where no scorer is named.

    Raises:
        RequestError: the setting names no model for this role.
    """
    found = str(getattr(point.setting, role)) or (point.setting.base if role == "scorer" else "")
    if not found:
        raise RequestError(f"{point.name}: {role}: missing, and {point.benchmark} needs one; wanted a model's name")
    return found


def _planned_rows(metric: Metric, point: Point, planner: Planning) -> tuple[dict[str, str], dict[str, Any], int]:
    """Return the inputs with the rows that a metric reads, the parameters to read them, and their expected number."""
    if metric.READS == "pairs":
        pairs = planner.pairs(point)
        return {"pairs": pairs.key}, dict(pairs.params), pairs.rows
    if metric.READS == "probes":
        key = planner.need("probe", point)
        return {"probes": key}, {}, planner.expected_rows(key)
    origin = planner.instructions(point)
    inputs, params = {origin.role: origin.key}, dict(origin.params)
    if metric.READS == "rewrites":
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

    def compute(part: Sequence[Any]) -> list[Score]:
        return scorer.score(part, lambda done: context.progress(done, len(part)))

    scores = spread(rows, context.world, compute)
    _check_ids(rows, scores, params["metric"])
    if context.rank == 0:
        write_rows(out / SCORES, scores)
        write_rows(out / "results.jsonl", results(scores, metric.METRICS))
        if isinstance(metric, CurvedMetric):
            write_rows(out / "curves.jsonl", metric.curves(scores, params["options"]))
        elif isinstance(metric, RowCurvedMetric):
            write_rows(out / "curves.jsonl", metric.curves_of_rows(rows, params["options"]))
    return Summary(rows=len(scores), facts={"skipped": skipped_rows(scores), "scorer": dict(scorer.fingerprint)})


def _rows(metric: Metric, params: Mapping[str, Any], inputs: Mapping[str, Path]) -> list[Any]:
    """Return the rows that a metric scores."""
    if metric.READS == "pairs":
        return input_pairs(params, inputs["pairs"], "score").rows[: params["rows"]]
    if metric.READS == "probes":
        return read_rows(inputs["probes"] / PROBES, Probe)[: params["rows"]]
    rows = input_instructions(params, inputs).rows[: params["rows"]]
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


def _check_ids(rows: Sequence[Any], scores: Sequence[Score], metric: str) -> None:
    """Check that a metric has a score for each row, in order."""
    if [row.id for row in rows] != [score.id for score in scores]:
        raise KitError(f"{metric}: {len(scores):,} scores don't go with {len(rows):,} rows in order")
