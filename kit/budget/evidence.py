"""Evidence that grows with each block, may be looked at after each, and is rarely large by chance (e-processes)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kit.budget.expected import Expected
from kit.comparing.sequential import DOUBT, HIGHEST_BET, EProcess, averaged, item_order
from kit.errors import RequestError, shown

SIGNS = (1, -1)
"""The two questions, one process each: is the claimed side higher; is it lower."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The results of one step, on which bets were placed."""

    replicate: str
    weight: float
    """Its part in the claim's mean: its number of cells."""
    difference: float
    """Mean difference of its cells, claimed side minus the other, in points."""
    items: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Benchmark -> item -> the claimed side's score minus the other's, -1 to 1."""


class Runs:
    """Evidence about training runs like these: each pair of trained models is one bet, or a part of one.

    A step's difference ``x`` counts as ``s = x / scale``, cut to -1 and 1. Steps of one replicate in a block make one
    bet together, ``v = sum w s / a`` with the claim's weights ``w`` and ``a`` the largest sum of weights of a replicate
    in the block. ``W`` is multiplied by ``1 + l v`` for each of them, with one ``l`` for the whole block, fixed before
    it. Over a block, ``mean of products <= (1 + l * mean v)^m`` (the geometric mean is below the arithmetic), so that
    ``W`` does not grow on average where the claim's weighted mean is 0 or below, also where some parts are above it:
    it is looked at after whole blocks alone. Steps of different replicates have to be independent given the past.

    The bet is ``l = (DOUBT m + sum v) / (DOUBT q + sum v^2)`` with the mean ``m`` and the mean square ``q`` that the
    printed numbers let expect, no less than 0 and no more than ``HIGHEST_BET``. The process for "lower" bets as if
    the printed difference were as large the other way. A wrong expectation costs hours and no errors.

    Source:
        Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B 86 (2024), 1-27 (arXiv 2010.09686).
    """

    def __init__(self, expected: Expected) -> None:
        scale = expected.scale
        self.scale = scale
        mean = min(1.0, abs(expected.effect) / scale)
        self.sums = dict.fromkeys(SIGNS, DOUBT * mean)
        self.squares = DOUBT * (min(1.0, mean * mean + (expected.noise / scale) ** 2) if mean else 1.0)
        self.wealth = dict.fromkeys(SIGNS, 1.0)

    def bet(self, sign: int) -> float:
        """Return the part of the wealth that is bet in the next block."""
        return min(HIGHEST_BET, max(0.0, self.sums[sign] / self.squares))

    def update(self, block: Sequence[Observed]) -> None:
        """Add the steps of one whole block."""
        sums: dict[str, float] = {}
        weights: dict[str, float] = {}
        for one in block:
            cut = min(1.0, max(-1.0, one.difference / self.scale))
            sums[one.replicate] = sums.get(one.replicate, 0.0) + one.weight * cut
            weights[one.replicate] = weights.get(one.replicate, 0.0) + one.weight
        values = [value / max(weights.values()) for value in sums.values()]
        for sign in SIGNS:
            bet = self.bet(sign)
            self.wealth[sign] *= math.prod(1 + bet * sign * value for value in values)
        for sign in SIGNS:
            self.sums[sign] += sign * math.fsum(values)
        self.squares += math.fsum(value * value for value in values)


class Models:
    """Evidence about the very models that were trained: bets on their items, in an order that a hash fixes.

    Each step and benchmark has an :class:`~kit.comparing.sequential.EProcess` of its own over its items, whose order
    depends on no other's. A step's evidence is the mean over its benchmarks, and the whole is the mean over all steps
    that were planned, with 1 for those to come: answers to the same items depend on each other in an unknown way, and a
    mean stays valid. It speaks against "the claimed side is higher for none of these pairs of models", over the whole
    of each benchmark. Another training run could give other models, of which it says nothing.
    """

    def __init__(self, planned: int, alpha: float) -> None:
        self.planned = planned
        self.alpha = alpha
        self.steps: dict[int, list[float]] = {sign: [] for sign in SIGNS}

    @property
    def wealth(self) -> dict[int, float]:
        """The evidence of either sign, over all steps that were planned."""
        return {
            sign: (math.fsum(found) + self.planned - len(found)) / self.planned for sign, found in self.steps.items()
        }

    def update(self, names: Sequence[str], block: Sequence[Observed]) -> None:
        """Add the items of the steps of one block, which have these names."""
        for name, one in zip(names, block, strict=True):
            if not one.items:
                continue
            for sign in SIGNS:
                found = [self._of_items(f"{name}, {test}", items, sign) for test, items in one.items.items()]
                self.steps[sign].append(averaged(found))

    def _of_items(self, name: str, items: Mapping[str, float], sign: int) -> float:
        """Return the wealth after all items of one benchmark, in the order of their hashes."""
        process = EProcess(self.alpha)
        named = {f"{name}, {id}": value for id, value in items.items()}
        for id in item_order(named, 0):
            process.update(sign * named[id])
        return process.wealth


def check_alpha(alpha: float) -> None:
    """Check the probability of a wrong stop that a user accepts.

    Raises:
        RequestError: it is not between 0 and 1/2.
    """
    if not 0 < alpha <= 0.5:
        raise RequestError(
            f"--alpha: found {shown(alpha)}, wanted the probability of a wrong stop, as 0.05; 0.5 at most"
        )
