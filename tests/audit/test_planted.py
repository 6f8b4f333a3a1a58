"""Errors planted into consistent tables are found at a rate that is printed; untouched tables have no findings."""

import random

import pytest

from kit.audit.checking import audit_sheets
from kit.audit.facts import facts
from tests.audit.synthetic import COLUMNS, KINDS, Rates, consistent_table, plant_errors, untouched

EACH = 200
FLOORS = {
    "two columns swapped": 0.98,
    "two cells of a row swapped": 0.96,
    "one digit changed": 0.71,
    "a row repeated": 0.99,
    "IFEval's cells of a row repeated": 0.95,
}
"""Lowest share of planted errors that has to be found: that of 2,000 plants in docs/audit.md less three standard errors
of 200, or a little less. A digit of MATH is seldom found: 5,000 items give every second number with two decimals."""


@pytest.fixture(scope="module")
def rates() -> Rates:
    return plant_errors(EACH, seed=13)


def test_the_rates_are_printed(rates: Rates, capsys: pytest.CaptureFixture[str]):
    with capsys.disabled():
        print("\n" + "\n".join(rates.lines()))
    assert sum(rates.planted[kind] for kind in KINDS) == EACH * len(KINDS) >= 200


@pytest.mark.parametrize("kind", KINDS)
def test_planted_errors_are_found(kind: str, rates: Rates):
    assert rates.rate(kind) >= FLOORS[kind]


def test_nothing_is_found_in_untouched_tables():
    findings, _ = untouched(EACH, seed=14)
    assert findings == []


def test_untouched_tables_print_counts_of_their_items():
    table = consistent_table(random.Random(1), facts())
    for line in table.lines:
        for column in COLUMNS:
            share = 100 * round(line.cells[column.id].value * column.n / 100) / column.n
            assert f"{share + 1e-9:.2f}" == line.cells[column.id].text
    assert audit_sheets([table]).compared["counts"] == 12 * 8


def test_the_same_seed_plants_the_same_errors():
    assert list(plant_errors(3, seed=5).lines()) == list(plant_errors(3, seed=5).lines())
