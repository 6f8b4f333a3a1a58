"""Cells of a page: one for each panel, with room for its labels around its axes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from kit.report.drawn import Figure, Panel, StackPanel
from kit.report.plots import bars, lines
from kit.report.plots.numbers import cut, round_numbers, title_lines, touch, width_of, x_domain, y_domain
from kit.report.plots.style import SMALL

POINTS = 72.0
"""Points of an inch."""
MOST_PANELS_A_ROW, MOST_STACKS_A_ROW = 4, 2
AXES_WIDTH, AXES_HEIGHT = 2.1, 1.55
"""Size of the axes of lines, inches."""
LONE_WIDTH, LONE_HEIGHT = 4.9, 2.6
"""Size of the axes of a figure's only panel of lines, inches."""
STACK_WIDTH, BAR_HEIGHT = 2.9, 0.3
"""Width of the axes of bars, and how high each bar is, inches."""
TOP, RIGHT, TITLE = 0.34, 0.14, 0.17
"""Room above axes for a title of one line, right of them, and for each line more of a title anywhere, inches."""
GAP = 0.06
"""Distance of labels from axes and from each other, inches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Sizes of a page's cells, inches; all axes of a column begin at the same place, and all of a row."""

    lefts: Sequence[float]
    """Room left of the axes of each column."""
    width: float
    """Width of all axes."""
    right: float
    """Room right of all axes."""
    heights: Sequence[float]
    """Height of the axes of each row."""
    top: float
    """Room above all axes."""
    bottom: float
    """Room below all axes."""

    def page_width(self) -> float:
        """Return the width of all columns."""
        return sum(self.lefts) + len(self.lefts) * (self.width + self.right)

    def page_height(self) -> float:
        """Return the height of all rows."""
        return sum(self.heights) + len(self.heights) * (self.top + self.bottom)

    def place(self, number: int) -> tuple[float, float, float]:
        """Return where the axes of a panel begin, from the left and from above, and how high they are."""
        row, column = divmod(number, len(self.lefts))
        left = sum(self.lefts[: column + 1]) + column * (self.width + self.right)
        above = sum(self.heights[:row]) + row * (self.top + self.bottom) + self.top
        return left, above, self.heights[row]


def cells_of(figure: Figure) -> Cells:
    """Return the cells of a figure's panels, which are all of lines or all of bars."""
    stacked = [panel for panel in figure.panels if isinstance(panel, StackPanel)]
    return _stack_cells(stacked) if stacked else _line_cells([one for one in figure.panels if isinstance(one, Panel)])


def _stack_cells(panels: Sequence[StackPanel]) -> Cells:
    """Return the cells of bars, whose names stand at the left of the first column alone."""
    columns = min(MOST_STACKS_A_ROW, len(panels))
    stacks = [stack for panel in panels for stack in panel.stacks]
    names = max((width_of(cut(stack.name, bars.NAME_ROOM)) for stack in stacks), default=0.0)
    sizes = max(width_of(f"n = {stack.n:,}") if stack.n else 0.0 for stack in stacks) if stacks else 0.0
    heights = [bars.height_of(panel) * BAR_HEIGHT for panel in panels]
    return Cells(
        lefts=[names / POINTS + 2 * GAP, *[2 * GAP] * (columns - 1)],
        width=STACK_WIDTH,
        right=sizes / POINTS + RIGHT,
        heights=[max(heights[start : start + columns]) for start in range(0, len(panels), columns)],
        top=_titles_height(panels, STACK_WIDTH),
        bottom=2 * TITLE + 2 * GAP,
    )


def _line_cells(panels: Sequence[Panel]) -> Cells:
    """Return the cells of lines, with room for the longest labels of all."""
    columns = min(MOST_PANELS_A_ROW, len(panels)) or 1
    lone = len(panels) == 1
    width = LONE_WIDTH if lone else AXES_WIDTH
    labels = [label for panel in panels for _, label in round_numbers(*y_domain(panel), panel.y.digits)]
    left = max(map(width_of, labels), default=0.0) / POINTS + TITLE + 3 * GAP
    below = max((_labels_height(panel, width * POINTS) for panel in panels), default=0.0)
    titles = max((2 if panel.sizes else 1 for panel in panels), default=1)
    return Cells(
        lefts=[left] * columns,
        width=width,
        right=RIGHT,
        heights=[LONE_HEIGHT if lone else AXES_HEIGHT] * math.ceil(len(panels) / columns),
        top=_titles_height(panels, width),
        bottom=below + titles * TITLE + 2 * GAP,
    )


def _titles_height(panels: Sequence[Panel] | Sequence[StackPanel], width: float) -> float:
    """Return how much room the panels' titles take above axes of such a width, inches."""
    most = max((len(title_lines(panel.title, width * POINTS)) for panel in panels), default=1)
    return TOP + (most - 1) * TITLE


def _labels_height(panel: Panel, width: float) -> float:
    """Return how much room the labels below a panel's axes take, inches; slanted ones hang down."""
    ends = x_domain(panel)
    if not touch(panel.ticks or round_numbers(min(ends), max(ends), panel.x_digits), ends, width):
        return TITLE
    longest = max((width_of(cut(label, lines.SLANTED_ROOM)) for _, label in panel.ticks), default=0.0)
    return (longest * math.sin(math.radians(lines.SLANT)) + SMALL) / POINTS + GAP
