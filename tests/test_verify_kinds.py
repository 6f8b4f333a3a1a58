"""Checks of numbers that are no shares, by hand: against what was recorded, and columns at their bounds."""

import dataclasses
import math
from pathlib import Path

import pytest

from kit.catalogue import Catalogue, manifests_folder, paper
from kit.catalogue.views import Column, Table
from kit.check import recorded, verify
from kit.check.recorded import Expected, ExpectedCell
from kit.errors import RequestError
from kit.measures import Measure
from kit.plan import CellAddress
from kit.plan.planning import plan_tables
from kit.reading.documents import parse
from kit.records import Result
from kit.report import Cell, Grid, Line, mean_of

SHARE = Measure(title="Right")
FRACTION = Measure(title="Right", unit="", digits=3)
POINTS = Measure(title="Rating", unit="points", digits=1, kind="mean", lowest=0, highest=10)
SUBJECTS = Measure(title="By subject", kind="mean over groups")
COUNT = Measure(title="Kept", unit="items", digits=0, kind="count")


def result(value: float, stderr: float = 0.0, n: int = 100, step: float | None = None) -> Result:
    return Result(metric="m", value=value, stderr=stderr, n=n, unit="items", step=step)


RECORDED = {
    "one item of a hundred may flip, and another": (SHARE, result(0.52), 50.0, True, "2 of 100 units apart, 2 allowed"),
    "three may not": (SHARE, result(0.53), 50.0, False, "3 of 100 units apart, 2 allowed"),
    "a count": (COUNT, result(53.0, step=1.0), 50.0, False, "3 of 100 units apart, 2 allowed"),
    # two rows of a hundred, each by ten points at most
    "a mean": (POINTS, result(6.15, step=0.1), 6.0, True, "0.2 points apart, 0.2 allowed"),
    "a mean too far": (POINTS, result(6.25, step=0.1), 6.0, False, "0.2 points apart, 0.2 allowed"),
    # two items of a group of which one moves the mean over groups by a hundredth
    "groups": (SUBJECTS, result(0.62, step=0.01), 60.0, True, "2.00 points apart, 2.00 allowed"),
    "groups too far": (SUBJECTS, result(0.6201, step=0.01), 60.0, False, "2.01 points apart, 2.00 allowed"),
    # nothing can move, but for the digits that a file leaves out
    "no step": (POINTS, result(6.0004, step=0.0), 6.0, True, "0.0 points apart, 0.0 allowed"),
    "no step, further": (POINTS, result(6.0006, step=0.0), 6.0, False, "0.0 points apart, 0.0 allowed"),
}


@pytest.mark.parametrize("measure, ours, before, passed, how_far", RECORDED.values(), ids=list(RECORDED))
def test_what_was_recorded(measure: Measure, ours: Result, before: float, passed: bool, how_far: str):
    assert recorded.close_to_recorded(ours, measure, before) == (passed, how_far)


TWO_RUNS = {
    # units right of each run here, and of each run when it was recorded; half units were rounded to even ones
    "the same numbers": ((3, 4), (3, 4), 18, True, "0 of 18 units apart, 1 allowed"),
    "one unit in each run": ((3, 4), (2, 3), 16, True, "1 of 16 units apart, 1 allowed"),
    "one in one run, two in the other": ((5, 5), (3, 4), 16, False, "1.5 of 16 units apart, 1 allowed"),
    "two in each": ((4, 5), (2, 3), 16, False, "2 of 16 units apart, 1 allowed"),
}


@pytest.mark.parametrize("ours, before, n, passed, how_far", TWO_RUNS.values(), ids=list(TWO_RUNS))
def test_two_runs_against_two_that_were_recorded(
    ours: tuple[int, int], before: tuple[int, int], n: int, passed: bool, how_far: str
):
    def mean(right: tuple[int, int]) -> Result:
        return mean_of([dataclasses.replace(result(one / n), n=n) for one in right])[0]

    percent = float(f"{100 * mean(before).value:.4f}")
    assert recorded.close_to_recorded(mean(ours), SHARE, percent) == (passed, how_far)


CELL = 'at = { base = "b" }, column = "m", n = 4'
FILES = {
    "percent": ("percent = 25.0", (25.0, "percent")),
    "nothing right": ("percent = 0.0", (0.0, "percent")),
    "another unit": ('value = -1.5, unit = "nats/token"', (-1.5, "nats/token")),
    "no unit": ('value = 0.25, unit = ""', (0.25, "")),
}


@pytest.mark.parametrize("numbers, wanted", FILES.values(), ids=list(FILES))
def test_recorded_numbers_are_read_in_their_unit(numbers: str, wanted: tuple[float, str]):
    (cell,) = parse(Expected, f"schema = 1\ncells = [{{ {CELL}, {numbers} }}]", "e.toml").cells
    assert (cell.number, cell.unit) == wanted


NO_NUMBER = ["", 'percent = 1.0, value = 1.0, unit = "points"', "value = 1.0", 'unit = "points"']


@pytest.mark.parametrize("numbers", NO_NUMBER)
def test_a_recorded_cell_has_one_number(numbers: str):
    more = f", {numbers}" if numbers else ""
    with pytest.raises(RequestError) as error:
        parse(Expected, f"schema = 1\ncells = [{{ {CELL}{more} }}]", "e.toml")
    assert str(error.value) == "e.toml: cells[0]: wanted percent, or value and unit"


def test_a_number_of_another_unit_is_not_compared():
    wanted = ExpectedCell(at={}, column="m", value=6.0, unit="points", n=100)
    assert recorded.other_basis(result(6.0), POINTS, wanted) is None
    assert recorded.other_basis(result(6.0), FRACTION, wanted) == "; in no unit, recorded in points"
    assert recorded.other_basis(result(6.0, n=99), POINTS, wanted) == "; over 99 units, recorded over 100"


STEPS = {
    # flips and units of each: two of a hundred items, three of 150, one of 12
    "a share": (SHARE, result(0.5), (2.0, 1.0)),
    "a count": (COUNT, result(75.0, n=150, step=1.0), (3.0, 1.0)),
    "few items": (SHARE, result(0.25, n=12), (100 / 12, 100 / 12)),
    "a mean": (POINTS, result(6.0, step=0.1), (0.2, 0.1)),
    "a mean that nothing moves": (POINTS, result(6.0), (0.0, 0.0)),
}


@pytest.mark.parametrize("measure, ours, wanted", STEPS.values(), ids=list(STEPS))
def test_how_far_units_move_a_number(measure: Measure, ours: Result, wanted: tuple[float, float]):
    assert recorded.allowed_difference(ours, measure) == pytest.approx(wanted)


OURS = {"a": (0.02, 1.0), "b": (0.04, 3.0)}
"""base -> how far the small evolver is ahead here: as a share, and in points."""


def grid(columns: tuple[Measure, ...], value: float | None = None) -> Grid:
    """Two evolvers on two bases, with a column for each measure; the paper's numbers have a lead of one everywhere."""
    named = tuple(Column(id=one.unit, name=one.title, benchmark="x", measure=one) for one in columns)
    lines = []
    for evolver in ("big", "small"):
        for base, leads in OURS.items():
            cells = []
            for column, lead in zip(named, leads, strict=False):
                ours = 0.5 + lead * (evolver == "small") if value is None else value
                cells.append(
                    Cell(
                        address=CellAddress(
                            at={"evolver": evolver, "base": base}, column=column.id, keys=(f"{evolver}/{base}",)
                        ),
                        result=result(ours, 0.1),
                        reference=10.0 + (evolver == "small"),
                        measure=column.measure,
                    )
                )
            lines.append(Line(at={"evolver": evolver, "base": base}, cells=tuple(cells)))
    rows = tuple(line.at for line in lines)
    table = Table(title="t", paper="p", axes=("evolver", "base"), rows=rows, columns=named)
    return Grid(name="t", table=table, scale="paper", cast={}, lines=tuple(lines))


ALIVE = {
    "a share of 0": (SHARE, 0.0, False, "0.0, 0.0, 0.0, 0.0"),
    "a share of 1": (SHARE, 1.0, False, "100.0, 100.0, 100.0, 100.0"),
    "a share between": (SHARE, 0.5, True, "50.0, 50.0, 50.0, 50.0"),
    "the lowest rating": (POINTS, 0.0, False, "0, 0, 0, 0"),
    "the highest rating": (POINTS, 10.0, False, "10, 10, 10, 10"),
    "nothing counted": (COUNT, 0.0, False, "0, 0, 0, 0"),
    "a mean without bounds": (Measure(unit="nats", kind="mean"), 0.0, True, "0.0, 0.0, 0.0, 0.0"),
}


@pytest.mark.parametrize("measure, value, passed, detail", ALIVE.values(), ids=list(ALIVE))
def test_a_column_at_one_of_its_bounds_is_a_broken_pipeline(measure: Measure, value: float, passed: bool, detail: str):
    (found,) = verify.alive(grid((measure,), value))
    assert (found.passed, found.detail) == (passed, detail)


def test_counts_of_one_benchmark_are_dead_only_together():
    # at a small scale no answer is a tie, or very easy: the column of zeros was called a broken pipeline
    kept, dropped = COUNT, dataclasses.replace(COUNT, title="Dropped", unit="rows")
    both = grid((kept, dropped), 0.0)
    lines = tuple(
        dataclasses.replace(
            line, cells=(dataclasses.replace(line.cells[0], result=result(5.0, step=1.0)), line.cells[1])
        )
        for line in both.lines
    )
    assert [found.passed for found in verify.alive(both)] == [False, False]
    assert [found.passed for found in verify.alive(dataclasses.replace(both, lines=lines))] == [True, True]
    # a share beside them is judged by itself
    shares = grid((kept, SHARE), 0.0)
    assert [found.passed for found in verify.alive(dataclasses.replace(shares, lines=lines))] == [True, False]


def test_several_seeds_of_each_kind():
    # the mean of the values, of the errors and of the steps; the spread is the standard deviation
    one, two = result(6.0, 0.2, 50, 0.1), result(8.0, 0.4, 40, 0.3)
    whole, spread = mean_of([one, two])
    assert (whole.value, whole.stderr, whole.n, whole.step) == pytest.approx((7.0, 0.3, 40, 0.2))
    assert spread == pytest.approx(math.sqrt(2))
    share, _ = mean_of([result(0.5), result(0.7)])
    assert (share.step, share.groups) == (None, None)
    cell = Cell(
        address=CellAddress(at={}, column="m", keys=("a", "b")),
        result=whole,
        reference=None,
        spread=spread,
        measure=POINTS,
    )
    assert (cell.value, cell.error, cell.run_spread) == pytest.approx((7.0, 0.3, math.sqrt(2)))


def test_kit_grade_prints_each_kind():
    from kit.cli.grading import Graded
    from kit.files.completions import Completions

    results = [
        Result(metric="right", value=0.25, stderr=0.125, n=12, unit="items"),
        Result(metric="rating", value=6.25, stderr=0.5, n=12, unit="rows", step=0.8),
    ]
    texts = Completions(texts=[], field="f", layout="l", matched_by="id", loosely=0, left_out={})
    graded = Graded(
        benchmark="b",
        version=1,
        protocol="default",
        completions=texts,
        tier=None,
        results=results,
        measures={"right": SHARE, "rating": POINTS},
    )
    assert list(graded.lines())[:2] == [
        "right                             3 of 12 items          25.00 % ±12.50",
        "rating                         over 12 rows             6.2 points ±0.5",
    ]


UNITS = {"points_0_100": "points"}
"""Unit of a printed column -> the same unit in words of the measures, which have their bounds beside it."""


@pytest.mark.parametrize("name", Catalogue(manifests_folder()).names("tables"))
def test_the_paper_prints_in_the_units_of_the_measures(name: str):
    table = plan_tables([name], "smoke").tables[name]
    if table.paper is None or (table.draw and table.draw.kind == "curves"):
        return  # nothing is printed, or curves without numbers
    units = [(column.id, UNITS.get(str(column.unit), column.unit)) for column in paper.table(table.paper).column]
    assert [(column.printed or column.id, column.measure.unit) for column in table.columns] == units


def test_the_recorded_file_of_the_tree_is_read():
    folder = Path(__file__).resolve().parents[1] / "manifests" / "expected" / "smoke"
    found = parse(Expected, (folder / "table-2.toml").read_text(encoding="utf-8"), "table-2.toml").cells
    assert {cell.unit for cell in found} == {"percent"}
