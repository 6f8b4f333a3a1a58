"""Figures as SVG: labels, titles and marks have room, whatever is drawn; places worked out from the document."""

import re
from itertools import pairwise
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from kit.report.svg import LETTER, MOST_LETTERS, MOST_SLANTED_LETTERS, PLOT_WIDTH, SLANT_GAP, SMALL, svg

from kit.measures import Quantity
from kit.report.figures import Figure, Panel, Point, Series

SPACE = "{http://www.w3.org/2000/svg}"


def drawn(points: dict[str, list[tuple[float, float]]], ticks: list[tuple[float, str]], digits: int = 2) -> Element:
    """Return the SVG of one panel: line -> its places."""
    series = tuple(
        Series(name=name, points=tuple(Point(x=x, y=y) for x, y in places)) for name, places in points.items()
    )
    quantity = Quantity(title="Right", digits=digits)
    panel = Panel(title="Right " * 20, x_title="place", y=quantity, ticks=tuple(ticks), series=series)
    title = "Which evolver's data trains the better model, at which learning rate? (scale smoke)"
    return ElementTree.fromstring(svg(Figure(name="f", title=title, panels=(panel,), notes=("A note.",))))


def texts(root: Element) -> dict[str, tuple[float, float]]:
    """Return each text with its place within its group; a turned text has its place in ``transform``."""
    found = {}
    for one in root.iter(f"{SPACE}text"):
        turned = re.match(r"translate\((.*?),(.*?)\)", one.get("transform", ""))
        x, y = turned.groups() if turned else (one.get("x", ""), one.get("y", ""))
        found[one.text or ""] = (float(x), float(y))
    return found


RATES = [1e-6, 2e-6, 5e-6, 1e-5, 2e-5, 1e-4]


def test_labels_of_crowded_numbers_stand_apart():
    # a logarithmic series of learning rates had its labels on top of each other
    places = [(rate, 50.0) for rate in RATES]
    found = texts(drawn({"a": places}, [(rate, f"{rate:g}") for rate in RATES]))
    shown = sorted(found[f"{rate:g}"][0] for rate in RATES if f"{rate:g}" in found)
    assert len(shown) > 2
    assert min(right - left for left, right in pairwise(shown)) >= SLANT_GAP


def test_slanted_labels_have_room_above_the_title_of_their_axis():
    # "base" stood among the names of six models, and these in the notes
    names = ["mistral-7b-v0.3", "deepseek-7b", "llama-3.2-3b", "llama-3-8b", "llama-3.1-8b", "internlm-2-7b"]
    root = drawn({"a": [(float(n), 50.0) for n in range(6)]}, list(zip(map(float, range(6)), names, strict=True)))
    found = texts(root)
    lowest = found["deepseek-7b"][1] + MOST_SLANTED_LETTERS * SMALL * LETTER / 2  # sin 30°
    assert found["place"][1] - SMALL > lowest
    panel = next(one for one in root.iter(f"{SPACE}g") if "place" in texts(one))
    top = float(panel.get("transform", "").partition(",")[2].rstrip(")"))
    assert found["A note."][1] - SMALL > top + found["place"][1]


def test_titles_stay_on_the_page():
    root = drawn({"a": [(1.0, 50.0), (2.0, 60.0)]}, [(1.0, "1"), (2.0, "2")])
    heads = [one.text or "" for one in root.iter(f"{SPACE}text") if one.get("font-size") == "16"]
    assert " ".join(heads) == (root.findtext(f"{SPACE}title") or "")
    assert len(heads) == 2
    assert max(map(len, heads)) * 16 * LETTER < float(root.get("width", ""))
    assert sum(text.startswith("Right Right") and len(text) <= MOST_LETTERS for text in texts(root)) == 1


def test_marks_of_many_lines_stay_on_the_panel_and_between_their_neighbours():
    # nine lines stood 40 px wide at places 17 px apart
    ticks = [(float(n), str(n)) for n in range(12)]
    root = drawn({f"line {n}": [(x, 50.0) for x, _ in ticks] for n in range(9)}, ticks)
    lines = [one.get("points", "").split() for one in root.iter(f"{SPACE}polyline") if one.get("stroke-width") == "1.8"]
    rows = [[float(point.partition(",")[0]) for point in points] for points in lines if len(points) == 12]
    assert len(rows) == 9
    assert min(map(min, rows)) > 0
    assert max(map(max, rows)) < PLOT_WIDTH
    for here, there in pairwise(zip(*rows, strict=True)):
        assert max(here) < min(there)


NEAR = {
    "less apart than digits show": ([3.50001, 3.50003], 2, 4),
    "the last bit": ([3.5, 3.5 + 2**-50], 2, 4),
    "whole numbers": ([11.98, 12.02], 0, 2),
    "zeros of whole numbers": ([0.0, 0.0], 0, 2),
}


@pytest.mark.parametrize("values, digits, letters", NEAR.values(), ids=list(NEAR))
def test_an_axis_has_no_more_digits_than_its_numbers(values: list[float], digits: int, letters: int):
    # ticks 3.50001 and 3.5000000000001 ran over the axis's title, and off the page
    root = drawn({"a": list(enumerate(values))}, [(0.0, "first"), (1.0, "last")], digits)
    ticks = [one.text or "" for one in root.iter(f"{SPACE}text") if one.get("text-anchor") == "end"]
    assert len(ticks) >= 3
    assert max(map(len, ticks)) <= letters
