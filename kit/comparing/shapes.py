"""Shapes of what comparisons return: an interval, a difference with its error, a spread with its degrees of freedom."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence or prediction interval, both ends included."""

    low: float
    high: float
    confidence: float
    """Share of such intervals that hold the true value, 0 to 1."""

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the interval."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Difference:
    """A mean difference over items that both sides answered, with its standard error."""

    value: float
    stderr: float
    n: int
    """Number of items."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A standard deviation between runs, with the degrees of freedom that it was estimated with."""

    value: float
    degrees: float
