"""Verdicts beside the paper's number by every basis that there is, worked out by hand, and what is refused."""

import math

import pytest

from kit.comparing.intervals import Spread
from kit.comparing.shares import two_shares
from kit.comparing.verdicts import (
    REASONS,
    WIDEST_SEED_SPREAD,
    decide,
    means_with_errors,
    rerun_of_same_model,
    shares_of_own_items,
    shares_of_same_items,
)
from kit.errors import RequestError

# t(12) is 1.782288 at 95 % and 2.178813 at 97.5 %: a spread of 0.5 points and two seeds give 90 % intervals of
# 0.5 * sqrt(1.5) * 1.782288 + 0.005 = 1.0964 on either side, and 95 % intervals of 1.3393
HALF = Spread(0.5, 12)
SEEDS = {
    "the same number": ([50.0, 50.0], 50.0, 1.4, "match"),
    "just within the margin": ([50.1, 50.5], 50.0, 1.4, "match"),
    "just beyond it": ([50.31, 50.31], 50.0, 1.4, "cannot tell"),
    "just within the prediction interval": ([51.33, 51.33], 50.0, 1.4, "cannot tell"),
    "just outside": ([51.35, 51.35], 50.0, 1.4, "off"),
    "as far below": ([48.65, 48.65], 50.0, 1.4, "off"),
    "different, by less than matters": ([51.5, 51.5], 50.0, 3.0, "match"),
    "no margin": ([50.0, 50.0], 50.0, None, "cannot tell"),
    # one run, of a spread that other cells gave: 0.5 * sqrt(2) * 2.178813 + 0.005 = 1.5457
    "one run, within": ([51.54], 50.0, 1.4, "cannot tell"),
    "one run, outside": ([51.56], 50.0, 1.4, "off"),
}


@pytest.mark.parametrize("ours, paper, margin, verdict", SEEDS.values(), ids=list(SEEDS))
def test_by_the_spread_between_seeds(ours, paper: float, margin, verdict: str):
    found = decide(ours, paper, margin=margin, rounding=0.005, spread=HALF)
    assert (found.verdict, found.basis) == (verdict, "seeds")
    stderr = 0.5 * math.sqrt(1 + 1 / len(ours))
    mean = sum(ours) / len(ours)
    assert found.prediction is not None
    assert found.difference_90 is not None
    assert (found.prediction.low, found.prediction.high) == pytest.approx(
        (mean - 2.178813 * stderr - 0.005, mean + 2.178813 * stderr + 0.005), abs=1e-5
    )
    assert found.difference_90.high == pytest.approx(mean - paper + 1.782288 * stderr + 0.005, abs=1e-5)
    assert found.difference == pytest.approx(mean - paper)
    assert found.smallest == pytest.approx((2.178813 + 0.872609) * stderr + 0.005, abs=1e-5)
    assert found.reason == REASONS[found.verdict, "seeds"]


def test_our_own_runs_give_the_spread_where_no_other_does():
    # 49, 50, 51: s = 1, 2 degrees; 4.302653 * sqrt(4/3) = 4.9683
    within, outside = (decide([49.0, 50.0, 51.0], paper, margin=2.0) for paper in (54.96, 54.98))
    assert (within.verdict, within.basis) == ("cannot tell", "seeds")
    assert (outside.verdict, outside.basis) == ("off", "seeds")


def test_runs_that_all_agree_tell_no_spread():
    # the interval had no width, and every other number was off
    assert decide([50.0, 50.0, 50.0], 50.6, margin=2.0).verdict == "cannot tell"
    assert decide([50.0, 50.0], 50.6, margin=2.0, spread=Spread(0.0, 3)).basis == "nothing"


def test_no_run_of_ours():
    found = decide([], 50.0, margin=2.0, spread=HALF)
    assert (found.verdict, found.basis, found.difference, found.prediction) == ("missing", "nothing", None, None)
    assert found.reason == "not computed"


def test_one_run_and_no_noise_known():
    found = decide([90.0], 10.0, margin=2.0)
    assert (found.verdict, found.basis, found.difference) == ("cannot tell", "nothing", 80.0)
    assert (found.prediction, found.smallest, found.floor) == (None, None, None)
    assert found.reason == "one run, and no noise between two runs is known; take a second seed"


def test_a_rerun_sets_a_floor_and_decides_nothing_where_a_model_was_trained():
    # a tenth of 1,319 items turned: 0.8707 points a standard error
    rerun = rerun_of_same_model(0.1, 1319, 100)
    found = decide([60.0], 50.0, margin=2.0, rounding=0.005, items=rerun, widest=WIDEST_SEED_SPREAD)
    assert (found.verdict, found.basis, found.smallest) == ("cannot tell", "nothing", None)
    assert found.floor == pytest.approx(2.801585 * 0.870727 + 0.005, abs=1e-4)
    same_model = decide([52.0], 50.0, margin=2.0, items=rerun, is_retrained=False)
    assert (same_model.verdict, same_model.basis) == ("off", "items")  # 2.0 above 1.96 * 0.8707
    assert decide([50.3], 50.0, margin=2.0, items=rerun, is_retrained=False).verdict == "match"  # 0.3 + 1.4322
    assert decide([50.6], 50.0, margin=2.0, items=rerun, is_retrained=False).verdict == "cannot tell"


# t(2) is 4.302653 at 97.5 %: the widest spread alone gives 1.33 * sqrt(2) * 4.302653 = 8.0928 points
WIDEST = {
    # Wilson's limits of 60 and 50 % of 1,319: the 95 % half widths square and add to 3.77; with 8.0928, 8.93
    "a tenth": (60.0, 50.0, 1319, "off"),
    "beyond the items alone": (56.0, 50.0, 1319, "cannot tell"),
    "the same": (50.0, 50.0, 1319, "cannot tell"),
    # of 164 items, exact limits: about 11 points, with 8.0928 13.8
    "HumanEval, 12 points": (52.0, 40.0, 164, "cannot tell"),
    "HumanEval, 20 points": (60.0, 40.0, 164, "off"),
    "MMLU, 2 points, far outside the item band": (62.0, 60.0, 14042, "cannot tell"),
}


@pytest.mark.parametrize("ours, paper, n, verdict", WIDEST.values(), ids=list(WIDEST))
def test_one_run_is_off_only_beyond_the_widest_spread_that_anybody_measured(
    ours: float, paper: float, n: int, verdict: str
):
    items = shares_of_own_items(ours, paper, n, 100)
    found = decide([ours], paper, margin=2.0, rounding=0.005, items=items, widest=WIDEST_SEED_SPREAD)
    assert (found.verdict, found.basis) == (verdict, "widest")
    assert found.smallest is not None
    assert found.smallest > 1.33 * math.sqrt(2) * (4.302653 + 1.060660)
    assert decide([ours], paper, margin=2.0, items=items).basis == "nothing"  # nobody said how wide


def test_the_widest_spread_squares_and_adds_to_that_of_the_items():
    found = decide([60.0], 50.0, margin=2.0, items=means_with_errors(3.0), widest=WIDEST_SEED_SPREAD)
    assert found.prediction is not None
    half = math.hypot(1.959964 * 3.0, 4.302653 * 1.33 * math.sqrt(2))
    assert found.prediction.high - 60.0 == pytest.approx(half, abs=1e-4)


ITEMS = {
    # 3 and 3 of 500 turned: 90 % within 1 point
    "paired, hardly anything turned": (shares_of_same_items(3, 3, 500, 100), [50.0], 50.0, "match"),
    # 30 and 8 of 500: McNemar 0.0005
    "paired, one way": (shares_of_same_items(30, 8, 500, 100), [54.4], 50.0, "off"),
    # 13 and 6 of 164: McNemar 0.17
    "paired, few": (shares_of_same_items(13, 6, 164, 100), [54.27], 50.0, "cannot tell"),
    "means, within": (means_with_errors(0.5), [50.5], 50.0, "match"),
    "means, few degrees": (means_with_errors(0.5, 3), [51.5], 50.0, "cannot tell"),  # 3.182 * 0.5
    "means, off": (means_with_errors(0.5), [51.5], 50.0, "off"),
    "items of their own": (shares_of_own_items(55.0, 50.0, 1319, 100), [55.0], 50.0, "off"),
    "nothing": (None, [50.0], 50.0, "cannot tell"),
}


@pytest.mark.parametrize("items, ours, paper, verdict", ITEMS.values(), ids=list(ITEMS))
def test_by_items_where_nothing_was_trained_in_between(items, ours, paper: float, verdict: str):
    found = decide(ours, paper, margin=2.0, items=items, is_retrained=False)
    assert (found.verdict, found.basis) == (verdict, "items" if items else "nothing")


@pytest.mark.parametrize("right, papers, n", [(59, 42, 164), (55, 37, 500), (1, 9, 164), (9, 1, 164), (0, 8, 820)])
def test_a_number_is_off_exactly_where_the_interval_of_the_difference_leaves_out_0(right: int, papers: int, n: int):
    # the interval's sides were exchanged: 59 and 42 of 164 were off, though the interval went from -0.05 points up
    ours, paper = 100 * right / n, 100 * papers / n
    interval = two_shares(ours / 100, paper / 100, n, 0.95)
    items = shares_of_own_items(ours, paper, n, 100)
    found = decide([ours], paper, margin=None, items=items, is_retrained=False)
    assert found.prediction is not None
    assert (found.prediction.low - paper, found.prediction.high - paper) == pytest.approx(
        (100 * interval.low, 100 * interval.high)
    )
    assert found.verdict == ("cannot tell" if interval.holds(0.0) else "off")
    assert (found.p < 0.05) == (found.verdict == "off")


def test_each_verdict_of_each_basis_has_a_sentence():
    assert len(REASONS) == len(set(REASONS)) == 11
    assert len(set(REASONS.values())) == 10  # items and seeds say "neither" in the same words


REFUSED = {
    "a run without a number": (
        lambda: decide([50.0, math.nan], 50.0, margin=2.0),
        "decide: found a value of nan, wanted finite numbers; leave out failed runs",
    ),
    "a paper without a number": (
        lambda: decide([50.0], math.inf, margin=2.0),
        "decide: found a value of inf, wanted finite numbers; leave out failed runs",
    ),
    "a margin below 0": (
        lambda: decide([50.0], 50.0, margin=-1.0),
        "decide: found a margin of -1.0 and a rounding of 0.0, wanted each 0 or more",
    ),
    "a spread below 0": (
        lambda: decide([50.0], 50.0, margin=1.0, spread=Spread(-1.0, 2)),
        "decide: found a spread of -1.0 with 2 degrees of freedom, wanted 0 or more with more than 0 degrees",
    ),
    "a spread of no degrees": (
        lambda: decide([50.0], 50.0, margin=1.0, widest=Spread(1.0, 0)),
        "decide: found a spread of 1.0 with 0 degrees of freedom, wanted 0 or more with more than 0 degrees",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(call, message: str):
    with pytest.raises(RequestError) as error:
        call()
    assert str(error.value) == message
