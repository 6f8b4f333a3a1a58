"""Stage ``compare``: two runs of a model over the same problems become counts of the items that turned.

The runs differ in the order in which the problems were asked, and in nothing else (:mod:`kit.plan.rerun`). As
``fetch`` and ``convert`` have none, it has no ``plan``: no cell of a table needs it.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.errors import KitError
from kit.measures import Measure
from kit.records import Completion, Grade, Turned, read_rows, write_rows
from kit.stages import Context, Summary

VERSION = 1
WORKER = "cpu"
TURNED = "turned.jsonl"
"""Name of its file."""
TEXTS = "texts"
"""The id under which texts are counted, beside those of the metrics."""
MOST_IDS = 20
"""Most ids of turned items that the facts list for a metric."""
RUNS = ("", "_again")
"""Endings of the inputs' roles: the run in the problems' own order, and the one in another."""
Scores = tuple[tuple[float, int], tuple[float, int]]
"""Scores of one item in the two runs: units right, or the sum of the units' scores, and units judged."""


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``turned.jsonl``: a row (:class:`~kit.records.Turned`) for the texts, and one for each metric."""
    measures: Mapping[str, Measure] = registry.load("benchmarks", params["benchmark"]).METRICS
    texts, texts_again = (read_rows(inputs[f"completions{which}"] / "completions.jsonl", Completion) for which in RUNS)
    grades, grades_again = (read_rows(inputs[f"grades{which}"] / "grades.jsonl", Grade) for which in RUNS)
    ids = [row.id for row in texts]
    if any([row.id for row in rows] != ids for rows in (texts_again, grades, grades_again)):
        raise KitError(f"{params['benchmark']}: the two runs did not answer the same problems in one order")
    differing = [one.id for one, other in zip(texts, texts_again, strict=True) if one.text != other.text]
    rows, turned_ids = [Turned(metric=TEXTS, n=len(ids), turned=len(differing))], {TEXTS: differing[:MOST_IDS]}
    for metric, measure in measures.items():
        found = [_scores(grade, grade_again, metric) for grade, grade_again in zip(grades, grades_again, strict=True)]
        judged = [(id, scores) for id, scores in zip(ids, found, strict=True) if scores is not None]
        if not judged:
            continue
        rows.append(turned(metric, measure, [scores for _, scores in judged]))
        turned_ids[metric] = [id for id, (before, after) in judged if before != after][:MOST_IDS]
    write_rows(out / TURNED, rows)
    return Summary(rows=len(rows), facts={"turned_ids": turned_ids})


def _scores(grade: Grade, grade_again: Grade, metric: str) -> Scores | None:
    """Return an item's scores for one metric in both runs; None where neither run judged it for that metric."""
    found = [run.scores.get(metric, (0, 0)) for run in (grade, grade_again)]
    before, after = ((float(total), int(units)) for total, units in found)
    return (before, after) if before[1] or after[1] else None


def turned(metric: str, measure: Measure, items: Sequence[Scores]) -> Turned:
    """Return how many items turned for one metric, and how far that moves its number.

    Args:
        metric: its id.
        measure: the kind of its number.
        items: what each item reached in the two runs; one at least.
    """
    units = sum(max(before[1], after[1]) for before, after in items) / len(items)

    def score(reached: tuple[float, int]) -> float:
        """Return an item's part of the number: of a share its units over the units of an item on average."""
        total, judged = reached
        if measure.kind == "mean":
            return total / judged if judged else 0.0
        return total if measure.kind == "count" else total / units

    moved = [score(after) - score(before) for before, after in items]
    return Turned(
        metric=metric,
        n=len(items),
        turned=sum(before != after for before, after in items),
        gained=sum(one > 0 for one in moved),
        lost=sum(one < 0 for one in moved),
        rms=math.sqrt(math.fsum(one * one for one in moved) / len(moved)),
    )
