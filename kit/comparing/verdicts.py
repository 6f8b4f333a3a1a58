"""Verdict on one number beside the paper's: match, off, cannot tell or missing, by the noise that is known.

Four kinds of noise may lie between two runs, and docs/statistics.md says why they are taken in this order: the spread
between training seeds where several ran; the items alone where nothing was trained in between; else the widest spread
that anybody measured, on top of the items; else nothing, and then it cannot be told.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from kit.comparing.intervals import Interval, Spread, is_equivalent, pooled_spread, quantile
from kit.comparing.shares import paired_shares, turned_stderr, two_shares
from kit.errors import RequestError, shown

Verdict: TypeAlias = Literal["match", "off", "cannot tell", "missing"]
Basis: TypeAlias = Literal["seeds", "items", "widest", "nothing"]
Widths: TypeAlias = Callable[[float], tuple[float, float]]
"""Confidence -> how far the true difference may lie below and above the one found, without what rounding hides."""
OFF_CONFIDENCE = 0.95
"""Confidence of the prediction interval outside which the paper's number is off: two-sided 5 %."""
MATCH_CONFIDENCE = 0.90
"""Confidence of the interval that has to lie within the margin: two one-sided tests of 5 % each."""
POWER_CONFIDENCE = 0.60
"""Confidence of the two-sided interval whose one side is passed with 20 %, so that a difference is told with 80 %."""
SMALLEST_P = 1e-9
"""The smallest p that is told apart from 0."""
WIDEST_SEED_SPREAD = Spread(1.33, 2)
"""The widest spread between training seeds that anybody printed for a suite of benchmarks, points.

Tülu 3 70B, supervised tuning with three seeds: suite averages of 71.8, 70.0 and 72.6 (arXiv 2411.15124, as a secondary
source gives them). An average over many benchmarks hides what items add, so this is what all items share."""
REASONS: dict[tuple[Verdict, Basis], str] = {
    ("match", "seeds"): "the difference lies within the margin, as far as training seeds spread",
    ("match", "items"): "the difference lies within the margin, as far as items spread",
    ("match", "widest"): "the difference lies within the margin, even if seeds spread as widely as anybody measured",
    ("off", "seeds"): "the paper's number lies outside the interval of one more run with another training seed",
    ("off", "items"): "the paper's number lies outside the interval of one more run over the items",
    ("off", "widest"): "the paper's number lies too far even if seeds spread as widely as anybody measured",
    ("cannot tell", "seeds"): "neither within the margin nor outside the interval of one more run",
    ("cannot tell", "items"): "neither within the margin nor outside the interval of one more run",
    ("cannot tell", "widest"): "one run: the spread between training seeds is not known; take a second seed",
    ("cannot tell", "nothing"): "one run, and no noise between two runs is known; take a second seed",
    ("missing", "nothing"): "not computed",
}
"""Verdict and basis -> the sentence that explains it, without numbers."""


@dataclass(frozen=True, slots=True)
class Items:
    """Noise that items add to a difference between two runs, and whether it holds between two trainings as well."""

    widths: Widths
    covers_training: bool
    """Whether items that turn because of another training seed are counted, and not those of decoding alone."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The verdict on one number, with what it was taken from; all numbers are in the unit of the values given."""

    verdict: Verdict
    basis: Basis
    """The noise that was known: of ``seeds``, of ``items``, the ``widest`` that anybody measured, or ``nothing``."""
    difference: float | None = None
    """Our number (the mean of our runs) minus the paper's."""
    prediction: Interval | None = None
    """95 % interval in which one more run lies, as printed: the paper's number is off outside it."""
    difference_90: Interval | None = None
    """90 % interval of the difference: a match within the margin."""
    smallest: float | None = None
    """Smallest true difference that this comparison tells with 80 % power; None where no noise is known."""
    floor: float | None = None
    """The same if decoding were all that differs: no run of this size tells less. None where it is not known."""
    rounding: float = 0.0
    """Half of the last digit that the paper prints."""
    widths: Widths | None = field(default=None, repr=False, compare=False)
    """The noise that decided; None where none is known."""

    @property
    def reason(self) -> str:
        """The sentence that explains the verdict, without numbers."""
        return REASONS[self.verdict, self.basis]

    @property
    def p(self) -> float:
        """Two-sided p of a number that is off; 1 of any other.

        It is 1 minus the highest confidence whose interval of the difference leaves out 0, to one part in ten
        thousand, and no less than :data:`SMALLEST_P`. It is below 5 % wherever a number is off, whichever the noise.
        """
        if self.verdict != "off" or self.widths is None or self.difference is None:
            return 1.0
        apart = max(abs(self.difference) - self.rounding, 0.0)
        low, high = math.log(SMALLEST_P), 0.0
        for _ in range(20):
            middle = (low + high) / 2
            below, above = self.widths(1 - math.exp(middle))
            holds = apart <= (below if self.difference > 0 else above)
            low, high = (middle, high) if holds else (low, middle)
        return math.exp(high)


def shares_of_own_items(ours: float, paper: float, n: float, whole: float = 1.0) -> Items:
    """Return the noise of two shares as if each run had items of its own: the widest that independent items can have.

    For two runs over the same items it is too wide, never too narrow: the variance of an item that is right with
    probability ``p_i`` is ``p_i (1 - p_i)``, whose mean is at most ``p (1 - p)``. What moves all items together comes
    on top.

    Args:
        ours: our number, in the unit.
        paper: the paper's, in the unit.
        n: items, or as many independent ones as explain a clustered error.
        whole: value of a share of 1 in the unit: 100 for percent.
    """
    one, other = ours / whole, paper / whole

    def widths(confidence: float) -> tuple[float, float]:
        found = two_shares(one, other, n, confidence)
        return whole * (one - other - found.low), whole * (found.high - one + other)

    return Items(widths, covers_training=True)


def shares_of_same_items(only_ours: int, only_paper: int, n: int, whole: float = 1.0) -> Items:
    """Return the noise of two shares over the same items, by the items that one side alone has right.

    Args:
        only_ours: items that our run alone has right.
        only_paper: items that the other alone has right.
        n: all items.
        whole: value of a share of 1 in the unit: 100 for percent.
    """
    difference = (only_ours - only_paper) / n

    def widths(confidence: float) -> tuple[float, float]:
        found = paired_shares(only_ours, only_paper, n, confidence)
        return whole * (difference - found.low), whole * (found.high - difference)

    return Items(widths, covers_training=True)


def means_with_errors(stderr: float, degrees: float | None = None) -> Items:
    """Return the noise of a difference of means with a standard error: paired, or ``sqrt(SE_a^2 + SE_b^2)`` unpaired.

    Args:
        stderr: standard error of the difference, in the unit.
        degrees: its degrees of freedom; None for so many rows that the normal distribution holds.
    """
    return Items(lambda confidence: (_half(stderr, degrees, confidence),) * 2, covers_training=True)


def rerun_of_same_model(turned: float, n: int, whole: float = 1.0) -> Items:
    """Return the noise of decoding alone, by the share of items that turned in a rerun: ``SE = sqrt(d/n)``.

    A floor under every difference. It decides alone only where nothing is trained between the two runs.

    Args:
        turned: share of items whose outcome was another, 0 to 1.
        n: items behind the number.
        whole: value of a share of 1 in the unit: 100 for percent.
    """
    stderr = whole * turned_stderr(turned, n)
    return Items(lambda confidence: (_half(stderr, None, confidence),) * 2, covers_training=False)


def decide(
    ours: Sequence[float],
    paper: float,
    *,
    margin: float | None,
    rounding: float = 0.0,
    spread: Spread | None = None,
    items: Items | None = None,
    is_retrained: bool = True,
    widest: Spread | None = None,
) -> Decision:
    """Return the verdict on one number of ours beside the paper's one run.

    *match*: the 90 % interval of the difference lies within ``±margin``. *off*: the paper's number lies outside the
    95 % prediction interval. Where both hold, the runs differ, but by less than matters: a match. *cannot tell*:
    neither. *missing*: no run of ours.

    Args:
        ours: value of each of our runs, which differ in the training seed alone.
        paper: the paper's value.
        margin: largest difference that does not matter; None where nobody has said: then nothing matches.
        rounding: half of the last digit that the paper prints.
        spread: spread between training seeds, pooled over cells of one benchmark; None where it is not known. Then our
            own runs give it, where there are two that differ.
        items: noise of the items; None where it is not known.
        is_retrained: whether a model is trained between the two numbers, so that the seed counts.
        widest: spread to assume where none is known; :data:`WIDEST_SEED_SPREAD` in the unit. None: assume none, and say
            "cannot tell".

    Raises:
        RequestError: a value is no finite number, or the margin, the rounding or a spread is below 0.
    """
    _check([*ours, paper], margin, rounding, [one for one in (spread, widest) if one])
    if not ours:
        return Decision("missing", "nothing")
    mean = statistics.fmean(ours)
    difference = mean - paper
    basis, widths = _noise(ours, spread, items, is_retrained, widest)
    floor = _smallest(items.widths, rounding) if items and not items.covers_training else None
    if widths is None:
        return Decision("cannot tell", "nothing", difference, floor=floor)
    below, above = widths(OFF_CONFIDENCE)
    prediction = Interval(mean - below - rounding, mean + above + rounding, OFF_CONFIDENCE)
    near_below, near_above = widths(MATCH_CONFIDENCE)
    narrow = Interval(difference - near_below - rounding, difference + near_above + rounding, MATCH_CONFIDENCE)
    if margin is not None and is_equivalent(narrow, margin):
        verdict: Verdict = "match"
    else:
        verdict = "cannot tell" if prediction.holds(paper) else "off"
    smallest = _smallest(widths, rounding)
    return Decision(verdict, basis, difference, prediction, narrow, smallest, floor, rounding, widths)


def _smallest(widths: Widths, rounding: float) -> float:
    """Return the smallest true difference that is told with 80 % power: 2.80 SE for a normal noise, plus rounding."""
    return max(widths(OFF_CONFIDENCE)) + max(widths(POWER_CONFIDENCE)) + rounding


def _noise(
    ours: Sequence[float], spread: Spread | None, items: Items | None, is_retrained: bool, widest: Spread | None
) -> tuple[Basis, Widths | None]:
    """Return the noise between our mean and one more run, by the best basis that there is."""
    if not is_retrained:
        return ("items", items.widths) if items else ("nothing", None)
    if spread is None and len(ours) > 1:
        spread = pooled_spread([ours])
    if spread is not None and spread.value > 0:  # runs that all agree, of a few items, tell no spread
        stderr, degrees = spread.value * math.sqrt(1 + 1 / len(ours)), spread.degrees
        return "seeds", lambda confidence: (_half(stderr, degrees, confidence),) * 2
    if widest is None or items is None or not items.covers_training:
        return "nothing", None
    assumed, of_items = widest, items.widths

    def widths(confidence: float) -> tuple[float, float]:
        """Square and add: half widths of independent noises, as in Newcombe's method 10."""
        shift = _half(assumed.value * math.sqrt(2), assumed.degrees, confidence)
        below, above = of_items(confidence)
        return math.hypot(shift, below), math.hypot(shift, above)

    return "widest", widths


def _half(stderr: float, degrees: float | None, confidence: float) -> float:
    """Return half the width of an interval of Student's t, or of the normal distribution."""
    return quantile(0.5 + confidence / 2, degrees) * stderr


def _check(values: Sequence[float], margin: float | None, rounding: float, spreads: Sequence[Spread]) -> None:
    """Check what a verdict is asked of.

    Raises:
        RequestError: a value is no finite number, or the margin, the rounding or a spread is below 0.
    """
    for value in values:
        if not math.isfinite(value):
            raise RequestError(f"decide: found a value of {shown(value)}, wanted finite numbers; leave out failed runs")
    if not (margin is None or margin >= 0) or not rounding >= 0:
        raise RequestError(
            f"decide: found a margin of {shown(margin)} and a rounding of {shown(rounding)}, wanted each 0 or more"
        )
    for spread in spreads:
        if not spread.value >= 0 or not spread.degrees > 0:
            raise RequestError(
                f"decide: found a spread of {shown(spread.value)} with {shown(spread.degrees)} degrees of freedom, "
                "wanted 0 or more with more than 0 degrees"
            )
