"""Curves of figures: recorded with all their points, compared by the share that lies elsewhere, never left out."""

import dataclasses
from pathlib import Path

import pytest

from kit.catalogue.views import Column, Table
from kit.check import printed, recorded
from kit.check.findings import Finding
from kit.check.recorded import Expected
from kit.check.recorded_curves import allowed_share, moved_share
from kit.errors import KitError, RequestError
from kit.measures import CurveMeasure, Quantity
from kit.plan import CellAddress
from kit.reading.documents import parse
from kit.records import Curve
from kit.report import Grid
from kit.report.curves import CurveCell, CurveRun

MEASURE = CurveMeasure(
    title="Distance", x=Quantity(title="d", unit="", digits=2), y=Quantity(title="density", unit="", digits=2)
)
COLUMN = Column(id="distance", name="Distance", benchmark="diversity", curve=MEASURE)
PLACES = (0.0, 0.5, 1.0)


def line(
    y: tuple[float, ...] = (1.0, 2.0, 1.0), *, x: tuple[float, ...] = PLACES, group: str = "", n: int = 12
) -> Curve:
    return Curve(curve="distance", group=group, x=x, y=y, n=n)


def figure(*runs: tuple[Curve, ...], keys: int | None = None) -> Grid:
    """Return a figure of one curve with these lines in each run; ``keys`` runs are wanted."""
    wanted = tuple(f"run {number}" for number in range(keys or len(runs)))
    address = CellAddress(at={"evolver": "small"}, column="distance", keys=wanted)
    found = tuple(
        CurveRun(key=key, path=Path("c.jsonl"), lines=lines) for key, lines in zip(wanted, runs, strict=False)
    )
    cell = CurveCell(address=address, column=COLUMN, measure=MEASURE, runs=found)
    table = Table(title="t", paper="figure-4.toml", axes=("evolver",), rows=({"evolver": "small"},), columns=(COLUMN,))
    return Grid(name="figure-9", table=table, scale="own", cast={}, lines=(), curves=(cell,))


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the figure's recorded values, not written yet."""
    monkeypatch.setattr(recorded, "expected_path", lambda grid: tmp_path / "figure-9.toml")
    return tmp_path / "figure-9.toml"


def verdict(grid: Grid) -> tuple[str, str]:
    (found,) = recorded.against_expected(grid)
    assert (found.check, found.table, found.what) == ("expected", "figure-9", "figure-9, small, Distance")
    assert found.passed == (found.verdict == "match")
    return found.verdict, found.detail


WHOLE = ("match", "0.00% of the curve lies elsewhere, 8.33% of 12 values allowed")
OURS = {
    # of an area of 4, and 12 values of which one may move, which is a twelfth
    "the recorded points": (figure((line(),)), WHOLE),
    "a twelfth moved": (
        figure((line((1.3333, 1.6667, 1.0)),)),
        ("match", "8.33% of the curve lies elsewhere, 8.33% of 12 values allowed"),
    ),
    "a little more": (
        figure((line((1.34, 1.66, 1.0)),)),
        ("off", "8.50% of the curve lies elsewhere, 8.33% of 12 values allowed"),
    ),
    "turned": (
        figure((line((2.0, 1.0, 1.0)),)),
        ("off", "25.00% of the curve lies elsewhere, 8.33% of 12 values allowed"),
    ),
    "twice as high": (
        figure((line((2.0, 4.0, 2.0)),)),
        ("off", "50.00% of the curve lies elsewhere, 8.33% of 12 values allowed"),
    ),
    "other places": (figure((line(x=(0.0, 0.5, 1.1)),)), ("off", "3 points, recorded 3 at other places")),
    "fewer points": (figure((line((1.0, 2.0), x=(0.0, 0.5)),)), ("off", "2 points, recorded 3 at other places")),
    "other values behind it": (figure((line(n=13),)), ("off", "over 13 values, recorded over 12")),
    "another group": (figure((line(group="law"),)), ("off", "lines law, recorded all")),
    "a line more": (figure((line(), line(group="law"))), ("off", "lines all, law, recorded all")),
    "no line": (figure(()), ("off", "no line, recorded 3 points")),
    "a run more": (figure((line(),), (line(),)), ("off", "lines run 0, all, run 1, all, recorded all")),
    "not computed": (figure(keys=1), ("missing", "not computed")),
    "half computed": (figure((line(),), keys=2), ("missing", "not computed")),
}


@pytest.mark.parametrize("grid, wanted", OURS.values(), ids=list(OURS))
def test_a_curve_beside_the_recorded_one(grid: Grid, wanted: tuple[str, str], path: Path):
    # figures of curves had no verdict at all
    path.write_text(recorded._recorded_text(figure((line(),))), encoding="utf-8")
    assert verdict(grid) == wanted


SEVERAL = {
    "runs and groups": figure((line(group="law"), line(group="art")), (line(group="law"), line(group="art"))),
    "a run that drew no line": figure(()),
    "one of two that drew no line": figure((line(),), ()),
    "no n": figure((dataclasses.replace(line(), n=None),)),
    "odd names": figure((line(group='a "b"\n\\c'), line(group="é"))),
    "below zero, and far apart": figure((line((-1.0, 0.0, 1e-9), x=(-1e6, 1e-7, 3.5)),)),
}


@pytest.mark.parametrize("grid", SEVERAL.values(), ids=list(SEVERAL))
def test_what_is_recorded_is_met(grid: Grid, path: Path):
    path.write_text(recorded._recorded_text(grid), encoding="utf-8")
    assert verdict(grid)[0] == "match"


def test_one_line_of_several_is_off(path: Path):
    path.write_text(recorded._recorded_text(figure((line(group="law"), line(group="art")))), encoding="utf-8")
    other = (line(group="law"), line((2.0, 1.0, 1.0), group="art"))
    (found,) = recorded.against_expected(figure(other))
    allowed = "8.33% of 12 values allowed"
    assert (found.verdict, found.detail) == (
        "off",
        f"law: 0.00% of the curve lies elsewhere, {allowed}; art: 25.00% of the curve lies elsewhere, {allowed}",
    )
    assert found.numbers is not None
    numbers = (found.numbers.ours, found.numbers.wanted, found.numbers.n, found.numbers.unit)
    assert numbers == (25.0, 0.0, 12, "percent of the curve")
    assert found.numbers.allowed == pytest.approx(100 / 12)


def test_the_recorded_file_by_hand(path: Path):
    assert recorded._recorded_text(figure((line(group="law"), line((0.5, 0.25, 0.125), group="art")))).splitlines() == [
        "# Written by `kit verify --record` at scale own; value in its unit, units behind it.",
        "schema = 1",
        "cells = [",
        "]",
        "curves = [",
        '  { at = { evolver = "small" }, column = "distance", group = "law", n = 12, x = [0, 0.5, 1], '
        "y = [1.0000, 2.0000, 1.0000] },",
        '  { at = { evolver = "small" }, column = "distance", group = "art", n = 12, x = [0, 0.5, 1], '
        "y = [0.5000, 0.2500, 0.1250] },",
        "]",
    ]


def test_nothing_recorded_can_not_be_told(path: Path):
    wanted = "where these numbers are right, the same command with --record writes them into manifests/"
    assert verdict(figure((line(),))) == ("cannot tell", f"a curve; nothing is recorded for scale own; {wanted}")
    path.write_text("schema = 1\ncells = []\n", encoding="utf-8")
    assert verdict(figure((line(),))) == ("cannot tell", f"a curve; figure-9.toml has no value for it; {wanted}")


def test_a_recorded_curve_that_the_figure_has_no_more(path: Path):
    text = recorded._recorded_text(figure((line(),)))
    path.write_text(text.replace('"small"', '"large"'), encoding="utf-8")
    found = list(recorded.against_expected(figure((line(),))))
    assert [(one.passed, one.what, one.verdict) for one in found] == [
        (False, "figure-9, large, distance", ""),
        (False, "figure-9, small, Distance", "cannot tell"),
    ]


def test_half_a_figure_is_not_recorded():
    with pytest.raises(KitError) as error:
        recorded._recorded_text(figure((line(),), keys=2))
    assert str(error.value) == ("figure-9, small, Distance: not computed yet; only a whole table can be recorded")


SHARES = {
    "the same": ((1.0, 2.0), (1.0, 2.0), 0.0),
    "a third moved": ((2.0, 1.0), (1.0, 2.0), 1 / 3),
    "everything moved": ((3.0, 0.0), (0.0, 3.0), 1.0),
    "more of it": ((1.5, 3.0), (1.0, 2.0), 0.25),
    "nothing there, as recorded": ((0.0, 0.0), (0.0, 0.0), 0.0),
    "something where nothing was": ((0.1, 0.0), (0.0, 0.0), 1.0),
    "below zero": ((-1.0, 1.0), (1.0, 1.0), 0.5),
}


@pytest.mark.parametrize("ours, before, wanted", SHARES.values(), ids=list(SHARES))
def test_the_share_of_a_curve_that_lies_elsewhere(ours: tuple[float, ...], before: tuple[float, ...], wanted: float):
    assert moved_share(ours, before) == pytest.approx(wanted)


def test_a_moved_value_moves_its_share_of_a_density():
    # eleven values stay, one moves: no more than a twelfth of the density, which is at most that of its own kernel
    density = pytest.importorskip("kit.measures.densities").gaussian_density
    places = [number / 50 for number in range(-100, 151)]
    values = [number / 12 for number in range(12)]
    before, after = density(values, places), density([*values[:-1], 0.0], places)
    assert 0 < moved_share(after, before) < 1 / 12


@pytest.mark.parametrize("n, wanted", [(1, 1.0), (12, 1 / 12), (99, 1 / 99), (100, 0.02), (350, 0.02), (None, 0.02)])
def test_the_share_that_may_lie_elsewhere(n: int | None, wanted: float):
    assert allowed_share(n) == pytest.approx(wanted)


CELL = 'at = { base = "b" }, column = "c"'
FAULTS = {
    "a y too few": (
        f"{CELL}, x = [0, 1], y = [1.0]",
        "e.toml: curves[0]: found 2 x and 1 y, wanted one y for each x",
    ),
    "a run below 0": (
        f"{CELL}, run = -1, x = [], y = []",
        "e.toml: curves[0].run: input should be greater than or equal to 0, found -1",
    ),
    "no values": (f"{CELL}, n = 0, x = [], y = []", "e.toml: curves[0].n: input should be greater than 0, found 0"),
    "a text": (f'{CELL}, x = ["0"], y = [1.0]', "e.toml: curves[0].x[0]: input should be a valid number, found '0'"),
}


@pytest.mark.parametrize("text, message", FAULTS.values(), ids=list(FAULTS))
def test_changed_recorded_curves_are_reported(text: str, message: str):
    with pytest.raises(RequestError) as error:
        parse(Expected, f"schema = 1\ncells = []\ncurves = [{{ {text} }}]", "e.toml")
    assert str(error.value) == message


PAPERS = {
    "drawn, without its numbers": (
        figure((line(),)),
        ("cannot tell", True, "the paper draws this curve, and prints none of its numbers"),
    ),
    "missing": (figure(keys=1), ("missing", False, "not computed")),
}


@pytest.mark.parametrize("grid, wanted", PAPERS.values(), ids=list(PAPERS))
def test_a_curve_beside_the_papers(grid: Grid, wanted: tuple[str, bool, str]):
    found: list[Finding] = list(printed.against_paper(grid, {}, {}))
    assert [(one.verdict, one.passed, one.detail) for one in found if one.check == "cell"] == [wanted]
    (whole,) = (one for one in found if one.check == "paper")
    assert (whole.verdict, whole.detail) == ("cannot tell", "no cell was compared")
