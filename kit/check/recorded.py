"""Compare a table with the values that were recorded for its scale in ``manifests/expected``, and record them anew."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, field_validator, model_validator

from kit.catalogue import manifests_folder
from kit.catalogue.axes import Value, value_text
from kit.check.findings import Finding, Place, named_cells, place
from kit.errors import KitError
from kit.measures import PERCENT, Measure
from kit.plan import Plan
from kit.reading.documents import Strict, read
from kit.reading.values import MOST_ROWS
from kit.records import Result
from kit.report import Cell, Grid, make_grid
from kit.store import Store

RECORDED_DIGITS = 2
"""Digits with which a value is recorded beyond those that are shown."""
UNITS_A_FLIP = 50
"""One unit in so many, at least one of a cell, may turn out differently on another CPU."""


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
    yield from cells_without_place(grid, expected)
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


def cells_without_place(grid: Grid, expected: Mapping[Place, ExpectedCell]) -> Iterator[Finding]:
    """Yield a failed finding for each recorded number whose cell the table does not have."""
    known = {place(cell.address.at, cell.address.column) for _, cell in named_cells(grid) if not cell.is_blank}
    for where, wanted in expected.items():
        if where not in known:
            what = ", ".join([grid.name, *map(value_text, wanted.at.values()), wanted.column])
            detail = "recorded, but the table has no such cell; `kit verify --record` writes the file anew"
            yield Finding(check="expected", what=what, passed=False, detail=detail)


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
    allowed, distance = allowed_flips(result.n), abs(measure.in_unit(result.value) - recorded)
    hidden = measure.rounding * 10.0**-RECORDED_DIGITS
    if measure.kind in ("share", "count"):
        unit = measure.in_unit(1 / result.n if result.step is None else result.step)
        apart = f"{distance / unit:.1f}".removesuffix(".0")
        return distance <= allowed * unit + hidden, f"{apart} of {result.n} units apart, {allowed} allowed"
    most = allowed * measure.in_unit(result.step or 0.0)
    what = f"{measure.text(distance)} {measure.difference_unit} apart, {measure.text(most)} allowed"
    return distance <= most + hidden, what


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
    grids = [make_grid(name, plan, store) for name in plan.tables]
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
    return "\n".join(lines) + "\n"


def _cell_line(what: str, cell: Cell) -> str:
    """Return a cell's number as a line of a file of recorded values.

    Raises:
        KitError: it is not computed.
    """
    if cell.result is None or cell.value is None:
        raise KitError(f"{what}: not computed yet; only a whole table can be recorded")
    at = ", ".join(f"{toml(axis) if '.' in axis else axis} = {toml(value)}" for axis, value in cell.address.at.items())
    column, unit = toml(cell.address.column), cell.measure.unit
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
