"""The budget of a server: estimated at its most, never passed, and counted where the server does not count."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from kit.errors import KitError, RequestError
from kit.judges.server import estimate
from tests.judges import serving
from tests.judges.conftest import GREEDY, Asking, requests, settings
from tests.judges.serving import Misdeed, Server, answering, body, status

UNCOUNTED: dict[str, Mapping[str, int]] = {
    "nothing": {},
    "zeros": {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    "no token of the reply": {"prompt_tokens": 10, "completion_tokens": 0},
}


@pytest.mark.parametrize("usage", UNCOUNTED.values(), ids=list(UNCOUNTED))
def test_a_reply_that_the_server_does_not_count_costs_its_most(usage: Mapping[str, int], asking: Asking):
    # zeros were taken as the truth, so that such a server was asked without end
    with Server(always=answering(usage=usage)) as server:
        with pytest.raises(KitError, match="the budget is reached"):
            asking(server, [f"q{n}" for n in range(5)], budget_tokens=2 * 166, partial=True, in_flight=1)
        assert sum(server.record.asked.values()) == 2


def test_thoughts_that_a_server_counts_in_its_total_alone_are_spent(asking: Asking):
    # the reply's own tokens were counted, and of 100,000 that were charged 5
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 100_000}
    with Server(always=answering(usage=usage)) as server:
        assert asking(server, ["one"], budget_tokens=100_100)[0].tokens == 99_990
        with pytest.raises(RequestError, match="are 100 left"):
            asking(server, ["two"], budget_tokens=100_100)


def test_the_estimate_is_the_most_that_requests_can_cost():
    server = settings("http://127.0.0.1:9/v1", price_in=10.0, price_out=30.0, budget_money=1.0)
    found = estimate(requests("one", "two", "one"), GREEDY, server)
    prompt = 128 + 16 + 3
    assert (found.questions, found.tokens) == (2, 2 * (prompt + 20))
    assert found.money is not None and float(found.money) == pytest.approx(2 * (prompt * 10 + 20 * 30) / 1e6)
    assert estimate(requests("one"), GREEDY, settings("http://127.0.0.1:9/v1")).money is None


@pytest.mark.parametrize("deed", [serving.answer, status(500), serving.drop, body("nonsense"), status(429)])
@pytest.mark.parametrize("budget", [170, 270])
def test_the_budget_is_never_passed(deed: Misdeed, budget: int, asking: Asking):
    texts = [f"q{number}" for number in range(20)]
    with Server({text: [deed] for text in texts}) as server:
        for _ in range(3):  # and run again, which does not begin anew
            with pytest.raises(KitError, match="budget"):
                asking(server, texts, budget_tokens=budget, partial=True, in_flight=3)
    assert server.record.charged <= budget
    assert server.record.charged > budget - 170 - 15 or deed is not serving.answer
    assert max(server.record.answered.values(), default=1) == 1


def test_a_raised_budget_goes_on_where_it_ended(asking: Asking):
    texts = [f"q{number}" for number in range(30)]
    with Server() as server:
        with pytest.raises(KitError) as caught:
            asking(server, texts, budget_tokens=300, partial=True, in_flight=1)
        assert len(server.record.asked) == 9  # of 15 tokens each
        found = asking(server, texts, budget_tokens=30_000)
    assert str(caught.value) == (
        "served.mine: the budget is reached: one more question costs 166 tokens at most, and of budget_tokens = 300 "
        "are 165 left"
    )
    assert [reply.text for reply in found] == [f"re: {text}" for text in texts]
    assert set(server.record.asked.values()) == {1}


def test_money_is_counted_by_the_prices(asking: Asking, replies: Path):
    prices = {"price_in": 10.0, "price_out": 1000.0, "budget_money": 0.05, "partial": True, "in_flight": 1}
    texts = [f"q{number}" for number in range(30)]
    with Server() as server, pytest.raises(KitError) as caught:
        asking(server, texts, **prices)
    # 10 tokens at 10 and 5 at 1,000 a million are 0.0051 a question; 0.02146 is the most that one can cost
    assert sum(server.record.asked.values()) == 6
    assert str(caught.value) == (
        "served.mine: the budget is reached: one more question costs 0.0215 at most, and of budget_money = 0.05 are "
        "0.0194 left"
    )
