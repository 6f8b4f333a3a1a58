"""Sum the grades of a benchmark up to results, and check the curves that a benchmark gives."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kit.measures import CurveMeasure, Measure
from kit.measures.estimates import ESTIMATES, Item
from kit.records import Curve, Grade, Result


def results(
    grades: Iterable[Grade], measures: Mapping[str, Measure], groups: Mapping[str, str] | None = None
) -> list[Result]:
    """Sum the grades up, and return one result for each metric.

    Args:
        grades: every item's, once.
        measures: metric -> its measure, in the order of the results.
        groups: id of a problem -> its group, for means over groups.

    Raises:
        ValueError: no unit was judged for a metric, a grade has a metric that no measure has, or a problem has no group
            for a mean over groups.
    """
    rows = list(grades)
    if others := sorted({metric for grade in rows for metric in grade.scores} - set(measures)):
        raise ValueError(f"grades have the metric {others[0]}, which is not among {', '.join(measures)}")
    items = {metric: _items(metric, measure, rows, groups or {}) for metric, measure in measures.items()}
    if empty := [metric for metric in measures if not items[metric]]:
        raise ValueError(f"nothing was judged for {', '.join(empty)}")
    return [_result(metric, measure, items[metric], rows) for metric, measure in measures.items()]


def _items(metric: str, measure: Measure, grades: Sequence[Grade], groups: Mapping[str, str]) -> list[Item]:
    """Return the score of each row for one metric, of those that it judges."""
    found = []
    for grade in grades:
        total, units = grade.scores.get(metric, (0, 0))
        if not units:
            continue
        group = groups.get(grade.id, "")
        if not group and measure.kind == "mean over groups":
            raise ValueError(f"{metric} is a mean over groups, and problem {grade.id} has no group")
        found.append(Item(total=total, units=int(units), group=group))
    return found


def _result(metric: str, measure: Measure, items: Sequence[Item], grades: Sequence[Grade]) -> Result:
    """Return the result of one metric."""
    estimate = ESTIMATES[measure.kind](items, measure.bounds)
    return Result(
        metric=metric,
        value=estimate.value,
        stderr=estimate.stderr,
        n=estimate.n,
        unit=measure.counts,
        failures=dict(sorted(_failures(metric, measure, grades).items())),
        groups=estimate.groups,
        step=estimate.step,
    )


def _failures(metric: str, measure: Measure, grades: Sequence[Grade]) -> Counter[str]:
    """Return how many units each reason explains; in a mean, where no unit is right or wrong, how many rows."""
    found: Counter[str] = Counter()
    for grade in grades:
        total, units = grade.scores.get(metric, (0, 0))
        if grade.reason and units and (measure.kind == "mean" or total < units):
            found[grade.reason] += 1 if measure.kind == "mean" else math.ceil(units - total)
    return found


def check_curves(curves: Iterable[Curve], measures: Mapping[str, CurveMeasure]) -> list[Curve]:
    """Return the curves that a plug-in gave, each of which is named and whole.

    Raises:
        ValueError: one is not among the plug-in's, is not whole, or two have one name and group.
    """
    found: dict[tuple[str, str], Curve] = {}
    for curve in curves:
        if curve.curve not in measures:
            raise ValueError(f"no curve named {curve.curve!r} in CURVES; known: {', '.join(measures)}")
        if fault := curve.fault():
            raise ValueError(f"{curve.curve}, group {curve.group!r}: {fault}")
        if (curve.curve, curve.group) in found:
            raise ValueError(f"{curve.curve}: the group {curve.group!r} stands twice")
        found[curve.curve, curve.group] = curve
    return list(found.values())
