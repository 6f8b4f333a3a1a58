"""Bars of a figure: the columns of a table as shares of a whole, ours and the paper's beside each other."""

from collections.abc import Iterator, Sequence

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, value_text
from kit.catalogue.drawing import OUTCOMES, Draw
from kit.report import Grid, Line
from kit.report.drawn import Stack, StackPanel

COUNTED = ("items", "prompts", "rows", "instructions", "pairs")
"""Units of columns that are counts; the paper prints shares as counts of items."""


def stack_panels(grid: Grid, draw: Draw) -> Iterator[StackPanel]:
    """Yield the panels of bars: for each value of the panels' axis ours, and the paper's if it prints numbers."""
    printed = any(cell.reference is not None for line in grid.lines for cell in line.cells)
    lines = [line for line in grid.lines if not any(cell.is_blank for cell in line.cells)]
    for name in dict.fromkeys(_name(draw.panel, line.at) for line in lines):
        inside = [line for line in lines if _name(draw.panel, line.at) == name]
        yield _panel(grid, draw, f"{name}, here" if name else "here", [_ours(line, draw) for line in inside])
        if printed:
            stacks = [_printed(grid, line, draw) for line in inside]
            yield _panel(grid, draw, f"{name}, the paper" if name else "the paper", stacks)


def _panel(grid: Grid, draw: Draw, title: str, stacks: Sequence[Stack]) -> StackPanel:
    """Return a panel with the parts that the table's columns name."""
    first = grid.columns[0].measure
    return StackPanel(
        title=title,
        parts=OUTCOMES if draw.kind == "outcomes" else tuple(column.name for column in grid.columns),
        unit=first.unit if first.unit in COUNTED else first.counts,
        stacks=tuple(stacks),
        ordered=draw.kind == "bars",
        counted=draw.kind == "outcomes" and first.unit in COUNTED,
    )


def _ours(line: Line, draw: Draw) -> Stack:
    """Return our bar of a row; without parts where one of them is not computed."""
    values = [cell.value for cell in line.cells]
    known = [value for value in values if value is not None]
    sizes = [cell.result.n for cell in line.cells if cell.result]
    whole = len(known) == len(values) and sum(known) > 0
    name, group = _names(line.at, draw)
    return Stack(name=name, group=group, parts=tuple(known) if whole else (), n=min(sizes) if whole else 0)


def _printed(grid: Grid, line: Line, draw: Draw) -> Stack:
    """Return the paper's bar of a row; without parts where it leaves one of them out."""
    values = [cell.reference for cell in line.cells]
    known = [value for value in values if value is not None]
    whole = len(known) == len(values) and sum(known) > 0
    printed = paper.table(grid.table.paper).of_series(grid.table.series) if grid.table.paper else None
    row = printed.row_at(line.cells[0].address.at) if printed else None
    name, group = _names(line.at, draw)
    return Stack(name=name, group=group, parts=tuple(known) if whole else (), n=(row.n or 0) if row else 0)


def _names(at: Coordinates, draw: Draw) -> tuple[str, str]:
    """Return a bar's name within its group and the group's; of bars without groups, the name alone."""
    place = _name(draw.x, at)
    return (_name(draw.line, at), place) if draw.line else (place, "")


def _name(axis: str, at: Coordinates) -> str:
    """Return a value of an axis as a name, a number behind the axis's: ``round 2``; empty where there is no axis."""
    value = at[axis] if axis else ""
    return value if isinstance(value, str) else f"{axis} {value_text(value)}"
