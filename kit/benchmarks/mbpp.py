r"""MBPP: write the function that a sentence and three asserts describe; the asserts must pass.

A sample problem (fields ``task_id``, ``text``, ``code``, ``test_list``, ``test_setup_code``):

    Write a python function to remove first and last occurrence of a given character from the string.

    assert remove_Occ("hello","l") == "heo"
    assert remove_Occ("abcda","a") == "bcd"
    assert remove_Occ("PHP","P") == "H"

Graded as https://github.com/open-compass/opencompass/blob/0.3.3/opencompass/datasets/mbpp.py does: all asserts of
``test_list`` hold within 10 seconds, here of CPU time. The test set is task ids 11 to 510.

- ``paper``: the code is what the first of 20 patterns takes from the text (OpenCompass 0.3.3,
  ``MBPPEvaluator._process_answer``), cut at a fence or at DONE.
- ``default``: the fenced block that defines the function, or what stands between [BEGIN] and [DONE], without the prose
  and the examples around it.

One item differs from OpenCompass in both: task 367 builds its trees in ``test_setup_code``, which OpenCompass leaves
out, so that nothing can pass it there; here it is run, after the completion.
"""

import ast
import builtins
import re
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from kit.benchmarks import _files as files
from kit.errors import RequestError
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Program, Sandbox, source

VERSION = 2
ASKS = 1
DATASET = "mbpp"
PROMPTS = ("mbpp",)
SOURCE = "https://github.com/open-compass/opencompass/blob/0.3.3/opencompass/datasets/mbpp.py"
METRICS: Mapping[str, str] = {"mbpp": "items"}
RUNS_CODE = True
CPU_S = 10.0
FULL_ROWS = 974
"""Rows of the full file; any other file is taken as it is."""
TEST_IDS = range(11, 511)
PATTERNS = [
    *(begin + r"\s*" + inner + r"\s*" + end
      for inner, end, begin in product(("'(.*)'", "'(.*)", "(.*)"), (r"\[DONE\]", "DONE"), (r"\[BEGIN\]", "BEGIN"))),
    *(fence + r"\s*(.*)\s*" + end for end, fence in product(("```", "$"), ("```python", "```"))),
    r"(.*)\s*```.*",
    r"\[BEGIN\]\s*'(.*)",
    r"\[BEGIN\](.*)",
    r"'(.*)'\s*\[DONE\]",
]  # fmt: skip
"""OpenCompass's, in its order: the first that matches anywhere gives the code, quotes and fences left out."""
MARKS = ("BEGIN", "DONE", "```")
AFTER = re.compile(r"'?\s*\[?DONE\]?")


def read(path: Path) -> list[Problem]:
    """The problems of ``mbpp.jsonl``: the test set of the full file, all rows of another.

    Raises:
        RequestError: not the benchmark's format, an id stands twice, or a task has no assert.
    """
    problems = files.problems(path, {"text": str, "test_list": list}, "task_id")
    for problem in problems:
        try:
            tests = ast.parse(_tests(problem.data))
        except (SyntaxError, ValueError, TypeError) as error:
            raise RequestError(f"{path}: task {problem.id}: test_list: not Python asserts ({error})") from error
        if not any(isinstance(node, ast.Assert) for node in ast.walk(tests)):
            raise RequestError(f"{path}: task {problem.id}: test_list: no assert in it, so nothing is tested")
    if len(problems) == FULL_ROWS:
        if strange := [problem.id for problem in problems if not problem.id.isdecimal()]:
            raise RequestError(
                f"{path}: {FULL_ROWS} rows, as the full file has, and task_id {strange[0]!r}; wanted the numbers 1 to "
                f"{FULL_ROWS}, by which the test set is told"
            )
        return [problem for problem in problems if int(problem.id) in TEST_IDS]
    return problems


def _tests(row: Mapping[str, Any]) -> str:
    return "\n".join([row.get("test_setup_code") or "", *row["test_list"]])


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """The chat that asks it, in the words of ``pack``."""
    data = problem.data
    return fill(pack.chat("mbpp"), {"text": data["text"], "test_list": "\n".join(data["test_list"])})


def names(problem: Problem) -> tuple[str, ...]:
    """What the tests take from the candidate; a built-in only where the reference defines it (task 126, ``sum``)."""
    used = [node for node in ast.walk(ast.parse(_tests(problem.data))) if isinstance(node, ast.Name)]
    own = {node.id for node in used if isinstance(node.ctx, ast.Store)}
    code = problem.data.get("code") or ""
    return tuple(
        dict.fromkeys(
            node.id
            for node in used
            if node.id not in own and (source.defines(code, node.id) or not hasattr(builtins, node.id))
        )
    )


def first_pattern(text: str, _: str) -> str:
    """OpenCompass's: what the first of its patterns takes, cut at a fence or at DONE."""
    for pattern in PATTERNS:
        # A pattern whose mark is not there cannot match, and would take long to find out.
        if all(mark in text for mark in MARKS if mark in pattern) and (match := re.search(pattern, text, re.DOTALL)):
            text = match[1]
            break
    code = AFTER.split(text.split("```")[0])[0]
    return code.replace("\\_", "_").strip()


def function(text: str, name: str) -> str:
    """Ours: the fenced block that defines the function, or what stands between the marks; nothing around it."""
    inside = re.sub(r"\A.*?\[BEGIN\]\s*'?|\A\s*'(?=\w)|'?\s*\[DONE\].*\Z", "", text, flags=re.DOTALL)
    return source.definitions(source.block_of(inside, name), name)


PROTOCOLS = {"paper": first_pattern, "default": function}
"""How the code is taken from a text, given the function that the asserts call."""


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """One grade a text, in the order of the problems.

    Args:
        problems: what was asked.
        texts: what was answered, one a problem.
        protocol: ``paper`` or ``default``.
        sandbox: where the completions run.
    """
    if sandbox is None:
        raise ValueError("mbpp: grading runs model-written code and needs a sandbox")
    wanted = [names(problem) for problem in problems]
    extract = files.choose(PROTOCOLS, protocol)
    answers = [extract(text, (*some, "")[0]) for some, text in zip(wanted, texts, strict=True)]
    verdicts = sandbox.run(
        [
            Program(id=p.id, code=answer + "\n", tests=_tests(p.data), names=some, cpu_s=CPU_S)
            for p, answer, some in zip(problems, answers, wanted, strict=True)
        ]
    )
    return [
        Grade(id=v.id, scores={"mbpp": [int(v.passed), 1]}, answer=answer, reason=v.reason, cpu_s=v.cpu_s)
        for v, answer in zip(verdicts, answers, strict=True)
    ]
