"""Instruction files as people have them."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.errors import RequestError
from kit.records import Instruction, Pair, read_rows, write_rows
from kit.seeds import read_instructions, read_pairs, write_alpaca

FILES = {
    "JSON list": ("alpaca", '[{"instruction": "a", "input": "b", "output": "c"}, {"instruction": "d"}]'),
    "JSONL": ("alpaca", '{"instruction": "a", "input": "b", "output": "c"}\n\n{"instruction": "d", "input": null}\n'),
    "byte order mark": ("alpaca", '\ufeff[{"instruction": "a", "input": "b", "output": "c"}, {"instruction": "d"}]'),
}


@pytest.mark.parametrize("format, text", FILES.values(), ids=list(FILES))
def test_alpaca(format: str, text: str, tmp_path: Path):
    (tmp_path / "s.json").write_text(text, encoding="utf-8")
    assert read_instructions(tmp_path / "s.json", format, "s") == [
        Instruction(id="s/0", instruction="a", input="b", output="c"),
        Instruction(id="s/1", instruction="d"),
    ]


def test_gsm8k_and_the_first_rows(tmp_path: Path):
    (tmp_path / "g.jsonl").write_text('{"question": "1+1?", "answer": "#### 2"}\n{"question": "?", "answer": ""}\n')
    assert read_instructions(tmp_path / "g.jsonl", "gsm8k", "g", rows=1) == [
        Instruction(id="g/0", instruction="1+1?", output="#### 2")
    ]


def test_ids_of_the_file_are_kept(tmp_path: Path):
    (tmp_path / "s.json").write_text('[{"id": 7, "instruction": "a"}, {"id": "x", "instruction": "b"}]')
    assert [row.id for row in read_instructions(tmp_path / "s.json", "alpaca", "s")] == ["7", "x"]


def test_null_is_no_id(tmp_path: Path):
    # "id 'None' stands twice"
    (tmp_path / "s.json").write_text('[{"id": null, "instruction": "a"}, {"id": null, "instruction": "b"}]')
    assert [row.id for row in read_instructions(tmp_path / "s.json", "alpaca", "s")] == ["s/0", "s/1"]


def test_messages(tmp_path: Path):
    path = tmp_path / "s.json"
    path.write_text('[{"instruction": "a"}]')
    with pytest.raises(RequestError) as error:
        read_instructions(path, "sharegpt", "s")
    assert str(error.value) == f"{path}: no seed format 'sharegpt'; known: alpaca, gsm8k"
    with pytest.raises(RequestError) as error:
        read_pairs(path)
    assert str(error.value) == f"{path}: every 'output' is empty; run `kit respond` first"


ANY_TEXT = st.text(st.characters(codec=None), max_size=12)  # lone surrogates too: models emit them
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


@SLOW
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), min_size=1, max_size=4))
def test_what_is_written_is_read_back(rows: list[tuple[str, str, str]], tmp_path: Path):
    # an evolver may say nothing; `kit respond` refused what `kit evolve` had written
    pairs = [Pair(id=f"s/{n}", instruction=a, input=b, output=c) for n, (a, b, c) in enumerate(rows)]
    write_alpaca(tmp_path / "s.json", pairs)
    read = read_instructions(tmp_path / "s.json", "alpaca", "s")
    assert [(row.instruction, row.input, row.output) for row in read] == rows
    write_rows(tmp_path / "s.jsonl", pairs)
    assert read_rows(tmp_path / "s.jsonl", Pair) == pairs
    assert len(json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))) == len(rows)
