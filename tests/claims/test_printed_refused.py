"""Claims that a printed table cannot answer, and what is said of each."""

from collections.abc import Callable

import pytest

from kit.catalogue.claims import Everywhere, Rises, Side
from kit.claims import arithmetic, claims_of, printed
from kit.claims.numbers import Number, Pair, grouped, pairs_of, printed_numbers
from kit.errors import RequestError

CLAIMS = {claim.id: claim for claim in claims_of()}
SMALL, LARGE = "llama-3.1-8b-instruct", "llama-3.1-70b-instruct"


def number(
    value: float, n: int | None, unit: str = "percent", items: str = "a", column: str = "c", **at: str
) -> Number:
    return Number(table="t", at=at, column=column, value=value, unit=unit, n=n, items=items)


def table_1(better: dict[str, str | float], worse: dict[str, str | float], against: str = "", **more: object) -> object:
    side = Side(table="table-1", better=better, worse=worse, against=against)
    numbers = {name: printed_numbers(name) for name in side.tables()}
    return pairs_of(side, numbers, None if "columns" not in more else ["gsm8", "math"])


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a column": (
        lambda: table_1({"evolver": SMALL}, {"evolver": LARGE}, columns=True),
        "claim: table-1 has no column 'gsm8'; did you mean 'gsm8k'?",
    ),
    "a point": (
        lambda: table_1({"evolver": "llama-8b"}, {"evolver": LARGE}),
        f"claim: table-1: no two cells to compare at evolver = llama-8b and evolver = {LARGE}; the names in "
        "manifests/claims.toml must be the table's",
    ),
    "several partners": (
        lambda: table_1({"evolver": SMALL}, {"round": 2}, "table-10"),
        f"claim: table-1, round = 1, evolver = {SMALL}, base = llama-3-8b, ifeval_prompt_strict has 2 partners in "
        "table-10; name more of its axes",
    ),
    "an axis": (
        lambda: grouped(table_1({"evolver": SMALL}, {"evolver": LARGE}), ["temperature"]),  # type: ignore[arg-type]
        "claim: table-1 has no axis 'temperature' to go over; it has round, evolver, base",
    ),
    "two units": (
        lambda: printed.everywhere(
            Everywhere(of=[Side(table="t", better={"round": 1}, worse={"round": 2})]),
            [Pair(better=number(1, 1), worse=number(1, 1)), Pair(better=number(1, 1, "reward"), worse=number(1, 1))],
        ),
        "claim: t: found numbers in percent, reward, wanted one unit; name columns of one",
    ),
    "a value of an axis": (
        lambda: arithmetic.rises(
            Rises(table="table-13", along="round", values=[0, 4], columns=["alpaca"]), printed_numbers("table-13")
        ),
        "claim: table-13: 0 cells of alpaca at round = 4; wanted one",
    ),
    "a size": (
        lambda: arithmetic.setting(CLAIMS["text-seeds-code"].quoted.setting.model_copy(update={"field": "n_item.x"})),  # type: ignore[union-attr]
        "claim: table-8: no field 'n_item'; did you mean 'n_items'?",
    ),
    "a seed set": (
        lambda: arithmetic.setting(CLAIMS["text-seeds-code"].quoted.setting.model_copy(update={"field": "n_items.x"})),  # type: ignore[union-attr]
        "claim: table-8: it has no n_items.x; wanted a number there",
    ),
}


@pytest.mark.parametrize("ask, message", REFUSED.values(), ids=list(REFUSED))
def test_a_claim_that_its_table_cannot_answer_is_refused(ask: Callable[[], object], message: str):
    with pytest.raises(RequestError) as refused:
        ask()
    assert str(refused.value) == message
