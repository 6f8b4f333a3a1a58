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
- ``default``: the functions that the asserts call and what they need, out of what stands between [BEGIN] and [DONE], or
  out of the fenced block that defines them, or out of the text; examples, prints and questions to a user are not run. A
  quote before [DONE] belongs to the code where no quote opened it.

One item differs from OpenCompass in both: task 367 builds its trees in ``test_setup_code``, which OpenCompass leaves
out, so that nothing can pass it there; here it is run, after the completion.
"""

import ast
import builtins
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from kit.benchmarks import _files as files
from kit.benchmarks._reading_time import Reading, run_each
from kit.errors import RequestError
from kit.measures import Measure
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Program, Sandbox, source
from kit.sandbox.parsing import Parser

VERSION = 2
ASKS = 1
DATASET = "mbpp"
PROMPTS = ("mbpp",)
SOURCE = "https://github.com/open-compass/opencompass/blob/0.3.3/opencompass/datasets/mbpp.py"
METRICS: Mapping[str, Measure] = {"mbpp": Measure(title="MBPP")}
RUNS_CODE = True
CPU_S = 10.0
FULL_ROWS = 974
"""Rows of the full file; any other file is taken as it is."""
TEST_IDS = range(11, 511)
Take = Callable[[str], str | None]
"""Takes the code from a text, or ``None`` where the pattern does not match."""


def _quoted(begin: str, end: str) -> Take:
    r"""``BEGIN(.*)'\s*END``: to the last quote before an end mark."""
    opening, closing = re.compile(begin), re.compile(rf"'\s*{re.escape(end)}")

    def take(text: str) -> str | None:
        start = opening.search(text)
        ends = [match.start() for match in closing.finditer(text, start.end())] if start else []
        return text[start.end() : ends[-1]] if start and ends else None

    return take


def _between(begin: str, end: str) -> Take:
    r"""``BEGIN(.*)\s*END``: to the last end mark; ``BEGIN`` ends in ``\s*`` or a quote."""
    opening = re.compile(begin)

    def take(text: str) -> str | None:
        start = opening.search(text)
        stop = text.rfind(end, start.end()) if start else -1
        return text[start.end() : stop] if start and stop >= 0 else None

    return take


def _from(begin: str) -> Take:
    r"""Match ``BEGIN(.*)``: all that follows the beginning."""
    opening = re.compile(begin)

    def take(text: str) -> str | None:
        start = opening.search(text)
        return text[start.end() :] if start else None

    return take


BEGINS, ENDS = (r"\[BEGIN\]", "BEGIN"), ("[DONE]", "DONE")
PATTERNS: tuple[Take, ...] = (
    *(_quoted(rf"{begin}\s*'", end) for end in ENDS for begin in BEGINS),
    *(_between(rf"{begin}\s*'", end) for end in ENDS for begin in BEGINS),
    *(_between(rf"{begin}\s*", end) for end in ENDS for begin in BEGINS),
    *(_between(rf"{fence}\s*", "```") for fence in ("```python", "```")),
    *(_from(rf"{fence}\s*") for fence in ("```python", "```")),
    # OpenCompass tries `(.*)\s*```.*` here, which matches where a fence is; the pattern before has taken that text.
    _from(r"\[BEGIN\]\s*'"),
    _from(r"\[BEGIN\]"),
    _quoted("'", "[DONE]"),
)
"""OpenCompass's 20 patterns in its order: the first that matches anywhere gives the code, quotes and fences left out.

Tried as regular expressions, they take a time that grows with the cube of a run of line breaks. Every one of them
matches from the first place where it can start to the last place where it can end, so both are looked up.
"""
BEGIN = re.compile(r"\[BEGIN\]|^BEGIN$", re.MULTILINE)
DONE = re.compile(r"\[DONE\]|(?<=['\s])DONE(?!\w)")
QUOTED = re.compile(r"\s*(?:'(?!''))?")
MARKS_TRIED = 4
"""Most end marks that may stand in strings of the code."""


def read(path: Path) -> list[Problem]:
    """Read the problems of ``mbpp.jsonl``: the test set of the full file, all rows of another.

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
        files.check_imports(f"{path}: task {problem.id}: test_list", _tests(problem.data))
    if len(problems) == FULL_ROWS:
        if named := [problem.id for problem in problems if not problem.id.isdecimal()]:
            raise RequestError(
                f"{path}: {FULL_ROWS} rows, as the full file has, and task_id {named[0]!r}; wanted the numbers 1 to "
                f"{FULL_ROWS}, by which the test set is told"
            )
        return [problem for problem in problems if int(problem.id) in TEST_IDS]
    return problems


def _tests(row: Mapping[str, Any]) -> str:
    return "\n".join([*(row.get("test_imports") or ()), row.get("test_setup_code") or "", *row["test_list"]])


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the chat that asks a problem, in the words of ``pack``."""
    data = problem.data
    return fill(pack.chat("mbpp"), {"text": data["text"], "test_list": "\n".join(data["test_list"])})


def names(problem: Problem) -> tuple[str, ...]:
    """Return the names that the tests use; a built-in only where the reference defines it (task 126, ``sum``)."""
    nodes = list(ast.walk(ast.parse(_tests(problem.data))))
    used = [node for node in nodes if isinstance(node, ast.Name)]
    own = {node.id for node in used if isinstance(node.ctx, ast.Store)}
    own |= {(node.asname or node.name).partition(".")[0] for node in nodes if isinstance(node, ast.alias)}
    code = problem.data.get("code") or ""
    return tuple(
        dict.fromkeys(
            node.id
            for node in used
            if node.id not in own and (source.defines(code, node.id) or not hasattr(builtins, node.id))
        )
    )


def first_pattern(text: str, *_: str) -> str:
    """Return OpenCompass's reading: what its first pattern takes, cut at a fence or at DONE."""
    text = next((found for take in PATTERNS if (found := take(text)) is not None), text)
    return _before_done(text.partition("```")[0]).replace("\\_", "_").strip()


def _before_done(text: str) -> str:
    r"""Return the text before the first match of ``'?\s*\[?DONE\]?``."""
    before, mark, _ = text.partition("DONE")
    return before.removesuffix("[").rstrip().removesuffix("'") if mark else text


def function(text: str, *names: str) -> str:
    """Return the functions that the asserts call, with what they need, out of marks, fences and prose."""
    text, parser = source.clean(text), Parser()
    places = [*_between_marks(text, parser), text]
    found = next((code for place in places if (code := source.program(place, names, parser)) is not None), None)
    return source.by_lines(source.choose(places[0], names, parser)[0], names) if found is None else found


def _between_marks(text: str, parser: Parser) -> list[str]:
    """Return the code between the marks, up to the first end mark that leaves Python; empty where there is no mark.

    A quote before the end mark belongs to the marks where one opens the code, and to the code where none does, unless
    only the other way round is Python.
    """
    begin = BEGIN.search(text)
    start = QUOTED.match(text, begin.end() if begin else 0)
    inside = text[start.end() :] if start else text
    opened = text[: len(text) - len(inside)].endswith("'")
    ends = [match.start() for match in islice(DONE.finditer(inside), MARKS_TRIED)]
    if not (begin or opened or ends):
        return []
    found = [piece for end in ends or [len(inside)] for piece in _unquoted(inside[:end].rstrip(), opened)]
    return [next((piece for piece in found if parser.parses(piece)), found[0])]


def _unquoted(code: str, opened: bool) -> list[str]:
    """Return the code without a last quote and with it, the likelier one first."""
    both = [code.removesuffix("'"), code]
    return both if opened else both[::-1]


PROTOCOLS: Mapping[str, Callable[..., str]] = {"paper": first_pattern, "default": function}
"""Protocol -> function that takes the code from a text, given the function that the asserts call."""


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems.

    Args:
        problems: what was asked.
        texts: what was answered, one a problem.
        protocol: ``paper`` or ``default``.
        sandbox: where the completions run.
    """
    if sandbox is None:
        raise ValueError("mbpp: grading runs model-written code and needs a sandbox")
    with Reading(reader, protocol) as reading:
        files.check_tests_run([(p.id, _tests(p.data)) for p in problems], sandbox)
        codes = reading.each(problems, texts)
    return run_each(sandbox, "mbpp", problems, codes, program)


def program(problem: Problem, code: str) -> Program:
    """Return the program to run: the code in the candidate, the problem's asserts in the tester."""
    return Program(id=problem.id, code=code + "\n", tests=_tests(problem.data), names=names(problem), cpu_s=CPU_S)


def reader(protocol: str) -> Callable[[Problem, str], str]:
    """Return the function that takes the code from one text by a protocol.

    Raises:
        RequestError: no such protocol.
    """
    extract = files.choose(PROTOCOLS, protocol)
    return lambda problem, text: extract(text, *names(problem))
