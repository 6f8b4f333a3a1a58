"""Equal size: of the rows of several evolvers, each side keeps as many as the smallest has."""

from collections.abc import Sequence
from typing import TypeVar

from kit.engines import request_seed
from kit.records import Instruction

Row = TypeVar("Row", bound=Instruction)


def equal_draw(sides: Sequence[Sequence[Row]], side: int, seed: int) -> list[Row]:
    """Return as many rows of one side as the smallest side has, drawn without replacement, in their order.

    Each row has a place in the draw that the seed and its id alone decide: neither the order of the sides nor that of
    the rows changes which are drawn, and the smallest side keeps all of its own. A row's place does not depend on
    whether another side has a row of the same id.

    Args:
        sides: rows of each side.
        side: place of the side whose rows are drawn.
        seed: seed of the draw.

    Source:
        Paper A.1; HypherX/Evolution-Analysis @7595feb, Auto_Evol_Instruct/filter_data.py, which draws without a seed.
    """
    rows = sides[side]
    places = [(request_seed(seed, "equal_draw", row.id), row.id) for row in rows]  # two seeds of 31 bits may be equal
    drawn = sorted(range(len(rows)), key=places.__getitem__)[: min(map(len, sides))]
    return [rows[index] for index in sorted(drawn)]
