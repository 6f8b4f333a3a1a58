"""Verdict on one number beside the paper's, by :func:`kit.comparing.verdicts.decide` and the noise that is known.

The paper prints one run. Where several training seeds ran, their spread is pooled for each number over bases and
evolvers. Where one ran, the widest spread that anybody measured is assumed on top of the items' noise. Scores of
instruction sets are of rows that were drawn each by itself, and no model is trained for them: rows are all their noise.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kit.catalogue.views import measuring_stage
from kit.check.findings import OFF, Numbers
from kit.comparing.intervals import Interval, Spread, pooled_spread
from kit.comparing.shares import independent_items, pooled_angles, spread_at
from kit.comparing.verdicts import WIDEST_SEED_SPREAD, Decision, Items, decide, means_with_errors, shares_of_own_items
from kit.measures import PERCENT, Measure
from kit.report import Cell, Grid

Spreads = Mapping[tuple[str, str], Spread]
"""Benchmark and id of a number -> its spread between runs of other training seeds: of shares and counts as angles in
radians (:func:`kit.comparing.shares.pooled_angles`), of others as stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The verdict on one number, with its reason, and how unlikely its difference is where it is off."""

    verdict: str
    detail: str
    numbers: Numbers
    p: float = 1.0
    """Two-sided probability of a difference as large, if both runs have one truth; 1 where it is not off."""


def seed_spreads(grids: Iterable[Grid]) -> Spreads:
    """Return the spread between training seeds of each number, pooled over all cells of which several runs are done.

    A cell that several tables share counts once. Where all runs of all cells agree there is no spread to go by, and the
    number is left out.
    """
    groups: dict[tuple[str, str], dict[tuple[str, ...], Cell]] = {}
    for grid in grids:
        for line in grid.lines:
            for cell, column in zip(line.cells, grid.columns, strict=True):
                if len(cell.runs) > 1:
                    groups.setdefault((column.benchmark, column.id), {})[cell.address.keys] = cell
    found = {number: _pooled(list(cells.values())) for number, cells in groups.items()}
    return {number: spread for number, spread in found.items() if spread.value > 0}


def _pooled(cells: Sequence[Cell]) -> Spread:
    """Return the pooled spread of one number's runs; shares of different size are pooled as angles."""
    if cells[0].measure.kind not in ("share", "count"):
        return pooled_spread([cell.runs for cell in cells])
    wholes = [cell.result.n if cell.measure.kind == "count" and cell.result else 1 for cell in cells]
    return pooled_angles([[run / whole for run in cell.runs] for cell, whole in zip(cells, wholes, strict=True)])


def spread_of(cell: Cell, spread: Spread) -> Spread:
    """Return a number's spread between training seeds in its unit; a share's at the mean of ours and the paper's."""
    assert cell.result is not None and cell.value is not None and cell.reference is not None
    if cell.measure.kind not in ("share", "count"):
        return Spread(cell.measure.in_unit(spread.value), spread.degrees)
    whole = whole_of(cell)
    return spread_at(spread, (cell.value + min(cell.reference, whole)) / 2, whole)


def whole_of(cell: Cell) -> float:
    """Return the value that a share of 1 has in the number's unit."""
    assert cell.result is not None
    return float(cell.result.n) if cell.measure.kind == "count" else cell.measure.in_unit(1.0)


def judge(cell: Cell, benchmark: str, spread: Spread | None, margin: float | None) -> Judged:
    """Return the verdict on a number that is computed and that the paper prints.

    Args:
        cell: the number, with the paper's.
        benchmark: the benchmark or metric that it is of.
        spread: the number's spread between training seeds, as :func:`seed_spreads` has it; None where it is not known.
        margin: the benchmark's margin in the number's unit; None where there is none.
    """
    assert cell.value is not None and cell.reference is not None and cell.result is not None
    measure = cell.measure
    runs = [measure.in_unit(value) for value in cell.runs or (cell.result.value,)]
    in_unit = spread_of(cell, spread) if spread else None
    widest = widest_spread(cell)
    decision = decide(
        runs,
        cell.reference,
        margin=margin,
        rounding=measure.rounding,
        spread=in_unit,
        items=noise_of_items(cell),
        is_retrained=measuring_stage(benchmark) == "grade",
        widest=widest,
    )
    ends = difference_ends(decision, cell.value)
    numbers = Numbers(
        against="paper",
        unit=measure.unit,
        ours=cell.value,
        wanted=cell.reference,
        n=cell.result.n,
        stderr=cell.error,
        runs=len(runs),
        interval=(ends.low, ends.high) if ends else None,
        smallest=decision.smallest,
        allowed=margin,
    )
    reason = (
        f"{_between(decision, ends, margin, measure)}; n {cell.result.n:,}, {_source(cell, decision, in_unit, widest)}"
    )
    return Judged(verdict=decision.verdict, detail=f"{_both(cell)}, {reason}", numbers=numbers, p=decision.p)


def noise_of_items(cell: Cell) -> Items:
    """Return the noise of the items, as of two runs that have items of their own: the paper's are not printed.

    Shares and counts: of as many independent items as explain our clustered standard error. Means: ``sqrt(2)`` times
    our standard error, since the paper prints none.
    """
    result, measure = cell.result, cell.measure
    assert result is not None and cell.value is not None and cell.reference is not None
    if measure.kind not in ("share", "count"):
        return means_with_errors(math.sqrt(2) * measure.in_unit(result.stderr), max(result.n - 1, 1))
    whole = whole_of(cell)
    n = independent_items(cell.value / whole, (cell.error or 0.0) / whole, result.n)
    return shares_of_own_items(cell.value, min(cell.reference, whole), n, whole)  # the paper may count more units


def widest_spread(cell: Cell) -> Spread | None:
    """Return the spread between training seeds to assume where none is known, in the number's unit.

    It was measured in points; a count has as many percent of its units, and a number in another unit has none.
    """
    assert cell.result is not None
    if cell.measure.kind == "count":
        return Spread(WIDEST_SEED_SPREAD.value * cell.result.n / 100, WIDEST_SEED_SPREAD.degrees)
    return WIDEST_SEED_SPREAD if cell.measure.unit == PERCENT else None


def difference_ends(decision: Decision, ours: float) -> Interval | None:
    """Return the 95 % interval of the difference ours minus the paper's: the prediction interval, seen from ours."""
    found, difference = decision.prediction, decision.difference
    if found is None or difference is None:
        return None
    paper = ours - difference
    return Interval(found.low - paper, found.high - paper, found.confidence)


def _both(cell: Cell) -> str:
    """Return our number with its standard error, the paper's, and their difference, as text."""
    assert cell.value is not None and cell.reference is not None
    measure, difference = cell.measure, round(cell.value - cell.reference, 9) + 0.0  # no -0.00
    ours = f"{measure.text(cell.value)} ±{measure.short_text(cell.error or 0.0)}"
    apart = f"{measure.signed_text(difference)} {measure.difference_unit}".rstrip()
    return f"{ours}, the paper prints {measure.text(cell.reference)}: {apart}"


def _between(decision: Decision, ends: Interval | None, margin: float | None, measure: Measure) -> str:
    """Return the interval that decided, beside the margin or 0; where it decided nothing, what could have been told."""
    within = "no margin stands in manifests/margins.toml" if margin is None else f"margin ±{measure.text(margin)}"
    if ends is None or decision.difference_90 is None or decision.smallest is None:
        return within
    if decision.verdict == "match":
        return f"90 % interval {_ends(decision.difference_90, measure)} within the {within}"
    wide = f"95 % interval {_ends(ends, measure)}"
    if decision.verdict == OFF:
        return f"{wide} leaves out 0"
    return f"{wide}, {within}, could have told {measure.text(decision.smallest)}"


def _source(cell: Cell, decision: Decision, spread: Spread | None, widest: Spread | None) -> str:
    """Return a phrase that says how many runs there are, and what the noise between two of them was taken from."""
    text = cell.measure.text
    count = f"mean of {len(cell.runs)} runs" if len(cell.runs) > 1 else "1 run"
    if decision.basis == "items":
        return f"{count}, noise of its rows"
    if decision.basis == "seeds" and spread:
        return f"{count}, spread {text(spread.value)} between training seeds ({spread.degrees:g} degrees of freedom)"
    unknown = "that all agree" if len(cell.runs) > 1 else "and its spread between training seeds is not known"
    if decision.basis == "widest" and widest:
        return f"{count} {unknown}: assumed is {text(widest.value)}, the widest that anybody measured"
    return f"{count} {unknown}; take a second seed"


def _ends(interval: Interval, measure: Measure) -> str:
    """Return the ends of an interval of differences as text."""
    return f"{measure.signed_text(interval.low)} to {measure.signed_text(interval.high)}"
