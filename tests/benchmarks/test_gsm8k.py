import ast
import json
import re
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import gsm8k
from kit.benchmarks._results import results
from kit.errors import RequestError
from kit.prompts import load
from kit.records import Problem


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


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # no box was read: the last number of the sentence was taken
        pytest.param(r"They fill $\boxed{7}$ crates in 3 days", "7", id="words-after-a-box"),
        pytest.param(r"so \boxed{7 \text{ crates}} in 3 days", "7", id="box-with-unit"),
        pytest.param(r"\boxed{x = 7} for all 3", "7", id="box-with-equation"),
        pytest.param(r"\boxed{3 \times 4 = 12}", "12", id="box-with-product"),
        pytest.param(r"\boxed{\frac{10}{2}} of 3", "5", id="box-with-fraction"),
        pytest.param(r"\boxed{25\%} of 90", "25", id="box-with-percent"),
        pytest.param(r"\boxed{\textbf{18}} in 2", "18", id="box-with-bold"),
        pytest.param(r"\fbox{7} in 3", "7", id="another-box"),
        pytest.param(r"\boxed 7 in 3", "7", id="box-without-braces"),
        pytest.param("cut off at \\boxed{7", "7", id="box-cut-off"),
        # LaTeX's separators ended a number: 9{,}500 was 500
        pytest.param(r"\boxed{\$2{,}400}", "2400", id="price-in-a-box"),
        pytest.param(r"It is $1{,}234{,}567$ grains.", "1234567", id="two-separators"),
        pytest.param(r"It is 34\,000 metres.", "34000", id="thin-space"),
        pytest.param(r"It is $34,\!000$ metres.", "34000", id="negative-space"),
        pytest.param("It is 34\u202f000 metres.", "34000", id="narrow-no-break-space"),
        pytest.param("It is 34~000 metres.", "34000", id="tie"),
        pytest.param("It costs $1,200.50", "1200.5", id="decimals-after-separators"),
        # a heading was taken for the answer mark
        pytest.param("#### Part 1: nails\n2 * 5 = 10\n#### Part 2: wood\n10 + 4 = 14", "14", id="named-headings"),
        pytest.param("#### 1) Nails\n10\n#### 2) Wood\nso 14", "14", id="numbered-headings"),
        pytest.param("#### 1 - Nails\n10\n#### 2 - Wood\nso 14", "14", id="dashed-headings"),
        pytest.param("#### 1\n10\n#### 2\nso 14", "14", id="bare-headings"),
        pytest.param("##### Step 3\nthey pay **14**", "14", id="five-signs"),
        pytest.param("#### 14\n#### Check\n14 - 4 = 10", "14", id="a-heading-after-the-mark"),
        pytest.param("#### 14 dollars", "14", id="unit-after-the-mark"),
        pytest.param("#### **$14.00**", "14", id="emphasis-after-the-mark"),
        pytest.param("####\n14", "14", id="a-line-after-the-mark"),
        pytest.param("#### 2 * 7 = 14", "14", id="a-sum-after-the-mark"),
        pytest.param("so it is \\boxed{15}\n#### 14", "14", id="mark-before-box"),
        # a restated question was cut off with its answer
        pytest.param("I can do that.\n\nQuestion: a cup costs $3. And two?\nAnswer: 2 * 3 = 6", "6", id="restated"),
        pytest.param("Let me restate problem 4.\n\nProblem: two cups at 3.\nSolution: 6", "6", id="restated-by-number"),
        pytest.param("**Question:** two cups at 3?\n**Answer:** 6", "6", id="restated-in-bold"),
        pytest.param("Question: two cups at 3?\nAnswer: 6\n\nQuestion: nine?\nAnswer: 27", "6", id="restated-then-new"),
        pytest.param("They pay 6.\n\nProblem: and for nine?\n27", "6", id="new-after-a-number"),
        pytest.param("#### 6\n\nQ: and for nine?\n#### 27", "6", id="new-after-a-mark"),
        pytest.param("The answer is 6.\nHuman: and 9?\nAssistant: 27", "6", id="new-turn"),
        # a further exercise with a number, another wording or a chat format's mark was read as this answer
        pytest.param("The answer is 6.\n\nQuestion 2: nine cups? The answer is 27.", "6", id="new-by-number"),
        pytest.param("#### 6\n\nProblem 2. Nine cups? #### 27", "6", id="new-by-number-and-stop"),
        pytest.param("#### 6\n\n**Question 2:** Nine cups? #### 27", "6", id="new-in-bold"),
        pytest.param("#### 6\n\nQuestion #2: Nine cups? #### 27", "6", id="new-by-sign"),
        pytest.param("#### 6\n\nExample 3:\nNine cups? #### 27", "6", id="new-example"),
        pytest.param("It is 6.\n\nNext question: nine cups? #### 27", "6", id="next-question"),
        pytest.param("It is 6.<|im_end|>\n<|im_start|>user\nAnd nine?<|im_end|>\nIt is 27.", "6", id="turn"),
        pytest.param("It is 6</s> And nine? It is 27.", "6", id="end-of-text"),
        pytest.param("#### 6 [INST] And nine? [/INST] #### 27", "6", id="instruction-mark"),
        pytest.param("It is 6<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nNine: 27", "6", id="header"),
        pytest.param("<|im_start|>assistant\nIt is 6.<|im_end|>", "6", id="a-mark-first"),
        pytest.param(
            "Question 1: how many cups? 2.\nQuestion 2: what do they cost? 2 * 3 = 6", "6", id="counted-steps"
        ),
        # blanks between thousands ended a number, a fraction was read as what stands above it
        pytest.param("The total is 12 000 litres.", "12000", id="blank"),
        pytest.param("It costs $1 234 567.", "1234567", id="two-blanks"),
        pytest.param("#### 12 500", "12500", id="blank-after-the-mark"),
        pytest.param("It was 2 + 100 = 102, in 2010 300 of them left.", "300", id="a-blank-between-numbers"),
        pytest.param("The answer is 3/4.", "0.75", id="fraction"),
        pytest.param("The answer is $10/4 litres.", "2.5", id="fraction-with-a-unit"),
        pytest.param("The answer is 10/2 = 5.", "5", id="fraction-in-a-sum"),
        # the last number of all was taken, though the text says which is its answer
        pytest.param("The answer is 15. It took 3 steps.", "15", id="told"),
        pytest.param("The answer is 5 + 3 = 8 apples, on 2 days.", "8", id="told-as-a-sum"),
        pytest.param("The final answer is \\(18\\) for 3 days.", "18", id="told-as-a-formula"),
        pytest.param("The answer is: **18** apples in 3 bags", "18", id="told-in-bold"),
        pytest.param("Answer:\n16 - 3 = 13\n13 * 2 = 26", "26", id="a-worked-answer"),
        pytest.param("Answer: 16 - 3 = 13 are left. Then 13 * 2 = 26.", "26", id="a-worked-answer-in-a-line"),
        pytest.param("it is \u22124", "-4", id="typographic-minus"),
        pytest.param("the total is...5", "5", id="dots"),
    ],
)
def test_default_reads_what_the_text_says(text: str, answer: str) -> None:
    (grade,) = gsm8k.grade([problem(answer)], [text], "default", None)
    assert grade.scores == {"gsm8k": [1, 1]}, grade.answer


def test_a_question_that_is_repeated_word_for_word_is_no_new_exercise() -> None:
    question = "A cup costs 3 coins. What do two cups cost?"
    asked = Problem(id="0", data={"question": question, "answer": "#### 6"})
    texts = [
        f"I found 3 facts.\n\nQuestion: {question}\nAnswer: 6",
        "I found 6.\n\nQuestion: A bowl costs 3. And 4?\n12",
    ]
    assert [grade.answer for grade in gsm8k.grade([asked] * 2, texts, "default", None)] == ["6", "6"]


@pytest.mark.parametrize("text", [r"\boxed{9^{9^{9^9}}}", "the answer is $9^{9^{9}}$"])
def test_a_hostile_answer_has_a_reason(text: str) -> None:
    (grade,) = gsm8k.grade([problem("5")], [text], "default", None)
    assert (grade.scores, grade.reason) == ({"gsm8k": [0, 1]}, "too large to compare")


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


LABELLED_RIGHT = {
    ("shared", "6b"): (1319, 286),
    ("shared", "175b"): (1319, 458),
    ("sample", "6b"): (45, 6),
    ("sample", "175b"): (45, 11),
}
"""Solutions, and how many of them their authors call right."""


class TestRealCompletions:
    def solutions(self, reference_data: Path, model: str) -> tuple[list[Problem], list[str], list[int]]:
        lines = (
            (reference_data / "data/gsm8k/example_model_solutions_finetuning.jsonl")
            .read_text(encoding="utf-8")
            .splitlines()
        )
        rows = [json.loads(line)[f"{model}_finetuning"] for line in lines]
        flags = [int(row["is_correct"]) for row in rows]
        return gsm8k.read(reference_data / "data/gsm8k/test.jsonl"), [row["solution"] for row in rows], flags

    @pytest.mark.parametrize(
        ("model", "protocol", "misread"),
        [
            ("6b", "paper", {}),
            ("6b", "default", {}),
            # "3,000" and "6,250": OpenCompass reads 000 and 250
            ("175b", "paper", {"shared": ["419", "819"], "sample": ["34", "40"]}),
            ("175b", "default", {}),
        ],
    )
    def test_counts(self, model: str, protocol: str, misread: dict[str, list[str]], reference_data: Path) -> None:
        problems, texts, flags = self.solutions(reference_data, model)
        grades = gsm8k.grade(problems, texts, protocol, None)
        (result,) = results(grades, gsm8k.METRICS)
        wanted = misread.get(reference_data.name, [])
        assert (result.n, sum(flags)) == LABELLED_RIGHT[reference_data.name, model]
        assert sum(grade.scores["gsm8k"][0] for grade in grades) == sum(flags) - len(wanted)
        unlike = [grade.id for grade, flag in zip(grades, flags, strict=True) if grade.scores["gsm8k"][0] != flag]
        assert unlike == wanted

    @pytest.mark.parametrize("model", ["6b", "175b"])
    def test_paper_is_the_oracle_item_by_item(self, model: str, reference_data: Path) -> None:
        extract, equal = oracle()
        problems, texts, _ = self.solutions(reference_data, model)
        texts += [row.data["answer"] for row in problems]
        problems += problems
        for row, text, grade in zip(problems, texts, gsm8k.grade(problems, texts, "paper", None), strict=True):
            answer = extract(text)
            assert grade.answer == ("" if answer == "NULL" else answer)
            assert grade.scores["gsm8k"][0] == int(equal(answer, gsm8k.reference(row)))

    def test_the_sets_own_answers(self, reference_data: Path) -> None:
        problems = gsm8k.read(reference_data / "data/gsm8k/test.jsonl")
        texts = [row.data["answer"] for row in problems]
        right = {
            protocol: sum(grade.scores["gsm8k"][0] for grade in gsm8k.grade(problems, texts, protocol, None))
            for protocol in gsm8k.PROTOCOLS
        }
        with_a_comma = {"shared": 14, "sample": 14}[reference_data.name]
        assert right == {"paper": len(problems) - with_a_comma, "default": len(problems)}
        assert len(problems) == LABELLED_RIGHT[reference_data.name, "6b"][0]
