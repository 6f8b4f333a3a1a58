"""Check the scores of rows, and sum them up to the numbers of a table."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from kit.errors import KitError, shown
from kit.measures import Measure
from kit.measures.estimates import ESTIMATES, Item
from kit.records import Result, Score


def check_scores(ids: Sequence[str], scores: Sequence[Score], measures: Mapping[str, Measure], metric: str) -> None:
    """Check that a metric gave what it must: a score a row, in order, each with finite numbers or a reason why not.

    Args:
        ids: ids of the rows.
        scores: what the metric gave.
        measures: the metric's numbers.
        metric: its name, for messages.

    Raises:
        KitError: it did not.
    """
    if list(ids) != [score.id for score in scores]:
        raise KitError(f"{metric}: {len(scores):,} scores don't go with {len(ids):,} rows in order")
    for score in scores:
        if not score.values and not score.skipped:
            raise KitError(f"{metric}: row {score.id}: found no value, and no reason why there is none")
        for id, value in score.values.items():
            if id not in measures:
                raise KitError(f"{metric}: row {score.id}: found {shown(id)}, wanted {', '.join(measures)}")
            if type(value) not in (int, float) or not math.isfinite(value):
                raise KitError(f"{metric}: row {score.id}: {id}: found {shown(value)}, wanted a finite number")


def results(scores: Sequence[Score], measures: Mapping[str, Measure]) -> list[Result]:
    """Return one result for each number that at least one row has a value for.

    Raises:
        KitError: no row has a score; the message has the reasons.
    """
    skipped = skipped_rows(scores)
    found = [_result(id, measure, scores, skipped) for id, measure in measures.items() if _items(id, scores)]
    if not found:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items()) or "there are no rows"
        raise KitError(f"no row could be scored: {reasons}")
    return found


def skipped_rows(scores: Sequence[Score]) -> dict[str, int]:
    """Return how many rows were left out for each reason, the largest number first."""
    counts = Counter(score.skipped for score in scores if score.skipped)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _items(id: str, scores: Sequence[Score]) -> list[Item]:
    """Return the rows that have a value for a number, each as one unit."""
    return [Item(total=score.values[id], units=1) for score in scores if id in score.values]


def _result(id: str, measure: Measure, scores: Sequence[Score], skipped: Mapping[str, int]) -> Result:
    """Return the result of one number; the rows that were left out are among its failures."""
    estimate = ESTIMATES[measure.kind](_items(id, scores), measure.bounds)
    return Result(
        metric=id,
        value=estimate.value,
        stderr=estimate.stderr,
        n=estimate.n,
        unit=measure.counts,
        failures=dict(sorted(skipped.items())),
        groups=estimate.groups,
        step=estimate.step,
    )
