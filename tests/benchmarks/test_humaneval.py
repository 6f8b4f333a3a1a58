"""HumanEval: reading, extraction against OpenCompass's own function, and the published numbers."""

import ast
import gzip
import json
import re
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import humaneval
from kit.errors import RequestError
from kit.records import Problem, Turn
from kit.sandbox import open_sandbox

WHEEL = Path(sysconfig.get_path("purelib")) / "opencompass" / "datasets" / "humaneval.py"
PROMPT = 'def twice(x: int) -> int:\n    """ Twice x.\n    >>> twice(2)\n    4\n    """\n'
ROW = {
    "task_id": "HumanEval/0",
    "prompt": PROMPT,
    "entry_point": "twice",
    "test": "def check(candidate):\n    assert candidate(3) == 6\n",
}
PROBLEM = Problem(id="HumanEval/0", data=ROW)
WHOLE = PROMPT + "    return 2 * x\n"

TEXTS = {
    "body": "    return 2 * x\n",
    "whole function": WHOLE,
    "body, then more": "    return 2 * x\n\n\nprint(twice(2))\nThat is it.\n",
    "fenced whole": f"Here it is:\n```python\n{WHOLE}```\nIt doubles.",
    "fenced body": "```python\n    return 2 * x\n```",
    "two blocks": f"```python\n{WHOLE}```\nTry:\n```python\nassert twice(2) == 4\n```",
    "example first": f"```\n>>> twice(2)\n```\n```python\n{WHOLE}```",
    "fence cut off": f"```python\n{WHOLE}",
    "indent lost": "return 2 * x",
    "indent of the first line lost": "y = x\n    return y + x",
    "prose around": f"Sure! Here is the function.\n\n{WHOLE}\nThis function doubles its argument.",
    "helper first": "```python\nimport math\n\ndef helper(x):\n    return x\n\n"
    + WHOLE.replace("2 * x", "helper(x) + x")
    + "```",
    "failing example": f"```python\n{WHOLE}\nassert twice(1) == 3\n```",
    "carriage returns": f"```python\n{WHOLE}```".replace("\n", "\r\n"),
    "wrong": "    return x\n",
    "nothing": "",
}
RIGHT = {
    "paper": {"body", "whole function", "fenced whole", "fenced body", "two blocks", "helper first"},
    "default": set(TEXTS) - {"wrong", "nothing"},
}


def published(shared: Path) -> list[dict[str, str]]:
    lines = (shared / "data/humaneval/wizardcoder15b_greedy_59.8.jsonl").read_text(encoding="utf-8").splitlines()
    return list(map(json.loads, lines))


@pytest.fixture(scope="module")
def oracle() -> Callable[[str], str]:
    """OpenCompass's function, out of the installed wheel's file; the package is never imported."""
    if not WHEEL.exists():
        pytest.skip("opencompass is not installed")
    tree = ast.parse(WHEEL.read_text())
    (found,) = [node for node in tree.body if getattr(node, "name", "") == "humaneval_postprocess_v2"]
    namespace: dict[str, Any] = {"re": re}
    exec(compile(ast.Module([found], []), str(WHEEL), "exec"), namespace)
    function: Callable[[str], str] = namespace["humaneval_postprocess_v2"]
    return function


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_grades_by_the_kind_of_text(protocol: str) -> None:
    with open_sandbox() as sandbox:
        grades = humaneval.grade([PROBLEM] * len(TEXTS), list(TEXTS.values()), protocol, sandbox)
    passed = {name for name, grade in zip(TEXTS, grades, strict=True) if grade.scores == {"humaneval": [1, 1]}}
    assert passed == RIGHT[protocol]


@pytest.mark.parametrize("text", TEXTS)
def test_paper_takes_what_opencompass_takes(text: str, oracle: Callable[[str], str]) -> None:
    assert humaneval.PROTOCOLS["paper"](TEXTS[text], "twice") == oracle(TEXTS[text])


@pytest.mark.shared
def test_paper_takes_what_opencompass_takes_from_real_texts(oracle: Callable[[str], str], shared: Path) -> None:
    for row in published(shared):
        for text in (row["completion"], row["all_code"], row["all_code"].replace("\r", "")):
            assert humaneval.PROTOCOLS["paper"](text, "") == oracle(text), row["task_id"]


def test_paper_takes_what_opencompass_takes_from_real_code(oracle: Callable[[str], str], reference_data: Path) -> None:
    wraps = ("{}", "```python\n{}\n```", "```\n{}", "So:\n```python\n{}```\nIt ends.", "{}\n\nprint(1)\n", "{}\r\n")
    for problem in humaneval.read(reference_data / "data/humaneval/HumanEval.jsonl.gz"):
        body = problem.data["canonical_solution"]
        for text in (wrap.replace("{}", code) for wrap in wraps for code in (body, problem.data["prompt"] + body)):
            assert humaneval.PROTOCOLS["paper"](text, "") == oracle(text), problem.id


@pytest.mark.parametrize("tier", [1, 2])
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_canonical_solutions_pass(protocol: str, tier: int, reference_data: Path) -> None:
    problems = humaneval.read(reference_data / "data/humaneval/HumanEval.jsonl.gz")
    with open_sandbox(force_tier=tier) as sandbox:
        grades = humaneval.grade(problems, [p.data["canonical_solution"] for p in problems], protocol, sandbox)
    assert len(problems) == 164
    assert [grade.id for grade in grades if grade.scores != {"humaneval": [1, 1]}] == []


@pytest.mark.shared
@pytest.mark.parametrize("tier", [1, 2])
@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_published_numbers(protocol: str, tier: int, shared: Path) -> None:
    problems = humaneval.read(shared / "data/humaneval/HumanEval.jsonl.gz")
    texts = {row["task_id"]: row["completion"] for row in published(shared)}
    with open_sandbox(force_tier=tier) as sandbox:
        grades = humaneval.grade(problems, [texts[problem.id] for problem in problems], protocol, sandbox)
    assert sum(grade.scores["humaneval"][0] for grade in grades) == 98  # published: 59.8 %


def test_reads_plain_and_packed(tmp_path: Path) -> None:
    text = json.dumps(ROW) + "\n"
    (tmp_path / "p.jsonl").write_text(text)
    (tmp_path / "p.jsonl.gz").write_bytes(gzip.compress(text.encode()))
    assert humaneval.read(tmp_path / "p.jsonl") == humaneval.read(tmp_path / "p.jsonl.gz") == [PROBLEM]


def test_a_wrong_file_is_named_as_it_was_given(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"task_id": "HumanEval/0", "prompt": 1}\n'))
    with pytest.raises(RequestError, match=re.escape(f"{path}:1: field 'prompt': found int, wanted str")):
        humaneval.read(path)
    path.write_bytes(gzip.compress(json.dumps(ROW).encode())[:40])
    with pytest.raises(RequestError, match=re.escape(f"{path}: cannot be unpacked (")):
        humaneval.read(path)


def test_asks_with_the_pack() -> None:
    class Pack:
        name, hash = "test", ""

        def chat(self, id: str) -> tuple[Turn, ...]:
            assert id == "humaneval"
            return (Turn(role="user", content="{entry_point}: {prompt}"),)

    assert humaneval.turns(PROBLEM, Pack()) == (Turn(role="user", content=f"twice: {PROMPT}"),)


def test_unknown_protocol() -> None:
    with open_sandbox(workers=1) as sandbox, pytest.raises(RequestError, match="no protocol named 'papre'"):
        humaneval.grade([PROBLEM], [""], "papre", sandbox)
