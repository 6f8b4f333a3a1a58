"""Formats and containers of instructions and pairs: told apart by content, read, and written back as they came."""

import csv
import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.errors import RequestError
from kit.files.formats import open_rows
from kit.files.jsontexts import with_fields
from kit.files.seeds import instructions_of, pairs_of, read_instructions
from kit.files.writing import write_back, write_with
from kit.records import Instruction, Pair
from tests.formats.conftest import write

BEFORE = {"system": "Be brief.", "history": (("1 + 1?", "2"),)}
ROWS = {
    "alpaca": [
        {
            "id": "a",
            "source": "web",
            "instruction": "Add 2.",
            "input": "",
            "output": "4",
            "system": "Be brief.",
            "history": [["1 + 1?", "2"]],
            "score": "0.50",
        },
        {"id": "b", "source": "", "instruction": 'Say; "hi",\nnow.', "input": "é", "output": "hi", "score": "1"},
    ],
    "sharegpt": [
        {
            "id": "a",
            "source": "web",
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "1 + 1?"},
                {"from": "gpt", "value": "2"},
                {"from": "human", "value": "Add 2."},
                {"from": "gpt", "value": "4"},
            ],
            "score": "0.50",
        },
        {
            "id": "b",
            "source": "",
            "conversations": [
                {"from": "human", "value": 'Say; "hi",\nnow.\né'},
                {"from": "gpt", "value": "hi"},
            ],
            "score": "1",
        },
    ],
    "messages": [
        {
            "id": "a",
            "source": "web",
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "1 + 1?"},
                {"role": "assistant", "content": "2"},
                {"role": "user", "content": "Add 2."},
                {"role": "assistant", "content": "4"},
            ],
            "score": "0.50",
        },
        {
            "id": "b",
            "source": "",
            "messages": [
                {"role": "user", "content": 'Say; "hi",\nnow.\né'},
                {"role": "assistant", "content": "hi"},
            ],
            "score": "1",
        },
    ],
}
"""Format -> two records with fields that the kit does not know."""


def json_list(rows: list[dict[str, Any]]) -> bytes:
    return json.dumps(rows, ensure_ascii=False).encode()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def csv_with(delimiter: str, line_end: str, mark: str = "") -> Callable[[list[dict[str, Any]]], bytes]:
    """Return a writer of CSV by Python's own module."""

    def write(rows: list[dict[str, Any]]) -> bytes:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        text = io.StringIO()
        writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
        writer.writerow(columns)
        for row in rows:
            values = [row.get(name, "") for name in columns]
            writer.writerow([value if isinstance(value, str) else json.dumps(value) for value in values])
        return (mark + text.getvalue()).encode()

    return write


def parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, compression="zstd")
    return sink.getvalue()


def packed(write: Callable[[list[dict[str, Any]]], bytes]) -> Callable[[list[dict[str, Any]]], bytes]:
    return lambda rows: gzip.compress(write(rows))


CONTAINERS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], bytes]]] = {
    "json": ("json", json_list),
    "jsonl": ("jsonl", json_lines),
    "json.gz": ("json", packed(json_list)),
    "jsonl.gz": ("jsonl", packed(json_lines)),
    "comma": ("csv", csv_with(",", "\n")),
    "semicolon": ("csv", csv_with(";", "\r\n", "\ufeff")),
    "tab": ("csv", csv_with("\t", "\n")),
    "bar": ("csv", csv_with("|", "\n")),
    "csv.gz": ("csv", packed(csv_with(",", "\r\n"))),
    "parquet": ("parquet", parquet_bytes),
}
"""Name of a file's kind -> the container, and what writes it."""
WANTED = [
    Instruction(id="a", instruction="Add 2.", output="4", **BEFORE),
    Instruction(id="b", instruction='Say; "hi",\nnow.', input="é", output="hi"),
]
CASES = [(format, name) for format in ROWS for name in CONTAINERS]


def wanted(format: str) -> list[Instruction]:
    """Return the rows of a format; a chat has no input of its own."""
    second = WANTED[1]
    joined = Instruction(id="b", instruction=f"{second.instruction}\n{second.input}", output="hi")
    return WANTED if format == "alpaca" else [WANTED[0], joined]


def records(path: Path) -> list[dict[str, Any]]:
    return [record for _, record in open_rows(path).records]


@pytest.mark.parametrize("format, kind", CASES, ids=[" in ".join(case) for case in CASES])
def test_a_file_is_read_and_written_back_as_it_came(format: str, kind: str, tmp_path: Path):
    container, write = CONTAINERS[kind]
    path, out = tmp_path / "mine", tmp_path / "out"  # a name that tells nothing
    path.write_bytes(write(ROWS[format]))
    origin = open_rows(path)
    assert (origin.format, origin.container, origin.packed) == (format, container, kind.endswith("gz"))
    assert instructions_of(origin, "mine") == wanted(format)
    assert [row.output for row in pairs_of(origin)] == ["4", "hi"]
    # evolve: the instruction in its place, no answer
    evolved = [
        Instruction(
            id=row.id, instruction=f"{row.instruction}!\n;", input=row.input, system=row.system, history=row.history
        )
        for row in wanted(format)
    ]
    write_back(evolved, origin, out)
    again = open_rows(out)
    assert (again.format, again.container, again.packed) == (format, container, origin.packed)
    assert instructions_of(again, "out") == evolved
    assert [(row["source"], row["score"]) for row in records(out)] == [("web", "0.50"), ("", "1")]
    assert list(again.records[0][1]) == list(origin.records[0][1])
    # respond: the answer in its place
    names = ("id", "instruction", "input", "system", "history")
    answered = [Pair(**{name: getattr(row, name) for name in names}, output='A;\r\n"b"') for row in evolved]
    write_back(answered, again, tmp_path / "pairs")
    assert pairs_of(open_rows(tmp_path / "pairs")) == answered
    # decontaminate: the second row alone, its fields as they were
    write_back([1], origin, tmp_path / "clean")
    assert records(tmp_path / "clean") == records(path)[1:]
    write_back([0, 1], origin, tmp_path / "all")
    assert records(tmp_path / "all") == records(path)


def test_rows_that_are_kept_are_copied_by_their_characters(tmp_path: Path):
    rows = ['{"instruction":"a","score":0.10,"big":1E2,"x":"\\u00e9\\ud83d"}', '{ "instruction" : "b" , "n" : [1 ,2] }']
    path, out = tmp_path / "s", tmp_path / "o"
    path.write_text(f"[{rows[0]},{rows[1]}]")
    write_back([1, 0], open_rows(path), out)
    assert out.read_text() == f"[{rows[1]},{rows[0]}]"
    path.write_text(f"\ufeff[\n    {rows[0]} ,\n    {rows[1]},\n\n    {rows[0]}\n]\n")
    write_back([0, 1, 2], open_rows(path), out)
    assert f"\ufeff{out.read_text()}" == path.read_text()
    write_back([1, 2], open_rows(path), out)
    assert out.read_text() == f"[\n    {rows[1]},\n\n    {rows[0]}\n]\n"
    path.write_text(f"[{rows[0]}]")
    write_back([], open_rows(path), out)
    assert out.read_text() == "[]\n"
    table = '\ufeff"instruction";"n"\r\n"a\r\n""b""";"1.50"\r\n"c";""\r\n'.encode()
    path.write_bytes(table)
    write_back([0, 1], open_rows(path), out)
    assert out.read_bytes() == table


def test_lines_of_json_keep_their_ends(tmp_path: Path):
    rows = ['{"instruction":"a","n":1E2}', '{ "instruction" : "b" }']
    path, out = tmp_path / "s", tmp_path / "o"
    path.write_bytes(f"\ufeff{rows[0]}\r\n\n{rows[1]}\n".encode())
    write_back([0, 1], open_rows(path), out)
    assert out.read_bytes() == f"{rows[0]}\r\n{rows[1]}\r\n".encode()
    write_back([Pair(id="s/0", instruction="c", output="d"), 1], open_rows(path), out)
    assert out.read_bytes().endswith(f'"input": ""}}\r\n{rows[1]}\r\n'.encode())
    path.write_text(f"{rows[0]}\n{rows[1]}")
    write_back([1], open_rows(path), out)
    assert out.read_text() == f"{rows[1]}\n"
    write_back([], open_rows(path), out)
    assert out.read_text() == ""


WITH_FIELDS = {
    '{"a": 1E2, "b": 0.10}': '{"a": 1E2, "b": 0.10, "n": 3}',
    '{"a":1,"b":[1 ,2]}': '{"a":1,"b":[1 ,2],"n":3}',
    '{"a":1}': '{"a":1,"n":3}',
    '{"a": 1}': '{"a": 1, "n": 3}',
    '{"a" : "\\u00e9}" , "b" : {"c": 1} }': '{"a" : "\\u00e9}" , "b" : {"c": 1} , "n" : 3 }',
    '{\n  "a": 1\n}': '{\n  "a": 1,\n  "n": 3\n}',
    '{\n  "a": 1,\n  "b": 0.1000000000000000055\n}': '{\n  "a": 1,\n  "b": 0.1000000000000000055,\n  "n": 3\n}',
    '{ "a": 1 }': '{ "a": 1, "n": 3 }',
    "{}": '{"n": 3}',
    " { } ": ' {"n": 3 } ',
    '{"n":2.50,"a":{"n":1}}': '{"n":3,"a":{"n":1}}',
    '{"a": "n", "\\u006e" : null , "c": 1e-7}': '{"a": "n", "\\u006e" : 3 , "c": 1e-7}',
    '\t{"a":\n1}\t': '\t{"a":\n1, "n":\n3}\t',
}


@pytest.mark.parametrize("text", WITH_FIELDS)
def test_a_field_is_added_to_the_text_of_a_record(text: str):
    assert with_fields(text, {"n": 3}) == WITH_FIELDS[text]
    assert with_fields(text, {}) == text


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(st.sampled_from(["a", "n", 'é"', "{"]), VALUES, max_size=4)


@settings(max_examples=300, deadline=None)
@given(record=RECORDS, fields=RECORDS, indent=st.sampled_from([None, 0, 2]), escaped=st.booleans())
def test_any_record_gets_any_fields(record: dict[str, Any], fields: dict[str, Any], indent: int | None, escaped: bool):
    text = json.dumps(record, indent=indent, ensure_ascii=escaped)
    found = json.loads(with_fields(text, fields))
    assert list(found.items()) == list((record | fields).items())
    if set(fields).isdisjoint(record):
        assert with_fields(text, fields).startswith(text.rstrip("}").rstrip())


def test_several_fields_are_added_or_changed():
    assert with_fields('{"a":1,"b":2}', {"c": [0.5, None], "a": "é", "d": ""}) == (
        '{"a":"é","b":2,"c":[0.5, null],"d":""}'
    )


@pytest.mark.parametrize("indent", [None, 1, 2, 4])
@pytest.mark.parametrize("lines", [False, True])
def test_fields_are_added_and_nothing_else_changes(lines: bool, indent: int | None, tmp_path: Path):
    rows = ROWS["messages"] + ROWS["messages"][:1]
    more = [{"ifd": 0.5, "ifd_turns": [0.5, None]}, {"ifd": None, "ifd_skipped": "no answer"}, {}]
    path, out = tmp_path / "s", tmp_path / "o"

    def text_of(records: list[dict[str, Any]]) -> str:
        if lines:
            return "".join(json.dumps(record) + "\n" for record in records)
        return json.dumps(records, indent=indent)

    path.write_text(text_of(rows))
    write_with(dict(enumerate(more)), open_rows(path), out)
    wanted = [row | fields for row, fields in zip(rows, more, strict=True)]
    assert json_of(out, lines) == wanted
    if indent is None or lines:  # a list of numbers stands in one line, however the file is indented
        assert out.read_text() == text_of(wanted)
    write_with({1: more[1], 2: {}}, open_rows(path), out)
    assert json_of(out, lines) == wanted[1:]


def json_of(path: Path, lines: bool) -> list[dict[str, Any]]:
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines()] if lines else json.loads(text)


def test_an_alpaca_record_gets_the_fields_by_which_the_kit_knows_it(tmp_path: Path):
    path, out = tmp_path / "s.jsonl", tmp_path / "o.jsonl"
    path.write_text('{"source": "web", "instruction": "a", "input": null, "n": 1.0}\n{"id": 0, "instruction": "b"}\n')
    origin = open_rows(path)
    write_back([Instruction(id="s/0", instruction=""), Instruction(id="0", instruction="c")], origin, out)
    assert out.read_text() == (
        '{"id": "s/0", "source": "web", "instruction": "", "input": null, "n": 1.0, "output": ""}\n'
        '{"id": 0, "instruction": "c", "input": "", "output": ""}\n'
    )
    assert [row.instruction for row in read_instructions(out, "auto", "o")] == ["", "c"]


def test_a_row_of_another_id_becomes_a_new_record(tmp_path: Path):
    for format, kind in CASES:
        path, out = tmp_path / f"{format}-{kind}", tmp_path / f"{format}-{kind}-out"
        path.write_bytes(CONTAINERS[kind][1](ROWS[format]))
        new = [Pair(id="new", instruction="q", output="r", **BEFORE), Pair(id="b", instruction="s", output="t")]
        write_back(new, open_rows(path), out)
        assert pairs_of(open_rows(out)) == new, path.name


def test_lines(tmp_path: Path):
    path, out = tmp_path / "tasks", tmp_path / "out"
    path.write_bytes("\ufeffName a colour, please.\r\n\r\n  Zähle bis drei. \n[not JSON\n".encode())
    with pytest.raises(RequestError, match="not JSON"):
        read_instructions(write(tmp_path / "x", "[not JSON\n"), "auto", "t")
    origin = open_rows(path)
    assert (origin.container, origin.format) == ("lines", "lines")
    rows = instructions_of(origin, "t")
    assert [(row.id, row.instruction) for row in rows] == [
        ("t/0", "Name a colour, please."),
        ("t/1", "Zähle bis drei."),
        ("t/2", "[not JSON"),
    ]
    assert [row.instruction for row in read_instructions(write(tmp_path / "x", "[a\r{b\n"), "lines", "t")] == [
        "[a",
        "{b",
    ]
    write_back([2, 1], origin, out)
    assert out.read_text() == "[not JSON\n  Zähle bis drei. \n"
    # an evolved instruction has line breaks, a pair has an answer: no line holds them
    write_back([Pair(id="tasks/1", instruction="a\nb", output="c")], origin, out)
    assert json.loads(out.read_text()) == [{"id": "tasks/1", "instruction": "a\nb", "input": "", "output": "c"}]
