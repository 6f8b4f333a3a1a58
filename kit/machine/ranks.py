"""Rows over ranks: each process of an ``accelerate launch`` computes a part, and rank 0 gets all of it, in order."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from kit.errors import KitError

In = TypeVar("In")
Out = TypeVar("Out")


def spread(rows: Sequence[In], world: int, compute: Callable[[Sequence[In]], Sequence[Out]]) -> list[Out]:
    """``compute`` over a contiguous part of the rows on each rank; every rank gets the joined results.

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

        with PartialState().split_between_processes(list(range(len(rows)))) as mine:
            part = list(compute([rows[index] for index in mine]))
        found = gather_object(part)
    if len(found) != len(rows):
        raise KitError(f"{len(rows):,} rows went out over {world} ranks, {len(found):,} came back")
    return found
