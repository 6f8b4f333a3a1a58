"""Bad files of completions, problems and data: each is told by its whole message and grades nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.run import launch, processes
from tests.test_bad_inputs import PROBLEMS, folder, kit, lines, refused

__all__ = ["folder", "kit"]  # the fixtures: a folder with good files, and the command line


COMPLETIONS = {
    "an item is missing": (
        lines([{"id": 0, "output": "1"}, {"id": 2, "output": "3"}]),
        "c.jsonl: 1 of 3 problems have no completion, the first is '1'; give every problem one, an empty text if the "
        "model said nothing; where only 2 were asked, give those problems alone with --data",
    ),
    "an item twice": (
        lines([{"id": 0, "output": "1"}, {"id": 0, "output": "1"}]),
        "c.jsonl:2: id '0' stands twice, first at c.jsonl:1; one completion each",
    ),
    "an id of another set": (
        lines([{"id": 0, "output": "1"}, {"id": 7, "output": "1"}]),
        "c.jsonl:2: id '7' belongs to no problem; is it another benchmark's or split's? 1 of 2 records answer one: "
        "give all their problems with --data",
    ),
    "no text": (
        lines([{"id": 0, "says": "1"}]),
        "c.jsonl: the first record has id, says; wanted the text in one of completion, response, output, generation, "
        "answer, prediction, solution, generated_text, text, or its field by name with --field",
    ),
    "a number for a text": (
        lines([{"id": 0, "output": "1"}, {"id": 1, "output": 2}]),
        "c.jsonl:2: output: found int, wanted text, an empty one if the model said nothing",
    ),
    "no id": (
        lines([{"says": "1"}]),
        "c.jsonl:1: found says; wanted an id (task_id, id, key, question_id, problem_id, custom_id, sample_id, "
        "name, idx, index, doc_id) or the problem's text (prompt, question, problem, instruction, text, query, input)",
    ),
    "a later record without an id": (
        lines([{"id": 0, "output": "1"}, {"output": "1"}]),
        "c.jsonl:2: no field 'id'; it has output",
    ),
    "ids and texts of another set": (
        lines([{"id": "3f", "question": "What is 9 + 1?", "output": "1"}]),
        "c.jsonl:1: id '3f' and question 'What is 9 + 1?' belong to no problem; is it another benchmark's or split's?",
    ),
    # each was graded as the model's text: 100 %
    "the benchmark's own file": (
        lines(PROBLEMS),
        "c.jsonl: no text but the benchmark's own (answer); wanted a model's, by --field if need be",
    ),
    "two texts": (
        lines([{"id": n, "answer": str(n + 1), "prediction": "1"} for n in range(3)]),
        "c.jsonl: the text may be in 'answer' or 'prediction'; say which with --field",
    ),
    # "wanted the text in one of completion, response, output, ...": it was looked for in the first record alone
    "null at first": (
        '{"id": 0, "output": null}\n{"id": 1, "output": "2"}',
        "c.jsonl:1: output: found null, wanted text, an empty one if the model said nothing",
    ),
    "no record": ("[]", "c.jsonl: no record; wanted one completion a problem"),
    "cut off": (
        '{"id": 0, "output": "1"}\n{"id": 1, "outp',
        "c.jsonl:2: not JSON: Unterminated string starting at: column 11; is the file cut off?",
    ),
}


@pytest.mark.parametrize("text, message", COMPLETIONS.values(), ids=list(COMPLETIONS))
def test_completions(text: str, message: str, folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "c.jsonl").write_text(text, encoding="utf-8")
    assert refused(kit, "grade gsm8k --completions c.jsonl --data problems.jsonl") == message


def test_an_unknown_field_is_reported(folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "c.jsonl").write_text(lines([{"id": 0, "model": {"text": "1"}}]), encoding="utf-8")
    words = "grade gsm8k --completions c.jsonl --data problems.jsonl --field model.txt"
    assert refused(kit, words) == "c.jsonl:1: no field 'model.txt'; 'model' has text"


def test_problems_of_another_benchmark(folder: Path, kit: Callable[[str], tuple[int, str]]):
    (folder / "c.jsonl").write_text(lines([{"id": 0, "output": "1"}]), encoding="utf-8")
    words = "grade humaneval --completions c.jsonl --data problems.jsonl"
    assert refused(kit, words).startswith("problems.jsonl:1: field ")


DATA: dict[str, tuple[str, dict[str, Any], str]] = {
    # each was asked or graded all the same, and scored 0 %
    "MATH, no answer": (
        "math",
        {"problem": "1 + 1?", "solution": "It is 2.", "idx": 7},
        "problem 7: no \\boxed{} answer in its solution, so nothing could be right; is it another set?",
    ),
    "MBPP, no assert": (
        "mbpp",
        {"task_id": 7, "text": "Double it.", "test_list": []},
        "task 7: test_list: no assert in it, so nothing is tested",
    ),
    "HumanEval, no function": (
        "humaneval",
        {"task_id": "H/7", "prompt": "def f():", "entry_point": "", "test": "def check(candidate): pass"},
        "task H/7: entry_point: found '', wanted a function's name",
    ),
    "HumanEval, no test": (
        "humaneval",
        {"task_id": "H/7", "prompt": "def f():", "entry_point": "f", "test": ""},
        "task H/7: test: no function 'check' in it, so nothing could pass",
    ),
    # ended in tracebacks
    "GSM8K, no number": (
        "gsm8k",
        {"question": "1 + 1?", "answer": "#### two"},
        "problem 0: found 'two' after '#### ', wanted a number and no more",
    ),
    "IFEval, kwargs no object": (
        "ifeval",
        {"key": 7, "prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": ["x"]},
        "key 7: kwargs: found str in the list, wanted dict",
    ),
    "IFEval, ids no texts": (
        "ifeval",
        {"key": 7, "prompt": "p", "instruction_id_list": [["x"]], "kwargs": [{}]},
        "key 7: instruction_id_list: found list in the list, wanted str",
    ),
}


@pytest.mark.parametrize("benchmark, row, message", DATA.values(), ids=list(DATA))
def test_problems_that_cannot_be_graded(
    benchmark: str, row: dict[str, Any], message: str, folder: Path, kit: Callable[[str], tuple[int, str]]
):
    (folder / "data.jsonl").write_text(lines([row]), encoding="utf-8")
    (folder / "c.jsonl").write_text(lines([{"id": 0, "output": "1"}]), encoding="utf-8")
    assert refused(kit, f"grade {benchmark} --completions c.jsonl --data data.jsonl") == f"data.jsonl: {message}"
    # the model was loaded first
    words = f"answer {benchmark} --model smollm2-135m-instruct --data data.jsonl --out o.jsonl"
    assert refused(kit, words) == f"data.jsonl: {message}"


def test_kwargs_that_the_official_checker_cannot_take(
    folder: Path, kit: Callable[[str], tuple[int, str]], monkeypatch: pytest.MonkeyPatch
):
    # ended in a traceback
    monkeypatch.setattr(processes, "command", launch.command)  # the checker alone knows, and the job has it
    row = {"key": 7, "prompt": "p", "instruction_id_list": ["punctuation:no_comma"], "kwargs": [{"commas": 1}]}
    (folder / "data.jsonl").write_text(lines([row]), encoding="utf-8")
    (folder / "c.jsonl").write_text(lines([{"key": 7, "output": "1"}]), encoding="utf-8")
    code, text = kit("grade ifeval --completions c.jsonl --data data.jsonl")
    (failed,) = (line.split(maxsplit=3) for line in text.splitlines() if line.startswith("failed "))
    assert (code, failed[2]) == (1, "grade/ifeval")
    assert failed[3].startswith(
        "ifeval: key 7: the official checker of 'punctuation:no_comma' can't take kwargs {'commas': 1}"
    )
    assert "log of grade/ifeval: " in text


def test_missing_completions_are_reported_before_data_are_fetched(folder: Path, kit: Callable[[str], tuple[int, str]]):
    # the benchmark's file was fetched first; the missing completions were told minutes later
    assert refused(kit, "grade gsm8k --completions c.jsonl") == "c.jsonl: No such file or directory"
