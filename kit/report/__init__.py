"""Tables of results beside the paper's; reads the store, and no stage knows of it."""

import csv
import io
import json
import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, value_text
from kit.catalogue.manifest import AXES
from kit.catalogue.views import Column, Table
from kit.errors import KitError
from kit.plan import CellAddress, Plan
from kit.records import Result, read_rows
from kit.store import Store

PLAYED = ("evolver", "responder", "base")
"""Axes whose values are models of the paper; at a small scale another model plays each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of a table; rates are 0-1, and are turned into percent where they are printed."""

    address: CellAddress
    result: Result | None
    """``None`` while one of its jobs is not done; for several seeds, the mean of their values and of their errors."""
    reference: float | None
    """The number that the paper prints here, in the column's unit."""
    spread: float | None = None
    """Standard deviation between the runs of several seeds, 0-1; ``None`` where there is one run."""

    @property
    def percent(self) -> float | None:
        """The cell's value in percent; ``None`` while it is not computed."""
        return None if self.result is None else 100 * self.result.value

    @property
    def stderr_percent(self) -> float | None:
        """The value's standard error over items, percentage points."""
        return None if self.result is None else 100 * self.result.stderr

    @property
    def spread_percent(self) -> float | None:
        """The value's standard deviation between runs, percentage points."""
        return None if self.spread is None else 100 * self.spread

    @property
    def is_blank(self) -> bool:
        """Whether no experiment gives this cell."""
        return not self.address.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table, with its cells in the columns' order."""

    at: Coordinates
    """axis -> value, by which the row is named."""
    cells: tuple[Cell, ...]

    def names(self) -> list[str]:
        """The row's values as texts, in the order of the table's axes."""
        return [value_text(value) for value in self.at.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table with its numbers, and with who plays the paper's models."""

    name: str
    table: Table
    scale: str
    cast: Mapping[str, str]
    lines: tuple[Line, ...]

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of the table, in order."""
        return self.table.columns

    def axes(self) -> list[str]:
        """Return the axes of the cells' coordinates, in the order of a setting."""
        named = {axis for line in self.lines for cell in line.cells for axis in cell.address.at}
        return [axis for axis in AXES if axis in named]

    def players(self) -> dict[str, str]:
        """Return each model of the paper in this table that another model plays, with that model's name."""
        names = [
            str(cell.address.at[axis])
            for axis in PLAYED
            for line in self.lines
            for cell in line.cells
            if axis in cell.address.at
        ]
        return {name: self.cast[name] for name in dict.fromkeys(names) if self.cast.get(name, name) != name}

    def runs(self) -> int:
        """Return the largest number of runs that a cell is the mean of."""
        return max((len(cell.address.keys) for line in self.lines for cell in line.cells), default=1)

    def sizes(self) -> str:
        """Return the number of units behind a cell, per column: ``IFEval P-S 12, ...``."""
        first = self.lines[0].cells if self.lines else ()
        counts = [
            f"{column.name} {cell.result.n:,}" for column, cell in zip(self.columns, first, strict=True) if cell.result
        ]
        return ", ".join(counts)


def make_grid(name: str, plan: Plan, store: Store) -> Grid:
    """Return a table of a plan, filled with the results that the store has."""
    table = plan.tables[name]
    printed = paper.table(table.paper).of_series(table.series) if table.paper else None
    known: dict[str, dict[str, Result]] = {}
    cells = []
    for address in plan.cells[name]:
        for key in address.keys:
            if key not in known and store.has(key):
                known[key] = stored_results(store, key)
        runs = [known.get(key, {}).get(address.column) for key in address.keys]
        result, spread = mean_of([run for run in runs if run]) if runs and all(runs) else (None, None)
        reference = _number(printed.cell(address.at, address.column)) if printed else None
        cells.append(Cell(address=address, result=result, reference=reference, spread=spread))
    width = len(table.columns)
    lines = tuple(
        Line(at=row, cells=tuple(cells[index * width : (index + 1) * width])) for index, row in enumerate(table.rows)
    )
    return Grid(name=name, table=table, scale=plan.scale, cast=plan.cast, lines=lines)


def mean_of(runs: Sequence[Result]) -> tuple[Result, float | None]:
    """Return the mean of one number's runs and the standard deviation between them; of one run, the run itself.

    The runs answer the same items, so what the choice of items adds does not shrink with their number: the error over
    items is the mean of theirs.
    """
    first = runs[0]
    if len(runs) == 1:
        return first, None
    values = [run.value for run in runs]
    error = statistics.fmean(run.stderr for run in runs)
    whole = Result(
        metric=first.metric, value=statistics.fmean(values), stderr=error, n=min(run.n for run in runs), unit=first.unit
    )
    return whole, statistics.stdev(values)


def stored_results(store: Store, key: str) -> dict[str, Result]:
    """Return a grade job's results by metric, from a file whose sha256 is still the one that its head records.

    Raises:
        KitError: it is missing, was changed, or holds what no grading writes.
    """
    artifact = store.get(key)
    os.close(store.open_file(artifact, "results.jsonl", checked=True))
    path = artifact.folder / "results.jsonl"
    found = read_rows(path, Result)
    for number, result in enumerate(found, 1):
        numbers = (result.value, result.stderr)
        sound = all(type(value) in (int, float) and 0 <= value <= 1 for value in numbers) and type(result.n) is int
        if not (sound and result.n > 0 and type(result.metric) is str and type(result.unit) is str):
            raise KitError(f"{path}:{number}: no result of a grading; remove {artifact.folder} and run again")
    return {result.metric: result for result in found}


def _number(value: object) -> float | None:
    """Return a printed cell as a number; ``None`` if it is none."""
    return float(value) if isinstance(value, int | float) else None


def computed_text(cell: Cell, column: Column) -> str:
    """Return our number as the table prints it: ``33.33 ±13.6``; of several runs ``33.33 ±13.6 [spread]``."""
    if cell.is_blank:
        return ""
    if cell.percent is None or cell.stderr_percent is None:
        return "missing"
    spread = "" if cell.spread_percent is None else f"\N{NO-BREAK SPACE}[{cell.spread_percent:.{column.digits}f}]"
    return f"{cell.percent:.{column.digits}f}\N{NO-BREAK SPACE}±{cell.stderr_percent:.1f}{spread}"


def paper_text(cell: Cell, column: Column) -> str:
    """Return the paper's number as the table prints it; a dash where there is none."""
    return "-" if cell.reference is None else f"{cell.reference:.{column.digits}f}"


def disclaimer(grid: Grid) -> str:
    """Return a sentence on what the numbers mean at this scale, beside the paper's."""
    if grid.table.paper is None:
        return "A table of one's own: the paper prints nothing to compare it with."
    if grid.scale == "paper":
        return "The paper's models and data; `kit verify` compares each cell and judges the table."
    return (
        f"Scale {grid.scale}: other models and fewer rows than the paper's. The numbers show that the pipeline works; "
        "they neither confirm nor refute the paper's cells, which stand beside them for orientation."
    )


def how_to_read(grid: Grid) -> str:
    """Return a phrase that says what each number of a cell is: value, error, spread."""
    if (runs := grid.runs()) > 1:
        return f"Percent: mean of {runs} seeds ± standard error over items [standard deviation between seeds]"
    return "Percent ± standard error"


def markdown(grid: Grid) -> str:
    """Return the table as Markdown: our numbers, with the paper's in brackets."""
    head = [*grid.table.axes, *(one_line(column.name) for column in grid.columns)]
    lines = [f"**{one_line(grid.table.title)}** (scale `{one_line(grid.scale)}`)", ""]
    lines += ["| " + " | ".join(head) + " |", "|" + " --- |" * len(grid.table.axes) + " ---: |" * len(grid.columns)]
    for line in grid.lines:
        cells = [_with_paper(cell, column) for cell, column in zip(line.cells, grid.columns, strict=True)]
        lines.append("| " + " | ".join([*map(one_line, line.names()), *cells]) + " |")
    lines += ["", f"{how_to_read(grid)}; in brackets what the paper prints. " + disclaimer(grid)]
    if players := grid.players():
        played = ", ".join(f"{one_line(name)} = {one_line(player)}" for name, player in players.items())
        lines += ["", f"Played by: {played}."]
    lines += ["", f"Units behind a cell: {grid.sizes()}.", ""]
    return "\n".join(lines)


def _with_paper(cell: Cell, column: Column) -> str:
    """Return our number with the paper's in brackets; an empty text where no experiment gives the cell."""
    return "" if cell.is_blank else f"{computed_text(cell, column)} ({paper_text(cell, column)})"


def as_csv(grids: Sequence[Grid]) -> str:
    """Return tables as CSV: one line a cell, with a column for each axis that one of the tables names.

    The columns are table, scale, coordinates and who plays them, value, standard error, runs and the spread between
    them, n, unit, the paper's value, the jobs' keys.
    """
    axes = [axis for axis in AXES if any(axis in grid.axes() for grid in grids)]
    names = [name for axis in axes for name in ([axis, f"{axis}_player"] if axis in PLAYED else [axis])]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    numbers = ["percent", "stderr", "runs", "spread", "n", "unit", "paper", "keys"]
    writer.writerow(["table", "scale", *names, "column", *numbers])
    for grid in grids:
        for line in grid.lines:
            for cell in line.cells:
                place = [grid.name, grid.scale, *_coordinates(cell, axes, grid.cast), cell.address.column]
                writer.writerow([*place, *_numbers(cell).values()])
    return out.getvalue()


def _coordinates(cell: Cell, axes: Sequence[str], cast: Mapping[str, str]) -> Iterator[str | None]:
    """Yield a cell's value on each axis, and who plays it where it is a model; ``None`` on an axis without one."""
    for axis in axes:
        value = cell.address.at.get(axis)
        yield None if value is None else value_text(value)
        if axis in PLAYED:
            yield cast.get(str(value))


def _numbers(cell: Cell) -> dict[str, Any]:
    """Return the numbers of a cell that CSV and JSON give beside its coordinates."""
    result = cell.result
    return {
        "percent": cell.percent,
        "stderr": cell.stderr_percent,
        "runs": len(cell.address.keys),
        "spread": cell.spread_percent,
        "n": result.n if result else None,
        "unit": result.unit if result else None,
        "paper": cell.reference,
        "keys": " ".join(cell.address.keys),
    }


def as_json(grids: Sequence[Grid]) -> dict[str, Any]:
    """Return tables as one JSON document: each cell with its coordinates, numbers and the keys of its jobs."""
    return {
        "schema": 1,
        "tables": [
            {
                "name": grid.name,
                "title": grid.table.title,
                "scale": grid.scale,
                "players": grid.players(),
                "cells": [
                    {"at": cell.address.at, "column": cell.address.column, **_numbers(cell)}
                    | {"keys": list(cell.address.keys)}
                    for line in grid.lines
                    for cell in line.cells
                ],
            }
            for grid in grids
        ],
    }


def one_line(text: str) -> str:
    """Return a manifest's text as a cell of a Markdown table: no line break, no column bar, no control character."""
    return plain(text).replace("\n", " ").replace("|", "\\|")


def plain(text: str) -> str:
    r"""Return a model's or file's text made safe to show: control characters, and so terminal escapes, as ``\x1b``."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def plain_json(document: Any, indent: int | None = 1) -> str:
    r"""Return a JSON text that is safe to show: control characters are escaped as JSON does, ``\u001b``."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
