"""Tables of results as Markdown, CSV and JSON."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kit.catalogue.axes import value_text
from kit.catalogue.experiments import AXES
from kit.catalogue.views import Column
from kit.plan import CellAddress
from kit.report import (
    PLAYED,
    Cell,
    Grid,
    Overlap,
    computed_text,
    curve_lines,
    disclaimer,
    how_to_read,
    overlap_line,
    paper_text,
)
from kit.report.curves import CurveCell
from kit.report.escapes import csv_cell, plain

NUMBER_FIELDS = ("value", "unit", "stderr", "runs", "spread", "n", "groups", "counts", "paper", "keys")
"""Fields of a number in CSV and JSON, beside its coordinates."""
CURVE_FIELDS = ("group", "x", "x_unit", "y", "y_unit")
"""Fields of a curve's point in CSV, beside its coordinates and its job's key."""


def markdown(grid: Grid) -> str:
    """Return the table as Markdown: our numbers, with the paper's in brackets."""
    lines = [f"**{one_line(grid.table.title)}** (scale `{one_line(grid.scale)}`)", ""]
    if grid.columns:
        lines += [*_rows(grid), "", f"{how_to_read(grid)}; in brackets what the paper prints. {disclaimer(grid)}"]
    else:
        lines.append(disclaimer(grid))
    lines += ["", *(f"- {one_line(line)}" for line in curve_lines(grid))] if grid.curves else []
    if players := grid.players():
        played = ", ".join(f"{one_line(name)} = {one_line(player)}" for name, player in players.items())
        lines += ["", f"Played by: {played}."]
    lines += ["", *(f"- {one_line(judging.line())}" for judging in grid.judgings)] if grid.judgings else []
    lines += ["", f"Units behind a cell: {sizes}."] if (sizes := grid.sizes()) else []
    lines += ["", *(f"- {one_line(drops.text())}" for drops in grid.drops)] if grid.drops else []
    lines += ["", *(f"- {one_line(one.text())}" for one in grid.selections)] if grid.selections else []
    lines += ["", one_line(line)] if (line := overlap_line(grid)) else []
    lines += [""]
    return "\n".join(lines)


def _rows(grid: Grid) -> Iterator[str]:
    """Yield the head and the rows of a Markdown table."""
    head = [*grid.table.axes, *(one_line(grid.heading(column)) for column in grid.columns)]
    yield "| " + " | ".join(head) + " |"
    yield "|" + " --- |" * len(grid.table.axes) + " ---: |" * len(grid.columns)
    for line in grid.lines:
        cells = [_with_paper(cell, column) for cell, column in zip(line.cells, grid.columns, strict=True)]
        yield "| " + " | ".join([*map(one_line, line.names()), *cells]) + " |"


def _with_paper(cell: Cell, column: Column) -> str:
    """Return our number with the paper's in brackets; an empty text where no experiment gives the cell."""
    return "" if cell.is_blank else f"{computed_text(cell, column)} ({paper_text(cell, column)})"


def as_csv(grids: Sequence[Grid]) -> str:
    """Return tables as CSV: one line a cell, with a column for each axis that one of the tables names.

    The columns are table, scale, coordinates and who plays them, value with its unit, standard error, runs and the
    spread between them, n, groups, what is counted, the paper's value, the jobs' keys. Where a table has curves, each
    point of one is a line too, with the columns group, x, x_unit, y and y_unit.
    """
    axes = [axis for axis in AXES if any(axis in grid.axes() for grid in grids)]
    names = [name for axis in axes for name in ([axis, f"{axis}_player"] if axis in PLAYED else [axis])]
    out = io.StringIO()
    more = CURVE_FIELDS if any(grid.curves for grid in grids) else ()
    fields = ["table", "scale", *names, "column", *NUMBER_FIELDS, *more]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(csv_cell, fields))
    for grid in grids:
        for address, values in _records(grid):
            place = [grid.name, grid.scale, *_coordinates(address, axes, grid.cast), address.column]
            numbers = (values.get(name) for name in (*NUMBER_FIELDS, *more))
            writer.writerow(map(csv_cell, (*place, *numbers)))
    return out.getvalue()


def _records(grid: Grid) -> Iterator[tuple[CellAddress, dict[str, Any]]]:
    """Yield the records of a CSV: one for each number, then one for each point of a curve."""
    for line in grid.lines:
        for cell in line.cells:
            yield cell.address, _numbers(cell)
    for curve in grid.curves:
        units = {"x_unit": curve.measure.x.unit, "y_unit": curve.measure.y.unit}
        yield from ((curve.address, {**point, **units}) for point in curve.points())


def _coordinates(address: CellAddress, axes: Sequence[str], cast: Mapping[str, str]) -> Iterator[str | None]:
    """Yield a cell's value on each axis, and who plays it where it is a model; ``None`` on an axis without one."""
    for axis in axes:
        value = address.at.get(axis)
        yield None if value is None else value_text(value)
        if axis in PLAYED:
            yield cast.get(str(value))


def _numbers(cell: Cell) -> dict[str, Any]:
    """Return the numbers of a cell that CSV and JSON give beside its coordinates."""
    result = cell.result
    return {
        "value": cell.value,
        "unit": cell.measure.unit,
        "stderr": cell.error,
        "runs": len(cell.address.keys),
        "spread": cell.run_spread,
        "n": result.n if result else None,
        "groups": result.groups if result else None,
        "counts": result.unit if result else None,
        "paper": cell.reference,
        "keys": " ".join(cell.address.keys),
    }


def as_json(grids: Sequence[Grid]) -> dict[str, Any]:
    """Return tables as one JSON document: each cell with its coordinates, numbers and the keys of its jobs."""
    return {
        "schema": 2,
        "tables": [
            {
                "name": grid.name,
                "title": grid.table.title,
                "scale": grid.scale,
                "players": grid.players(),
                **({"judges": [judging.to_json() for judging in grid.judgings]} if grid.judgings else {}),
                "cells": [
                    {"at": cell.address.at, "column": cell.address.column, **_numbers(cell)}
                    | {"keys": list(cell.address.keys)}
                    for line in grid.lines
                    for cell in line.cells
                ],
                **({"curves": list(map(_curve, grid.curves))} if grid.curves else {}),
                **({"left_out": [drops.to_json() for drops in grid.drops]} if grid.drops else {}),
                **({"selections": [one.to_json() for one in grid.selections]} if grid.selections else {}),
                **({"overlaps": list(map(_overlap, grid.overlaps))} if grid.overlaps else {}),
            }
            for grid in grids
        ],
    }


def _curve(cell: CurveCell) -> dict[str, Any]:
    """Return a curve as a JSON object: its coordinates, its axes, and its points by run and group."""
    return {
        "at": cell.address.at,
        "column": cell.address.column,
        "x": {"title": cell.measure.x.title, "unit": cell.measure.x.unit},
        "y": {"title": cell.measure.y.title, "unit": cell.measure.y.unit},
        "keys": list(cell.address.keys),
        "lines": [
            {"key": run.key, "group": line.group, "x": list(line.x), "y": list(line.y)}
            for run in cell.runs
            for line in run.lines
        ],
    }


def _overlap(overlap: Overlap) -> dict[str, Any]:
    """Return a training set's overlap with the tests as a JSON object."""
    return {
        "at": overlap.at,
        "key": overlap.key,
        "rows": overlap.rows,
        "overlapping": overlap.any,
        "share": overlap.share,
        "by": overlap.by,
    }


MARKUP = {"<": "&#60;", "`": "&#96;", "](": "]&#40;"}
"""Text that begins a tag, code or a link's address in Markdown -> the same with an entity, which begins nothing."""


def one_line(text: str) -> str:
    """Return a text as a cell of a Markdown table: no line break, no column bar, no control character, no markup."""
    line = plain(text).replace("\n", " ")
    for markup, shown in MARKUP.items():
        line = line.replace(markup, shown)
    return re.sub(r"(\\*)\|", r"\1\1\\|", line)  # backslashes before a bar would escape the one that escapes the bar
