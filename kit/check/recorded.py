"""Compare a table or figure with the values recorded for its scale in ``manifests/expected``, and record them anew."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from kit.catalogue import manifests_folder
from kit.catalogue.axes import Coordinates, Value, value_text
from kit.check.findings import (
    CANNOT_TELL,
    MATCH,
    MISSING,
    OFF,
    Finding,
    Numbers,
    Place,
    compares_with_paper,
    named_cells,
    named_curves,
    place,
)
from kit.check.recorded_curves import (
    RECORDED_DIGITS,
    UNITS_A_FLIP,
    ExpectedCurve,
    against_recorded,
    curve_lines,
    curves_by_place,
)
from kit.errors import KitError, RequestError
from kit.measures import PERCENT, Measure
from kit.plan import Plan
from kit.reading.documents import Strict, read
from kit.reading.values import MOST_ROWS
from kit.records import Result
from kit.report import Cell, Grid, make_grid
from kit.report.curves import CurveCell
from kit.store import Store

RECORD = "where these numbers are right, the same command with --record writes them into manifests/"
"""The way to record values, for messages."""
CURVE_UNIT = "percent of the curve"
"""The unit of a curve's difference: the part of it that lies elsewhere."""


class ExpectedCell(Strict):
    """One number that was recorded for a scale."""

    at: dict[str, Value]
    """axis -> value, as the table's view says it."""
    column: str
    """The metric's id."""
    percent: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """The number, where its unit is percent; an IFD may be above 100."""
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
    curves: list[ExpectedCurve] = Field(default_factory=list)
    """Lines of curves; none in a table of numbers."""

    @field_validator("cells", mode="before")
    @classmethod
    def _listed(cls, cells: Any) -> Any:
        if isinstance(cells, dict):
            raise ValueError("recorded by an earlier version of the kit; `kit verify --record` writes the file anew")
        return cells

    def by_place(self) -> dict[Place, ExpectedCell]:
        """Return the numbers by their place in the table."""
        return {place(cell.at, cell.column): cell for cell in self.cells}


def against_expected(grid: Grid) -> Iterator[Finding]:
    """Compare each number and each curve with what was recorded for the scale; where nothing was, it can't be told."""
    path = expected_path(grid)
    expected = None
    if path.exists():
        expected = read(Expected, path, f"manifests/expected/{grid.scale}/{path.name}")
        yield from places_without_cell(grid, expected)
    nothing = f"{path.name} has no value for it" if expected else f"nothing is recorded for scale {grid.scale}"
    numbers = expected.by_place() if expected else {}
    for what, cell in named_cells(grid):
        if not cell.is_blank:
            yield _on_number(grid.name, what, cell, numbers.get(place(cell.address.at, cell.address.column)), nothing)
    lines = curves_by_place(expected.curves) if expected else {}
    for what, curve in named_curves(grid):
        recorded = lines.get(place(curve.address.at, curve.address.column))
        yield _on_curve(grid.name, what, curve, recorded, nothing)


def _on_number(table: str, what: str, cell: Cell, wanted: ExpectedCell | None, nothing: str) -> Finding:
    """Return the verdict on one number; ``nothing`` says why it can't be told where no value was recorded."""
    numbers = Numbers(
        against="recorded",
        unit=cell.measure.unit,
        ours=cell.value,
        wanted=wanted.number if wanted else None,
        n=cell.result.n if cell.result else None,
        stderr=cell.error,
        runs=len(cell.runs),
    )
    if cell.result is None or cell.value is None:
        return _verdict(table, what, MISSING, "not computed", numbers)
    text = cell.measure.text
    if wanted is None:
        return _verdict(table, what, CANNOT_TELL, f"{text(cell.value)}; {nothing}; {RECORD}", numbers)
    detail = f"{text(cell.value)}, recorded {text(wanted.number)}"
    if (other := other_basis(cell.result, cell.measure, wanted)) is not None:
        return _verdict(table, what, OFF, detail + other, numbers)
    passed, how_far = close_to_recorded(cell.result, cell.measure, wanted.number)
    most, unit = allowed_difference(cell.result, cell.measure)
    apart = cell.value - wanted.number
    numbers = replace(numbers, interval=(apart - most, apart + most), smallest=most + unit, allowed=most)
    return _verdict(table, what, MATCH if passed else OFF, f"{detail}: {how_far}", numbers)


def _on_curve(
    table: str, what: str, cell: CurveCell, recorded: Mapping[tuple[int, str], ExpectedCurve] | None, nothing: str
) -> Finding:
    """Return the verdict on one curve; its numbers are the percent of it that lies elsewhere."""
    numbers = Numbers(against="recorded", unit=CURVE_UNIT, ours=None, wanted=None, runs=len(cell.runs))
    if len(cell.runs) < len(cell.address.keys):
        return _verdict(table, what, MISSING, "not computed", numbers)
    if recorded is None:
        return _verdict(table, what, CANNOT_TELL, f"a curve; {nothing}; {RECORD}", numbers)
    found = against_recorded(cell, recorded)
    numbers = replace(numbers, ours=100 * found.moved, wanted=0.0, n=found.n, allowed=100 * found.allowed)
    return _verdict(table, what, found.verdict, found.detail, numbers)


def _verdict(table: str, what: str, verdict: str, detail: str, numbers: Numbers) -> Finding:
    """Return the finding on one number or curve; only a match passes."""
    passed = verdict == MATCH
    return Finding(
        check="expected", table=table, what=what, passed=passed, detail=detail, verdict=verdict, numbers=numbers
    )


def places_without_cell(grid: Grid, expected: Expected) -> Iterator[Finding]:
    """Yield a failed finding for each recorded number or curve that the table does not have."""
    known = {place(cell.address.at, cell.address.column) for _, cell in named_cells(grid) if not cell.is_blank}
    known |= {place(curve.address.at, curve.address.column) for curve in grid.curves}
    recorded: list[ExpectedCell | ExpectedCurve] = [*expected.cells, *expected.curves]
    wanted = {place(one.at, one.column): one for one in recorded}
    for where, one in wanted.items():
        if where not in known:
            what = ", ".join([grid.name, *map(value_text, one.at.values()), one.column])
            detail = "recorded, but the table has no such cell; `kit verify --record` writes the file anew"
            yield Finding(check="expected", table=grid.name, what=what, passed=False, detail=detail)


def other_basis(result: Result, measure: Measure, wanted: ExpectedCell) -> str | None:
    """Return why a number can't be compared with the recorded one: another unit or other rows; None where it can."""
    if measure.unit != wanted.unit:
        return f"; in {measure.unit or 'no unit'}, recorded in {wanted.unit or 'no unit'}"
    return f"; over {result.n} units, recorded over {wanted.n}" if result.n != wanted.n else None


def close_to_recorded(result: Result, measure: Measure, recorded: float) -> tuple[bool, str]:
    """Return whether a number differs from the recorded one by no more than :func:`allowed_flips` units, and how far.

    A run's share or count differs by whole units, the mean of several runs by parts of one. In a mean over rows a unit
    weighs :attr:`Result.step` at most. Beyond that, half of the last digit that is recorded is allowed.
    """
    distance = abs(measure.in_unit(result.value) - recorded)
    most, unit = allowed_difference(result, measure)
    hidden = measure.rounding * 10.0**-RECORDED_DIGITS
    if measure.kind in ("share", "count"):
        apart = f"{distance / unit:.1f}".removesuffix(".0")
        how_far = f"{apart} of {result.n} units apart, {allowed_flips(result.n)} allowed"
    else:
        how_far = f"{measure.text(distance)} {measure.difference_unit} apart, {measure.text(most)} allowed"
    return distance <= most + hidden, how_far


def allowed_difference(result: Result, measure: Measure) -> tuple[float, float]:
    """Return how far :func:`allowed_flips` units move a number at most, and how far one does, in the measure's unit."""
    step = result.step
    if measure.kind in ("share", "count"):
        step = 1 / result.n if step is None else step
    unit = measure.in_unit(step or 0.0)
    return allowed_flips(result.n) * unit, unit


def allowed_flips(n: int) -> int:
    """Return how many of ``n`` units may differ from the recorded ones: one in :data:`UNITS_A_FLIP`, at least one.

    Kernels of another CPU sum in another order, a greedy text forks at a near tie, and an answer changes. An allowance,
    not a measurement: a text that forks before training changes the tuned model, and may move a cell further.
    """
    return max(1, n // UNITS_A_FLIP)


def record(plan: Plan, store: Store) -> list[Path]:
    """Write what the store has as the values expected from now on.

    Raises:
        RequestError: a table is compared with the paper's numbers, so nothing would read the file.
        KitError: a cell is missing; half a table is no reference.
    """
    grids = [make_grid(name, plan, store) for name in plan.tables]
    if papers := [grid.name for grid in grids if compares_with_paper(grid)]:
        raise RequestError(
            f"--record: {', '.join(papers)}: at scale {plan.scale} the paper's models play themselves, and numbers are "
            "compared with the paper's; record a scale with other models"
        )
    texts = {expected_path(grid): _recorded_text(grid) for grid in grids}  # all of them before one is written
    for path, text in texts.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise KitError(f"{path}: {error.strerror}; nothing was recorded there") from error
    return list(texts)


def _recorded_text(grid: Grid) -> str:
    """Return the file of a table's recorded values.

    Raises:
        KitError: a cell is not computed.
    """
    lines = [
        f"# Written by `kit verify --record` at scale {grid.scale}; {_recorded_units(grid)}, units behind it.",
        "schema = 1",
        "cells = [",
        *(_cell_line(what, cell) for what, cell in named_cells(grid) if not cell.is_blank),
        "]",
    ]
    if curves := [line for what, cell in named_curves(grid) for line in _curve_lines(what, cell)]:
        lines += ["curves = [", *curves, "]"]
    return "\n".join(lines) + "\n"


def _curve_lines(what: str, cell: CurveCell) -> Iterator[str]:
    """Yield the lines of a curve as lines of a file of recorded values, with all their points.

    Raises:
        KitError: it is not computed.
    """
    if len(cell.runs) < len(cell.address.keys):
        raise KitError(f"{what}: not computed yet; only a whole table can be recorded")
    for (run, group), n, x, y in curve_lines(cell):
        fields = [f"at = {{ {_at_text(cell.address.at)} }}", f"column = {toml(cell.address.column)}"]
        fields += [f"run = {run}"] if len(cell.runs) > 1 else []
        fields += [f"group = {toml(group)}"] if group else []
        fields += [f"n = {n}"] if n is not None else []
        yield f"  {{ {', '.join(fields)}, x = [{', '.join(x)}], y = [{', '.join(y)}] }},"


def _at_text(at: Coordinates) -> str:
    """Return coordinates as the inside of an inline table of TOML."""
    return ", ".join(f"{toml(axis) if '.' in axis else axis} = {toml(value)}" for axis, value in at.items())


def _cell_line(what: str, cell: Cell) -> str:
    """Return a cell's number as a line of a file of recorded values.

    Raises:
        KitError: it is not computed.
    """
    if cell.result is None or cell.value is None:
        raise KitError(f"{what}: not computed yet; only a whole table can be recorded")
    at, column, unit = _at_text(cell.address.at), toml(cell.address.column), cell.measure.unit
    number = f"{cell.value:.{cell.measure.digits + RECORDED_DIGITS}f}"
    number = f"percent = {number}" if unit == PERCENT else f"value = {number}, unit = {toml(unit)}"
    return f"  {{ at = {{ {at} }}, column = {column}, {number}, n = {cell.result.n} }},"


def _recorded_units(grid: Grid) -> str:
    """Return what a file of recorded values says of their unit."""
    return "value in percent" if grid.units() == [PERCENT] else "value in its unit"


def expected_path(grid: Grid) -> Path:
    """Return the file that holds a table's recorded values for a scale."""
    return manifests_folder() / "expected" / grid.scale / f"{grid.name}.toml"


def toml(value: str | float) -> str:
    """Return a value as TOML text; strings have the same escapes as in JSON."""
    return json.dumps(value, ensure_ascii=False)
