"""A view's ``draw`` that can't be drawn: told when the manifest is read, with view, axis, values and what was meant."""

import json
from pathlib import Path

import pytest

from kit.catalogue.manifest import UserManifest
from kit.errors import RequestError
from kit.plan.planning import plan_manifest
from kit.reading.documents import parse

MINE = (Path(__file__).parents[1] / "data" / "mine.toml").read_text(encoding="utf-8")
MANIFEST = MINE.replace("round = 2", "round = [1, 2]")
EVIL = "\\u001b[2J\\u202e"
ROWS = 'evolver = ["smollm2-135m-instruct"], round = [1, 2]'
HAVE = "(rows: evolver = smollm2-135m-instruct; round = 1, 2)"


def view(draw: str, rows: str = ROWS, measures: str = '"gsm8k"') -> str:
    return f"{MANIFEST}\n[[view]]\nrows = {{ {rows} }}\ncolumns = [{{ measures = [{measures}] }}]\ndraw = {draw}\n"


READ = {
    "an axis that the rows lack": (
        '{ x = "rond" }',
        f"m.toml: view[0]: draw.x: rows have no axis named 'rond'; did you mean 'round'? {HAVE}",
    ),
    "a line that no axis is": (
        '{ x = "round", line = "evolvr" }',
        f"m.toml: view[0]: draw.line: rows have no axis named 'evolvr'; did you mean 'evolver'? {HAVE}",
    ),
    "a panel that no axis is": (
        '{ x = "round", panel = "colum" }',
        f"m.toml: view[0]: draw.panel: rows have no axis named 'colum'; did you mean 'column'? {HAVE}",
    ),
    "an axis of the experiment, not of the rows": (
        '{ x = "temperature" }',
        f"m.toml: view[0]: draw.x: rows have no axis named 'temperature'; known: evolver, round {HAVE}",
    ),
    "columns from left to right": (
        '{ x = "column" }',
        f"m.toml: view[0]: draw.x: rows have no axis named 'column'; known: evolver, round {HAVE}",
    ),
    "an axis given twice": (
        '{ x = "round", line = "round" }',
        "m.toml: view[0]: draw: 'round' is given twice, as x and line",
    ),
    "columns given twice": (
        '{ x = "round", line = "column", panel = "column" }',
        "m.toml: view[0]: draw: 'column' is given twice, as line and panel",
    ),
    "lines over each other": (
        '{ x = "evolver" }',
        "m.toml: view[0]: draw: the axis round has no place: 1, 2 would lie over each other; "
        "name it as x, line or panel",
    ),
    "no x": (
        '{ line = "evolver" }',
        "m.toml: view[0].draw: x is missing; wanted the axis of the rows that runs from left to right",
    ),
    "curves along an axis": (
        '{ kind = "curves", x = "round" }',
        "m.toml: view[0].draw: x: curves have an x of their own; leave it out",
    ),
    "a kind that there is not": (
        '{ kind = "pies", x = "round" }',
        "m.toml: view[0].draw.kind: input should be 'lines', 'curves', 'bars' or 'outcomes', found 'pies'",
    ),
    "an unknown key": (
        '{ x = "round", lines = "evolver" }',
        "m.toml: view[0].draw.lines: no such key; did you mean 'line'?",
    ),
    "a list": (
        '{ x = ["round"] }',
        "m.toml: view[0].draw.x: input should be a valid string, found ['round']",
    ),
    "control characters": (
        f'{{ x = "{EVIL}" }}',
        "m.toml: view[0]: draw.x: rows have no axis named '\\x1b[2J\\u202e'; known: evolver, round " + HAVE,
    ),
    "a name without an end": (
        '{ x = "' + "a" * 100_000 + '" }',
        "m.toml: view[0]: draw.x: rows have no axis named '" + "a" * 117 + "...'; known: evolver, round " + HAVE,
    ),
}


@pytest.mark.parametrize("draw, message", READ.values(), ids=list(READ))
def test_what_can_not_be_drawn_is_told_when_it_is_read(draw: str, message: str):
    with pytest.raises(RequestError) as error:
        parse(UserManifest, view(draw), "m.toml")
    assert str(error.value) == message


def test_values_without_an_end_are_cut():
    names = ", ".join(json.dumps("b" * 200 + str(number)) for number in range(100))
    rows = f"round = [1, 2], base = [{names}]"
    with pytest.raises(RequestError) as error:
        parse(UserManifest, view('{ x = "rond" }', rows), "m.toml")
    assert str(error.value).endswith("..., 92 more)")
    assert len(str(error.value)) < 700


PLANNED = {
    "several columns in one place": (
        '{ x = "round", panel = "evolver" }',
        '"ifeval"',
        "m.toml: table m: draw: 4 columns (ifeval_prompt_strict, ifeval_instruction_strict, ifeval_prompt_loose, "
        "ifeval_instruction_loose) have no place; wanted line or panel = 'column', or one column",
    ),
    "numbers as curves": (
        '{ kind = "curves", line = "round" }',
        '"gsm8k"',
        "m.toml: table m: draw.kind: gsm8k is a number, wanted a curve; kind = 'lines' draws it",
    ),
}


@pytest.mark.parametrize("draw, measures, message", PLANNED.values(), ids=list(PLANNED))
def test_columns_that_can_not_be_drawn(
    draw: str, measures: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("seeds.json").write_text(json.dumps([{"instruction": "Name a colour."}]), encoding="utf-8")
    Path("m.toml").write_text(view(draw, measures=measures), encoding="utf-8")
    with pytest.raises(RequestError) as error:
        plan_manifest(Path("m.toml"))
    assert str(error.value) == message


def test_columns_as_lines_need_no_panel():
    (found,) = parse(UserManifest, view('{ x = "round", line = "column" }'), "m.toml").view
    assert found.draw is not None
    assert found.draw.panel_axis == ""
