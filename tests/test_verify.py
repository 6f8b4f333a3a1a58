"""Checks on finished tables: what makes a table reproduced, and that it is said of the paper's scale alone."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.catalogue import paper
from kit.catalogue.margins import read_margins
from kit.check import printed, recorded, verify
from kit.check.findings import EXIT_CODES, Finding, Outcome, compares_with_paper, counts, outcome
from kit.check.verdicts import seed_spreads
from kit.plan import CellAddress
from kit.plan.planning import plan_tables
from kit.records import Result
from kit.report import Cell, Grid, Line, make_grid
from kit.store import Store


@pytest.mark.parametrize("n, flips", {1: 1, 12: 1, 16: 1, 99: 1, 100: 2, 350: 7, 541: 10}.items())
def test_units_that_may_differ_on_another_cpu(n: int, flips: int):
    # one binomial standard error was allowed: two units of 16, in each cell
    assert recorded.allowed_flips(n) == flips


SCALES = ["smoke", "mini", "one-gpu", "paper"]


def finding(check: str, verdict: str, *, passed: bool) -> Finding:
    return Finding(check=check, table="table-2", what="table-2", passed=passed, detail="", verdict=verdict)


STORED = finding("stored", "", passed=True)
OUTCOMES = {
    # verdict, and what a recorded number and a whole table of the paper's then say
    "go": ("match", "gives what was recorded", "are reproduced: no claim is decided by them alone; most"),
    "no": ("off", "does not give what was recorded", "are not reproduced"),
    "missing": ("missing", "does not give what was recorded", "are not reproduced"),
    "cannot tell": ("cannot tell", "It can't be told: not all numbers are recorded", "reproduced can't be told"),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("verdict, other, papers", OUTCOMES.values(), ids=list(OUTCOMES))
def test_only_the_papers_scale_is_called_reproduced(scale: str, verdict: str, other: str, papers: str):
    check = "paper" if scale == "paper" else "expected"
    text = verify.verdict(plan_tables(["2"], scale), [STORED, finding(check, verdict, passed=verdict == "match")])
    assert (papers if scale == "paper" else other) in text
    assert scale == "paper" or "reproduced" not in text


CODES = {
    "nothing wrong": ([STORED, finding("expected", "match", passed=True)], "go", 0),
    "a no": ([STORED, finding("expected", "off", passed=False)], "no", 1),
    "one that can't be told": ([STORED, finding("expected", "cannot tell", passed=False)], "cannot tell", 3),
    "both": ([finding("paper", "cannot tell", passed=False), finding("alive", "", passed=False)], "no", 1),
    "a cell that is off in a table that is not": ([finding("cell", "off", passed=True)], "go", 0),
    "none": ([], "go", 0),
}


@pytest.mark.parametrize("findings, wanted, code", CODES.values(), ids=list(CODES))
def test_the_outcome_of_all_checks(findings: list[Finding], wanted: Outcome, code: int):
    assert (outcome(findings), EXIT_CODES[outcome(findings)]) == (wanted, code)


# The paper's scale: whole tables, as if a run had given these numbers.

SMALL, LARGE = "qwen-2-7b-instruct", "qwen-2-72b-instruct"
Numbers = Callable[[CellAddress, float], float | None]


def at_papers_scale(name: str, numbers: Numbers, apart: float | None = None) -> Grid:
    """Return a table of the paper's scale, as if a run had given these numbers.

    Args:
        name: the table's.
        numbers: gives each cell's percent from the paper's, or None.
        apart: points between the two runs of each cell at 50 percent, less beside it; None for one run.
    """
    plan = plan_tables([name], "paper")
    papers = paper.table(name)
    n = {column.id: column.n or 0 for column in papers.column}
    cells = []
    for address in plan.cells[name]:
        reference = papers.cell(address.at, address.column)
        assert isinstance(reference, float)
        percent = numbers(address, reference)
        result, keys = None, address.keys
        runs: tuple[float, ...] = ()
        if percent is not None:
            error = math.sqrt(max(percent * (100 - percent), 0) / n[address.column]) / 100
            result = Result(metric=address.column, value=percent / 100, stderr=error, n=n[address.column], unit="items")
            runs = (percent / 100,)
            if apart is not None:
                angle = math.asin(math.sqrt(percent / 100))
                runs = (math.sin(angle - apart / 200) ** 2, math.sin(angle + apart / 200) ** 2)
                keys = (*keys, f"{keys[0]}, seed 43")
        here = dataclasses.replace(address, keys=keys)
        cells.append(Cell(address=here, result=result, reference=reference, runs=runs))
    table = plan.tables[name]
    width = len(table.columns)
    rows = [tuple(cells[start : start + width]) for start in range(0, len(cells), width)]
    lines = tuple(Line(at=at, cells=row) for at, row in zip(table.rows, rows, strict=True))
    return Grid(name=name, table=table, scale="paper", cast=plan.cast, lines=lines)


def printed_at(name: str, address: CellAddress, evolver: str) -> float:
    """Return the number that the paper prints for a cell with another evolver."""
    found = paper.table(name).cell({**address.at, "evolver": evolver}, address.column)
    assert isinstance(found, float)
    return found


def as_printed(address: CellAddress, reference: float) -> float:
    return reference


def moved(cells: int) -> Numbers:
    """Return the paper's numbers with 12 points added to so many GSM8K and IFEval cells, base by base."""
    columns = ["gsm8k", "ifeval_prompt_strict"]
    bases = list(dict.fromkeys(row["base"] for row in plan_tables(["2"], "paper").tables["table-2"].rows))
    chosen = [(evolver, base, column) for column in columns for base in bases for evolver in (SMALL, LARGE)][:cells]

    def numbers(address: CellAddress, reference: float) -> float:
        return reference + 12 * ((address.at["evolver"], address.at["base"], address.column) in chosen)

    return numbers


def swapped(name: str) -> Numbers:
    """Return the paper's numbers with the evolvers exchanged."""
    one, two = dict.fromkeys(row["evolver"] for row in plan_tables([name], "paper").tables[name].rows)

    def numbers(address: CellAddress, reference: float) -> float:
        return printed_at(name, address, str(two if address.at["evolver"] == one else one))

    return numbers


def judged(grid: Grid) -> tuple[list[Finding], list[str]]:
    """Return every finding, and the lines of those on the whole table."""
    found = list(printed.against_paper(grid, seed_spreads([grid]), read_margins()))
    lines = [f"{finding.verdict}: {finding.check}: {finding.detail}" for finding in found if finding.check != "cell"]
    return found, lines


ONCE = "of 60 numbers (columns that share answers count once)"


def test_the_papers_own_numbers_from_two_seeds_are_reproduced():
    found, lines = judged(at_papers_scale("table-2", as_printed, apart=0.3))
    assert lines == [f"match: paper: 60 match, 0 off, 0 cannot tell, 0 missing {ONCE}; 0 off after Holm"]
    assert counts(found) == {"table-2": {"match": 96, "off": 0, "cannot tell": 0, "missing": 0}}
    assert outcome(found) == "go"
    held = finding("claim", "match", passed=True)
    assert verify.verdict(plan_tables(["2"], "paper"), [*found, held]) == (
        "The paper's tables are reproduced: 1 of the paper's claims hold, and most of their numbers match."
    )


def test_the_papers_own_numbers_from_one_seed_can_not_be_told():
    # not being rejected was called reproduced: nothing is known of what another training seed would give
    found, lines = judged(at_papers_scale("table-2", as_printed))
    assert lines == [f"cannot tell: paper: 0 match, 0 off, 60 cannot tell, 0 missing {ONCE}; 0 off after Holm"]
    assert outcome(found) == "cannot tell"
    assert "can't be told from these runs" in verify.verdict(plan_tables(["2"], "paper"), found)


@pytest.mark.parametrize("off", [1, 12, 13])
def test_one_number_off_is_a_no_whatever_the_others_are(off: int):
    # twelve points in a cell are no chance; up to ten cells of 96 were allowed to be anywhere
    found, lines = judged(at_papers_scale("table-2", moved(off), apart=0.3))
    assert lines[0] == f"off: paper: {60 - off} match, {off} off, 0 cannot tell, 0 missing {ONCE}; {off} off after Holm"
    assert all(finding.passed for finding in found if finding.check == "cell")
    assert outcome(found) == "no"
    assert "are not reproduced" in verify.verdict(plan_tables(["2"], "paper"), found)


def test_one_number_of_sixty_may_be_off_by_chance():
    # 2.4 standard errors: beyond its own interval, and within what the largest of sixty reaches
    def numbers(address: CellAddress, reference: float) -> float:
        one = (address.column, address.at["base"], address.at["evolver"]) == ("gsm8k", "llama-3-8b", SMALL)
        return reference + 2.4 * math.sqrt(1.5) * 0.5 * one

    found, lines = judged(at_papers_scale("table-2", numbers, apart=0.5 * math.sqrt(2)))
    assert lines[0].startswith("match: paper: ")
    assert " 1 off, " in lines[0] and lines[0].endswith("; 0 off after Holm")
    assert [f.what for f in found if f.verdict == "off"] == [f"table-2, {SMALL}, llama-3-8b, GSM8K"]


SHARED = {
    # points that a row's four columns of IFEval move by: 1 standard error is 0.5 * sqrt(1.5) = 0.61
    "all within the margin": ((0.1, 0.1, 0.1, 0.1), "match"),
    "one that can't be told": ((0.1, 0.1, 0.1, 1.0), "cannot tell"),
    "one off by far": ((0.1, 0.1, 0.1, 4.0), "off"),
    # p = 0.04 of one of four columns: four times it is 0.16
    "one off by little": ((0.1, 0.1, 0.1, 1.41), "cannot tell"),
}


@pytest.mark.parametrize("moves, verdict", SHARED.values(), ids=list(SHARED))
def test_columns_that_share_answers_count_once(moves: tuple[float, ...], verdict: str):
    ids = ["ifeval_prompt_strict", "ifeval_instruction_strict", "ifeval_prompt_loose", "ifeval_instruction_loose"]

    def numbers(address: CellAddress, reference: float) -> float:
        here = (address.at["base"], address.at["evolver"]) == ("llama-3-8b", SMALL)
        return reference + (moves[ids.index(address.column)] if here and address.column in ids else 0.0)

    found, lines = judged(at_papers_scale("table-2", numbers, apart=0.5 * math.sqrt(2)))
    # MATH's margin of 0.8 is too narrow for this spread above 15.8 percent: 1.0914 * 2 sqrt(p (1 - p)) + 0.005 > 0.8
    wide = sum(float(row.values["math"]) > 15.8 for row in paper.table("table-2").row)
    assert 0 < wide < 12
    wanted = {"match": 59 - wide, "off": 0, "cannot tell": wide, "missing": 0}
    wanted[verdict] += 1
    assert ": paper: " + ", ".join(f"{number} {name}" for name, number in wanted.items()) in lines[0]
    assert any(finding.verdict == ("off" if moves[3] > 1.4 else verdict) for finding in found)


@pytest.mark.parametrize("name", ["table-1", "table-2"])
def test_the_other_evolvers_numbers_are_off(name: str):
    # 84 and 74 of 96 cells were "reproduced" with the evolvers swapped
    found, lines = judged(at_papers_scale(name, swapped(name), apart=0.3))
    assert lines[0].startswith("off: paper: ")
    assert outcome(found) == "no"


def test_a_table_whose_names_drifted_is_not_reproduced(monkeypatch: pytest.MonkeyPatch):
    # a cell without a reference was skipped: with all of them skipped the table was "reproduced"
    papers = paper.table("table-2")
    rows = [row.model_copy(update={"model": f"{row.model}-base"}) for row in papers.row]
    monkeypatch.setattr(paper, "table", lambda name: papers.model_copy(update={"row": rows}))
    plan = plan_tables(["2"], "paper")
    found = list(printed.against_paper(make_grid("table-2", plan, Store(Path("nowhere"))), {}, {}))
    assert {finding.detail for finding in found if finding.check == "cell"} == {
        "manifests/paper/table-2.toml has no such cell: a name has changed"
    }
    assert [finding.check for finding in found if not finding.passed] == ["cell"] * 96 + ["paper"]
    assert found[96].detail == "no cell was compared"
    assert outcome(found) == "no"


def test_cells_that_the_paper_leaves_blank_are_not_required(monkeypatch: pytest.MonkeyPatch):
    papers = paper.table("table-2")
    first = {name: value for name, value in papers.row[0].values.items() if name != "mbpp"} | {"math": "-"}
    rows = [papers.row[0].model_copy(update={"values": first}), *papers.row[1:]]
    monkeypatch.setattr(paper, "table", lambda name: papers.model_copy(update={"row": rows}))
    found = list(
        printed.against_paper(make_grid("table-2", plan_tables(["2"], "paper"), Store(Path("nowhere"))), {}, {})
    )
    assert [finding.check for finding in found] == ["cell"] * 94 + ["paper"]
    assert {finding.verdict for finding in found[:94]} == {"missing"}


def test_one_run_that_is_far_off_everywhere_is_a_no():
    # cells were off, and the table could not tell: p was that of a wider interval
    found, lines = judged(at_papers_scale("table-2", lambda address, p: p + 18 if p < 50 else p - 18))
    assert {finding.verdict for finding in found if finding.check == "cell"} == {"off"}
    assert lines[0] == f"off: paper: 0 match, 60 off, 0 cannot tell, 0 missing {ONCE}; 0 off after Holm"


def test_half_a_table_is_not_reproduced():
    _, lines = judged(at_papers_scale("table-2", lambda address, p: None if address.column == "mbpp" else p))
    assert lines[0] == f"missing: paper: 0 match, 0 off, 48 cannot tell, 12 missing {ONCE}; 0 off after Holm"


@pytest.mark.parametrize("name", ["table-10", "table-11", "table-12"])
def test_the_papers_own_numbers_are_reproduced_where_rows_are_not_bases(name: str):
    _, (line,) = judged(at_papers_scale(name, as_printed, apart=0.2))
    assert line.startswith("match: paper: ") and " 0 off, 0 cannot tell, 0 missing of " in line


def test_a_users_own_table_is_compared_with_nothing():
    grid = at_papers_scale("table-2", as_printed)
    own = dataclasses.replace(grid, name="own", table=dataclasses.replace(grid.table, paper=None))
    assert list(printed.against_paper(own, {}, {})) == []
    assert not compares_with_paper(own)
