"""Verdicts on one number beside the paper's, against values worked out by hand and by scipy."""

import dataclasses
import math
import random
import statistics
from collections.abc import Sequence

import pytest

from kit.catalogue.views import Column, Table
from kit.check.verdicts import Judged, judge, noise_of_items, seed_spreads, spread_of
from kit.comparing.intervals import Spread
from kit.comparing.verdicts import shares_of_own_items
from kit.measures import Measure
from kit.plan import CellAddress
from kit.records import Result
from kit.report import Cell, Grid, Line

SHARE = Measure(title="Right")
POINTS = Measure(title="Rating", unit="points", digits=1, kind="mean", lowest=0, highest=100)
LEVELS = Measure(title="CSL", unit="levels", digits=2, kind="mean over groups", lowest=0, highest=5)
COUNT = Measure(title="Wins", unit="prompts", digits=0, kind="count")
SUBJECTS = Measure(title="By subject", kind="mean over groups")


def cell(
    measure: Measure,
    ours: float,
    paper: float,
    *,
    n: int = 1319,
    stderr: float | None = None,
    runs: Sequence[float] = (0.5,),
) -> Cell:
    """Return a cell with our number and the paper's, both in the measure's unit; ours is the mean of the runs."""
    whole = {"count": float(n), "share": 100.0}.get(measure.kind, 100.0 if measure.unit == "percent" else 1.0)
    p = ours / whole
    error = math.sqrt(max(p * (1 - p), 0.0) / n) if stderr is None else stderr
    value = ours / 100 if measure.unit == "percent" else ours
    error = error * n if measure.kind == "count" and stderr is None else error
    return Cell(
        address=CellAddress(at={}, column="c", keys=tuple(f"run {number}" for number in range(len(runs)))),
        result=Result(metric="c", value=value, stderr=error, n=n, unit="items"),
        reference=paper,
        measure=measure,
        runs=tuple(value + run - statistics.fmean(runs) for run in runs),
    )


# A spread of 0.5 points with 12 degrees of freedom; t(12) is 1.782288 at 95 % and 2.178813 at 97.5 %, so the 90 %
# interval of the mean of two runs is 0.5 * sqrt(1.5) * 1.782288 + 0.005 = 1.0964 wide on either side, the 95 % interval
# 1.3393.
HALF = Spread(value=0.005, degrees=12)
"""An angle: half a point at 50 percent, where the slope of sin(angle)^2 is 1."""
TWO = (0.5, 0.5)
SEEDS = {
    "the same number": (50.0, 50.0, TWO, 1.4, "match", (-1.3393, 1.3393)),
    "just within the margin": (50.3, 50.0, TWO, 1.4, "match", (-1.0393, 1.6393)),
    "just beyond it": (50.31, 50.0, TWO, 1.4, "cannot tell", (-1.0293, 1.6493)),
    "just within the prediction interval": (51.33, 50.0, TWO, 1.4, "cannot tell", (-0.0093, 2.6693)),
    "just outside": (51.35, 50.0, TWO, 1.4, "off", (0.0107, 2.6893)),
    "as far below": (48.65, 50.0, TWO, 1.4, "off", (-2.6893, -0.0107)),
    # different, and by less than matters
    "outside, but within a wide margin": (51.5, 50.0, TWO, 3.0, "match", (0.1607, 2.8393)),
    "no margin": (50.0, 50.0, TWO, None, "cannot tell", (-1.3393, 1.3393)),
    # 0.5 * sqrt(2) * 2.178813 + 0.005 = 1.5457
    "one run, of a spread that others have": (51.5, 50.0, (0.515,), 1.4, "cannot tell", (-0.0457, 3.0457)),
    "one run, outside": (51.6, 50.0, (0.516,), 1.4, "off", (0.0543, 3.1457)),
}


@pytest.mark.parametrize("ours, paper, runs, margin, verdict, interval", SEEDS.values(), ids=list(SEEDS))
def test_with_a_spread_between_training_seeds(
    ours: float,
    paper: float,
    runs: tuple[float, ...],
    margin: float | None,
    verdict: str,
    interval: tuple[float, float],
):
    found = judge(cell(SHARE, ours, paper, runs=runs), "gsm8k", HALF, margin)
    assert found.verdict == verdict
    assert found.numbers.interval == pytest.approx(
        interval, abs=1e-3
    )  # the slope is a little below 1 beside 50 percent
    # t(12) at 97.5 % and at 80 %: 2.178813 + 0.872609
    assert found.numbers.smallest == pytest.approx(3.051422 * 0.5 * math.sqrt(1 + 1 / len(runs)) + 0.005, rel=1e-3)
    assert (found.numbers.runs, found.numbers.allowed, found.numbers.n) == (len(runs), margin, 1319)


TEXTS = {
    "match": (
        judge(cell(SHARE, 50.1, 50.0, runs=TWO), "gsm8k", HALF, 1.4),
        "50.10 ±1.4, the paper prints 50.00: +0.10 points, 90 % interval -1.00 to +1.20 within the margin ±1.40; "
        "n 1,319, mean of 2 runs, spread 0.50 between training seeds (12 degrees of freedom)",
    ),
    "off": (
        judge(cell(SHARE, 53.0, 50.0, runs=(0.53,)), "gsm8k", HALF, 1.4),
        "53.00 ±1.4, the paper prints 50.00: +3.00 points, 95 % interval +1.46 to +4.54 leaves out 0; n 1,319, 1 run, "
        "spread 0.50 between training seeds (12 degrees of freedom)",
    ),
    # a seed's part is t(2) * 1.33 * sqrt(2) = 4.302653 * 1.8809 = 8.0928; the items', by Wilson at p = 1/2 of 1,319,
    # 1.96 * sqrt(1 / (4 * (1319 + 1.96^2))) * sqrt(2) = 3.8105 points: together 8.9450, and 0.005. At 60 % they are
    # 1.0607 * 1.8809 and 1.6381, together 2.5814: 11.53 points could have been told.
    "one run": (
        judge(cell(SHARE, 50.0, 50.0), "gsm8k", None, 1.4),
        "50.00 ±1.4, the paper prints 50.00: +0.00 points, 95 % interval -8.95 to +8.95, margin ±1.40, could have told "
        "11.53; n 1,319, 1 run and its spread between training seeds is not known: assumed is 1.33, the widest that "
        "anybody measured",
    ),
    "the same from all seeds": (
        judge(cell(SHARE, 50.0, 50.0, runs=TWO), "gsm8k", None, 1.4),
        "50.00 ±1.4, the paper prints 50.00: +0.00 points, 95 % interval -8.95 to +8.95, margin ±1.40, could have told "
        "11.53; n 1,319, mean of 2 runs that all agree: assumed is 1.33, the widest that anybody measured",
    ),
    "in a unit of which nobody measured a spread": (
        judge(cell(LEVELS, 2.0, 2.5, n=164, stderr=0.1), "followbench", None, 0.3),
        "2.00 ±0.1, the paper prints 2.50: -0.50 levels, margin ±0.30; n 164, 1 run and its spread between training "
        "seeds is not known; take a second seed",
    ),
    "no margin": (
        judge(cell(POINTS, 6.0, 6.0, n=100, stderr=0.25), "difficulty_score", None, None),
        "6.0 ±0, the paper prints 6.0: +0.0 points, 95 % interval -0.8 to +0.8, no margin stands in "
        "manifests/margins.toml, could have told 1.1; n 100, 1 run, noise of its rows",
    ),
}


@pytest.mark.parametrize("found, text", TEXTS.values(), ids=list(TEXTS))
def test_the_reason_of_a_verdict(found: Judged, text: str):
    assert found.detail == text


ONE_RUN = {
    # a tuned model's number: seeds are assumed to spread as widely as anybody measured
    "the paper's own number": (cell(SHARE, 50.0, 50.0), "gsm8k", 1.4, "cannot tell"),
    "far off": (cell(SHARE, 62.0, 50.0), "gsm8k", 1.4, "off"),
    "few items": (cell(SHARE, 60.0, 50.0, n=100), "humaneval", 2.0, "cannot tell"),
    "all right": (cell(SHARE, 100.0, 50.0, n=100), "humaneval", 2.0, "off"),
    "none right, as in the paper": (cell(SHARE, 0.0, 0.0, n=100), "humaneval", 2.0, "cannot tell"),
    "a count": (cell(COUNT, 421.0, 421.0, n=805), "alpacafarm", 53.1, "cannot tell"),
    "a count far off": (cell(COUNT, 600.0, 421.0, n=805), "alpacafarm", 53.1, "off"),
    "over groups": (cell(SUBJECTS, 60.0, 61.0, n=1346, stderr=0.013), "ceval", 0.6, "cannot tell"),
    "over groups, far off": (cell(SUBJECTS, 60.0, 72.0, n=1346, stderr=0.013), "ceval", 0.6, "off"),
    # t(2) * 1.33 * sqrt(2) is 8.09 points, and that of 805 prompts 65
    "as far as seeds may spread": (cell(SHARE, 58.0, 50.0, n=100_000), "gsm8k", 1.4, "cannot tell"),
    "further": (cell(SHARE, 58.2, 50.0, n=100_000), "gsm8k", 1.4, "off"),
    "a wide margin": (cell(SHARE, 50.2, 50.0, n=100_000), "gsm8k", 6.0, "match"),
    "levels": (cell(LEVELS, 2.0, 4.9, n=164, stderr=0.1), "followbench", 0.3, "cannot tell"),
    # rows of an instruction set are drawn each by itself: their noise is all there is
    "scores": (cell(POINTS, 60.0, 60.5, n=50_000, stderr=0.1), "difficulty_score", 5.5, "match"),
    "scores far off": (cell(POINTS, 70.0, 60.5, n=50_000, stderr=0.1), "difficulty_score", 5.5, "off"),
    "scores of few rows": (cell(POINTS, 60.0, 60.5, n=20, stderr=5.0), "difficulty_score", 5.5, "cannot tell"),
    "labels": (cell(COUNT, 30_000.0, 31_000.0, n=51_983), "difficulty_level", 3119.0, "match"),
    # the paper counts over a larger set than there is
    "a count above the units that there are": (cell(COUNT, 50.0, 120.0, n=100), "difficulty_level", 6.0, "off"),
}


@pytest.mark.parametrize("one, benchmark, margin, verdict", ONE_RUN.values(), ids=list(ONE_RUN))
def test_without_a_spread_between_training_seeds(one: Cell, benchmark: str, margin: float, verdict: str):
    assert judge(one, benchmark, None, margin).verdict == verdict


ITEMS = {
    # an item is right or wrong: n is what explains the error, and no more than there are
    "each for itself": (cell(SHARE, 50.0, 50.0, n=100), 100),
    "units of one row go together": (cell(SHARE, 50.0, 50.0, n=100, stderr=0.1), 25),
    "no error": (cell(SHARE, 100.0, 50.0, n=100), 100),
    "a count": (cell(COUNT, 400.0, 400.0, n=800), 800),
    "a count of clusters": (cell(COUNT, 400.0, 400.0, n=800, stderr=800 * 0.05), 100),
}


@pytest.mark.parametrize("one, n", ITEMS.values(), ids=list(ITEMS))
def test_the_noise_of_a_share_is_that_of_independent_items(one: Cell, n: int):
    whole = 100.0 if one.measure.kind == "share" else 800.0
    assert one.value is not None and one.reference is not None
    below, above = noise_of_items(one).widths(0.95)
    wanted = shares_of_own_items(one.value, one.reference, n, whole).widths(0.95)
    assert (below, above) == pytest.approx(wanted)


P = {
    # 2 points of 0.5 * sqrt(1.5), 12 degrees
    "seeds": (cell(SHARE, 52.0, 50.0, runs=TWO), "gsm8k", HALF, 1.995 / (0.5 * math.sqrt(1.5)), 12),
    # 1 point of sqrt(2) * 0.25, 9,999 degrees
    "rows alone": (cell(POINTS, 61.0, 60.0, n=10_000, stderr=0.25), "difficulty_score", None, 0.95 / 0.353553, 9999),
}


@pytest.mark.parametrize("one, benchmark, spread, t, degrees", P.values(), ids=list(P))
def test_the_probability_of_a_number_that_is_off(
    one: Cell, benchmark: str, spread: Spread | None, t: float, degrees: int
):
    from scipy import stats  # opens a second of modules

    found = judge(one, benchmark, spread, 0.1)
    assert found.verdict == "off"
    assert found.p == pytest.approx(2 * stats.t.sf(t, degrees), rel=0.01)


@pytest.mark.parametrize("ours, paper, n", [(62.0, 50.0, 1319), (70.0, 50.0, 541), (60.0, 40.0, 164)])
def test_the_probability_beside_the_widest_spread_is_that_of_the_interval_that_decides(
    ours: float, paper: float, n: int
):
    from scipy import stats

    # 60 and 40 percent of 164 had p = 0.08, so that the table could not tell what the cell called off
    found = judge(cell(SHARE, ours, paper, n=n), "gsm8k", None, 0.1)
    assert found.verdict == "off" and found.p < 0.05
    seeds = stats.t.isf(found.p / 2, 2) * 1.33 * math.sqrt(2)
    items = stats.norm.isf(found.p / 2) * math.sqrt((ours * (100 - ours) + paper * (100 - paper)) / n)
    # limits by Wilson, exact ones below 400 items
    assert math.hypot(seeds, items) == pytest.approx(abs(ours - paper), rel=0.03)


def test_a_number_that_is_not_off_has_no_probability():
    assert judge(cell(SHARE, 50.5, 50.0, runs=TWO), "gsm8k", HALF, 1.4).p == 1.0


def grid(rows: Sequence[tuple[str, Sequence[float]]], name: str = "t") -> Grid:
    """Return a table of one column with the runs of each row; a row's cell is told by its name."""
    column = Column(id="c", name="C", benchmark="gsm8k", measure=SHARE)
    lines = []
    for row, runs in rows:
        one = cell(SHARE, 50.0, 50.0, runs=runs)
        address = dataclasses.replace(one.address, keys=tuple(f"{row}, {number}" for number in range(len(runs))))
        lines.append(Line(at={"base": row}, cells=(dataclasses.replace(one, address=address, runs=tuple(runs)),)))
    table = Table(title="t", paper="p", axes=("base",), rows=tuple(line.at for line in lines), columns=(column,))
    return Grid(name=name, table=table, scale="paper", cast={}, lines=tuple(lines))


def squares(*shares: float) -> float:
    """Return the sum of squares about their mean of shares as angles, arcsin(sqrt(p))."""
    angles = [math.asin(math.sqrt(share)) for share in shares]
    return sum((angle - sum(angles) / len(angles)) ** 2 for angle in angles)


TWO_ROWS = squares(0.5, 0.52)
POOLED = {
    "two rows": ([[("a", (0.5, 0.52)), ("b", (0.4, 0.41, 0.42))]], TWO_ROWS + squares(0.4, 0.41, 0.42), 3),
    "rows of one run have no part": ([[("a", (0.5, 0.52)), ("b", (0.4,))]], TWO_ROWS, 1),
    "two tables that share a cell": ([[("a", (0.5, 0.52))], [("a", (0.5, 0.52))]], TWO_ROWS, 1),
    "two tables": ([[("a", (0.5, 0.52))], [("b", (0.3, 0.32))]], TWO_ROWS + squares(0.3, 0.32), 2),
    "one run each": ([[("a", (0.5,)), ("b", (0.4,))]], 0.0, 0),
    "runs that all agree": ([[("a", (0.5, 0.5)), ("b", (0.4, 0.4))]], 0.0, 0),
}


@pytest.mark.parametrize("tables, total, degrees", POOLED.values(), ids=list(POOLED))
def test_the_spread_between_training_seeds(
    tables: Sequence[Sequence[tuple[str, Sequence[float]]]], total: float, degrees: int
):
    found = seed_spreads([grid(rows) for rows in tables])
    if not degrees:
        assert found == {}
        return
    spread = found["gsm8k", "c"]
    assert (spread.value, spread.degrees) == (pytest.approx(math.sqrt(total / degrees)), degrees)


AT = {
    # the slope of sin(angle)^2 at p is 2 sqrt(p (1 - p))
    "a share of a half": (cell(SHARE, 50.0, 50.0, runs=TWO), 0.5),
    "a tenth": (cell(SHARE, 10.0, 10.0, runs=TWO), 0.3),
    "between ours and the paper's": (cell(SHARE, 15.0, 5.0, runs=TWO), 0.3),
    "a count": (cell(COUNT, 80.0, 80.0, n=800), 2.4),
    "the paper counts more": (cell(COUNT, 100.0, 300.0, n=100), 0.0),
    "a mean, as stored": (cell(POINTS, 60.0, 50.0, stderr=0.1), 0.005),
    "a mean in percent": (cell(SUBJECTS, 60.0, 50.0, stderr=0.01), 0.5),
}


@pytest.mark.parametrize("one, wanted", AT.values(), ids=list(AT))
def test_a_spread_in_the_unit_of_a_number(one: Cell, wanted: float):
    found = spread_of(one, HALF)
    assert (found.value, found.degrees) == (pytest.approx(wanted), 12)


def test_two_runs_of_one_truth_are_off_in_one_of_twenty():
    # training seeds spread by 0.8 points, two seeds in twelve cells of ours, one run of the paper's
    draws = random.Random(20)
    verdicts = []
    for _ in range(60):
        seeds = [[draws.gauss(0.5, 0.008) for _ in range(2)] for _ in range(12)]
        spread = seed_spreads([grid([(str(number), runs) for number, runs in enumerate(seeds)])])["gsm8k", "c"]
        for runs in seeds:
            paper = draws.gauss(0.5, 0.008)
            verdicts.append(judge(cell(SHARE, 50 * sum(runs), 100 * paper, runs=runs), "gsm8k", spread, 1.4).verdict)
    off = verdicts.count("off") / len(verdicts)
    # 720 cells, twelve to a spread: 0.05 + 1.645 * sqrt(0.05 * 0.95 / 720) is 0.063
    assert 0.02 < off < 0.063
    assert verdicts.count("match") / len(verdicts) < 0.05  # t * 0.8 * sqrt(1.5) is wider than the margin
