"""Findings on the paper, each by its place; consistent tables have none; and each check tells a number that moved."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.audit import totals
from kit.audit.checking import audit_paper, check_sheets
from kit.audit.counts import Number, counts
from kit.audit.facts import facts
from kit.audit.findings import Report
from kit.audit.sheets import Sheet, printed_sheets
from kit.catalogue import paper
from kit.errors import RequestError

LLM, SLM, QWEN = "llama-3.1-70b-instruct", "llama-3.1-8b-instruct", "qwen-2-7b-instruct"
CUT, CANT = "likely", "certain"
COUNTS = [
    ("table-1", CUT, f"{LLM}, llama-3.2-3b", "ifeval_instruction_loose", "54.43"),
    ("table-1", CUT, f"{LLM}, llama-3.1-8b", "ifeval_prompt_loose", "38.81"),
    ("table-1", CUT, f"{LLM}, internlm-2-7b", "ifeval_prompt_loose", "44.54"),
    ("table-2", CANT, f"{QWEN}, llama-3-8b", "ifeval_prompt_strict", "38.92"),
    ("table-2", CANT, f"{QWEN}, llama-3-8b", "ifeval_instruction_loose", "52.19"),
    ("table-2", CANT, f"{QWEN}, internlm-2-7b", "ifeval_prompt_strict", "44.12"),
    ("table-2", CANT, f"{QWEN}, internlm-2-7b", "ifeval_instruction_loose", "58.73"),
    ("table-2", CUT, f"{QWEN}, llama-3-8b", "ifeval_instruction_strict", "48.33"),
    ("table-2", CUT, f"{QWEN}, internlm-2-7b", "ifeval_prompt_loose", "48.62"),
    ("table-3", CUT, f"{SLM}, llama-3-8b", "ifeval_instruction_loose", "53.11"),
    ("table-9", CANT, "not evolved, mistral-7b-v0.3", "humaneval", "10.20"),
    ("table-11", CANT, f"{LLM}, qwen-2.5-1.5b", "ifeval_instruction_strict", "42.67"),
    ("table-11", CANT, f"{LLM}, qwen-2.5-72b", "ifeval_prompt_strict", "50.63"),
    ("table-11", CANT, f"{LLM}, qwen-2.5-72b", "ifeval_instruction_strict", "68.43"),
    ("table-11", CANT, f"{LLM}, qwen-2.5-72b", "math", "58.83"),
    ("table-11", CANT, f"{SLM}, qwen-2.5-1.5b", "mbpp", "49.94"),
    ("table-11", CANT, f"{SLM}, qwen-2.5-72b", "ifeval_prompt_strict", "52.79"),
    ("table-11", CANT, f"{SLM}, qwen-2.5-72b", "ifeval_instruction_strict", "72.56"),
    ("table-11", CANT, f"{SLM}, qwen-2.5-72b", "ifeval_prompt_loose", "61.25"),
    ("table-11", CANT, f"{SLM}, qwen-2.5-72b", "math", "60.75"),
    ("table-11", CANT, f"{SLM}, qwen-2.5-72b", "humaneval", "84.67"),
    ("table-11", CUT, f"{LLM}, qwen-2.5-7b", "ifeval_prompt_loose", "50.64"),
    ("table-11", CUT, f"{LLM}, qwen-2.5-14b", "ifeval_instruction_strict", "54.43"),
    ("table-11", CUT, f"{SLM}, qwen-2.5-72b", "ifeval_instruction_loose", "73.27"),
    ("figure-1 (from_plot_script_commented_out)", CANT, f"{SLM}, round 1", "ifeval_prompt_loose", "43.33"),
]
OTHERS = [
    ("swapped", "table-3", ("humaneval", "gsm8k")),
    (
        "ifeval",
        "table-11",
        ("ifeval_prompt_strict", "ifeval_instruction_strict", "ifeval_prompt_loose", "ifeval_instruction_loose"),
    ),
    (
        "ifeval",
        "table-11",
        ("ifeval_prompt_strict", "ifeval_instruction_strict", "ifeval_prompt_loose", "ifeval_instruction_loose"),
    ),
    ("shared", "figure-1 (from_plot_script)", ("gsm8k", "humaneval", "mbpp")),
    ("ticks", "figure-1 (from_plot_script)", ("humaneval",)),
    ("sums", "figure-2", ("very_easy", "easy", "medium", "hard", "very_hard")),
]


@pytest.fixture(scope="module")
def report() -> Report:
    return audit_paper()


def test_cells_that_no_count_gives(report: Report):
    found = [
        (one.table, one.sure, *one.rows, *one.columns, *one.printed) for one in report.findings if one.check == "counts"
    ]
    assert found == COUNTS


def test_all_other_findings(report: Report):
    assert [(one.check, one.table, one.columns) for one in report.findings if one.check != "counts"] == OTHERS


def test_notes(report: Report):
    assert [(one.table, one.columns, one.printed) for one in report.notes] == [
        ("table-3", ("followbench_hsr_l4", "followbench_hsr_l5"), ("32.21", "32.21")),
        ("table-11", ("gsm8k",), ("76.12", "76.12", "87.79", "87.79")),
    ]


PAGE = (Path(__file__).resolve().parents[2] / "docs" / "audit.md").read_text(encoding="utf-8")


def test_every_finding_is_worked_through_in_the_page(report: Report):
    for one in (*report.findings, *report.notes):
        numbers = re.findall(r"[0-9.]+(?=,)", " ".join(one.printed)) if one.check == "shared" else one.printed
        assert [text for text in numbers if text not in PAGE] == [], one
        words = [
            column.replace("ifeval_", "").replace("followbench_hsr_l", "levels ").replace("_", " ")
            for column in one.columns
        ]
        assert [word for word in words if word not in PAGE.replace("levels 4 and 5", "levels 4 levels 5")] == [], one


def test_the_pages_other_sizes_were_tried():
    for cells in (
        ("38.92", "43.81", "44.12", "48.62"),
        ("48.33", "52.19", "55.16", "58.73"),
        ("50.63", "57.12", "52.79", "61.25"),
        ("68.43", "70.98", "72.56", "73.27"),
    ):
        assert all(cell in PAGE for cell in cells)
        numbers = [Number(int(cell.replace(".", "")), 2) for cell in cells]
        assert [n for n in range(50, 1501) if all(counts(one, n) for one in numbers)] == []


def test_the_pages_number_of_cells():
    cells: dict[Any, tuple[Number, int]] = {}
    for sheet in printed_sheets(facts()):
        for line in sheet.lines if sheet.name.startswith("table") else ():
            cells |= {
                (line.run, one.id): (line.cells[one.id], one.n)
                for one in sheet.columns
                if one.n and one.id in line.cells
            }
    rounded = [bool(counts(cell, n)) for cell, n in cells.values()]
    cut = [bool(counts(cell, n, "cut")) for cell, n in cells.values()]
    pairs = list(zip(rounded, cut, strict=True))
    assert (len(pairs), rounded.count(False), pairs.count((True, False)), pairs.count((False, True))) == (
        540,
        28,
        199,
        6,
    )


def test_the_swapped_cells_are_counts_when_exchanged(report: Report):
    (swap,) = [one for one in report.findings if one.check == "swapped"]
    assert swap.rows == (f"{LLM}, internlm-2-7b", f"{SLM}, internlm-2-7b")
    assert swap.could_be == (
        "the two columns exchanged in 2 of 12 rows",
        f"{LLM}, internlm-2-7b: humaneval 50.00 = 82 of 164, gsm8k 65.35 = 862 of 1319",
        f"{SLM}, internlm-2-7b: humaneval 54.27 = 89 of 164, gsm8k 70.96 = 936 of 1319",
    )


def test_a_copied_cell_is_named(report: Report):
    (mbpp,) = [one for one in report.findings if one.printed == ("49.94",)]
    assert mbpp.could_be == (f"a cell copied: 49.94 stands at {LLM}, qwen-2.5-14b, math too",)
    assert mbpp.also == ("figure-3",)


def test_what_the_plot_script_moved(report: Report):
    (moved,) = [one for one in report.findings if one.check == "shared"]
    assert len(moved.printed) == 14
    assert moved.could_be == (
        f"gsm8k: the same numbers in other rows; in figure-1 (from_tables) 64.75 stands at {LLM}, round 3, 65.88 "
        f"stands at {SLM}, round 3, 64.59 stands at {LLM}, round 2",
        "humaneval: all 5 are those of the series from_plot_script_commented_out, row by row",
        "mbpp: all 6 are those of the series from_plot_script_commented_out, row by row",
        "the runs of an earlier or a later state of the work",
    )
    assert moved.also == ("figure-1 (from_tables)", "table-10", "table-1")


def test_how_much_is_compared(report: Report):
    assert report.compared == {
        "counts": 928, "ifeval": 111, "repeated": 3741, "shared": 268, "ticks": 24, "means": 14, "sums": 27, "text": 20,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "tables", "checks"),
    [
        pytest.param(["4"], ("table-4",), [], id="nothing-to-find"),
        pytest.param(["table-9"], ("table-9",), ["counts"], id="by-name"),
        pytest.param(["10"], ("table-10",), ["shared"], id="named-beside-a-figure"),
        pytest.param(["figure-2", "5", "6"], ("table-5", "table-6", "figure-2"), ["sums"], id="several-in-order"),
    ],
)
def test_names_of_tables(names: list[str], tables: tuple[str, ...], checks: list[str]):
    report = audit_paper(names)
    assert (report.tables, [one.check for one in report.findings]) == (tables, checks)


def test_an_unknown_table_is_named():
    with pytest.raises(RequestError) as error:
        audit_paper(["tabel-2"])
    assert str(error.value) == "the paper has no 'tabel-2'; did you mean 'table-2'?"


def test_no_evolver_passes_the_other_within_the_nearest_counts(report: Report):
    sheets = {sheet.label: sheet for sheet in printed_sheets(facts())}
    compared = 0
    for one in report.findings:
        sheet = sheets[one.table]
        for name in (
            one.rows if one.check == "counts" and one.table in ("table-1", "table-2", "table-3", "table-11") else ()
        ):
            line = next(line for line in sheet.lines if line.name == name)
            (other,) = [
                row for row in sheet.lines if row is not line and row.name.partition(", ")[2] == name.partition(", ")[2]
            ]
            for column in (column for column in sheet.columns if column.id in one.columns):
                gap = line.cells[column.id].value - other.cells[column.id].value
                assert abs(gap) > 100 / column.n, one  # a step of one count
                compared += 1
    assert compared == 23


# each check tells a number that moved


def moved(name: str, row: int, column: str, text: str, series: str = "") -> list[tuple[str, str]]:
    """Return check and reason of the findings that appear when one cell is another."""
    sheets = printed_sheets(facts())
    place = [(sheet.name, sheet.series) for sheet in sheets].index((name, series))
    lines = [*sheets[place].lines]
    cell = Number(int(text.replace(".", "")), lines[row].cells[column].decimals)
    lines[row] = replace(lines[row], cells={**lines[row].cells, column: cell})
    changed = [*sheets[:place], replace(sheets[place], lines=lines), *sheets[place + 1 :]]
    before, after = reasons(sheets), reasons(changed)
    return [one for one in after if one not in before]


def reasons(sheets: list[Sheet]) -> list[tuple[str, str]]:
    return [(one.check, one.why) for one in check_sheets(sheets, facts())[0]]


@pytest.mark.parametrize(
    ("cell", "wanted"),
    [
        pytest.param(("figure-6", 0, "win", "422"), [("sums", "422 + 57 + 327 = 806, and n is 805")], id="a-sum"),
        pytest.param(
            ("table-3", 0, "followbench_hsr_avg", "45.85"),
            [("means", "the mean of 61.17, 57.59, 50.55, 33.09, 26.74 is 45.8280; rounding hides 0.01 at most")],
            id="a-mean-of-levels",
        ),
        pytest.param(
            ("table-15", 0, "ifeval_mean", "40.67"),
            [("means", "the mean of 33.09, 44.72, 36.41, 48.32 is 40.6350; rounding hides 0.01 at most")],
            id="a-mean-of-four-in-another-table",
        ),
        pytest.param(
            ("figure-3", 0, "gsm8k", "40.33", ""),
            [("shared", "both are said to print the same runs, and 1 cells differ from those of table-11")],
            id="a-figure-against-its-table",
        ),
        pytest.param(
            ("table-4", 0, "humaneval", "35.73"),
            [("counts", "no count of n = 164 is printed as 35.73: 58 of 164 is 35.37, 59 is 35.98")],
            id="digits-exchanged",
        ),
    ],
)
def test_a_number_that_moved(cell: tuple[Any, ...], wanted: list[tuple[str, str]]):
    assert moved(*cell) == wanted


def test_axes_that_other_data_would_have():
    assert [check for check, _ in moved("figure-3", 13, "humaneval", "93.90")] == ["shared", "ticks"]


@pytest.mark.parametrize(
    ("name", "change", "wanted"),
    [
        pytest.param(
            "table-3",
            {"training_items": 6721},
            ["6720 / 420 = 16 queries each; table 3 says 6721"],
            id="items-of-autoif",
        ),
        pytest.param(
            "table-4",
            {"training_items": {"alpaca": 40483, "gsm8k-train": 6020, "code-alpaca": 15533}},
            ["table 4 says 6020, of 7473 seed items (83.0 %)"],
            id="items-of-auto-evol",
        ),
    ],
)
def test_a_statement_that_a_table_does_not_bear_out(name: str, change: dict[str, Any], wanted: list[str]):
    tables = {key: paper.table(key) for key in paper.names()}
    assert totals.text(tables)[0] == []
    tables[name] = tables[name].model_copy(update=change)
    assert [one.why for one in totals.text(tables)[0]] == wanted
