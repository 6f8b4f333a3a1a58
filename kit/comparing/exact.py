"""Exact tests of two runs item by item; no normal approximation."""

import itertools
import math
import random
from collections.abc import Sequence

from kit.comparing.distributions import binomial_upper
from kit.errors import RequestError, shown

SAME = 1e-9
"""Relative difference below which two statistics, or two probabilities, count as equal: sums in other orders differ."""


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the exact two-sided p of two runs over the same items, by the items that one of them alone has right.

    If both are equally good, each such item is a fair coin: ``min(1, 2 * P(Bin(b + c, 1/2) >= max(b, c)))``. Without
    such an item nothing speaks against it: 1.

    Args:
        only_a: items that the first has right and the second wrong.
        only_b: items that the second has right and the first wrong.

    Raises:
        RequestError: a count is below 0.

    Source:
        McNemar, Psychometrika 12 (1947), 153-157; exact for language models in Kübler et al., arXiv 2602.10144.
    """
    if only_a < 0 or only_b < 0:
        raise RequestError(
            f"mcnemar: found {shown(only_a)} and {shown(only_b)} turned items, wanted two counts of 0 or more"
        )
    return min(1.0, 2 * binomial_upper(max(only_a, only_b), only_a + only_b, 0.5))


def sign_permutation(differences: Sequence[float], seed: int, draws: int) -> float:
    """Return the two-sided p of a mean difference over paired items, by turning the sign of each item at random.

    If both runs are exchangeable, each item's sign is a fair coin. Where the ``2^m`` ways to set the signs of the m
    differences that are not 0 are no more than ``draws``, all are gone through and p is exact; else p is
    ``(1 + draws as far out) / (1 + draws)``, which is never 0.

    Args:
        differences: ``a - b`` of each item; for clusters of items, their sums.
        seed: seed of the draws.
        draws: number of draws.

    Raises:
        RequestError: ``draws`` is below 1.

    Source:
        Kübler et al., arXiv 2602.10144 (permutation for scores that are not 0 or 1); Phipson and Smyth, Statistical
        Applications in Genetics and Molecular Biology 9 (2010), 39 (the 1 that is added).
    """
    if draws < 1:
        raise RequestError(f"sign_permutation: found {shown(draws)} draws, wanted 1 or more; 9,999 give p to 0.0001")
    sizes = [abs(value) for value in differences if value != 0]
    bound = abs(math.fsum(differences)) - SAME * math.fsum(sizes)
    if len(sizes) <= draws.bit_length() and 2 ** len(sizes) <= draws:
        sums = [abs(math.fsum(signed)) for signed in itertools.product(*((-size, size) for size in sizes))]
        return sum(found >= bound for found in sums) / len(sums)
    source = random.Random(seed)
    total = math.fsum(sizes)
    reached = 0
    for _ in range(draws):
        turned = source.getrandbits(len(sizes))
        reached += abs(total - 2 * sum(size for place, size in enumerate(sizes) if turned >> place & 1)) >= bound
    return (1 + reached) / (1 + draws)
