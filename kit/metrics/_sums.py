"""Sum the scores of rows up to the numbers of a table."""

from collections import Counter
from collections.abc import Mapping, Sequence

from kit.errors import KitError
from kit.measures import Measure
from kit.measures.estimates import ESTIMATES, Item
from kit.records import Result, Score


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
    return [Item(total=score.values[id], units=1) for score in scores if id in score.values]


def _result(id: str, measure: Measure, scores: Sequence[Score], skipped: Mapping[str, int]) -> Result:
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
