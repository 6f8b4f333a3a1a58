"""Figures: what is drawn where, in words and in SVG; the same bytes each time, whatever a manifest calls its parts."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kit.catalogue.drawing import Draw
from kit.catalogue.views import Column, Table
from kit.cli import main
from kit.measures import CurveMeasure, Measure, Quantity
from kit.plan import CellAddress
from kit.plan.planning import plan_tables
from kit.records import Curve, Result
from kit.report import Cell, Grid, Line, make_grid
from kit.report.curves import CurveCell, CurveRun
from kit.report.figures import make_figure, x_axis
from kit.report.pictures import keep_figure
from kit.report.plots import picture
from kit.report.plots.numbers import round_numbers
from kit.store import Store

SPACE = "{http://www.w3.org/2000/svg}"
EVIL = '</title><script>alert("x")</script>&\x1b[2J\u202e\n\ud800'
RATING = Measure(title="Rating", unit="points", kind="mean", counts="rows")
COLUMNS = (
    Column(id="right", name="Right", benchmark="b", measure=Measure(title="Right")),
    Column(id="rating", name="Rating", benchmark="b", measure=RATING),
)
VALUES: dict[tuple[str, int], tuple[float | None, float | None]] = {
    ("big", 1): (0.5, 61.0),
    ("big", 2): (0.75, None),
    ("small", 1): (None, 62.5),
    ("small", 2): (0.25, 63.0),
}
"""evolver, round -> our share of four, and the paper's number."""


def grid(draw: Draw, big: str = "big", title: str = "Two evolvers") -> Grid:
    """A table of two evolvers over two rounds, with a share and a rating of ten times the share."""
    rows = [{"evolver": evolver, "round": round} for evolver, round in VALUES]
    lines = []
    for row, (share, printed) in zip(rows, VALUES.values(), strict=True):
        at = {**row, "evolver": big if row["evolver"] == "big" else row["evolver"]}
        cells = []
        for column, factor in zip(COLUMNS, (1, 10), strict=True):
            stderr = 0.125 if factor == 1 else 0.5
            result = Result(metric=column.id, value=factor * (share or 0), stderr=stderr, n=4, unit="items")
            cells.append(
                Cell(
                    address=CellAddress(at=at, column=column.id, keys=("k",)),
                    result=None if share is None else result,
                    reference=printed if factor == 1 else None,
                    measure=column.measure,
                )
            )
        lines.append(Line(at=at, cells=tuple(cells)))
    table = Table(
        title=title,
        paper="table-2.toml",
        axes=("evolver", "round"),
        rows=tuple(line.at for line in lines),
        columns=COLUMNS,
        draw=draw,
    )
    return Grid(name="t", table=table, scale="smoke", cast={}, lines=tuple(lines))


DRAW = Draw(x="round", line="evolver")


def test_what_is_drawn_in_words():
    figure = make_figure(grid(DRAW))
    assert figure.description() == (
        "Right (percent), by round: big, 1: 50.00 ±12.5 (paper 61.00), 2: 75.00 ±12.5; "
        "small, 1: missing (paper 62.50), 2: 25.00 ±12.5 (paper 63.00). "
        "Rating (points), by round: big, 1: 5.00 ±0.5, 2: 7.50 ±0.5; small, 1: missing, 2: 2.50 ±0.5."
    )
    assert (figure.title, figure.names()) == ("Two evolvers (scale smoke)", ["big", "small"])
    assert figure.notes[-1] == "2 of 8 numbers are not computed yet."


def test_columns_as_lines_and_rows_as_panels():
    figure = make_figure(grid(Draw(x="round", line="column", panel="evolver")))
    assert [(panel.title, panel.y.unit, panel.y.title) for panel in figure.panels] == [
        ("big", "percent, points", ""),
        ("small", "percent, points", ""),
    ]
    assert figure.names() == ["Right", "Rating"]


def test_numbers_as_panels_say_their_axis():
    figure = make_figure(grid(Draw(x="evolver", line="column", panel="round")))
    assert [panel.title for panel in figure.panels] == ["round 1", "round 2"]
    assert figure.panels[0].ticks == ((0.0, "big"), (1.0, "small"))


def drawn(figure_grid: Grid) -> ElementTree.Element:
    """The figure, which is well-formed, all ASCII, and names no file elsewhere."""
    text = picture(make_figure(figure_grid), "svg").decode("ascii")
    assert "DOCTYPE" not in text
    return ElementTree.fromstring(text)


def texts(root: ElementTree.Element) -> list[str]:
    return [found.text or "" for found in root.iter(f"{SPACE}text")]


def marks(root: ElementTree.Element, colour: str) -> tuple[int, int]:
    """Number of filled and of hollow marks of a colour, in panels and legend."""
    styles = [used.get("style", "") for used in root.iter(f"{SPACE}use")]
    hollow = [style for style in styles if "fill: #ffffff" in style and f"stroke: {colour}" in style]
    return sum(f"fill: {colour}" in style for style in styles), len(hollow)


def test_marks_and_legend():
    root = drawn(grid(DRAW))
    # `big` has two numbers in each of two panels, `small` one; the paper has one and two, in the first; the legend one
    # each. Each error bar ends in two caps, which are marks of their line's colour too
    assert marks(root, "#0072b2") == (2 * 2 + 2 * 2 * 2 + 1, 1)
    assert marks(root, "#d55e00") == (2 * 1 + 2 * 2 * 1 + 1, 2)
    assert marks(root, "#666666")[1] == 1  # the legend's sample of the paper's
    assert {"big", "small", "here, ± standard error", "the paper", "percent", "points", "round"} <= set(texts(root))
    assert "n = 4 items" in texts(root)
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == "t-title t-desc"
    assert {found.get("id") for found in root if found.get("id")} >= {"t-title", "t-desc"}


def test_the_spread_between_seeds_is_told_in_words():
    # the note explained brackets that no figure had
    whole = grid(DRAW)
    lines = tuple(
        replace(
            line, cells=tuple(replace(c, spread=0.01, address=replace(c.address, keys=("k", "l"))) for c in line.cells)
        )
        for line in whole.lines
    )
    figure = make_figure(replace(whole, lines=lines))
    assert "1: 50.00 ±12.5 [1.00] (paper 61.00)" in figure.description()
    assert figure.notes[0].startswith(
        "In the unit of each column: mean of 2 seeds ± standard error over items; n stands"
    )


def test_names_are_text_and_no_markup():
    root = drawn(grid(DRAW, big=EVIL, title=EVIL))
    shown = '</title><script>alert("x")</script>&\\x1b[2J\\u202e \\ud800'
    assert root.findtext(f"{SPACE}title") == f"{shown} (scale smoke)"
    assert shown in texts(root)
    assert [*root.iter(f"{SPACE}script")] == []


def curve_grid() -> Grid:
    """One column of curves over two rounds; the second round has two runs."""
    measure = CurveMeasure(title="Density", x=Quantity(title="Distance", unit=""), y=Quantity(title="Density", unit=""))
    column = Column(id="density", name="Density", benchmark="b", curve=measure)
    line = Curve(curve="density", group="g", x=(1.0, 0.0, 2.0), y=(3.0, 0.5, 1.0))

    def cell(round: int, *keys: str) -> CurveCell:
        address = CellAddress(at={"round": round}, column="density", keys=keys)
        runs = tuple(CurveRun(key=key, path=Path(key), lines=(line,)) for key in keys)
        return CurveCell(address=address, column=column, measure=measure, runs=runs)

    rows = ({"round": 1}, {"round": 2})
    draw = Draw(kind="curves", line="round")
    table = Table(title="Curves", paper=None, axes=("round",), rows=rows, columns=(column,), draw=draw)
    lines = tuple(Line(at=row, cells=()) for row in rows)
    return Grid(name="c", table=table, scale="own", cast={}, lines=lines, curves=(cell(1, "a"), cell(2, "b", "c")))


def test_curves_that_are_not_computed_are_said():
    found = curve_grid()
    figure = make_figure(replace(found, curves=tuple(replace(cell, runs=()) for cell in found.curves)))
    assert (figure.panels, figure.notes[-1]) == ((), "2 of 2 curves are not computed yet.")
    assert ElementTree.fromstring(picture(figure, "svg")).findtext(f"{SPACE}desc") == ""


def test_curves():
    figure = make_figure(curve_grid())
    assert figure.names() == ["round 1, g", "round 2, g"]
    (panel,) = figure.panels
    assert [[(point.x, point.y) for point in line.points] for line in panel.series] == [
        [(0.0, 0.5), (1.0, 3.0), (2.0, 1.0)]
    ] * 3
    assert figure.description().startswith(
        "Density, by Distance: round 1, g, a curve from x = 0 to 2, highest at x = 1"
    )
    root = drawn(curve_grid())
    assert marks(root, "#0072b2") == (0, 0)  # no marks on a curve
    assert {"Distance", "Density", "round 1, g"} <= set(texts(root))


@pytest.mark.parametrize("name, scale", [("figure-1", "smoke"), ("figure-3", "paper")])
def test_the_papers_figures_can_be_drawn_before_anything_is_computed(name: str, scale: str):
    plan = plan_tables([name], scale)
    found = make_grid(name, plan, Store(Path("nowhere")))
    panels = make_figure(found).panels
    assert [panel.title for panel in panels] == [column.name for column in found.columns]
    root = drawn(found)
    hollow = sum(marks(root, colour)[1] for colour in ("#0072b2", "#d55e00"))
    printed = sum(cell.reference is not None for line in found.lines for cell in line.cells)
    assert hollow == printed == len(found.lines) * 8


AXES = {
    "numbers": ([2, 0, 0.5], {2: 2.0, 0: 0.0, 0.5: 0.5}, ((0.0, "0"), (0.5, "0.5"), (2.0, "2")), "a"),
    "names": (["x", "y"], {"x": 0.0, "y": 1.0}, ((0.0, "x"), (1.0, "y")), "a"),
    "one name": (["q-1"], {"q-1": 0.0}, ((0.0, "q-1"),), "a"),
    "a common start": (
        ["q-2.5-7b", "q-2.5-14b"],
        {"q-2.5-7b": 0.0, "q-2.5-14b": 1.0},
        ((0.0, "7b"), (1.0, "14b")),
        "a (q-2.5-…)",
    ),
    "truth values": ([True, False], {True: 0.0, False: 1.0}, ((0.0, "true"), (1.0, "false")), "a"),
}


@pytest.mark.parametrize("values, places, ticks, title", AXES.values(), ids=list(AXES))
def test_where_the_values_of_an_axis_lie(
    values: list[str | float], places: dict[str | float, float], ticks: tuple[tuple[float, str], ...], title: str
):
    assert x_axis("a", values) == (places, ticks, title)


ROUND = {
    "tens": (28, 75, 2, ["30", "40", "50", "60", "70"]),
    "fives": (0, 20, 2, ["0", "5", "10", "15", "20"]),
    "hundredths": (0.011, 0.052, 2, ["0.02", "0.03", "0.04", "0.05"]),
    "below zero": (-1, 1, 2, ["-1.0", "-0.5", "0.0", "0.5", "1.0"]),
    "whole numbers": (0, 3.2, 0, ["0", "1", "2", "3"]),
    "few whole numbers": (1.2, 2.8, 0, ["1.5", "2.0", "2.5"]),
}


@pytest.mark.parametrize("low, high, digits, labels", ROUND.values(), ids=list(ROUND))
def test_round_numbers(low: float, high: float, digits: int, labels: list[str]):
    assert [label for _, label in round_numbers(low, high, digits)] == labels


Kit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """``kit report`` on an empty store: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    Store.open(tmp_path / "store")

    def call(*words: str) -> tuple[int, str, str]:
        arguments = ["kit", "report", *words, "--scale", "smoke", "--store", "store"]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_one_figure_is_printed_and_several_are_written(report: Kit):
    code, printed, _ = report("figure-1", "--format", "svg")
    assert (code, ElementTree.fromstring(printed).tag) == (0, f"{SPACE}svg")
    code, said, _ = report("figure-1", "2", "figure-3", "--format", "svg", "--out", "drawn")
    wrote = [f"wrote drawn/{name}.svg, its numbers: drawn/{name}.csv\n" for name in ("figure-1", "figure-3")]
    assert (code, said) == (0, "".join(wrote))
    assert Path("drawn/figure-1.csv").read_text(encoding="utf-8").startswith("table,scale,seeds,evolver,")
    assert Path("drawn/figure-1.svg").read_text(encoding="ascii") == printed


REFUSED = {
    "a table": (
        ("2", "--format", "svg"),
        "--format svg: table-2: no view has draw, which makes a table a figure; figure-1 has one",
    ),
    "two figures": (
        ("figure-1", "figure-3", "--format", "svg"),
        "--format svg: 2 figures (figure-1, figure-3); name one, or a folder for all: --out FOLDER",
    ),
    "a folder for a table": (
        ("figure-1", "--format", "csv", "--out", "x"),
        "--out x: goes with --format svg or png; other formats are printed",
    ),
    "a folder that is a file": (
        ("figure-1", "--format", "svg", "--out", "store/format"),
        "--out store/format: File exists; name a folder to write to",
    ),
    "a picture on a terminal": (
        ("figure-1", "--format", "png"),
        "--format png: a PNG is no text for a terminal; name a folder (--out FOLDER), or > FILE",
    ),
    "another format": (("2", "--format", "pdf"), "--format pdf: known: terminal, markdown, csv, json, svg, png"),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_figures_that_are_refused(words: tuple[str, ...], message: str, report: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    code, _, said = report(*words)
    assert (code, re.sub(r"\s+", " ", said).strip()) == (2, f"error: {message}")


def test_a_reproduced_figure_lies_in_the_store_with_its_numbers(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    folder = store.root / "figures"
    said = f"t: drawn in {folder}/t.smoke.svg and as .png; the numbers behind it: .csv"
    assert keep_figure(grid(DRAW), store) == said
    assert keep_figure(grid(DRAW), store) == said  # again: drawn anew
    assert sorted(path.name for path in folder.iterdir()) == ["t.smoke.csv", "t.smoke.png", "t.smoke.svg"]
    assert len((folder / "t.smoke.csv").read_text(encoding="utf-8").splitlines()) == 1 + 8


def test_a_picture_that_can_not_be_kept_is_told_and_the_run_goes_on(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    (store.root / "figures").symlink_to(tmp_path)
    assert keep_figure(grid(DRAW), store) == (
        f"t: its picture is not in the store: {store.root}/figures: a link, wanted a folder; remove it; "
        "`kit report t --format svg --out FOLDER` draws it"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_nothing_but_drawing_imports_matplotlib():
    # `kit` starts in a fraction of a second; matplotlib alone takes longer
    code = (
        "import sys; sys.path[:0] = sys.argv[1:]\n"
        "import kit.cli.plotting, kit.cli.tables, kit.report.pictures, kit.report.plots, kit.report.scores\n"
        "print('matplotlib' in sys.modules, 'numpy' in sys.modules)\n"
    )
    root = str(Path(__file__).resolve().parents[1])
    done = subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
