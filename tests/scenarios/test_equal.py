"""Draws of equal size depend on the seed and the rows of the sides, and on nothing else."""

import random
from collections.abc import Sequence

import pytest

from kit.engines import request_seed
from kit.records import Instruction
from kit.scenarios._equal import equal_draw


def rows(*numbers: int) -> list[Instruction]:
    return [Instruction(id=f"s/{number}", instruction=f"Task {number}.") for number in numbers]


def numbers(drawn: Sequence[Instruction]) -> list[int]:
    return [int(row.id.removeprefix("s/")) for row in drawn]


SIDES = {
    "equal": ([[1, 2], [3, 4]], [2, 2]),
    "first larger": ([range(9), [3, 30, 31]], [3, 3]),
    "last larger": ([[5], range(9)], [1, 1]),
    "three": ([range(9), range(4), range(20)], [4, 4, 4]),
    "one": ([range(9)], [9]),
    "one is empty": ([range(9), []], [0, 0]),
}


@pytest.mark.parametrize("sides, sizes", SIDES.values(), ids=list(SIDES))
def test_each_side_gets_as_many_as_the_smallest_has(sides: list[Sequence[int]], sizes: list[int]):
    found = [equal_draw([rows(*side) for side in sides], place, 42) for place in range(len(sides))]
    assert [len(drawn) for drawn in found] == sizes
    for side, drawn in zip(sides, found, strict=True):
        assert len(set(numbers(drawn))) == len(drawn)  # without replacement
        assert numbers(drawn) == [number for number in side if number in numbers(drawn)]  # in their order
        if len(drawn) == len(side):
            assert numbers(drawn) == list(side)


def test_a_draw_by_hand():
    # a row's place is 31 bits of sha256("42/equal_draw/<id>"), and those with the smallest are drawn
    by_place = sorted(range(9), key=lambda number: request_seed(42, "equal_draw", f"s/{number}"))
    drawn = numbers(equal_draw([rows(*range(9)), rows(1, 2, 3)], 0, 42))
    assert drawn == sorted(by_place[:3])
    assert drawn == [0, 3, 6]


def test_a_draw_depends_on_the_seed_and_the_sets_alone():
    large, small = rows(*range(50)), rows(*range(100, 120))
    wanted = numbers(equal_draw([large, small], 0, 7))
    assert numbers(equal_draw([small, large], 1, 7)) == wanted  # the order of the evolvers
    random.seed(3)  # no state of the process
    assert numbers(equal_draw([large, small], 0, 7)) == wanted
    assert sorted(numbers(equal_draw([large[::-1], small], 0, 7))) == wanted  # the order of the rows
    assert numbers(equal_draw([large, rows(*range(20))], 0, 7)) == wanted  # which rows the other side has
    assert numbers(equal_draw([large, small], 0, 8)) != wanted
    longer = numbers(equal_draw([large, rows(*range(30))], 0, 7))
    assert set(wanted) < set(longer)


def test_every_row_is_drawn_as_often_as_every_other():
    # 200 seeds, 3 of 9 rows: each is expected 67 times; 4 standard deviations (6.7) around it
    counts = dict.fromkeys(range(9), 0)
    for seed in range(200):
        for number in numbers(equal_draw([rows(*range(9)), rows(1, 2, 3)], 0, seed)):
            counts[number] += 1
    assert all(40 <= count <= 93 for count in counts.values()), counts


def test_rows_of_one_place_are_drawn_by_their_ids():
    # a place has 31 bits, so that two of many rows share one; the row that stood first was drawn
    seen = dict[int, int]()
    pair = next(
        (seen[place], number)
        for number in range(1_000_000)
        if seen.setdefault(place := request_seed(42, "equal_draw", f"s/{number}"), number) != number
    )
    drawn = [equal_draw([rows(*order), rows(1)], 0, 42) for order in (pair, pair[::-1])]
    assert drawn[0] == drawn[1]
