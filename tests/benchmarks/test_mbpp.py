"""MBPP: reading, extraction against OpenCompass's own method, and the reference solutions."""

import ast
import json
import re
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import mbpp
from kit.errors import RequestError
from kit.records import Problem, Turn
from kit.sandbox import open_sandbox

WHEEL = Path(sysconfig.get_path("purelib")) / "opencompass" / "datasets" / "mbpp.py"
ROW = {
    "task_id": 1,
    "text": "Write a function that doubles a number.",
    "code": "def twice(x): return 2 * x",
    "test_list": ["assert twice(2) == 4", "assert twice(0) == 0", "assert set([twice(1)]) == {2}"],
}
PROBLEM = Problem(id="1", data=ROW)
CODE = "def twice(x):\n  return 2 * x"

TEXTS = {
    "code": CODE,
    "marks and quotes": f"[BEGIN]\n '{CODE}' \n[DONE] \n\n ",
    "quotes, opened by the prompt": f"'{CODE}' \n[DONE]",
    "marks": f"[BEGIN]\n{CODE}\n[DONE]",
    "marks without brackets": f"BEGIN\n{CODE}\nDONE",
    "never done": f"[BEGIN]\n{CODE}",
    "no end of the quote": f"[BEGIN]\n '{CODE}",
    "fence in marks": f"[BEGIN]\n```python\n{CODE}\n```\n[DONE]",
    "fenced": f"```python\n{CODE}\n```",
    "fenced, no language": f"```\n{CODE}\n```",
    "fence cut off": f"```python\n{CODE}",
    "fence at the end alone": f"{CODE}\n```",
    "prose around a fence": f"Here:\n```python\n{CODE}\n```\nThat doubles.",
    "two blocks": f"```python\n{CODE}\n```\nFor instance:\n```python\nassert twice(1) == 3\n```",
    "prose around code": f"Here is the function.\n{CODE}\nIt doubles.",
    "failing example": f"```python\n{CODE}\nassert twice(1) == 3\n```",
    "escaped underscore": f"```python\n{CODE}\nsome\\_name = 1\n```",
    "second task after the first": f"[BEGIN]\n{CODE}\n[DONE]\n[BEGIN]\nmore\n[DONE]",
    "wrong": "def twice(x): return x",
    "nothing": "",
}
RIGHT = {
    "paper": {
        *("code", "marks and quotes", "quotes, opened by the prompt", "marks", "marks without brackets", "never done"),
        *("no end of the quote", "fenced", "fenced, no language", "fence cut off"),
        *("prose around a fence", "two blocks", "escaped underscore", "second task after the first"),
    },
    "default": set(TEXTS) - {"wrong", "nothing"},
}


def problems(reference_data: Path) -> list[Problem]:
    return mbpp.read(reference_data / "data/mbpp/mbpp.jsonl")


@pytest.fixture(scope="module")
def oracle() -> Callable[[str], str]:
    """OpenCompass's method, out of the installed wheel's file; the package is never imported."""
    if not WHEEL.exists():
        pytest.skip("opencompass is not installed")
    classes = {node.name: node for node in ast.parse(WHEEL.read_text()).body if isinstance(node, ast.ClassDef)}
    (found,) = [node for node in classes["MBPPEvaluator"].body if getattr(node, "name", "") == "_process_answer"]
    namespace: dict[str, Any] = {"re": re}
    exec(compile(ast.Module([found], []), str(WHEEL), "exec"), namespace)
    return lambda text: str(namespace["_process_answer"](None, text))


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_grades_by_the_kind_of_text(protocol: str) -> None:
    with open_sandbox() as sandbox:
        grades = mbpp.grade([PROBLEM] * len(TEXTS), list(TEXTS.values()), protocol, sandbox)
    passed = {name for name, grade in zip(TEXTS, grades, strict=True) if grade.scores == {"mbpp": [1, 1]}}
    assert passed == RIGHT[protocol]


@pytest.mark.parametrize("text", TEXTS)
def test_paper_takes_what_opencompass_takes(text: str, oracle: Callable[[str], str]) -> None:
    assert mbpp.PROTOCOLS["paper"](TEXTS[text], "twice") == oracle(TEXTS[text])


def test_paper_takes_what_opencompass_takes_from_real_code(oracle: Callable[[str], str], reference_data: Path) -> None:
    wraps = (
        "{}",
        "```python\n{}\n```",
        "[BEGIN]\n '{}' \n[DONE]",
        "'{}'\n[DONE]\n[BEGIN]\n'x'\n[DONE]",
        "So:\n```\n{}",
    )
    for problem in problems(reference_data):
        for wrap in wraps:
            text = wrap.replace("{}", problem.data["code"])
            assert mbpp.PROTOCOLS["paper"](text, "") == oracle(text), problem.id


@pytest.mark.parametrize("tier", [1, 2])
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_reference_code_passes(protocol: str, tier: int, reference_data: Path) -> None:
    asked = problems(reference_data)
    if reference_data.name == "shared":
        assert [p.id for p in asked] == [str(n) for n in range(11, 511)]
    assert {"126", "341", "367"} <= {p.id for p in asked}
    with open_sandbox(force_tier=tier) as sandbox:
        grades = mbpp.grade(asked, [p.data["code"] for p in asked], protocol, sandbox)
    assert [(g.id, g.reason) for g in grades if g.scores != {"mbpp": [1, 1]}] == []


@pytest.mark.parametrize(
    ("row", "names"),
    [
        (ROW, ("twice",)),
        # Task 126 defines a function named like a built-in; the tests mean that one.
        ({"code": "def sum(a, b): pass", "test_list": ["assert sum(10, 15) == 6"]}, ("sum",)),
        # Task 367 builds its argument first.
        ({"test_setup_code": "root = Node(1)", "test_list": ["assert f(root) == len([1])"]}, ("Node", "f")),
    ],
    ids=["plain", "named like a built-in", "setup"],
)
def test_names_that_the_tests_take(row: dict[str, Any], names: tuple[str, ...]) -> None:
    assert set(mbpp.names(Problem(id="1", data=row))) == set(names)


def test_takes_all_rows_of_a_small_file(tmp_path: Path) -> None:
    path = tmp_path / "mini.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    assert mbpp.read(path) == [PROBLEM]


def test_a_full_file_has_numbers_for_ids(tmp_path: Path) -> None:
    # ended in a ValueError
    path = tmp_path / "mbpp.jsonl"
    path.write_text("".join(json.dumps(ROW | {"task_id": f"Mbpp/{n}"}) + "\n" for n in range(1, 975)))
    with pytest.raises(RequestError) as error:
        mbpp.read(path)
    assert str(error.value) == (
        f"{path}: 974 rows, as the full file has, and task_id 'Mbpp/1'; wanted the numbers 1 to 974, by which the test "
        "set is told"
    )


def test_tests_must_be_python(tmp_path: Path) -> None:
    path = tmp_path / "mini.jsonl"
    path.write_text(json.dumps(ROW | {"test_list": ["assert ("]}) + "\n")
    with pytest.raises(RequestError, match=re.escape(f"{path}: task 1: test_list: not Python asserts (")):
        mbpp.read(path)


def test_asks_with_the_pack() -> None:
    class Pack:
        name, hash = "test", ""

        def chat(self, id: str) -> tuple[Turn, ...]:
            assert id == "mbpp"
            return (Turn(role="user", content="{text}\n{test_list}"),)

    tests = "\n".join(ROW["test_list"])
    assert mbpp.turns(PROBLEM, Pack()) == (Turn(role="user", content=f"{ROW['text']}\n{tests}"),)
