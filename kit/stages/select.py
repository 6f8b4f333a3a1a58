"""Stage ``select``: keeps the part of the pairs that a score puts first, or a random part; it writes pairs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit import metrics
from kit.catalogue.points import Point
from kit.errors import KitError
from kit.measures.ranking import kept_count, kept_rows, random_rows
from kit.records import Score, read_rows, write_rows
from kit.stages import PAIRS, SCORES, Context, Planning, Summary, input_pairs

VERSION = 1
WORKER = "cpu"
RANDOM = "random"
"""Selection that looks at no score."""


def plan(point: Point, planner: Planning) -> str:
    """Plan the part of the point's pairs that its selection keeps."""
    setting, whole = point.setting, point.without_selection()
    pairs = planner.pairs(whole)
    params: dict[str, Any] = {**pairs.params, "by": setting.selection, "kept_fraction": setting.kept_fraction}
    inputs = {"pairs": pairs.key}
    if setting.selection == RANDOM:
        params["seed"] = setting.seed
    else:
        metric = metrics.metric_with(setting.selection, f"{point.name}: selection")
        params["keeps"] = metrics.load(metric).KEEPS[setting.selection]
        inputs["scores"] = planner.need("score", whole.with_benchmark(metric))
    return planner.job(
        "select",
        f"{planner.job_name(point, 'seeds', 'evolver', 'round')}/{setting.selection}-{setting.kept_fraction}",
        params,
        inputs,
        rows=kept_count(setting.kept_fraction, pairs.rows),
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``pairs.jsonl``: the pairs that are kept, as they were and in their order.

    Raises:
        KitError: the scores are those of other pairs.
    """
    del context
    reading = input_pairs(params, inputs["pairs"], "select")
    pairs = reading.rows
    count = kept_count(params["kept_fraction"], len(pairs))
    facts: dict[str, Any] = {"rows_read": len(pairs)}
    if params["by"] == RANDOM:
        kept = random_rows(len(pairs), count, params["seed"])
    else:
        scores: list[Score] = read_rows(inputs["scores"] / SCORES, Score)
        if [score.id for score in scores] != [pair.id for pair in pairs]:
            raise KitError(
                f"select: {len(scores):,} scores don't go with {len(pairs):,} pairs in order; wanted one for every pair"
            )
        values = [score.values.get(params["by"]) for score in scores]
        kept = kept_rows(values, count, params["keeps"])
        facts["without_score"] = values.count(None)
    return Summary(rows=write_rows(out / PAIRS, [pairs[position] for position in kept]), facts=facts | reading.facts())
