"""Panels of bars that lie below each other: shares of labels, and win, tie, lose; with whiskers of standard error."""

from collections.abc import Iterator, Sequence
from typing import Any

from kit.report.drawn import Stack, StackPanel, part_texts
from kit.report.plots.numbers import cut, width_of
from kit.report.plots.style import (
    FONT,
    GREY,
    HATCHES,
    INK,
    OUTCOME_COLOURS,
    OUTCOME_HATCHES,
    SMALL,
    STEPS,
)

BAR = 0.8
"""Thickness of a bar; the next begins 1 below it."""
GROUP_GAP = 1.0
"""Room above a group's bars, for its heading."""
MOST_LETTERS = 30
"""Letters of a bar's name at most."""
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
    return (places(panel)[-1][0] if panel.stacks else 0.0) + 1.0


def draw_stacks(axes: Any, panel: StackPanel, width: float, *, named: bool) -> None:
    """Draw a panel of bars.

    Args:
        axes: matplotlib's axes.
        panel: all that is drawn in it.
        width: about the length of its horizontal axis, points.
        named: whether the bars' names stand at its left; else they stand at a panel left of it.
    """
    found = places(panel)
    axes.set_title(cut(panel.title, 48), fontsize=FONT, fontweight="bold")
    axes.set_xlim(0, 100)
    axes.set_ylim(height_of(panel) - 0.5, -0.5 - 0.3 * (not any(stack.group for _, stack in found)))
    axes.set_xlabel(f"share of {panel.unit}, percent", fontsize=SMALL)
    axes.set_yticks([at for at, _ in found], [cut(stack.name, MOST_LETTERS) if named else "" for _, stack in found])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    if not panel.ordered:
        axes.axvline(50, color=GREY, linewidth=0.8, linestyle=":", zorder=3)
    group = ""
    for at, stack in found:
        if stack.group and stack.group != group:
            heading = cut(stack.group, MOST_LETTERS)
            axes.text(0, at - 0.5 - GROUP_GAP / 2, heading, fontsize=SMALL, fontweight="bold", va="center")
        group = stack.group
        _draw_stack(axes, panel, stack, at, width)


def _draw_stack(axes: Any, panel: StackPanel, stack: Stack, at: float, width: float) -> None:
    """Draw one bar with its parts, the texts that have room in them, its whiskers, and n behind it."""
    if not stack.parts:
        axes.text(1, at, "missing", fontsize=SMALL, color=GREY, va="center")
        return
    left = 0.0
    looks = part_looks(panel)
    for share, text, (colour, hatch) in zip(stack.shares(), part_texts(panel, stack), looks, strict=True):
        axes.barh(at, 100 * share, BAR, left=left, color=colour, hatch=hatch, edgecolor=INK, linewidth=0.5)
        if width_of(text) + 5 < share * width:
            paper = {"facecolor": colour, "edgecolor": "none", "pad": 0.8, "boxstyle": "square"} if hatch else None
            ink = "white" if lightness(colour) < DARK else INK
            middle = left + 50 * share
            axes.text(middle, at, text, fontsize=SMALL, color=ink, va="center", ha="center", bbox=paper, zorder=5)
        left += 100 * share
    whiskers = [(100 * place, 100 * error) for place, error in stack.boundaries() if error]
    for number, (place, error) in enumerate(whiskers):
        level = at + BAR * 0.32 * (1 if number % 2 else -1)  # neighbours stand one above the other
        axes.errorbar([place], [level], xerr=[error], fmt="none", ecolor="white", elinewidth=2.4, zorder=3.5)
        axes.errorbar([place], [level], xerr=[error], fmt="none", ecolor=INK, elinewidth=0.9, capsize=1.8, zorder=4)
    if stack.n:
        axes.text(101, at, f"n = {stack.n:,}", fontsize=SMALL, va="center")


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

    found = {}
    for panel in panels:
        for name, (colour, hatch) in zip(panel.parts, part_looks(panel), strict=True):
            found.setdefault(name, Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.5))
    return [(sample, name) for name, sample in found.items()]
