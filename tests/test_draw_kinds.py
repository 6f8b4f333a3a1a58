"""Bars, outcomes and curves of a view: what its table ``draw`` may say, and what is drawn of a table's columns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kit.catalogue import paper
from kit.catalogue.drawing import Draw, check_columns, check_draw
from kit.catalogue.views import Column, Table
from kit.measures import CurveMeasure, Measure, Quantity
from kit.plan import CellAddress
from kit.records import Curve, Result
from kit.report import Cell, Grid, Line
from kit.report.curves import CurveCell, CurveRun
from kit.report.drawn import Panel, StackPanel
from kit.report.figures import make_figure

SHARE = Measure(counts="rows")
PROMPTS = Measure(unit="prompts", digits=0, counts="prompts", kind="count")
LEVELS = ("very_easy", "easy", "medium", "hard", "very_hard")
ENDS = ("win", "tie", "lose")
SLM, LLM = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"


def column(id: str, measure: Measure = SHARE, **more: Any) -> Column:
    """A column of numbers, a share of rows by default."""
    return Column(**{"id": id, "name": id.replace("_", " "), "benchmark": "b", "measure": measure, **more})


def grid(name: str, draw: Draw, rows: list[dict[str, Any]], counts: list[tuple[int, ...] | None]) -> Grid:
    """A table that the paper prints as a figure: each row's counts of labels, or none."""
    outcomes = draw.kind == "outcomes"
    ids, measure = ([f"farm_{end}" for end in ENDS], PROMPTS) if outcomes else ([*LEVELS], SHARE)
    lines = []
    for row, found in zip(rows, counts, strict=True):
        whole = sum(found) if found else 1
        cells = [
            Cell(
                address=CellAddress(at=row, column=id, keys=("k",)),
                result=found
                and Result(metric=id, value=count if outcomes else count / whole, stderr=0.1, n=whole, unit="rows"),
                reference=float(paper.table(name).cell(row, id.removeprefix("farm_")) or 0),
                measure=measure,
            )
            for id, count in zip(ids, found or (0,) * len(ids), strict=True)
        ]
        lines.append(Line(at=row, cells=tuple(cells)))
    table = Table(
        title="T",
        paper=f"{name}.toml",
        axes=tuple(rows[0]),
        rows=tuple(rows),
        columns=tuple(column(id, measure) for id in ids),
        draw=draw,
    )
    return Grid(name=name, table=table, scale="smoke", cast={}, lines=tuple(lines))


def test_shares_of_labels_beside_the_papers():
    rows = [{"seeds": "gsm8k-train", "round": 3, "evolver": evolver} for evolver in (LLM, SLM)]
    draw = Draw(kind="bars", x="round", line="evolver", panel="seeds")
    figure = make_figure(grid("figure-2", draw, rows, [(1, 0, 2, 1, 0), None]))
    assert figure.description() == (
        "gsm8k-train, here (percent of rows): "
        f"round 3, {LLM}: very easy 25, easy 0.0, medium 50, hard 25, very hard 0.0 (n = 4); "
        f"round 3, {SLM}: missing. "
        "gsm8k-train, the paper (percent of rows): "
        f"round 3, {LLM}: very easy 0.0, easy 20, medium 80, hard 0.7, very hard 0.0 (n = 7,473); "
        f"round 3, {SLM}: very easy 0.1, easy 2.6, medium 64, hard 26, very hard 7.3 (n = 7,473)."
    )
    assert figure.notes[0] == "Whiskers: ± one standard error of the share up to there, as a share of n."
    assert figure.notes[-1] == "5 of 10 numbers are not computed yet."


def test_win_tie_and_lose_beside_the_papers():
    rows = [{"base": "llama-3.2-3b", "kept_fraction": fraction} for fraction in (0.05, 0.1)]
    draw = Draw(kind="outcomes", x="kept_fraction")
    ours, theirs = make_figure(grid("figure-7", draw, rows, [(5, 1, 2), (0, 0, 8)])).panels
    assert isinstance(ours, StackPanel)
    assert isinstance(theirs, StackPanel)
    assert (ours.title, theirs.title, ours.parts, ours.unit, ours.counted) == (
        "here", "the paper", ENDS, "prompts", True,
    )  # fmt: skip
    assert [(stack.name, stack.parts, stack.n) for stack in (*ours.stacks, *theirs.stacks)] == [
        ("kept_fraction 0.05", (5, 1, 2), 8),
        ("kept_fraction 0.1", (0, 0, 8), 8),
        ("kept_fraction 0.05", (419, 54, 332), 805),
        ("kept_fraction 0.1", (426, 40, 339), 805),
    ]


def curves(draw: Draw, sizes: tuple[int | None, ...]) -> Grid:
    """A table of one curve an evolver, some of which say how many values they are made of."""
    measure = CurveMeasure(title="Density", x=Quantity(title="Probability", unit=""), y=Quantity(unit=""))
    cells = []
    for number, n in enumerate(sizes):
        line = Curve(curve="d", x=(0.0, 1.0), y=(1.0, 2.0), error=(0.1, 0.2) if n else (), n=n)
        at = {"evolver": f"e{number}", "round": number}
        run = CurveRun(key="k", path=Path("k"), lines=(line,))
        address = CellAddress(at=at, column="d", keys=("k",))
        cells.append(CurveCell(address=address, column=column("d"), measure=measure, runs=(run,)))
    rows = tuple(dict(cell.address.at) for cell in cells)
    table = Table(title="T", paper="figure-5.toml", axes=("evolver",), rows=rows, columns=(column("d"),), draw=draw)
    lines = tuple(Line(at=row, cells=()) for row in rows)
    return Grid(name="f", table=table, scale="smoke", cast={}, lines=lines, curves=tuple(cells))


def test_curves_run_backwards_with_bands_sizes_and_the_papers_claim():
    figure = make_figure(curves(Draw(kind="curves", line="evolver", x_ends=[1.0, 0.0]), (52, None)))
    (panel,) = figure.panels
    assert isinstance(panel, Panel)
    assert panel.x_ends == (1.0, 0.0)
    assert figure.names() == ["e0, n = 52", "e1"]
    assert [point.error for line in panel.series for point in line.points] == [0.1, 0.2, None, None]
    assert figure.notes[:2] == (
        "Bands: ± one standard error of each curve, for its width of smoothing.",
        "The paper gives no numbers for this figure; it says: the SLM puts less mass near 1.",
    )


@pytest.mark.parametrize(
    ("sizes", "texts"),
    [((7, 7), ["n = 7", "n = 7"]), ((7, None), ["n = 7", ""])],
    ids=["known", "unknown"],
)
def test_each_panel_of_curves_says_its_size(sizes: tuple[int | None, ...], texts: list[str]):
    panels = make_figure(curves(Draw(kind="curves", panel="round"), sizes)).panels
    assert [panel.sizes for panel in panels if isinstance(panel, Panel)] == texts


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "bars without groups": ({"kind": "bars"}, "x is missing; wanted the axis of the rows that groups the bars"),
    "outcomes without groups": (
        {"kind": "outcomes"},
        "x is missing; wanted the axis of the rows that groups the bars",
    ),
    "ends of lines": (
        {"kind": "lines", "x": "round", "x_ends": [1.0, 0.0]},
        "x_ends: goes with kind = 'curves', found kind = 'lines'; leave it out",
    ),
    "one end": (
        {"kind": "curves", "x_ends": [1.0]},
        "x_ends: found [1.0], wanted two different numbers, left and right",
    ),
    "equal ends": (
        {"kind": "curves", "x_ends": [1.0, 1.0]},
        "x_ends: found [1.0, 1.0], wanted two different numbers, left and right",
    ),
}


@pytest.mark.parametrize("fields, message", FAULTS.values(), ids=list(FAULTS))
def test_draws_that_contradict_themselves(fields: dict[str, Any], message: str):
    with pytest.raises(ValidationError) as caught:
        Draw.model_validate(fields)
    assert [error["msg"].removeprefix("Value error, ") for error in caught.value.errors()] == [message]


ROWS = {"round": [1, 2], "evolver": ["a", "b"]}
NO_PLACE: dict[str, tuple[Draw, str]] = {
    "columns as bars": (
        Draw(kind="bars", x="round", line="column"),
        "draw.line: 'column' has a place already: columns are the parts of each bar",
    ),
    "columns as panels": (
        Draw(kind="outcomes", x="round", line="evolver", panel="column"),
        "draw.panel: 'column' has a place already: columns are the parts of each bar",
    ),
    "an axis left over": (
        Draw(kind="bars", x="round"),
        "draw: the axis evolver has no place: a, b would lie over each other; name it as x, line or panel",
    ),
    "no such axis": (
        Draw(kind="bars", x="rounds", line="evolver"),
        "draw.x: rows have no axis named 'rounds'; did you mean 'round'? (rows: round = 1, 2; evolver = a, b)",
    ),
}


@pytest.mark.parametrize("draw, message", NO_PLACE.values(), ids=list(NO_PLACE))
def test_rows_without_a_place(draw: Draw, message: str):
    with pytest.raises(ValueError) as caught:  # the whole message is compared
        check_draw(draw, ROWS)
    assert str(caught.value) == message


BARS, OUTCOMES = Draw(kind="bars", x="round"), Draw(kind="outcomes", x="round")
CURVED = CurveMeasure(title="c")
COLUMNS: dict[str, tuple[Draw, list[Column], str]] = {
    "one part": (BARS, [column("easy")], "draw.kind: 'bars' stacks columns into bars: found easy, wanted two or more"),
    "another order": (
        OUTCOMES,
        [column("f_lose"), column("f_tie"), column("f_win")],
        "draw.kind: 'outcomes' stacks columns into bars: found f_lose, f_tie, f_win, wanted three, which end in "
        "win, tie, lose",
    ),
    "two plug-ins": (
        BARS,
        [column("easy"), column("hard", benchmark="c")],
        "draw.kind: 'bars' stacks columns of one plug-in, found b, c",
    ),
    "two units": (
        BARS,
        [column("easy"), column("hard", PROMPTS)],
        "draw.kind: 'bars' stacks columns in one unit, found percent, prompts",
    ),
    "two places": (
        BARS,
        [column("easy", at={"round": 1}), column("hard", at={"round": 2})],
        "draw.kind: 'bars' stacks columns at the same coordinates, found round = 1, round = 2",
    ),
    "a curve": (
        BARS,
        [column("easy"), column("hard", curve=CURVED)],
        "draw.kind: hard is a curve, wanted a number; kind = 'curves' draws it",
    ),
    "numbers as curves": (
        Draw(kind="curves"),
        [column("easy")],
        "draw.kind: easy is a number, wanted a curve; kind = 'lines' draws it",
    ),
    "two columns over each other": (
        Draw(x="round", panel="evolver"),
        [column("easy"), column("hard")],
        "draw: 2 columns (easy, hard) have no place; wanted line or panel = 'column', or one column",
    ),
}


@pytest.mark.parametrize("draw, columns, message", COLUMNS.values(), ids=list(COLUMNS))
def test_columns_that_can_not_be_drawn(draw: Draw, columns: list[Column], message: str):
    with pytest.raises(ValueError) as caught:  # the whole message is compared
        check_columns(draw, columns)
    assert str(caught.value) == message


def test_columns_that_can_be_drawn():
    check_columns(BARS, [column(level) for level in LEVELS])
    check_columns(OUTCOMES, [column(f"farm_{end}", PROMPTS) for end in ENDS])
    check_columns(Draw(kind="curves"), [replace(column("d"), curve=CURVED)])


CURVES: dict[str, tuple[dict[str, Any], str]] = {
    "errors of other length": (
        {"error": [0.1]},
        "f:1: Curve: found 1 errors of 2 x, wanted one for each, none below 0",
    ),
    "an error below 0": (
        {"error": [0.1, -1]},
        "f:1: Curve: found 2 errors of 2 x, wanted one for each, none below 0",
    ),
    "no values": ({"n": 0}, "f:1: Curve: 'n': found 0, wanted a whole number above 0"),
}


@pytest.mark.parametrize("more, message", CURVES.values(), ids=list(CURVES))
def test_curves_whose_errors_or_size_can_not_be(more: dict[str, Any], message: str):
    with pytest.raises(Exception) as caught:
        Curve.from_json({"curve": "d", "x": [0, 1], "y": [1, 2], **more}, "f:1")
    assert str(caught.value) == message


def test_a_curve_writes_errors_and_size_only_where_it_has_them():
    plain = {"curve": "d", "group": "", "x": (0, 1), "y": (1, 2)}
    assert Curve.from_json({**plain, "x": [0, 1], "y": [1, 2]}, "f:1").to_json() == plain
    whole = Curve(curve="d", x=(0, 1), y=(1, 2), error=(0.1, 0.0), n=3).to_json()
    assert whole == {**plain, "error": (0.1, 0.0), "n": 3}
