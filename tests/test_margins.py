"""Equivalence margins: each computed again from the paper's numbers, in the unit of its benchmark, never per cell."""

import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.catalogue import paper
from kit.catalogue.margins import Margin, MarginsFile, margin_of, read_margins
from kit.catalogue.paper import PaperRow
from kit.errors import RequestError
from kit.measures import Measure
from kit.reading.documents import parse

MARGINS = read_margins()
BETWEEN = {
    # benchmark -> tables whose two evolvers are compared, and the beginning of its columns' ids
    "ifeval": (("1", "2", "3", "4"), "ifeval"),
    "gsm8k": (("1", "2", "3", "4"), "gsm8k"),
    "hendrycks_math": (("1", "2", "4"), "math"),
    "humaneval": (("1", "2", "3", "4"), "humaneval"),
    "mbpp": (("1", "2", "4"), "mbpp"),
    "mmlu": (("3",), "mmlu"),
    "ceval": (("3",), "ceval"),
    "followbench": (("3",), "followbench_hsr"),
    "difficulty_score": (("13",), ""),
    "instruction_reward": (("14",), ""),
    "ifd": (("15",), ("ifd", "ic_ifd")),
    "difficulty_level": (("figure-2",), ""),
}


def pairs(table: str) -> Iterator[tuple[PaperRow, PaperRow]]:
    """Yield the rows of a printed table that differ by the evolver alone."""
    rows: dict[str, list[PaperRow]] = {}
    for row in paper.table(table).row:
        if row.evolver:
            keys = row.model_dump(exclude={"values", "evolver", "evolver_role"})
            rows.setdefault(repr(keys), []).append(row)
    for one in rows.values():
        if len(one) == 2:
            yield one[0], one[1]


def differences(tables: tuple[str, ...], columns: str | tuple[str, ...]) -> list[float]:
    """Return the differences between the evolvers, signs left out; counts as percent of their rows."""
    found = []
    for table in tables:
        for one, other in pairs(table):
            for column in one.values:
                if column.startswith(columns):
                    parts = [
                        100 * float(row.values[column]) / row.n if row.n else float(row.values[column])
                        for row in (one, other)
                    ]
                    found.append(abs(parts[0] - parts[1]))
    return found


@pytest.mark.parametrize("name, place", BETWEEN.items(), ids=list(BETWEEN))
def test_a_margin_is_half_of_the_printed_difference(name: str, place: tuple[tuple[str, ...], str | tuple[str, ...]]):
    found = differences(*place)
    digits = 2 if name == "instruction_reward" else 1
    assert round(statistics.fmean(found) / 2, digits) == MARGINS[name].value
    assert str(len(found)) in MARGINS[name].source
    assert f"mean difference {statistics.fmean(found):.{digits + 1}f}" in MARGINS[name].source


def test_alpacafarms_is_half_of_the_mean_lead():
    rows = [row for figure in ("figure-6", "figure-7") for row in paper.table(figure).row]
    leads = [100 * (float(row.values["win"]) - float(row.values["lose"])) / (row.n or 0) for row in rows]
    assert len(leads) == 9
    assert round(statistics.fmean(leads) / 2, 1) == MARGINS["alpacafarm"].value
    assert f"{statistics.fmean(leads):.2f} percent" in MARGINS["alpacafarm"].source


def test_every_benchmark_of_the_papers_tables_has_one():
    assert set(MARGINS) == {*BETWEEN, "alpacafarm"}


ONE = {"x": Margin(unit="percent", value=2.0, reason="r", source="s")}
UNITS = {
    "a share": ("x", Measure(), 100, 2.0),
    "a mean in percent": ("x", Measure(kind="mean"), 100, 2.0),
    # two percent of 805 prompts
    "a count": ("x", Measure(unit="prompts", kind="count"), 805, 16.1),
    "another unit of the benchmark": ("x", Measure(unit="levels", kind="mean"), 100, None),
    "another benchmark": ("y", Measure(), 100, None),
}


@pytest.mark.parametrize("benchmark, measure, n, wanted", UNITS.values(), ids=list(UNITS))
def test_a_margin_in_the_unit_of_a_number(benchmark: str, measure: Measure, n: int, wanted: float | None):
    assert margin_of(ONE, benchmark, measure, n) == (None if wanted is None else pytest.approx(wanted))


REST = 'unit = "percent"\nvalue = 1.0\nreason = "r"\nsource = "s"\n'
FAULTS = {
    "a misspelt benchmark": (
        f"[margins.gsm9k]\n{REST}",
        "margins.toml: margins: no benchmark or metric named 'gsm9k'; did you mean 'gsm8k'?",
    ),
    "another unit": (
        "[margins.gsm8k]\n" + REST.replace("percent", "points"),
        "margins.toml: margins.gsm8k.unit: found 'points'; its numbers are in percent",
    ),
    "a count's own unit": (
        "[margins.alpacafarm]\n" + REST.replace("percent", "prompts"),
        "margins.toml: margins.alpacafarm.unit: found 'prompts'; its numbers are in percent",
    ),
    "nothing": (
        "[margins.gsm8k]\n" + REST.replace("1.0", "0.0"),
        "margins.toml: margins.gsm8k.value: input should be greater than 0, found 0.0",
    ),
    "endless": (
        "[margins.gsm8k]\n" + REST.replace("1.0", "inf"),
        "margins.toml: margins.gsm8k.value: input should be a finite number, found inf",
    ),
    "no reason": (
        "[margins.gsm8k]\n" + REST.replace('reason = "r"\n', ""),
        "margins.toml: margins.gsm8k.reason: missing; it has no default",
    ),
    "an empty source": (
        "[margins.gsm8k]\n" + REST.replace('"s"', '""'),
        "margins.toml: margins.gsm8k.source: string should have at least 1 character, found ''",
    ),
    "a margin for one cell": (
        f'[margins.gsm8k]\n{REST}base = "llama-3-8b"\n',
        "margins.toml: margins.gsm8k.base: no such key; known: reason, source, unit, value",
    ),
    "none at all": (
        "[margins]\n",
        "margins.toml: margins: dictionary should have at least 1 item after validation, not 0",
    ),
}


@pytest.mark.parametrize("text, message", FAULTS.values(), ids=list(FAULTS))
def test_wrong_margins_are_reported(text: str, message: str, tmp_path: Path):
    (tmp_path / "margins.toml").write_text(f"schema = 1\n{text}", encoding="utf-8")
    with pytest.raises(RequestError) as error:
        read_margins(tmp_path)
    assert str(error.value) == message


def test_the_file_is_read_in_its_type():
    file = parse(MarginsFile, f"schema = 1\n[margins.gsm8k]\n{REST}", "m.toml")
    assert file.margins["gsm8k"] == Margin(unit="percent", value=1.0, reason="r", source="s")
