"""Adds the jobs of a view's cells to a plan."""

from typing import TYPE_CHECKING, Any

from kit.catalogue.axes import Coordinates
from kit.catalogue.manifest import View
from kit.catalogue.points import product_of
from kit.catalogue.views import CellFinder, Column, Table, blank_note, measuring_stage
from kit.errors import RequestError
from kit.plan import CellAddress

if TYPE_CHECKING:
    from kit.plan.planner import Planner


def add_table(planner: "Planner", name: str, view: View) -> None:
    """Add the jobs of every cell of a view, except the rows of base models that no model plays at this scale.

    Raises:
        RequestError: a name that no manifest has, a view that leaves a point open, or a table without any cell.
    """
    where = f"{planner.where}: table {name}" if planner.catalogue.user else f"{name}.toml"
    finder = CellFinder(view, planner.catalogue.experiments, where)
    columns, rows = finder.columns(), rows_with_players(planner, name, finder)
    planner.plan.tables[name] = Table(
        title=view.title,
        paper=view.paper,
        series=view.series,
        axes=tuple(view.rows),
        rows=tuple(rows),
        columns=tuple(columns),
        draw=view.draw,
    )
    cells = [cell(planner, finder, row, column) for row in rows for column in columns]
    if blank := [(cell, column) for cell, column in zip(cells, columns * len(rows), strict=True) if not cell.keys]:
        planner.note(blank_note(name, [(cell.at, column) for cell, column in blank], finder.experiments))
    if len(blank) == len(cells):
        raise RequestError(f"{finder.where}: no experiment gives a cell of it: {planner.plan.notes[-1]}")
    planner.plan.cells[name] = cells


def rows_with_players(planner: "Planner", name: str, finder: CellFinder) -> list[dict[str, Any]]:
    """Return the view's rows without those of base models that no model plays at this scale."""
    bases = finder.rows.get("base", [])
    known = {base for experiment in finder.experiments for base in experiment.all_values("base")}
    left_out = [base for base in bases if base in known and not planner.find_player(base)]
    if bases and len(left_out) == len(bases):
        raise RequestError(f"{planner.where}: cast: nobody plays a base model of {name} ({', '.join(bases)})")
    if left_out:
        planner.note(
            f"{name}: no player at scale {planner.plan.scale} for {', '.join(left_out)}; these rows are left out"
        )
    return [row for row in product_of(finder.rows) if row.get("base") not in left_out]


def cell(planner: "Planner", finder: CellFinder, row: Coordinates, column: Column) -> CellAddress:
    """Return a cell's coordinates, and the jobs that hold its number."""
    stage = measuring_stage(column.benchmark)
    keys = tuple(planner.need(stage, point.with_benchmark(column.benchmark)) for point in finder.points(row, column))
    return CellAddress(at=finder.coordinates(row, column), column=column.id, keys=keys, printed=column.printed)
