"""Rows over ranks: each process of an ``accelerate launch`` computes a part, and rank 0 gets all of it, in order."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from kit.errors import KitError

In = TypeVar("In")
Out = TypeVar("Out")


def spread(rows: Sequence[In], world: int, compute: Callable[[Sequence[In]], Sequence[Out]]) -> list[Out]:
    """Run ``compute`` on a contiguous part of the rows on each rank; every rank gets the joined results.

    Args:
        rows: the same on every rank.
        world: processes that the plan asked for.
        compute: one output a row, in order.

    Raises:
        KitError: an output is missing.
    """
    if world == 1:
        found = list(compute(rows))
    else:
        from accelerate import PartialState
        from accelerate.utils import gather_object

        with PartialState().split_between_processes(list(range(len(rows)))) as shard:
            part = list(compute([rows[index] for index in shard]))
        found = gather_object(part)
    if len(found) != len(rows):
        raise KitError(f"{len(rows):,} rows went out over {world} ranks, {len(found):,} came back")
    return found


def gathered(value: Any, world: int) -> list[Any]:
    """Return the value of each rank, in their order, on every rank; all ranks call it.

    Args:
        value: this rank's.
        world: number of ranks.
    """
    if world == 1:
        return [value]
    from accelerate.utils import gather_object

    return list(gather_object([value]))


def smallest(number: int, world: int) -> int:
    """Return the smallest of the numbers that the ranks call it with, on every rank."""
    found: list[int] = gathered(number, world)
    return min(found)
