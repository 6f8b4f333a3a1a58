"""Plan which rows of tokens go through the model together, and lay them out for a pass."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """Token ids of one text, and the part of them that is scored: all from one position on."""

    ids: Sequence[int]
    """At least ``first + 1`` of them."""
    first: int = 1
    """Position of the first token that is scored, at least 1: nothing predicts the token at 0."""

    @property
    def scored(self) -> int:
        """Number of the tokens that are scored."""
        return len(self.ids) - self.first


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Rows that go through the model together."""

    rows: tuple[int, ...]
    """Positions of the rows, the longest first."""
    packed: bool
    """Whether they lie end to end in one row; else each has a row of its own, filled up on the right."""


def plan(lengths: Sequence[int], budget: int, longest_packed: int | None) -> list[Batch]:
    """Put rows into batches by length, the longest first, so that memory is at its highest in the first batch.

    Args:
        lengths: tokens of each row.
        budget: most tokens of a batch, those that fill rows up included; a longer row has a batch of its own.
        longest_packed: most tokens of a row that may be packed; None where none may.

    Returns:
        Batches that hold each row once; they depend on the lengths and their order alone.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    alone = [row for row in order if longest_packed is None or lengths[row] > longest_packed]
    packed = order[len(alone) :]
    found = [Batch(rows=rows, packed=False) for rows in _cut(alone, lengths, budget, filled_up=True)]
    return found + [Batch(rows=rows, packed=True) for rows in _cut(packed, lengths, budget, filled_up=False)]


def _cut(order: Sequence[int], lengths: Sequence[int], budget: int, *, filled_up: bool) -> list[tuple[int, ...]]:
    """Cut rows in descending order of length into groups within a budget of tokens."""
    groups: list[list[int]] = []
    used = 0
    for row in order:
        size = lengths[groups[-1][0]] if filled_up and groups else lengths[row]
        if groups and used + size <= budget:
            groups[-1].append(row)
            used += size
        else:
            groups.append([row])
            used = lengths[row]
    return [tuple(group) for group in groups]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Tensors of one pass."""

    inputs: dict[str, Any]
    """Arguments of the body's ``forward``."""
    places: Any
    """Positions whose hidden states predict scored tokens, in the flattened (rows * length), shape (scored tokens,)."""
    targets: Any
    """The scored tokens, row after row, shape (scored tokens,)."""


def lay_out(rows: Sequence[TokenRow], *, packed: bool, device: Any) -> Layout:
    """Lay rows out for a pass.

    A causal model's tokens do not see the filling behind them, so that it needs no mask, and torch's causal kernel
    takes none.

    Args:
        rows: at least one.
        packed: end to end in one row; else one a row.
        device: where the tensors go.
    """
    lengths = [len(row.ids) for row in rows]
    if packed:
        starts = [sum(lengths[:index]) for index in range(len(rows))]
        tensors = {
            "input_ids": _tensor([[id for row in rows for id in row.ids]], device),
            "position_ids": _tensor([[place for length in lengths for place in range(length)]], device),
            "example_ends": _tensor([*starts, sum(lengths)], device).int(),
        }
        inputs = tensors | {"example_lengths": lengths}
    else:
        width = max(lengths)
        starts = [index * width for index in range(len(rows))]
        inputs = {"input_ids": _tensor([[*row.ids, *[0] * (width - len(row.ids))] for row in rows], device)}
    places = [
        start + place - 1 for start, row in zip(starts, rows, strict=True) for place in range(row.first, len(row.ids))
    ]
    targets = [id for row in rows for id in row.ids[row.first :]]
    return Layout(inputs=inputs, places=_tensor(places, device), targets=_tensor(targets, device))


def _tensor(values: Sequence[Any], device: Any) -> Any:
    """Return whole numbers as a tensor on a device, without waiting for what the device is doing."""
    import torch

    tensor = torch.tensor(values, dtype=torch.long)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
