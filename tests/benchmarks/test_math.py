import ast
import random
import re
import time
import warnings
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import gsm8k, hendrycks_math
from kit.benchmarks._latex import LONGEST, TOO_LONG, boxed, equivalent, normalised, stripped
from kit.prompts import load
from kit.records import Problem


def problem(answer: str) -> Problem:
    return Problem(id="0", data={"problem": "?", "solution": f"It is $\\boxed{{{answer}}}$."})


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (r"so $\boxed{7}$", "7"),
        (r"\boxed{1} and \boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\text{a {b} c}}", r"\text{a {b} c}"),
        (r"\boxed{7", None),
        (r"\boxed 7", None),
        (r"\boxed{}", ""),
        (r"\fbox{7}", None),
        ("7", None),
    ],
)
def test_boxed(text: str, wanted: str | None) -> None:
    assert boxed(text) == wanted


@pytest.mark.parametrize(
    ("answer", "wanted", "same"),
    [
        (r"\frac12", r"\frac{1}{2}", True),
        (r"\dfrac{1}{2}", r"\frac{1}{2}", True),
        ("1/2", r"\frac{1}{2}", True),
        ("a/b", "a/b", True),
        ("0.5", r"\frac{1}{2}", False),
        ("x=5", "5", True),
        ("5.0", "5", True),
        (r"\sqrt3", r"\sqrt{3}", True),
        (r"90^\circ", "90", True),
        (r"12\text{ cm}", "12", True),
        ("10,000", "10000", True),
        (r"50\%", "50", True),
        (r"(1,2)", r"\left(1,2\right)", True),
        ("25", "5", False),
        ("", "5", False),
        ("5", None, False),
    ],
)
def test_equivalent(answer: str, wanted: str | None, same: bool) -> None:
    assert equivalent(answer, wanted) is same


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (r"+\inity", r"\infty"),
        ("inf", r"\infty"),
        (r"2\infty", r"2\infty"),
        (r"2\infty+inf", r"2\infty+inf"),
        (r"\mathbf{v}", "{v}"),
        ("3and4", "34"),
        (r"\mbox{cm}7\mbox{", r"7\mbox{"),
        ("2+3j", "2+3i"),
        ("2i+3j", "2i+3j"),
        ("1.000x", "1x"),
        ("1.0.0x", "1.0x"),
        ("1.00", "1"),
        ("1.001", "1.001"),
        (".5", "0.5"),
        ("xy=5", "5"),
        ("xyz=5", "xyz=5"),
        (r"7\text{ a}\text{ b}", "7"),
        (r"\text{only}", "{only}"),
    ],
)
def test_v2_by_hand(answer: str, wanted: str) -> None:
    assert stripped(answer) == wanted


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (r"\text{(A)}", "A"),
        (r"\text{(A", r"\text{(A"),
        (r"\boxed{7}}", "7}"),
        ("oxed{1}oxed{2}oxed{3", "2"),
        ("$1$ and $2$", "2"),
        ("the final answer is 3. The answer is 4", "4"),
        ("frac12", r"f\frac{1}{2}"),  # a slip that is kept: "rac" is replaced wherever it stands
        ("sqrt3", "sqrt{3}"),
        ("1,234", "1234"),
    ],
)
def test_minervas_rules_by_hand(answer: str, wanted: str) -> None:
    assert normalised(answer) == wanted


HOSTILE = {
    "digits": "1" * 200_000,
    "zeros": "1." + "0" * 200_000 + "1",
    "text": "\\text{(" * 40_000,
    "box": "oxed{" * 40_000,
    "mbox": "\\mbox{" * 40_000,
    "boxes": "\\boxed{" * 30_000,
    "dollars": "$" * 200_001,
    "prices": "$1 " * 70_000,
    "marks": "#### 1\n" * 30_000,
    "phrases": "answer is " * 20_000,
    "headings": "Question: 1\n" * 20_000,
    "separators": "1,111" * 40_000,
    "units": "5 " + "^\\circ " * 20_000 + "^",
    "blank lines": "\n" * 200_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_reading_takes_time_in_proportion_to_the_text(text: str) -> None:
    # Quadratic patterns took minutes of these; "1" * 60,000 alone took one.
    started = time.process_time()
    for protocol in ("paper", "default"):
        hendrycks_math.grade([problem("77")], [text], protocol, None)
        gsm8k.grade([Problem(id="0", data={"question": "?", "answer": "#### 77"})], [text], protocol, None)
    equivalent(text, "77")
    assert time.process_time() - started < 30


def test_rules_by_hand() -> None:
    assert normalised("The final answer is $12$ square inches") == "12"
    assert stripped(r"\tfrac34\text{ cup}") == r"\frac{3}{4}"


@pytest.mark.parametrize(
    ("text", "answer", "paper", "default"),
    [
        pytest.param(r"so \boxed{7}.", "7", 1, 1, id="boxed"),
        pytest.param(r"so \boxed{{7}}.", "7", 1, 1, id="boxed-twice"),
        pytest.param("The final answer is $7$. I hope it is correct.", "7", 1, 1, id="final-answer"),
        # a full stop ends a sentence, so OpenCompass reads 0.25 as 0
        pytest.param("We halve it. The answer is 0.25", "0.25", 0, 1, id="decimal"),
        pytest.param("First 2+3=5. So we have 5 apples.", "5", 0, 1, id="last-number"),
        pytest.param("The sum is $2+3=5$", "5", 0, 1, id="last-formula"),
        pytest.param("7", "7", 1, 1, id="bare"),
        # the last number of the bare answer 1/2 in LaTeX used to be taken: 2
        pytest.param("\\frac{1}{2}\n", "\\frac{1}{2}", 1, 1, id="bare-latex"),
        pytest.param("The answer is 6.", "7", 0, 0, id="wrong"),
        pytest.param("", "7", 0, 0, id="empty"),
        pytest.param("7. The answer is: **7**", "7", 0, 1, id="bold"),
    ],
)
def test_reads_the_answer(text: str, answer: str, paper: int, default: int) -> None:
    for protocol, wanted in (("paper", paper), ("default", default)):
        (grade,) = hendrycks_math.grade([problem(answer)], [text], protocol, None)
        assert grade.scores == {"math": [wanted, 1]}, protocol


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # no display was read, "$$" was one empty formula, and an escaped dollar sign ended another
        pytest.param("Hence the answer is \\[ 17 \\]", "17", id="told-in-a-display"),
        pytest.param("The final answer is:\n\n$$\n17\n$$", "17", id="told-above-a-display"),
        pytest.param("We add. \\[ 10 + 7 = 17 \\]", "17", id="last-display"),
        pytest.param("So\n\\[\nx = 17.\n\\]", "17", id="display-with-a-full-stop"),
        pytest.param("\\begin{align*}\nx &= 10 + 7 \\\\\n&= 17\n\\end{align*}", "17", id="align"),
        pytest.param("So it is \\(17\\), as 3 checks show.", "17", id="inline"),
        pytest.param("Thus the answer is $$17$$.", "17", id="double-dollars"),
        pytest.param(r"The answer is $\$35$", "35", id="price"),
        pytest.param(r"\boxed{\$35}", "35", id="price-in-a-box"),
        pytest.param("One is $5 and one $12, so we find 17", "17", id="two-prices-are-no-formula"),
        pytest.param(r"It is 34\,000 metres", "34000", id="thin-space"),
        # a restated problem was cut off with its answer
        pytest.param("I restate it.\n\nProblem: what is 8 + 9?\n\nSolution: $\\boxed{17}$", "17", id="restated"),
        pytest.param("**Problem:** what is 8 + 9?\n\n**Solution:** $8+9=17$", "17", id="restated-in-bold"),
        pytest.param("The answer is $17$.\n\nProblem: and 3+4?\nSolution: $\\boxed{7}$", "17", id="new"),
        # a further exercise with a number, or after a chat format's mark, was read as this answer
        pytest.param("$\\boxed{17}$\n\nProblem 2: what is 3+3?\n$\\boxed{6}$", "17", id="new-by-number"),
        pytest.param("$\\boxed{x}$<|im_end|>\n<|im_start|>user\nNext: $\\boxed{6}$", "x", id="new-turn"),
        # the environment around the rows was read as a part of the last one
        pytest.param(r"\[\begin{aligned} x &= 8+9\\ &=17\end{aligned}\]", "17", id="aligned-in-a-display"),
        pytest.param("$$\\begin{split}\nx &= 8+9 \\\\\n&= 17.\n\\end{split}$$", "17", id="split-in-a-display"),
        # equal as mathematics, unequal as text
        pytest.param("The answer is 0.5.", r"\frac{1}{2}", id="decimal"),
        pytest.param("The answer is $(x-1)(x+1)$.", "x^2-1", id="factors"),
        pytest.param(r"\boxed{\sqrt{8}}", r"2\sqrt{2}", id="root"),
        pytest.param("so the line is $y = 1 + 2x$", "y=2x+1", id="equation"),
        pytest.param("The answers are $3$ and $2$.", "2,3", id="two-formulas"),
        pytest.param("So we have $x=3$ or $x=2$.", "2,3", id="two-equations"),
        pytest.param(r"\boxed{3} and \boxed{2}", "2,3", id="two-boxes"),
        pytest.param(r"\boxed{2} or \boxed{3}", "3", id="the-last-box"),
        # marks and texts of mathematics alone
        pytest.param("#### \\frac{3}{4}", r"\frac{3}{4}", id="mark"),
        pytest.param("#### Step 1: add\n$8+9=17$", "17", id="heading"),
        pytest.param(r"\left( 3, \frac{\pi}{2} \right)", r"\left( 3, \frac{\pi}{2} \right)", id="all-mathematics"),
        pytest.param("The answer is x \\in [-2,7].", "[-2,7]", id="told-without-a-formula"),
        pytest.param("the answer is $x=17$, since $x>0$.", "17", id="told-with-a-reason"),
    ],
)
def test_default_reads_what_the_text_says(text: str, answer: str) -> None:
    (grade,) = hendrycks_math.grade([problem(answer)], [text], "default", None)
    assert grade.scores == {"math": [1, 1]}, grade.answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # commas are dropped between digits, and math-verify leaves out a base
        pytest.param(r"\boxed{1,2}", "12", id="list-for-a-number"),
        pytest.param(r"\boxed{35}", "3,5", id="number-for-a-list"),
        pytest.param(r"\boxed{12,3}", "1,23", id="other-list"),
        pytest.param(r"\boxed{101_3}", "101_2", id="other-base"),
        pytest.param(r"\boxed{101_{8}}", "101_{2}", id="other-base-in-braces"),
    ],
)
def test_default_takes_no_other_answer_for_it(text: str, answer: str) -> None:
    (grade,) = hendrycks_math.grade([problem(answer)], [text], "default", None)
    assert grade.scores == {"math": [0, 1]}, grade.answer


def test_a_hostile_answer_has_a_reason() -> None:
    (grade,) = hendrycks_math.grade([problem("5")], [r"so $\boxed{\frac{9^{9^{9}}}{2}}$"], "default", None)
    assert (grade.scores, grade.reason) == ({"math": [0, 1]}, "too large to compare")


@pytest.mark.parametrize("protocol", ["paper", "default"])
@pytest.mark.parametrize(
    ("answer", "wanted", "right", "reason"),
    [
        pytest.param("1" * 100_000, "7", 0, TOO_LONG, id="digits"),
        pytest.param("7\\!" * 40_000, "7", 0, TOO_LONG, id="what-the-rules-would-drop"),
        pytest.param("x+" * LONGEST + "1", "x+" * LONGEST + "1", 1, "", id="as-it-stands"),
        pytest.param("7" + 100_000 * " ", "7", 1, "", id="blanks-do-not-count"),
        pytest.param("7" + 100_000 * " \n", "7", 1, "", id="nor-line-breaks"),
        pytest.param("7\\text{" + "a" * (LONGEST - 8) + "}", "7", 1, "", id="as-long-as-may-be"),
        pytest.param("7\\text{" + "a" * (LONGEST - 7) + "}", "7", 0, TOO_LONG, id="longer-by-one"),
    ],
)
def test_a_long_answer_is_compared_as_it_stands(
    answer: str, wanted: str, right: int, reason: str, protocol: str
) -> None:
    (grade,) = hendrycks_math.grade([problem(wanted)], [f"so $\\boxed{{{answer}}}$"], protocol, None)
    assert (grade.scores, grade.reason) == ({"math": [right, 1]}, reason)


def test_asks_in_the_words_of_the_pack() -> None:
    asked = Problem(id="0", data={"problem": r"Find $\frac{a}{b}$.", "solution": ""})
    assert "Find $\\frac{a}{b}$.\n" in hendrycks_math.turns(asked, load("kit"))[0].content
    assert hendrycks_math.turns(asked, load("opencompass"))[-1].content == "Problem:\nFind $\\frac{a}{b}$.\nSolution:\n"


def oracle() -> dict[str, Any]:
    """The wheel's ``math_postprocess_v2`` and ``MATHEvaluator``, taken out of their file."""
    path = Path(str(distribution("opencompass").locate_file("opencompass/datasets/math.py")))
    names = {"last_boxed_only_string", "remove_boxed", "extract_boxed_answer", "normalize_final_answer"}
    names |= {"math_postprocess_v2", "MATHEvaluator"}
    scope: dict[str, Any] = {"re": re}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its patterns have invalid escapes
        tree = ast.parse(path.read_text(encoding="utf-8"))
        body: list[ast.stmt] = []
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name in names:
                node.decorator_list = []
                if isinstance(node, ast.ClassDef):
                    node.bases = []
                body.append(node)
        exec(compile(ast.Module(body, []), str(path), "exec"), scope)
    return scope


def forms(solution: str, answer: str, other: str, chance: random.Random) -> list[tuple[str, str]]:
    """(text, reference) pairs: the solution itself, and answers as models write them, right, wrong and broken."""
    cut = chance.randrange(len(answer) + 1)
    return [
        (solution, answer),
        (solution, other),
        (solution.replace("\\boxed", ""), answer),
        (f"The final answer is ${answer}$. I hope it is correct.", answer),
        (f"so the answer is {answer}.", other),
        (f"$\\boxed{{{{{answer}}}}}$", answer),
        (answer.replace("frac", "dfrac").replace(" ", ""), answer),
        (f"\\boxed{{{answer[:cut]}{answer[cut + 1 :]}}}", answer),
    ]


class TestRealSolutions:
    @pytest.mark.parametrize("protocol", ["paper", "default"])
    def test_the_sets_own_solutions_are_right(self, protocol: str, reference_data: Path) -> None:
        problems = hendrycks_math.read(reference_data / "data/math/test.jsonl")
        grades = hendrycks_math.grade(problems, [row.data["solution"] for row in problems], protocol, None)
        size = {"shared": 5000, "sample": 100}[reference_data.name]
        assert (len(grades), sum(grade.scores["math"][0] for grade in grades)) == (size, size)

    def test_paper_is_the_oracle_item_by_item(self, reference_data: Path) -> None:
        wheel, chance = oracle(), random.Random(0)
        evaluator = wheel["MATHEvaluator"](version="v2")
        solutions = [row.data["solution"] for row in hendrycks_math.read(reference_data / "data/math/test.jsonl")]
        answers = [wheel["extract_boxed_answer"](solution) for solution in solutions]
        assert answers == [boxed(solution) for solution in solutions]
        for solution, answer in zip(solutions, answers, strict=True):
            for text, wanted in forms(solution, answer, chance.choice(answers), chance):
                found = wheel["math_postprocess_v2"](text)
                assert hendrycks_math.paper_answer(text) == found
                assert equivalent(found, wanted) == evaluator.is_equiv(found, wanted), (text, wanted)
