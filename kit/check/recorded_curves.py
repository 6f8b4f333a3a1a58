"""Compare a figure's curves with the points that were recorded for its scale, and write these points."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, model_validator

from kit.catalogue.axes import Value
from kit.check.findings import MATCH, OFF, Place, place
from kit.reading.documents import Strict
from kit.reading.values import MOST_ROWS
from kit.records import Curve
from kit.report.curves import CurveCell

RECORDED_DIGITS = 2
"""Digits with which a value is recorded beyond those that are shown."""
UNITS_A_FLIP = 50
"""One unit in so many, at least one, may turn out differently on another CPU."""
MOST_POINTS = 10_000
"""Most points of one recorded line."""
Line = tuple[int, str]
"""One line of a cell: the number of its run, from 0, and its group."""


class ExpectedCurve(Strict):
    """One line of a curve that was recorded for a scale, with all its points."""

    at: dict[str, Value]
    """axis -> value, as the figure's view says it."""
    column: str
    """The curve's id."""
    run: int = Field(default=0, ge=0)
    """Number of the run, from 0, in the order of the training seeds."""
    group: str = ""
    """The group whose line it is; empty where there is one line alone."""
    n: int | None = Field(default=None, gt=0, le=MOST_ROWS)
    """Values behind the line, where the curve counts them."""
    x: list[float] = Field(max_length=MOST_POINTS)
    """Places along the horizontal axis; none where the run drew no line."""
    y: list[float] = Field(max_length=MOST_POINTS)
    """The value at each place."""

    @model_validator(mode="after")
    def _one_y_for_each_x(self) -> Self:
        if len(self.x) != len(self.y):
            raise ValueError(f"found {len(self.x)} x and {len(self.y)} y, wanted one y for each x")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveVerdict:
    """The verdict on the lines of one cell, and the line that lies furthest from what is allowed."""

    verdict: str
    detail: str
    """A phrase for each line."""
    moved: float = 0.0
    """The largest share of a line that lies elsewhere, 0 to 1."""
    allowed: float = 0.0
    """The share that may lie elsewhere on that line."""
    n: int | None = None
    """Values behind that line."""


def curves_by_place(curves: Sequence[ExpectedCurve]) -> dict[Place, dict[Line, ExpectedCurve]]:
    """Return the recorded lines by their cell, and there by run and group."""
    found: dict[Place, dict[Line, ExpectedCurve]] = {}
    for curve in curves:
        found.setdefault(place(curve.at, curve.column), {})[curve.run, curve.group] = curve
    return found


def lines_of(cell: CurveCell) -> dict[Line, Curve | None]:
    """Return the lines of a cell by run and group; a run that drew none has None in its place."""
    found: dict[Line, Curve | None] = {}
    for number, run in enumerate(cell.runs):
        found |= {(number, line.group): line for line in run.lines}
        if not run.lines:
            found[number, ""] = None
    return found


def against_recorded(cell: CurveCell, recorded: Mapping[Line, ExpectedCurve]) -> CurveVerdict:
    """Return whether each line has the recorded points, but for the share that :func:`allowed_share` gives."""
    lines = lines_of(cell)
    if set(lines) != set(recorded):
        return CurveVerdict(verdict=OFF, detail=f"lines {_names(lines)}, recorded {_names(recorded)}")
    details, worst = [], CurveVerdict(verdict=MATCH, detail="")
    for name, line in lines.items():
        one = _compare(line, recorded[name], cell.measure.y.digits + RECORDED_DIGITS)
        details.append(f"{_names([name])}: {one.detail}" if len(lines) > 1 else one.detail)
        is_worse = (one.verdict == OFF, one.moved - one.allowed) > (worst.verdict == OFF, worst.moved - worst.allowed)
        worst = one if is_worse or not worst.detail else worst
    return CurveVerdict(
        verdict=worst.verdict, detail="; ".join(details), moved=worst.moved, allowed=worst.allowed, n=worst.n
    )


def _compare(line: Curve | None, recorded: ExpectedCurve, digits: int) -> CurveVerdict:
    """Return the verdict on one line, whose recorded values have so many digits."""
    if line is None or not recorded.x:
        same = line is None and not recorded.x
        found, wanted = ("no line" if not points else f"{points} points" for points in _sizes(line, recorded))
        return CurveVerdict(verdict=MATCH if same else OFF, detail=f"{found}, recorded {wanted}")
    if len(line.x) != len(recorded.x) or any(abs(a - b) > 1e-9 for a, b in zip(line.x, recorded.x, strict=True)):
        return CurveVerdict(verdict=OFF, detail=f"{len(line.x)} points, recorded {len(recorded.x)} at other places")
    if line.n != recorded.n:
        return CurveVerdict(verdict=OFF, detail=f"over {line.n} values, recorded over {recorded.n}")
    moved, allowed = moved_share(line.y, recorded.y), allowed_share(recorded.n)
    total = sum(map(abs, recorded.y))
    hidden = 0.25 * 10.0**-digits * len(recorded.y) / total if total else 0.0  # half of the last digit at each point
    of = "" if recorded.n is None else f" of {recorded.n:,} values"
    return CurveVerdict(
        verdict=MATCH if moved <= allowed + hidden else OFF,
        detail=f"{moved:.2%} of the curve lies elsewhere, {allowed:.2%}{of} allowed",
        moved=moved,
        allowed=allowed,
        n=recorded.n,
    )


def moved_share(ours: Sequence[float], recorded: Sequence[float]) -> float:
    """Return the share of a curve that lies elsewhere: half the sum of the differences, as part of the curve's sum.

    For densities and histograms at places of equal distance this is their total variation distance: a value that moves
    takes 1/n of the curve away in one place, and adds it in another.
    """
    total = sum(map(abs, recorded))
    apart = sum(abs(a - b) for a, b in zip(ours, recorded, strict=True))
    if not total:
        return 1.0 if apart else 0.0
    return apart / (2 * total)


def allowed_share(n: int | None) -> float:
    """Return the share of a curve that may lie elsewhere: one value in :data:`UNITS_A_FLIP`, at least one of n.

    The allowance of numbers (:func:`kit.check.recorded.allowed_flips`), and for its reason: kernels of another CPU sum
    in another order. What a moved value changes of a density's width is not in it, and is of second order.
    """
    return 1 / UNITS_A_FLIP if n is None else max(1, n // UNITS_A_FLIP) / n


def curve_lines(cell: CurveCell) -> Iterator[tuple[Line, int | None, list[str], list[str]]]:
    """Yield run and group, n, and the points of each line of a cell, as a file of recorded values has them."""
    digits = cell.measure.y.digits + RECORDED_DIGITS
    for name, line in lines_of(cell).items():
        if line is None:
            yield name, None, [], []
        else:
            yield name, line.n, [f"{x:.10g}" for x in line.x], [f"{y:.{digits}f}" for y in line.y]


def _sizes(line: Curve | None, recorded: ExpectedCurve) -> tuple[int, int]:
    """Return the number of points of our line and of the recorded one."""
    return (len(line.x) if line else 0), len(recorded.x)


def _names(lines: Mapping[Line, object] | Sequence[Line]) -> str:
    """Return the names of lines as text: their groups, with the run where there are several."""
    several = len({run for run, _ in lines}) > 1
    return ", ".join(f"run {run}, {group or 'all'}" if several else group or "all" for run, group in lines)
