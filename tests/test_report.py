"""Tables as text: Markdown, CSV and the terminal; names from manifests are shown as plain text in each."""

import dataclasses
import io

import pytest
from rich.console import Console

from kit.catalogue.views import Column, Table
from kit.measures import Measure
from kit.plan import CellAddress
from kit.records import Result
from kit.report import Cell, Grid, Line, mean_of, terminal
from kit.report.escapes import csv_cell, plain
from kit.report.formats import as_csv, as_json, markdown, one_line
from kit.run.execute import Outcome
from kit.store import Job

EVIL = "[bold]x[/bold]\x1b[31m|y"
COLUMN = Column(id="gsm8k", name="GSM8K", benchmark="gsm8k", at={"seeds": "s"})
KEY = "k" * 64


def cell(right: int | None, n: int, reference: float | None, evolver: str = "big", base: str = "b") -> Cell:
    address = CellAddress(at={"seeds": "s", "evolver": evolver, "base": base}, column="gsm8k", keys=(KEY,))
    value = (right or 0) / n
    result = Result(metric="gsm8k", value=value, stderr=(value * (1 - value) / n) ** 0.5, n=n, unit="items")
    return Cell(address=address, result=None if right is None else result, reference=reference)


def grid(evolver: str = "big", title: str = "Two evolvers", paper: str | None = "p.toml", scale: str = "smoke") -> Grid:
    rows = ({"evolver": evolver, "base": "b"}, {"evolver": "small", "base": "b"})
    table = Table(title=title, paper=paper, axes=("evolver", "base"), rows=rows, columns=(COLUMN,))
    lines = (
        Line(at=rows[0], cells=(cell(3, 12, 31.06, evolver),)),
        Line(at=rows[1], cells=(cell(None, 12, None, "small"),)),
    )
    return Grid(name="t", table=table, scale=scale, cast={evolver: "player-1", "small": "small"}, lines=lines)


DISCLAIMER = (
    "Scale smoke: other models and fewer rows than the paper's. The numbers show that the pipeline works; they neither "
    "confirm nor refute the paper's cells, which stand beside them for orientation."
)


def test_markdown():
    # 3 of 12 = 25 %, stderr sqrt(.25 * .75 / 12) = 12.5 %
    assert markdown(grid()) == (
        "**Two evolvers** (scale `smoke`)\n\n"
        "| evolver | base | GSM8K |\n| --- | --- | ---: |\n"
        "| big | b | 25.00\N{NO-BREAK SPACE}±12.5 (31.06) |\n| small | b | missing (-) |\n\n"
        f"Percent ± standard error; in brackets what the paper prints. {DISCLAIMER}\n\n"
        "Played by: big = player-1.\n\n"
        "Units behind a cell: GSM8K 12.\n"
    )


def test_units_are_those_of_every_row_and_not_told_where_no_row_is_computed():
    first, second = grid().lines
    several = dataclasses.replace(first, cells=(cell(3, 10, None, "small"),))
    cases = (((first, several), "GSM8K 10 to 12"), ((second, first), "GSM8K 12"), ((second,), ""), ((), ""))
    for lines, sizes in cases:
        shown = dataclasses.replace(grid(), lines=lines)
        assert shown.sizes() == sizes
        assert ("Units behind a cell" in markdown(shown)) == bool(sizes)
        assert ("over so many units" in on_terminal(shown, 200)) == bool(sizes)


MARKDOWN = {
    "a tag": ("<img src=x onerror=go()>", "&#60;img src=x onerror=go()>"),
    "a link": ("[here](javascript:go())", "[here]&#40;javascript:go())"),
    "a picture": ("![](http://example.invalid/x)", "![]&#40;http://example.invalid/x)"),
    "an address": ("<http://example.invalid>", "&#60;http://example.invalid>"),
    "code": ("`x`", "&#96;x&#96;"),
    "an escape": ("\x1b[31m", "\\x1b[31m"),
}


@pytest.mark.parametrize("name", MARKDOWN)
def test_no_text_is_markup_in_markdown(name: str):
    text, shown = MARKDOWN[name]
    assert one_line(text) == shown


CSV_CELLS = {
    "a formula": ('=HYPERLINK("http://example.invalid")', '\'=HYPERLINK("http://example.invalid")'),
    "a command": ("@SUM(A1)", "'@SUM(A1)"),
    "a call": ("|calc", "'|calc"),
    "a plus": ("+cmd", "'+cmd"),
    "a name after blanks": ("  -name", "'  -name"),
    "a tab": ("\t=1", "\\t=1"),
    "a number": (-0.5, -0.5),
    "a number as text": ("-0.5", "-0.5"),
    "a model": ("llama-3-8b", "llama-3-8b"),
    "nothing": (None, None),
}


@pytest.mark.parametrize("name", CSV_CELLS)
def test_no_csv_cell_is_a_formula(name: str):
    value, cell = CSV_CELLS[name]
    assert csv_cell(value) == cell


def test_csv():
    head, first, second = as_csv([grid()]).splitlines()
    assert head == (
        "table,scale,seeds,evolver,evolver_player,base,base_player,column,value,unit,stderr,runs,spread,n,groups,counts,"
        "paper,keys"
    )
    assert first == f"t,smoke,s,big,player-1,b,,gsm8k,25.0,percent,12.5,1,,12,,items,31.06,{KEY}"
    assert second == f"t,smoke,s,small,small,b,,gsm8k,,percent,,1,,,,,,{KEY}"


def other(*cells: Cell) -> Grid:
    """A table over temperatures alone, one cell a row."""
    rows = tuple({"temperature": temperature} for temperature in (0.0, 0.5)[: len(cells)])
    table = Table(title="warm", paper=None, axes=("temperature",), rows=rows, columns=(COLUMN,))
    lines = tuple(Line(at=row, cells=(cell,)) for row, cell in zip(rows, cells, strict=True))
    return Grid(name="u", table=table, scale="smoke", cast={}, lines=lines)


def at_temperature(temperature: float, *rights: int) -> Cell:
    runs = [Result(metric="gsm8k", value=right / 10, stderr=0.1, n=10, unit="items") for right in rights]
    keys = tuple(str(number) * 64 for number, _ in enumerate(runs))
    address = CellAddress(at={"temperature": temperature}, column="gsm8k", keys=keys)
    result, spread = mean_of(runs) if runs else (None, None)
    return Cell(address=address, result=result, reference=None, spread=spread)


def test_csv_of_two_tables_has_a_column_for_each_axis_of_either():
    lines = as_csv([grid(), other(at_temperature(0.5, 3))]).splitlines()
    assert lines[0].startswith(
        "table,scale,seeds,evolver,evolver_player,base,base_player,temperature,column,value,unit"
    )
    assert lines[1].startswith("t,smoke,s,big,player-1,b,,,gsm8k,25.0,percent,")
    assert lines[3].startswith("u,smoke,,,,,,0.5,gsm8k,30.0,percent,")


def test_several_seeds_are_shown_by_mean_and_spread():
    # 4, 6 of 10: mean 50 %, standard deviation sqrt(2) * 10 points; the error over the same items does not shrink
    shown = other(at_temperature(0.0, 4, 6))
    nbsp = "\N{NO-BREAK SPACE}"
    assert f"| 0.0 | 50.00{nbsp}±10.0{nbsp}[14.14] (-) |" in markdown(shown)
    assert "Percent: mean of 2 seeds ± standard error over items [standard deviation between seeds]" in markdown(shown)
    assert as_csv([shown]).splitlines()[1].startswith("u,smoke,0.0,gsm8k,50.0,percent,10.0,2,14.1421356237309")
    assert f"50.00{nbsp}±10.0{nbsp}[14.14]" in on_terminal(shown, 160)
    (found,) = as_json([shown])["tables"][0]["cells"]
    assert (found["at"], found["value"], found["unit"], found["runs"]) == ({"temperature": 0.0}, 50.0, "percent", 2)
    assert found["keys"] == ["0" * 64, "1" * 64]


def test_a_cell_that_no_experiment_gives_is_blank():
    shown = other(at_temperature(0.0, 4), at_temperature(0.5))
    assert "| 0.5 |  |" in markdown(shown)
    assert "missing" not in markdown(shown) + on_terminal(shown, 60) + on_terminal(shown, 160)
    assert as_csv([shown]).splitlines()[2] == "u,smoke,0.5,gsm8k,,percent,,0,,,,,,"


def on_terminal(shown: Grid, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, color_system=None, markup=True)
    console.print(terminal.grid_table(shown, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 160], ids=["tall", "wide"])
def test_terminal(width: int):
    text = on_terminal(grid(), width)
    for part in ("Two evolvers - scale smoke", "25.00\N{NO-BREAK SPACE}±12.5", "31.06", "missing", "big = player-1"):
        assert part in text


@pytest.mark.parametrize("width", [60, 160], ids=["tall", "wide"])
def test_markup_and_escapes_are_shown_as_they_are_written(width: int):
    # a title or a model's name with an escape sequence in it reached the terminal
    text = on_terminal(grid(evolver=EVIL, title=EVIL), width)
    assert "[bold]x[/bold]\\x1b[31m|y" in text
    assert "\x1b[31m" not in text


@pytest.mark.parametrize("width", [60, 50])
def test_a_narrow_terminal_folds_names_and_cuts_no_number(width: int):
    # Table 11 on 60 columns showed 22.… beside 18.…
    first, second = grid("llama-3.1-70b-instruct").lines
    at = {"evolver": "llama-3.1-70b-instruct", "base": "internlm-2-7b-with-a-name"}
    several = dataclasses.replace(first.cells[0], spread=0.0123)
    shown = dataclasses.replace(grid(), lines=(Line(at=at, cells=(several,)), second))
    text = on_terminal(shown, width)
    assert "25.00\N{NO-BREAK SPACE}±12.5\N{NO-BREAK SPACE}[1.23]   31.06" in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize("width", [100, 110, 120, 130])
def test_long_numbers_are_whole_at_any_width(width: int):
    # a column was taken to be 13 wide, whatever stood in it
    measure = Measure(title="Length", unit="characters", kind="mean")
    columns = tuple(Column(id=f"m{n}", name=f"M{n}", benchmark="b", measure=measure) for n in range(6))
    result = Result(metric="m", value=51983.25, stderr=1234.5, n=9, unit="rows")
    cells = tuple(dataclasses.replace(cell(1, 9, None), result=result, measure=measure) for _ in columns)
    shown = grid()
    table = dataclasses.replace(shown.table, columns=columns)
    shown = dataclasses.replace(shown, table=table, lines=(Line(at=shown.lines[0].at, cells=cells),))
    assert on_terminal(shown, width).count("51983.25\N{NO-BREAK SPACE}±1234.5") == 6


def test_markdown_keeps_a_name_in_its_cell():
    text = markdown(grid(evolver=EVIL, title="a\nb"))
    assert "| [bold]x[/bold]\\x1b[31m\\|y | b |" in text
    assert text.startswith("**a b** (scale `smoke`)\n")


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_a_table_of_ones_own_is_not_set_beside_the_papers(scale: str):
    # a manifest of one's own at scale paper was said to hold "the paper's models and data"
    text = markdown(grid(paper=None, scale=scale))
    assert "A table of one's own: the paper prints nothing to compare it with." in text


PLAIN = {
    "text": ("naïve 海", "naïve 海"),
    "escape": ("\x1b[2J", "\\x1b[2J"),
    "other escape": ("\x9b2J", "\\x9b2J"),
    "tab and bell": ("a\tb\x07", "a\\tb\\x07"),
    "right to left": ("a\u202eb", "a\\u202eb"),
    "lone surrogate": ("\ud800", "\\ud800"),
    "line break": ("a\nb", "a\nb"),
    "no-break space": ("1\N{NO-BREAK SPACE}±2", "1\N{NO-BREAK SPACE}±2"),  # tables in Markdown were full of \xa0
}


@pytest.mark.parametrize("text, shown", PLAIN.values(), ids=list(PLAIN))
def test_plain(text: str, shown: str):
    assert plain(text) == shown


def test_one_line():
    assert one_line("a\nb|c") == "a b\\|c"
    assert one_line("a\\|b") == r"a\\\|b"  # the backslash before it escaped the bar's own, and the cell ended
    assert one_line("a\\b") == "a\\b"


JOB = Job(id="grade/[red]\x1b[5m", stage="grade", version="1", environment="grade", lock="", params={}, inputs={})
EVENTS = {
    "done": ("done", {"rows": 1200, "seconds": 2.0, "tokens": 50}, "1,200 rows in 2.0 s, 25 tok/s"),
    "shared": ("done", {"rows": 3, "seconds": 0.0, "shared": True}, "3 rows in 0.0 s, by another run"),
    "cached": ("cached", {"rows": 3}, "3 rows"),
    "failed": ("failed", {"reason": "[b]no\x1b[0m"}, "[b]no\\x1b[0m"),
    "blocked": ("blocked", {"by": "sft/a"}, "needs sft/a, which failed"),
}


@pytest.mark.parametrize("event, fields, tail", EVENTS.values(), ids=list(EVENTS))
def test_one_line_a_settled_job(event: str, fields: dict[str, object], tail: str):
    out = io.StringIO()
    with terminal.Live(Console(file=out, width=200), 1) as live:
        live(event, JOB, fields)
    assert out.getvalue() == f"{event:8}{JOB.key[:10]}  {'grade/[red]' + chr(92) + 'x1b[5m':62} {tail}\n"


def test_summary():
    outcome = Outcome(cached=["a"], done=["b", "c"], failed={"d": ""}, blocked={"e": "d"}, wall_s=1234.5)
    assert terminal.summary(outcome).plain == (
        "2 jobs done, 1 cached, 1 failed, 1 not run, for want of those in 1,234.5 s"
    )
