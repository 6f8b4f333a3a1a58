"""AutoIF's cross-check: what a text holds, which functions and cases are kept, and rules out of range."""

import json
from pathlib import Path

import pytest

from kit.errors import RequestError
from kit.records import read_rows, write_rows
from kit.sandbox import Function, Sandbox
from kit.scenarios._autoif_rows import WithFunctions
from kit.scenarios._cross_check import Case, Rule, cross_check, parse
from tests.autoif.conftest import CASES, LONG, MISLEADING, SHORT, check, text_of

SHORT_TOO = "def evaluate(response):\n    return not len(response) >= 4"
YES = "def evaluate(response):\n    return True"
BROKEN = "def evaluate(response)\n    return True"


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
