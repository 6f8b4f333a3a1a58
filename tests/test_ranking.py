"""Selections of rows: how many a fraction keeps, which of equal scores, rows without a score, random draws."""

from collections.abc import Sequence
from typing import Literal

import pytest

from kit.measures.ranking import by_group, kept_count, kept_rows, random_rows

COUNTS = {
    "a whole number": (0.25, 8, 2),
    "down": (0.25, 9, 2),
    "up": (0.25, 51_983, 12_996),  # 12,995.75
    "a half goes up": (0.5, 5, 3),
    # floats have 14.499999999999998, and kept 14
    "a half that floats have below": (0.145, 100, 15),
    "one at least": (0.05, 3, 1),
    "all": (1.0, 7, 7),
    "of nothing": (0.25, 0, 0),
    "original Alpaca": (0.15, 52_002, 7_800),
}


@pytest.mark.parametrize(("fraction", "rows", "count"), COUNTS.values(), ids=list(COUNTS))
def test_how_many_rows_a_fraction_keeps(fraction: float, rows: int, count: int):
    assert kept_count(fraction, rows) == count


Keeps = Literal["highest", "lowest"]
KEPT: dict[str, tuple[Sequence[float | None], int, Keeps, list[int]]] = {
    "highest": ([0.1, 0.9, 0.5, 0.7], 2, "highest", [1, 3]),
    "lowest": ([0.1, 0.9, 0.5, 0.7], 2, "lowest", [0, 2]),
    "equal scores in the order of the set": ([1.0, 2.0, 2.0, 2.0], 2, "highest", [1, 2]),
    "equal and lowest": ([1.0, 0.0, 0.0, 0.0], 2, "lowest", [1, 2]),
    "without a score last, where high is kept": ([None, -5.0, None, 1.0], 2, "highest", [1, 3]),
    "without a score last, where low is kept": ([None, 5.0, None, 1.0], 2, "lowest", [1, 3]),
    "more than have a score": ([None, 5.0, None], 2, "lowest", [0, 1]),
    "more than there are": ([2.0, 1.0], 9, "highest", [0, 1]),
    "none": ([2.0, 1.0], 0, "highest", []),
}


@pytest.mark.parametrize(("values", "count", "keeps", "kept"), KEPT.values(), ids=list(KEPT))
def test_which_rows_are_kept(values: Sequence[float | None], count: int, keeps: Keeps, kept: list[int]):
    assert kept_rows(values, count, keeps) == kept


def test_a_draw_is_the_seeds():
    drawn = random_rows(1000, 100, 42)
    assert drawn == random_rows(1000, 100, 42) == sorted(set(drawn))
    assert (len(drawn), drawn[0] >= 0, drawn[-1] < 1000) == (100, True, True)
    assert drawn != random_rows(1000, 100, 43)
    assert random_rows(3, 9, 1) == [0, 1, 2]


def test_groups_in_the_order_in_which_they_begin():
    assert by_group(["b", "a", "b", "c"]) == {"b": [0, 2], "a": [1], "c": [3]}
    assert list(by_group(["b", "a"])) == ["b", "a"]
