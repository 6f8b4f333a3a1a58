"""Figures of scores: a histogram, densities of several files, two scores against each other, the cut of a selection."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

from kit import metrics, registry
from kit.errors import RequestError
from kit.measures import PERCENT, Quantity
from kit.measures.correlation import spearman
from kit.measures.densities import density_with_error
from kit.measures.ranking import cut_text
from kit.report.drawn import Figure, Panel, Point, Rule, Series
from kit.report.escapes import csv_cell

FEWEST_BINS, MOST_BINS = 8, 60
PLACES = 256
"""Places at which a density is computed."""
TAIL = 0.03
"""Part of the values at each end that an axis leaves out, where they would make it several times as long."""
LONGEST = 4.0
"""Length of an axis with all values, in lengths of the axis without its tails, above which these are left out."""
MOST_DOTS = 20_000
"""Dots that are drawn; of more rows, as many are taken at equal distances in the file."""
NEAREST, TINIEST = 1e-9, 1e-100
"""Distance of two numbers, as a part of the larger and at all, up to which a picture has them at one place."""
LARGEST = 1e100
"""Largest number that is drawn."""
ALL_DIGITS = 9
"""Digits of an axis whose numbers may be of any size; it shows as few as its ticks need."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The numbers of one file's rows that have them."""

    name: str
    """Name of the file, as the legend has it."""
    by: tuple[float, ...]
    """Score of each row, in the file's order."""
    against: tuple[float, ...] = ()
    """Other score of each row; empty where one score is drawn."""
    left_out: int = 0
    """Rows without a number, which are not drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The rows that a selection keeps of one file."""

    text: str
    """Size of the part, as it was asked for: ``10%``."""
    end: str
    """``highest`` or ``lowest``."""
    value: float
    """Score of the last row that is kept."""
    kept: tuple[float, ...]
    """Scores of the rows that are kept."""

    def rule(self, by: Quantity) -> Rule:
        """Return the line at which the selection cuts."""
        return Rule(x=self.value, text=f"cut at {by.title} {cut_text(self.value)}: the {self.end} {self.text}")


def quantity_of(name: str) -> Quantity:
    """Return a score as an axis: the field's name, with the unit that a metric of the kit gives it.

    Numbers are drawn as the fields hold them, so a share is 0 to 1.
    """
    for metric in registry.names("metrics"):
        if (found := metrics.load(metric).METRICS.get(name)) and found.unit != PERCENT:
            return Quantity(title=name, unit=found.unit)
    return Quantity(title=name, unit="")


def histogram(scores: Scores, by: Quantity, cut: Cut | None, title: str) -> Figure:
    """Return how many rows have a score within each bar, with the standard error of that number."""
    values = scores.by
    low, high, beyond = _ends([values])
    edges = _edges([value for value in values if low <= value <= high], low, high)
    series = [_bins("all rows" if cut else "", values, edges, with_error=True)]
    if cut:
        series.append(_bins(f"kept: {len(cut.kept):,} of {len(values):,} rows", cut.kept, edges, with_error=False))
    panel = Panel(
        title=scores.name,
        x_title=by.heading,
        y=Quantity(unit="rows", digits=0),
        ticks=(),
        x_digits=ALL_DIGITS,
        series=tuple(series),
        sizes=f"n = {len(values):,} rows",
        rules=(cut.rule(by),) if cut else (),
    )
    how = "Bars: rows within each; whiskers: ± one standard error of that number, for a sample of n rows."
    return Figure(name="histogram", title=title, panels=(panel,), notes=(how, *_notes([scores], beyond)))


def densities(sets: Sequence[Scores], by: Quantity, cut: Cut | None, title: str) -> Figure:
    """Return the density of each file's scores, with its standard error.

    Raises:
        RequestError: all numbers of a file are the same, so that no width follows from them.
    """
    low, high, beyond = _ends([one.by for one in sets])
    margin = 0.05 * (high - low)
    places = [low - margin + (high - low + 2 * margin) * number / (PLACES - 1) for number in range(PLACES)]
    series = []
    for one in sets:
        if not _differ(min(one.by), max(one.by)):
            rounded = "" if min(one.by) == max(one.by) else ", but for rounding"
            raise RequestError(
                f"{one.name}: all {len(one.by):,} values of {by.title} are {one.by[0]:g}{rounded}, of which there "
                "is no density; wanted two that differ (--as histogram draws them)"
            )
        heights, errors = density_with_error(one.by, places)
        found = [Point(x=x, y=y, error=error) for x, y, error in zip(places, heights, errors, strict=True)]
        series.append(Series(name=f"{one.name}, n = {len(one.by):,}", points=tuple(found), form="curve"))
    panel = Panel(
        title="Density",
        x_title=by.heading,
        y=Quantity(title="Density", unit=f"share of rows per {by.unit or 'unit'}", digits=ALL_DIGITS),
        ticks=(),
        x_digits=ALL_DIGITS,
        x_ends=(places[0], places[-1]),
        series=tuple(series),
        rules=(cut.rule(by),) if cut else (),
    )
    how = "Gaussian kernels of Scott's width; bands: ± one standard error of each curve, for its width."
    return Figure(name="densities", title=title, panels=(panel,), notes=(how, *_notes(sets, beyond)))


def scatter(sets: Sequence[Scores], by: Quantity, against: Quantity, cut: Cut | None, title: str) -> Figure:
    """Return each row as a dot at its two scores; the notes have the rank correlation of each file."""
    low, high, beyond = _ends([one.by for one in sets])
    bottom, top, above = _ends([one.against for one in sets])
    series, notes = [], []
    for one in sets:
        pairs = [(x, y) for x, y in zip(one.by, one.against, strict=True) if low <= x <= high and bottom <= y <= top]
        step = max(1, math.ceil(len(pairs) / MOST_DOTS))
        drawn = pairs[::step]
        if step > 1:
            notes.append(f"{one.name}: {len(drawn):,} of {len(pairs):,} dots are drawn, every {step}th row.")
        dots = tuple(Point(x=x, y=y) for x, y in drawn)
        series.append(Series(name=f"{one.name}, n = {len(one.by):,}", points=dots, form="dots"))
        rank = spearman(one.by, one.against)
        said = "none, as one score is the same in all rows" if rank is None else f"{rank:+.3f}"
        notes.append(f"{one.name}: rank correlation (Spearman) {said}, n = {len(one.by):,} rows.")
    panel = Panel(
        title=f"{by.title} against {against.title}",
        x_title=by.heading,
        y=Quantity(title=against.title, unit=against.unit, digits=ALL_DIGITS),
        ticks=(),
        x_digits=ALL_DIGITS,
        series=tuple(series),
        rules=(cut.rule(by),) if cut else (),
    )
    return Figure(name="scatter", title=title, panels=(panel,), notes=(*notes, *_notes(sets, beyond + above)))


def numbers_csv(figure: Figure) -> str:
    """Return the numbers that a figure of scores draws as CSV: a line for each point, bar or dot."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["panel", "line", "x", "x_title", "width", "y", "y_title", "stderr"])
    for panel in (panel for panel in figure.panels if isinstance(panel, Panel)):
        for line in panel.series:
            for point in line.points:
                place = [panel.title, line.name, repr(point.x), panel.x_title, line.width or None]
                writer.writerow(map(csv_cell, (*place, point.y, panel.y.heading, point.error)))
        for rule in panel.rules:
            cells = (panel.title, rule.text, repr(rule.x), panel.x_title, None, None, None, None)
            writer.writerow(map(csv_cell, cells))
    return out.getvalue()


def _notes(sets: Sequence[Scores], beyond: int) -> list[str]:
    """Return sentences on what is not drawn."""
    found = [f"{one.name}: {one.left_out:,} rows have no such number and are left out." for one in sets if one.left_out]
    return [*found, f"{beyond:,} of the numbers lie beyond the ends of an axis."] if beyond else found


def _ends(sets: Sequence[Sequence[float]]) -> tuple[float, float, int]:
    """Return the ends of an axis, and how many values lie beyond: a few at each end, where they would make it long."""
    values = sorted(value for one in sets for value in one)
    low, high = values[0], values[-1]
    cut = math.ceil(TAIL * len(values))
    inner_low, inner_high = values[cut], values[-1 - cut] if len(values) > 2 * cut else high
    length = inner_high - inner_low
    if len(values) <= 2 * cut or length <= 0 or high - low <= LONGEST * length:
        return low, high, 0
    low, high = max(low, inner_low - 0.5 * length), min(high, inner_high + 0.5 * length)
    return low, high, sum(not low <= value <= high for value in values)


def _edges(values: Sequence[float], low: float, high: float) -> list[float]:
    """Return the edges of a histogram's bars: multiples of a round width about as Freedman and Diaconis choose it."""
    if not _differ(low, high):
        half = abs(low) / 20 if abs(low) > TINIEST else 0.5
        return [low - half, low + half]
    found = sorted(values)
    quarter = len(found) // 4
    spread = found[-1 - quarter] - found[quarter]
    width = 2 * spread / len(found) ** (1 / 3) if spread > 0 else (high - low) / FEWEST_BINS
    width = min(max(width, (high - low) / MOST_BINS), (high - low) / FEWEST_BINS)
    power = 10.0 ** math.floor(math.log10(width))
    width = min((factor * power for factor in (1, 2, 5, 10)), key=lambda one: abs(math.log(one / width)))
    shift = 0.0
    if all(value == int(value) for value in found):  # a bar of whole numbers stands about them
        width, shift = max(width, 1.0), 0.5
    first, last = math.floor(low / width), math.floor(high / width) + 1
    return [_tidy(number * width - shift, width) for number in range(first, last + 1)]


def _differ(low: float, high: float) -> bool:
    """Return whether two numbers are further apart than rounding and than an axis can tell."""
    return high - low > max(TINIEST, NEAREST * max(abs(low), abs(high)))


def _tidy(number: float, width: float) -> float:
    """Return a number without the digits that its computation left, far below a bar's width."""
    return round(number, 12 - math.floor(math.log10(width)))


def _bins(name: str, values: Sequence[float], edges: Sequence[float], *, with_error: bool) -> Series:
    """Return the bars of a histogram: from each edge up to the next, without that."""
    width, count = edges[1] - edges[0], len(edges) - 1
    width = _tidy(width, width)
    rows = [0] * count
    for value in values:
        place = math.floor((value - edges[0]) / width + 1e-9)
        if 0 <= place < count:
            rows[place] += 1
    total = len(values)
    points = [
        Point(
            x=_tidy((edges[number] + edges[number + 1]) / 2, width),
            y=float(found),
            error=math.sqrt(found * (1 - found / total)) if with_error else None,
        )
        for number, found in enumerate(rows)
    ]
    return Series(name=name, points=tuple(points), form="bins", width=width)
