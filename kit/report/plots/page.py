"""Page of a picture: heading, legend, panels in rows, notes; each has the room that it takes."""

from typing import Any

from kit.report.drawn import Figure, Panel, StackPanel
from kit.report.plots import bars, lines
from kit.report.plots.cells import POINTS, Cells, cells_of
from kit.report.plots.numbers import cut, width_of, wrapped
from kit.report.plots.style import FONT, GREY, LARGE, SMALL

EDGE = 0.16
"""Margin of the page, inches."""
LEAST_WIDTH = 5.6
SAMPLE = 5.5 * FONT
"""Room of a legend's sample, and of the gaps beside it, points."""
SPACING = 1.35
"""Distance of two lines of text, in sizes of their letters."""


def page(figure: Figure) -> Any:
    """Return matplotlib's figure, ready to be saved."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure as Page

    cells = cells_of(figure)
    width = max(cells.page_width() + 2 * EDGE, LEAST_WIDTH)
    made = Page(figsize=(width, 4.0))
    FigureCanvasAgg(made)  # measures the legend
    room = (width - 2 * EDGE) * POINTS
    heading = wrapped(figure.title, room, LARGE, bold=True)
    notes = [line for note in figure.notes for line in wrapped(note, room, SMALL)]
    legend = _legend(made, figure, room)
    above = EDGE + len(heading) * LARGE * SPACING / POINTS + 0.06
    top = above + (legend.get_window_extent().height / made.dpi + 0.06 if legend else 0.0)
    below = EDGE + (len(notes) * SMALL * SPACING / POINTS + 0.06 if notes else 0.0)
    height = top + cells.page_height() + below
    made.set_size_inches(width, height)
    left = EDGE / width
    said: dict[str, Any] = {"linespacing": SPACING}
    made.text(left, 1 - EDGE / height, "\n".join(heading), fontsize=LARGE, weight="bold", va="top", **said)
    made.text(left, EDGE / height, "\n".join(notes), fontsize=SMALL, color=GREY, va="bottom", **said)
    if legend:
        legend.set_bbox_to_anchor((left, 1 - above / height), transform=made.transFigure)
    _draw(made, figure, cells, top)
    return made


def _legend(made: Any, figure: Figure, room: float) -> Any:
    """Return the page's legend with as many columns as have room; None where there is nothing to tell apart."""
    entries = bars.samples([panel for panel in figure.panels if isinstance(panel, StackPanel)])
    entries += lines.samples([panel for panel in figure.panels if isinstance(panel, Panel)], figure.names())
    if not entries:
        return None
    labels = [cut(name, room - SAMPLE, FONT) for _, name in entries]
    widest = max(width_of(label, FONT) for label in labels) + SAMPLE
    columns = max(1, min(len(labels), int(room / widest)))
    return made.legend(
        [sample for sample, _ in entries],
        labels,
        loc="upper left",
        ncols=columns,
        frameon=False,
        fontsize=FONT,
        handlelength=3.0,
        borderaxespad=0,
        borderpad=0,
        columnspacing=1.6,
    )


def _draw(made: Any, figure: Figure, cells: Cells, top: float) -> None:
    """Draw the panels, of which the first row begins ``top`` inches below the upper end of the page."""
    names = figure.names()
    page_width, page_height = made.get_size_inches()
    for number, panel in enumerate(figure.panels):
        left, above, height = cells.place(number)
        first = number % len(cells.lefts) == 0
        if isinstance(panel, StackPanel):
            height = bars.height_of(panel) * height / max(map(bars.height_of, _row(figure, number, len(cells.lefts))))
        low = 1 - (top + above + height) / page_height
        axes = made.add_axes(((EDGE + left) / page_width, low, cells.width / page_width, height / page_height))
        if isinstance(panel, StackPanel):
            bars.draw_stacks(axes, panel, cells.width * POINTS, named=first)
        else:
            lines.draw_panel(axes, panel, names, cells.width * POINTS, height * POINTS)


def _row(figure: Figure, number: int, columns: int) -> list[StackPanel]:
    """Return the panels of bars that stand in the row of one of them."""
    start = number - number % columns
    return [panel for panel in figure.panels[start : start + columns] if isinstance(panel, StackPanel)]
