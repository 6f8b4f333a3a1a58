"""Checks of small scales against recorded values, artifacts that were changed, and tables with missing cells."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from kit import registry
from kit.check import recorded, verify
from kit.check.findings import as_json, named_cells
from kit.cli.tables import stored_tables
from kit.errors import KitError
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.records import Result, write_rows
from kit.store import Store
from tests.test_verify import AHEAD, Numbers, at_papers_scale, moved


def test_the_printed_lines_at_the_papers_scale(tmp_path: Path):
    plan = plan_tables(["2"], "paper")
    store = fill(tmp_path / "store", "paper", papers_numbers(moved(2)))
    out = io.StringIO()
    found = verify.check(plan, store)
    verify.show(Console(file=out, width=200), plan, found)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("ok    stored    table-2: ")
    assert [line for line in lines if line.startswith("off ")] == [
        "off   cell      table-2, qwen-2-72b-instruct, mistral-7b-v0.3, GSM8K: 58.93, the paper prints 46.93, "
        "tolerance ±3.79",
        "off   cell      table-2, qwen-2-7b-instruct, mistral-7b-v0.3, GSM8K: 59.31, the paper prints 47.31, "
        "tolerance ±3.79",
    ]
    assert lines[-3:] == [
        "ok    paper     table-2: 2 of 96 cells are off, chance allows 10",
        f"ok    direction table-2, qwen-2-7b-instruct - qwen-2-72b-instruct: {AHEAD}",
        "108 checks, 0 failed. The paper's tables are reproduced, as far as these checks go.",
    ]
    assert json.loads(as_json(plan.scale, list(plan.tables), found))["passed"] is True


def fill(folder: Path, scale: str, number: Callable[[str, str], tuple[float, int]]) -> Store:
    """Commit Table 2's artifacts; ``number`` gives a share and its units for a grade job's key and a metric."""
    store = Store.open(folder)
    for job in plan_tables(["2"], scale).jobs.values():
        store.plan(job)
        with store.scratch(job.key) as out:
            if job.stage == "grade":
                metrics = registry.load("benchmarks", job.params["benchmark"]).METRICS
                shares = {metric: number(job.key, metric) for metric in metrics}
                rows = [
                    Result(metric=metric, value=share, stderr=0.125, n=n, unit=metrics[metric].counts)
                    for metric, (share, n) in shares.items()
                ]
                write_rows(out / "results.jsonl", rows)
            store.commit(job, out, rows=1, facts={}, provenance={"started_at": "now"})
    return store


def papers_numbers(numbers: Numbers) -> Callable[[str, str], tuple[float, int]]:
    """Return the function that :func:`fill` needs, out of the paper's cells."""
    cells = {
        (cell.address.keys[0], cell.address.column): cell.result
        for _, cell in named_cells(at_papers_scale("table-2", numbers))
        if cell.result
    }
    return lambda key, metric: (cells[key, metric].value, cells[key, metric].n)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with Table 2 at smoke scale, every metric at 3 of 12, none of them computed."""
    return fill(tmp_path / "store", "smoke", lambda key, metric: (0.25, 12))


def failures(store: Store) -> list[str]:
    found = verify.check(plan_tables(["2"], "smoke"), store)
    return [f"{finding.check}: {finding.what}: {finding.detail}" for finding in found if not finding.passed]


@pytest.fixture
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for recorded values, used instead of the kit's."""
    monkeypatch.setattr(recorded, "expected_path", lambda grid: tmp_path / "expected" / f"{grid.name}.toml")
    return tmp_path / "expected"


def test_recorded_values_are_matched(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    assert recorded.record(plan, store) == [manifests / "table-2.toml"]
    assert failures(store) == []
    document = json.loads(as_json(plan.scale, list(plan.tables), verify.check(plan, store)))
    assert (document["passed"], document["scale"], document["tables"]) == (True, "smoke", ["table-2"])
    assert "reproduced" not in json.dumps(document)


def test_a_number_outside_its_tolerance(store: Store, manifests: Path):
    recorded.record(plan_tables(["2"], "smoke"), store)
    path = manifests / "table-2.toml"
    at = 'at = { seeds = "gsm8k-train", evolver = "qwen-2-7b-instruct", base = "llama-3-8b" }'
    name = f'{at}, column = "gsm8k", percent = '
    text = path.read_text(encoding="utf-8")
    assert name in text
    path.write_text(text.replace(f"{name}25.0000", f"{name}75.0000"), encoding="utf-8")
    assert failures(store) == [
        "expected: table-2, qwen-2-7b-instruct, llama-3-8b, GSM8K: "
        "25.00, recorded 75.00: 6 of 12 units apart, 1 allowed"
    ]


def test_an_artifact_that_was_changed(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    recorded.record(plan, store)
    job = next(job for job in plan.jobs.values() if job.stage == "grade")
    path = store.get(job.key).folder / "results.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert failures(store) == [f"unharmed: table-2: {job.id}: results.jsonl: changed (sha256 differs from the head's)"]


def test_a_table_with_a_missing_cell(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    recorded.record(plan, store)
    job = next(job for job in plan.jobs.values() if job.stage == "grade")
    store.remove(job.key)
    cure = "run `kit reproduce`, or `kit run` for a manifest of your own"
    assert failures(store) == [f"stored: table-2: not done: {job.id}; {cure}"]
    before = (manifests / "table-2.toml").read_text(encoding="utf-8")
    with pytest.raises(KitError) as error:
        recorded.record(plan, store)
    assert str(error.value) == f"{hole(plan, job.key)}: not computed yet; only a whole table can be recorded"
    assert (manifests / "table-2.toml").read_text(encoding="utf-8") == before  # half a table is no reference


def hole(plan: Plan, key: str) -> str:
    """Return the first cell that a grade job fills, as messages name it."""
    cell = next(cell for cell in plan.cells["table-2"] if key in cell.keys)
    column = next(column for column in plan.tables["table-2"].columns if column.id == cell.column)
    return f"table-2, {cell.at['evolver']}, {cell.at['base']}, {column.name}"


def test_recorded_values_by_hand(store: Store, manifests: Path):
    # every cell is 3 of 12: 25 percent
    plan = plan_tables(["2"], "smoke")
    recorded.record(plan, store)
    text = (manifests / "table-2.toml").read_text(encoding="utf-8")
    cells = [
        "at = {{ seeds = {seeds}, evolver = {evolver}, base = {base} }}, ".format(
            **{axis: f'"{value}"' for axis, value in cell.at.items()}
        )
        + f'column = "{cell.column}"'
        for cell in plan.cells["table-2"]
    ]
    assert len(cells) == 2 * 2 * 8
    assert text.splitlines() == [
        "# Written by `kit verify --record` at scale smoke; value in percent, units behind it.",
        "schema = 1",
        "cells = [",
        *(f"  {{ {cell}, percent = 25.0000, n = 12 }}," for cell in cells),
        "]",
    ]


def test_nothing_is_recorded_where_one_of_several_tables_has_a_hole(store: Store, manifests: Path):
    # Table 2 was written before Table 10's hole was found, and nobody was told
    with pytest.raises(KitError, match=r"table-10, .*: not computed yet; only a whole table can be recorded"):
        recorded.record(plan_tables(["2", "10"], "smoke"), store)
    assert not manifests.exists()


def test_a_recorded_cell_that_the_table_has_no_more(store: Store, manifests: Path):
    # the rest was compared, and the scale said to give what was recorded
    recorded.record(plan_tables(["2"], "smoke"), store)
    path = manifests / "table-2.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('base = "llama-3-8b"', 'base = "llama-9"', 1), "utf-8")
    cell = "table-2, alpaca, qwen-2-72b-instruct, llama-9, ifeval_prompt_strict"
    assert failures(store) == [
        f"expected: {cell}: recorded, but the table has no such cell; `kit verify --record` writes the file anew",
        "expected: table-2, qwen-2-72b-instruct, llama-3-8b, IFEval Pr(S): table-2.toml has no value for this cell",
    ]


def test_a_column_that_is_all_0_is_a_broken_pipeline(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    for job in plan.jobs.values():
        if job.stage == "grade" and job.params["benchmark"] == "gsm8k":
            store.remove(job.key)
            with store.scratch(job.key) as out:
                write_rows(out / "results.jsonl", [Result(metric="gsm8k", value=0.0, stderr=0.0, n=12, unit="items")])
                store.commit(job, out, rows=1, facts={}, provenance={"started_at": "now"})
    recorded.record(plan, store)
    assert failures(store) == ["alive: table-2, GSM8K: 0.0, 0.0, 0.0, 0.0"]


def test_without_a_name_the_whole_tables_are_checked(store: Store, capsys: pytest.CaptureFixture[str]):
    # Table 10 shares round 1 with them: it would have failed for what nobody asked to compute
    assert stored_tables(store, "smoke") == ["table-1", "table-2"]
    left_out = capsys.readouterr().err.splitlines()
    assert left_out[0] == (
        "table-10 is left out: 10 of its 30 gradings are there, from tables that share them; `kit verify table-10` "
        "checks it all the same"
    )
    job = next(job for job in plan_tables(["2"], "smoke").jobs.values() if job.stage == "grade")
    store.remove(job.key)
    assert stored_tables(store, "smoke")[:2] == ["table-1", "table-2"]  # none is whole
