"""Cells of two gradings: numbers, errors and p values worked out by hand, items that are left out, Holm over all."""

from collections.abc import Mapping
from typing import Any

import pytest

from kit.differences.cells import Comparison, LeftOut, adjusted, compare
from kit.differences.items import Items, read_items
from kit.errors import RequestError
from kit.measures import Measure

SHARE, MEAN, COUNT = Measure(title="m"), Measure(title="m", unit="", kind="mean"), Measure(unit="items", kind="count")
GROUPS = Measure(title="m", kind="mean over groups")


def items(scores: Mapping[str, Any], metric: str = "m") -> Items:
    """Return items with one score each."""
    return read_items((f"f:{id}", {"id": id, "scores": {metric: score}}) for id, score in scores.items())


def row(right: str) -> Items:
    """Return items that are right, ``1``, or wrong, ``0``, with ids 0, 1, 2, ..."""
    return items({str(n): [int(one), 1] for n, one in enumerate(right)})


CELLS: dict[str, tuple[Items, Items, Measure, dict[str, Any]]] = {
    # five turned one way: 2 / 2^5; d = 5 of -1 and 3 of 0, mean -5/8, sum (d - mean)^2 = 15/8, / (7 * 8), root
    "five turned wrong": (
        row("11111000"),
        row("00000000"),
        SHARE,
        {"before": 0.625, "after": 0.0, "p": 0.0625, "stderr": (15 / 8 / 56) ** 0.5, "fallen": tuple("01234")},
    ),
    # one against three of four: 2 * (4 + 1) / 16
    "one against three": (
        row("1000111"),
        row("0111111"),
        SHARE,
        {"p": 0.625, "risen": ("1", "2", "3"), "fallen": ("0",), "test": "exact McNemar"},
    ),
    "nothing turned": (row("1010"), row("1010"), SHARE, {"p": 1.0, "stderr": 0.0, "risen": (), "fallen": ()}),
    # by rows +1, +1, -1 of 3, 2 and 1 units: of the 8 ways to set the signs all reach |1|
    "units of one row are one difference": (
        items({"a": [1, 3], "b": [0, 2], "c": [1, 1]}),
        items({"a": [2, 3], "b": [1, 2], "c": [0, 1]}),
        SHARE,
        {"before": 2 / 6, "after": 3 / 6, "p": 1.0, "units": 6, "items": 3, "test": "sign permutation"},
    ),
    # 2, 2, 2 in three rows: 2 of the 8 ways reach 6
    "all rows rise": (
        items({"a": [0, 2], "b": [0, 2], "c": [0, 2]}),
        items({"a": [2, 2], "b": [2, 2], "c": [2, 2]}),
        SHARE,
        {"before": 0.0, "after": 1.0, "p": 0.25, "stderr": 0.0},
    ),
    # row sums of d - mean, mean 1/2: 2 units of +1 give 1, 2 of 0 give -1; sqrt(2/1 * 2) / 4
    "the error is clustered by rows": (
        items({"a": [0, 2], "b": [1, 2]}),
        items({"a": [2, 2], "b": [1, 2]}),
        SHARE,
        {"stderr": 0.5, "p": 1.0},
    ),
    # +0.5, +0.25, +1: 2 of 8 ways reach 1.75
    "a mean": (
        items({"a": 0.5, "b": 0.25, "c": 0.0}),
        items({"a": 1.0, "b": 0.5, "c": 1.0}),
        MEAN,
        {"before": 0.25, "after": 2.5 / 3, "p": 0.25, "risen": ("a", "b", "c")},
    ),
    # the mean's error is 1/2 of a unit; of two units that is one item
    "a count": (row("01"), row("11"), COUNT, {"before": 1.0, "after": 2.0, "stderr": 1.0, "p": 1.0}),
    "a mean over groups is the gradings' own": (row("01"), row("11"), GROUPS, {"before": 0.3, "after": 0.4}),
    "but not over a part of the items": (row("01"), row("110"), GROUPS, {"before": 0.5, "after": 1.0}),
    "one item has no error": (row("0"), row("1"), SHARE, {"stderr": None, "p": 1.0}),
}  # fmt: skip


@pytest.mark.parametrize("before, after, measure, wanted", CELLS.values(), ids=list(CELLS))
def test_cells(before: Items, after: Items, measure: Measure, wanted: dict[str, Any]):
    (cell,) = compare("grade/x", before, after, {"m": measure}, {"m": (0.3, 0.4)}).cells
    found = {name: getattr(cell, name) for name in wanted}
    assert found == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in wanted.items()
    }


def test_items_that_are_left_out():
    before = items({"both": [1, 1], "units": [1, 2], "mine": [0, 1], "judged": [0, 0]})
    after = items({"both": [0, 1], "units": [1, 1], "other": [0, 1], "third": [1, 1], "judged": [1, 1]})
    before.add("both twice", before.by_id["both"])
    before.add("both twice", before.by_id["both"])
    found = compare("grade/x", before, after, {}, {})
    assert found.left_out == LeftOut(only_before=1, only_after=2, repeated_before=1, unlike=2)
    assert found.left_out.parts() == [
        "1 only in A",
        "2 only in B",
        "1 more than once in A",
        "2 judged by other metrics or units",
    ]
    assert [(cell.items, cell.fallen) for cell in found.cells] == [(1, ("both",))]


def test_nothing_in_common():
    assert compare("grade/x", items({"a": 1}), items({"b": 1}), {}, {}) == Comparison(
        left_out=LeftOut(only_before=1, only_after=1)
    )


def test_metrics_that_the_kit_does_not_know():
    whole = compare("x", items({"a": [1, 1]}), items({"a": [0, 1]}), {}, {}).cells[0].measure
    parts = compare("x", items({"a": 0.5}), items({"a": 0.25}), {}, {}).cells[0].measure
    known = compare("x", items({"a": 0.5}), items({"a": 0.25}), {"m": SHARE}, {}).cells[0].measure
    assert (whole.kind, parts.kind, known.kind) == ("share", "mean", "mean")


def test_holm_is_over_the_cells_of_all_gradings():
    # p = 2/2^6, 1 and 2/2^7; Holm: 3 * 1/64, then 2 * 1/32, then 1
    rows = [(row("111111"), row("000000")), (row("10"), row("10")), (row("0000000"), row("1111111"))]
    found = adjusted([compare(f"grade/{n}", *pair, {"m": SHARE}, {}) for n, pair in enumerate(rows)])
    assert [cell.adjusted for one in found for cell in one.cells] == pytest.approx([2 / 32, 1.0, 3 / 64])
    assert [cell.beyond_noise for one in found for cell in one.cells] == [False, False, True]
    assert adjusted([]) == []


BAD_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "no scores": (
        {"id": "0", "text": "x"},
        "f:1: wanted 'id' and 'scores', as `kit grade --out` writes them; found id (str), text",
    ),
    "an id that is a number": (
        {"id": 0, "scores": {}},
        "f:1: wanted 'id' and 'scores', as `kit grade --out` writes them; found id (int), scores (dict)",
    ),
    "a score that is a text": (
        {"id": "0", "scores": {"gsm8k": "1"}},
        "f:1: scores: 'gsm8k': found '1', wanted [units right, units judged], or a number",
    ),
    "a score beyond all numbers": (
        {"id": "0", "scores": {"gsm8k": 10**400}},
        "f:1: scores: 'gsm8k': found a whole number of about 401 digits, wanted [units right, units judged], or a "
        "number",
    ),
    "units that are no whole number": (
        {"id": "0", "scores": {"gsm8k": [1, 0.5]}},
        "f:1: scores: 'gsm8k': found [1, 0.5], wanted [units right, units judged], or a number",
    ),
    "more units than a row has": (
        {"id": "0", "scores": {"gsm8k": [1, 10**9]}},
        "f:1: scores: 'gsm8k': found [1, 1000000000], wanted [units right, units judged], or a number",
    ),
}


@pytest.mark.parametrize("bad, message", BAD_ROWS.values(), ids=list(BAD_ROWS))
def test_rows_that_are_no_grades(bad: dict[str, Any], message: str):
    with pytest.raises(RequestError) as error:
        read_items([("f:1", bad)])
    assert str(error.value) == message
