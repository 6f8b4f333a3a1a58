"""Panels of bars that lie below each other: shares of labels, and win, tie, lose; with whiskers of standard error."""

from collections.abc import Iterator, Sequence
from typing import Any

from kit.report.drawn import Stack, StackPanel, part_texts
from kit.report.plots.numbers import cut, title_lines, width_of
from kit.report.plots.style import FONT, GREY, HATCHES, INK, OUTCOME_COLOURS, OUTCOME_HATCHES, SMALL, STEPS

BAR = 0.54
"""Thickness of a bar; the next begins 1 below it, and whiskers stand between them."""
GROUP_GAP = 0.8
"""Room above a group's bars, for its heading."""
NAME_ROOM = 150.0
"""Width of a bar's name at most, points."""
DARK = 0.45
"""Lightness below which letters on a colour are white."""


def places(panel: StackPanel) -> list[tuple[float, Stack]]:
    """Return each bar with its place from top to bottom; a group's first bar has room for the heading above it."""
    found: list[tuple[float, Stack]] = []
    at, group = 0.0, ""
    for stack in panel.stacks:
        if stack.group and stack.group != group:
            at += GROUP_GAP
        group = stack.group
        found.append((at, stack))
        at += 1
    return found


def height_of(panel: StackPanel) -> float:
    """Return how many bars high a panel is."""
    return (places(panel)[-1][0] if panel.stacks else 0.0) + 1.2


def draw_stacks(axes: Any, panel: StackPanel, width: float, *, named: bool) -> None:
    """Draw one panel of bars on its axes.

    Args:
        axes: matplotlib's axes.
        panel: all that is drawn in it.
        width: about the length of its horizontal axis, points.
        named: whether the bars' names stand at its left; else they stand at a panel left of it.
    """
    found = places(panel)
    axes.set_title("\n".join(title_lines(panel.title, width)), fontsize=FONT, fontweight="bold")
    axes.set_xlim(0, 100)
    axes.set_ylim(height_of(panel) - 0.5, -0.5)
    axes.set_xlabel(f"share of {panel.unit}, percent", fontsize=SMALL)
    axes.set_yticks([at for at, _ in found], [cut(stack.name, NAME_ROOM) if named else "" for _, stack in found])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if not panel.ordered:
        axes.axvline(50, color=GREY, linewidth=0.8, linestyle=":", zorder=3)
    group = ""
    for at, stack in found:
        if stack.group and stack.group != group:
            heading = cut(stack.group, width, bold=True)
            axes.text(0, at - 0.5 - GROUP_GAP / 2, heading, fontsize=SMALL, fontweight="bold", va="center")
        group = stack.group
        said = f"n = {stack.n:,}" if stack.n else ""
        axes.text(101, at, said if stack.parts else "", fontsize=SMALL, va="center")
        if not stack.parts:
            axes.text(1, at, "missing", fontsize=SMALL, color=GREY, va="center")
    whole = [(at, stack) for at, stack in found if stack.parts]
    _draw_parts(axes, panel, whole, width)
    _draw_whiskers(axes, whole)


def _draw_parts(axes: Any, panel: StackPanel, whole: Sequence[tuple[float, Stack]], width: float) -> None:
    """Draw the parts of all bars, and the texts that have room in them."""
    lefts = [0.0] * len(whole)
    for part, (colour, hatch) in enumerate(part_looks(panel)):
        ats = [at for at, _ in whole]
        widths = [100 * stack.shares()[part] for _, stack in whole]
        axes.barh(ats, widths, BAR, left=lefts, color=colour, hatch=hatch or None, edgecolor=INK, linewidth=0.5)
        ink = "white" if lightness(colour) < DARK else INK
        paper = {"facecolor": colour, "edgecolor": "none", "boxstyle": "square,pad=0.12"} if hatch else None
        for (at, stack), left, long in zip(whole, lefts, widths, strict=True):
            text = part_texts(panel, stack)[part]
            if width_of(text) + 5 < long / 100 * width:
                middle = left + long / 2
                axes.text(middle, at, text, fontsize=SMALL, color=ink, va="center", ha="center", bbox=paper, zorder=5)
        lefts = [left + long for left, long in zip(lefts, widths, strict=True)]


def _draw_whiskers(axes: Any, whole: Sequence[tuple[float, Stack]]) -> None:
    """Draw the standard error of each boundary below its bar, the first boundary's uppermost."""
    edges = [(at, [*stack.boundaries()]) for at, stack in whole]
    count = max((len(boundaries) for _, boundaries in edges), default=0)
    for number in range(count):
        drawn = [(at, *found[number]) for at, found in edges if found[number][1] > 0]
        level = BAR / 2 + (0.96 - BAR) * (number + 0.5) / count
        axes.errorbar(
            [100 * place for _, place, _ in drawn],
            [at + level for at, _, _ in drawn],
            xerr=[100 * error for _, _, error in drawn],
            fmt="|",
            color=INK,
            markersize=2.6,
            elinewidth=0.8,
            capsize=1.3,
            zorder=4,
        )


def part_looks(panel: StackPanel) -> list[tuple[str, str]]:
    """Return the colour and the hatch of each part of a panel's bars."""
    if not panel.ordered:
        return [*zip(OUTCOME_COLOURS, OUTCOME_HATCHES, strict=True)]
    return [*_steps(len(panel.parts))]


def _steps(count: int) -> Iterator[tuple[str, str]]:
    """Yield colour and hatch of each step of a scale, from light to dark; of many, hatches tell neighbours apart."""
    for number in range(count):
        place = round(number * (len(STEPS) - 1) / max(count - 1, 1))
        hatch = HATCHES[place] if count <= len(STEPS) else HATCHES[number % 4]
        yield STEPS[place], hatch


def lightness(colour: str) -> float:
    """Return how light a colour is, 0 to 1: its relative luminance as ITU-R BT.709 weighs it, without gamma."""
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def samples(panels: Sequence[StackPanel]) -> list[tuple[Any, str]]:
    """Return the legend's entries: a sample of each part."""
    from matplotlib.patches import Patch

    found: dict[str, Any] = {}
    for panel in panels:
        for name, (colour, hatch) in zip(panel.parts, part_looks(panel), strict=True):
            found.setdefault(name, Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.5))
    return [(sample, name) for name, sample in found.items()]
