"""The place of a text inside its record, and hints that lead to it."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.errors import RequestError
from kit.files.completions import Completions, read_completions
from kit.records import Problem

TOOLS = Path(__file__).parents[1] / "data" / "tools"


def problems_of(benchmark: str) -> list[Problem]:
    return registry.load("benchmarks", benchmark).read(TOOLS / f"{benchmark}.jsonl")  # type: ignore[no-any-return]


FIELDS = {
    "a list's item": ("resps.0.0", {"resps": [["t"]]}),
    "a later sample": ("samples.2", {"samples": ["a", "b", "t"]}),
    "a message": (
        "output.choices.0.message.content",
        {"output": {"choices": [{"message": {"content": "t"}}]}},
    ),
    "a dot of the name": (r"gpt-4\.1.text", {"gpt-4.1": {"text": "t"}}),
    "a dot of the name, as it stands": ("gpt-4.1", {"gpt-4.1": "t"}),
    "a dot of the name, as a shell leaves it": ("gpt-4.1.text", {"gpt-4": {"1": "no"}, "gpt-4.1": {"text": "t"}}),
    "a name that is a number": ("runs.0.text", {"runs": {"0": {"text": "t"}}}),
    "a list of one": ("resps", {"resps": [["t"]]}),
}


@pytest.mark.parametrize("field, row", FIELDS.values(), ids=list(FIELDS))
def test_fields_with_list_places(
    read: Callable[..., Completions], lines: Callable[..., Path], field: str, row: dict[str, Any], tmp_path: Path
):
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    assert read("gsm8k", path, field=field).texts == ["t", "t", "t"]


NO_FIELD = {
    "too far": ("resps.0.1", "no field 'resps.0.1'; 'resps.0' is a list of 1, numbered from 0"),
    "no number": ("resps.first", "no field 'resps.first'; 'resps' is a list of 1, numbered from 0"),
    "into a text": ("model.text.0", "no field 'model.text.0'; 'model.text' is text"),
    "another name": ("model.txt", "no field 'model.txt'; 'model' has gpt-4\\.1, text"),
    "at the top": ("txt", "no field 'txt'; it has id, model, none, resps"),
    "an empty list": ("none.0", "no field 'none.0'; 'none' is an empty list"),
}


@pytest.mark.parametrize("field, text", NO_FIELD.values(), ids=list(NO_FIELD))
def test_a_field_that_is_not_there_says_what_is(
    message: Callable[..., str], lines: Callable[..., Path], field: str, text: str, tmp_path: Path
):
    row = {"model": {"text": "t", "gpt-4.1": "t"}, "resps": [["t"]], "none": []}
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    assert message("gsm8k", path, field=field) == f"{path}:1: {text}"


HINTS = {
    # the hint was "its field by name with --field", and the field "found list, wanted text"
    "samples of lm-eval": [{"doc_id": n, "doc": {}, "resps": [["t", "other"]]} for n in range(3)],
    "samples of OpenCompass": {
        str(n): {"origin_prompt": p.data["question"], "prediction": ["t", "other"]}
        for n, p in enumerate(problems_of("gsm8k"))
    },
    "samples of bigcode": [["t", "other"], ["t", "other"], ["t", "other"]],
    "an object": [{"id": n, "output": "no", "answer": "no", "reply": {"text": "t"}} for n in range(3)],
    "two fields": [{"id": n, "output": {"says": ["t", "other"]}} for n in range(3)],
}


STARTS = {"an object": "reply", "two fields": "output"}


@pytest.mark.parametrize("name", HINTS)
def test_hints_lead_out_when_they_are_followed_word_for_word(
    read: Callable[..., Completions], name: str, tmp_path: Path
):
    (tmp_path / "c.json").write_text(json.dumps(HINTS[name]))
    field = STARTS.get(name)
    for _ in range(4):
        try:
            assert read("gsm8k", tmp_path / "c.json", field=field).texts == ["t", "t", "t"]
            return
        except RequestError as error:
            (hint,) = re.findall(r"--field (\S+)$", str(error))
            assert hint != field
            field = hint
    pytest.fail("the hints lead in a circle")


SEVERAL: dict[str, tuple[str, list[Any] | dict[str, Any]]] = {
    # the first of them was graded in silence
    "lm-eval's repeats": ("resps.0.0", [{"doc_id": n, "doc": {}, "resps": [["t", "other"]]} for n in range(3)]),
    "lm-eval's requests": ("resps.0.0", [{"doc_id": n, "doc": {}, "resps": [["t"], ["other"]]} for n in range(3)]),
    "lm-eval, filtered": ("filtered_resps.0", [{"doc_id": n, "filtered_resps": ["t", "other"]} for n in range(3)]),
    "vLLM": ("outputs.0.text", [{"index": n, "outputs": [{"text": "t"}, {"text": "other"}]} for n in range(3)]),
    "OpenAI": (
        "choices.0.message.content",
        [{"id": n, "choices": [{"message": {"content": "t"}}, {"message": {"content": "other"}}]} for n in range(3)],
    ),
    "FastChat, two turns": ("choices.0.turns.0", [{"id": n, "choices": [{"turns": ["t", "other"]}]} for n in range(3)]),
    "Inspect": (
        "output.choices.0.message.content",
        [
            {"id": n, "output": {"choices": [{"message": {"content": "t"}}, {"message": {"content": "other"}}]}}
            for n in range(3)
        ],
    ),
}


@pytest.mark.parametrize("place, rows", SEVERAL.values(), ids=list(SEVERAL))
def test_the_first_of_several_is_taken_where_it_is_asked_for(
    read: Callable[..., Completions],
    message: Callable[..., str],
    lines: Callable[..., Path],
    place: str,
    rows: list[Any],
    tmp_path: Path,
):
    path = lines(tmp_path / "c.jsonl", rows)
    text = message("gsm8k", path)
    assert text.startswith(f"{path}:1: ")
    assert text.endswith(
        f": found a list of 2, and one completion a problem is graded; take one by its number, the first is "
        f"--field {place}"
    )
    assert read("gsm8k", path, field=place).texts == ["t", "t", "t"]


NO_TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    # "wanted the text in one of completion, response, output", of a record that has an output
    "null": ({"output": None}, "output: found null"),
    "a number": ({"completion": 48}, "completion: found int"),
    "OpenAI's null": (
        {"response": {"body": {"choices": [{"message": {"content": None}}]}}},
        "response.body.choices.0.message.content: found null",
    ),
}


@pytest.mark.parametrize("row, found", NO_TEXTS.values(), ids=list(NO_TEXTS))
def test_a_text_that_is_none_is_named(
    message: Callable[..., str], lines: Callable[..., Path], row: dict[str, Any], found: str, tmp_path: Path
):
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    assert message("gsm8k", path) == f"{path}:1: {found}, wanted text, an empty one if the model said nothing"


def test_texts_deeper_down_are_named(
    read: Callable[..., Completions], message: Callable[..., str], lines: Callable[..., Path], tmp_path: Path
):
    # "wanted ... its field by name with --field", of a record whose texts are all in objects
    row = {"6b": {"solution": "t", "right": True}, "gpt-4.1": {"runs": ["t", "other"]}}
    path = lines(tmp_path / "c.jsonl", [{"id": n, **row} for n in range(3)])
    text = message("gsm8k", path)
    assert text.endswith(
        r"by name with --field; there are texts at '6b.solution', 'gpt-4\.1.runs.0', 'gpt-4\.1.runs.1'"
    )
    assert read("gsm8k", path, field="6b.solution").texts == ["t", "t", "t"]
    assert read("gsm8k", path, field=r"gpt-4\.1.runs.1").texts == ["other", "other", "other"]


def test_samples_are_never_mixed_up(
    read: Callable[..., Completions], message: Callable[..., str], lines: Callable[..., Path], tmp_path: Path
):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(HINTS["samples of bigcode"]))
    assert message("gsm8k", path) == (
        f"{path}[0]: found a list of 2, and one completion a problem is graded; take one by its number, the first is "
        "--field 0"
    )
    assert read("gsm8k", path, field="1").texts == ["other", "other", "other"]
    # two rows of one problem: samples of EvalPlus, epochs of Inspect
    rows = [{"task_id": f"Mbpp/{n}", "solution": f"t{n}"} for n in (11, 11, 12, 13)]
    path = lines(tmp_path / "c.jsonl", rows)
    assert message("mbpp", path) == (
        f"{path}:2: task_id 'Mbpp/11' stands twice, first at {path}:1; one completion each"
    )


def test_rows_as_the_hint_says(
    read: Callable[..., Completions], message: Callable[..., str], lines: Callable[..., Path], tmp_path: Path
):
    rows = [{"id": n, "output": f"t{n}"} for n in range(2)]
    path = lines(tmp_path / "c.jsonl", rows)
    text = message("gsm8k", path)
    assert text == (
        f"{path}: 1 of 3 problems have no completion, the first is '2'; give every problem one, an empty text if the "
        "model said nothing; where only the first 2 were asked, say --rows 2"
    )
    assert read("gsm8k", path, rows=2).texts == ["t0", "t1"]
    path.write_text('[["t0"], ["t1"]]')
    assert message("gsm8k", path) == (
        f"{path}: 2 texts in the order of the problems, and the benchmark has 3; where only the first 2 were asked, "
        "say --rows 2; is it another split, or one part of several? Name the folder with all parts, or give the "
        "problems with --data"
    )
    assert read("gsm8k", path, rows=2).texts == ["t0", "t1"]


def test_problems_as_the_hint_says(message: Callable[..., str], lines: Callable[..., Path], tmp_path: Path):
    # MBPP+ asks 378 of MBPP's problems, some of them outside its test set
    rows = [json.loads(line) for line in (TOOLS / "mbpp.jsonl").read_text(encoding="utf-8").splitlines()]
    path = lines(tmp_path / "c.jsonl", [{"task_id": f"Mbpp/{n}", "solution": f"t{n}"} for n in (13, 2)])
    assert message("mbpp", path) == (
        f"{path}:2: task_id 'Mbpp/2' belongs to no problem; is it another benchmark's or split's? 1 of 2 records "
        "answer one: give all their problems with --data"
    )
    data = lines(tmp_path / "p.jsonl", [rows[2], {**rows[0], "task_id": 2}])
    problems = registry.load("benchmarks", "mbpp").read(data)
    assert read_completions(path, problems, benchmark="mbpp").texts == ["t13", "t2"]
    path = lines(tmp_path / "c.jsonl", [{"task_id": "Mbpp/13", "solution": "t13"}])
    assert message("mbpp", path) == (
        f"{path}: 2 of 3 problems have no completion, the first is '11'; give every problem one, an empty text if the "
        "model said nothing; where only 1 were asked, give those problems alone with --data"
    )
    problems = registry.load("benchmarks", "mbpp").read(lines(tmp_path / "p.jsonl", [rows[2]]))
    assert read_completions(path, problems, benchmark="mbpp").texts == ["t13"]
