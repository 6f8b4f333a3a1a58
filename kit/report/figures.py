"""Figures: a table with ``draw`` as panels of lines, before anything is placed on a page."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kit.catalogue.axes import Coordinates, value_text
from kit.catalogue.drawing import COLUMN, Draw
from kit.catalogue.views import Column
from kit.errors import RequestError, one_line
from kit.measures import Quantity
from kit.report import Cell, Grid, disclaimer, how_to_read


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place of a line: our value, and the paper's."""

    x: float
    y: float | None
    """Our value in the panel's unit; None where it is missing."""
    error: float | None = None
    """Its standard error, in the same unit; None for a point of a curve."""
    spread: float | None = None
    """Standard deviation between the runs of several seeds, told in words alone; None where there is one run."""
    reference: float | None = None
    """The paper's value; None where it prints none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel, with its points."""

    name: str
    """Its name in the legend, alike in all panels; empty where there is one line alone."""
    points: tuple[Point, ...]
    """From left to right."""
    marked: bool = True
    """Whether each point has a mark; a curve of many points has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes with its lines."""

    title: str
    x_title: str
    y: Quantity
    """Title, unit and digits of the vertical axis."""
    ticks: tuple[tuple[float, str], ...]
    """Places along x with their labels; none where the axis finds round numbers itself."""
    x_digits: int = 0
    """Digits of such round numbers at most."""
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """All panels, and what is said around them."""

    name: str
    title: str
    panels: tuple[Panel, ...]
    notes: tuple[str, ...]
    """Sentences below the panels."""

    def names(self) -> list[str]:
        """Return the names of the lines, in the order of the legend; none where there is one line alone."""
        return list(dict.fromkeys(line.name for panel in self.panels for line in panel.series if line.name))

    def has_references(self) -> bool:
        """Return whether a value of the paper is drawn."""
        points = (point for panel in self.panels for line in panel.series for point in line.points)
        return any(point.reference is not None for point in points)

    def description(self) -> str:
        """Return all that is drawn in words, for a reader who can't see it."""
        return " ".join(_panel_text(panel) for panel in self.panels)


def make_figure(grid: Grid) -> Figure:
    """Return the figure that a table's view asks for.

    Raises:
        RequestError: the view has no ``draw``.
    """
    draw = grid.table.draw
    if draw is None:
        raise RequestError(f"{one_line(grid.name)}: its view has no draw, so it is a table alone")
    panels = _curve_panels(grid, draw) if draw.kind == "curves" else _line_panels(grid, draw)
    return Figure(
        name=grid.name,
        title=f"{grid.table.title} (scale {grid.scale})",
        panels=tuple(panels),
        notes=tuple(filter(None, _notes(grid, draw))),
    )


def _notes(grid: Grid, draw: Draw) -> Iterator[str]:
    """Yield what stands below the panels: how to read them, who plays whom, what is missing."""
    if draw.kind == "lines":
        done = [cell.result is not None for line in grid.lines for cell in line.cells if not cell.is_blank]
        if any(done):
            yield f"{how_to_read(grid, spread=False)} over so many units: {grid.sizes()}."
    else:
        done = [len(cell.runs) == len(cell.address.keys) for cell in grid.curves if cell.address.keys]
    yield disclaimer(grid)
    if players := grid.players():
        yield f"Played by: {', '.join(f'{name} = {player}' for name, player in players.items())}."
    if not all(done):
        what = "numbers" if draw.kind == "lines" else "curves"
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
        yield Panel(title=title, x_title=x_title, y=y, ticks=ticks, series=tuple(series))


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
    for title in dict.fromkeys(title for title, _ in named):
        cells = [cell for other, cell in named if other == title]
        series = [
            Series(
                name=", ".join(filter(None, (_name(draw.line, cell.address.at, cell.column), line.group))),
                points=tuple(sorted((Point(x=x, y=y) for x, y in zip(line.x, line.y, strict=True)), key=_by_x)),
                marked=False,
            )
            for cell in cells
            for run in cell.runs
            for line in run.lines
        ]
        x, y = cells[0].measure.x, _shared_quantity([cell.measure.y for cell in cells])
        yield Panel(title=title, x_title=x.heading, y=y, ticks=(), x_digits=x.digits, series=tuple(series))


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


def _panel_text(panel: Panel) -> str:
    """Return a panel in words: each line with its numbers, or the ends of its curve."""
    labels = dict(panel.ticks)
    lines = []
    for line in panel.series:
        if line.marked:
            texts = [f"{labels[point.x]}: {_point_text(point, panel.y)}" for point in line.points]
            text = ", ".join(texts)
        else:
            top = max(line.points, key=lambda point: point.y or 0.0)
            ends = f"{line.points[0].x:g} to {line.points[-1].x:g}"
            text = f"a curve from x = {ends}, highest at x = {top.x:g} with {top.y:g}"
        lines.append(f"{line.name}, {text}" if line.name else text)
    title = f"{panel.title} ({panel.y.unit})" if panel.y.unit else panel.title
    return f"{title}, by {panel.x_title}: {'; '.join(lines)}."


def _point_text(point: Point, y: Quantity) -> str:
    """Return a point's value with its error, and the paper's."""
    spread = "" if point.spread is None else f" [{y.text(point.spread)}]"
    ours = "missing" if point.y is None else f"{y.text(point.y)} ±{y.short_text(point.error or 0.0)}{spread}"
    return ours if point.reference is None else f"{ours} (paper {y.text(point.reference)})"
