"""The table ``draw`` of a view, which makes the view a figure, and the checks of its axes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import model_validator

from kit.catalogue.axes import value_text
from kit.errors import did_you_mean, listed, one_line, shown
from kit.reading.documents import Strict

MOST_VALUES = 8
"""Most values of an axis that a message lists."""
COLUMN = "column"
"""Word that stands in ``draw`` for the columns of a view, in the place of an axis."""


class Draw(Strict):
    """The form of a figure: each axis of the view's rows that has several values is its x, its lines or its panels."""

    kind: Literal["lines", "curves"] = "lines"
    """``lines``: numbers along ``x``, with their errors. ``curves``: curves of a plug-in, which bring their own x."""
    x: str = ""
    """The axis of the rows that runs from left to right; left out for curves."""
    line: str = ""
    """The axis of the rows that has one line for each value, or ``column``; empty for one line."""
    panel: str = ""
    """The axis of the rows that has one panel for each value; by default ``column``, unless ``line`` is ``column``."""

    @property
    def panel_axis(self) -> str:
        """Return the axis of the panels, or ``column``; empty for one panel."""
        return self.panel or ("" if self.line == COLUMN else COLUMN)

    @model_validator(mode="after")
    def _check_x(self) -> Self:
        if (self.kind == "curves") == bool(self.x):
            raise ValueError(
                "x: curves have an x of their own; leave it out"
                if self.x
                else "x is missing; wanted the axis of the rows that runs from left to right"
            )
        return self


def check_draw(draw: Draw, rows: Mapping[str, Sequence[Any]]) -> None:
    """Check that a figure has a place for each axis of the view's rows.

    Raises:
        ValueError: it names an axis that the rows do not have, names one twice, or would draw rows over each other; the
            message has the field, the axis and the rows' values.
    """
    axes = {"x": draw.x, "line": draw.line, "panel": draw.panel_axis}
    known = {"x": [*rows], "line": [*rows, COLUMN], "panel": [*rows, COLUMN]}
    for field, axis in axes.items():
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


def _values_text(values: Sequence[Any]) -> str:
    """Return the values of an axis as a text for messages."""
    return listed(map(value_text, values), MOST_VALUES)
