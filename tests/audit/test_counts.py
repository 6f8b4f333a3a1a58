"""Counts behind printed percentages: against rounding done by decimal, and against every count that there is."""

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from itertools import product

import pytest

from kit.audit import counts as grim
from kit.audit.counts import Number, around, as_printed, counts, fit_share, fits_groups, group_places, number


def printed(text: str) -> Number:
    whole, _, part = text.partition(".")
    return Number(int(whole + part), len(part))


@pytest.mark.parametrize(
    ("text", "n", "rule", "wanted"),
    [
        pytest.param("33.50", 1319, "rounded", [], id="none-of-1319"),  # 441 is 33.43, 442 is 33.51
        pytest.param("33.43", 1319, "rounded", [441], id="441-of-1319"),
        pytest.param("54.43", 834, "rounded", [], id="54.4365-is-not-54.43"),
        pytest.param("54.43", 834, "cut", [454], id="54.4365-cut"),
        pytest.param("48.33", 834, "raised", [403], id="48.3213-raised"),
        pytest.param("48.33", 834, "cut", [], id="48.3213-is-not-cut-to-48.33"),
        pytest.param("6.00", 500, "rounded", [30], id="trailing-noughts"),
        pytest.param(
            "6", 500, "rounded", list(range(28, 33)), id="no-decimals"
        ),  # 5.6 to 6.4; 5.5 and 6.5 are no counts
        pytest.param("0.00", 164, "rounded", [0], id="none-right"),
        pytest.param("0.00", 30000, "rounded", [0, 1], id="one-of-many-is-0.00"),
        pytest.param("100.00", 164, "rounded", [164], id="all-right"),
        pytest.param("100.00", 164, "cut", [164], id="all-right-cut"),
        pytest.param("6.2", 16, "rounded", [1], id="a-half-to-even"),  # 1 of 16 is 6.25
        pytest.param("6.3", 16, "rounded", [1], id="a-half-up"),
        pytest.param("50", 3, "rounded", [], id="no-half-of-three"),
        pytest.param("33.35", 5000, "rounded", [], id="between-two-of-5000"),
    ],
)
def test_counts(text: str, n: int, rule: grim.Rule, wanted: list[int]):
    assert list(counts(printed(text), n, rule)) == wanted


@pytest.mark.parametrize("n", [1, 3, 7, 16, 40, 164])
@pytest.mark.parametrize("decimals", [0, 1, 2])
def test_every_count_is_found_again(n: int, decimals: int):
    step = Decimal(1).scaleb(-decimals)
    modes = {"rounded": (ROUND_HALF_UP, ROUND_HALF_EVEN), "cut": (ROUND_DOWN,), "raised": (ROUND_CEILING,)}
    for rule, rounding in modes.items():
        by_text: dict[str, set[int]] = {}
        for k in range(n + 1):
            for mode in rounding:
                by_text.setdefault(str((Decimal(100 * k) / Decimal(n)).quantize(step, mode)), set()).add(k)
        for digits in range(100 * 10**decimals + 1):
            one = Number(digits, decimals)
            assert set(counts(one, n, rule)) - by_text.get(one.text, set()) == _halves_down(one, n, rule)  # type: ignore[arg-type]
            assert by_text.get(one.text, set()) <= set(counts(one, n, rule))  # type: ignore[arg-type]


def _halves_down(one: Number, n: int, rule: str) -> set[int]:
    """Return the counts that lie exactly half a digit above: of these only even ends are printed so."""
    exact = {k for k in range(n + 1) if 2 * 100 * one.unit * k == (2 * one.digits + 1) * n}
    return exact if rule == "rounded" and one.digits % 2 else set()


@pytest.mark.parametrize(
    ("text", "n", "wanted"),
    [
        ("54.43", 834, [454]),
        ("38.92", 541, [210, 211]),  # no rule gives it: the two counts around it
        ("22.00", 541, [119]),
        ("100.00", 541, [541]),
        ("99.99", 541, [540, 541]),
    ],
)
def test_counts_that_a_number_can_mean(text: str, n: int, wanted: list[int]):
    assert list(around(printed(text), n)) == wanted


@pytest.mark.parametrize(("k", "n", "text"), [(454, 834, "54.44"), (1, 16, "6.25"), (0, 9, "0.00"), (9, 9, "100.00")])
def test_as_printed(k: int, n: int, text: str):
    assert as_printed(k, n, 2).text == text


@pytest.mark.parametrize(
    ("value", "decimals", "text"), [(33.5, 2, "33.50"), (0.12, 2, "0.12"), (7.0, 0, "7"), (-0.5, 2, "-0.50")]
)
def test_a_float_keeps_its_printed_decimals(value: float, decimals: int, text: str):
    assert number(value, decimals).text == text


@pytest.mark.parametrize(("n", "decimals"), [(164, 2), (541, 2), (12, 1), (9, 0)])
def test_share_of_numbers_that_fit(n: int, decimals: int):
    whole = 100 * 10**decimals
    fitting = sum(bool(counts(Number(digits, decimals), n)) for digits in range(whole + 1))
    halves = sum(200 * 10**decimals * k % (2 * n) == n for k in range(n + 1))  # these fit two numbers
    assert fitting - halves == round(fit_share(n, decimals) * (whole + 1))


@pytest.mark.parametrize("n", [541, 834, 1319, 5000, 164, 500])
def test_no_count_of_the_papers_sizes_lies_between_two_numbers(n: int):
    assert [k for k in range(n + 1) if 20_000 * k % (2 * n) == n] == []


def test_with_enough_items_every_number_fits():
    assert fit_share(10_000, 2) == 1
    assert fit_share(14_042, 2) == 1


@pytest.mark.parametrize("sizes", [(2, 3), (4, 4, 5), (7,)])
def test_means_over_groups(sizes: tuple[int, ...]):
    exact = {
        sum(Decimal(k) / Decimal(n) for k, n in zip(right, sizes, strict=True)) * 100 / len(sizes)
        for right in product(*(range(n + 1) for n in sizes))
    }
    for digits in range(1001):
        one = Number(digits, 1)
        low, high = Decimal(digits) / 10 - Decimal("0.05"), Decimal(digits) / 10 + Decimal("0.1")
        wanted = any(low - Decimal("1e-20") <= value < high for value in exact)
        assert fits_groups(one, sizes) == (wanted or any(abs(value - high) < Decimal("1e-20") for value in exact))


def test_followbenchs_six_groups_leave_almost_no_number_out():
    sizes = (25, 22, 30, 30, 40, 17)
    bits, whole = group_places(sizes)
    assert whole == 6 * 112_200  # lcm = 2^3 * 3 * 5^2 * 11 * 17
    assert bits.bit_length() == whole + 1
    missing = [digits for digits in range(10_001) if not fits_groups(Number(digits, 2), sizes)]
    assert len(missing) == 314
    assert all(digits <= 280 or digits >= 9712 for digits in missing)  # up to 2.80, and from 97.12 on
