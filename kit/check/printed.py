"""Compare a table with the paper's: each cell within a tolerance, how many are off, which evolver comes out ahead."""

import math
import statistics
from collections.abc import Iterator

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, value_text
from kit.catalogue.manifest import Claim
from kit.check.findings import Finding, named_cells, place
from kit.measures import PERCENT, Measure
from kit.records import Result
from kit.report import Cell, Grid

Z = 1.96
"""Standard errors on either side of 0 that a difference may reach by chance."""
CELL_CHANCE = math.erfc(Z / math.sqrt(2))
"""Probability that chance alone puts a difference further out: one cell in twenty."""
TABLE_CHANCE = 0.01
"""Highest probability that chance alone fails a table for the number of its cells that are off."""
PRINTED_ROUNDING = 0.005
"""Half of the last digit that the paper prints of a share, percentage points."""


def against_paper(grid: Grid) -> Iterator[Finding]:
    """Compare each cell with the paper's, count those that are off, and check which evolver comes out ahead."""
    if grid.table.paper is None:
        return
    printed = paper.table(grid.table.paper).of_series(grid.table.series)
    cells = list(each_cell(grid, printed))
    yield from cells
    yield cells_off(grid, cells)
    for claim in grid.table.claims:
        yield from (direction(grid, claim, unit) for unit in grid.units())


def each_cell(grid: Grid, printed: paper.PaperTable) -> Iterator[Finding]:
    """Yield for each cell whether it is within the tolerance; a cell that is not in the paper's file fails."""
    for what, cell in named_cells(grid):
        if cell.is_blank:
            continue
        if cell.reference is None:
            if not _left_blank(printed, cell):
                detail = f"manifests/paper/{grid.table.paper} has no such cell: a name has changed"
                yield Finding(check="cell", what=what, passed=False, detail=detail)
        elif cell.value is not None and cell.result is not None:
            tolerance, text = cell_tolerance(cell.reference, cell.result, cell.measure), cell.measure.text
            verdict = "within" if abs(cell.value - cell.reference) <= tolerance else "off"
            detail = f"{text(cell.value)}, the paper prints {text(cell.reference)}, tolerance ±{text(tolerance)}"
            yield Finding(check="cell", what=what, passed=True, detail=detail, verdict=verdict)


def cells_off(grid: Grid, cells: list[Finding]) -> Finding:
    """Check that every cell that the paper prints was compared, and no more are off than :func:`allowed_off`."""
    printed = sum(cell.reference is not None for _, cell in named_cells(grid))
    compared = sum(bool(cell.verdict) for cell in cells)
    off = sum(cell.verdict == "off" for cell in cells)
    allowed = allowed_off(compared)
    detail = f"{off} of {compared} cells are off, chance allows {allowed}" if compared else "no cell was compared"
    detail += f"; {printed - compared} are not computed" if compared < printed else ""
    passed = compared == printed and off <= allowed and off < compared
    return Finding(check="paper", what=grid.name, passed=passed, detail=detail)


def allowed_off(cells: int) -> int:
    """Return how many of a table's cells may be off: by chance alone more are in one table of a hundred at most.

    Binomial, :data:`CELL_CHANCE` a cell, one-sided :data:`TABLE_CHANCE`: 10 of 96. Cells that share a model or its
    answers are not independent, so chance spreads wider than this, on both sides.
    """
    more = 1.0
    for off in range(cells):
        more -= math.comb(cells, off) * CELL_CHANCE**off * (1 - CELL_CHANCE) ** (cells - off)
        if more <= TABLE_CHANCE:
            return off
    return cells


def direction(grid: Grid, claim: Claim, unit: str = PERCENT) -> Finding:
    """Check the view's claim: the cells at one point are above those at another, as in the paper.

    The cells are those of one unit: a mean over percent and other numbers says nothing.

    The mean difference over all cells is more than :data:`Z` standard errors above 0. With six base models, chance
    passes one table in twenty whose evolvers don't differ (Student's t, 5 degrees).
    """
    differences, paper_differences = mean_differences(grid, claim, unit)
    what = f"{grid.name}, {_values(claim.better)} - {_values(claim.worse)}"
    what += f", {unit}" if len(grid.units()) > 1 else ""
    if len(differences) < 2:
        detail = f"{len(differences)} {claim.over}s have both sides' cells; a standard error takes two"
        return Finding(check="direction", what=what, passed=False, detail=detail)
    mean, stderr = mean_and_stderr(differences)
    paper_mean, paper_stderr = mean_and_stderr(paper_differences)
    word = "as in the paper" if mean > Z * stderr else "reversed" if mean < -Z * stderr else "not clear of 0"
    measure = next(column.measure for column in grid.columns if column.measure.unit == unit)
    detail = (
        f"{word}: {measure.signed_text(mean)} ±{measure.text(stderr)} {measure.difference_unit} over "
        f"{len(differences)} {claim.over}s, the paper's {measure.signed_text(paper_mean)} ±{measure.text(paper_stderr)}"
    )
    return Finding(check="direction", what=what, passed=mean > Z * stderr, detail=detail)


def mean_differences(grid: Grid, claim: Claim, unit: str = PERCENT) -> tuple[list[float], list[float]]:
    """Return the mean differences better minus worse, in the unit: for our run and for the paper.

    There is one for each value of the axis that the claim goes over. Cells are paired that agree in everything but
    what the claim names; cells of other units are left out.
    """
    cells = {place(cell.address.at, cell.address.column): cell for _, cell in named_cells(grid)}
    run: dict[str | float, list[float]] = {}
    printed: dict[str | float, list[float]] = {}
    for _, cell in named_cells(grid):
        at = cell.address.at
        if any(at.get(axis) != value for axis, value in claim.better.items()) or claim.over not in at:
            continue
        if cell.measure.unit != unit:
            continue
        other = cells.get(place({**at, **claim.worse}, cell.address.column))
        if other is None or cell.value is None or other.value is None:
            continue
        if cell.address.keys == other.address.keys:  # one result on both sides, as of seeds that nobody evolved
            continue
        if cell.reference is not None and other.reference is not None:
            run.setdefault(at[claim.over], []).append(cell.value - other.value)
            printed.setdefault(at[claim.over], []).append(cell.reference - other.reference)
    return [statistics.fmean(v) for v in run.values()], [statistics.fmean(v) for v in printed.values()]


def _values(at: Coordinates) -> str:
    """Return the values of coordinates alone, for a message."""
    return ", ".join(map(value_text, at.values()))


def mean_and_stderr(values: list[float]) -> tuple[float, float]:
    """Return the mean over the values of a claim's axis, base models as a rule, and its standard error.

    The error comes from the spread between base models, not between cells: the cells of one base model are answers of
    the same three tuned models, and IFEval's four columns count the same answers.
    """
    return statistics.fmean(values), statistics.stdev(values) / math.sqrt(len(values))


def cell_tolerance(reference: float, ours: Result, measure: Measure) -> float:
    """Return how far a cell may lie from the paper's, in the measure's unit.

    Shares and counts: :func:`paper_tolerance`, of a count times its units. Means: the paper prints no spread of its
    rows' scores, so ours stands for both runs: ``1.96 * sqrt(2) * stderr``, plus what the paper's rounding hides.
    """
    value = measure.in_unit(ours.value)
    if measure.kind == "share":
        return scaled_tolerance(reference, value, ours.n, measure.in_unit(1.0)) + measure.rounding
    if measure.kind == "count":
        return scaled_tolerance(reference, value, ours.n, ours.n) + measure.rounding
    return Z * math.sqrt(2) * measure.in_unit(ours.stderr) + measure.rounding


def scaled_tolerance(reference: float, ours: float, n: int, whole: float) -> float:
    """Return :func:`paper_tolerance` of two shares that are given as parts of ``whole``, without the rounding."""
    part = min(reference / whole, 1.0)  # the paper may count more units right than there are here
    return whole / 100 * paper_tolerance(100 * part, 100 * ours / whole, n, rounding=0.0)


def paper_tolerance(reference: float, ours: float, n: int, *, rounding: float = PRINTED_ROUNDING) -> float:
    """Return how far a cell may lie from the paper's, percentage points: a yardstick, no measured spread of runs.

    ``1.96 * sqrt(se_reference^2 + se_ours^2)``, both binomial over ``n`` units, plus what the paper's rounding hides.
    That is the band for two runs that each draw ``n`` items of their own. Both answer the same ``n`` items, so what the
    choice of items adds is counted twice and should not be: too wide. What a run's own draws add (sampled instructions,
    order and seed of training) is left out, as is the correlation of instructions that stand in one prompt: too narrow.
    How these balance is not known: the paper prints one run and no spread.
    """
    spread = math.sqrt(sum(p * (100 - p) / n for p in (reference, ours)))
    return Z * spread + rounding


def _left_blank(printed: paper.PaperTable, cell: Cell) -> bool:
    """Return whether the paper has this row, and prints no number in this column (none, or a word)."""
    row = printed.row_at(cell.address.at)
    return row is not None and not isinstance(row.values.get(cell.address.printed or cell.address.column), int | float)
