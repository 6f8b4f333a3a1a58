"""Panels of lines: marks with error bars, curves with bands, histograms, dots; the paper's values hollow and dashed."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from kit.report.drawn import Panel, Point, Series
from kit.report.plots.numbers import cut, round_numbers, thinned, title_lines, touch, x_domain, y_domain
from kit.report.plots.style import DASHED, FAINT, FONT, GREY, INK, SMALL, Look, look_of

SIDESTEP, WIDEST_SIDESTEP = 0.017, 0.085
"""Lines of one panel stand so far apart at the same x, of the axis's length, so that their bars don't cover each other;
and the first from the last at most."""
SLANTED_ROOM = 62.0
"""Length of a slanted label at most, points: a longer one ends in dots."""
SLANT = 35.0
"""Slant of labels that would touch each other if they were level, degrees."""
SLANT_GAP = 13.0
"""Least distance of two slanted labels, points."""
OVERHANG = 30.0
"""Part by which a title below an axis may be wider than it, points."""
MOST_DOTS = 2000
"""Dots of an SVG that are drawn as shapes; more become one image in it."""


def draw_panel(axes: Any, panel: Panel, names: Sequence[str], width: float, height: float) -> None:
    """Draw one panel of lines on its axes.

    Args:
        axes: matplotlib's axes.
        panel: all that is drawn in it.
        names: names of the figure's lines, in the order of the legend.
        width: length of its horizontal axis, points.
        height: length of its vertical axis, points.
    """
    ends = x_domain(panel)
    axes.set_title("\n".join(title_lines(panel.title, width)), fontsize=FONT, fontweight="bold")
    heading = panel.y.unit if panel.y.title == panel.title else panel.y.heading
    axes.set_ylabel(cut(heading, height), fontsize=SMALL)
    below = [cut(text, width + OVERHANG) for text in (panel.x_title, panel.sizes) if text]
    axes.set_xlabel("\n".join(below), fontsize=SMALL)
    axes.grid(axis="y", color=FAINT, linewidth=0.7)
    aside = sidesteps(panel, ends)
    for line in panel.series:
        number = names.index(line.name) if line.name in names else 0
        _draw_line(axes, line, look_of(number), aside.get(id(line), 0.0))
    for number, rule in enumerate(panel.rules):
        axes.axvline(rule.x, color=INK, linewidth=1.2, linestyle=("--", ":", "-.")[number % 3])
    _set_ends(axes, panel, ends, width)


def sidesteps(panel: Panel, ends: tuple[float, float]) -> dict[int, float]:
    """Return id of a marked line -> how far aside it stands at the same x, in units of the axis."""
    marked = [line for line in panel.series if line.form == "marks"]
    length = abs(ends[1] - ends[0])
    closest = min((right - left for left, right in pairwise(sorted(place for place, _ in panel.ticks))), default=length)
    widest = min(WIDEST_SIDESTEP * length, 0.6 * closest)
    step = min(SIDESTEP * length, widest / max(len(marked) - 1, 1))
    return {id(line): step * (number - (len(marked) - 1) / 2) for number, line in enumerate(marked)}


def _set_ends(axes: Any, panel: Panel, ends: tuple[float, float], width: float) -> None:
    """Set the ends of both axes, and round numbers or the panel's own places as their ticks."""
    low, high = y_domain(panel)
    axes.set_ylim(low, high)
    ticks = round_numbers(low, high, panel.y.digits)
    axes.set_yticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.set_xlim(*ends)
    places = panel.ticks or round_numbers(min(ends), max(ends), panel.x_digits)
    if touch(places, ends, width):
        places = tuple(thinned(places, ends, width, SLANT_GAP))
        labels = [cut(label, SLANTED_ROOM) for _, label in places]
        axes.set_xticks([place for place, _ in places], labels, rotation=SLANT, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks([place for place, _ in places], [label for _, label in places])


def _draw_line(axes: Any, line: Series, look: Look, aside: float) -> None:
    """Draw one line in its form."""
    if line.form == "marks":
        _draw_marks(axes, line.points, look, aside)
        return
    points = [point for point in line.points if point.y is not None]
    xs, ys = [point.x for point in points], [point.y or 0.0 for point in points]
    errors = [point.error or 0.0 for point in points]
    if line.form == "dots":
        image = len(points) > MOST_DOTS
        axes.plot(xs, ys, look.mark, color=look.colour, markersize=2.2, alpha=0.45, mew=0, rasterized=image)
    elif line.form == "bins":
        fill = {"color": look.colour, "alpha": 0.55, "edgecolor": INK, "linewidth": 0.5, "hatch": look.hatch or None}
        axes.bar(xs, ys, width=line.width, **fill)
        if any(errors):
            axes.errorbar(xs, ys, yerr=errors, fmt="none", ecolor=INK, elinewidth=0.7, capsize=1.5, zorder=3)
    else:
        if any(errors):
            lower, upper = ([y + sign * error for y, error in zip(ys, errors, strict=True)] for sign in (-1, 1))
            axes.fill_between(xs, lower, upper, color=look.colour, alpha=0.22, linewidth=0)
        axes.plot(xs, ys, color=look.colour, linestyle=look.stroke, linewidth=1.5)


def _draw_marks(axes: Any, points: Sequence[Point], look: Look, aside: float) -> None:
    """Draw our values as filled marks with error bars on a line, the paper's as hollow marks on a dashed line."""
    printed = [(point.x + aside, point.reference) for point in points if point.reference is not None]
    if printed:
        xs, ys = zip(*printed, strict=True)
        axes.plot(xs, ys, look.mark, color=look.colour, linestyle=DASHED, linewidth=1.1, markersize=4.5, mfc="white")
    nothing = float("nan")
    axes.errorbar(
        [point.x + aside for point in points],
        [nothing if point.y is None else point.y for point in points],
        yerr=[point.error or 0.0 for point in points],
        fmt=look.mark,
        linestyle="-",
        color=look.colour,
        linewidth=1.5,
        markersize=4.5,
        elinewidth=1.1,
        capsize=2,
    )


def samples(panels: Sequence[Panel], names: Sequence[str]) -> list[tuple[Any, str]]:
    """Return the legend's entries: a sample of each line, what error bars and hollow marks are, and each rule."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    drawn = [line for panel in panels for line in panel.series]
    forms = {line.name: line.form for line in drawn}
    found: list[tuple[Any, str]] = []
    for number, name in enumerate(names):
        look, form = look_of(number), forms[name]
        if form == "bins":
            fill = Patch(facecolor=look.colour, alpha=0.55, edgecolor=INK, linewidth=0.5, hatch=look.hatch or None)
            found.append((fill, name))
        elif form == "curve":
            found.append((Line2D([], [], color=look.colour, linestyle=look.stroke, linewidth=1.5), name))
        else:
            stroke = "-" if form == "marks" else "none"
            found.append((Line2D([], [], color=look.colour, marker=look.mark, markersize=4.5, linestyle=stroke), name))
    if "marks" in forms.values():
        ours = Line2D([], [], color=GREY, marker="o", markersize=4.5, linestyle="-")
        found.append((ours, "here, ± standard error"))
    if any(point.reference is not None for line in drawn for point in line.points):
        theirs = Line2D([], [], color=GREY, marker="o", markersize=4.5, mfc="white", linestyle=DASHED)
        found.append((theirs, "the paper"))
    rules = dict.fromkeys((number % 3, rule.text) for panel in panels for number, rule in enumerate(panel.rules))
    found += [(Line2D([], [], color=INK, linewidth=1.2, linestyle=("--", ":", "-.")[n]), text) for n, text in rules]
    return found
