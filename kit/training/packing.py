"""Plan which rows make a step, which rank takes them, and how they lie in a micro-batch. Pure but for :func:`collate`.

Every epoch is a fresh shuffle cut into global batches, the last of which takes what is left: ``ceil(rows / batch)``
steps an epoch, as in the transformers that is locked here. They depend on neither the ranks nor the packing, and no row
is repeated to fill a rank's last batch. The transformers that LLaMA-Factory 0.9.1 allows (4.46.1 at most) counts
``floor`` steps an epoch, and a step may run on from one epoch into the next: see docs/deviations.md.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.training.examples import Example

IGNORED = -100
"""The label of a position without loss, in torch's convention."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One optimiser step, planned for every rank."""

    rows: tuple[int, ...]
    """Positions of its examples, in the order drawn."""
    micro_batches: tuple[tuple[tuple[int, ...], ...], ...]
    """rank -> micro-batch -> positions; equally many on each rank, and an empty one where a rank has no more."""
    tokens: int
    """Tokens of all its examples."""
    response_tokens: int
    """Tokens that the loss is the mean over."""


def draw_steps(rows: int, *, epochs: int, global_batch_size: int, rng: random.Random) -> list[tuple[int, ...]]:
    """Return the rows of each step, in order."""
    steps = []
    for _ in range(epochs):
        order = list(range(rows))
        rng.shuffle(order)
        steps += [tuple(order[start : start + global_batch_size]) for start in range(0, rows, global_batch_size)]
    return steps


def deal(rows: Sequence[int], world: int, batch_size: int) -> list[list[tuple[int, ...]]]:
    """Deal chunks of ``batch_size`` rows out to the ranks in turn, without packing."""
    chunks = [tuple(rows[start : start + batch_size]) for start in range(0, len(rows), batch_size)]
    return [chunks[rank::world] for rank in range(world)]


def pack(rows: Sequence[int], lengths: Sequence[int], world: int, budget: int) -> list[list[tuple[int, ...]]]:
    """Pack the longest row first: to the rank with the fewest tokens, into its first micro-batch with room.

    Args:
        rows: positions of the step's examples.
        lengths: of every example, tokens.
        world: ranks.
        budget: most tokens of a micro-batch; a longer example has one of its own.
    """
    loads = [0] * world
    bins: list[list[list[int]]] = [[] for _ in range(world)]
    for row in sorted(rows, key=lambda row: (-lengths[row], row)):
        rank = loads.index(min(loads))
        loads[rank] += lengths[row]
        for bin_ in bins[rank]:
            if sum(lengths[other] for other in bin_) + lengths[row] <= budget:
                bin_.append(row)
                break
        else:
            bins[rank].append([row])
    return [[tuple(bin_) for bin_ in of_rank] for of_rank in bins]


def plan(
    examples: Sequence[Example],
    *,
    epochs: int,
    global_batch_size: int,
    world: int,
    rng: random.Random,
    batch_size: int,
    budget: int | None,
) -> list[Step]:
    """Return all steps of the job, the same on every rank.

    Args:
        examples: what there is to train on.
        epochs: passes over them.
        global_batch_size: examples of a step.
        world: ranks that share a step.
        rng: draws the order.
        batch_size: examples of a micro-batch, unpacked.
        budget: tokens of a micro-batch, packed; None for unpacked.
    """
    lengths = [len(example.tokens) for example in examples]
    steps = []
    for rows in draw_steps(len(examples), epochs=epochs, global_batch_size=global_batch_size, rng=rng):
        shares = deal(rows, world, batch_size) if budget is None else pack(rows, lengths, world, budget)
        most = max(map(len, shares))
        padded = tuple((*share, *[()] * (most - len(share))) for share in shares)
        steps.append(
            Step(
                rows=rows,
                micro_batches=padded,
                tokens=sum(lengths[row] for row in rows),
                response_tokens=sum(examples[row].response_tokens for row in rows),
            )
        )
    return steps


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """The tensors of one forward pass."""

    inputs: dict[str, Any]
    """Arguments of the model's ``forward``."""
    targets: Any
    """Token ids to predict, shape (n,); none for a rank that only keeps step with the others."""
    rows: Any
    """Positions that predict them, in the flattened (batch * length) of the logits, shape (n,)."""


def collate(examples: Sequence[Example], *, kernel: str | None, filler: Example, device: Any) -> MicroBatch:
    """Lay examples out for a forward pass; no example makes a pass over ``filler`` that weighs nothing.

    Args:
        examples: of one micro-batch.
        kernel: the attention implementation to pack for; None to pad.
        filler: stands in for no example, so that every rank makes as many passes.
        device: where the tensors go.
    """
    if kernel is None:
        return _collate_padded(examples, filler, device)
    return _collate_packed(examples, filler, device)


def _collate_packed(examples: Sequence[Example], filler: Example, device: Any) -> MicroBatch:
    """Lay examples out end to end in one row; logits are asked for only where a response token is predicted."""
    import torch

    batch = list(examples) or [filler]
    lengths = [len(example.tokens) for example in batch]
    starts = [sum(lengths[:index]) for index in range(len(batch))]
    targets = [example.tokens[position] for example in examples for position in example.response_positions]
    keep = [
        start + position - 1
        for start, example in zip(starts, batch, strict=True)
        for position in example.response_positions
    ]
    inputs = {
        "input_ids": torch.tensor([[token for example in batch for token in example.tokens]], device=device),
        "position_ids": torch.tensor([[i for length in lengths for i in range(length)]], device=device),
        "logits_to_keep": torch.tensor(keep, device=device),
        "example_lengths": lengths,
        "example_ends": torch.tensor([*starts, sum(lengths)], dtype=torch.int32, device=device),
    }
    return MicroBatch(
        inputs=inputs,
        targets=torch.tensor(targets, dtype=torch.long, device=device),
        rows=torch.arange(len(targets), device=device),
    )


def _collate_padded(examples: Sequence[Example], filler: Example, device: Any) -> MicroBatch:
    """Lay examples out one a row, padded at the end, with all logits computed: packing must give the same loss.

    There is no mask: a causal model's tokens do not see the padding behind them, and torch's causal kernel takes none.
    """
    import torch

    batch = list(examples) or [filler]
    width = max(len(example.tokens) for example in batch)
    ids = torch.zeros((len(batch), width), dtype=torch.long)
    labels = torch.full_like(ids, IGNORED)
    for index, example in enumerate(batch):
        ids[index, : len(example.tokens)] = torch.tensor(example.tokens)
        if examples:
            positions = list(example.response_positions)
            labels[index, positions] = ids[index, positions]
    # Position i predicts token i + 1, so the labels move one to the left.
    ahead = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED).flatten()
    rows = (ahead != IGNORED).nonzero().flatten()
    return MicroBatch(
        inputs={"input_ids": ids.to(device)},
        targets=ahead[rows].to(device),
        rows=rows.to(device),
    )
