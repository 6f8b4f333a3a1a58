"""Drawing: the part of a view that makes it a figure, and the checks of its axes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import model_validator

from kit.catalogue.axes import value_text
from kit.errors import did_you_mean, listed, one_line, shown
from kit.reading.documents import Strict

MOST_VALUES = 8
"""Values of an axis that a message lists."""
COLUMN = "column"
"""Stands in ``draw`` for the columns of a view, where other places name an axis."""


class Draw(Strict):
    """How a view is drawn as a figure; each axis of the rows that has several values has its place in it."""

    kind: Literal["lines", "curves"] = "lines"
    """``lines``: numbers along ``x``, with their errors. ``curves``: those of a plug-in, with an x of their own."""
    x: str = ""
    """The axis of the rows that runs from left to right; for curves none."""
    line: str = ""
    """The axis of the rows whose values are lines of their own, or ``column``; empty for one line."""
    panel: str = ""
    """The axis of the rows whose values are panels of their own, or ``column``, which it is unless ``line`` is."""

    @property
    def panel_axis(self) -> str:
        """The axis of the panels, or ``column``; empty for one panel."""
        return self.panel or ("" if self.line == COLUMN else COLUMN)

    @model_validator(mode="after")
    def _x_given(self) -> Self:
        if (self.kind == "curves") == bool(self.x):
            raise ValueError(
                "x: curves have an x of their own; leave it out"
                if self.x
                else "x is missing; wanted the axis of the rows that runs from left to right"
            )
        return self


def check_draw(draw: Draw, rows: Mapping[str, Sequence[Any]]) -> None:
    """Refuse a figure whose axes are not the rows', stand twice, or leave rows that lie over each other.

    Raises:
        ValueError: it is one; the message names the field, the axis and the rows' values.
    """
    given = {"x": draw.x, "line": draw.line, "panel": draw.panel_axis}
    known = {"x": [*rows], "line": [*rows, COLUMN], "panel": [*rows, COLUMN]}
    for field, axis in given.items():
        if axis and axis not in known[field]:
            have = "; ".join(f"{one_line(name, 60)} = {_values_text(values)}" for name, values in rows.items())
            raise ValueError(
                f"draw.{field}: rows have no axis named {shown(axis)}{did_you_mean(axis, known[field])}"
                + (f" (rows: {have})" if have else "")
            )
    if twice := [axis for axis, count in Counter(filter(None, given.values())).items() if count > 1]:
        fields = " and ".join(field for field, axis in given.items() if axis == twice[0])
        raise ValueError(f"draw: {shown(twice[0])} is given twice, as {fields}")
    for axis, values in rows.items():
        if len(values) > 1 and axis not in given.values():
            raise ValueError(
                f"draw: the axis {one_line(axis, 60)} has no place: {_values_text(values)} would lie over each other; "
                "name it as x, line or panel"
            )


def _values_text(values: Sequence[Any]) -> str:
    """Return the values of an axis for a message."""
    return listed(map(value_text, values), MOST_VALUES)
