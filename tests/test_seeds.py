"""Reading of instruction files in the layouts that people use."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kit.catalogue.entries import Dataset
from kit.errors import RequestError
from kit.files.formats import open_rows
from kit.files.seeds import read_instructions, read_pairs, read_seeds, read_stored, read_training
from kit.files.writing import write_back
from kit.plan.sources import data_source
from kit.records import Instruction, Pair, read_rows, write_rows

FILES = {
    "JSON list": ("alpaca", '[{"instruction": "a", "input": "b", "output": "c"}, {"instruction": "d"}]'),
    "JSONL": ("alpaca", '{"instruction": "a", "input": "b", "output": "c"}\n\n{"instruction": "d", "input": null}\n'),
    "byte order marks of two editors": (
        "alpaca",
        '\ufeff\ufeff[{"instruction": "a", "input": "b", "output": "c"}, {"instruction": "d"}]',
    ),
    # "line 2: Unexpected UTF-8 BOM"
    "two files laid end to end": (
        "alpaca",
        '\ufeff{"instruction": "a", "input": "b", "output": "c"}\n\ufeff{"instruction": "d"}\n\ufeff\n',
    ),
    # "no 'instruction'; found \\ufeffinstruction"
    "byte order mark of a table's first column": (
        "alpaca",
        '[{"\ufeffinstruction": "a", "input": "b", "output": "c"}, {"\ufeffinstruction": "d", "system": null}]',
    ),
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
        read_instructions(path, "sharegtp", "s")
    assert str(error.value) == f"{path}: no seed format 'sharegtp'; did you mean 'sharegpt'?"
    with pytest.raises(RequestError) as error:
        read_pairs(path)
    assert str(error.value) == f"{path}: every 'output' is empty; run `kit respond` first"


def write_alpaca(path: Path, pairs: list[Pair]) -> None:
    """Write pairs as `kit respond` does for a JSON list that has none of their ids."""
    origin = path.with_name("origin.json")
    origin.write_text('[{"instruction": "a"}]', encoding="utf-8")
    write_back(pairs, open_rows(origin), path)


ANY_TEXT = st.text(st.characters(codec=None), max_size=12)  # lone surrogates too: models emit them
SLOW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)


@SLOW
@given(rows=st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), min_size=1, max_size=4))
def test_written_rows_are_read_back(rows: list[tuple[str, str, str]], tmp_path: Path):
    # an evolver may say nothing; `kit respond` refused what `kit evolve` had written
    pairs = [Pair(id=f"s/{n}", instruction=a, input=b, output=c) for n, (a, b, c) in enumerate(rows)]
    write_alpaca(tmp_path / "s.json", pairs)
    read = read_instructions(tmp_path / "s.json", "alpaca", "s")
    assert [(row.instruction, row.input, row.output) for row in read] == rows
    write_rows(tmp_path / "s.jsonl", pairs)
    assert read_rows(tmp_path / "s.jsonl", Pair) == pairs
    assert len(json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))) == len(rows)


CHAT = {
    "instruction": "And 2 + 2?",
    "output": "4",
    "system": "Answer with a number.",
    "history": [["1 + 1?", "2"], ["Sure?", "Yes: 2"]],
}
BEFORE = {"system": CHAT["system"], "history": (("1 + 1?", "2"), ("Sure?", "Yes: 2"))}


def write(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


def test_system_and_history_are_read_and_written(tmp_path: Path):
    # both were dropped, with exit code 0
    path = write(tmp_path / "s.json", CHAT, {"instruction": "a", "system": "", "history": []})
    seeds = read_seeds(path, "alpaca", "s")
    assert seeds.rows == [
        Instruction(id="s/0", instruction="And 2 + 2?", output="4", **BEFORE),
        Instruction(id="s/1", instruction="a"),
    ]
    assert seeds.facts() == {
        "with_system": 1,
        "with_history": 1,
        "unread_fields": {},
        "half_characters": 0,
        "byte_order_marks": 0,
    }
    pairs = read_pairs(path)
    assert pairs[0] == Pair(id="s/0", instruction="And 2 + 2?", output="4", **BEFORE)
    write_alpaca(tmp_path / "again.json", pairs)
    assert read_pairs(tmp_path / "again.json") == pairs
    write_rows(tmp_path / "pairs.jsonl", pairs)
    assert read_rows(tmp_path / "pairs.jsonl", Pair) == pairs


def test_a_row_without_them_is_written_as_before(tmp_path: Path):
    # every artifact's bytes and every table's keys would move
    pair = Pair(id="s/0", instruction="a", output="c")
    write_rows(tmp_path / "p.jsonl", [pair, Instruction(id="s/1", instruction="b")])
    assert (tmp_path / "p.jsonl").read_text() == (
        '{"finish_reason":"","id":"s/0","input":"","instruction":"a","output":"c"}\n'
        '{"finish_reason":"","id":"s/1","input":"","instruction":"b","operator":"","output":""}\n'
    )
    write_alpaca(tmp_path / "p.json", [pair])
    assert (tmp_path / "p.json").read_text() == (
        '[\n {\n  "id": "s/0",\n  "instruction": "a",\n  "input": "",\n  "output": "c"\n }\n]\n'
    )


HISTORY = 'wanted a list of pairs ["what the user said", "what was answered"]'
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "history is a text": ({"history": "Hi"}, f"'history': found str, {HISTORY}"),
    "history of turns": ({"history": [{"role": "user", "content": "Hi"}]}, f"'history'[0]: found dict, {HISTORY}"),
    "history without an answer": (
        {"history": [["Hi", "Hello"], ["Bye"]]},
        f"'history'[1]: found [str], {HISTORY}",
    ),
    "history with a null": ({"history": [["Hi", None]]}, f"'history'[0]: found [str, NoneType], {HISTORY}"),
    "history of three": ({"history": [["a", "b", "c"]]}, f"'history'[0]: found [str, str, str], {HISTORY}"),
    "system is a list": ({"system": ["Be brief."]}, "'system': found list, wanted text"),
    "output is a number": ({"output": 4}, "'output': found int, wanted text"),
    "output is a list of two": ({"output": ["good", "bad"]}, "'output': found list, wanted text"),
    "instruction is null": ({"instruction": None}, "'instruction': found NoneType, wanted text"),
    "images": (
        {"images": ["a.png"]},
        "'images' would be lost, rows are text alone here; leave such rows out, or the field if they make sense "
        "without it",
    ),
    "tools": (
        {"tools": "[]x"},
        "'tools' would be lost, rows are text alone here; leave such rows out, or the field if they make sense "
        "without it",
    ),
    "a chat beside": (
        {"messages": [{"role": "user", "content": "a"}]},
        "'messages' holds a chat, which is not read; wanted its last question as 'instruction', its last answer as "
        "'output', what stands before them as 'history' and 'system'",
    ),
    "a bad answer": (
        {"kto_tag": False},
        "'kto_tag' would be lost, every row counts alike and its 'output' is learnt; leave out the rows that are not "
        "to be learnt, then the field",
    ),
    "half a row": (
        {"weight": 0.5},
        "'weight' would be lost, every row counts alike and its 'output' is learnt; leave out the rows that are not "
        "to be learnt, then the field",
    ),
    "another name": (
        {"response": "b", "output": ""},
        "'response' is not read, and 'output' is empty; is it 'output'? Then rename it",
    ),
    "Dolly's context": ({"context": "b"}, "'context' is not read, and 'input' is empty; is it 'input'? Then rename it"),
    "capital": ({"Input": "b"}, "'Input' is not read, and 'input' is empty; is it 'input'? Then rename it"),
    "misspelt": (
        {"histroy": [["a", "b"]]},
        "'histroy' is not read, and 'history' is empty; is it 'history'? Then rename it",
    ),
    "system prompt": (
        {"system_prompt": "b"},
        "'system_prompt' is not read, and 'system' is empty; is it 'system'? Then rename it",
    ),
}


@pytest.mark.parametrize("change, message", REFUSED.values(), ids=list(REFUSED))
def test_a_row_with_fields_that_change_its_meaning_is_refused(change: dict[str, Any], message: str, tmp_path: Path):
    # each was trained on without what it says, or ended in a traceback
    path = write(tmp_path / "s.json", {"instruction": "a", "output": "b"}, {"instruction": "a", "output": "b"} | change)
    with pytest.raises(RequestError) as error:
        read_pairs(path)
    assert str(error.value) == f"{path}[1]: {message}"


def test_a_chat_of_another_layout_is_reported(tmp_path: Path):
    path = write(tmp_path / "s.json", {"conversations": [{"from": "human", "value": "a"}]})
    with pytest.raises(RequestError) as error:
        read_instructions(path, "alpaca", "s")
    assert str(error.value) == (
        f"{path}[0]: no 'instruction'; found conversations, wanted instruction, input, output; 'conversations' holds a "
        "chat: give chats and other rows as files of their own, with --format auto"
    )


@pytest.mark.parametrize("field", ["system", "history", "input"])
def test_gsm8k_has_no_such_field(field: str, tmp_path: Path):
    path = write(tmp_path / "g.json", {"question": "a", "answer": "b", field: "c"})
    with pytest.raises(RequestError) as error:
        read_instructions(path, "gsm8k", "g")
    assert str(error.value) == (
        f"{path}[0]: {field!r} would be lost, this format has no such field; take the alpaca format"
    )


def test_unread_fields_are_counted(tmp_path: Path):
    path = write(
        tmp_path / "s.json",
        {"instruction": "a", "output": "b", "source": "web", "text": "### a", "images": [], "tools": None},
        {
            "instruction": "c",
            "input": "d",
            "output": "e",
            "source": "web",
            "context": "d",
            "label": "sums",
            "weight": 1,
        },
        {"instruction": "f", "output": "g", "source": " ", "prompt": "f"},
    )
    unread = {"context": 1, "label": 1, "prompt": 1, "source": 2, "text": 1, "weight": 1}
    assert read_training(path).facts()["unread_fields"] == unread


def test_preferences_are_seeds_and_no_pairs(tmp_path: Path):
    path = write(tmp_path / "s.json", {"instruction": "a", "chosen": "b", "rejected": "c", "response": "d"})
    assert read_seeds(path, "alpaca", "s").facts()["unread_fields"] == {"chosen": 1, "rejected": 1, "response": 1}
    with pytest.raises(RequestError, match="'chosen' would be lost"):
        read_training(path)


MENDED: dict[str, tuple[dict[str, Any], dict[str, Any], int, int]] = {
    "instruction": ({"instruction": "Say \ud83d hi."}, {"instruction": "Say \ufffd hi."}, 1, 0),
    "input": ({"input": "\udc00\ud83d"}, {"input": "\ufffd\ufffd"}, 2, 0),
    "output": ({"output": "ok \ude00"}, {"output": "ok \ufffd"}, 1, 0),
    "system": ({"system": "\ud83d"}, {"system": "\ufffd"}, 1, 0),
    "history": (
        {"history": [["\ud83d", "b"], ["c", "d\ude00"]]},
        {"history": (("\ufffd", "b"), ("c", "d\ufffd"))},
        2,
        0,
    ),
    "a whole character": ({"output": "\U0001f600"}, {"output": "\U0001f600"}, 0, 0),
    "one lost before": ({"output": "\ufffd"}, {"output": "\ufffd"}, 0, 0),
    "mark in front": ({"instruction": "\ufeffa", "output": "\ufeff\ufeffb"}, {"instruction": "a", "output": "b"}, 0, 2),
    "mark inside": ({"output": "a\ufeffb"}, {"output": "a\ufeffb"}, 0, 0),
    "both": ({"output": "\ufeff\ud83d"}, {"output": "\ufffd"}, 1, 1),
    "control characters": ({"output": "a\0b\x07\x1b[0m\r\x7f"}, {"output": "a\0b\x07\x1b[0m\r\x7f"}, 0, 0),
}


@pytest.mark.parametrize("given, wanted, halves, marks", MENDED.values(), ids=list(MENDED))
def test_half_characters_and_byte_order_marks_are_replaced_or_dropped(
    given: dict[str, Any], wanted: dict[str, Any], halves: int, marks: int, tmp_path: Path
):
    # half a character ended the job in a traceback of the tokenizer's that named no row
    row = {"instruction": "a", "output": "b"}
    reading = read_training(write(tmp_path / "s.json", row | given))
    assert reading.rows == [Pair(**{"id": "s/0", **row, **wanted})]
    assert (reading.mended.half_characters, reading.mended.byte_order_marks) == (halves, marks)
    assert read_seeds(tmp_path / "s.json", "alpaca", "s").mended == reading.mended


def test_a_models_text_is_kept_but_for_half_characters(tmp_path: Path):
    write_rows(
        tmp_path / "p.jsonl", [Pair(id="s/0", instruction="\ufeffa", output="b\ud83d", history=(("\ude00", "c"),))]
    )
    reading = read_stored(tmp_path / "p.jsonl", Pair)
    assert reading.rows == [Pair(id="s/0", instruction="\ufeffa", output="b\ufffd", history=(("\ufffd", "c"),))]
    assert (reading.mended.half_characters, reading.mended.byte_order_marks) == (2, 0)


ABSENT = {
    "input absent": ("alpaca", {"instruction": "a", "output": "b"}, ("a", "", "b")),
    "output null": ("alpaca", {"instruction": "a", "input": "b", "output": None}, ("a", "b", "")),
    "id empty": ("alpaca", {"id": "", "instruction": "a"}, ("a", "", "")),
    "answer absent": ("gsm8k", {"question": "a"}, "'answer': found nothing, wanted text"),
    "answer null": ("gsm8k", {"question": "a", "answer": None}, "'answer': found NoneType, wanted text"),
    "question null": ("gsm8k", {"question": None, "answer": "b"}, "'question': found NoneType, wanted text"),
}


@pytest.mark.parametrize("format, row, wanted", ABSENT.values(), ids=list(ABSENT))
def test_absent_and_null(format: str, row: dict[str, Any], wanted: tuple[str, ...] | str, tmp_path: Path):
    path = write(tmp_path / "s.json", row)
    if isinstance(wanted, str):
        with pytest.raises(RequestError) as error:
            read_instructions(path, format, "s")
        assert str(error.value) == f"{path}[0]: {wanted}"
        return
    (found,) = read_instructions(path, format, "s")
    assert (found.id, found.instruction, found.input, found.output) == ("s/0", *wanted)


@pytest.mark.parametrize(
    "row, chats",
    [({"system": "Be brief."}, True), ({"history": [["a", "b"]]}, True), ({"system": "", "history": []}, False)],
    ids=["system", "history", "neither"],
)
def test_a_file_with_chats_has_a_key_of_its_own(row: dict[str, Any], chats: bool, tmp_path: Path):
    # a store of an earlier kit holds a model that was trained on the same file without them
    path = write(tmp_path / "s.json", {"instruction": "a"}, {"instruction": "b"} | row)
    params, _ = data_source(Dataset(format="alpaca", file=str(path), licence="mine"), None)
    assert params.get("chats", False) is chats
    assert set(params) - {"chats"} == {"kind", "name", "sha256"}


def test_an_instruction_of_a_byte_order_mark_alone_is_refused(tmp_path: Path):
    path = write(tmp_path / "s.json", {"instruction": "\ufeff "})
    with pytest.raises(RequestError) as error:
        read_instructions(path, "alpaca", "s")
    assert str(error.value) == f"{path}[0]: 'instruction' is empty; every record needs an instruction"


def test_rows_past_the_limit_are_not_read(tmp_path: Path):
    path = write(tmp_path / "s.json", {"instruction": "a"}, {"instruction": "b", "images": ["c"]})
    assert [row.instruction for row in read_instructions(path, "alpaca", "s", rows=1)] == ["a"]
    with pytest.raises(RequestError, match="'images' would be lost"):
        read_instructions(path, "alpaca", "s", rows=2)


def test_a_field_name_with_half_a_character_is_counted_under_a_valid_name(tmp_path: Path):
    # the model was tuned, and the job ended in "UnicodeEncodeError" when its facts were written
    rows = [{"instruction": "Hi.", "output": "Ho.", f"from{half}": "web"} for half in ("\ud83d", "\udc00")]
    (tmp_path / "p.json").write_text(json.dumps(rows))
    facts = read_training(tmp_path / "p.json").facts()
    assert facts["unread_fields"] == {"from\ufffd": 2}
    json.dumps(facts, ensure_ascii=False).encode()


@pytest.mark.parametrize("name", ["histories", "chat_history", "Conversation_History"])
def test_a_history_under_another_name_is_refused(name: str, tmp_path: Path):
    # it was counted as a field that is not read, and the model tuned without it
    (tmp_path / "p.json").write_text(json.dumps([{"instruction": "Hi.", "output": "Ho.", name: [["a", "b"]]}]))
    with pytest.raises(RequestError) as error:
        read_training(tmp_path / "p.json")
    assert str(error.value) == (
        f"{tmp_path}/p.json[0]: {name!r} is not read, and 'history' is empty; is it 'history'? Then rename it"
    )


@pytest.mark.parametrize("name, format", [("mini-alpaca.json", "alpaca"), ("mini-gsm8k-train.jsonl", "gsm8k")])
def test_seed_sets_are_trained_on_with_their_own_answers(name: str, format: str):
    path = Path(__file__).resolve().parent.parent / "kit" / "bundled" / name
    found = read_training(path, format, "seeds").rows
    wanted = read_instructions(path, format, "seeds")
    assert [(row.id, row.instruction, row.output) for row in found] == [
        (row.id, row.instruction, row.output) for row in wanted
    ]
    assert all(row.output for row in found)
    assert found[0].id == "seeds/0"
