"""kit/scoring/batches.py: which rows go through the model together, and where their tokens lie."""

import random

import pytest
import torch

from kit.scoring.batches import Batch, TokenRow, lay_out, plan

PACKED = True
CASES = {
    "nothing": ([], 10, 100, []),
    "end to end within the budget": ([3, 5, 4], 9, 100, [((1, 2), PACKED), ((0,), PACKED)]),
    "rows of one length in their order": ([4, 4, 4], 8, 100, [((0, 1), PACKED), ((2,), PACKED)]),
    "a row longer than the budget goes alone": ([2, 50, 3], 8, 100, [((1,), PACKED), ((2, 0), PACKED)]),
    "a row longer than what may be packed is filled up": ([2, 50, 3], 8, 49, [((1,), False), ((2, 0), PACKED)]),
    "filling counts": ([6, 5, 1, 1], 12, None, [((0, 1), False), ((2, 3), False)]),
    "none may be packed": ([3, 5], 9, None, [((1,), False), ((0,), False)]),
}


@pytest.mark.parametrize(("lengths", "budget", "longest", "wanted"), CASES.values(), ids=list(CASES))
def test_plan(lengths, budget, longest, wanted):
    assert plan(lengths, budget, longest) == [Batch(rows=rows, packed=packed) for rows, packed in wanted]


@pytest.mark.parametrize("longest", [None, 40, 1000])
def test_each_row_is_in_one_batch_and_the_budget_is_kept(longest):
    rng = random.Random(3)
    lengths = [rng.randint(2, 90) for _ in range(300)]
    batches = plan(lengths, 128, longest)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(300))
    for batch in batches:
        of_batch = [lengths[row] for row in batch.rows]
        assert of_batch == sorted(of_batch, reverse=True)
        assert (sum(of_batch) if batch.packed else len(of_batch) * of_batch[0]) <= 128
        assert batch.packed == (longest is not None and of_batch[0] <= longest)


ROWS = [TokenRow(ids=[5, 6, 7]), TokenRow(ids=[8, 9, 10, 11], first=2)]


def test_rows_end_to_end():
    layout = lay_out(ROWS, packed=True, device=torch.device("cpu"))
    assert layout.inputs["input_ids"].tolist() == [[5, 6, 7, 8, 9, 10, 11]]
    assert layout.inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3]]
    assert layout.inputs["example_lengths"] == [3, 4]
    assert layout.inputs["example_ends"].tolist() == [0, 3, 7]
    assert layout.inputs["example_ends"].dtype is torch.int32
    assert (layout.places.tolist(), layout.targets.tolist()) == ([0, 1, 4, 5], [6, 7, 10, 11])


def test_rows_filled_up():
    layout = lay_out(ROWS, packed=False, device=torch.device("cpu"))
    assert {name: tensor.tolist() for name, tensor in layout.inputs.items()} == {
        "input_ids": [[5, 6, 7, 0], [8, 9, 10, 11]]
    }
    assert (layout.places.tolist(), layout.targets.tolist()) == ([0, 1, 5, 6], [6, 7, 10, 11])
