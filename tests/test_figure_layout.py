"""Pictures by matplotlib: labels, titles and bars have room, whatever is drawn; the same bytes in every process."""

import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from kit.measures import Quantity
from kit.metrics import diversity, token_prob
from kit.report.drawn import Figure, Panel, Point, Rule, Series, Stack, StackPanel
from kit.report.plots import FORMATS, picture
from kit.report.plots.bars import DARK, lightness, part_looks
from kit.report.plots.cells import AXES_WIDTH, POINTS
from kit.report.plots.lines import SLANT, SLANT_GAP, SLANTED_ROOM, sidesteps
from kit.report.plots.numbers import (
    cut,
    round_numbers,
    thinned,
    title_lines,
    touch,
    width_of,
    wrapped,
    x_domain,
    y_domain,
)
from kit.report.plots.page import page
from kit.report.plots.style import COLOURS, HATCHES, MARKS, look_of, own_style

RATES = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 1e-4]
EVIL = '</title><script>alert("x")</script>&\x1b[2J\u202e\n\ud800 $\\frac{1 漢字 🙂 ' + "x" * 300


def figure(points: dict[str, list[tuple[float, float]]], ticks: list[tuple[float, str]], digits: int = 2) -> Figure:
    """A figure of one panel: line -> its places."""
    series = tuple(
        Series(name=name, points=tuple(Point(x=x, y=y, error=0.5) for x, y in places))
        for name, places in points.items()
    )
    quantity = Quantity(title="Right", digits=digits)
    panel = Panel(title="Right " * 20, x_title="place", y=quantity, ticks=tuple(ticks), series=series, sizes="n = 4")
    title = "Which evolver's data trains the better model, at which learning rate, and after how many rounds of it all?"
    return Figure(name="f", title=title, panels=(panel, panel, panel), notes=("A note. " * 60,))


def stacks(title: str = "here", *, ordered: bool = True) -> StackPanel:
    """A panel of bars in two groups; one bar is missing."""
    names = ("very easy", "easy", "medium", "hard", "very hard") if ordered else ("win", "tie", "lose")
    counted: list[tuple[tuple[float, ...], int]] = [((3, 0, 1, 4, 2), 10), ((1, 2, 1, 4, 2), 51983), ((), 0)]
    bars = [
        Stack(name=f"a model with a long name {number}", group=f"round {number // 2}", parts=parts, n=n)
        for number, (parts, n) in enumerate(counted)
    ]
    cut_to = [Stack(name=one.name, group=one.group, parts=one.parts[: len(names)], n=one.n) for one in bars]
    return StackPanel(title=title, parts=names, unit="rows", stacks=tuple(cut_to), ordered=ordered)


def overlaps(made: Any) -> list[tuple[str, str]]:
    """Pairs of texts of a page that cover each other, and texts that leave it."""
    from matplotlib.text import Text

    made.canvas.draw()
    renderer = made.canvas.get_renderer()
    shown = [
        (one.get_text(), one.get_window_extent(renderer), one.get_rotation())
        for one in made.findobj(Text)
        if one.get_text() and one.get_visible()
    ]
    whole = made.bbox
    found = [
        (text, "the page")
        for text, box, _ in shown
        if box.x0 < -1 or box.y0 < -1 or box.x1 > whole.x1 + 1 or box.y1 > whole.y1 + 1
    ]
    for number, (text, box, turned) in enumerate(shown):
        for other, place, other_turned in shown[number + 1 :]:
            if turned == other_turned == SLANT:  # their boxes cover each other, the letters don't
                continue
            wide = min(box.x1, place.x1) - max(box.x0, place.x0)
            high = min(box.y1, place.y1) - max(box.y0, place.y0)
            if wide > 1 and high > 2:
                found.append((text, other))
    return found


NAMES = ["mistral-7b-v0.3", "deepseek-7b", "llama-3.2-3b", "llama-3-8b", "llama-3.1-8b", "internlm-2-7b"]
TICKS = [(float(n), str(n)) for n in range(12)]
PAGES = {
    "few numbers": figure({"a": [(1.0, 50.0), (2.0, 60.0)]}, [(1.0, "1"), (2.0, "2")]),
    "many lines": figure({f"line {n}": [(x, 50.0) for x, _ in TICKS] for n in range(9)}, TICKS),
    "names": figure({"a": [(float(n), 50.0) for n in range(6)]}, [*zip(map(float, range(6)), NAMES, strict=True)]),
    "large numbers": figure({"a": [(1.0, 1e6), (2.0, 2.5e6)]}, [(1.0, "1"), (2.0, "2")]),
    "bars": Figure(name="f", title="Bars", panels=(stacks("here"), stacks("the paper")), notes=("A note.",)),
    "outcomes": Figure(name="f", title="Outcomes", panels=(stacks("here", ordered=False),), notes=()),
    "nothing": Figure(name="f", title="Nothing", panels=(), notes=("Nothing is computed yet.",)),
}  # fmt: skip


@pytest.mark.parametrize("drawn", PAGES.values(), ids=list(PAGES))
def test_no_text_covers_another_or_leaves_the_page(drawn: Figure):
    with own_style():
        assert overlaps(page(drawn)) == []


def test_the_same_bytes_in_another_process_and_with_a_matplotlibrc(tmp_path: Path):
    # ids of clip paths came from the addresses of objects, and a style took the salt away
    code = (
        "import sys, hashlib; sys.path[:0] = sys.argv[1:2]\n"
        "from kit.report.drawn import *; from kit.report.plots import picture; from kit.measures import Quantity\n"
        "line = Series(name='a', points=tuple(Point(x=float(x), y=x / 2, error=0.1) for x in range(4)))\n"
        "panel = Panel(title='t', x_title='x', y=Quantity(), ticks=((0.0, '0'), (3.0, '3')), series=(line,))\n"
        "bars = StackPanel(title='b', parts=('p', 'q'), unit='rows', stacks=(Stack(name='s', parts=(1, 2), n=3),))\n"
        "for figure in [Figure(name='n', title='t', panels=(one,), notes=()) for one in (panel, bars)]:\n"
        "    for format in ('svg', 'png'):\n"
        "        data = picture(figure, format)\n"
        "        print(hashlib.sha256(data).hexdigest(), data == picture(figure, format))\n"
    )
    settings = tmp_path / "matplotlibrc"
    settings.write_text("font.size: 30\nsvg.fonttype: path\naxes.grid: True\n", encoding="utf-8")
    root = str(Path(__file__).resolve().parents[1])
    shown = [
        subprocess.run(
            [sys.executable, "-c", code, root],
            env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONHASHSEED": seed, **more},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, more in (("1", {}), ("2", {"MATPLOTLIBRC": str(settings)}))
    ]
    assert shown[0] == shown[1]
    assert [line.partition(" ")[2] for line in shown[0].splitlines()] == ["True"] * 4


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_names_are_drawn_as_text(format: str):
    line = Series(name=EVIL, points=(Point(x=0.0, y=1.0, error=0.1), Point(x=1.0, y=2.0)))
    quantity = Quantity(title=EVIL, unit=EVIL)
    rules = (Rule(x=0.5, text=EVIL),)
    ticks = ((0.0, EVIL), (1.0, EVIL))
    panel = Panel(title=EVIL, x_title=EVIL, y=quantity, ticks=ticks, series=(line,), sizes=EVIL, rules=rules)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # no word on letters that the font lacks
        data = picture(Figure(name=EVIL, title=EVIL, panels=(panel,), notes=(EVIL,)), format)  # type: ignore[arg-type]
    if format == "svg":
        assert b"<script" not in data
        assert b"&lt;/title&gt;&lt;script&gt;" in data


def test_titles_and_notes_are_broken_and_labels_cut_where_their_room_ends():
    assert wrapped("one two three", width_of("one two", 10) + 1, 10) == ["one two", "three"]
    assert wrapped("x" * 30, width_of("x" * 10, 10) + 1, 10) == ["x" * 10] * 3
    assert wrapped("", 100, 10) == [""]
    assert cut("short", 100) == "short"
    assert cut("a long label", width_of("a long") + 1) == "a lo…"
    assert width_of(cut("W" * 1000, SLANTED_ROOM)) <= SLANTED_ROOM


def test_labels_of_crowded_numbers_stand_apart():
    # a logarithmic series of learning rates had its labels on top of each other
    ticks = [(rate, f"{rate:g}") for rate in RATES]
    ends = (0.0, 1.07e-4)
    assert touch(ticks, ends, 150.0)
    kept = [place * 150.0 / 1.07e-4 for place, _ in thinned(ticks, ends, 150.0, SLANT_GAP)]
    assert len(kept) > 2
    assert min(right - left for left, right in pairwise(kept)) >= SLANT_GAP
    assert not touch([(0.0, "0"), (1.0, "1")], (1.0, 0.0), 100.0)  # of an axis that runs backwards too


def test_marks_of_many_lines_stay_between_their_neighbours():
    # nine lines stood 40 px wide at places 17 px apart
    ticks = [(float(n), str(n)) for n in range(12)]
    panel = figure({f"line {n}": [(x, 50.0) for x, _ in ticks] for n in range(9)}, ticks).panels[0]
    assert isinstance(panel, Panel)
    aside = sorted(sidesteps(panel, x_domain(panel)).values())
    assert len(aside) == 9
    assert aside[-1] - aside[0] < 1  # the next place
    assert x_domain(panel)[0] < aside[0]


NEAR = {
    "less apart than digits show": ([3.50001, 3.50003], 2, 4),
    "the last bit": ([3.5, 3.5 + 2**-50], 2, 4),
    "whole numbers": ([11.98, 12.02], 0, 2),
    "zeros of whole numbers": ([0.0, 0.0], 0, 2),
}


@pytest.mark.parametrize("values, digits, letters", NEAR.values(), ids=list(NEAR))
def test_an_axis_has_no_more_digits_than_its_numbers(values: list[float], digits: int, letters: int):
    # ticks 3.50001 and 3.5000000000001 ran over the axis's title, and off the page
    points = tuple(Point(x=float(x), y=y) for x, y in enumerate(values))
    line = Series(name="a", points=points)
    panel = Panel(title="t", x_title="x", y=Quantity(digits=digits), ticks=(), series=(line,))
    ticks = round_numbers(*y_domain(panel), digits)
    assert len(ticks) >= 3
    assert max(len(label) for _, label in ticks) <= letters


def test_bars_and_curves_stand_on_nought():
    for form, wanted in (("bins", 0.0), ("curve", 0.0), ("marks", 4.64)):
        points = (Point(x=0.0, y=5.0), Point(x=1.0, y=11.0))
        line = Series(name="", points=points, form=form)  # type: ignore[arg-type]
        panel = Panel(title="t", x_title="x", y=Quantity(), ticks=(), series=(line,))
        assert y_domain(panel)[0] == pytest.approx(wanted)


def test_lines_and_parts_differ_in_black_and_white():
    assert len({(look.mark, look.stroke) for look in map(look_of, range(35))}) == 35
    assert len(set(COLOURS)) == len(set(MARKS)) == 7
    colours, hatches = zip(*part_looks(stacks()), strict=True)
    steps = [lightness(colour) for colour in colours]
    assert all(lighter - darker > 0.1 for lighter, darker in pairwise(steps))
    assert all(left != right for left, right in pairwise(hatches))
    assert hatches == HATCHES
    assert steps[-1] < DARK < steps[0]
    win, tie, lose = (lightness(colour) for colour, _ in part_looks(stacks(ordered=False)))
    assert win < lose - 0.2 < tie - 0.4


def test_whiskers_of_a_bar_are_standard_errors_of_shares():
    # 3 of 10 and 4 of 10 up to there: sqrt(0.3 * 0.7 / 10), sqrt(0.4 * 0.6 / 10)
    stack = Stack(name="s", parts=(3.0, 1.0, 6.0), n=10)
    found = [number for boundary in stack.boundaries() for number in boundary]
    assert found == pytest.approx([0.3, 0.144914, 0.4, 0.154919], rel=1e-5)


def test_a_title_takes_a_second_line_and_is_cut_in_that_one():
    assert title_lines("Nearest neighbour", 200) == ["Nearest neighbour"]
    first, second = title_lines("Distance to the nearest neighbour, 100 bins", 150)
    assert (first, second) == ("Distance to the nearest", "neighbour, 100 bins")
    assert title_lines("nearest " * 40, 150)[1].endswith("…") and len(title_lines("nearest " * 40, 150)) == 2
    assert title_lines("", 150) == [""]


def test_curves_of_one_metric_have_titles_that_are_told_apart_when_drawn():
    for module in (diversity, token_prob):
        drawn = ["\n".join(title_lines(curve.title, AXES_WIDTH * POINTS)) for curve in module.CURVES.values()]
        assert len(set(drawn)) == len(drawn) and not any("…" in title for title in drawn)
