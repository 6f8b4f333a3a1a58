"""Stage ``compare``: items that turned between two runs, and how far each kind of number moves by that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from kit.errors import KitError
from kit.measures import Kind, Measure
from kit.records import Completion, Grade, Turned, read_rows, write_rows
from kit.stages import Context, compare
from kit.stages.answer import batch_order

NO_CONTEXT = cast(Context, None)
Pairs = Sequence[tuple[tuple[float, int], tuple[float, int]]]
KINDS: dict[str, tuple[Kind, Pairs, tuple[int, int, int, int], float]] = {
    # right or wrong: rms^2 is d, here 3 of 5
    "a share of items": (
        "share",
        [((1, 1), (1, 1)), ((1, 1), (0, 1)), ((0, 1), (1, 1)), ((0, 1), (0, 1)), ((1, 1), (0, 1))],
        (5, 3, 1, 2),
        (3 / 5) ** 0.5,
    ),
    # instructions: 6 units in 3 prompts, 2 on average; one prompt loses 2, one wins 1: ((2/2)^2 + (1/2)^2) / 3
    "a share of units": (
        "share",
        [((3, 3), (1, 3)), ((0, 2), (1, 2)), ((1, 1), (1, 1))],
        (3, 2, 1, 1),
        (1.25 / 3) ** 0.5,
    ),
    # the mean of the row's units: 0.5 to 0.75, and 1 to 1: (0.25^2 + 0) / 2
    "a mean": ("mean", [((1.0, 2), (1.5, 2)), ((2.0, 2), (2.0, 2))], (2, 1, 1, 0), (0.0625 / 2) ** 0.5),
    "a mean over groups": ("mean over groups", [((1, 1), (0, 1)), ((1, 1), (1, 1))], (2, 1, 0, 1), 0.5**0.5),
    # a count of wins: two wins more of four
    "a count": (
        "count",
        [((0, 1), (1, 1)), ((0, 1), (1, 1)), ((0, 1), (0, 1)), ((1, 1), (1, 1))],
        (4, 2, 2, 0),
        0.5**0.5,
    ),
    # an unreadable verdict: the item is judged in one run alone
    "judged once": ("share", [((1, 1), (0, 0)), ((1, 1), (1, 1))], (2, 1, 0, 1), 0.5**0.5),
    "nothing": ("share", [((1, 1), (1, 1))], (1, 0, 0, 0), 0.0),
}


@pytest.mark.parametrize(("kind", "items", "counts", "rms"), KINDS.values(), ids=list(KINDS))
def test_what_turned(kind: Kind, items: Pairs, counts: tuple[int, int, int, int], rms: float):
    found = compare.turned("m", Measure(kind=kind), items)
    assert (found.n, found.turned, found.gained, found.lost) == counts
    assert found.rms == pytest.approx(rms, abs=1e-12)
    assert found.is_sound()


def run(folder: Path, **changes: list[Any]) -> tuple[list[Turned], Any]:
    """Write the files of two runs over three problems, with changes, and compare them."""
    runs: dict[str, list[Any]] = {}
    for which, texts, right in (("", ["4", "5", "6"], (1, 1, 0)), ("_again", ["4", "5!", "7"], (1, 0, 0))):
        runs[f"completions{which}"] = [Completion(id=str(n), text=text) for n, text in enumerate(texts)]
        runs[f"grades{which}"] = [Grade(id=str(n), scores={"gsm8k": [one, 1]}) for n, one in enumerate(right)]
    for role, rows in (runs | changes).items():
        (folder / role).mkdir()
        write_rows(folder / role / f"{role.partition('_')[0]}.jsonl", rows)
    (folder / "out").mkdir()
    summary = compare.run({"benchmark": "gsm8k"}, {role: folder / role for role in runs}, folder / "out", NO_CONTEXT)
    return read_rows(folder / "out" / compare.TURNED, Turned), summary


def test_two_runs_are_compared(tmp_path: Path):
    rows, summary = run(tmp_path)
    assert rows == [
        Turned(metric="texts", n=3, turned=2),
        Turned(metric="gsm8k", n=3, turned=1, lost=1, rms=(1 / 3) ** 0.5),
    ]
    assert (summary.rows, summary.facts) == (2, {"turned_ids": {"texts": ["1", "2"], "gsm8k": ["1"]}})


def test_runs_over_other_problems_are_refused(tmp_path: Path):
    other = [Completion(id=str(n), text="4") for n in (0, 2, 1)]
    with pytest.raises(KitError) as caught:
        run(tmp_path, completions_again=other)
    assert str(caught.value) == "gsm8k: the two runs did not answer the same problems in one order"


@pytest.mark.parametrize(("count", "order"), [(1, 1), (2, 1), (2, 2), (2, 3), (9, 1), (200, 7)])
def test_an_order_is_another_one(count: int, order: int):
    own = list(range(count))
    assert batch_order(count, None) == own
    found = batch_order(count, order)
    assert sorted(found) == own
    assert found == batch_order(count, order)
    assert (found == own) == (count < 2)
