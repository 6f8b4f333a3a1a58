"""Checks of small scales against recorded values, artifacts that were changed, and tables with missing cells."""

import io
import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from kit import registry
from kit.catalogue import Catalogue, manifests_folder
from kit.check import recorded, verify
from kit.check.findings import EXIT_CODES, Finding, as_json, named_cells, outcome
from kit.cli.tables import stored_tables
from kit.errors import KitError, RequestError
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.records import Curve, Result, write_rows
from kit.report import Grid, make_grid
from kit.report.curves import CurveRun
from kit.store import Store
from tests.test_verify import Numbers, at_papers_scale, moved


def printed_lines(plan: Plan, found: list[Finding]) -> list[str]:
    out = io.StringIO()
    verify.show(Console(file=out, width=200), plan, found)
    return out.getvalue().splitlines()


def test_the_printed_lines_at_the_papers_scale(tmp_path: Path):
    plan = plan_tables(["2"], "paper")
    store = fill(tmp_path / "store", "paper", papers_numbers(moved(2)))
    found = verify.check(plan, store)
    lines = printed_lines(plan, found)
    assert lines[0].startswith("ok           stored    table-2: ")
    one_run = (
        "leaves out 0; n 1,319, 1 run and its spread between training seeds is not known: assumed is 1.33, the widest "
        "that anybody measured"
    )
    assert [line for line in lines if line.startswith("off ")] == [
        "off          cell      table-2, qwen-2-72b-instruct, mistral-7b-v0.3, GSM8K: 58.93 ±1.4, the paper prints "
        f"46.93: +12.00 points, 95 % interval +3.05 to +20.93 {one_run}",
        "off          cell      table-2, qwen-2-7b-instruct, mistral-7b-v0.3, GSM8K: 59.31 ±1.4, the paper prints "
        f"47.31: +12.00 points, 95 % interval +3.05 to +20.92 {one_run}",
    ]
    assert re.fullmatch(  # the made-up store has results, and no items behind them
        r"cannot tell  claim     table-2, claims: \S+grades\.jsonl: No such file or directory; remove the folder "
        "and run again",
        lines[-3],
    )
    assert lines[-2:] == [
        "table-2: 0 match, 2 off, 94 cannot tell, 0 missing of 96 cells",
        "108 checks, 0 failed, 2 can't tell. Whether the paper's tables are reproduced can't be told from these runs "
        "(docs/verify.md).",
    ]
    document = json.loads(as_json(plan.scale, list(plan.tables), found))
    assert (document["schema"], document["outcome"], document["exit_code"], document["passed"]) == (
        2,
        "cannot tell",
        3,
        False,
    )
    assert document["counts"] == {"table-2": {"match": 0, "off": 2, "cannot tell": 94, "missing": 0}}
    first = next(one for one in document["findings"] if one["verdict"] == "off")
    low, high = first["numbers"].pop("interval")
    assert (low, high) == pytest.approx((3.0543, 20.9251), abs=1e-3)
    assert {name: round(value, 2) if type(value) is float else value for name, value in first["numbers"].items()} == {
        "against": "paper",
        "unit": "percent",
        "ours": 58.93,
        "wanted": 46.93,
        "n": 1319,
        "stderr": 1.35,
        "runs": 1,
        "smallest": 11.52,
        "allowed": 1.4,
    }
    assert (first["table"], first["outcome"]) == ("table-2", "go")  # the table is judged, not the cell


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
                    Result(
                        metric=metric,
                        value=share,
                        stderr=math.sqrt(share * (1 - share) / n),
                        n=n,
                        unit=metrics[metric].counts,
                    )
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


NOTHING = (
    "25.00; nothing is recorded for scale smoke; where these numbers are right, the same command with --record writes "
    "them into manifests/"
)


def test_a_scale_without_recorded_values_is_not_green(store: Store, manifests: Path):
    # "no values are recorded" passed, and a scale that nobody had ever looked at was green
    plan = plan_tables(["2"], "smoke")
    found = verify.check(plan, store)
    cells = [finding for finding in found if finding.check == "expected"]
    assert {(finding.passed, finding.verdict, finding.detail) for finding in cells} == {(False, "cannot tell", NOTHING)}
    assert (len(cells), EXIT_CODES[outcome(found)]) == (32, 3)
    assert printed_lines(plan, found)[-2:] == [
        "table-2: 0 match, 0 off, 32 cannot tell, 0 missing of 32 cells",
        "42 checks, 0 failed, 32 can't tell. It can't be told: not all numbers are recorded for scale smoke; --record "
        "writes them; it says nothing about the paper's numbers.",
    ]


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
    holes = [f"expected: {what}: not computed" for what in holes_of(plan, job.key)]
    assert failures(store) == [f"stored: table-2: not done: {job.id}; {cure}", *holes]
    before = (manifests / "table-2.toml").read_text(encoding="utf-8")
    with pytest.raises(KitError) as error:
        recorded.record(plan, store)
    assert str(error.value) == f"{holes_of(plan, job.key)[0]}: not computed yet; only a whole table can be recorded"
    assert (manifests / "table-2.toml").read_text(encoding="utf-8") == before  # half a table is no reference


def holes_of(plan: Plan, key: str) -> list[str]:
    """Return the cells that a grade job fills, as messages name them."""
    names = {column.id: column.name for column in plan.tables["table-2"].columns}
    cells = [cell for cell in plan.cells["table-2"] if key in cell.keys]
    return [f"table-2, {cell.at['evolver']}, {cell.at['base']}, {names[cell.column]}" for cell in cells]


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


def test_what_is_compared_with_the_paper_is_not_recorded(tmp_path: Path, manifests: Path):
    # a file was written that nothing reads
    with pytest.raises(RequestError) as error:
        recorded.record(plan_tables(["2", "figure-4"], "paper"), Store(tmp_path / "none"))
    assert str(error.value) == (
        "--record: table-2, figure-4: at scale paper the paper's models play themselves, and numbers are compared with "
        "the paper's; record a scale with other models"
    )
    assert not manifests.exists()


def test_a_recorded_cell_that_the_table_has_no_more(store: Store, manifests: Path):
    # the rest was compared, and the scale said to give what was recorded
    recorded.record(plan_tables(["2"], "smoke"), store)
    path = manifests / "table-2.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('base = "llama-3-8b"', 'base = "llama-9"', 1), "utf-8")
    cell = "table-2, alpaca, qwen-2-72b-instruct, llama-9, ifeval_prompt_strict"
    assert failures(store) == [
        f"expected: {cell}: recorded, but the table has no such cell; `kit verify --record` writes the file anew",
        "expected: table-2, qwen-2-72b-instruct, llama-3-8b, IFEval Pr(S): 25.00; table-2.toml has no value for it; "
        "where these numbers are right, the same command with --record writes them into manifests/",
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
    # one failed job: none is whole, and the others have no more than before
    assert stored_tables(store, "smoke") == ["table-1", "table-2"]
    assert [line.split(" is left out: ")[0] for line in capsys.readouterr().err.splitlines()] == [
        line.split(" is left out: ")[0] for line in left_out
    ]


def made_up(grid: Grid) -> Grid:
    """Return a table of an empty store with a number in each cell, and two points on each curve."""
    result = Result(metric="m", value=0.5, stderr=0.1, n=12, unit="items", step=0.1)
    lines = tuple(
        replace(line, cells=tuple(replace(cell, result=result, runs=(0.5,)) for cell in line.cells))
        for line in grid.lines
    )
    drawn = Curve(curve="c", x=(0.0, 1.0), y=(1.0, 2.0), n=12)
    curves = tuple(
        replace(cell, runs=tuple(CurveRun(key=key, path=Path("c.jsonl"), lines=(drawn,)) for key in cell.address.keys))
        for cell in grid.curves
    )
    return replace(grid, lines=lines, curves=curves)


@pytest.mark.parametrize("name", Catalogue(manifests_folder()).names("tables"))
def test_a_view_is_green_at_smoke_only_where_its_numbers_are_recorded(name: str, tmp_path: Path):
    # ten views had no recorded file, and each of them was green
    grid = made_up(make_grid(name, plan_tables([name], "smoke"), Store(tmp_path / "none")))
    found = list(recorded.against_expected(grid))
    wanted = sum(not cell.is_blank for line in grid.lines for cell in line.cells) + len(grid.curves)
    verdicts = {finding.verdict for finding in found}
    assert len(found) == wanted > 0
    if recorded.expected_path(grid).exists():
        assert "cannot tell" not in verdicts
    else:
        assert (verdicts, EXIT_CODES[outcome(found)]) == ({"cannot tell"}, 3)
        assert all(finding.detail.endswith(" with --record writes them into manifests/") for finding in found)
