"""Completions files as people's tools write them; bad ones are in test_bad_completions."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.files.completions import read_completions
from kit.records import Problem

CODE = [Problem(id=f"HumanEval/{n}", data={"task_id": f"HumanEval/{n}", "prompt": f"def f{n}():"}) for n in range(2)]
MATHS = [Problem(id=str(n), data={"question": f"{n} + 1?", "answer": f"#### {n + 1}"}) for n in range(2)]
FILES: dict[str, tuple[list[Problem], list[dict[str, Any]], str | None]] = {
    "human-eval": (CODE, [{"task_id": f"HumanEval/{n}", "completion": f"t{n}"} for n in (0, 1)], None),
    "short ids": (CODE, [{"id": n, "output": f"t{n}"} for n in (0, 1)], None),
    "any order": (CODE, [{"task_id": f"HumanEval/{n}", "completion": f"t{n}"} for n in (1, 0)], None),
    "prompt and response": (CODE, [{"prompt": f"def f{n}():", "response": f"t{n}"} for n in (0, 1)], None),
    "number ids": (MATHS, [{"id": n, "generation": f"t{n}"} for n in (0, 1)], None),
    "question": (MATHS, [{"question": f"{n} + 1?", "answer": f"t{n}"} for n in (0, 1)], None),
    "a text under another name": (MATHS, [{"id": n, "output": "no", "said": f"t{n}"} for n in (0, 1)], "said"),
    "nested": (MATHS, [{"question": f"{n} + 1?", "6b": {"solution": f"t{n}"}} for n in (0, 1)], "6b.solution"),
    "the kit's own": (MATHS, [{"id": str(n), "text": f"t{n}", "tokens": 1} for n in (0, 1)], None),
}


@pytest.mark.parametrize("problems, rows, field", FILES.values(), ids=list(FILES))
@pytest.mark.parametrize("ending", ["json", "jsonl"])
def test_files(problems: list[Problem], rows: list[dict[str, Any]], field: str | None, ending: str, tmp_path: Path):
    path = tmp_path / f"c.{ending}"
    text = json.dumps(rows) if ending == "json" else "".join(json.dumps(row) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
    found = read_completions(path, problems, field)
    assert found.texts == ["t0", "t1"]
    assert [row for row in rows if found.field.partition(".")[0] not in row] == []


def read(path: Path, problems: list[Problem], *words: Any, **options: Any) -> tuple[list[str], str]:
    found = read_completions(path, problems, *words, **options)
    return found.texts, found.field


def test_an_empty_text_is_a_completion(tmp_path: Path):
    (tmp_path / "c.jsonl").write_text('{"id": 0, "output": ""}\n{"id": 1, "output": "x"}\n')
    assert read(tmp_path / "c.jsonl", MATHS) == (["", "x"], "output")


GOLD = {
    # each scored the benchmark's own answers, as if the model had written them: 100 %
    "beside a prediction": (
        [{"question": f"{n} + 1?", "answer": f"#### {n + 1}", "prediction": f"t{n}"} for n in (0, 1)],
        "prediction",
    ),
    "under another name": (
        [{"id": n, "solution": f"####  {n + 1}", "generated_text": f"t{n}"} for n in (0, 1)],
        "generated_text",
    ),
    "with the prompt": ([{"id": n, "text": f"{n} + 1?", "generated_text": f"t{n}"} for n in (0, 1)], "generated_text"),
    "once by chance": ([{"id": 0, "answer": "#### 1"}, {"id": 1, "answer": "t1"}], "answer"),
    # a test of the grader
    "alone, under another name": ([{"id": n, "completion": f"#### {n + 1}"} for n in (0, 1)], "completion"),
}


@pytest.mark.parametrize("rows, read_from", GOLD.values(), ids=list(GOLD))
def test_texts_of_the_benchmark_are_not_taken_for_completions(
    rows: list[dict[str, Any]], read_from: str, tmp_path: Path
):
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(tmp_path / "c.jsonl", MATHS) == ([row[read_from] for row in rows], read_from)


FOREIGN = {
    # each was refused, or its texts went to other problems
    "an id of the tool's own": [{"id": f"3f-{n}", "question": f"{n} + 1?", "output": f"t{n}"} for n in (1, 0)],
    "a split in the id": [{"id": f"gsm8k/{n}", "question": f"{n} + 1?", "output": f"t{n}"} for n in (0, 1)],
    "positions of a shuffled file": [{"id": 1 - n, "question": f"{n} + 1?", "output": f"t{n}"} for n in (1, 0)],
    "no id, written as null": [{"id": None, "question": f"{n} + 1?", "output": f"t{n}"} for n in (0, 1)],
}


@pytest.mark.parametrize("rows", FOREIGN.values(), ids=list(FOREIGN))
def test_problems_are_matched_by_text_where_there_is_no_id(rows: list[dict[str, Any]], tmp_path: Path):
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert read(tmp_path / "c.jsonl", MATHS) == (["t0", "t1"], "output")


def test_the_first_rows_of_a_complete_file(tmp_path: Path):
    # "belongs to no problem": the problems were cut before their completions were looked up
    (tmp_path / "c.jsonl").write_text('{"id": 1, "output": null}\n{"id": 0, "output": "t0"}\n')
    assert read(tmp_path / "c.jsonl", MATHS, rows=1) == (["t0"], "output")


def test_ifevals_older_prompts(tmp_path: Path):
    # one of GPT-4's published prompts stands in the older file alone, and nothing said so
    data = {"key": 1, "prompt": "Describe a beach.", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    (tmp_path / "c.jsonl").write_text('{"prompt": "Describe a beech.", "response": "x"}\n')
    with pytest.raises(RequestError) as error:
        read_completions(tmp_path / "c.jsonl", [Problem(id="1", data=data)])
    assert str(error.value) == (
        f"{tmp_path}/c.jsonl:1: prompt 'Describe a beech.' belongs to no problem; is it another benchmark's or "
        "split's? Responses of before June 2024, GPT-4's published ones too, answer IFEval's older input_data.jsonl "
        "(google-research 1d49f2c0): give it with --data"
    )
