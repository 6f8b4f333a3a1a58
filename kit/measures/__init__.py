"""Measures: the title, unit, digits and kind of a number, by which it is summed, shown, compared and recorded."""

import math
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["share", "mean", "mean over groups", "count"]
"""Ways in which the scores of rows become one number; :mod:`kit.measures.estimates` has a function for each."""
Bounds: TypeAlias = tuple[float | None, float | None]
"""The lowest and the highest value that can be; None where there is no such limit."""
PERCENT = "percent"
"""The unit of shares: they are stored as 0 to 1 and shown times 100."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """Something that is measured: its title, its unit, and the digits with which it is shown."""

    title: str = ""
    """Stands above a column or beside an axis."""
    unit: str = PERCENT
    """``percent``, ``points``, ``items``, ``nats/token``, ...; empty for a number without a unit."""
    digits: int = 2
    """Digits after the point; an error is shown with one fewer."""

    @property
    def symbol(self) -> str:
        """The unit as it stands behind a number: ``%`` for percent, else its name."""
        return "%" if self.unit == PERCENT else self.unit

    @property
    def difference_unit(self) -> str:
        """The unit of a difference between two values: two shares differ by points."""
        return "points" if self.unit == PERCENT else self.unit

    @property
    def rounding(self) -> float:
        """Half of the last digit that is shown, in the unit."""
        return 0.5 * 10.0**-self.digits

    @property
    def heading(self) -> str:
        """Title and unit, for an axis: ``GSM8K, percent``."""
        return ", ".join(filter(None, (self.title, self.unit)))

    def in_unit(self, value: float) -> float:
        """Return a stored value in the unit: a share times 100."""
        return 100 * value if self.unit == PERCENT else value

    def text(self, shown: float) -> str:
        """Return a value that is in the unit as text with all its digits."""
        return f"{shown:.{self.digits}f}"

    def signed_text(self, shown: float) -> str:
        """Return a difference that is in the unit as text with its sign."""
        return f"{shown:+.{self.digits}f}"

    def short_text(self, shown: float) -> str:
        """Return an error, or a value beside many others, as text with one digit fewer."""
        return f"{shown:.{max(self.digits - 1, 0)}f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure(Quantity):
    """A metric's number, by default a share in percent."""

    counts: str = "items"
    """The noun of one unit behind the number: ``items``, ``prompts``, ``instructions``, ``rows``."""
    kind: Kind = "share"
    """``share``: units right of units judged, all rows pooled. ``mean``: of the rows' scores. ``mean over groups``: of
    the groups' means, each of which weighs alike. ``count``: units right."""
    lowest: float | None = None
    """The lowest score that a row can have, where there is one; shares begin at 0."""
    highest: float | None = None
    """The highest score that a row can have, where there is one; shares end at 1."""

    @property
    def bounds(self) -> Bounds:
        """The lowest and the highest number that can come out, as stored."""
        limited = self.lowest is not None or self.highest is not None  # an IFD in percent may be above 100
        if self.kind == "share" or (self.unit == PERCENT and not limited):
            return 0.0, 1.0
        return (0.0, None) if self.kind == "count" else (self.lowest, self.highest)

    def allows(self, value: object) -> bool:
        """Return whether a stored value is a finite number within the bounds."""
        if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
            return False
        low, high = self.bounds
        return (low is None or low <= value) and (high is None or value <= high)  # type: ignore[operator]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveMeasure:
    """A curve that a plug-in gives beside its numbers, for instance a density."""

    title: str
    x: Quantity = field(default_factory=Quantity)
    """The quantity along the horizontal axis; its values are stored in its unit."""
    y: Quantity = field(default_factory=Quantity)
    """The quantity along the vertical axis; its values are stored in its unit."""
