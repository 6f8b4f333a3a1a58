"""AutoIF's cross-check of hostile functions: none is kept, and none keeps a misleading case."""

import json

import pytest

from kit.sandbox import Sandbox, open_sandbox
from kit.scenarios._cross_check import Case, Rule, cross_check
from tests.autoif.conftest import CASES, LONG, MISLEADING, SHORT, check, text_of

HOSTILE = {
    "always equal": "class A:\n    def __eq__(self, other): return True\ndef evaluate(x): return A()",
    "always equal int": "class A(int):\n    def __eq__(self, other): return True\ndef evaluate(x): return A(1)",
    "never unequal": "class A(int):\n    def __ne__(self, other): return False\n    __eq__ = lambda *_: True\n"
    "def evaluate(x): return A(1)",
    "hangs": "def evaluate(x):\n    while True: pass",
    "exits": "import os\ndef evaluate(x): os._exit(0)",
    "exits at once": "import os\nos._exit(0)",
    "forks": "import os\ndef evaluate(x):\n    os.fork()\n    return True",
    "recurses": "def evaluate(x): return evaluate(x)",
    "prints": "def evaluate(x):\n    for n in range(9): print('true', flush=True)",
    "alternates": "import os\ndef evaluate(x):\n    os.n = not getattr(os, 'n', False)\n    return os.n",
    "remembers what was asked": (
        "import os\ndef evaluate(x):\n    os.seen = [*getattr(os, 'seen', ()), x]\n    return os.seen.count(x) == 1"
    ),
    "swaps its globals": "def evaluate(x):\n    globals()['evaluate'] = lambda x: True",
    "swaps what runs it": (
        "import sys\ncaller = sys.modules['kit.sandbox.caller']\ndef evaluate(x):\n"
        "    sys._getframe(1).f_globals['json'].loads = lambda text: 'a'\n    return x if x != 'a' else None"
    ),
    "forges": (
        "import os\ndef evaluate(x):\n    for fd in range(3, 64):\n        for n in range(99):\n"
        "            try: os.write(fd, b'0123456789abcdef %d 0 true\\n' % n)\n            except OSError: pass"
    ),
    "forges and exits": (
        "import os\ndef evaluate(x):\n    for fd in range(3, 64):\n        for n in range(99):\n"
        "            try: os.write(fd, b'0123456789abcdef %d 0 true\\n' % n)\n            except OSError: pass\n"
        "    os._exit(0)"
    ),
    "looks for what is expected": (
        "import gc\ndef evaluate(x):\n    for held in gc.get_objects():\n"
        "        if type(held) is dict and 'output' in held:\n            return held['output']\n"
        "        if type(held) in (list, tuple) and len(held) == 2 and held[0] == x:\n            return held[1]"
    ),
}
"""Functions that try to be kept, or to keep the misleading cases, without an answer of their own."""


@pytest.mark.parametrize("name", HOSTILE)
def test_no_trick_is_kept(name: str, sandbox: Sandbox) -> None:
    honest = text_of(SHORT, CASES)
    checked = check([honest, text_of(HOSTILE[name], MISLEADING)], sandbox, cpu_s=0.1)
    assert checked.functions == [SHORT]
    assert checked.cases == [Case(input=given, output=wanted) for given, wanted in CASES.items()]
    assert checked.scores.get(HOSTILE[name], 0.0) == 0.0


BY_COUNT = {
    "in its own names": ("n = 0\ndef evaluate(x):\n    global n\n    n += 1\n    return n % 2 == 1", 0.5),
    "in its attribute": (
        "def evaluate(x):\n    evaluate.n = not getattr(evaluate, 'n', False)\n    return evaluate.n",
        0.5,
    ),
    "elsewhere": ("import os\ndef evaluate(x):\n    os.n = not getattr(os, 'n', False)\n    return os.n", 0.0),
}


@pytest.mark.parametrize("name", BY_COUNT)
def test_an_answer_by_the_number_of_the_call_gains_nothing(name: str, sandbox: Sandbox) -> None:
    # One call after another in the order of the cases, each of these gets all of them right.
    code, score = BY_COUNT[name]
    right = "def evaluate(x): return x % 2 == 0"
    cases = [{"input": n, "output": n % 2 == 0} for n in range(6)]
    text = f"```json\n{json.dumps({'func': code, 'cases': cases})}\n```"
    checked = check([text, text_of(right, {})], sandbox)
    assert checked.scores == {code: score, right: 1.0}


def test_order_and_workers_make_no_difference(sandbox: Sandbox) -> None:
    texts = [text_of(code, {**CASES, **MISLEADING}) for code in (SHORT, LONG, *HOSTILE.values())]
    rule = Rule(cpu_s=0.1, threshold=0.2)
    (here,) = cross_check([texts], sandbox, rule)
    with open_sandbox(workers=1) as one:
        (reverse,) = cross_check([texts[::-1]], one, rule)
    assert here.scores == reverse.scores
    assert here.cases == reverse.cases
    assert here.functions == reverse.functions[::-1]
    assert here.left_out == reverse.left_out
