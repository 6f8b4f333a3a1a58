"""A test that may stop after any item: wealth of bets on one run against another, which chance rarely multiplies."""

import hashlib
import math
from collections.abc import Iterable, Sequence

from kit.errors import RequestError, shown

HIGHEST_BET = 0.9
"""Highest part of the wealth that is bet on an item: below 1, so that one lost item never ends the test."""
DOUBT = 4.0
"""Turned items that are taken to have been split evenly before the first: they keep early bets small."""


class EProcess:
    """Evidence that run a is better than run b, item by item, which may be looked at after each and stopped at any.

    ``W_t = (1 + l_1 d_1) * ... * (1 + l_t d_t)``, where ``d_i`` in [-1, 1] is a's score minus b's on item i, and the
    bet ``l_i`` in [0, 1) is fixed before it, from the items before alone. If a is no better than b, the mean of ``W``
    never rises above 1, and by Ville's inequality ``W`` ever reaches ``1/alpha`` with probability ``alpha`` at most:
    stop there.

    The bet is ``sum d / (sum d^2 + DOUBT)`` over the items so far, no less than 0 and no more than ``HIGHEST_BET``:
    near the bet of fastest growth, ``mean d / mean d^2``. It is above 0 only while a leads. So the guarantee holds in
    two settings: items drawn from a population in which a is no better; and a fixed benchmark in random order
    (:func:`item_order`) over all of which a is no better, since then, while a leads, the rest has to be below 0.

    Args:
        alpha: probability of a wrong stop that is accepted.

    Raises:
        RequestError: ``alpha`` is not between 0 and 1.

    Source:
        Ville, Étude critique de la notion de collectif (1939); bets and e-processes as in Waudby-Smith and Ramdas,
        Journal of the Royal Statistical Society B 86 (2024), 1-27 (arXiv 2010.09686), and Ramdas et al., Statistical
        Science 38 (2023), 576-601 (arXiv 2210.01948).
    """

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha < 1:
            raise RequestError(f"EProcess: found alpha = {shown(alpha)}, wanted a probability between 0 and 1, as 0.05")
        self.alpha = alpha
        self.items = 0
        """Items seen so far."""
        self.wealth = 1.0
        """The evidence after the last item; below 1 where a is behind."""
        self.largest = 1.0
        """The highest wealth so far; its inverse is a p value that holds at every time."""
        self._sum = 0.0
        self._squares = 0.0

    @property
    def bet(self) -> float:
        """The part of the wealth that is bet on the next item."""
        return min(HIGHEST_BET, max(0.0, self._sum / (self._squares + DOUBT)))

    @property
    def has_stopped(self) -> bool:
        """Whether the evidence has reached ``1/alpha`` at an item so far."""
        return self.largest >= 1 / self.alpha

    @property
    def p(self) -> float:
        """Probability, at most, of so much evidence at any time where a is no better than b."""
        return min(1.0, 1 / self.largest)

    def update(self, difference: float) -> float:
        """Add one item's difference, a's score minus b's, and return the wealth after it.

        Raises:
            RequestError: the difference is not from -1 to 1.
        """
        if not -1 <= difference <= 1:
            raise RequestError(
                f"EProcess: item {self.items + 1:,}: found a difference of {shown(difference)}, wanted one from -1 to "
                "1; divide scores by the widest range that they can have"
            )
        bet = self.bet
        self.wealth *= 1 + bet * difference
        self.largest = max(self.largest, self.wealth)
        self.items += 1
        self._sum += difference
        self._squares += difference * difference
        return self.wealth


def averaged(wealths: Sequence[float]) -> float:
    """Return the evidence of several processes that may depend on each other in any way: the mean of their wealths.

    The mean of e-values is an e-value. Weights are equal, and the processes are fixed before the first item.

    Raises:
        RequestError: there is none, or one is below 0.

    Source:
        Vovk and Wang, Annals of Statistics 49 (2021), 1736-1754 (arXiv 1912.06116).
    """
    _check_wealths("averaged", wealths)
    return math.fsum(wealths) / len(wealths)


def multiplied(wealths: Sequence[float]) -> float:
    """Return the evidence of several independent processes: the product of their wealths.

    Only for processes whose differences are independent, such as of separately trained models on different items. For
    models that answer the same items, or that share an evolver's data, take :func:`averaged`.

    Raises:
        RequestError: there is none, or one is below 0.

    Source:
        Vovk and Wang, Annals of Statistics 49 (2021), 1736-1754 (arXiv 1912.06116).
    """
    _check_wealths("multiplied", wealths)
    return math.prod(wealths)


def item_order(ids: Iterable[str], seed: int) -> list[str]:
    """Return the ids in an order that a hash fixes: by the sha256 of ``<seed>:<id>``.

    The same in every run and on every machine, whatever the order of the file, and as good as random; nobody can pick
    an order after seeing results.

    Raises:
        RequestError: an id is there twice.
    """
    found = list(ids)
    if len(set(found)) < len(found):
        twice = next(id for place, id in enumerate(found) if id in found[:place])
        raise RequestError(
            f"item_order: found {shown(twice)} twice, wanted each item once; name parts of an item apart"
        )
    return sorted(found, key=lambda id: hashlib.sha256(f"{seed}:{id}".encode()).digest())


def _check_wealths(where: str, wealths: Sequence[float]) -> None:
    if not wealths or not all(wealth >= 0 for wealth in wealths):
        raise RequestError(f"{where}: found {shown(list(wealths))}, wanted one wealth at least, each of 0 or more")
