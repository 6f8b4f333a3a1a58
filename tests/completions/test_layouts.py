"""The layouts of other tools are told by their shape: the samples in data/tools are as the tools write them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.errors import RequestError
from kit.files.completions import Completions, read_completions
from kit.records import Problem

TOOLS = Path(__file__).parents[1] / "data" / "tools"
GSM8K_TEXTS = [
    "Each crate holds 4 * 6 = 24 jars, so two hold 48.\n#### 48",
    "90 pages at 15 a day take 6 days.\n#### 6",
    "13 seats are taken.\n#### 13",
]
LM_EVAL = "lm_eval/tiny__model/samples_gsm8k_2026-02-03T10-11-12.000001.jsonl"
INSPECT = "inspect/2026-02-03T10-11-12+00-00_gsm8k_Tb4x.json"
BIGCODE = "bigcode/generations_humaneval.json"


GSM8K = {
    # each was refused
    "lm-eval samples": (
        LM_EVAL,
        "3 texts read from 'resps.0.0' of lm-eval samples, matched by 'doc_id', left out: rows under another "
        "filter (flexible-extract) 3",
    ),
    "lm-eval folder": (
        "lm_eval",
        "3 texts read from 'resps.0.0' of lm-eval samples, matched by 'doc_id', left out: other files 1, rows under "
        "another filter (flexible-extract) 3",
    ),
    "OpenCompass predictions": (
        "opencompass/predictions/tiny/gsm8k.json",
        "3 texts read from 'prediction' of OpenCompass predictions, matched by position",
    ),
    "OpenCompass folder": (
        "opencompass",
        "3 texts read from 'prediction' of OpenCompass predictions, matched by position, left out: other files 2",
    ),
    "OpenCompass parts": (
        "opencompass_parts",
        "3 texts read from 'prediction' of OpenCompass predictions, matched by position",
    ),
    "Inspect log": (
        INSPECT,
        "3 texts read from 'output.choices.0.message.content' of an Inspect log, matched by 'input'",
    ),
}


@pytest.mark.parametrize("name, summary", GSM8K.values(), ids=list(GSM8K))
def test_gsm8k_of_other_tools(read: Callable[..., Completions], name: str, summary: str):
    found = read("gsm8k", TOOLS / name)
    assert found.texts == GSM8K_TEXTS
    assert found.summary() == summary


CODE = {
    "bigcode generations": (
        "humaneval",
        BIGCODE,
        "3 texts read from a list of generations, matched by position",
    ),
    "EvalPlus samples": (
        "humaneval",
        "evalplus/humaneval",
        "3 texts read from 'solution' of records, matched by 'task_id'",
    ),
    "EvalPlus programs": (
        "humaneval",
        "evalplus/tiny_vllm_temp_0.0",
        "3 texts read from EvalPlus's folder, matched by 'task_id'",
    ),
    "EvalPlus MBPP": (
        "mbpp",
        "evalplus/mbpp/tiny_vllm_temp_0.0.jsonl",
        "3 texts read from 'solution' of records, matched by 'task_id'",
    ),
}


@pytest.mark.parametrize("benchmark, name, summary", CODE.values(), ids=list(CODE))
def test_code_of_other_tools(read: Callable[..., Completions], benchmark: str, name: str, summary: str):
    found = read(benchmark, TOOLS / name)
    names = {"humaneval": ["def add", "def double", "def first"], "mbpp": ["def add", "def double", "def last"]}
    assert [text.partition("(")[0] for text in found.texts] == names[benchmark]
    assert found.summary() == summary


SHAPES: dict[str, Any] = {
    # other shapes that people's scripts write
    "texts by id": {"0": "t0", "2": "t2", "1": "t1"},
    "lists of one text by id": {"0": ["t0"], "1": ["t1"], "2": ["t2"]},
    "records by id": {str(n): {"output": f"t{n}", "tokens": 3} for n in range(3)},
    "a list with something around it": {
        "model": "tiny",
        "name": "run 1",
        "results": [{"id": n, "output": f"t{n}"} for n in range(3)],
    },
    "a list of texts": ["t0", "t1", "t2"],
    "OpenAI's chat completions": [
        {"custom_id": f"gsm8k-{n}", "response": {"body": {"choices": [{"message": {"content": f"t{n}"}}]}}}
        for n in range(3)
    ],
    "OpenAI's completions": [
        {"custom_id": f"gsm8k-{n}", "response": {"body": {"choices": [{"text": f"t{n}"}]}}} for n in range(3)
    ],
    "FastChat's turns": [{"question_id": n, "choices": [{"index": 0, "turns": [f"t{n}"]}]} for n in range(3)],
    "vLLM's outputs": [{"index": n, "outputs": [{"index": 0, "text": f"t{n}"}]} for n in range(3)],
    "a list of one text": [{"idx": n, "responses": [f"t{n}"]} for n in range(3)],
    "content parts": [{"id": n, "output": [{"type": "text", "text": f"t{n}"}]} for n in range(3)],
}


@pytest.mark.parametrize("whole", SHAPES.values(), ids=list(SHAPES))
def test_other_shapes(read: Callable[..., Completions], lines: Callable[..., Path], whole: Any, tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps(whole, indent=1))
    assert read("gsm8k", tmp_path / "c.json").texts == ["t0", "t1", "t2"]
    (tmp_path / "c.json").write_text(json.dumps(whole))
    assert read("gsm8k", tmp_path / "c.json").texts == ["t0", "t1", "t2"]
    if isinstance(whole, list):
        assert read("gsm8k", lines(tmp_path / "c.jsonl", whole)).texts == ["t0", "t1", "t2"]


def test_evalplus_results(read: Callable[..., Completions], tmp_path: Path):
    rows = {f"Mbpp/{n}": [{"task_id": f"Mbpp/{n}", "solution": f"t{n}", "base_status": "pass"}] for n in (11, 12, 13)}
    (tmp_path / "r.json").write_text(json.dumps({"date": "2026-02-03 10:11", "hash": "ab", "eval": rows}))
    assert read("mbpp", tmp_path / "r.json").texts == ["t11", "t12", "t13"]


@pytest.mark.parametrize("spaces", [None, 1], ids=["a line", "several lines"])
def test_a_file_of_one_record_that_holds_a_list_of_objects(spaces: int | None, tmp_path: Path):
    # taken for a wrapper: "'kwargs' holds a list of 1 objects"
    row = json.loads((TOOLS / "ifeval.jsonl").read_text(encoding="utf-8").splitlines()[0])
    (tmp_path / "p.jsonl").write_text(json.dumps(row))
    problems = registry.load("benchmarks", "ifeval").read(tmp_path / "p.jsonl")
    (tmp_path / "c.jsonl").write_text(json.dumps({**row, "response": "t0"}, indent=spaces))
    assert read_completions(tmp_path / "c.jsonl", problems, benchmark="ifeval").texts == ["t0"]
    (tmp_path / "c.jsonl").write_text(json.dumps({"key": 1001, "kwargs": [{}], "response": "t0"}, indent=spaces))
    assert read_completions(tmp_path / "c.jsonl", problems, benchmark="ifeval").texts == ["t0"]


ONE_PROBLEM = {
    "a chat beside the text": {"id": 0, "messages": [{"role": "user", "content": "Hi"}], "output": "t0"},
    "a response's choices": {"id": 0, "choices": [{"index": 0, "message": {"content": "t0"}}]},
    "lm-eval": {"doc_id": 0, "doc": {"question": "Sum?"}, "resps": [["t0"]], "arguments": [["Sum?", {}]]},
    "OpenCompass": {"0": {"origin_prompt": "Question: Sum?", "prediction": "t0"}},
    "bigcode": [["t0"]],
    "an Inspect log": {
        "version": 2,
        "eval": {"task": "x", "tags": [{"a": 1}]},
        "samples": [{"id": 1, "input": "Sum?", "output": {"choices": [{"message": {"content": "t0"}}]}}],
        "reductions": [{"scorer": "match", "samples": []}],
    },
}


@pytest.mark.parametrize("whole", ONE_PROBLEM.values(), ids=list(ONE_PROBLEM))
def test_files_of_one_record(whole: Any, tmp_path: Path):
    (tmp_path / "c.json").write_text(json.dumps(whole))
    problems = [Problem(id="0", data={"question": "Sum?"})]
    assert read_completions(tmp_path / "c.json", problems).texts == ["t0"]


def test_the_kits_own_artifact(read: Callable[..., Completions], lines: Callable[..., Path], tmp_path: Path):
    (tmp_path / "artifact.json").write_text(json.dumps({"schema": 1, "id": "answer/gsm8k", "files": {}}))
    lines(tmp_path / "completions.jsonl", [{"id": str(n), "text": f"t{n}", "tokens": 1} for n in range(3)])
    assert read("gsm8k", tmp_path).texts == ["t0", "t1", "t2"]


def test_opencompass_numbers_out_of_order_or_left_out(
    read: Callable[..., Completions], message: Callable[..., str], edited: Callable[..., Path], tmp_path: Path
):
    name = "opencompass/predictions/tiny/gsm8k.json"
    assert read("gsm8k", edited(name, lambda rows: dict(reversed(rows.items())), tmp_path)).texts == GSM8K_TEXTS
    path = edited(name, lambda rows: {"0": rows["0"], "2": rows["2"]}, tmp_path)
    assert message("gsm8k", path) == (
        f"{path}: 2 predictions, and none is numbered 1; wanted 0 to 1, as a finished run has them"
    )


def test_parts_of_opencompass(tmp_path: Path):
    for n in range(12):  # the tenth part stood before the second
        row = {"0": {"origin_prompt": f"Q: {n} + 1?", "prediction": f"t{n}"}}
        (tmp_path / f"gsm8k_{n}.json").write_text(json.dumps(row))
    problems = [Problem(id=str(n), data={"question": f"{n} + 1?"}) for n in range(12)]
    assert read_completions(tmp_path, problems, benchmark="gsm8k").texts == [f"t{n}" for n in range(12)]
    (tmp_path / "gsm8k_3.json").unlink()
    with pytest.raises(RequestError, match=r"parts gsm8k_0, .*; wanted gsm8k_0 to _10, or one whole file$"):
        read_completions(tmp_path, problems, benchmark="gsm8k")


def test_subjects_of_lm_eval_count_their_documents_each_from_0(tmp_path: Path):
    # hendrycks_math is seven tasks, each with a doc_id 0
    docs = [("algebra", "Sum?"), ("algebra", "Product?"), ("geometry", "Area?"), ("geometry", "Angle?")]
    for n, (subject, text) in enumerate(docs):
        row = {"doc_id": n % 2, "doc": {"problem": text}, "resps": [[f"t{n}"]], "filter": "none"}
        with (tmp_path / f"samples_hendrycks_math_{subject}_2026.jsonl").open("a") as file:
            file.write(json.dumps(row) + "\n")
    problems = [Problem(id=str(n), data={"problem": text}) for n, (_, text) in enumerate(docs)]
    found = read_completions(tmp_path, problems, benchmark="hendrycks_math")
    assert (found.texts, found.matched_by) == (["t0", "t1", "t2", "t3"], "problem")


def test_rows_that_are_not_needed_are_counted(read: Callable[..., Completions]):
    found = read("gsm8k", TOOLS / "opencompass_parts", rows=1)
    assert found.texts == GSM8K_TEXTS[:1]
    assert found.summary() == (
        "1 text read from 'prediction' of OpenCompass predictions, matched by position, left out: beyond the first 1 "
        "problems 2"
    )
