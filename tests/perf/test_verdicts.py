"""perf/verdicts.py, small and seeded: wrong verdicts and stops are as rare as promised, and differences are told."""

import argparse
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.perf.test_scripts import load

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("verdicts", monkeypatch)


def options(script: ModuleType, **changes: Any) -> Any:
    """Return the options of a simulation of 40 columns of twelve cells."""
    given = {"repeats": 40, "runs": 200, "spread": 1.0, "turned": 0.1, "margin": 2.0, "seed": 13, "as_shares": False}
    return script.Options(**{**given, **changes})


def column(script: ModuleType, name: str) -> Any:
    """Return the only column of the paper whose name begins so."""
    (found,) = (one for one in script.columns() if one.name.startswith(name))
    return found


def test_the_columns_are_those_that_the_paper_prints(script: ModuleType):
    found = {one.name: one for one in script.columns()}
    sizes = {"gsm8k": 1319, "math": 5000, "humaneval": 164, "mbpp": 500, "mmlu": 14042, "ceval": 1346}
    assert {name.split()[0]: one.n for name, one in found.items() if name.split()[0] in sizes} == sizes
    assert {one.n for name, one in found.items() if name.startswith("ifeval")} == {541, 834}
    assert not [name for name in found if "ifd" in name]  # means of scores, no share of items
    assert all(0 < share < 100 for one in found.values() for share in one.printed)
    gsm8k = column(script, "gsm8k").printed
    assert 33.89 in gsm8k  # table 1, first row
    assert len(gsm8k) > 40


def test_two_runs_of_one_truth_differ_by_what_was_asked(script: ModuleType):
    # at 50 %: variance of coins 2 * 0.1 * n / 4, and of the lean 1 point
    truth, source = np.full(400, 50.0), np.random.default_rng(1)
    found = script.draw(truth, 1000, options(script), 5, source)
    wanted = math.sqrt(100**2 * 0.05 / 1000 + 1.0)
    assert found.std(axis=1, ddof=1).mean() == pytest.approx(0.94 * wanted, rel=0.05)  # c4 of five runs
    assert found.mean() == pytest.approx(50, abs=0.15)
    # at 10 %, both are 0.36 of it: the lean 0.36 points, the coins sqrt(0.36) of theirs
    low = script.draw(np.full(400, 10.0), 1000, options(script), 5, source)
    wanted = math.sqrt(0.36 * 100**2 * 0.05 / 1000 + 0.36**2)
    assert low.std(axis=1, ddof=1).mean() == pytest.approx(0.94 * wanted, rel=0.05)


@pytest.mark.parametrize("name", ["gsm8k", "humaneval", "mmlu", "ifeval accuracy prompt strict"])
def test_one_truth_is_off_in_one_of_twenty_at_most(script: ModuleType, name: str):
    source = np.random.default_rng(7)
    for seeds in (1, 2, 3):
        found = script.simulate(column(script, name), seeds, options(script), source)
        for word in ("off 0", "other cells 0") if seeds == 1 else ("off 0",):
            assert found[word].value <= 0.05 + 3 * found[word].stderr
        # a large difference is told by two seeds in nearly every cell, a small one by more runs more often
        assert seeds == 1 or found["off 10"].value > 0.85
        assert found["off 0"].value <= found["off 3"].value + 0.02


def test_the_band_of_items_is_too_narrow_where_there_are_many(script: ModuleType):
    # which is why one run is not judged by it: MMLU's 14,042 items spread by 0.4 points, seeds by 1
    found = script.simulate(column(script, "mmlu"), 1, options(script), np.random.default_rng(7))
    assert found["band 0"].value > 0.2
    assert found["off 0"].value == 0.0


def test_shares_pooled_as_they_are_call_more_of_math_off(script: ModuleType):
    math_column = column(script, "math")
    found = {
        as_shares: script.simulate(math_column, 3, options(script, as_shares=as_shares), np.random.default_rng(3))
        for as_shares in (False, True)
    }
    assert found[True]["off 0"].value > found[False]["off 0"].value


@pytest.mark.parametrize("setting", ["drawn", "fixed"])
def test_stops_are_rare_without_a_difference_and_early_with_one(script: ModuleType, setting: str):
    source = np.random.default_rng(5)
    wrong, _ = script.stops(1319, 0.0, 400, setting, options(script), source)
    assert wrong.value <= 0.05
    right, seen = script.stops(1319, 0.06, 50, setting, options(script), source)
    assert right.value > 0.9
    assert seen < 0.5


@pytest.mark.parametrize("wrong, code", [(0.05, 0), (0.08, 1)])
def test_the_script_fails_where_more_is_wrong_than_promised(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], wrong: float, code: int
):
    shares = [script.Share(wrong, 0.005)]
    monkeypatch.setattr(script, "verdict_tables", lambda *given: shares)
    monkeypatch.setattr(script, "stop_table", lambda *given: [])
    given = argparse.Namespace(**vars_of(options(script)))
    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", lambda self: given)
    assert script.main() == code
    out = capsys.readouterr().out
    assert out.startswith("repeats 40, runs 200, spread 1, turned 0.1, margin 2, seed 13, as shares 0\n")
    assert f"the highest {100 * wrong:.1f} %; {code} above 5 %" in out


def vars_of(found: Any) -> dict[str, Any]:
    """Return the fields of a simulation's options by name."""
    return {name: getattr(found, name) for name in found.__dataclass_fields__}


def test_the_page_keeps_what_the_script_prints(script: ModuleType):
    page = (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    asked = "    repeats 600, runs 10000, spread 1, turned 0.1, margin 2, seed 13, as shares 0"
    assert asked in lines  # the defaults, but for a flag
    for one in script.columns():
        printed = f"{min(one.printed):.1f} to {max(one.printed):.1f}"
        assert sum(line.startswith(f"| {one.name} | {one.n:,} | {printed} |") for line in lines) == 1
        assert sum(line.startswith(f"| {one.name} | {one.n:,} |") for line in lines) == 2
        assert any(one.name.split()[0] in line and f" | {one.n:,} | " in line for line in lines)
