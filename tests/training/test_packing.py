"""The plan of steps and the layout of micro-batches."""

import random
from pathlib import Path

import pytest
import torch

from kit.models.attention import VARLEN
from kit.training.examples import Example
from kit.training.packing import collate, deal, draw_steps, pack, plan
from kit.training.weights import attention_for

LENGTHS = [5, 9, 2, 7, 3, 3, 8, 1, 4, 6]


def example(length: int, prompt: int = 1) -> Example:
    return Example(id=f"x/{length}", tokens=tuple(range(10, 10 + length)), prompt_tokens=prompt)


def test_every_epoch_has_each_row_once_and_the_last_batch_what_is_left() -> None:
    steps = draw_steps(10, epochs=3, global_batch_size=4, rng=random.Random(1))
    assert [len(rows) for rows in steps] == [4, 4, 2] * 3
    epochs = [sum(steps[start : start + 3], ()) for start in (0, 3, 6)]
    assert [sorted(rows) for rows in epochs] == [list(range(10))] * 3
    assert len(set(epochs)) == 3


def test_chunks_are_dealt_to_the_ranks_in_turn() -> None:
    assert deal([9, 8, 7, 6, 5], 2, 2) == [[(9, 8), (5,)], [(7, 6)]]


def test_a_packed_micro_batch_stays_within_its_budget() -> None:
    (mine,) = pack(range(10), LENGTHS, 1, 12)
    assert sorted(row for bin_ in mine for row in bin_) == list(range(10))
    assert [sum(LENGTHS[row] for row in bin_) for bin_ in mine] == [12, 12, 12, 12]


def test_an_example_over_the_budget_has_a_micro_batch_of_its_own() -> None:
    assert pack([0, 1, 2], [3, 50, 4], 1, 10) == [[(1,), (2, 0)]]


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("budget", [None, 12])
def test_the_steps_do_not_depend_on_the_ranks(world: int, budget: int | None) -> None:
    examples = [example(length) for length in LENGTHS if length > 1]
    steps = plan(
        examples,
        epochs=1,
        global_batch_size=4,
        world=world,
        rng=random.Random(3),
        batch_size=1,
        budget=budget,
    )
    assert [step.rows for step in steps] == draw_steps(9, epochs=1, global_batch_size=4, rng=random.Random(3))
    for step in steps:
        assert len(step.micro_batches) == world
        # Under FSDP a rank with fewer micro-batches than the others left them waiting for ever.
        assert len({len(mine) for mine in step.micro_batches}) == 1
        assert sorted(row for mine in step.micro_batches for bin_ in mine for row in bin_) == sorted(step.rows)
        assert step.response_tokens == step.tokens - len(step.rows)


def test_packed_rows_restart_positions_and_ask_for_the_responses_logits() -> None:
    batch = collate([example(4, 2), example(3, 1)], kernel=VARLEN, filler=example(2), device="cpu")
    assert batch.inputs["input_ids"].tolist() == [[10, 11, 12, 13, 10, 11, 12]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert batch.inputs["logits_to_keep"].tolist() == [1, 2, 4, 5]
    assert batch.targets.tolist() == [12, 13, 11, 12]
    assert batch.inputs["example_lengths"] == [4, 3]


def test_a_package_that_happens_to_be_there_changes_no_kernel(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # flash-attn is in no lock: with it beside torch the same key had other bytes.
    (tmp_path / "flash_attn.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert attention_for(base, packing=True) == VARLEN


def test_padded_rows_predict_the_same_tokens() -> None:
    batch = collate([example(4, 2), example(3, 1)], kernel=None, filler=example(2), device="cpu")
    assert batch.inputs["input_ids"].tolist() == [[10, 11, 12, 13], [10, 11, 12, 0]]
    assert batch.targets.tolist() == [12, 13, 11, 12]
    assert batch.rows.tolist() == [1, 2, 4, 5]


@pytest.mark.parametrize("kernel", [None, VARLEN])
def test_no_example_is_a_pass_without_targets(kernel: str | None) -> None:
    batch = collate([], kernel=kernel, filler=example(2), device="cpu")
    assert batch.inputs["input_ids"].tolist() == [[10, 11]]
    assert not len(batch.targets)


@pytest.mark.parametrize("kernel", [None, VARLEN], ids=["padded", "packed"])
def test_no_loss_on_the_prompts_of_later_turns(kernel: str | None) -> None:
    # tokens 10 to 18: prompt of two, two said, prompt of three, two said
    chat = Example(id="c", tokens=tuple(range(10, 19)), prompt_tokens=2, later_prompts=((4, 7),))
    assert (chat.response_tokens, list(chat.response_positions)) == (4, [2, 3, 7, 8])
    batch = collate([example(3), chat], kernel=kernel, filler=chat, device="cpu")
    assert batch.targets.tolist() == [11, 12, 12, 13, 17, 18]
    # Where they are predicted from: one position before each. The packed chat starts at 3; padded rows are 9 wide.
    if kernel is None:
        assert batch.rows.tolist() == [0, 1, 9 + 1, 9 + 2, 9 + 6, 9 + 7]
    else:
        assert batch.inputs["logits_to_keep"].tolist() == [0, 1, 3 + 1, 3 + 2, 3 + 6, 3 + 7]
