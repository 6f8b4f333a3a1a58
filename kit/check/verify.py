"""Named checks on a finished table, each with the reason it fails.

At the paper's scale a number is compared with the paper's cell; at any other with the value that was recorded in
``manifests/expected/<scale>`` when that scale last changed. Only the paper's scale can say "reproduced", and says it of
a table: no more cells are off than chance allows, and the evolver that the paper finds better is better here.
"""

import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, field_validator, model_validator

from kit.catalogue import manifests_folder, paper
from kit.catalogue.axes import Coordinates, Value, value_text
from kit.catalogue.manifest import Claim
from kit.errors import KitError
from kit.measures import PERCENT, Measure
from kit.plan import Plan
from kit.reading.documents import Strict, read
from kit.reading.values import MOST_ROWS
from kit.records import Result
from kit.report import Cell, Grid, make_grid, plain, plain_json
from kit.store import Store

if TYPE_CHECKING:
    from rich.console import Console

Z = 1.96
"""Standard errors on either side of 0 that a difference may reach by chance."""
CELL_CHANCE = math.erfc(Z / math.sqrt(2))
"""Probability that chance alone puts a difference further out: one cell in twenty."""
TABLE_CHANCE = 0.01
"""Highest probability that chance alone fails a table for the number of its cells that are off."""
PRINTED_ROUNDING = 0.005
"""Half of the last digit that the paper prints of a share, percentage points."""
RECORDED_DIGITS = 2
"""Digits with which a value is recorded beyond those that are shown."""
UNITS_A_FLIP = 50
"""One unit in so many, at least one of a cell, may turn out differently on another CPU."""


Place = tuple[frozenset[tuple[str, str | float]], str]
"""Place of a number in a table: its coordinates, and the metric's id."""


class ExpectedCell(Strict):
    """One number that was recorded for a scale."""

    at: dict[str, Value]
    """axis -> value, as the table's view says it."""
    column: str
    """The metric's id."""
    percent: float | None = Field(default=None, ge=0, le=100)
    """The number, where its unit is percent."""
    value: float | None = None
    """The number, where it has another unit."""
    unit: str = PERCENT
    """The unit of ``value``."""
    n: int = Field(gt=0, le=MOST_ROWS)
    """Units behind it."""

    @model_validator(mode="after")
    def _one_number(self) -> Self:
        if (self.percent is None) == (self.value is None) or (self.value is None) != (self.unit == PERCENT):
            raise ValueError("wanted percent, or value and unit")
        return self

    @property
    def number(self) -> float:
        """The number that was recorded, in its unit."""
        found = self.value if self.percent is None else self.percent
        return found or 0.0


class Expected(Strict):
    """One file of ``manifests/expected``: a table's recorded numbers."""

    schema_: int = Field(alias="schema")
    cells: list[ExpectedCell]

    @field_validator("cells", mode="before")
    @classmethod
    def _listed(cls, cells: Any) -> Any:
        if isinstance(cells, dict):
            raise ValueError("recorded by an earlier version of the kit; `kit verify --record` writes the file anew")
        return cells

    def by_place(self) -> dict[Place, ExpectedCell]:
        """Return the numbers by their place in the table."""
        return {place(cell.at, cell.column): cell for cell in self.cells}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check, with its reason."""

    check: str
    """``stored``, ``unharmed``, ``alive``, ``expected``; at the paper's scale ``cell``, ``paper`` and ``direction``."""
    what: str
    """The cell, or the artifact."""
    passed: bool
    """Whether it is as it should be. A ``cell`` that is off passes: ``paper`` judges how many of them there are."""
    detail: str
    """Found, wanted, tolerance; or why it fails."""
    verdict: str = ""
    """``within`` or ``off`` for a number that was compared with another; else empty."""


def check(plan: Plan, store: Store) -> list[Finding]:
    """Run every check on every table of the plan."""
    found: list[Finding] = []
    for name in plan.tables:
        found += stored(name, plan, store)
        found += check_hashes(name, plan, store)
        try:
            grid = make_grid(name, plan, store)
        except KitError as error:
            if found[-1].passed:  # else it is told already
                found.append(Finding(check="unharmed", what=name, passed=False, detail=str(error)))
            continue
        found += alive(grid)
        found += against_paper(grid) if plan.scale == "paper" else against_expected(grid)
    return found


def stored(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Check that the job of each cell is done."""
    missing = [plan.jobs[key].id for key in _grades(name, plan) if not store.has(key)]
    detail = f"not done: {', '.join(missing)}; run `kit reproduce`" if missing else f"{len(_grades(name, plan))} graded"
    yield Finding(check="stored", what=name, passed=not missing, detail=detail)


def check_hashes(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Check that every artifact behind a table still has the sha256 that its head records."""
    keys = [key for key in sorted(plan.needs(_grades(name, plan))) if store.has(key)]
    faults = [f"{plan.jobs[key].id}: {fault}" for key in keys for fault in store.check(key)]
    detail = "; ".join(faults) if faults else f"{len(keys)} artifacts hash to what they say"
    yield Finding(check="unharmed", what=name, passed=not faults, detail=detail)


def alive(grid: Grid) -> Iterator[Finding]:
    """Check that no column is all at its lowest or all at its highest value: then the pipeline is broken."""
    for index, column in enumerate(grid.columns):
        cells = [line.cells[index] for line in grid.lines]
        if all(cell.is_blank for cell in cells):
            continue
        known = [cell.result.value for cell in cells if cell.result]
        low, high = column.measure.bounds
        dead = bool(known) and (max(known) == low or min(known) == high)
        shown = (column.measure.short_text(column.measure.in_unit(value)) for value in known)
        detail = ", ".join(shown) or "no value"
        what = f"{grid.name}, {column.name}"
        yield Finding(check="alive", what=what, passed=bool(known) and not dead, detail=detail)


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
        if cell.reference is not None and other.reference is not None:
            run.setdefault(at[claim.over], []).append(cell.value - other.value)
            printed.setdefault(at[claim.over], []).append(cell.reference - other.reference)
    return [statistics.fmean(v) for v in run.values()], [statistics.fmean(v) for v in printed.values()]


def place(at: Coordinates, column: str) -> Place:
    """Return the place of a cell, which no other cell of its table has."""
    return frozenset(at.items()), column


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
    return whole / 100 * paper_tolerance(100 * reference / whole, 100 * ours / whole, n, rounding=0.0)


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


def against_expected(grid: Grid) -> Iterator[Finding]:
    """Check that each number and its recorded value differ by no more units than :func:`allowed_flips`."""
    path = expected_path(grid)
    if not path.exists():
        yield Finding(
            check="expected",
            what=grid.name,
            passed=True,
            detail=f"no values are recorded for scale {grid.scale}; `kit verify --record` writes them",
        )
        return
    expected = read(Expected, path, f"manifests/expected/{grid.scale}/{path.name}").by_place()
    for line, cell in named_cells(grid):
        wanted = expected.get(place(cell.address.at, cell.address.column))
        if cell.result is None or cell.value is None:
            continue
        if wanted is None:
            yield Finding(check="expected", what=line, passed=False, detail=f"{path.name} has no value for this cell")
            continue
        detail = f"{cell.measure.text(cell.value)}, recorded {cell.measure.text(wanted.number)}"
        if (other := other_basis(cell.result, cell.measure, wanted)) is not None:
            yield Finding(check="expected", what=line, passed=False, detail=detail + other, verdict="off")
            continue
        passed, how_far = close_to_recorded(cell.result, cell.measure, wanted.number)
        verdict = "within" if passed else "off"
        yield Finding(check="expected", what=line, passed=passed, detail=f"{detail}: {how_far}", verdict=verdict)


def other_basis(result: Result, measure: Measure, wanted: ExpectedCell) -> str | None:
    """Return why a number can't be compared with the recorded one: another unit or other rows; None where it can."""
    if measure.unit != wanted.unit:
        return f"; in {measure.unit or 'no unit'}, recorded in {wanted.unit or 'no unit'}"
    return f"; over {result.n} units, recorded over {wanted.n}" if result.n != wanted.n else None


def close_to_recorded(result: Result, measure: Measure, recorded: float) -> tuple[bool, str]:
    """Return whether a number differs from the recorded one by no more than :func:`allowed_flips` units, and how far.

    A share or a count differs by whole units. In a mean a unit weighs :attr:`Result.step` at most: so many steps are
    allowed, and half of the last digit that is recorded.
    """
    allowed = allowed_flips(result.n)
    if measure.kind in ("share", "count"):
        unit = measure.in_unit(1 / result.n if result.step is None else result.step)
        apart = abs(round(measure.in_unit(result.value) / unit) - round(recorded / unit))
        return apart <= allowed, f"{apart} of {result.n} units apart, {allowed} allowed"
    distance = abs(measure.in_unit(result.value) - recorded)
    most = allowed * measure.in_unit(result.step or 0.0)
    what = f"{measure.text(distance)} {measure.difference_unit} apart, {measure.text(most)} allowed"
    return distance <= most + measure.rounding * 10.0**-RECORDED_DIGITS, what


def allowed_flips(n: int) -> int:
    """Return how many of ``n`` units may differ from the recorded ones: one in :data:`UNITS_A_FLIP`, at least one.

    Kernels of another CPU sum in another order, a greedy text forks at a near tie, and an answer changes. An allowance,
    not a measurement: a text that forks before training changes the tuned model, and may move a cell further.
    """
    return max(1, n // UNITS_A_FLIP)


def record(plan: Plan, store: Store) -> list[Path]:
    """Write what the store has as the values expected from now on.

    Raises:
        KitError: a cell is missing; half a table is no reference.
    """
    written = []
    for name in plan.tables:
        grid = make_grid(name, plan, store)
        lines = [
            f"# Written by `kit verify --record` at scale {grid.scale}; {_recorded_units(grid)}, units behind it.",
            "schema = 1",
            "cells = [",
        ]
        for what, cell in named_cells(grid):
            if cell.is_blank:
                continue
            if cell.result is None or cell.value is None:
                raise KitError(f"{what}: not computed yet; only a whole table can be recorded")
            at = ", ".join(
                f"{toml(axis) if '.' in axis else axis} = {toml(value)}" for axis, value in cell.address.at.items()
            )
            column = toml(cell.address.column)
            number = f"{cell.value:.{cell.measure.digits + RECORDED_DIGITS}f}"
            named = cell.measure.unit == PERCENT
            number = f"percent = {number}" if named else f"value = {number}, unit = {toml(cell.measure.unit)}"
            lines.append(f"  {{ at = {{ {at} }}, column = {column}, {number}, n = {cell.result.n} }},")
        lines.append("]")
        path = expected_path(grid)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        except OSError as error:
            raise KitError(f"{path}: {error.strerror}; nothing was recorded there") from error
        written.append(path)
    return written


def _recorded_units(grid: Grid) -> str:
    """Return what a file of recorded values says of their unit."""
    return "value in percent" if grid.units() == [PERCENT] else "value in its unit"


def expected_path(grid: Grid) -> Path:
    """Return the file that holds a table's recorded values for a scale."""
    return manifests_folder() / "expected" / grid.scale / f"{grid.name}.toml"


def toml(value: str | float) -> str:
    """Return a value as TOML text; strings have the same escapes as in JSON."""
    return json.dumps(value, ensure_ascii=False)


def as_json(plan: Plan, findings: list[Finding]) -> str:
    """Return the findings as one JSON document."""
    document = {
        "schema": 1,
        "scale": plan.scale,
        "tables": list(plan.tables),
        "passed": all(finding.passed for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return plain_json(document)


def show(console: "Console", plan: Plan, findings: list[Finding]) -> None:
    """Print one line for each check, and a last one with the verdict."""
    from rich.text import Text

    for finding in findings:
        mark = ("ok  ", "green") if finding.passed else ("FAIL", "bold red")
        mark = ("off ", "yellow") if finding.passed and finding.verdict == "off" else mark
        console.print(
            Text.assemble(mark, f"  {finding.check:9} {plain(finding.what)}: {plain(finding.detail)}"), soft_wrap=True
        )
    failed = sum(not finding.passed for finding in findings)
    line = f"{len(findings)} checks, {failed} failed. {verdict(plan, findings)}"
    console.print(Text(line, style="bold"), soft_wrap=True)


def verdict(plan: Plan, findings: list[Finding]) -> str:
    """Return the checks' verdict; only tables that were compared at the paper's scale are called "reproduced"."""
    failed = any(not finding.passed for finding in findings)
    compared = any(finding.verdict for finding in findings)
    if plan.scale == "paper":
        if not compared:
            return "No cell was compared with the paper's."
        if failed:
            return "The paper's tables are not reproduced: see what failed."
        return "The paper's tables are reproduced, as far as these checks go."
    if not compared:
        text = f"Nothing is recorded for scale {plan.scale} to compare with"
    else:
        text = f"Scale {plan.scale} {'does not give' if failed else 'gives'} what was recorded"
    return f"{text}; it says nothing about the paper's numbers."


def _grades(name: str, plan: Plan) -> list[str]:
    return list(dict.fromkeys(key for address in plan.cells[name] for key in address.keys))


def named_cells(grid: Grid) -> Iterator[tuple[str, Cell]]:
    """Yield each cell with its name in messages: table, row, column."""
    for line in grid.lines:
        for cell, column in zip(line.cells, grid.columns, strict=True):
            yield ", ".join([grid.name, *line.names(), column.name]), cell


def _left_blank(printed: paper.PaperTable, cell: Cell) -> bool:
    """Return whether the paper has this row, and prints no number in this column (none, or a word)."""
    row = printed.row_at(cell.address.at)
    return row is not None and not isinstance(row.values.get(cell.address.column), int | float)
