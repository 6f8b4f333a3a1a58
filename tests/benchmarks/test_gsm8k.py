import ast
import json
import re
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import gsm8k
from kit.errors import RequestError
from kit.prompts import load
from kit.records import Problem, results

DATA = Path(__file__).resolve().parents[3] / "shared/data/gsm8k"
shared = [
    pytest.mark.shared,
    pytest.mark.skipif(not DATA.exists(), reason="the reference data of GSM8K is not beside the project"),
]


def problem(answer: str) -> Problem:
    return Problem(id="0", data={"question": "?", "answer": f"Some steps.\n#### {answer}"})


@pytest.mark.parametrize(
    ("text", "answer", "paper", "default"),
    [
        pytest.param("It is 18.", "18", 1, 1, id="plain"),
        pytest.param("so $18.00", "18", 1, 1, id="decimals"),
        # a comma ends OpenCompass's number: "6,250" was read as 250
        pytest.param("A: 6,250", "6,250", 0, 1, id="thousands"),
        pytest.param("A: 250", "6,250", 0, 0, id="a-part-of-the-number"),
        pytest.param("#### 18\n\nThat took 2 steps.", "18", 0, 1, id="words-after-the-mark"),
        pytest.param("18\nQuestion: what is 3+4? 7", "18", 1, 1, id="a-new-question"),
        pytest.param("between 3-4", "4", 0, 1, id="a-hyphen-is-no-minus"),
        pytest.param("it is -4", "-4", 1, 1, id="minus"),
        # "25" ends with "5", but 25 is not 5
        pytest.param("25", "5", 0, 0, id="not-a-suffix"),
        pytest.param("I do not know.", "5", 0, 0, id="no-number"),
        pytest.param("", "5", 0, 0, id="empty"),
        pytest.param("0.5", "0.5", 1, 1, id="a-decimal-reference"),
        pytest.param("0.50", "0.5", 0, 1, id="a-decimal-reference-written-otherwise"),
        pytest.param("1, 2, 3", "3", 1, 1, id="a-list-is-no-number"),
    ],
)
def test_reads_the_answer(text: str, answer: str, paper: int, default: int) -> None:
    for protocol, wanted in (("paper", paper), ("default", default)):
        (grade,) = gsm8k.grade([problem(answer)], [text], protocol, None)
        assert grade.scores == {"gsm8k": [wanted, 1]}, protocol


def test_a_text_without_a_number_says_so() -> None:
    (grade,) = gsm8k.grade([problem("5")], ["none"], "paper", None)
    assert (grade.answer, grade.reason) == ("", "no number found")


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(RequestError) as error:
        gsm8k.grade([problem("5")], ["5"], "papr", None)
    assert str(error.value) == "no protocol named 'papr'; did you mean 'paper'?"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"question": "q"}'], ":1: field 'answer': found nothing, wanted str; is it another set?"),
        (['{"question": 1, "answer": "#### 2"}'], ":1: field 'question': found int, wanted str; is it another set?"),
        (['{"question": "q", "answer": "2"}'], ": problem 0: no '#### ' in its answer; is it another set?"),
        ([], ": no problem in it; is the file cut off?"),
    ],
)
def test_another_format_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    with pytest.raises(RequestError) as error:
        gsm8k.read(path)
    assert str(error.value) == f"{path}{message}"


def test_asks_in_the_words_of_the_pack() -> None:
    asked = Problem(id="0", data={"question": "How many {x}?", "answer": "#### 1"})
    assert "How many {x}?" in gsm8k.turns(asked, load("kit"))[0].content
    assert gsm8k.turns(asked, load("opencompass"))[-1].content.startswith("Question: How many {x}?\n")


def oracle() -> tuple[Callable[[str], str], Callable[[str, str], bool]]:
    """``gsm8k_postprocess`` and ``Gsm8kEvaluator.is_equal`` of the wheel, taken out of their file."""
    path = Path(str(distribution("opencompass").locate_file("opencompass/datasets/gsm8k.py")))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body: list[ast.stmt] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "gsm8k_postprocess":
            node.decorator_list = []
            body.append(node)
        if isinstance(node, ast.ClassDef) and node.name == "Gsm8kEvaluator":
            node.bases = []
            body.append(node)
    scope: dict[str, Any] = {"re": re}
    exec(compile(ast.Module(body, []), str(path), "exec"), scope)
    return scope["gsm8k_postprocess"], scope["Gsm8kEvaluator"]().is_equal


class TestRealCompletions:
    pytestmark = shared

    def solutions(self, model: str) -> tuple[list[Problem], list[str], list[int]]:
        lines = (DATA / "example_model_solutions_finetuning.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line)[f"{model}_finetuning"] for line in lines]
        flags = [int(row["is_correct"]) for row in rows]
        return gsm8k.read(DATA / "test.jsonl"), [row["solution"] for row in rows], flags

    @pytest.mark.parametrize(
        ("model", "protocol", "right", "unlike_the_flags"),
        [
            ("6b", "paper", 286, []),
            ("6b", "default", 286, []),
            # "3,000" and "6,250": OpenCompass reads 000 and 250
            ("175b", "paper", 456, ["419", "819"]),
            ("175b", "default", 458, []),
        ],
    )
    def test_counts(self, model: str, protocol: str, right: int, unlike_the_flags: list[str]) -> None:
        problems, texts, flags = self.solutions(model)
        grades = gsm8k.grade(problems, texts, protocol, None)
        (result,) = results(grades, gsm8k.METRICS)
        assert (result.n, sum(flags)) == (1319, {"6b": 286, "175b": 458}[model])
        assert sum(grade.scores["gsm8k"][0] for grade in grades) == right
        unlike = [grade.id for grade, flag in zip(grades, flags, strict=True) if grade.scores["gsm8k"][0] != flag]
        assert unlike == unlike_the_flags

    @pytest.mark.parametrize("model", ["6b", "175b"])
    def test_paper_is_the_oracle_item_by_item(self, model: str) -> None:
        extract, equal = oracle()
        problems, texts, _ = self.solutions(model)
        texts += [row.data["answer"] for row in problems]
        problems += problems
        for row, text, grade in zip(problems, texts, gsm8k.grade(problems, texts, "paper", None), strict=True):
            answer = extract(text)
            assert grade.answer == ("" if answer == "NULL" else answer)
            assert grade.scores["gsm8k"][0] == int(equal(answer, gsm8k.reference(row)))

    def test_the_sets_own_answers(self) -> None:
        problems = gsm8k.read(DATA / "test.jsonl")
        texts = [row.data["answer"] for row in problems]
        right = {
            protocol: sum(grade.scores["gsm8k"][0] for grade in gsm8k.grade(problems, texts, protocol, None))
            for protocol in gsm8k.PROTOCOLS
        }
        assert right == {"paper": 1305, "default": 1319}  # 14 answers are written with a comma
