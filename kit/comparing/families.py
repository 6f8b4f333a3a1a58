"""Many comparisons at once: Holm's correction, and the largest statistic under one permutation of all columns."""

import math
import random
from collections.abc import Mapping

from kit.comparing.exact import SAME
from kit.errors import RequestError, shown


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return the p values of a family, adjusted so that one below 5 % is wrong in 5 % of families at most.

    Sorted upwards, the i-th of m is multiplied by ``m - i + 1``; none falls below the one before it, none exceeds 1. It
    asks nothing of how the tests depend on each other.

    Args:
        p_values: name of each test -> its p.

    Raises:
        RequestError: a p is not from 0 to 1.

    Source:
        Holm, Scandinavian Journal of Statistics 6 (1979), 65-70.
    """
    for name, p in p_values.items():
        if not 0 <= p <= 1:
            raise RequestError(f"holm: {shown(name)}: found p = {shown(p)}, wanted one from 0 to 1")
    adjusted: dict[str, float] = {}
    lowest = 0.0
    for place, (name, p) in enumerate(sorted(p_values.items(), key=lambda one: one[1])):
        lowest = max(lowest, min(1.0, (len(p_values) - place) * p))
        adjusted[name] = lowest
    return {name: adjusted[name] for name in p_values}


def largest_statistic(columns: Mapping[str, Mapping[str, float]], seed: int, draws: int) -> dict[str, float]:
    """Return an adjusted two-sided p for each column of one table, by the largest statistic of all columns.

    If both runs are exchangeable, each item's sign is a fair coin, the same for all columns: a draw turns an item in
    every column that counts it, so that columns that share answers count once. The statistic of a column is
    ``|sum d| / sqrt(sum d^2)``. Its p is ``(1 + draws whose largest statistic reaches it) / (1 + draws)``; one below
    5 % is wrong in 5 % of tables at most, and less is lost than by Holm where columns go together.

    Args:
        columns: name of each column -> id of an item -> the item's difference; an id is one item in all columns, and
            items of different benchmarks have different ids. For clusters of items, the sums of each cluster.
        seed: seed of the draws.
        draws: number of draws.

    Raises:
        RequestError: ``draws`` is below 1, or a difference is no finite number.

    Source:
        Westfall and Young, Resampling-Based Multiple Testing (1993), single-step maxT.
    """
    if draws < 1:
        raise RequestError(f"largest_statistic: found {shown(draws)} draws, wanted 1 or more; 9,999 give p to 0.0001")
    for name, column in columns.items():
        for id, value in column.items():
            if not math.isfinite(value):
                raise RequestError(
                    f"largest_statistic: {shown(name)}: item {shown(id)}: found {shown(value)}, wanted a finite number"
                )
    ids = sorted({id for column in columns.values() for id, value in column.items() if value != 0})
    places = {id: place for place, id in enumerate(ids)}
    signed = {name: [(places[id], value) for id, value in column.items() if value] for name, column in columns.items()}
    totals = {name: math.fsum(value for _, value in column) for name, column in signed.items()}
    errors = {name: math.sqrt(math.fsum(value * value for _, value in column)) for name, column in signed.items()}
    found = {name: abs(totals[name]) / errors[name] if errors[name] else 0.0 for name in columns}
    source = random.Random(seed)
    reached = dict.fromkeys(columns, 0)
    for _ in range(draws):
        turned = source.getrandbits(len(ids)) if ids else 0
        largest = max(
            (
                abs(totals[name] - 2 * sum(value for place, value in column if turned >> place & 1)) / errors[name]
                for name, column in signed.items()
                if column
            ),
            default=0.0,
        )
        for name, statistic in found.items():
            reached[name] += largest >= statistic * (1 - SAME)
    return {name: (1 + count) / (1 + draws) for name, count in reached.items()}
