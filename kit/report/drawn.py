"""All that is drawn of a figure, before anything is placed on a page: panels of lines, curves, bars."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kit.measures import Quantity

Form: TypeAlias = Literal["marks", "curve", "bins", "dots"]
"""Look of a line's points: marks with error bars, joined by lines; a smooth curve with its band; the bars of a
histogram; dots that nothing joins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One place of a line: our value, and the paper's."""

    x: float
    y: float | None
    """Our value in the panel's unit; None where it is missing."""
    error: float | None = None
    """Its standard error, in the same unit; None where there is none."""
    spread: float | None = None
    """Standard deviation between the runs of several seeds, told in words alone; None where there is one run."""
    reference: float | None = None
    """The paper's value; None where it prints none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a panel, with its points."""

    name: str
    """Its name in the legend, alike in all panels; empty where there is one line alone."""
    points: tuple[Point, ...]
    """From left to right."""
    form: Form = "marks"
    width: float = 0.0
    """Width of a histogram's bars, about their points; 0 for other forms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A vertical line across a panel, for instance where a selection cuts."""

    x: float
    text: str
    """Its name in the legend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One pair of axes with its lines."""

    title: str
    x_title: str
    y: Quantity
    """Title, unit and digits of the vertical axis."""
    ticks: tuple[tuple[float, str], ...]
    """Places along x with their labels; none where the axis finds round numbers itself."""
    x_digits: int = 0
    """Digits of such round numbers at most."""
    x_ends: tuple[float, float] | None = None
    """Left and right end of the horizontal axis; None for the ends of the points."""
    series: tuple[Series, ...]
    sizes: str = ""
    """Number of units behind the points, as it stands below the axis: ``n = 12 prompts here, 541 in the paper``."""
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """One bar, whose parts make up a whole."""

    name: str
    """Name of the bar within its group."""
    group: str = ""
    """Heading of the bars around it; empty where it has none."""
    parts: tuple[float, ...] = ()
    """Its parts in the panel's order, in the unit that they were counted in; empty where one of them is missing."""
    n: int = 0
    """Units behind the bar."""

    def shares(self) -> list[float]:
        """Return each part as a share of the whole, which are all 0 where the whole is."""
        whole = sum(self.parts)
        return [part / whole if whole else 0.0 for part in self.parts]

    def boundaries(self) -> Iterator[tuple[float, float]]:
        """Yield the share up to each inner boundary, and its standard error: of a share of ``n`` units."""
        total = 0.0
        for share in self.shares()[:-1]:
            total += share
            yield total, (max(total * (1 - total), 0.0) / self.n) ** 0.5 if self.n else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StackPanel:
    """Bars that lie below each other, on an axis of shares."""

    title: str
    parts: tuple[str, ...]
    """Names of the parts, from left to right."""
    unit: str
    """Name of the units that are counted, ``rows`` or ``prompts``."""
    stacks: tuple[Stack, ...]
    """From top to bottom."""
    ordered: bool = True
    """Whether the parts are steps of one scale; else they are outcomes: win, tie, lose."""
    counted: bool = False
    """Whether the parts are shown as counts; else as percent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """All panels, and what is said around them."""

    name: str
    title: str
    panels: tuple[Panel | StackPanel, ...]
    notes: tuple[str, ...]
    """Sentences below the panels."""

    def lines(self) -> Iterator[Series]:
        """Yield the lines of all panels."""
        for panel in self.panels:
            if isinstance(panel, Panel):
                yield from panel.series

    def names(self) -> list[str]:
        """Return the names of the lines, in the order of the legend; none where there is one line alone."""
        return list(dict.fromkeys(line.name for line in self.lines() if line.name))

    def has_references(self) -> bool:
        """Return whether a value of the paper is drawn as a point."""
        return any(point.reference is not None for line in self.lines() for point in line.points)

    def description(self) -> str:
        """Return all that is drawn in words, for a reader who can't see it."""
        return " ".join(_stacks_text(one) if isinstance(one, StackPanel) else _panel_text(one) for one in self.panels)


def _panel_text(panel: Panel) -> str:
    """Return a panel in words: each line with its numbers, or the ends of its curve."""
    labels = dict(panel.ticks)
    lines = []
    for line in panel.series:
        if line.form == "marks":
            text = ", ".join(
                f"{labels.get(point.x, f'{point.x:g}')}: {_point_text(point, panel.y)}" for point in line.points
            )
        elif line.form == "dots":
            text = f"{len(line.points):,} dots"
        else:
            top = max(line.points, key=lambda point: point.y or 0.0)
            ends = f"{line.points[0].x:g} to {line.points[-1].x:g}"
            what = "a curve" if line.form == "curve" else f"{len(line.points)} bars"
            text = f"{what} from x = {ends}, highest at x = {top.x:g} with {top.y:g}"
        lines.append(f"{line.name}, {text}" if line.name else text)
    title = f"{panel.title} ({panel.y.unit})" if panel.y.unit else panel.title
    rules = "".join(f"; a line at x = {rule.x:g}: {rule.text}" for rule in panel.rules)
    return f"{title}, by {panel.x_title}: {'; '.join(lines)}{rules}."


def _point_text(point: Point, y: Quantity) -> str:
    """Return a point's value with its error, and the paper's."""
    spread = "" if point.spread is None else f" [{y.text(point.spread)}]"
    ours = "missing" if point.y is None else f"{y.text(point.y)} ±{y.short_text(point.error or 0.0)}{spread}"
    return ours if point.reference is None else f"{ours} (paper {y.text(point.reference)})"


def _stacks_text(panel: StackPanel) -> str:
    """Return a panel of bars in words: each bar with its parts, in percent or as counts."""
    bars = []
    for stack in panel.stacks:
        name = ", ".join(filter(None, (stack.group, stack.name)))
        texts = [f"{part} {text}" for part, text in zip(panel.parts, part_texts(panel, stack), strict=True)]
        bars.append(f"{name}: {', '.join(texts)} (n = {stack.n:,})" if stack.parts else f"{name}: missing")
    return f"{panel.title} ({'counts' if panel.counted else 'percent'} of {panel.unit}): {'; '.join(bars)}."


def part_texts(panel: StackPanel, stack: Stack) -> list[str]:
    """Return each part of a bar as it is written into it; as many empty texts where the bar is missing."""
    if not stack.parts:
        return [""] * len(panel.parts)
    if panel.counted:
        return [f"{part:,.0f}" if part == round(part) else f"{part:,.1f}" for part in stack.parts]
    return [f"{100 * share:.0f}" if 100 * share >= 9.95 else f"{100 * share:.1f}" for share in stack.shares()]
