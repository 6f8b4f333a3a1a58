"""Stage ``select``: keeps the part of the pairs that a score puts first, or a random part; it writes pairs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import metrics
from kit.catalogue.experiments import RANDOM_SELECTION
from kit.catalogue.points import Point
from kit.errors import KitError, RequestError
from kit.measures.ranking import cut_of, kept_count, kept_rows, random_rows
from kit.records import Pair, Score, read_rows, write_rows
from kit.stages import PAIRS, SCORES, Context, Origin, Planning, Summary, input_pairs

VERSION = 1
WORKER = "cpu"


def plan(point: Point, planner: Planning) -> str:
    """Plan the part of the point's pairs that its selection keeps."""
    setting, whole = point.setting, point.without_selection()
    pairs = planner.pairs(whole)
    params: dict[str, Any] = {**pairs.params, "by": setting.selection, "kept_fraction": setting.kept_fraction}
    inputs, fields = {"pairs": pairs.key}, ["seeds", "evolver", "round", "selection"]
    if setting.selection == RANDOM_SELECTION:
        params["seed"] = setting.seed
    else:
        metric = metrics.metric_with(setting.selection, f"{point.name}: selection")
        scored = whole.with_benchmark(metric)
        _check_all_are_scored(scored, setting.selection, pairs, planner)
        params["keeps"] = metrics.load(metric).KEEPS[setting.selection]
        inputs["scores"] = planner.need("score", scored)
        if metrics.load(metric).ROLE == "scorer" and not setting.scorer:
            fields.insert(2, "base")  # which scores here
    return planner.job(
        "select",
        planner.job_name(point, *fields),
        params,
        inputs,
        resources={"rows_read": pairs.rows},
        rows=kept_count(setting.kept_fraction, pairs.rows),
    )


def _check_all_are_scored(point: Point, number: str, pairs: Origin, planner: Planning) -> None:
    """Check that the scale has every pair scored, so that none is passed over for want of a score.

    Raises:
        RequestError: the scale has the first rows scored alone, and there are more pairs, or nobody knows how many.
    """
    rows = planner.metric(point).rows
    if rows is not None and (rows < pairs.rows or not pairs.rows):
        wanted = f"all {pairs.rows:,}" if pairs.rows else "all"
        raise RequestError(
            f"{point.name}: selection = {number!r} takes the scores of {wanted} pairs, and the scale has metrics."
            f"{point.benchmark}.rows = {rows:,}; leave it out there"
        )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``pairs.jsonl``: the pairs that are kept, as they were and in their order.

    Raises:
        KitError: the scores are those of other pairs, or fewer pairs have one than are to be kept.
    """
    del context
    reading = input_pairs(params, inputs["pairs"], "select")
    pairs, by = reading.rows, params["by"]
    count = kept_count(params["kept_fraction"], len(pairs))
    facts: dict[str, Any] = {"rows_read": len(pairs), "by": by, "kept_fraction": params["kept_fraction"]}
    if by == RANDOM_SELECTION:
        kept = random_rows(len(pairs), count, params["seed"])
    else:
        scores = _scores(inputs["scores"] / SCORES, pairs)
        values = [score.values.get(by) for score in scores]
        without = Counter(score.skipped or "no value" for score in scores if by not in score.values)
        if len(pairs) - without.total() < count:
            reasons = ", ".join(f"{rows:,} {reason}" for reason, rows in without.most_common())
            raise KitError(
                f"select: {count:,} of {len(pairs):,} pairs are to be kept by {by}, and too few have a score "
                f"({reasons}); lower kept_fraction"
            )
        kept = kept_rows(values, count, params["keeps"])
        cut = cut_of(values, kept, params["keeps"])
        equal = values.count(cut) - sum(values[position] == cut for position in kept)
        facts |= {"keeps": params["keeps"], "cut": cut, "equal_left_out": equal, "without_score": dict(without)}
    rows = write_rows(out / PAIRS, [pairs[position] for position in kept])
    return Summary(rows=rows, facts=facts | reading.facts())


def _scores(path: Path, pairs: Sequence[Pair]) -> list[Score]:
    """Return the score of each pair, in order.

    Raises:
        KitError: they are those of other pairs.
    """
    scores: list[Score] = read_rows(path, Score)
    if [score.id for score in scores] != [pair.id for pair in pairs]:
        raise KitError(
            f"select: {len(scores):,} scores don't go with {len(pairs):,} pairs in order; wanted one for every pair"
        )
    return scores
