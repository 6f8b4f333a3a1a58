"""Figures: a table with ``draw`` as panels of lines, curves or bars, before anything is placed on a page."""

from collections.abc import Iterable, Iterator, Sequence

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, value_text
from kit.catalogue.drawing import COLUMN, STACKED, Draw
from kit.catalogue.views import Column
from kit.errors import RequestError, one_line
from kit.measures import Quantity
from kit.records import Curve, Result
from kit.report import Cell, Grid, disclaimer, how_to_read, units_text
from kit.report.curves import CurveCell
from kit.report.drawn import Figure, Panel, Point, Series
from kit.report.stacks import stack_panels


def make_figure(grid: Grid) -> Figure:
    """Return the figure that a table's view asks for.

    Raises:
        RequestError: the view has no ``draw``.
    """
    draw = grid.table.draw
    if draw is None:
        raise RequestError(f"{one_line(grid.name)}: its view has no draw, so it is a table alone")
    make = stack_panels if draw.kind in STACKED else _curve_panels if draw.kind == "curves" else _line_panels
    return Figure(
        name=grid.name,
        title=f"{grid.table.title} (scale {grid.scale})",
        panels=tuple(make(grid, draw)),
        notes=tuple(filter(None, _notes(grid, draw))),
    )


def _notes(grid: Grid, draw: Draw) -> Iterator[str]:
    """Yield what stands below the panels: how to read them, who plays whom, what is missing."""
    if draw.kind == "curves":
        done = [len(cell.runs) == len(cell.address.keys) for cell in grid.curves if cell.address.keys]
        if any(line.error for cell in grid.curves for run in cell.runs for line in run.lines):
            yield "Bands: ± one standard error of each curve, for its width of smoothing."
        if grid.table.paper and (claim := paper.table(grid.table.paper).claim):
            yield f"The paper gives no numbers for this figure; it says: {claim}."
    else:
        done = [cell.result is not None for line in grid.lines for cell in line.cells if not cell.is_blank]
        if draw.kind in STACKED:
            yield "Whiskers: ± one standard error of the share up to there, as a share of n."
        elif any(done):
            yield f"{how_to_read(grid, spread=False)}; n stands below each panel."
    yield disclaimer(grid)
    if players := grid.players():
        yield f"Played by: {', '.join(f'{name} = {player}' for name, player in players.items())}."
    if not all(done):
        what = "curves" if draw.kind == "curves" else "numbers"
        yield f"{done.count(False)} of {len(done)} {what} are not computed yet."


def _line_panels(grid: Grid, draw: Draw) -> Iterator[Panel]:
    """Yield the panels of numbers along an axis of the rows."""
    cells = [
        (line.at, cell, column)
        for line in grid.lines
        for cell, column in zip(line.cells, grid.columns, strict=True)
        if not cell.is_blank
    ]
    places, ticks, x_title = x_axis(draw.x, [line.at[draw.x] for line in grid.lines])
    for title in dict.fromkeys(_name(draw.panel_axis, at, column) for at, _, column in cells):
        inside = [one for one in cells if _name(draw.panel_axis, one[0], one[2]) == title]
        names = dict.fromkeys(_name(draw.line, at, column) for at, _, column in inside)
        series = [
            Series(
                name=name,
                points=_points(
                    (places[at[draw.x]], cell) for at, cell, column in inside if _name(draw.line, at, column) == name
                ),
            )
            for name in names
        ]
        y = _shared_quantity([column.measure for _, _, column in inside])
        sizes = _sizes(grid, [cell for _, cell, _ in inside])
        yield Panel(title=title, x_title=x_title, y=y, ticks=ticks, series=tuple(series), sizes=sizes)


def _sizes(grid: Grid, cells: Sequence[Cell]) -> str:
    """Return the number of units behind a panel's points, ours and the paper's; empty where neither is known."""
    results: dict[str, list[Result]] = {}
    for cell in cells:
        if cell.result:
            results.setdefault(cell.result.unit, []).append(cell.result)
    texts = [f"{units_text(found)} {unit}" for unit, found in results.items()]
    printed = {column.id: column.n for column in paper.table(grid.table.paper).column} if grid.table.paper else {}
    shown = (printed.get(cell.address.column) for cell in cells if cell.reference is not None)
    known = [f"{n:,}" for n in dict.fromkeys(shown) if n]
    if texts and known:
        return f"n = {', '.join(texts)} here, {', '.join(known)} in the paper"
    return f"n = {', '.join(texts)}" if texts else f"n = {', '.join(known)} in the paper" if known else ""


def _points(cells: Iterable[tuple[float, Cell]]) -> tuple[Point, ...]:
    """Return the points of a line, from left to right."""
    points = [
        Point(x=x, y=cell.value, error=cell.error, spread=cell.run_spread, reference=cell.reference)
        for x, cell in cells
    ]
    return tuple(sorted(points, key=lambda point: point.x))


def x_axis(
    axis: str, values: Sequence[str | float]
) -> tuple[dict[str | float, float], tuple[tuple[float, str], ...], str]:
    """Return where each value of an axis of the rows lies, the ticks with their labels, and the axis's title.

    Numbers lie where they belong, names one after the other in the order of the rows. What all names begin with, up to
    a hyphen, stands once in the title.
    """
    known = list(dict.fromkeys(values))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return {value: float(value) for value in known}, tuple((float(v), value_text(v)) for v in sorted(known)), axis
    names = [value_text(value) for value in known]
    start = _common_start(names)
    ticks = tuple((float(number), name[len(start) :]) for number, name in enumerate(names))
    title = f"{axis} ({start}…)" if start else axis
    return {value: float(number) for number, value in enumerate(known)}, ticks, title


def _common_start(names: Sequence[str]) -> str:
    """Return what all of several names begin with, up to its last hyphen."""
    if len(names) < 2:
        return ""
    first, last = min(names), max(names)
    shared = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:shared].rpartition("-")[0] + "-" if "-" in first[:shared] else ""


def _curve_panels(grid: Grid, draw: Draw) -> Iterator[Panel]:
    """Yield the panels of curves, a line for each group and each run."""
    named = [(_name(draw.panel_axis, cell.address.at, cell.column), cell) for cell in grid.curves if cell.runs]
    titles = dict.fromkeys(title for title, _ in named)
    for title in titles:
        cells = [cell for other, cell in named if other == title]
        lines = [(cell, line) for cell in cells for run in cell.runs for line in run.lines]
        x, y = cells[0].measure.x, _shared_quantity([cell.measure.y for cell in cells])
        sizes = [f"{line.n:,}" for _, line in lines if line.n]
        yield Panel(
            title=title,
            x_title=x.heading,
            y=y,
            ticks=(),
            x_digits=x.digits,
            x_ends=(draw.x_ends[0], draw.x_ends[1]) if draw.x_ends else None,
            series=tuple(_curve_series(cell, line, draw, sized=len(titles) == 1) for cell, line in lines),
            sizes=_curve_sizes(sizes) if len(titles) > 1 else "",
        )


def _curve_sizes(sizes: Sequence[str]) -> str:
    """Return the number of values behind each of a panel's curves; empty where they are not known."""
    if len(set(sizes)) > 1:
        return f"n = {', '.join(sizes)} (as in the legend)"
    return f"n = {sizes[0]}{' each' if len(sizes) > 1 else ''}" if sizes else ""


def _curve_series(cell: CurveCell, line: Curve, draw: Draw, *, sized: bool) -> Series:
    """Return one line of a cell's curves; ``sized``: its name says how many values it is made of."""
    size = f"n = {line.n:,}" if line.n and sized else ""
    name = ", ".join(filter(None, (_name(draw.line, cell.address.at, cell.column), line.group, size)))
    errors = line.error or (None,) * len(line.x)
    points = [Point(x=x, y=y, error=error) for x, y, error in zip(line.x, line.y, errors, strict=True)]
    return Series(name=name, points=tuple(sorted(points, key=_by_x)), form="curve")


def _by_x(point: Point) -> float:
    """Return what sorts points from left to right."""
    return point.x


def _name(axis: str, at: Coordinates, column: Column) -> str:
    """Return the name of a line or a panel: the column's, or the value of an axis; empty where there is none.

    A number says little by itself: ``round 2``.
    """
    if axis == COLUMN:
        return column.name
    value = at[axis] if axis else ""
    return value if isinstance(value, str) else f"{axis} {value_text(value)}"


def _shared_quantity(quantities: Sequence[Quantity]) -> Quantity:
    """Return the vertical axis of a panel: the quantity of its lines, or the units alone where they are several."""
    first = quantities[0]
    titles = dict.fromkeys(one.title for one in quantities)
    units = ", ".join(dict.fromkeys(one.unit for one in quantities if one.unit))
    return Quantity(title=first.title if len(titles) == 1 else "", unit=units, digits=max(q.digits for q in quantities))
