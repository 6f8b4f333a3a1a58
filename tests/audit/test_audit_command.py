"""``kit audit``: what it prints in each form, its exit code, and what it refuses."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from kit.cli import app, auditing
from kit.errors import RequestError

assert auditing  # its command is one of the app's


def run(*words: str) -> Result:
    return CliRunner().invoke(app, ["audit", *words])


def own(folder: Path, *lines: str) -> str:
    path = folder / "mine.csv"
    path.write_text("\n".join(["row,benchmark,n,value", *lines]) + "\n", encoding="utf-8")
    return str(path)


def test_findings_end_with_1(tmp_path: Path):
    found = run("9")
    assert found.exit_code == 1
    assert found.stdout == (
        "\ntable-9\n"
        "certain  counts: not evolved, mistral-7b-v0.3; humaneval: 10.20\n"
        "    why no count of n = 164 is printed as 10.20: 16 of 164 is 9.76, 17 is 10.37\n"
        "    chance 1.6 % of all numbers fit\n"
        "    could be 51 of 500, column mbpp; 5.0 % of all numbers fit 500\n"
        "    could be one digit away: 12.20\n"
        "\n"
        "Compared: 928 cells against counts of their n, 111 rows against IFEval's bounds, 3,741 pairs of rows of "
        "different runs, 268 cells that are printed twice by design, 24 axes of figures, 14 means, 27 rows of counts, "
        "20 statements.\n"
        "1 finding: 1 certain, 0 likely; 0 notes. Nothing is corrected.\n"
    )


def test_no_findings_end_with_0():
    found = run("4", "--json")
    assert found.exit_code == 0
    document = json.loads(found.stdout)
    assert (document["passed"], document["findings"], document["tables"]) == (True, [], ["table-4"])


def test_notes_alone_end_with_0(tmp_path: Path):
    rows = [
        f"{row},gsm8k,1319,{value}" for row, value in zip("abcd", ("33.43", "33.43", "70.05", "70.05"), strict=True)
    ]
    found = run("--results", own(tmp_path, *rows), "--json")
    document = json.loads(found.stdout)
    assert (found.exit_code, document["findings"]) == (0, [])
    assert [(note["check"], note["sure"], note["printed"]) for note in document["notes"]] == [
        ("repeated", "possible", ["33.43", "33.43", "70.05", "70.05"])
    ]


def test_json_has_each_finding_whole(tmp_path: Path):
    found = run("--results", own(tmp_path, "ours,gsm8k,1319,33.50"), "--format", "json")
    assert found.exit_code == 1
    assert json.loads(found.stdout) == {
        "schema": 1,
        "tables": ["mine"],
        "passed": False,
        "findings": [
            {
                "check": "counts",
                "table": "mine",
                "rows": ["ours"],
                "columns": ["gsm8k"],
                "printed": ["33.50"],
                "why": "no count of n = 1319 is printed as 33.50: 441 of 1319 is 33.43, 442 is 33.51",
                "sure": "certain",
                "chance": "13.2 % of all numbers fit",
                "could_be": [
                    "one digit away: 33.51, 33.59, 34.50, 39.50, 23.50, 13.50",
                ],
                "also": [],
            }
        ],
        "notes": [],
        "compared": {
            "counts": 1, "ifeval": 0, "repeated": 0, "shared": 0, "ticks": 0, "means": 0, "sums": 0,
        },
        "untested": [],
    }  # fmt: skip


def test_a_table_that_cuts_digits_off_is_a_note(tmp_path: Path):
    found = run("--results", own(tmp_path, *(f"{row},ifeval_prompt_loose,541,{value}" for row, value in CUT)), "--json")
    document = json.loads(found.stdout)
    assert (found.exit_code, document["findings"]) == (0, [])
    assert [note["why"] for note in document["notes"]] == [
        "3 cells are counts of their n with digits cut off and not rounded, and no cell is rounded"
    ]


CUT = [("a", "38.81"), ("b", "44.54"), ("c", "50.64")]  # 210, 241 and 274 of 541: 38.8170, 44.5471 and 50.6470


def test_markdown(tmp_path: Path):
    found = run("--results", own(tmp_path, "a*b,humaneval,164,10.20"), "--format", "markdown")
    assert found.stdout.startswith(
        "# Audit\n\n## Findings\n\n- **mine**, certain, counts: a\\*b; humaneval: 10.20\n"
        "  - why: no count of n = 164 is printed as 10.20: 16 of 164 is 9.76, 17 is 10.37\n"
    )


def test_names_are_shown_as_plain_text(tmp_path: Path):
    found = run("--results", own(tmp_path, "\x1b[31mours,humaneval,164,10.20"))
    assert "\x1b" not in found.stdout
    assert "\\x1b[31mours; humaneval: 10.20" in found.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["2", "--results", "x.csv"], "--results x.csv: goes without tables of the paper; leave 2 out"),
        (["--json", "--format", "markdown"], "--format markdown: --json asks for another form; leave one of them out"),
        (["--format", "html"], "--format html: known: terminal, markdown, json"),
        (["tabel-2"], "the paper has no 'tabel-2'; did you mean 'table-2'?"),
        (["--results", "gone.csv"], "gone.csv: No such file or directory"),
    ],
)
def test_refused(words: list[str], message: str):
    found = run(*words)
    assert isinstance(found.exception, RequestError)
    assert str(found.exception) == message
    assert found.exception.exit_code == 2
