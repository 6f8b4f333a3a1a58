"""Expectations of a step from the paper's printed numbers alone: its mean difference and its noise."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from kit.budget.steps import CellPair, Step
from kit.comparing.verdicts import WIDEST_SEED_SPREAD

WHOLE = 100.0
"""A share of 1 in percent."""
CLIPPED_AT = 2.0
"""Standard deviations of a step at which its difference counts no more: bets need a bounded difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Mean difference and noise that are expected of the steps of a claim, in points."""

    effect: float
    """The mean difference that the paper prints over all cells of the steps; 0 where it prints none."""
    noise: float
    """Standard deviation of a step's difference, the root of the mean square over all steps."""

    @property
    def scale(self) -> float:
        """The difference of a step that counts as 1; a larger one counts no more."""
        return CLIPPED_AT * self.noise


def expected(steps: Sequence[Step]) -> Expected:
    """Return what steps are expected to give; each weighs as many cells as it has, as it does in the claim's mean."""
    printed = [pair[0] - pair[1] for step in steps for cell in step.cells if (pair := cell.printed)]
    weights = [len(step.cells) for step in steps]
    squares = math.fsum(weight * variance(step) for weight, step in zip(weights, steps, strict=True))
    return Expected(effect=statistics.fmean(printed) if printed else 0.0, noise=math.sqrt(squares / sum(weights)))


def variance(step: Step) -> float:
    """Return the variance that is expected of a step's mean difference: training seeds of both sides, and items.

    Two seeds add ``2 s^2`` with the widest spread that anybody measured (:data:`WIDEST_SEED_SPREAD`). Cells of one
    benchmark share their answers, so their errors are added; benchmarks are independent, so their squares are.
    """
    errors: dict[str, float] = {}
    for cell in step.cells:
        errors[cell.benchmark] = errors.get(cell.benchmark, 0.0) + math.sqrt(item_variance(cell)) / len(step.cells)
    return 2 * WIDEST_SEED_SPREAD.value**2 + math.fsum(error * error for error in errors.values())


def item_variance(cell: CellPair) -> float:
    """Return the variance that the items add to a difference of two shares, in squared points.

    ``(q - (p1 - p2)^2) / n`` with the share ``q = p1 (1 - p2) + p2 (1 - p1)`` of items that the two sides answer
    differently if they answer independently of each other: the most, as models agree on what is easy. Where nothing is
    printed, ``p1 = p2 = 1/2``.
    """
    better, worse = (value / WHOLE for value in cell.printed or (WHOLE / 2, WHOLE / 2))
    discordant = better * (1 - worse) + worse * (1 - better)
    return WHOLE**2 * (discordant - (better - worse) ** 2) / max(1, cell.rows)


def information(step: Step, effect: float) -> float:
    """Return the expected growth of the log evidence by one step, ``effect^2 / (2 variance)``.

    It is that of the best bet for a normal difference, and the same effect is expected of every step, so that no cell
    comes first because the paper prints more for it.

    Source:
        Kelly, Bell System Technical Journal 35 (1956), 917-926, for the growth of the best bet, to second order.
    """
    return effect * effect / (2 * variance(step))
