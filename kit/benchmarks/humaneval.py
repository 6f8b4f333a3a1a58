'''HumanEval: write the function that a signature and a docstring describe; its tests must pass.

A sample problem (fields ``task_id``, ``prompt``, ``entry_point``, ``canonical_solution``, ``test``):

    def truncate_number(number: float) -> float:
        """ Given a positive floating point number, it can be decomposed into
        and integer part (largest integer smaller than given number) and decimals
        (leftover part always smaller than 1).

        Return the decimal part of the number.
        >>> truncate_number(3.5)
        0.5
        """

    assert candidate(3.5) == 0.5

Graded as https://github.com/openai/human-eval/blob/6d43fb980f9fee3c892a914eda09951f772ad10d/human_eval/execution.py
does: the program is the prompt, then the completion; 3 seconds, here of CPU time. A completion may go on where the
prompt ends or be the whole function: defined again, it replaces the prompt's.

- ``paper``: the completion is the first closed fenced block of the text, else the whole text (OpenCompass 0.3.3,
  ``humaneval_postprocess_v2``).
- ``default``: the function and what it needs, out of the block that defines it, closed or not, or out of the text;
  examples, prints and questions to a user are not run. A text that goes on where the prompt ends gets the indent of the
  prompt's function back, and ends with the function and the definitions after it that it needs.
'''

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.benchmarks import _files as files
from kit.benchmarks._reading_time import Reading, run_each
from kit.errors import RequestError
from kit.measures import Measure
from kit.prompts import Pack, fill
from kit.records import Grade, Problem, Turn
from kit.sandbox import Program, Sandbox, source
from kit.sandbox.parsing import Parser, parses

VERSION = 2
ASKS = 1
DATASET = "humaneval"
PROMPTS = ("humaneval",)
SOURCE = "https://github.com/openai/human-eval/blob/6d43fb980f9fee3c892a914eda09951f772ad10d/human_eval/execution.py"
METRICS: Mapping[str, Measure] = {"humaneval": Measure(title="HumanEval")}
RUNS_CODE = True
CPU_S = 3.0
FIELDS = {"task_id": str, "prompt": str, "entry_point": str, "test": str}
FUTURE = re.compile(r"^from[ \t]+__future__[ \t]+import[^\n]*\n", re.MULTILINE)
"""May stand at the start of a file alone, so not behind the prompt."""
FENCED = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def read(path: Path) -> list[Problem]:
    """Read the problems of ``HumanEval.jsonl`` or ``HumanEval.jsonl.gz``.

    Raises:
        RequestError: not the benchmark's format, an id stands twice, or a problem has nothing to be tested by.
    """
    problems = files.problems(path, FIELDS, "task_id")
    for problem in problems:
        name = problem.data["entry_point"]
        if not name.isidentifier():
            raise RequestError(f"{path}: task {problem.id}: entry_point: found {name!r}, wanted a function's name")
        if "def check" not in problem.data["test"]:
            raise RequestError(f"{path}: task {problem.id}: test: no function 'check' in it, so nothing could pass")
        for field, code in (("prompt", helpers(problem)), ("test", problem.data["test"])):
            where = f"{path}: task {problem.id}: {field}"
            try:
                files.check_imports(where, code)
            except (SyntaxError, ValueError) as error:
                raise RequestError(f"{where}: not Python ({error}), so nothing could pass") from error
    return problems


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the chat that asks a problem, in the words of ``pack``."""
    return fill(pack.chat("humaneval"), {name: problem.data[name] for name in ("prompt", "entry_point")})


def first_block(text: str, *_: str) -> str:
    """Return OpenCompass's reading: the first closed fenced block, else the text."""
    match = FENCED.search(text)
    return match[1] if match else text


def function(text: str, entry_point: str) -> str:
    """Return the function with what it needs, or what goes on where the prompt ends; nothing around it."""
    text, parser = source.clean(text), Parser()
    whole = source.program(text, (entry_point,), parser)
    if whole is None:
        return source.body(source.choose(text, (entry_point,), parser)[0], entry_point, parser)
    return "\n" + FUTURE.sub("", whole)


PROTOCOLS: Mapping[str, Callable[..., str]] = {"paper": first_block, "default": function}
"""Protocol -> function that takes the completion from a text; it is put behind the prompt as it is."""


def helpers(problem: Problem) -> str:
    """Return the prompt as a program: a signature that has no docstring gets a body."""
    return _with_body(problem.data["prompt"])


@functools.lru_cache(maxsize=1024)
def _with_body(prompt: str) -> str:
    return prompt if parses(prompt) else f"{prompt}\n    pass\n"


def program(problem: Problem, completion: str) -> Program:
    """Return the program to run: prompt and completion in the candidate, the problem's tests in the tester.

    The tester takes the helpers that some tests use (``poly``, ``encode_shift``) from the prompt, never the completion.
    """
    data = problem.data
    return Program(
        id=problem.id,
        code=data["prompt"] + completion + "\n",
        setup=helpers(problem),
        tests=f"{data['test']}\ncheck({data['entry_point']})",
        names=(data["entry_point"],),
        cpu_s=CPU_S,
    )


def grade(problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None) -> list[Grade]:
    """Return one grade a text, in the order of the problems.

    Args:
        problems: what was asked.
        texts: what was answered, one a problem.
        protocol: ``paper`` or ``default``.
        sandbox: where the completions run.
    """
    if sandbox is None:
        raise ValueError("humaneval: grading runs model-written code and needs a sandbox")
    with Reading(reader, protocol) as reading:
        files.check_tests_run([(p.id, code) for p in problems for code in (helpers(p), p.data["test"])], sandbox)
        codes = reading.each(problems, texts)
    return run_each(sandbox, "humaneval", problems, codes, program)


def reader(protocol: str) -> Callable[[Problem, str], str]:
    """Return the function that takes the completion from one text by a protocol.

    Raises:
        RequestError: no such protocol.
    """
    extract = files.choose(PROTOCOLS, protocol)
    return lambda problem, text: extract(text, problem.data["entry_point"])
