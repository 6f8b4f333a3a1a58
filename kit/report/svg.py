"""Figures as SVG: the same figure always gives the same bytes, all of them ASCII.

Each panel has its own vertical axis. Our values are filled marks with a bar of one standard error on either side, the
paper's are hollow marks on dashed lines. Lines differ in colour and in the form of their marks.
"""

import math
import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from kit.report.escapes import plain
from kit.report.figures import Figure, Panel, Point, Series

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours of lines (Okabe and Ito), told apart by readers with any kind of colour vision."""
FORMS = ("circle", "square", "triangle", "diamond")
INK, GREY, FAINT = "#222222", "#666666", "#dddddd"
MOST_PANELS_A_ROW = 4
PLOT_WIDTH, PLOT_HEIGHT = 220, 170
"""Inside of a panel's axes, px."""
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 30, 46
"""Room around a panel's axes: labels and titles, px."""
SLANT_ROOM, SLANT_GAP = 32, 18
"""More room below, where a panel has slanted labels; and the least distance of two of them, px."""
MOST_LETTERS, MOST_SLANTED_LETTERS = 36, 12
"""Letters of a panel's title and of a slanted label at most: a longer one ends in dots."""
CELL_WIDTH, CELL_HEIGHT = LEFT + PLOT_WIDTH + RIGHT, TOP + PLOT_HEIGHT + BOTTOM
"""A panel with all around it, px."""
EDGE = 16
"""Margin of the page, px."""
LINE = 15
"""Distance of the notes' lines, px."""
LETTER = 0.6
"""Width of a letter on average, in font sizes; renderers differ."""
FONT, SMALL = 12, 11
"""Font sizes, px."""
SIDESTEP, WIDEST_SIDESTEP = 5, 24
"""Lines of one panel stand so far apart at the same x, px, so that their bars don't cover each other; and the first
from the last at most, so that they stay on the panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Places of values along an axis."""

    low: float
    high: float
    start: float
    """Place of ``low``, px."""
    end: float
    """Place of ``high``, px."""

    def __call__(self, value: float) -> float:
        """Return where a value lies, px."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def svg(figure: Figure) -> str:
    """Return a figure as an SVG document with a title and a description for readers who can't see it."""
    columns = min(MOST_PANELS_A_ROW, len(figure.panels)) or 1
    width = max(columns * CELL_WIDTH + 2 * EDGE, 480)
    heading, top = _heading(figure.title, width)
    legend, top = _legend(figure, width, top)
    cell_height = CELL_HEIGHT + SLANT_ROOM * any(_slanted(panel) for panel in figure.panels)
    panels = []
    for number, panel in enumerate(figure.panels):
        row, column = divmod(number, columns)
        x, y = EDGE + column * CELL_WIDTH + LEFT, top + row * cell_height + TOP
        panels.append(_group(x, y, _panel(panel, figure.names())))
    notes, height = _notes(figure.notes, top + math.ceil(len(figure.panels) / columns) * cell_height, width)
    name = re.sub(r"[^a-z0-9]+", "-", figure.name.lower()).strip("-")
    document = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_px(width)} {_px(height)}" width="{_px(width)}" '
        f'height="{_px(height)}" role="img" aria-labelledby="{name}-title {name}-desc" font-family="sans-serif">',
        f'<title id="{name}-title">{_safe(figure.title)}</title>',
        f'<desc id="{name}-desc">{_safe(figure.description())}</desc>',
        f'<rect width="{_px(width)}" height="{_px(height)}" fill="#ffffff"/>',
        *heading,
        *legend,
        *panels,
        *notes,
        "</svg>\n",
    ]
    return "\n".join(document).encode("ascii", "xmlcharrefreplace").decode("ascii")


def _heading(title: str, width: float) -> tuple[list[str], float]:
    """Return the title's elements, line by line, and where the legend begins."""
    lines = textwrap.wrap(plain(title), int((width - 2 * EDGE) / (16 * 0.62))) or [""]
    found = [_text(EDGE, EDGE + 16 + 20 * n, line, size=16, weight="bold") for n, line in enumerate(lines)]
    return found, EDGE + 20.0 * len(lines)


def _notes(notes: Sequence[str], top: float, width: float) -> tuple[list[str], float]:
    """Return the notes' elements, line by line, and where the page ends."""
    letters = int((width - 2 * EDGE) / (SMALL * 0.52))
    lines = [line for note in notes for line in textwrap.wrap(plain(note), letters)]
    found = [_text(EDGE, top + SMALL + LINE * n, line, size=SMALL, fill=GREY) for n, line in enumerate(lines)]
    return found, top + LINE * len(lines) + EDGE


def _legend(figure: Figure, width: float, top: float) -> tuple[list[str], float]:
    """Return the legend's elements, and where the panels begin."""
    entries: list[tuple[str, str]] = []
    for number, name in enumerate(figure.names()):
        marked = any(line.marked for panel in figure.panels for line in panel.series if line.name == name)
        entries.append((_sample(number, marked=marked), name))
    if figure.has_references():
        both = FORMS[0] if len(figure.names()) != 1 else _form(0)
        ours = _bar(13, 4, -12, GREY) + _mark(both, 13, -4, GREY, filled=True)
        entries.append((ours, "here, ± standard error"))
        entries.append((_line([(0, -4), (26, -4)], GREY, dashed=True) + _mark(both, 13, -4, GREY), "the paper"))
    found, x, y = [], float(EDGE), top + 22
    for sample, name in entries:
        room = 34 + len(name) * FONT * LETTER + 18
        if x > EDGE and x + room > width:
            x, y = float(EDGE), y + 20
        found.append(_group(x, y, [sample, _text(34, 0, name)]))
        x += room
    return found, (y if entries else top) + 10


def _sample(number: int, *, marked: bool) -> str:
    """Return a piece of a line as the legend shows it."""
    colour = COLOURS[number % len(COLOURS)]
    line = _line([(0, -4), (26, -4)], colour)
    return line + _mark(_form(number), 13, -4, colour, filled=True) if marked else line


def _form(number: int) -> str:
    """Return the form of a line's marks."""
    return FORMS[number % len(FORMS)]


def _panel(panel: Panel, names: Sequence[str]) -> list[str]:
    """Return a panel's elements; the left upper corner of its axes is at 0, 0."""
    across, down = _scales(panel)
    found = [*_grid(panel, across, down)]
    found.append(_text(PLOT_WIDTH / 2, -10, _cut(panel.title, MOST_LETTERS), weight="bold", anchor="middle"))
    middle = f'transform="translate(-48,{_px(PLOT_HEIGHT / 2)}) rotate(-90)"'
    heading = panel.y.unit if panel.y.title == panel.title else panel.y.heading
    found.append(_text(0, 0, heading, size=SMALL, anchor="middle", more=middle))
    marked = [line.name for line in panel.series if line.marked]
    step = min(SIDESTEP, min(WIDEST_SIDESTEP, 0.6 * _closest(panel, across)) / max(len(marked) - 1, 1))
    for line in panel.series:
        number = names.index(line.name) if line.name else 0
        aside = step * (marked.index(line.name) - (len(marked) - 1) / 2) if line.marked else 0.0
        found += _series(line, number, Scale(**_moved(across, aside)), down)
    return found


def _closest(panel: Panel, across: Scale) -> float:
    """Return the least distance of two ticks, px; without end where there are not two."""
    places = [across(value) for value, _ in panel.ticks]
    return min((right - left for left, right in pairwise(places)), default=math.inf)


def _moved(scale: Scale, aside: float) -> dict[str, float]:
    """Return the fields of a scale whose places all lie aside."""
    return {"low": scale.low, "high": scale.high, "start": scale.start + aside, "end": scale.end + aside}


def _scales(panel: Panel) -> tuple[Scale, Scale]:
    """Return the panel's scales from left to right and from bottom to top; each value has room in them."""
    points = [point for line in panel.series for point in line.points]
    xs = [x for x, _ in panel.ticks] or [point.x for point in points]
    pad = 14 if panel.ticks else 0
    low, high = _domain(xs, 0.0, 0.0)
    across = Scale(low=low, high=high, start=pad, end=PLOT_WIDTH - pad)
    marked = any(line.marked for line in panel.series)
    least = 4 * 10.0**-panel.y.digits if marked else 0.0  # what lies closer is shown as one number everywhere else
    low, high = _domain([value for point in points for value in _heights(point)], 0.06, least)
    return across, Scale(low=low, high=high, start=PLOT_HEIGHT, end=0)


def _heights(point: Point) -> Iterator[float]:
    """Yield every height that a point needs room for: both ends of its bar, and the paper's value."""
    if point.y is not None:
        yield point.y - (point.error or 0.0)
        yield point.y + (point.error or 0.0)
    if point.reference is not None:
        yield point.reference


def _domain(values: Sequence[float], margin: float, least: float) -> tuple[float, float]:
    """Return the ends of an axis: the values' own, and a part of their distance beyond.

    Args:
        values: what the axis has to hold.
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
        found = [(number * step, f"{number * step:.{after}f}") for number in numbers]
    return found


def _grid(panel: Panel, across: Scale, down: Scale) -> Iterator[str]:
    """Yield the axes with their ticks and labels."""
    for value, label in round_numbers(down.low, down.high, panel.y.digits):
        y = down(value)
        yield _line([(0, y), (PLOT_WIDTH, y)], FAINT, width=1)
        yield _text(-6, y + 4, label, size=SMALL, fill=GREY, anchor="end")
    slanted, last = _slanted(panel), -math.inf
    for value, label in _ticks(panel, across):
        x = across(value)
        yield _line([(x, PLOT_HEIGHT), (x, PLOT_HEIGHT + 4)], GREY, width=1)
        if not slanted:
            yield _text(x, PLOT_HEIGHT + 16, label, size=SMALL, fill=GREY, anchor="middle")
        elif x - last >= SLANT_GAP:
            turn = f'transform="translate({_px(x + 3)},{_px(PLOT_HEIGHT + 13)}) rotate(-30)"'
            yield _text(0, 0, _cut(label, MOST_SLANTED_LETTERS), size=SMALL, fill=GREY, anchor="end", more=turn)
            last = x
    yield _line([(0, 0), (0, PLOT_HEIGHT), (PLOT_WIDTH, PLOT_HEIGHT)], GREY, width=1)
    y = PLOT_HEIGHT + 33 + SLANT_ROOM * slanted
    yield _text(PLOT_WIDTH / 2, y, panel.x_title, size=SMALL, anchor="middle")


def _ticks(panel: Panel, across: Scale) -> Sequence[tuple[float, str]]:
    """Return the places along x with their labels."""
    return panel.ticks or round_numbers(across.low, across.high, panel.x_digits)


def _slanted(panel: Panel) -> bool:
    """Return whether two neighbouring labels below a panel would touch each other if they were level."""
    across, _ = _scales(panel)
    ends = [(across(value), len(label) * SMALL * LETTER / 2) for value, label in _ticks(panel, across)]
    return any(left + half + 1 > right - other for (left, half), (right, other) in pairwise(ends))


def _cut(text: str, most: int) -> str:
    """Return a label that has room: a long one ends in dots."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _series(line: Series, number: int, across: Scale, down: Scale) -> Iterator[str]:
    """Yield the elements of one line: the paper's below, then bars, line and marks of ours."""
    colour, form = COLOURS[number % len(COLOURS)], _form(number)
    printed = [(across(p.x), down(p.reference)) for p in line.points if p.reference is not None]
    if printed:
        yield _line(printed, colour, dashed=True)
        yield from (_mark(form, x, y, colour) for x, y in printed)
    for point in line.points:
        if point.y is not None and point.error:
            yield _bar(across(point.x), down(point.y - point.error), down(point.y + point.error), colour)
    for part in _unbroken(line.points):
        yield _line([(across(x), down(y)) for x, y in part], colour)
    if line.marked:
        yield from (_mark(form, across(p.x), down(p.y), colour, filled=True) for p in line.points if p.y is not None)


def _unbroken(points: Iterable[Point]) -> Iterator[list[tuple[float, float]]]:
    """Yield the parts of a line between missing values; a part of one point is no line."""
    part: list[tuple[float, float]] = []
    for point in points:
        if point.y is not None:
            part.append((point.x, point.y))
            continue
        if len(part) > 1:
            yield part
        part = []
    if len(part) > 1:
        yield part


def _bar(x: float, low: float, high: float, colour: str) -> str:
    """Return an error bar with a cap at each end."""
    path = f"M{_px(x)} {_px(low)}V{_px(high)}M{_px(x - 3)} {_px(low)}h6M{_px(x - 3)} {_px(high)}h6"
    return f'<path d="{path}" stroke="{colour}" stroke-width="1.2" fill="none"/>'


def _mark(form: str, x: float, y: float, colour: str, *, filled: bool = False) -> str:
    """Return a mark: filled for ours, hollow for the paper's."""
    style = f'fill="{colour if filled else "#ffffff"}" stroke="{colour}" stroke-width="1.4"'
    if form == "circle":
        return f'<circle cx="{_px(x)}" cy="{_px(y)}" r="3.6" {style}/>'
    corners = {
        "square": ((-3.3, -3.3), (3.3, -3.3), (3.3, 3.3), (-3.3, 3.3)),
        "triangle": ((0, -4.4), (4.2, 3.2), (-4.2, 3.2)),
        "diamond": ((0, -4.8), (4.8, 0), (0, 4.8), (-4.8, 0)),
    }[form]
    points = " ".join(f"{_px(x + dx)},{_px(y + dy)}" for dx, dy in corners)
    return f'<polygon points="{points}" {style}/>'


def _line(points: Sequence[tuple[float, float]], colour: str, *, width: float = 1.8, dashed: bool = False) -> str:
    """Return a line through some points."""
    places = " ".join(f"{_px(x)},{_px(y)}" for x, y in points)
    dash = ' stroke-dasharray="4 3" stroke-opacity="0.7"' if dashed else ""
    thin = 1.2 if dashed else width
    return f'<polyline points="{places}" fill="none" stroke="{colour}" stroke-width="{thin:g}"{dash}/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = FONT,
    fill: str = INK,
    anchor: str = "start",
    weight: str = "normal",
    more: str = "",
) -> str:
    """Return a line of text; ``more`` are attributes that are written as they are."""
    heavy = ' font-weight="bold"' if weight == "bold" else ""
    turned = f" {more}" if more else ""
    return (
        f'<text x="{_px(x)}" y="{_px(y)}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{heavy}{turned}>'
        f"{_safe(text)}</text>"
    )


def _group(x: float, y: float, elements: Sequence[str]) -> str:
    """Return elements that are moved together."""
    return "\n".join([f'<g transform="translate({_px(x)},{_px(y)})">', *elements, "</g>"])


def _px(value: float) -> str:
    """Return a length with two digits at most, so that bytes don't hang on the last bit of a number."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _safe(text: str) -> str:
    """Return text as XML takes it: no markup, no line break, and control characters made visible."""
    return escape(plain(text).replace("\n", " "), quote=True)
