"""Results from a CSV file: read strictly, and refused with the line, what was found and the cure."""

from pathlib import Path

import pytest

from kit.audit.checking import audit_sheets
from kit.audit.facts import facts
from kit.audit.results import read_results
from kit.audit.sheets import Sheet
from kit.errors import RequestError

HEADER = "benchmark,n,value\n"


def read(folder: Path, content: str | bytes, name: str = "mine.csv") -> list[Sheet]:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_results(path, facts())


def refused(folder: Path, content: str | bytes) -> str:
    with pytest.raises(RequestError) as error:
        read(folder, content)
    return str(error.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(
            "",
            "mine.csv: nothing in it; wanted a header with benchmark, n, value, and a line for each value",
            id="empty",
        ),
        pytest.param(
            HEADER, "mine.csv: a header and no line below it; wanted a line for each value", id="header-alone"
        ),
        pytest.param(
            "benchmark,N,value\ngsm8k,1319,33.43\n",
            "mine.csv: no column 'n'; found benchmark, N, value, wanted benchmark, n, value; write 'N' as 'n'",
            id="capital",
        ),
        pytest.param(
            "gsm8k,1319,33.43\n",
            "mine.csv: no column 'benchmark'; found gsm8k, 1319, 33.43, wanted benchmark, n, value",
            id="no-header",
        ),
        pytest.param(
            "benchmark,n,value,tabel\ngsm8k,1319,33.43,a\n",
            "mine.csv: a column 'tabel' that is not read; did you mean 'table'?",
            id="unknown-column",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,n/a\n",
            "mine.csv:2: value: found 'n/a', wanted a percentage from 0 to 100, with digits and one point, such as "
            "33.50",
            id="no-number",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,33.43 %\n",
            "mine.csv:2: value: found '33.43 %', wanted a percentage from 0 to 100; leave the percent sign out: 33.43",
            id="percent-sign",
        ),
        pytest.param(
            "benchmark;n;value\ngsm8k;1319;33,43\n",
            "mine.csv:2: value: found '33,43', wanted a percentage from 0 to 100; write a decimal point: 33.43",
            id="decimal-comma",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,33,43\n",
            "mine.csv:2: found 4 cells, the header has 3; is a text with ',' or a line break in it not quoted?",
            id="decimal-comma-between-commas",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,100.01\n",
            "mine.csv:2: value: found '100.01', wanted a percentage from 0 to 100",
            id="above-100",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,3.343E+01\n",
            "mine.csv:2: value: found '3.343E+01', wanted a percentage from 0 to 100, with digits and one point, such "
            "as 33.50",
            id="exponent",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,-1.0\n",
            "mine.csv:2: value: found '-1.0', wanted a percentage from 0 to 100, with digits and one point, such as "
            "33.50",
            id="below-0",
        ),
        pytest.param(
            HEADER + "gsm8k,1319.0,33.43\n",
            "mine.csv:2: n: found '1319.0', wanted a whole number of items from 1 on; write 1319",
            id="n-with-decimals",
        ),
        pytest.param(
            HEADER + 'gsm8k,"1,319",33.43\n',
            "mine.csv:2: n: found '1,319', wanted a whole number of items from 1 on; write 1319",
            id="thousands-separator",
        ),
        pytest.param(
            HEADER + "gsm8k,0,33.43\n",
            "mine.csv:2: n: found '0', wanted a whole number of items from 1 on",
            id="no-items",
        ),
        pytest.param(
            HEADER + "gsm8k,1319.5,33.43\n",
            "mine.csv:2: n: found '1319.5', wanted a whole number of items from 1 on",
            id="half-an-item",
        ),
        pytest.param(
            HEADER + "gsm8k,99999999999,33.43\n",
            "mine.csv:2: n: found '99999999999', wanted 10,000,000 items at most",
            id="n-too-large",
        ),
        pytest.param(
            HEADER + "gsm8k,1319,\n", "mine.csv:2: value: empty; wanted a value, or the line left out", id="empty-cell"
        ),
        pytest.param(
            HEADER + "gsm8k,1319,0.3343\nmath,5000,0.0316\n",
            "mine.csv: no value is above 1; wanted percentages: 33.50 and not 0.3350",
            id="shares",
        ),
        pytest.param(
            "row,benchmark,n,value\nours,gsm8k,1319,33.43\nours,gsm8k,1319,33.51\n",
            "mine.csv:3: 'ours' has 'gsm8k' twice; wanted each once in a row",
            id="twice",
        ),
        pytest.param(
            "sep=;\nbenchmark;n;value\ngsm8k;1319;33.43\n",
            "mine.csv: the first line is Excel's note of the delimiter ('sep=;'); leave it out, so that the header "
            "stands first",
            id="note-of-excel",
        ),
        pytest.param(
            (HEADER + "gsm8k,1319,33.43\n").encode("utf-16"),
            "mine.csv: UTF-16 text; save the file as UTF-8",
            id="utf-16",
        ),
        pytest.param(
            "benchmark,n,value\nGröße,1319,33.43\n".encode("cp1252"),
            "mine.csv: line 2: byte 2 (0xf6) is not UTF-8; save the file as UTF-8",
            id="cp1252",
        ),
        pytest.param(
            HEADER + 'gsm8k,1319,"33.43\n',
            "mine.csv:2: not CSV: a quote that is opened and not closed; wanted quotes inside of quotes doubled",
            id="quote",
        ),
        pytest.param(
            "row,benchmark,n,value\n" + "".join(f"r{row},a,7,0.00\nr{row},b,7,100.00\n" for row in range(501)),
            "mine.csv: 501 rows of several cells; wanted 500 at most, as each is compared with every other; split "
            "the file",
            id="too-many-rows",
        ),
        pytest.param(
            "row,benchmark,n,value\n" + "".join(f"ours,b{number},7,0.00\n" for number in range(501)) + "ours,c,7,100\n",
            "mine.csv: 502 benchmarks; wanted 500 at most, as each is compared with every other; split the file",
            id="too-many-benchmarks",
        ),
        pytest.param(
            HEADER + "a,1,1.0\n" * 10_001,
            "mine.csv: 10,001 lines; wanted 10,000 at most, so split the file",
            id="too-long",
        ),
    ],
)
def test_refused_files(content: str | bytes, message: str, tmp_path: Path):
    assert refused(tmp_path, content) == message


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(RequestError) as error:
        read_results(tmp_path / "gone.csv", facts())
    assert str(error.value) == f"{tmp_path}/gone.csv: No such file or directory"


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        pytest.param(HEADER + "gsm8k,1319,33.50\n", ["33.50"], id="two-decimals"),
        pytest.param(HEADER + "gsm8k,1319,33.5\n", ["33.5"], id="one-decimal"),
        pytest.param(HEADER + "gsm8k,1319,34\n", ["34"], id="none"),
        pytest.param("\ufeff" + HEADER + "gsm8k,1319,33.50\r\n", ["33.50"], id="mark-of-a-spreadsheet"),
        pytest.param("value;benchmark;n\n33.50;gsm8k;1319\n;;\n", ["33.50"], id="semicolons-and-an-empty-line"),
        pytest.param("benchmark\tn\tvalue\ngsm8k\t1319\t 33.50 \n", ["33.50"], id="tabs-and-blanks"),
        pytest.param(HEADER + "gsm8k,1319,33.43\ngsm8k,1319,33.51\n", ["33.43", "33.51"], id="a-line-is-a-row"),
        pytest.param(HEADER + "a,3,1\nb,3,0\n", ["1", "0"], id="small-whole-percentages"),
    ],
)
def test_values_keep_their_decimals(content: str, texts: list[str], tmp_path: Path):
    (sheet,) = read(tmp_path, content)
    assert [cell.text for line in sheet.lines for cell in line.cells.values()] == texts


def test_rows_and_tables_have_names(tmp_path: Path):
    content = "table,row,benchmark,n,value\na,ours,gsm8k,1319,33.43\na,ours,math,5000,3.16\nb,ours,gsm8k,1319,33.51\n"
    sheets = read(tmp_path, content)
    assert [(sheet.name, [column.id for column in sheet.columns]) for sheet in sheets] == [
        ("a", ["gsm8k", "math"]),
        ("b", ["gsm8k"]),
    ]
    assert [line.name for line in sheets[0].lines] == ["ours"]


def test_one_benchmark_with_two_sizes_has_two_columns(tmp_path: Path):
    (sheet,) = read(tmp_path, "row,benchmark,n,value\nours,math,5000,3.16\nours,math,500,3.20\n")
    assert [column.id for column in sheet.columns] == ["math (n = 5000)", "math (n = 500)"]


def test_findings_in_a_file(tmp_path: Path):
    content = (
        "row,benchmark,n,value\nours,gsm8k,1319,50.00\nours,humaneval,164,65.35\ntheirs,gsm8k,1319,54.27\n"
        "theirs,humaneval,164,70.96\nours,ifeval_prompt_strict,541,52.87\nours,ifeval_prompt_loose,541,61.18\n"
        "ours,ifeval_instruction_strict,834,72.54\nours,ifeval_instruction_loose,834,73.26\n"
    )
    report = audit_sheets(read(tmp_path, content))
    assert [(one.check, one.columns) for one in report.findings] == [
        ("swapped", ("gsm8k", "humaneval")),
        (
            "ifeval",
            ("ifeval_prompt_strict", "ifeval_instruction_strict", "ifeval_prompt_loose", "ifeval_instruction_loose"),
        ),
    ]


def test_one_number_in_several_rows_is_a_finding_in_each(tmp_path: Path):
    # of 33.47, which no count gives, only the first row that prints it was told
    lines = "".join(f"{table},{row},gsm8k,1319,33.47\n" for table, row in ("ka", "kb", "la", "lb"))
    report = audit_sheets(read(tmp_path, "table,row,benchmark,n,value\n" + lines))
    assert [(one.table, one.rows, one.also) for one in report.findings] == [
        ("k", ("a",), ("l",)),
        ("k", ("b",), ("l",)),
    ]


def test_findings_stand_by_table_whatever_blanks_its_name_has(tmp_path: Path):
    content = "table,row,benchmark,n,value\nmain a,x,mbpp,500,6.01\nmain b,x,gsm8k,1319,33.47\nmain a,y,mbpp,500,7.01\n"
    found = audit_sheets(read(tmp_path, content)).findings
    assert [one.table for one in found] == ["main a", "main a", "main b"]


def test_a_baseline_may_stand_in_several_tables(tmp_path: Path):
    # the second print was told as a row that was copied
    base = "{0},base,gsm8k,1319,33.51\n{0},base,humaneval,164,29.27\n{0},base,math,5000,12.34\n"
    content = "table,row,benchmark,n,value\n" + base.format("main") + base.format("ablation")
    report = audit_sheets(read(tmp_path, content))
    assert (report.findings, report.notes, report.compared["repeated"]) == ((), (), 0)


def test_two_ways_to_grade_the_same_answers_count_once(tmp_path: Path):
    # of two models with one count by the strict pattern, the flexible one mostly gives one count too
    both = "{0},gsm8k_strict,1319,33.51\n{0},gsm8k_flexible,1319,33.74\n"
    content = "row,benchmark,n,value\n" + both.format("base") + both.format("ours")
    content += "base,humaneval,164,29.27\nours,humaneval,164,35.37\n"
    report = audit_sheets(read(tmp_path, content))
    assert (report.findings, [one.sure for one in report.notes]) == ((), ["possible"])
    other = content.replace("gsm8k_flexible,1319,33.74", "math,5000,12.34")
    (found,) = audit_sheets(read(tmp_path, other)).findings
    assert (found.check, found.sure) == ("repeated", "likely")


def test_ifeval_of_another_size_is_held_against_no_bound(tmp_path: Path):
    (sheet,) = read(
        tmp_path, "row,benchmark,n,value\nours,ifeval_prompt_strict,10,60.0\nours,ifeval_prompt_loose,10,50.0\n"
    )
    report = audit_sheets([sheet])
    assert (report.findings, report.compared["ifeval"]) == ((), 0)
