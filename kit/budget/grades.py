"""Results of a step, read from the gradings in the store."""

import math

from kit.budget.evidence import Observed
from kit.budget.steps import CellPair, Step
from kit.claims.items import Items, metrics_of
from kit.claims.numbers import Number
from kit.errors import KitError


def observe(step: Step, items: Items) -> Observed:
    """Return the mean difference of a step's cells, in points, and the difference of each item.

    An item's difference is the mean over the cells of its benchmark of its share of units right, one side minus the
    other: -1, 0 or 1 where an item has one unit.

    Raises:
        KitError: a grading is missing, was changed, or has other items on the other side.
    """
    differences = [
        _value(cell.better, cell.better_key, items) - _value(cell.worse, cell.worse_key, items) for cell in step.cells
    ]
    found: dict[str, dict[str, float]] = {}
    for benchmark in step.benchmarks:
        cells = [cell for cell in step.cells if cell.benchmark == benchmark]
        found[benchmark] = _item_differences(cells, items)
    return Observed(
        replicate=step.replicate,
        weight=len(step.cells),
        difference=math.fsum(differences) / len(differences),
        items=found,
    )


def _value(number: Number, key: str, items: Items) -> float:
    """Return one run's value of a number, percent."""
    value = items.value(number, key)
    if value is None:
        raise KitError(f"{number.name()}: grading {key[:12]} has no item of it; run its job again")
    return value


def _item_differences(cells: list[CellPair], items: Items) -> dict[str, float]:
    """Return the difference of each item of one benchmark: the mean over the cells that count it."""
    sums: dict[str, list[float]] = {}
    for cell in cells:
        for metric in metrics_of(cell.better):
            better = {id: total / units for id, total, units in items.of(cell.better_key, metric)}
            worse = {id: total / units for id, total, units in items.of(cell.worse_key, metric)}
            if better.keys() != worse.keys():
                raise KitError(
                    f"{cell.better.name()}: gradings {cell.better_key[:12]} and {cell.worse_key[:12]} have different "
                    "items; run their jobs again"
                )
            for id, share in better.items():
                sums.setdefault(id, []).append(share - worse[id])
    return {id: math.fsum(values) / len(values) for id, values in sums.items()}
