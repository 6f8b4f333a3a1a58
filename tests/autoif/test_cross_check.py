"""AutoIF's cross-check: what a text holds, what is kept, what can't pay, and the results of AutoIF's own records."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.records import read_rows, write_rows
from kit.sandbox import Function, Sandbox, open_sandbox
from kit.scenarios._autoif_rows import WithFunctions
from kit.scenarios._cross_check import Case, Rule, cross_check, parse

ROOT = Path(__file__).resolve().parents[2]
SHORT = "def evaluate(response):\n    return len(response) < 4"
SHORT_TOO = "def evaluate(response):\n    return not len(response) >= 4"
LONG = "def evaluate(response):\n    return len(response) >= 4"
YES = "def evaluate(response):\n    return True"
CASES = {"a": True, "bb": True, "ccc": True, "dddd": False, "eeeee": False}
"""Input -> what a right function gives."""
MISLEADING = {"f": False, "ffffff": True}
"""Input -> what no right function gives."""
BROKEN = "def evaluate(response)\n    return True"


def text_of(function: Any, cases: dict[str, Any]) -> str:
    held = {"func": function, "cases": [{"input": given, "output": wanted} for given, wanted in cases.items()]}
    return f"Here it is.\n```json\n{json.dumps(held)}\n```\nIt checks the length."


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox() as opened:
        yield opened


PARSED = {
    "function and cases": (text_of(YES, {"a": True, "b": "no"}), (YES, [("a", True), ("b", "no")], "", 0)),
    "no block": ('{"func": "", "cases": []}', ("", [], "text without a block of JSON", 0)),
    "another block": ('```python\n{"func": ""}\n```', ("", [], "text without a block of JSON", 0)),
    "block without an end": ('```json\n{"func": ""}', ("", [], "text without a block of JSON", 0)),
    "first of two blocks": ('```json\n{"func": "x"}\n``` ```json\n{"func": "y"}\n```', ("x", [], "", 0)),
    "first of two blocks is broken": (
        '```json\n{\n``` ```json\n{"func": "y"}\n```',
        ("", [], "text with broken JSON", 0),
    ),
    "Python's True": ('```json\n{"func": True}\n```', ("", [], "text with broken JSON", 0)),
    "line feed in a string": ('```json\n{"func": "x\n"}\n```', ("", [], "text with broken JSON", 0)),
    "whole number too long": (f'```json\n{{"func": {"1" * 5000}}}\n```', ("", [], "text with broken JSON", 0)),
    "nested too deep": (f"```json\n{'[' * 10**5}\n```", ("", [], "text with broken JSON", 0)),
    "list": ('```json\n["func"]\n```', ("", [], "text without a function", 0)),
    "no function": ('```json\n{"cases": []}\n```', ("", [], "text without a function", 0)),
    "function that is no text": (text_of(1, {"a": 1}), ("", [], "text without a function", 0)),
    "no cases": ('```json\n{"func": "x"}\n```', ("x", [], "", 0)),
    "cases that are no list": ('```json\n{"func": "x", "cases": {"input": 1, "output": 2}}\n```', ("x", [], "", 0)),
    "case without an output": (
        '```json\n{"func": "x", "cases": [{"input": 1}, 2, {"input": [3], "output": null}]}\n```',
        ("x", [([3], None)], "", 2),
    ),
    "lines removed": (text_of("\nimport requests\nx\nnltk.download('y')\nz\n", {}), ("x\nz", [], "", 0)),
}


@pytest.mark.parametrize("name", PARSED)
def test_a_text_holds(name: str) -> None:
    text, (function, cases, reason, left_out) = PARSED[name]
    sample = parse(text)
    found = [(case.input, case.output) for case in sample.cases]
    assert (sample.function, found, sample.reason, sample.left_out) == (function, cases, reason, left_out)


def check(texts: list[str], sandbox: Sandbox, **rule: Any) -> Any:
    (checked,) = cross_check([texts], sandbox, Rule(**rule))
    return checked


def test_functions_and_cases_check_each_other(sandbox: Sandbox) -> None:
    texts = [
        text_of(SHORT, CASES),
        text_of(SHORT_TOO, {"a": True, **MISLEADING}),
        text_of(LONG, {}),
        text_of(SHORT, {"bb": True}),
        text_of(BROKEN, {"from a function that does not load": True}),
        text_of("import nltk\n" + YES, {}),
        "no block",
    ]
    checked = check(texts, sandbox)
    # LONG agrees with the misleading ones, so that they are kept; it gets 2 of 7 right, the others 5.
    assert checked.functions == []
    assert {given: round(score, 4) for given, score in checked.scores.items()} == {
        SHORT: 0.7143,
        SHORT_TOO: 0.7143,
        LONG: 0.2857,
    }
    assert [case.input for case in checked.cases] == [*CASES, *MISLEADING]
    assert checked.reason == "no function that reaches the threshold"
    assert checked.left_out == {
        "text without a block of JSON": 1,
        "function that does not load: failed: SyntaxError": 1,
        "function that does not load: failed: ModuleNotFoundError": 1,
        "function below the threshold": 3,
    }
    kept = check(texts, sandbox, threshold=0.7)
    assert (kept.functions, kept.reason) == ([SHORT, SHORT_TOO], "")
    without = check([text for text in texts if text != texts[2]], sandbox)
    assert (without.functions, without.reason) == ([SHORT, SHORT_TOO], "")
    assert without.cases == [Case(input=given, output=wanted) for given, wanted in CASES.items()]
    assert set(without.scores.values()) == {1.0}


DROPPED = {
    "no text": ([], {}, "no function that loads"),
    "no function": (["x"], {}, "no function that loads"),
    "none loads": ([text_of(BROKEN, CASES)], {}, "no function that loads"),
    "no case": ([text_of(SHORT, {})], {}, "too few cases"),
    "its case goes with its function": ([text_of(SHORT, {}), text_of(BROKEN, CASES)], {}, "too few cases"),
    "two functions": ([text_of(SHORT, CASES), text_of(YES, {})], {"minimum_functions": 3}, "too few functions"),
    "equal functions": ([text_of(SHORT, CASES)] * 8, {"minimum_functions": 2}, "too few functions"),
    "five cases": ([text_of(SHORT, CASES)] * 8, {"minimum_cases": 6}, "too few cases"),
    "no case agreed": ([text_of(SHORT, MISLEADING)], {}, "no case that a function agrees with"),
    "texts for truth": ([text_of(SHORT, {"a": "True"})], {}, "no case that a function agrees with"),
    "nothing expected": ([text_of("def evaluate(x): pass", {"a": None})], {}, "no case that a function agrees with"),
    "another name": ([text_of("def check(x): return True", {"a": True})], {}, "no case that a function agrees with"),
    "1 by type": (
        [text_of("def evaluate(x): return 1", {"a": True})], {"by_type": True}, "no case that a function agrees with",
    ),
    "parts by type": (
        [text_of("def evaluate(x): return [{'k': 1}]", {"a": [{"k": True}]})], {"by_type": True},
        "no case that a function agrees with",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DROPPED)
def test_a_constraint_is_dropped(name: str, sandbox: Sandbox) -> None:
    texts, rule, reason = DROPPED[name]
    checked = check(texts, sandbox, **rule)
    assert (checked.functions, checked.reason) == (checked.functions[:0], reason)


KEPT = {
    "1 as ==": ([text_of("def evaluate(x): return 1", {"a": True})], {}),
    "1 by type": ([text_of("def evaluate(x): return 1", {"a": 1})], {"by_type": True}),
    "list": ([text_of("def evaluate(x): return [x, {'k': None}]", {"a": ["a", {"k": None}]})], {"by_type": True}),
    "helper beside it": (
        [text_of("import re\nWORD = re.compile('a')\ndef evaluate(x): return bool(WORD.match(x))", {"a": True})],
        {},
    ),
    "numpy's bool": (
        [text_of("import numpy as np\ndef evaluate(x): return np.all([True])", {"a": True})],
        {"by_type": True},
    ),
    "four of five": ([text_of(SHORT, {**CASES, "dddd": True}), text_of(YES, {})], {}),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_constraint_is_kept(name: str, sandbox: Sandbox) -> None:
    texts, rule = KEPT[name]
    checked = check(texts, sandbox, **rule)
    assert (checked.functions, checked.reason) == ([parse(text).function for text in texts], "")


BEYOND_ROWS = {
    "infinity": ("Infinity", 1),
    "minus infinity inside": ('{"a": [-Infinity]}', 1),
    "no number": ("NaN", 1),
    "a number too large": ("1e999", 1),
    "nested too deep": ("[" * 98 + "]" * 98, 1),
    "nested deeper than Python goes": ("[" * 900 + "]" * 900, 1),
    "nested as deep as rows are read": ("[" * 97 + "]" * 97, 0),
    "a large number": ("1e308", 0),
}
"""Input of a case as JSON, and how many of the two cases are left out for it."""


@pytest.mark.parametrize("name", BEYOND_ROWS)
def test_what_is_kept_can_be_written_and_read(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    # such a case was kept, and then no row could be written, or the next step could not read it: the error had no
    # word about a case, and all constraints were lost for it
    given, left_out = BEYOND_ROWS[name]
    case = f'{{"input": {given}, "output": true}}, {{"input": 1, "output": 1}}'
    text = f'```json\n{{"func": {json.dumps(YES)}, "cases": [{case}]}}\n```'
    checked = check([text], sandbox)
    assert len(checked.cases) == 2 - left_out
    reason = "case with an infinite number, or nested too deep"
    assert checked.left_out == ({reason: 1} if left_out else {})
    cases = [{"input": case.input, "output": case.output} for case in checked.cases]
    row = WithFunctions(id="a", instruction="b", functions=list(checked.functions), cases=cases)
    write_rows(tmp_path / "rows.jsonl", [row])
    assert read_rows(tmp_path / "rows.jsonl", WithFunctions) == [row]


def test_only_what_was_kept_counts(sandbox: Sandbox) -> None:
    one, other = cross_check([[text_of(SHORT, MISLEADING), "x"], [text_of(SHORT, CASES)]], sandbox, Rule())
    assert (one.cases, one.left_out) == ([], {
        "text without a block of JSON": 1, "case that no function agrees with": 2, "function below the threshold": 1,
    })  # fmt: skip
    assert (len(other.cases), other.left_out) == (5, {})


EQUAL_BUT_LONGER = {
    "float for a number": ("float(x)", "10000000000000000000000", "10000000000000000000000"),
    "number for a float": ("int(x)", "1e308", "1e308"),
    "numbers for floats": ("[int(n) for n in x]", "[1e308, 1e307]", "[1e308, 1e307]"),
    "spaces and escapes": ("x", r'{"\u00e4": ["\u00e4", {}]}', r'{"ä":["ä",{}]}'),
    "longer than most": ("x", json.dumps(["x" * 3000] * 9), json.dumps(["x" * 3000] * 9)),
}
"""Expression that a function returns, an input, and the expected output: equal, whatever the lengths of their texts."""


@pytest.mark.parametrize("name", EQUAL_BUT_LONGER)
def test_an_equal_value_counts_whatever_its_length(name: str, sandbox: Sandbox) -> None:
    value, given, wanted = EQUAL_BUT_LONGER[name]
    code = f"def evaluate(x): return {value}"
    text = f'```json\n{{"func": {json.dumps(code)}, "cases": [{{"input": {given}, "output": {wanted}}}]}}\n```'
    assert check([text], sandbox).scores == {code: 1.0}


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


BAD = {
    "threshold of 0": (
        {"threshold": 0},
        "cross-check: threshold: found 0, wanted a share above 0 and at most 1; the protocol's is 0.8",
    ),
    "threshold in percent": (
        {"threshold": 80},
        "cross-check: threshold: found 80, wanted a share above 0 and at most 1; the protocol's is 0.8",
    ),
    "threshold that is no number": (
        {"threshold": float("nan")},
        "cross-check: threshold: found nan, wanted a share above 0 and at most 1; the protocol's is 0.8",
    ),
    "no function wanted": (
        {"minimum_functions": 0},
        "cross-check: minimum_functions: found 0, wanted a whole number of 1 or more; the paper's repository has 1 "
        "function and 1 case, AutoIF's has 3 and 10",
    ),
    "half a case": (
        {"minimum_cases": 2.5},
        "cross-check: minimum_cases: found 2.5, wanted a whole number of 1 or more; the paper's repository has 1 "
        "function and 1 case, AutoIF's has 3 and 10",
    ),
    "no time": (
        {"cpu_s": 0},
        "cross-check: cpu_s: found 0, wanted CPU seconds of one call from 0.01 to 600; the protocol's limit is 5",
    ),
    "a word for a truth": ({"by_type": "yes"}, "cross-check: by_type: found 'yes', wanted true or false"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_rule_out_of_range(name: str) -> None:
    given, message = BAD[name]
    with pytest.raises(RequestError) as caught:
        Rule(**given)
    assert str(caught.value) == message


def test_a_sample_that_is_no_text(sandbox: Sandbox) -> None:
    with pytest.raises(RequestError) as caught:
        cross_check([["x"], ["x", 7]], sandbox, Rule())  # type: ignore[list-item]
    assert str(caught.value) == (
        "cross-check: constraint 2, sample 2: found 7, wanted the text that a model wrote; the rows of an earlier step "
        "may be of another version"
    )


def test_an_input_that_json_cannot_hold(sandbox: Sandbox) -> None:
    with pytest.raises(RequestError) as caught:
        sandbox.call_functions([Function(id="f", code=YES, name="evaluate", inputs=({1},))])
    assert str(caught.value) == (
        "sandbox: function f: inputs: Object of type set is not JSON serializable; wanted what JSON can hold, since no "
        "other value can be handed to a model's code"
    )


def records(shared: Path, name: str) -> list[dict[str, Any]]:
    lines = (shared / "data" / "autoif" / "sample_data" / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "count"), [("back_trans.jsonl", 5), ("query_rft.jsonl", 20)])
def test_scores_of_autoifs_own_records(name: str, count: int, shared: Path, sandbox: Sandbox) -> None:
    rows = records(shared, name)
    samples = [[text_of(code, {}) for code, _ in row["eval_func"]] for row in rows]
    for row, texts in zip(rows, samples, strict=True):
        texts[0] = text_of(row["eval_func"][0][0], dict(row["cases"]))
    found = cross_check(samples, sandbox, Rule())
    assert len(rows) == count
    assert [checked.scores for checked in found] == [dict(row["eval_func"]) for row in rows]
    assert [len(checked.cases) for checked in found if any(checked.scores.values())] == [
        len(row["cases"]) for row in rows if any(score for _, score in row["eval_func"])
    ]


@pytest.mark.shared
@pytest.mark.parametrize("rule", [Rule(), Rule(minimum_functions=3, minimum_cases=10), Rule(by_type=True)])
def test_what_is_kept_of_autoifs_own_texts(rule: Rule, shared: Path, sandbox: Sandbox) -> None:
    found = cross_check([row["gpt-answer"] for row in records(shared, "eval_func_rft.jsonl")], sandbox, rule)
    assert [(len(checked.functions), len(checked.cases)) for checked in found] == [
        (2, 16),
        (3, 13),
        (0, 21),
        (5, 13),
        (7, 10),
    ]
    assert [checked.reason for checked in found] == ["", "", "no function that reaches the threshold", "", ""]


MEASURED = {
    "no record": ("", [], "error: {records}: found no text with a function, wanted replies as AutoIF's file has them"),
    "no function": (
        '{"gpt-answer": ["x"]}\n',
        [],
        "error: {records}: found no text with a function, wanted replies as AutoIF's file has them",
    ),
    "no copy": ("", ["--copies", "0"], "cross_check.py: error: argument --copies: invalid times value: '0'"),
    "no repeat": ("", ["--repeats", "-1"], "cross_check.py: error: argument --repeats: invalid times value: '-1'"),
}


@pytest.mark.parametrize("name", MEASURED)
def test_nothing_to_measure(name: str, tmp_path: Path) -> None:
    # A traceback: division by zero.
    text, options, message = MEASURED[name]
    records = tmp_path / "records.jsonl"
    records.write_text(text)
    command = [sys.executable, "perf/cross_check.py", "--records", str(records), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1] == message.format(records=records)


@pytest.mark.shared
def test_a_bare_loop_keeps_the_same(shared: Path) -> None:
    command = [sys.executable, "perf/cross_check.py", "--copies", "1", "--repeats", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert "\nall 5 records: the same functions and cases kept\n" in done.stdout
