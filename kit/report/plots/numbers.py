"""Ends and round numbers of axes, and texts cut to their room."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from kit.report.drawn import Panel, Point
from kit.report.plots import safe
from kit.report.plots.style import FONT, SMALL

LONGEST_LABEL = 120
"""Most letters of a label, whatever room it has."""
MOST_TITLE_LINES = 2
"""Most lines of a panel's title."""


def width_of(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Return how wide a text is, points."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(safe(text), font, ismath=False)
    return float(width)


def cut(text: str, room: float, size: float = SMALL, *, bold: bool = False) -> str:
    """Return a label that is safe to draw and no wider than so many points: a longer one ends in dots."""
    text = safe(text)
    label = text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"
    while len(label) > 1 and width_of(label, size, bold=bold) > room:
        label = label[:-2] + "…"
    return label


def wrapped(text: str, room: float, size: float, *, bold: bool = False) -> list[str]:
    """Return a text as lines that are no wider than so many points; a word that is wider is broken."""
    lines = [""]
    for word in safe(text).split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if width_of(longer, size, bold=bold) <= room:
            lines[-1] = longer
            continue
        lines += [""] * bool(lines[-1])
        for letter in word:
            if lines[-1] and width_of(lines[-1] + letter, size, bold=bold) > room:
                lines.append("")
            lines[-1] += letter
    return lines


def title_lines(text: str, room: float) -> list[str]:
    """Return a panel's title as :data:`MOST_TITLE_LINES` lines or fewer, the last of them cut where it is too long."""
    lines = wrapped(text, room, FONT, bold=True)
    last = " ".join(lines[MOST_TITLE_LINES - 1 :])
    return [*lines[: MOST_TITLE_LINES - 1], *([cut(last, room, FONT, bold=True)] if last else [])]


def x_domain(panel: Panel) -> tuple[float, float]:
    """Return the left and right end of a panel's horizontal axis; ticks have room beside them."""
    if panel.x_ends:
        return panel.x_ends
    places = [place for place, _ in panel.ticks]
    points = [point.x for line in panel.series for point in line.points]
    half = max((line.width / 2 for line in panel.series), default=0.0)
    low, high = domain(places or points, 0.0, 0.0)
    room = (high - low) * (0.07 if panel.ticks else 0.02)
    return low - max(room, half), high + max(room, half)


def y_domain(panel: Panel) -> tuple[float, float]:
    """Return the lower and upper end of a panel's vertical axis: each value has room, and bars stand on 0."""
    values = [value for line in panel.series for point in line.points for value in heights(point)]
    marked = any(line.form == "marks" for line in panel.series)
    least = 4 * 10.0**-panel.y.digits if marked else 0.0  # values that are closer are shown as one number elsewhere
    low, high = domain(values, 0.06, least)
    standing = all(line.form in ("bins", "curve") for line in panel.series)
    ours = [point.y for line in panel.series for point in line.points if point.y is not None]
    return (0.0, high) if standing and ours and min(ours) >= 0 else (low, high)


def heights(point: Point) -> Iterator[float]:
    """Yield every height that a point needs room for: both ends of its bar, and the paper's value."""
    if point.y is not None:
        yield point.y - (point.error or 0.0)
        yield point.y + (point.error or 0.0)
    if point.reference is not None:
        yield point.reference


def domain(values: Sequence[float], margin: float, least: float) -> tuple[float, float]:
    """Return the ends of an axis: the values' own, and a part of their distance beyond.

    Args:
        values: all that the axis has to hold.
        margin: that part.
        least: the distance of the ends at least; where all values are one, the axis is as wide as that value.
    """
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-99):  # closer than ticks could tell
        half = max(abs(low) or 1.0, least) / 2
        return low - half, high + half
    room = max(margin * (high - low), (least - (high - low)) / 2)
    return low - room, high + room


def round_numbers(low: float, high: float, digits: int, fewest: int = 4) -> list[tuple[float, str]]:
    """Return round numbers between two ends, each with its text: by the widest step of 1, 2 or 5 that gives enough.

    Args:
        low: the lower end.
        high: the upper end, above it.
        digits: digits after the point at most; whole numbers have no ticks between them.
        fewest: how many there are, if so many digits are enough.
    """
    power = math.floor(math.log10(high - low))
    found: list[tuple[float, str]] = []
    for factor, exponent in ((factor, power - down) for down in range(3) for factor in (5, 2, 1)):
        if len(found) >= fewest or (len(found) > 1 and exponent < -digits):
            break
        step, after = factor * 10.0**exponent, max(0, -exponent)
        numbers = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        found = [(number * step, f"{number * step:,.{after}f}") for number in numbers]
    return found


def touch(ticks: Sequence[tuple[float, str]], ends: tuple[float, float], width: float) -> bool:
    """Return whether two neighbouring labels below an axis of so many points would touch each other."""
    low, high = ends
    places = sorted((abs((place - low) / (high - low)) * width, width_of(label) / 2) for place, label in ticks)
    return any(left + half + 3 > right - other for (left, half), (right, other) in pairwise(places))


def thinned(
    ticks: Sequence[tuple[float, str]], ends: tuple[float, float], width: float, gap: float
) -> Iterator[tuple[float, str]]:
    """Yield the ticks that stand so many points apart from the one before."""
    low, high = ends
    last = -math.inf
    for place, label in sorted(ticks):
        at = (place - min(low, high)) / abs(high - low) * width
        if at - last >= gap:
            yield place, label
            last = at
