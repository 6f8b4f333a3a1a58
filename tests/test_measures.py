"""Numbers of each kind with their standard errors, worked out by hand; the order of the rows moves no digit."""

import itertools
import math

import pytest

from kit.benchmarks._results import check_curves, results
from kit.measures import CurveMeasure, Measure
from kit.measures.estimates import ESTIMATES, Estimate, Item, cluster_stderr
from kit.records import Curve, Grade

SHARES = {
    # p = 3/5; 2 - 1.2, 0 - 0.6, 1 - 1.2: squares 0.64 + 0.36 + 0.04
    "2 of 2, 0 of 1, 1 of 2": ([(2, 2), (0, 1), (1, 2)], math.sqrt(1.04) / 5),
    # two units that stand and fall together are worth one: sqrt(0.5 * 0.5 / 2), and not / 4
    "pairs alike": ([(2, 2), (0, 2)], math.sqrt(0.125)),
    # each item half right: the items agree
    "pairs unlike": ([(1, 2), (1, 2)], 0.0),
    "all wrong": ([(0, 3), (0, 1)], 0.0),
    "all right": ([(3, 3), (1, 1)], 0.0),
}


@pytest.mark.parametrize("items, stderr", SHARES.values(), ids=list(SHARES))
def test_units_of_one_item_are_not_independent(items: list[tuple[int, int]], stderr: float):
    # IFEval's 834 instructions counted as 834 independent units; they stand in 541 prompts
    (found,) = {cluster_stderr(order) for order in itertools.permutations(items)}
    assert found == pytest.approx(stderr)


@pytest.mark.parametrize("n", [1, 2, 12, 164, 1319])
def test_one_unit_an_item_is_binomial(n: int):
    for right in {0, 1, n // 3, n // 2, n - 1, n}:
        items = [(1, 1)] * right + [(0, 1)] * (n - right)
        p = right / n
        assert cluster_stderr(items) == pytest.approx(math.sqrt(p * (1 - p) / n), rel=1e-12, abs=0)


ANY = (None, None)
TWO_SUBJECTS = [("law", 1), ("law", 1), ("law", 0), ("law", 0), ("art", 1), ("art", 1)]
"""Two of four right in one subject, two of two in the other."""
ESTIMATED = {
    # pooled: 4 of 6 right; sqrt(2/3 * 1/3 / 6)
    "share": ("share", TWO_SUBJECTS, ANY, (2 / 3, math.sqrt(1 / 27), 6, None, None)),
    # (1/2 + 1) / 2: four items of p = 1/2 have a variance of 1/4 * 4/3 / 4 = 1/12, two that agree have none;
    # sqrt(1/12) / 2. One item of the smaller subject moves its share by 1/2, and the mean by 1/4
    "mean over groups": ("mean over groups", TWO_SUBJECTS, (0.0, 1.0), (0.75, math.sqrt(1 / 48), 6, 2, 0.25)),
    # the lone item of art: the variance of all five about 3/5 stands in, 5/4 * (3 * 0.16 + 2 * 0.36) / 5 = 0.3;
    # law as above 1/12; (1/2 + 1) / 2
    "a group of one": (
        "mean over groups",
        TWO_SUBJECTS[:5],
        (0.0, 1.0),
        (0.75, math.sqrt(1 / 12 + 0.3) / 2, 5, 2, 0.5),
    ),
    # 2, 4, 9: mean 5, squares 9 + 1 + 16 = 26; sqrt(26 / (2 * 3)); a row moves it by (9 - 2) / 3 at most
    "mean": ("mean", [("", 2.0), ("", 4.0), ("", 9.0)], ANY, (5.0, math.sqrt(26 / 6), 3, None, 7 / 3)),
    # the same, of a judge that gives 0 to 10
    "mean within bounds": (
        "mean",
        [("", 2.0), ("", 4.0), ("", 9.0)],
        (0.0, 10.0),
        (5.0, math.sqrt(26 / 6), 3, None, 10 / 3),
    ),
    "mean of one": ("mean", [("", -3.5)], ANY, (-3.5, 0.0, 1, None, 0.0)),
    # 6 * sqrt(1/27)
    "count": ("count", TWO_SUBJECTS, ANY, (4.0, 6 * math.sqrt(1 / 27), 6, None, 1.0)),
}


@pytest.mark.parametrize("kind, rows, bounds, wanted", ESTIMATED.values(), ids=list(ESTIMATED))
def test_estimates(kind: str, rows: list[tuple[str, float]], bounds: tuple[float, float], wanted: tuple[float, ...]):
    items = [Item(total=score, units=1, group=group) for group, score in rows]
    found: set[Estimate] = {ESTIMATES[kind](order, bounds) for order in itertools.permutations(items)}
    (one,) = found
    assert (one.value, one.stderr, one.n, one.groups, one.step) == pytest.approx(wanted)


def test_a_row_of_several_units_is_one_row():
    # turns of one chat: (6 + 8) / 2 and 4; mean 5.5, squares 2.25 + 2.25, sqrt(4.5 / 2)
    mean = ESTIMATES["mean"]([Item(total=14.0, units=2), Item(total=4.0, units=1)], ANY)
    assert (mean.value, mean.stderr, mean.n) == pytest.approx((5.5, 1.5, 2))
    # a group with rows of 2 of 2 and 0 of 1: p = 2/3, squares (2/3)^2 + (2/3)^2, times 2, over 3^2; and one of 1 of 1
    # whose spread is that of all three rows: p = 3/4, squares 1/4 + 9/16 + 1/16 = 7/8, times 3/2, over 3 rows
    items = [Item(total=2, units=2, group="a"), Item(total=0, units=1, group="a"), Item(total=1, units=1, group="b")]
    groups = ESTIMATES["mean over groups"](items, (0.0, 1.0))
    assert (groups.value, groups.n, groups.groups) == (pytest.approx(5 / 6), 4, 2)
    assert groups.stderr == pytest.approx(math.sqrt(16 / 81 + 7 / 16) / 2)


def test_a_part_of_a_unit_is_no_share():
    with pytest.raises(ValueError, match=r"^a share counts whole units, found 0.5 right; a mean takes parts$"):
        ESTIMATES["share"]([Item(total=0.5, units=1)], (0.0, 1.0))


MEASURES = {
    "share": Measure(title="Right"),
    "by_subject": Measure(title="By subject", kind="mean over groups"),
    "points": Measure(title="Points", unit="points", kind="mean", counts="rows", lowest=0, highest=10),
    "kept": Measure(title="Kept", unit="items", kind="count", digits=0),
}
GRADES = [
    Grade(id="a", scores={"share": [1, 1], "by_subject": [1, 1], "points": [7.5, 1], "kept": [1, 1]}),
    Grade(id="b", scores={"share": [0, 1], "by_subject": [0, 1], "points": [2.5, 1], "kept": [0, 1]}, reason="cut"),
    Grade(id="c", scores={"share": [1, 1], "by_subject": [1, 1], "points": [5.0, 1], "kept": [1, 1]}),
]
SUBJECTS = {"a": "law", "b": "law", "c": "art"}


def test_results_of_every_kind():
    found = {result.metric: result for result in results(GRADES, MEASURES, SUBJECTS)}
    assert [found[name].value for name in MEASURES] == pytest.approx([2 / 3, 3 / 4, 5.0, 2.0])
    assert [found[name].unit for name in MEASURES] == ["items", "items", "rows", "items"]
    assert [found[name].failures for name in MEASURES] == [{"cut": 1}] * 4
    # squares 6.25 + 6.25: sqrt(12.5 / (2 * 3))
    assert found["points"].stderr == pytest.approx(math.sqrt(12.5 / 6))
    assert all(found[name].is_sound(measure) for name, measure in MEASURES.items())
    shared = {"failures", "metric", "n", "stderr", "unit", "value"}  # the fields of every result that there is
    more = {"by_subject": {"groups", "step"}, "points": {"step"}, "kept": {"step"}}
    assert {name: set(found[name].to_json()) - shared for name in MEASURES if name != "share"} == more
    assert set(found["share"].to_json()) == shared


def test_a_mean_over_groups_wants_a_group_of_every_problem():
    with pytest.raises(ValueError, match=r"^by_subject is a mean over groups, and problem c has no group$"):
        results(GRADES, MEASURES, {"a": "law", "b": "law"})


UNSOUND = {
    "a share above one": (MEASURES["share"], {"value": 1.5}),
    "points beyond the bounds": (MEASURES["points"], {"value": 10.5}),
    "no number": (MEASURES["points"], {"value": float("nan")}),
    "an endless error": (MEASURES["points"], {"stderr": float("inf")}),
    "an error below zero": (MEASURES["points"], {"stderr": -1.0}),
    "a text as step": (MEASURES["points"], {"step": "1"}),
    "fewer than no items": (MEASURES["kept"], {"value": -1.0}),
    "no row": (MEASURES["points"], {"n": 0}),
}


@pytest.mark.parametrize("measure, change", UNSOUND.values(), ids=list(UNSOUND))
def test_what_no_grading_writes(measure: Measure, change: dict[str, object]):
    from kit.records import Result

    fields = {"metric": "m", "value": 0.5, "stderr": 0.1, "n": 3, "unit": "rows", "step": 1.0}
    assert Result.from_json(fields).is_sound(measure)
    assert not Result.from_json({**fields, **change}).is_sound(measure)


def test_units_and_digits():
    share, points, kept = (MEASURES[name] for name in ("share", "points", "kept"))
    assert [share.text(share.in_unit(0.125)), share.short_text(12.5), share.symbol] == ["12.50", "12.5", "%"]
    assert [points.text(points.in_unit(6.125)), points.signed_text(-0.5), points.symbol] == ["6.12", "-0.50", "points"]
    assert [kept.text(12.0), kept.short_text(3.4), kept.rounding] == ["12", "3", 0.5]
    assert (share.heading, share.difference_unit, kept.difference_unit) == ("Right, percent", "points", "items")


CURVES = {"lengths": CurveMeasure(title="Lengths")}
WRONG_CURVES = {
    "no such curve": ([Curve(curve="length", x=(1.0,), y=(2.0,))], "no curve named 'length' in CURVES; known: lengths"),
    "too few y": (
        [Curve(curve="lengths", x=(1.0, 2.0), y=(2.0,))],
        "lengths, group '': Curve: found 2 x and 1 y, wanted one y for each x, and at least one",
    ),
    "no number": (
        [Curve(curve="lengths", group="g", x=(1.0,), y=(float("nan"),))],
        "lengths, group 'g': Curve: 'y': wanted a list of finite numbers",
    ),
    "twice": ([Curve(curve="lengths", x=(1.0,), y=(2.0,))] * 2, "lengths: the group '' stands twice"),
}


@pytest.mark.parametrize("curves, message", WRONG_CURVES.values(), ids=list(WRONG_CURVES))
def test_curves_that_no_plug_in_may_give(curves: list[Curve], message: str):
    with pytest.raises(ValueError) as error:
        check_curves(curves, CURVES)
    assert str(error.value) == message
