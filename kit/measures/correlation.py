"""Correlation of two scores by their ranks, which asks only whether one rises with the other."""

from collections.abc import Sequence


def spearman(left: Sequence[float], right: Sequence[float]) -> float | None:
    """Return Spearman's rank correlation of two scores of the same rows, equal values having their mean rank.

    Returns:
        -1 to 1; None where one of the scores is the same in all rows, or there are fewer than two.

    Source:
        Spearman (1904), The proof and measurement of association between two things; the same number as
        scipy.stats.spearmanr.
    """
    if len(left) < 2 or min(left) == max(left) or min(right) == max(right):
        return None
    first, second = mean_ranks(left), mean_ranks(right)
    middle = (len(left) + 1) / 2
    shared = sum((a - middle) * (b - middle) for a, b in zip(first, second, strict=True))
    own = [sum((rank - middle) ** 2 for rank in ranks) for ranks in (first, second)]
    return float(shared / (own[0] * own[1]) ** 0.5)


def mean_ranks(values: Sequence[float]) -> list[float]:
    """Return the rank of each value, from 1; equal values have the mean of the ranks that they share."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            ranks[place] = (start + end) / 2 + 1
        start = end + 1
    return ranks
