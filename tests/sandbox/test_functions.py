"""Functions that are called without a tester: what comes back of a call, and the error of one that gives nothing."""

import math

import pytest

from kit.sandbox import Function, Sandbox, functions, plain
from tests.sandbox.conftest import INPUTS, body, call

VALUES = {
    "bool": ("return True", True),
    "None": ("return None", None),
    "int": ("return 7", 7),
    "negative": ("return -(10**30)", -(10**30)),
    "float": ("return 0.1", 0.1),
    "infinite": ("return float('inf')", float("inf")),
    "text": (r"return '\ud800 \U0001f600 \x00 \n'", "\ud800 \U0001f600 \x00 \n"),
    "list": ("return [1, [2, 'x']]", [1, [2, "x"]]),
    "tuple": ("return (1, (2,))", (1, (2,))),
    "dict": ("return {'tuple': [1], 'b': {}}", {"tuple": [1], "b": {}}),
    "bytes": (r"return b'\xff'", b"\xff"),
    "numpy's bool": ("import numpy; return numpy.all([1, 1])", True),
    "numpy's number": ("import numpy; return numpy.float64(0.5)", 0.5),
    "input as it came": ("return x", "a"),
}
OPAQUE = {
    "set": ("return {1}", "set"),
    "dict of numbers": ("return {1: 2}", "dict"),
    "generator": ("yield x", "generator"),
    "function": ("return evaluate", "function"),
    "long int": ("return 1 << 33_000_000", "int"),
    "long text": ("return 'x' * 100_000", "str"),
    "deep list": ("a = []\n    for _ in range(200_000): a = [a]\n    return a", "list"),
    "itself in itself": ("a = []; a.append(a); return a", "list"),
    "always equal": ("return type('A', (), {'__eq__': lambda *_: True})()", "A"),
    "always equal int": ("return type('A', (int,), {'__eq__': lambda *_: True})(1)", "A"),
    "always equal str": ("return type('A', (str,), {'__eq__': lambda *_: True})('')", "A"),
    "always equal list": ("return type('A', (list,), {'__eq__': lambda *_: True})()", "A"),
    "always equal dict": ("return type('A', (dict,), {'__eq__': lambda *_: True})()", "A"),
    "says it is a bool": ("return type('A', (), {'__class__': bool, '__eq__': lambda *_: True})()", "A"),
    "bool's name": ("return type('bool', (int,), {'__eq__': lambda *_: True})(1)", "bool"),
}
ERRORS = {
    "raises": ("raise ValueError(x)", "failed: ValueError"),
    "raises its own": ("raise type('E', (KeyError,), {})", "failed: KeyError"),
    "BaseException": ("raise BaseException", "failed: BaseException"),
    "sys.exit": ("import sys; sys.exit(0)", "failed: SystemExit"),
    "exit": ("exit(0)", "failed: NameError"),
    "os._exit": ("import os; os._exit(0)", "died"),
    "exits as who wants a package": ("import os; os._exit(114)", "died"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "died"),
    "abort": ("import os; os.abort()", "died"),
    "fork": ("import os; os.fork(); return True", "failed: PermissionError"),
    "thread": ("import threading; threading.Thread(target=int).start()", "failed: RuntimeError"),
    "subprocess": ("import subprocess; subprocess.run(['true'])", "failed: PermissionError"),
    "socket": ("import socket; socket.socket()", "failed: PermissionError"),
    "writes a file": ("open('/tmp/kit-function', 'w')", "failed: PermissionError"),
    "recursion": ("return evaluate(x)", "failed: RecursionError"),
    "6 GiB": ("return bytearray(6 << 30)", "failed: MemoryError"),
    "hangs": ("while True: pass", "cpu limit"),
    "hangs and catches": (
        "while True:\n        try:\n            while True: pass\n        except BaseException: pass",
        "cpu limit",
    ),
    "one long operation": ("return 3 ** 10 ** 9", "cpu limit"),
    "sleeps": ("import time; time.sleep(1000)", "wall limit"),
    "waits for itself": ("import threading; a = threading.Lock(); a.acquire(); a.acquire()", "wall limit"),
    "closes everything": ("import os; os.closerange(0, 64); return True", "died"),
    "closes everything and hangs": ("import os; os.closerange(0, 64)\n    while True: pass", "died"),
    "wants a result": ("return undefined", "failed: NameError"),
}
LOADING = {
    "no Python": ("def evaluate(", "failed: SyntaxError"),
    "lone surrogate": ("\ud800 = 1", "failed: UnicodeEncodeError"),
    "raises": ("1 / 0\ndef evaluate(x): return True", "failed: ZeroDivisionError"),
    "exits": ("import os\nos._exit(0)", "died"),
    "sys.exit": ("import sys\nsys.exit(0)", "failed: SystemExit"),
    "hangs": ("while True: pass", "cpu limit"),
    "package that is not there": ("import nltk.corpus\ndef evaluate(x): return True", "failed: ModuleNotFoundError"),
    "package asked for late": ("if True:\n    import nltk", "failed: ModuleNotFoundError"),
}
ODD = {
    "number too long to be printed": f"x = 0x{'f' * 5000}",
    "sum of many": f"x = {'1 + ' * 3000}1",
    "many calls in a row": f"x = (lambda: 1){''.join(['.__class__'] * 3000)}",
    "brackets": f"x = {'[' * 150}{']' * 150}",
    "half a pair": "x = '\ud800'",
    "carriage returns": "x = 1\r\ry = 2\r",
    "form feed": "\fx = 1",
    "byte order mark": "\ufeffx = 1",
    "null": "x = '\0'",
    "coding": "# -*- coding: latin-1 -*-\nx = 'ä'",
    "unknown coding": "# -*- coding: nonsense -*-\nx = 1",
    "long": "#" * 100_000,
    "relative import": "from . import x",
    "dots": f"import {'a.' * 500}b",
    "nothing": "",
}
"""Sources that a look, or the way to the process, could trip over."""


@pytest.mark.parametrize("name", VALUES)
def test_value_comes_back(name: str, sandbox: Sandbox) -> None:
    text, value = VALUES[name]
    reply = call(sandbox, body(text)).replies[0]
    assert (reply.value, type(reply.value), reply.error) == (value, type(value), "")


@pytest.mark.parametrize("name", OPAQUE)
def test_other_values_equal_nothing(name: str, sandbox: Sandbox) -> None:
    text, kind = OPAQUE[name]
    reply = call(sandbox, body(text)).replies[0]
    assert (type(reply.value), reply.error) == (plain.Opaque, "")
    assert reply.value.kind == kind
    assert not any(reply.value == other or other == reply.value for other in (True, 1, "", None, reply.value, []))


@pytest.mark.parametrize("name", ERRORS)
def test_error_says_why(name: str, sandbox: Sandbox) -> None:
    text, error = ERRORS[name]
    assert {reply.error for reply in call(sandbox, body(text)).replies} == {error}


@pytest.mark.parametrize("name", LOADING)
def test_what_does_not_load_has_no_replies(name: str, sandbox: Sandbox) -> None:
    code, error = LOADING[name]
    returned = call(sandbox, code)
    assert (returned.error, {reply.error for reply in returned.replies}) == (error, {error})


@pytest.mark.parametrize("name", ODD)
def test_no_source_stops_the_others(name: str, sandbox: Sandbox) -> None:
    returned = call(sandbox, f"{ODD[name]}\ndef evaluate(x): return 1")
    assert returned.error.startswith("failed: ") or {reply.value for reply in returned.replies} == {1}


def test_a_function_that_hangs_on_one_input_answers_the_others(sandbox: Sandbox) -> None:
    returned = call(sandbox, body("while x == 'c': pass\n    return x"))
    assert [(reply.value, reply.error) for reply in returned.replies] == [
        ("a", ""),
        ("b", ""),
        (None, "cpu limit"),
        ("d", ""),
        ("e", ""),
    ]


def test_what_does_the_same_is_called_once(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    original = functions.returned_of
    monkeypatch.setattr(functions, "returned_of", lambda f, server: started.append(f.id) or original(f, server))
    texts = {"one": "return x == 'a'", "blanks": "return x  ==  'a'  # the first", "other": "return x == 'b'"}
    wanted = [Function(id=name, code=body(text), name="evaluate", inputs=INPUTS) for name, text in texts.items()]
    wanted += [Function(id="fewer", code=wanted[0].code, name="evaluate", inputs=INPUTS[:1])]
    counts: list[int] = []
    returned = sandbox.call_functions(wanted, counts.append)
    assert sorted(started) == ["fewer", "one", "other"]
    assert counts == [1, 2, 3]
    assert [each.id for each in returned] == ["one", "blanks", "other", "fewer"]
    assert [[reply.value for reply in each.replies] for each in returned] == [
        [True, False, False, False, False],
        [True, False, False, False, False],
        [False, True, False, False, False],
        [True],
    ]


def test_a_long_source_and_long_inputs_cross(sandbox: Sandbox) -> None:
    inputs = ("y" * 300_000, "z" * 300_000)
    code = f"# {'x' * 300_000}\ndef evaluate(x): return len(x)"
    (returned,) = sandbox.call_functions([Function(id="long", code=code, name="evaluate", inputs=inputs)])
    assert [reply.value for reply in returned.replies] == [300_000, 300_000]


def test_a_value_longer_than_what_is_of_use_is_not_kept(sandbox: Sandbox) -> None:
    # Each value was kept until all functions were called: a list of thousands of lists from each took all memory.
    wanted = [
        Function(id="f", code=body(f"return '{'x' * size}'"), name="evaluate", inputs=(1,), longest=10)
        for size in (8, 9)
    ]
    kept, long = (each.replies[0] for each in sandbox.call_functions(wanted))
    assert kept.value == "xxxxxxxx"
    assert (type(long.value), long.error) == (plain.Opaque, "")


def test_each_nan_that_comes_back_is_its_own() -> None:
    # Python's reader of JSON gives one and the same NaN each time, which is equal to itself within a list.
    assert math.isnan(plain.value_of("[NaN]")[0])
    assert plain.value_of("[NaN]") != plain.value_of("[NaN]")
    assert plain.value_of("[Infinity, -Infinity]") == [math.inf, -math.inf]


def test_an_input_is_read_anew_for_each_call(sandbox: Sandbox) -> None:
    code = "def evaluate(x):\n    x.append(1)\n    return len(x)"
    (returned,) = sandbox.call_functions([Function(id="f", code=code, name="evaluate", inputs=([], [0]))])
    assert [reply.value for reply in returned.replies] == [1, 2]


def test_random_numbers_start_alike(sandbox: Sandbox) -> None:
    code = "import random\ndef evaluate(x): return random.random()"
    (returned,) = sandbox.call_functions([Function(id="f", code=code, name="evaluate", inputs=INPUTS)])
    assert {(reply.value, reply.error) for reply in returned.replies} == {(0.8444218515250481, "")}
