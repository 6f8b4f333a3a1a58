"""Evidence worked out by hand: bets fixed before a block, replicates that bet together, means over models."""

import math

import pytest

from kit.budget.evidence import Models, Observed, Runs, check_alpha
from kit.budget.expected import Expected
from kit.errors import RequestError
from tests.budget.making import seen

# scale 8 points: an effect of 4 counts as 1/2, its mean square as 1/4 + 1/4 (noise 4: half of the scale)
EXPECTED = Expected(effect=4.0, noise=4.0)
NOTHING = Expected(effect=0.0, noise=4.0)


def test_the_first_bets_are_those_that_the_printed_numbers_let_expect():
    runs = Runs(EXPECTED)
    assert runs.scale == 8.0
    assert [runs.bet(sign) for sign in (1, -1)] == [0.9, 0.9]  # (4 / 2) / (4 / 2) = 1, and 0.9 is the most
    assert [Runs(NOTHING).bet(sign) for sign in (1, -1)] == [0.0, 0.0]


BLOCKS = {
    # differences in points, replicates, weights; counted values by hand
    "two replicates": ([4.0, -8.0], "ab", [1, 1], [0.5, -1.0]),
    "one replicate bets once": ([4.0, -8.0], "aa", [1, 1], [-0.25]),
    "weights, the heaviest replicate counts as 1": ([8.0, 8.0], "ab", [4, 2], [1.0, 0.5]),
    "what is beyond the scale counts no more": ([80.0, -16.0], "ab", [1, 1], [1.0, -1.0]),
    "two of three are one replicate": ([8.0, 8.0, 4.0], "aab", [1, 1, 2], [1.0, 0.5]),
}


@pytest.mark.parametrize("differences, replicates, weights, values", BLOCKS.values(), ids=list(BLOCKS))
def test_a_block(differences: list[float], replicates: str, weights: list[float], values: list[float]):
    runs = Runs(EXPECTED)
    runs.update(seen(*differences, replicates=replicates, weights=weights))
    assert runs.wealth[1] == pytest.approx(math.prod(1 + 0.9 * value for value in values))
    assert runs.wealth[-1] == pytest.approx(math.prod(1 - 0.9 * value for value in values))
    # the next bet: (2 + sum v) / (2 + sum v^2), and with the other sign
    for sign in (1, -1):
        wanted = (2 + sign * sum(values)) / (2 + sum(value * value for value in values))
        assert runs.bet(sign) == pytest.approx(min(0.9, max(0.0, wanted)))


def test_without_printed_numbers_the_past_alone_says_how_much_is_bet():
    runs = Runs(NOTHING)
    runs.update(seen(8.0, 8.0))
    assert runs.wealth == {1: 1.0, -1: 1.0}  # nothing was bet
    assert runs.bet(1) == pytest.approx(2 / 6)  # (0 + 2) / (4 + 2)
    assert runs.bet(-1) == 0.0
    runs.update(seen(4.0))
    assert runs.wealth[1] == pytest.approx(1 + 0.5 / 3)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (4.0, 2.0)], ids=["alike", "one counts double"])
def test_a_block_does_not_gain_on_average_where_its_parts_cancel(weights: tuple[float, float]):
    # part a always leans by +m, part b by what makes the weighted mean 0: the geometric mean is below the arithmetic
    lean = 4.0
    runs = Runs(EXPECTED)
    runs.update(seen(lean, -lean * weights[0] / weights[1], weights=weights))
    assert max(runs.wealth.values()) < 1


def items_of(right: int, wrong: int, same: int) -> dict[str, float]:
    """Return items that one side alone has right, then the other, then neither."""
    values = [1.0] * right + [-1.0] * wrong + [0.0] * same
    return {f"i{place}": value for place, value in enumerate(values)}


def test_evidence_about_models_is_a_mean_over_all_that_was_planned():
    models = Models(3, 0.05)
    assert models.wealth == {1: 1.0, -1: 1.0}
    # all 20 items turn one way, so that their order does not count: bets are 0, 1/5, 2/6, ... up to 0.9
    wealth = 1.0
    for count in range(20):
        wealth *= 1 + min(0.9, count / (count + 4))
    one = Observed(replicate="a", weight=1, difference=1.0, items={"gsm8k": items_of(20, 0, 0)})
    models.update(["first"], [one])
    assert models.wealth[1] == pytest.approx((wealth + 2) / 3)
    assert models.wealth[-1] == pytest.approx(1.0)  # it never led, so that nothing was bet


def test_benchmarks_of_one_step_are_averaged():
    same, ahead = {"gsm8k": items_of(0, 0, 9)}, {"gsm8k": items_of(0, 0, 9), "math": items_of(8, 0, 0)}
    found = []
    for items in (same, ahead, {"math": ahead["math"]}):
        models = Models(1, 0.05)
        models.update(["s"], [Observed(replicate="a", weight=1, difference=0.0, items=items)])
        found.append(models.wealth[1])
    assert found[0] == 1.0
    assert found[1] == pytest.approx((1 + found[2]) / 2)


def test_the_order_of_items_is_fixed_by_their_names_not_by_the_file():
    items = items_of(6, 3, 5)
    turned = dict(reversed(items.items()))
    found = []
    for each in (items, turned):
        models = Models(1, 0.05)
        models.update(["s"], [Observed(replicate="a", weight=1, difference=0.0, items={"gsm8k": each})])
        found.append(models.wealth)
    assert found[0] == found[1]


@pytest.mark.parametrize("alpha, shown", [(0.0, "0.0"), (0.6, "0.6"), (float("nan"), "nan")])
def test_alpha_is_a_probability(alpha: float, shown: str):
    with pytest.raises(RequestError) as error:
        check_alpha(alpha)
    assert str(error.value) == f"--alpha: found {shown}, wanted the probability of a wrong stop, as 0.05; 0.5 at most"
