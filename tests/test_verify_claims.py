"""Claims of the paper in `kit verify`: judged on our own items, where the printed numbers show them."""

from dataclasses import replace
from pathlib import Path

import pytest

from kit.check import claimed as module
from kit.check.claimed import claimed
from kit.check.findings import EXIT_CODES, Finding, outcome
from kit.claims import claims_of, on_printed
from kit.plan.planning import plan_tables
from kit.report import Grid, make_grid
from kit.store import Store
from tests.claims.filling import answered, fill, new_store


def run(folder: Path, tables: list[str], small: float, large: float) -> tuple[dict[str, Grid], Store]:
    """Return tables at the paper's scale, out of a store with so large a share of each evolver's items right."""
    plan, store = plan_tables(tables, "paper"), new_store(folder)
    fill(store, plan, answered(small, large))
    return {name: make_grid(name, plan, store) for name in plan.tables}, store


def verdicts(found: list[Finding]) -> dict[str, str]:
    assert all(one.check == "claim" and one.passed == (one.verdict == "match") for one in found)
    return {one.what: one.verdict for one in found}


AHEAD = "table-1, evol-instruct-llama"
EVOLVERS = {
    # shares right of 60 items a cell with the small and with the large evolver
    "the small one far ahead": (0.7, 0.5, "match", 0),
    "the large one far ahead": (0.5, 0.7, "off", 1),
    "no difference": (0.6, 0.6, "cannot tell", 3),
}


@pytest.mark.parametrize("small, large, verdict, code", EVOLVERS.values(), ids=list(EVOLVERS))
def test_a_claim_on_our_own_items(small: float, large: float, verdict: str, code: int, tmp_path: Path):
    # a reversed result was a table whose cells were all within; no difference "failed" as if it were the opposite
    found = list(claimed(*run(tmp_path, ["1"], small, large)))
    assert verdicts(found) == {AHEAD: verdict}
    assert EXIT_CODES[outcome(found)] == code
    (one,) = found
    word = {"match": "holds", "off": "does not hold", "cannot tell": "cannot tell"}[verdict]
    assert one.detail.startswith(f"{word}: ")
    assert "; the paper's numbers: +2.24 points [0.75, 3.73]" in one.detail


def test_only_claims_that_the_printed_numbers_show_are_asked_of_ours():
    # Table 4's three bases show nothing by themselves, so a run of it need not show more
    (claim,) = (one for one in claims_of(["table-4"]) if one.id == "auto-evol-instruct")
    assert on_printed([claim])[0].verdict == "cannot tell"
    plan, store = plan_tables(["4"], "paper"), Store(Path("nowhere"))
    assert list(claimed({"table-4": make_grid("table-4", plan, store)}, store)) == []


@pytest.mark.parametrize("tables", [["table-1"], ["table-2"], ["table-1", "table-2"], ["figure-6"], ["table-9"], []])
def test_claims_are_decided_by_the_verified_tables_alone(tables: list[str], tmp_path: Path):
    plan, store = plan_tables(tables or ["1"], "paper"), Store(tmp_path / "none")
    grids = {name: make_grid(name, plan, store) for name in plan.tables} if tables else {}
    found = list(claimed(grids, store))
    asked = {one.what.partition(", ")[2] for one in found}
    by_id = {claim.id: claim for claim in claims_of()}
    assert all(set(by_id[id].tables()) <= set(tables) for id in asked)
    assert {by_id[id].kind for id in asked} <= set(module.BY_CHANCE)
    assert {one.verdict for one in found} <= {"cannot tell"}  # nothing is computed
    assert bool(asked) == (tables not in ([], ["table-9"]))


def test_a_number_without_items_can_not_be_told(tmp_path: Path):
    grids, store = run(tmp_path, ["1"], 0.7, 0.5)
    key = grids["table-1"].lines[0].cells[0].address.keys[0]
    path = store.get(key).folder / "grades.jsonl"
    path.unlink()
    (one,) = claimed(grids, store)
    assert (one.table, one.what, one.verdict, one.passed) == ("table-1", "table-1, claims", "cannot tell", False)
    assert one.detail == f"{path}: No such file or directory; remove the folder and run again"


def test_a_table_that_is_compared_with_recorded_values_has_no_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from kit.check import recorded, verify

    monkeypatch.setattr(recorded, "expected_path", lambda grid: tmp_path / "none.toml")
    plan, store = plan_tables(["1"], "smoke"), new_store(tmp_path)
    fill(store, plan, answered(0.7, 0.5))
    assert "claim" not in {finding.check for finding in verify.check(plan, store)}


def test_a_whole_verification_with_its_claim(tmp_path: Path):
    from kit.check import verify

    plan, store = plan_tables(["1"], "paper"), new_store(tmp_path)
    fill(store, plan, answered(0.7, 0.5))
    found = verify.check(plan, store)
    assert [finding.check for finding in found][-2:] == ["paper", "claim"]
    # 35 of 60 numbers are off, MATH's by up to 77 points: of one run the table could not tell
    assert verify.verdict(plan, found) == "The paper's tables are not reproduced: see what failed."
    assert {replace(finding, detail="").verdict for finding in found if finding.check == "claim"} == {"match"}


@pytest.mark.parametrize("scale, wanted", [("smoke", []), ("paper", ["table-1"])])
def test_only_models_that_play_themselves_show_a_spread(
    scale: str, wanted: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # the spread of a table whose models others play was pooled with that of the paper's models
    from kit.check import recorded, verify

    asked: list[str] = []
    monkeypatch.setattr(verify, "seed_spreads", lambda grids: asked.extend(grid.name for grid in grids) or {})
    monkeypatch.setattr(recorded, "expected_path", lambda grid: tmp_path / "none.toml")
    plan, store = plan_tables(["1"], scale), new_store(tmp_path)
    verify.check(plan, store)
    assert asked == wanted
