"""Records find their problems by other tools' ids, by prompts that a tool changed, or by position."""

import json
import unicodedata
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
INSPECT = "inspect/2026-02-03T10-11-12+00-00_gsm8k_Tb4x.json"
BIGCODE = "bigcode/generations_humaneval.json"


def problems_of(benchmark: str) -> list[Problem]:
    return registry.load("benchmarks", benchmark).read(TOOLS / f"{benchmark}.jsonl")  # type: ignore[no-any-return]


IDS = {
    # "belongs to no problem"
    "EvalPlus": ("mbpp", "task_id", ["Mbpp/11", "Mbpp/12", "Mbpp/13"]),
    "MBPP+": ("mbpp", "task_id", ["MbppPlus/11", "MbppPlus/12", "MbppPlus/13"]),
    "MBPP, a split": ("mbpp", "id", ["mbpp/test/11", "mbpp/test/12", "mbpp/test/13"]),
    "MBPP, positions": ("mbpp", "idx", [0, 1, 2]),
    "MBPP, positions as text": ("mbpp", "index", ["0", "1", "2"]),
    "MBPP, lm-eval's positions": ("mbpp", "doc_id", [0, 1, 2]),
    "MBPP, ids under another name": ("mbpp", "idx", [11, 12, 13]),
    "MBPP, ids of a table with gaps": ("mbpp", "task_id", [11.0, 12.0, 13.0]),
    "MBPP, positions that are called ids": ("mbpp", "question_id", [0, 1, 2]),
    "HumanEval, numbers": ("humaneval", "task_id", [0, 1, 2]),
    "HumanEval, zeros in front": ("humaneval", "id", ["000", "001", "002"]),
    "HumanEval, zeros after the name": ("humaneval", "id", ["HumanEval/000", "HumanEval/001", "HumanEval/002"]),
    "HumanEval, underscores": ("humaneval", "task_id", ["HumanEval_0", "HumanEval_1", "HumanEval_2"]),
    "HumanEval, the data set's name": ("humaneval", "name", [f"openai_humaneval/{n}" for n in range(3)]),
    "HumanEval, small letters": ("humaneval", "problem_id", ["human_eval/0", "human_eval/1", "human_eval/2"]),
    "GSM8K, a split": ("gsm8k", "question_id", ["gsm8k/test/0", "gsm8k/test/1", "gsm8k/test/2"]),
    "GSM8K, a word": ("gsm8k", "id", ["task_0", "task_1", "task_2"]),
    "HumanEval, a table's numbers as text": ("humaneval", "id", ["0.0", "1.0", "2.0"]),
    "HumanEval, a table's numbers after the name": ("humaneval", "id", [f"HumanEval/{n}.0" for n in range(3)]),
    "MBPP, a table's positions as text": ("mbpp", "idx", ["0.0", "1.0", "2.0"]),
    "IFEval, positions": ("ifeval", "idx", [0, 1]),
    "IFEval, keys as text": ("ifeval", "key", ["1001", "1005"]),
}


@pytest.mark.parametrize("benchmark, field, ids", IDS.values(), ids=list(IDS))
def test_ids_of_other_tools(
    read: Callable[..., Completions],
    lines: Callable[..., Path],
    benchmark: str,
    field: str,
    ids: list[Any],
    tmp_path: Path,
):
    rows = [{field: id, "completion": f"t{n}"} for n, id in enumerate(ids)]
    path = lines(tmp_path / "c.jsonl", rows[::-1])
    assert read(benchmark, path).texts == [f"t{n}" for n in range(len(ids))]
    if field != "doc_id":
        assert read(benchmark, path).matched_by == field


FOREIGN = {
    "another benchmark's ids": ("mbpp", [f"HumanEval/{n}" for n in (11, 12, 13)]),
    "another benchmark's ids, underscores": ("humaneval", [f"mbpp_{n}" for n in (0, 1, 2)]),
    "ids of a set that the kit lacks": ("gsm8k", [f"ARC-Easy/{n}" for n in (0, 1, 2)]),
    "MBPP's training tasks": ("mbpp", ["Mbpp/2", "Mbpp/3", "Mbpp/4"]),
    "a number with a fraction": ("gsm8k", [0.5, 1.5, 2.5]),
    "a number with a fraction, as text": ("gsm8k", ["0.5", "1.5", "2.5"]),
    "truth values": ("gsm8k", [False, True, True]),
}


@pytest.mark.parametrize("benchmark, ids", FOREIGN.values(), ids=list(FOREIGN))
def test_ids_of_other_sets_are_no_ids_of_this_one(
    message: Callable[..., str], lines: Callable[..., Path], benchmark: str, ids: list[Any], tmp_path: Path
):
    path = lines(tmp_path / "c.jsonl", [{"task_id": id, "completion": "t"} for id in ids])
    assert message(benchmark, path) == (
        f"{path}:1: task_id {str(ids[0])!r} belongs to no problem; is it another benchmark's or split's?"
    )


PROMPTS: dict[str, Callable[[str], str]] = {
    # the whole file was refused
    "the last blank is lost": str.strip,
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "blanks for line breaks": lambda text: text.replace("\n", " "),
    "NFD": lambda text: unicodedata.normalize("NFD", text),
    "blanks that don't break": lambda text: text.replace(" ", "\u00a0"),
    "two blanks after a sentence": lambda text: text.replace(". ", ".  "),
    "a byte-order mark": lambda text: f"\ufeff{text}",
    "blanks around it": lambda text: f"\n  {text}\t\n",
}


@pytest.mark.parametrize("write", PROMPTS.values(), ids=list(PROMPTS))
def test_prompts_but_for_white_space_and_unicode_form(
    read: Callable[..., Completions], lines: Callable[..., Path], write: Callable[[str], str], tmp_path: Path
):
    prompts = [problem.data["prompt"] for problem in problems_of("ifeval")]
    rows = [{"prompt": write(prompt), "response": f"t{n}"} for n, prompt in enumerate(prompts)]
    found = read("ifeval", lines(tmp_path / "c.jsonl", rows[::-1]))
    assert found.texts == ["t0", "t1"]
    count = sum(write(prompt) != prompt for prompt in prompts)
    assert found.summary().endswith(f"matched by 'prompt', {count} of them but for white space or Unicode form")


def test_prompts_that_are_as_they_were_are_not_counted(
    read: Callable[..., Completions], lines: Callable[..., Path], tmp_path: Path
):
    rows = [{"prompt": p.data["prompt"], "response": f"t{n}"} for n, p in enumerate(problems_of("ifeval"))]
    found = read("ifeval", lines(tmp_path / "c.jsonl", rows))
    assert found.summary() == "2 texts read from 'response' of records, matched by 'prompt'"


def test_prompts_that_are_one_but_for_white_space(lines: Callable[..., Path], tmp_path: Path):
    texts = ["Count:\n1 2", "Count: 1 2", "Sing."]
    problems = [Problem(id=f"p{n}", data={"prompt": text}) for n, text in enumerate(texts)]
    rows = [{"prompt": text, "response": f"t{n}"} for n, text in enumerate(texts)]
    assert read_completions(lines(tmp_path / "c.jsonl", rows), problems).texts == ["t0", "t1", "t2"]
    rows[1]["prompt"] = "Count: 1  2"
    with pytest.raises(RequestError) as error:
        read_completions(lines(tmp_path / "c.jsonl", rows), problems)
    assert str(error.value) == (
        f"{tmp_path}/c.jsonl:2: prompt 'Count: 1  2' is the text of the problems p0 and p1, but for white space and "
        "Unicode form; give each record the problem's id in 'id'"
    )
    # the cure, word for word
    named = [{"id": f"p{n}", **row} for n, row in enumerate(rows)]
    assert read_completions(lines(tmp_path / "c.jsonl", named), problems).texts == ["t0", "t1", "t2"]


ORDERS = {
    "OpenCompass, another set": (
        "opencompass/predictions/tiny/gsm8k.json",
        lambda rows: {name: {"origin_prompt": "Sum?", "prediction": "3"} for name in rows},
        "['0']",
    ),
    "bigcode, another order": (
        BIGCODE,
        lambda rows: rows[::-1],
        "[0]",
    ),
}


@pytest.mark.parametrize("name, edit, where", ORDERS.values(), ids=list(ORDERS))
def test_positions_of_another_order(
    message: Callable[..., str],
    edited: Callable[..., Path],
    name: str,
    edit: Callable[[Any], Any],
    where: str,
    tmp_path: Path,
):
    # each would have been graded against other problems' answers
    path = edited(name, edit, tmp_path)
    benchmark = "humaneval" if name == BIGCODE else "gsm8k"
    assert message(benchmark, path) == (
        f"{path}{where}: its prompt does not hold the text of problem {problems_of(benchmark)[0].id}, whose position "
        "it has; is it another benchmark's, or in another order? Where it is the right one, write records of an id and "
        "a text"
    )


def test_opencompass_in_another_order_is_told_by_its_prompts(
    read: Callable[..., Completions], message: Callable[..., str], edited: Callable[..., Path], tmp_path: Path
):
    # OpenCompass's MATH has an order of its own
    name = "opencompass/predictions/tiny/gsm8k.json"
    found = read("gsm8k", edited(name, lambda rows: {"0": rows["2"], "1": rows["0"], "2": rows["1"]}, tmp_path))
    assert (found.texts, found.matched_by) == (GSM8K_TEXTS, "origin_prompt")
    # the second part alone
    path = edited(name, lambda rows: {"0": rows["2"]}, tmp_path)
    assert message("gsm8k", path).startswith(f"{path}: 2 of 3 problems have no completion, the first is '0'; ")


def test_prompts_that_hold_several_problems(tmp_path: Path):
    # an example before the question, a problem that is part of another, two problems with one text
    texts = ["Find the sum.", "Find the sum. Then double it.", "Sing.", "Sing."]
    problems = [Problem(id=f"p{n}", data={"question": text}) for n, text in enumerate(texts)]
    order = [1, 0, 2, 3]
    rows = {
        str(n): {"origin_prompt": f"Question: Sing.\nA: la\nQuestion:  {texts[id]}\nA:", "prediction": f"t{id}"}
        for n, id in enumerate(order)
    }
    (tmp_path / "c.json").write_text(json.dumps(rows))
    assert read_completions(tmp_path / "c.json", problems).texts == ["t0", "t1", "t2", "t3"]


def test_chats_as_prompts(
    read: Callable[..., Completions], edited: Callable[..., Path], lines: Callable[..., Path], tmp_path: Path
):
    def chats(log: Any) -> Any:
        for sample in log["samples"]:
            system = {"role": "system", "content": "Be brief."}
            sample["input"] = [system, {"role": "user", "content": sample["input"]}]
        return log

    assert read("gsm8k", edited(INSPECT, chats, tmp_path)).texts == GSM8K_TEXTS
    rows = [
        {"prompt": [{"role": "user", "content": p.data["question"]}], "output": f"t{n}"}
        for n, p in enumerate(problems_of("gsm8k"))
    ]
    assert read("gsm8k", lines(tmp_path / "c.jsonl", rows[::-1])).texts == ["t0", "t1", "t2"]
