# ruff: noqa: E501 (a text a line)
"""Taking code out of texts: ``paper`` as OpenCompass's own expressions do, ``default`` without what is around it."""

import ast
import functools
import json
import re
import signal
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kit.benchmarks import humaneval, mbpp
from kit.records import Grade, Problem
from kit.sandbox import Sandbox, open_sandbox, parsing

DATASETS = Path(sysconfig.get_path("purelib")) / "opencompass" / "datasets"
PROMPT = 'from typing import List\n\n\ndef twice(x):\n    """ Twice x.\n    """\n'
HUMANEVAL = Problem(
    id="HumanEval/0",
    data={
        "task_id": "HumanEval/0",
        "prompt": PROMPT,
        "entry_point": "twice",
        "test": "def check(candidate):\n    assert candidate(3) == 6\n    assert candidate(0) == 0\n",
    },
)
MBPP = Problem(id="1", data={"text": "", "test_list": ["assert twice(3) == 6", "assert twice(0) == 0"]})
GIVEN = (humaneval, HUMANEVAL), (mbpp, MBPP)
TWICE = "def twice(x):\n    return 2 * x\n"
WORDS = "Sure, here's one (it isn't long:\n```python\n{}\n```\nIt's done."

PROGRAMS = {
    # These were run, so that a right function failed by the example after it.
    "a question to a user": f"{TWICE}\n# Example usage\nnumbers = [int(v) for v in input('n').split()]\nprint(twice(numbers))",
    "an example that fails": f"{TWICE}\nresult = twice('abc', 2)\nprint(result)",
    "names of the example inside the function": "def twice(numbers):\n    result = 2 * numbers\n    return result\n\n"
    "numbers = input().split()\nresult = twice('a', 2)",
    "an assert": f"{TWICE}\nassert twice(1) == 3",
    "main": f"{TWICE}\ndef main():\n    print(twice(int(input())))\n\nif __name__ == '__main__':\n    main()\n",
    "main, called": f"{TWICE}\ndef main():\n    print(twice(int(input())))\n\nmain()\n",
    "a menu": f"{TWICE}\nwhile True:\n    n = int(input('n'))\n    print(twice(n))\n",
    "a loop over cases": f"{TWICE}\nfor case, wanted in [(1, 3)]:\n    assert twice(case) == wanted\n",
    "a try": f"{TWICE}\ntry:\n    n = int(input())\nexcept ValueError:\n    n = 0\nelse:\n    print(n)\n",
    "unittest": f"{TWICE}\nimport unittest\nclass T(unittest.TestCase):\n    def test(self):\n        assert twice(1) == 3\n"
    "unittest.main()\n",
    "pytest": f"{TWICE}\nimport pytest\n@pytest.mark.parametrize('x', [1])\ndef test_twice(x):\n    assert twice(x) == 3\n",
    "a plot": f"{TWICE}\nimport matplotlib.pyplot as plt\nplt.plot([twice(i) for i in range(3)])\n",
    "a file": f"{TWICE}\nwith open('x') as f:\n    data = f.read()\n",
    "an exit": f"{TWICE}\nimport sys\nsys.exit(twice(1))\n",
    "a question before": f"n = int(input())\n{TWICE}print(twice(n))\n",
    "a call over lines": f"{TWICE}print(\ninput()\n)\n",
    # What a function needs stays, wherever it stands.
    "a constant after it": "def twice(x):\n    return FACTOR * x\n\nFACTOR = 2\nprint(twice(int(input())))",
    "constants before it": "A, B = 1, 2\nK: int = 1\nK *= 1\ndef twice(x):\n    return A * B * K * x\n",
    "a helper after it": "def twice(x):\n    return h(x)\n\nprint(twice(2) + missing)\n\ndef h(x):\n    return k(x)\nk = lambda v: 2 * v\n",
    "a decorator": f"import functools\n@functools.lru_cache(maxsize=None)\n{TWICE}assert twice(1) == 3",
    "wrapped afterwards": f"{TWICE}import functools\ntwice = functools.lru_cache(None)(twice)\nprint(twice(3, 4))",
    "a table filled by a call": "P = []\ndef fill():\n    P.append(2)\n\ndef twice(x):\n    return P[0] * x\n\nfill()\nprint(twice(input()))",
    "a table filled by a loop": "def twice(x):\n    return T[x]\n\nT = {}\nfor i in range(9):\n    T[i] = 2 * i\n"
    "for i in range(3):\n    print(twice(i) + input())",
    "an attribute of it": "def twice(x):\n    twice.calls += 1\n    return 2 * x\ntwice.calls = 0\nprint(twice('a', 3))",
    "a counter": "count = 0\ndef twice(x):\n    global count\n    count += 1\n    return 2 * x\ntwice(3, 4)\n",
    "recursion limit": "def twice(x):\n    return 0 if x == 0 else 2 + twice(x - 1)\nimport sys\nsys.setrecursionlimit(5000)\ntwice(input())",
    "settings before it": "from decimal import getcontext, Decimal\ngetcontext().prec = 50\ndef twice(x):\n    return int(Decimal(x) * 2)\n",
    "a class": "class A:\n    F = 2\n    def m(self, x):\n        return self.F * x\n\ndef twice(x):\n    return A().m(x)\n\na = A(1)\n",
    "a value that is taken at once": "N = 2\nclass A:\n    F = N\ndef twice(x):\n    return A.F * x\nN = int(input())",
    "imports in the middle": "import math\ndef h(x):\n    return math.floor(x)\n\nfrom operator import mul\ndef twice(x):\n    return mul(2, h(x))\n",
    "all of a module": "from math import *\ndef twice(x):\n    return int(floor(2 * x))\nprint(sqrt('a'))",
    "a future": "from __future__ import annotations\ndef twice(x: int) -> int:\n    return 2 * x\nx: Foo = Foo(1)",
    "an import that may fail": "try:\n    import nowhere as n\nexcept ImportError:\n    n = None\ndef twice(x):\n    return 2 * x if n is None else 0\n",
    "a lambda": "twice = lambda x: 2 * x\nprint(twice(1, 2))",
    "by text": "def twice(x):\n    return eval('h(x)')\ndef h(x):\n    return 2 * x\nprint(h(int(input())))",
    "written twice": "def twice(x):\n    return x\nprint(twice(1))\ndef twice(x):\n    return 2 * x\n",
    "one line": "import sys; K = 2\ndef twice(x): return K * x\nx = 3; print(twice(x, 1))",
    # What is added to a needed class or function afterwards was left out.
    "an attribute of a class": "class A: pass\nA.k = 2\ndef twice(x):\n    return A.k * x\nA.k = twice(input())\n",
    "a method of a class": "class A:\n    pass\ndef m(self, x):\n    return 2 * x\nA.m = m\ndef twice(x):\n    return A().m(x)\n",
    "an item of a helper": "def h(x): return h.t['k'] * x\nh.t = {}\nh.t['k'] = 2\ndef twice(x):\n    return h(x)\n",
    "registered by a decorator": "R = {}\ndef reg(f):\n    R[f.__name__] = f\n    return f\n@reg\ndef dbl(x):\n    return 2 * x\n"
    "def twice(x):\n    return R['dbl'](x)\n",
    "registered by name": "R = {}\ndef reg(name):\n    return lambda f: R.setdefault(name, f)\n@reg('d')\ndef dbl(x):\n    return 2 * x\n"
    "def twice(x):\n    return R['d'](x)\n",
    "single dispatch": "from functools import singledispatch\n@singledispatch\ndef twice(x):\n    return 0\n@twice.register\n"
    "def _(x: int):\n    return 2 * x\n",
    "an example with a class": "class N:\n    def __init__(self, v): self.v = v\ndef twice(x):\n    return 2 * N(x).v\nroot = N(1)\n"
    "root.left = N()\nroot.left.v = input()\nN(3, 4)\n",
    # What only looks like code, or like its end.
    "text at the margin": 'DOC = """\nimport this text\ndef nothing\n"""\ndef twice(x):\n    """Twice.\n\nAt the margin: def x\n    """\n'
    "    return 2 * x\nprint(input())",
    "line separators in a string": "K = 'a\u2028b\x0c'\ndef twice(x):\n    return 2 * x if len(K) == 4 else 0\n",
    "prose between": TWICE.replace("2 * x", "h(x)") + "\nIt isn't here, it's below:\n\ndef h(x):\n    return 2 * x\n\nThat's all.",
    "much prose": "Sure!\n\nIt's easy.\n\nI don't know (really.\n\n" + TWICE + "\nHow it works:\n1. It's a function.\n- `x`\n\n**Note**: so.\n\n"
    "Example:\n\nprint(twice(2))  # 4\n>>> twice(3)\n6\n",
    "tabs": "def twice(x):\n\tif x:\n\t\treturn 2 * x\n\treturn 0\n\nprint(input())\n",
}  # fmt: skip
WRAPPED = {
    "in a list": "1. So:\n\n   ```python\n   def twice(x):\n       return 2 * x\n   ```\n2. Done",
    # The block ended in the docstring.
    "fences in a docstring": '```python\ndef twice(x):\n    """Twice.\n\n    ```\n    twice(1)\n    ```\n    """\n    return 2 * x\n```\nSo.',
    "fences in a docstring, at the margin": '```python\ndef twice(x):\n    """Twice.\n```\ntwice(1)\n```\n    """\n    return 2 * x\n```\nSo.',
    "fences in a docstring, none around": 'def twice(x):\n    """Twice.\n\n    ```python\n    twice(1)\n    ```\n    """\n    return 2 * x\n',
    "fence behind the code": f"```python\n{TWICE.rstrip()}```\nFor instance\n```python\nprint(twice(input()))\n```",
    "all on one line": "Use ```def twice(x): return 2 * x``` here.",
    "code behind the fence": f"```python {TWICE}```",
    "words before the fence": f"Here: ```python\n{TWICE}```",
    "tildes": f"~~~python\n{TWICE}~~~\n",
    "longer fence": f"````python\n{TWICE}````\n",
    "a fence forgotten": f"```python\nimport math\n```python\n{TWICE}```\n",
    "a constant in another block": "First\n```python\nK = 2\nprint(input())\n```\nThen\n```python\ndef twice(x):\n    return K * x\n```\n",
    "a helper in a later block": "```python\ndef twice(x):\n    return h(x)\n```\nwith\n```python\ndef h(x):\n    return 2 * x\nh(input())\n```\n",
    "an import in another block": "```python\nimport math\n```\n```python\ndef twice(x):\n    return int(math.sqrt(4)) * x\n```\n",
    # The task's empty function was taken for the answer.
    "an empty function first": f"```python\ndef twice(x):\n    # your code\n    pass\n```\nSo:\n```python\n{TWICE}```",
    "the prompt first": f"```python\n{PROMPT}```\nSo:\n```python\n{TWICE}```",
    "not implemented first": f"```\ndef twice(x):\n    raise NotImplementedError('x')\n```\n```\n{TWICE}```\n```\n{TWICE}```",
    "dots first": f"```\ndef twice(x): ...\n```\n```\n{TWICE}```",
    "shell before, output after": f"```bash\npip install x\n```\n```python\n{TWICE}```\n```\n6\n```",
    "another language before": f"```js\nfunction twice(x) {{}}\n```\n```\n{TWICE}```",
    "never closed": f"Here:\n```\n{TWICE}print(input())",
    "closed, never opened": f"{TWICE}```\nThis doubles.",
    "end of the turn": f"{TWICE}<|im_end|>\n<|im_start|>user\nMore!",
    "end of the turn behind a fence": f"```python\n{TWICE}```<|eot_id|>",
    "end of the text, twice": f"{TWICE}</s></s>",
    "start of the turn": f"<|im_start|>assistant\n{TWICE}<|im_end|>",
    "its mark in a string": "def twice(x):\n    return 2 * x if len('</s>') == 4 else 0\n",
    "all indented": "    def twice(x):\n        return 2 * x\n",
    "carriage returns": f"{TWICE}print(input())\n".replace("\n", "\r\n"),
}  # fmt: skip
BODIES = {
    "two spaces": "  if x:\n    return 2 * x\n  return 0",
    "eight spaces": "        if x:\n            return 2 * x\n        return 0\n",
    "tabs": "\tif x:\n\t\treturn 2 * x\n\treturn 0",
    "no indent at all": "y = x\nif y:\n    y = 2 * y\nreturn y\n\nprint(twice(input()))",
    "no indent, fenced": "```python\ny = [\n    x,\n]\nreturn 2 * y[0]\n```",
    "the prompt's fence closed": "    return 2 * x\n```\n\nThis doubles.\n```python\nprint(twice(input()))\n```",
    "a helper after it": "    return h(x) * K\n\ndef h(x):\n    return 2 * x\nK = 1\nx = int(input())\nprint(twice(x))",
    "an import after it": "    return math.floor(2 * x)\n\nimport math\n",
    "a comment at the margin": "    y = 2\n# then\n    return y * x\n",
    "fences in its docstring": '    """Doc\n\n    ```\n    a\n    ```\n    """\n    return 2 * x\n',
    "prose after it": "    return 2 * x\n\nIt's done (see above.\n",
}
MARKED = {
    # The quote before the mark was taken from the code.
    "the code's own quote": "[BEGIN]\ndef twice(x):\n    return 2 * x if 'b' else 'b'\n[DONE]",
    "three of them": "[BEGIN]\ndef twice(x):\n    return 2 * x if 1 else '''a'''\n[DONE]",
    "its own and the mark's": "[BEGIN]\n 'def twice(x):\n    return 2 * x if 1 else 'b'' \n[DONE]",
    "opened, not closed": "[BEGIN]\n 'def twice(x):\n    return 2 * x if 1 else 'b' \n[DONE]",
    "opened by the prompt": "def twice(x):\n    return 2 * x if 1 else 'b'\n[DONE]\n[BEGIN]\n'x'\n[DONE]",
    "closed alone": f"{TWICE}'\n[DONE]",
    "the mark in a string": "[BEGIN]\ndef twice(x):\n    s = '[DONE]'\n    return 2 * x if len(s) == 6 else s\n[DONE]",
    "a docstring first": f"[BEGIN]\n'''doc'''\n{TWICE}\n[DONE]",
    "a fence in the marks": f"Sure:\n[BEGIN]\n```python\n{TWICE}print(input())\n```\n[DONE]\nDone.",
    "the marks in a fence": f"```python\n[BEGIN]\n{TWICE}[DONE]\n```",
    "no brackets": f"BEGIN\n'{TWICE}'\nDONE",
    "nothing between": f"[BEGIN][DONE]\n{TWICE}",
}
WRONG = {
    "a method of a class": "class Solution:\n    def twice(self, x):\n        return 2 * x\n",
    "another name": "def double(x):\n    return 2 * x\n",
    "cut off in the function": "def twice(x):\n    return 2 * (x",
    "a constant that is nowhere": "def twice(x):\n    return FACTOR * x\n",
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


def failing(texts: dict[str, str], sandbox: Sandbox, given: Any, protocol: str = "default") -> dict[str, str]:
    """The names of the texts that are graded wrong, with what was run of them."""
    module, problem = given
    grades: list[Grade] = module.grade([problem] * len(texts), list(texts.values()), protocol, sandbox)
    return {
        name: f"{grade.reason}\n{grade.answer}"
        for name, grade in zip(texts, grades, strict=True)
        if not next(iter(grade.scores.values()))[0]
    }


@pytest.mark.parametrize("given", GIVEN, ids=["humaneval", "mbpp"])
@pytest.mark.parametrize("wrap", ["{}", WORDS], ids=["bare", "fenced"])
def test_default_runs_a_function_and_what_it_needs(wrap: str, given: Any, sandbox: Sandbox) -> None:
    assert failing({name: wrap.format(text) for name, text in PROGRAMS.items()}, sandbox, given) == {}


@pytest.mark.parametrize("given", GIVEN, ids=["humaneval", "mbpp"])
def test_default_finds_the_code(given: Any, sandbox: Sandbox) -> None:
    assert failing(WRAPPED, sandbox, given) == {}


def test_default_goes_on_where_the_prompt_ends(sandbox: Sandbox) -> None:
    assert failing(BODIES, sandbox, GIVEN[0]) == {}


def test_default_reads_between_the_marks(sandbox: Sandbox) -> None:
    assert failing(MARKED, sandbox, GIVEN[1]) == {}


@pytest.mark.parametrize("given", GIVEN, ids=["humaneval", "mbpp"])
def test_default_makes_nothing_right(given: Any, sandbox: Sandbox) -> None:
    assert set(failing(WRONG, sandbox, given)) == set(WRONG)


def test_paper_runs_the_examples(sandbox: Sandbox) -> None:
    run = ("a question to a user", "an example that fails", "an assert", "a menu", "an exit")
    for benchmark in GIVEN:
        assert set(failing({name: PROGRAMS[name] for name in run}, sandbox, benchmark, "paper")) == set(run)


def test_what_default_keeps_is_the_text_itself() -> None:
    text = "import math\n\n# twice\ndef twice(x):\n    # so\n    return 2 * x\n\nx = 1\nprint(x)\n"
    assert mbpp.function(text, "twice") == "def twice(x):\n    # so\n    return 2 * x\n"
    assert mbpp.function("K = 2\n\n# twice\ndef twice(x):\n    return K * x\n", "twice") == (
        "K = 2\n\n# twice\ndef twice(x):\n    return K * x\n"
    )


def field_rows(reference_data: Path) -> list[dict[str, Any]]:
    lines = (reference_data / "field/graders.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["benchmark"] in ("humaneval", "mbpp")]


def test_texts_from_the_field(sandbox: Sandbox, reference_data: Path) -> None:
    lists = "from typing import List\n\n\ndef twice(xs: List[int]) -> List[int]:\n"
    prompt = f'{lists}    """ Twice each.\n    """\n'
    test = "def check(candidate):\n    assert candidate([1, 2]) == [2, 4]\n"
    of = {
        "humaneval": (humaneval, {"prompt": prompt, "entry_point": "twice", "test": test}),
        "mbpp": (mbpp, {"test_list": ["assert f('x') == 'a'", "assert f('') == 'b'"]}),
    }
    for row in field_rows(reference_data):
        module, data = of[row["benchmark"]]
        for protocol in ("default", "paper"):
            if row[protocol] is not None:
                (grade,) = module.grade([Problem(id="1", data=data)], [row["text"]], protocol, sandbox)
                assert grade.scores == {row["benchmark"]: [int(row[protocol]), 1]}, (row, protocol, grade.answer)


@functools.cache
def opencompass(file: str, name: str, cls: str = "") -> Callable[..., str]:
    """One function out of the installed wheel's file; the package is never imported."""
    if not (DATASETS / file).exists():
        pytest.skip("opencompass is not installed")
    body = ast.parse((DATASETS / file).read_text()).body
    if cls:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == cls)
    (found,) = [node for node in body if getattr(node, "name", "") == name]
    namespace: dict[str, Any] = {"re": re}
    exec(compile(ast.Module([found], []), file, "exec"), namespace)
    function: Callable[..., str] = namespace[name]
    return function


MARKS = ["[BEGIN]", "BEGIN", "[DONE]", "DONE", "[", "]", "'", "''", "```", "```python", "`", "python"]
BETWEEN = ["\n", " ", "\t", "\xa0", "\x1c", "\u2028", "a", "D", "def f", "\\_", "_", "é"]
PIECES = st.sampled_from(MARKS + BETWEEN)


@settings(max_examples=3000, deadline=None)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_paper_takes_what_opencompass_takes_from_any_text(text: str) -> None:
    process = opencompass("mbpp.py", "_process_answer", "MBPPEvaluator")
    assert mbpp.PROTOCOLS["paper"](text, "twice") == process(None, text)
    assert humaneval.PROTOCOLS["paper"](text, "twice") == opencompass("humaneval.py", "humaneval_postprocess_v2")(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(PIECES, st.sampled_from([TWICE, "x = 1", "(", '"""', ":", "=", "@a", "\\"])), max_size=24))
def test_default_reads_any_text(pieces: list[str]) -> None:
    text = "".join(pieces)
    for function in (mbpp.function, humaneval.function):
        assert isinstance(function(text, "twice"), str)


N = 60_000
LONG = {
    # These took minutes: the patterns looked at every end of a run from every start of it.
    "line breaks before DONE": "[BEGIN]" + "\n" * N + "DONE",
    "a fence and line breaks": "```" + "\n" * N,
    "line breaks before a quote and DONE": f"{TWICE}" + "\n" * N + "' " + " " * N + "[DONE]",
    "spaces in a quote": "[BEGIN]'" + " " * N + "'" + " " * N + "DON",
    "a name, a colon and spaces": "x:" + " " * N,
    "a fence and spaces": "```" + " " * N + "!",
    "fences": "```\n" * N,
    "backquotes": "`" * N,
    "quotes": "'\n" * N + "[DONE]",
    "open strings in blocks": "```\n\"\"\"\n'''\n" * (N // 5),
    "three quotes": '"""' * N,
    "begins": "[BEGIN]" * N,
    "ends": "DONE " * N,
    "marks of turns": "<|im_end|> a" * N,
    "brackets": "(" * N,
    "helpers in a row": "def twice(x): return a0\n" + "".join(f"def a{i}(): return a{i + 1}\n" for i in range(N // 30)),
    "one name, many times": "def twice(x): return a\n" + "def a(): return a\n" * (N // 30),
    "many names at once": "def twice(x): return a\n" + "=".join(f"a{i}" for i in range(N // 10)) + "=1\n",
    "prose and code in turn": f"{TWICE}" + "It's so (\nx = 1\n" * (N // 20),
    "many blocks": "".join(f"```\nx{i} = y\n```\n" for i in range(N // 20)) + "```\ndef twice(x): return z0 + z1\n```",
    "sums": f"{TWICE}" + "y = 1" + " + 1" * N,
    "attributes": f"{TWICE}" + "y = a" + ".b" * N,
    "signs": f"{TWICE}" + "y = " + "-" * N + "1",
}
GENEROUS_CPU_S = 30.0


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Fail after so much CPU time of this process, however busy the machine is."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still running after {seconds} CPU seconds")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("text", LONG.values(), ids=LONG)
@pytest.mark.parametrize("module", [humaneval, mbpp], ids=["humaneval", "mbpp"])
def test_long_texts_are_read_in_linear_time(text: str, module: Any) -> None:
    # A square of 60,000 steps takes minutes, a cube years; what is linear takes a second at most.
    with cpu_limit(GENEROUS_CPU_S):
        for protocol in ("paper", "default"):
            module.PROTOCOLS[protocol](text, "twice")


def test_runs_of_line_breaks_give_what_the_patterns_gave() -> None:
    process = opencompass("mbpp.py", "_process_answer", "MBPPEvaluator")
    for text in ("[BEGIN]" + "\n" * 40 + "DONE", "```" + "\n" * 40, "[BEGIN]\n '" + "\n" * 40 + "' \n" + "[DONE]"):
        assert mbpp.first_pattern(text, "") == process(None, text) == ""


@pytest.mark.parametrize(
    ("code", "parses"),
    [("x = 1", True), ("x = '\\d'", True), ("x =", False), ("a\0b", False), ("-" * 50_000 + "1", False), ("", True)],
)
def test_parses(code: str, parses: bool) -> None:
    assert parsing.parses(code) is parses
