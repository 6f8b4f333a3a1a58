"""Chances of coincidences by hand and by another way, and rows that stand twice by design or not."""

import math
from dataclasses import replace
from itertools import product

import numpy
import pytest
from scipy import stats

from kit.audit import repeated
from kit.audit.counts import Number
from kit.audit.facts import facts
from kit.audit.ifeval import ROLES
from kit.audit.repeated import at_least, equal_by_chance, tail
from kit.audit.sheets import Column, Line, Sheet, printed_sheets

GSM8K = Column(id="gsm8k", benchmark="gsm8k", n=1319, units=1319)


@pytest.mark.parametrize(
    ("column", "digits", "wanted"),
    [
        pytest.param(GSM8K, 5000, 1 / math.sqrt(2 * math.pi * 0.2 * 1319), id="half-right"),
        pytest.param(GSM8K, 0, 1 / math.sqrt(2 * math.pi), id="none-right"),
        pytest.param(
            Column(id="math", n=5000, units=5000), 56, 1 / math.sqrt(2 * math.pi * 2 * 28 * 4972 / 5000), id="few"
        ),
        pytest.param(
            Column(id="mmlu", units=14042), 5000, 0.0001 / math.sqrt(2 * math.pi * 0.2 / 14042), id="no-count"
        ),
        pytest.param(Column(id="loose", role="instruction loose", n=834, units=834), 5000, 0.1, id="last-of-four"),
    ],
)
def test_chance_of_an_equal_cell(column: Column, digits: int, wanted: float):
    assert equal_by_chance(Number(digits, 2), column) == pytest.approx(wanted)


def test_the_chance_is_that_of_two_equally_good_models():
    # each item is turned with a chance of 0.2; the counts are equal if as many are turned one way as the other
    turned = numpy.arange(0, 1320, 2)
    exact = (stats.binom.pmf(turned, 1319, 0.2) * stats.binom.pmf(turned // 2, turned, 0.5)).sum()
    assert equal_by_chance(Number(5000, 2), GSM8K) == pytest.approx(exact, rel=0.01)


@pytest.mark.parametrize("equal", [["a", "b"], ["a", "c"], ["a", "b", "c"], ["d"]])
def test_tail_over_all_sets_of_columns(equal: list[str]):
    chances = {"a": 0.1, "b": 0.03, "c": 0.3, "d": 0.02}
    weight = {id: -math.log(chance) for id, chance in chances.items()}
    wanted = 0.0
    for agree in product((False, True), repeat=len(chances)):
        sets = [id for id, one in zip(chances, agree, strict=True) if one]
        if sum(weight[id] for id in sets) >= sum(weight[id] for id in equal) - 1e-6:
            wanted += math.prod(chances[id] if id in sets else 1 - chances[id] for id in chances)
    assert tail(chances, equal) == pytest.approx(wanted)


@pytest.mark.parametrize(("seen", "expected"), [(0, 0.3), (1, 0.3), (2, 0.05), (4, 1.6)])
def test_at_least_so_many(seen: int, expected: float):
    assert at_least(seen, expected) == pytest.approx(stats.poisson.sf(seen - 1, expected))


def test_the_spread_of_instruction_loose_is_that_of_the_papers_rows():
    rows, seen = [], set()
    for sheet in printed_sheets(facts()):
        ids = {column.role: column.id for column in sheet.columns if column.role in ROLES}
        for line in sheet.lines if sheet.name.startswith("table") and len(ids) == len(ROLES) else ():
            if line.run not in seen and "72b" not in line.name.partition(", ")[2]:  # those rows break the bounds
                rows.append(
                    [line.cells[ids[role]].value * n / 100 for role, n in zip(ROLES, (541, 834, 541, 834), strict=True)]
                )
            seen.add(line.run)
    table = numpy.array(rows)
    known = numpy.column_stack([table[:, :3], numpy.ones(len(table))])
    residuals = table[:, 3] - known @ numpy.linalg.lstsq(known, table[:, 3], rcond=None)[0]
    spread = math.sqrt((residuals**2).sum() / (len(table) - 4))
    assert spread == pytest.approx(2.9, abs=0.05)
    assert 1 / (2 * math.sqrt(math.pi) * spread) == pytest.approx(repeated.LAST_OF_FOUR, abs=0.005)


def sheet(name: str, cells: list[tuple[float, float]], runs: list[str] | None = None, series: str = "") -> Sheet:
    columns = [GSM8K, Column(id="mbpp", benchmark="mbpp", n=500, units=500)]
    lines = [
        Line(
            name=f"row {place}",
            cells={"gsm8k": Number(round(100 * gsm8k), 2), "mbpp": Number(round(100 * mbpp), 2)},
            run=(("run", runs[place]),) if runs else None,
        )
        for place, (gsm8k, mbpp) in enumerate(cells)
    ]
    return Sheet(name=name, columns=columns, lines=lines, series=series)


def test_rows_of_one_run_agree_by_design():
    one, two = sheet("table-x", [(33.43, 6.0)], ["a"]), sheet("table-y", [(33.43, 6.0)], ["a"])
    assert repeated.repeated_rows([one, two]) == ([], 0)
    assert repeated.shared_rows([one, two]) == ([], 2)


def test_rows_of_two_runs_that_agree_are_told():
    found, pairs = repeated.repeated_rows([sheet("table-x", [(33.43, 6.0), (33.43, 6.0)], ["a", "b"])])
    assert pairs == 1
    assert [(one.rows, one.columns, one.sure) for one in found] == [(("row 0", "row 1"), ("gsm8k", "mbpp"), "likely")]


def test_prints_of_one_run_that_differ_are_told():
    first = sheet("figure-x", [(33.43, 6.0), (40.03, 7.0)], ["a", "b"], series="tables")
    second = replace(sheet("figure-x", [(40.03, 6.0), (33.43, 7.0)], ["a", "b"]), series="script")
    (found,), compared = repeated.shared_rows([first, second])
    assert compared == 4
    assert (found.table, found.columns, found.sure) == ("figure-x (script)", ("gsm8k",), "certain")
    assert found.printed == (
        "row 0, gsm8k: 40.03, 33.43 in figure-x (tables)",
        "row 1, gsm8k: 33.43, 40.03 in figure-x (tables)",
    )
    assert found.could_be[0] == (
        "gsm8k: the same numbers in other rows; in figure-x (tables) 40.03 stands at row 1, 33.43 stands at row 0"
    )
