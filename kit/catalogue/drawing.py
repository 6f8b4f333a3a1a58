"""The table ``draw`` of a view, which makes the view a figure, and the checks of its axes and columns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, Self

from pydantic import Field, model_validator

from kit.catalogue.axes import Coordinates, coordinates_text, value_text
from kit.errors import did_you_mean, listed, one_line, shown
from kit.measures import CurveMeasure, Measure
from kit.reading.documents import Strict

MOST_VALUES = 8
"""Most values of an axis that a message lists."""
COLUMN = "column"
"""Word that stands in ``draw`` for the columns of a view, in the place of an axis."""
STACKED = ("bars", "outcomes")
"""Kinds whose columns are the parts of a bar, one after the other."""
OUTCOMES = ("win", "tie", "lose")
"""Ends of the ids of an outcome's columns, in the order in which they are drawn."""


class Draw(Strict):
    """The form of a figure: each axis of the view's rows that has several values is its x, its lines or its panels."""

    kind: Literal["lines", "curves", "bars", "outcomes"] = "lines"
    """``lines``: numbers along ``x``, with their errors. ``curves``: curves of a plug-in, which bring their own x.
    ``bars``: columns as shares of a bar, from the lowest label to the highest. ``outcomes``: win, tie, lose as shares
    of a bar. Bars lie, grouped by ``x`` from top to bottom, one for each value of ``line``."""
    x: str = ""
    """The axis of the rows that runs from left to right, or groups bars; left out for curves."""
    line: str = ""
    """The axis of the rows that has one line, or bar of a group, for each value; or ``column``; empty for one."""
    panel: str = ""
    """The axis of the rows that has one panel for each value; by default ``column``, unless ``line`` is ``column`` or
    the columns are parts of bars."""
    x_ends: list[float] = Field(default_factory=list)
    """Left and right end of the horizontal axis of curves, ``[1.0, 0.0]`` where it runs backwards; by default the ends
    of the curves."""

    @property
    def panel_axis(self) -> str:
        """Return the axis of the panels, or ``column``; empty for one panel."""
        return self.panel or ("" if self.line == COLUMN or self.kind in STACKED else COLUMN)

    @model_validator(mode="after")
    def _check_x(self) -> Self:
        if (self.kind == "curves") == bool(self.x):
            raise ValueError(
                "x: curves have an x of their own; leave it out"
                if self.x
                else "x is missing; wanted the axis of the rows that "
                + ("groups the bars" if self.kind in STACKED else "runs from left to right")
            )
        return self

    @model_validator(mode="after")
    def _check_x_ends(self) -> Self:
        if self.x_ends and self.kind != "curves":
            raise ValueError(f"x_ends: goes with kind = 'curves', found kind = {self.kind!r}; leave it out")
        if self.x_ends and (len(self.x_ends) != 2 or self.x_ends[0] == self.x_ends[1]):
            raise ValueError(f"x_ends: found {shown(self.x_ends)}, wanted two different numbers, left and right")
        return self


class DrawnColumn(Protocol):
    """Interface of a view's column, as far as a figure asks for it."""

    @property
    def id(self) -> str:
        """Return the id of its metric, or of its curve."""
        ...

    @property
    def benchmark(self) -> str:
        """Return the plug-in whose number it is."""
        ...

    @property
    def at(self) -> Coordinates:
        """Return the coordinates that all its cells have."""
        ...

    @property
    def measure(self) -> Measure:
        """Return the unit of its numbers."""
        ...

    @property
    def curve(self) -> CurveMeasure | None:
        """Return the axes of its curves; None for numbers."""
        ...


def check_draw(draw: Draw, rows: Mapping[str, Sequence[Any]]) -> None:
    """Check that a figure has a place for each axis of the view's rows.

    Raises:
        ValueError: it names an axis that the rows do not have, names one twice, or would draw rows over each other; the
            message has the field, the axis and the rows' values.
    """
    axes = {"x": draw.x, "line": draw.line, "panel": draw.panel_axis}
    column = [] if draw.kind in STACKED else [COLUMN]
    known = {"x": [*rows], "line": [*rows, *column], "panel": [*rows, *column]}
    for field, axis in axes.items():
        if axis == COLUMN and not column:
            raise ValueError(f"draw.{field}: {COLUMN!r} has a place already: columns are the parts of each bar")
        if axis and axis not in known[field]:
            found = "; ".join(f"{one_line(name, 60)} = {_values_text(values)}" for name, values in rows.items())
            raise ValueError(
                f"draw.{field}: rows have no axis named {shown(axis)}{did_you_mean(axis, known[field])}"
                + (f" (rows: {found})" if found else "")
            )
    if repeated := [axis for axis, count in Counter(filter(None, axes.values())).items() if count > 1]:
        fields = " and ".join(field for field, axis in axes.items() if axis == repeated[0])
        raise ValueError(f"draw: {shown(repeated[0])} is given twice, as {fields}")
    for axis, values in rows.items():
        if len(values) > 1 and axis not in axes.values():
            raise ValueError(
                f"draw: the axis {one_line(axis, 60)} has no place: {_values_text(values)} would lie over each other; "
                "name it as x, line or panel"
            )


def check_columns(draw: Draw, columns: Sequence[DrawnColumn]) -> None:
    """Check that a figure can draw a view's columns.

    Raises:
        ValueError: it would draw several columns over each other, numbers as curves or curves as numbers, or parts of a
            bar that don't belong together.
    """
    names = listed(column.id for column in columns)
    draws_curves, stacked = draw.kind == "curves", draw.kind in STACKED
    if len(columns) > 1 and not stacked and COLUMN not in (draw.line, draw.panel_axis):
        raise ValueError(
            f"draw: {len(columns)} columns ({names}) have no place; wanted line or panel = {COLUMN!r}, or one column"
        )
    if other := [column.id for column in columns if (column.curve is not None) != draws_curves]:
        fault = "a number, wanted a curve" if draws_curves else "a curve, wanted a number"
        cure = "lines" if draws_curves else "curves"
        raise ValueError(f"draw.kind: {other[0]} is {fault}; kind = {cure!r} draws it")
    if not stacked:
        return
    wanted = f"three, which end in {', '.join(OUTCOMES)}" if draw.kind == "outcomes" else "two or more"
    ends = [column.id.rpartition("_")[2] for column in columns]
    if len(columns) < 2 or (draw.kind == "outcomes" and ends != [*OUTCOMES]):
        raise ValueError(f"draw.kind: {draw.kind!r} stacks columns into bars: found {names}, wanted {wanted}")
    for what, values in {
        "of one plug-in": [column.benchmark for column in columns],
        "in one unit": [column.measure.unit for column in columns],
        "at the same coordinates": [coordinates_text(column.at) for column in columns],
    }.items():
        if len(set(values)) > 1:
            found = listed(dict.fromkeys(value or "none" for value in values))
            raise ValueError(f"draw.kind: {draw.kind!r} stacks columns {what}, found {found}")


def _values_text(values: Sequence[Any]) -> str:
    """Return the values of an axis as a text for messages."""
    return listed(map(value_text, values), MOST_VALUES)
