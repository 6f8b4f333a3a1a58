"""Functions that are called without a tester: what comes back, what does not, and what can't pay."""

import math
import os
from types import SimpleNamespace
from typing import Any

import pytest

from kit.sandbox import Calls, Function, Sandbox, functions, pipes, plain

INPUTS = ("a", "b", "c", "d", "e")
CPU_S = 0.1
"""Seconds of a call, few: a function that never ends takes four times that."""
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
STATE = {
    "count in a global": "n = 0\ndef evaluate(x):\n    global n\n    n += 1\n    return n",
    "count in a default": "def evaluate(x, seen=[]):\n    seen.append(x)\n    return len(seen)",
    "count in an attribute": "def evaluate(x):\n    evaluate.n = getattr(evaluate, 'n', 0) + 1\n    return evaluate.n",
    "its own replacement": "def evaluate(x):\n    globals()['evaluate'] = lambda x: 2\n    return 1",
    "its own code replaced": (
        "def evaluate(x):\n    evaluate.__code__ = other.__code__\n    return 1\ndef other(x): return 2"
    ),
}
"""State in a function's own names: each call is the first."""
HIDDEN_STATE = {
    "count in builtins": "import builtins\ndef evaluate(x):\n    builtins.n = getattr(builtins, 'n', 0) + 1\n"
    "    return n",
    "alternates": "import os\ndef evaluate(x):\n    os.n = not getattr(os, 'n', False)\n    return os.n",
    "every third": "import sys\ndef evaluate(x):\n    sys.n = getattr(sys, 'n', 0) + 1\n    return sys.n % 3 == 0",
    "count in the environment": (
        "import os\ndef evaluate(x):\n    os.environ['n'] = os.environ.get('n', '') + 'x'\n"
        "    return len(os.environ['n'])"
    ),
    "count of the clock": "import time\ndef evaluate(x): return time.perf_counter_ns()",
    "harness counted": (
        "import sys\ndef evaluate(x):\n    frame = sys._getframe(1)\n    while 'lines' not in frame.f_locals:\n"
        "        frame = frame.f_back\n    return frame.f_locals['lines'].count"
    ),
}
"""State elsewhere: the two calls of some input say different things."""
FORGED = {
    "marker printed": ("print('true', flush=True)", None),
    "marker to every descriptor": (
        "import os\n    for fd in range(64):\n        try: os.write(fd, b'true\\n')\n        except OSError: pass",
        "forged reply",
    ),
    "lines like the last": (
        "import os\n    for fd in range(64):\n        for n in range(20):\n"
        "            try: os.write(fd, b'0123456789abcdef %d 0 true\\n' % n)\n            except OSError: pass",
        "forged reply",
    ),
    "lines, then exit": (
        "import os\n    for fd in range(64):\n        for n in range(1, 11):\n"
        "            try: os.write(fd, b'0123456789abcdef %d 0 true\\n' % n)\n            except OSError: pass\n"
        "    os._exit(0)",
        "forged reply",
    ),
    "endless lines": (
        "import os\n    while True:\n        for fd in range(64):\n            try: os.write(fd, b'x' * 4096)\n"
        "            except OSError: pass",
        None,
    ),
    "a line without an end": (
        "import os\n    for fd in range(64):\n        try: os.write(fd, b'0123456789abcdef 1 0 ')\n"
        "        except OSError: pass",
        "forged reply",
    ),
    "one line too many": (
        "import sys\n    frame = sys._getframe(1)\n    while 'lines' not in frame.f_locals: frame = frame.f_back\n"
        "    frame.f_locals['lines'].write('true')",
        "forged reply",
    ),
    "the end at once": (
        "import os, sys\n    frame = sys._getframe(1)\n    while 'lines' not in frame.f_locals: frame = frame.f_back\n"
        "    frame.f_locals['lines'].write('end')\n    os._exit(0)",
        None,
    ),
}
"""Bodies that write on the pipe, and what becomes of the function; none of them returns a value."""
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
SAYS = "import json\njson.dumps = lambda *_, **__: {text!r}\ndef evaluate(x): return ()"
SAID = {
    "name that no exception has": ('{"error": "Passed"}', "forged reply"),
    "name of no exception": ('{"error": "print"}', "forged reply"),
    "escaped name": (r'{"error": "V\u0061lueError"}', "forged reply"),
    "error that is no name": ('{"error": 1}', "forged reply"),
    "error and more": ('{"error": "ValueError", "value": true}', "forged reply"),
    "nested deeper than values are": ("[" * 60 + "]" * 60, "forged reply"),
    "nested as deep as Python reads": ("[" * 5000 + "]" * 5000, "forged reply"),
    "number of 60,000 digits": ("1" * 60_000, "forged reply"),
    "longer than a value": (f'"{"x" * (1 << 16)}"', ""),
    "no value": ("tru", "forged reply"),
    "unknown tag": ('{"set": [1]}', "forged reply"),
    "two tags": ('{"tuple": [], "dict": {}}', "forged reply"),
    "bytes that are none": ('{"bytes": "x"}', "forged reply"),
}
"""Texts in place of a value's, and the error of the call."""
AFTER = "def evaluate(x): return x == 'b'"


def body(text: str) -> str:
    return f"def evaluate(x):\n    {text}\n"


def call(sandbox: Sandbox, code: str) -> functions.Returned:
    """Call one function, and another after it in each worker, which must not notice."""
    wanted = [Function(id=code, code=code, name="evaluate", inputs=INPUTS, cpu_s=CPU_S)]
    wanted += [Function(id="after", code=f"{AFTER}\nn = {n}", name="evaluate", inputs=INPUTS) for n in range(2)]
    returned, *others = sandbox.call_functions(wanted)
    assert [[reply.value for reply in other.replies] for other in others] == [[each == "b" for each in INPUTS]] * 2
    return returned


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


@pytest.mark.parametrize("name", STATE)
def test_each_call_is_the_first(name: str, sandbox: Sandbox) -> None:
    replies = call(sandbox, STATE[name]).replies
    assert [(reply.value, reply.error) for reply in replies] == [(1, "")] * len(INPUTS)


@pytest.mark.parametrize("name", HIDDEN_STATE)
def test_state_that_is_kept_costs_all_answers(name: str, sandbox: Sandbox) -> None:
    assert {reply.error for reply in call(sandbox, HIDDEN_STATE[name]).replies} == {"answers differ"}


@pytest.mark.parametrize("name", FORGED)
def test_forged_lines_are_no_answer(name: str, sandbox: Sandbox) -> None:
    text, error = FORGED[name]
    returned = call(sandbox, body(text))
    assert returned.error == (error or "")
    assert [reply.value for reply in returned.replies] == [None] * len(INPUTS)


@pytest.mark.parametrize("name", LOADING)
def test_what_does_not_load_has_no_replies(name: str, sandbox: Sandbox) -> None:
    code, error = LOADING[name]
    returned = call(sandbox, code)
    assert (returned.error, {reply.error for reply in returned.replies}) == (error, {error})


@pytest.mark.parametrize("name", ODD)
def test_no_source_stops_the_others(name: str, sandbox: Sandbox) -> None:
    returned = call(sandbox, f"{ODD[name]}\ndef evaluate(x): return 1")
    assert returned.error.startswith("failed: ") or {reply.value for reply in returned.replies} == {1}


@pytest.mark.parametrize("name", SAID)
def test_what_no_caller_writes_is_no_value(name: str, sandbox: Sandbox) -> None:
    # Any identifier was taken for the name of an error, and lists within lists up to what Python's stack can hold.
    text, error = SAID[name]
    returned = call(sandbox, SAYS.format(text=text))
    assert {reply.error for reply in returned.replies} == {error}
    assert all(reply.value is None or isinstance(reply.value, plain.Opaque) for reply in returned.replies)


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


PLACE = "import sys\ndef evaluate(x):\n    frame = sys._getframe(1)\n    while 'job' not in frame.f_locals: "
PLACE += "frame = frame.f_back\n    return frame.f_locals['number']"


def test_the_order_of_the_inputs_is_not_told(sandbox: Sandbox) -> None:
    # A function that found its caller's frame could answer by the place of the case: the first two are true, for one.
    wanted = [
        Function(id="f", code=PLACE, name="evaluate", inputs=inputs) for inputs in (INPUTS, INPUTS[::-1], INPUTS * 2)
    ]
    one, reverse, twice = ([reply.value for reply in each.replies] for each in sandbox.call_functions(wanted))
    assert sorted(one) == [0, 1, 2, 3, 4]
    assert reverse == one[::-1]
    assert twice == one * 2


def test_one_that_claims_to_have_no_memory_is_not_started_for_each_input(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It could sleep before it ends so: 100 inputs, and a worker slept for half an hour.
    started = []
    original = functions._said
    monkeypatch.setattr(functions, "_said", lambda *given: started.append(1) or original(*given))
    code = body("import os; os._exit(113)")
    (returned,) = sandbox.call_functions([Function(id="f", code=code, name="evaluate", inputs=tuple(range(100)))])
    assert {reply.error for reply in returned.replies} == {"failed: MemoryError"}
    assert len(started) == 4


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


def test_what_a_function_does_to_the_pipe_is_gone(sandbox: Sandbox) -> None:
    # The pipe is shared by all functions of a server; where it did not block, long values of a later one were cut.
    flags = "import fcntl, os\n    for fd in range(3, 64):\n"
    flags += "        try: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK | os.O_DIRECT)"
    wanted = [
        Function(
            id=str(n), code=body(f"{flags}\n        except OSError: pass\n    return {n}"), name="evaluate", inputs=(1,)
        )
        for n in range(4)
    ]
    long = Function(id="long", code=body("return 'x' * 60_000"), name="evaluate", inputs=tuple(range(10)))
    returned = sandbox.call_functions([*wanted, long])
    assert [[reply.value for reply in each.replies] for each in returned[:-1]] == [[0], [1], [2], [3]]
    assert [reply.value for reply in returned[-1].replies] == ["x" * 60_000] * 10


def test_a_program_after_a_function_finds_the_pipe_as_it_was(sandbox: Sandbox) -> None:
    # A tester writes on the same pipe. Where it did not block, a verdict longer than the pipe was cut: no verdict.
    code = "import fcntl, os\n    for fd in range(3, 64):\n"
    code += "        try: fcntl.fcntl(fd, fcntl.F_SETFL, os.O_NONBLOCK)\n        except OSError: pass\n    return {n}"
    long = Calls(id="long", code=body("return 'x' * 3_000_000"), name="evaluate", arguments=((1,),))
    sandbox.call_functions(
        [Function(id=str(n), code=body(code.format(n=n)), name="evaluate", inputs=(1,)) for n in range(8)]
    )
    assert [reply.value for (reply,) in sandbox.replies([long] * 4)] == ["x" * 3_000_000] * 4


def test_what_a_function_reads_away_is_no_error_of_the_kit(monkeypatch: pytest.MonkeyPatch) -> None:
    # It can open the other end of its pipe (/proc/self/fd), and read between the kit's look and the kit's own reading:
    # BlockingIOError, and with it the end of the whole run.
    verdicts, write = os.pipe()
    os.set_blocking(verdicts, False)
    monkeypatch.setattr(pipes, "size_of", lambda fd: 5)
    server: Any = SimpleNamespace(verdicts=verdicts)
    talk = functions.Talk(server, "token", 1.0, 1.0)
    talk._read()
    assert talk.written == b""
    os.write(write, b"12345")
    talk._read()
    assert talk.written == b"12345"
    os.close(write)
    os.close(verdicts)


ENDS = {
    "within both limits": ([100, 900, 1700, 1750], ["0", "1"], ""),
    "second call beyond its limit": ([100, 900, 1950, 1960], ["0"], "cpu limit"),
    "second call beyond the limit of all": ([600, 1500, 2000, 2001], ["0"], "cpu limit"),
    "nothing but the end beyond it": ([600, 1400, 1999, 2000], ["0", "1"], "cpu limit"),
    "nothing within": ([1000, 1001, 1002, 1003], [], "cpu limit"),
}
"""CPU milliseconds of the lines of two calls, with limits of 1 second and 2: the answers that count."""


@pytest.mark.parametrize("name", ENDS)
def test_what_came_beyond_a_limit_does_not_count(name: str) -> None:
    # On a busy machine the kit may look at a function when it has ended: all of its answers counted then, and on a
    # quiet one those that it gave until it was stopped.
    times, answers, reason = ENDS[name]
    server: Any = SimpleNamespace(plan={"packages": {}, "preload_packages": False})
    talk = functions.Talk(server, "token", 1.0, 2.0)
    for count, (time_ms, text) in enumerate(zip(times, ("true", "0", "1", "end"), strict=True)):
        talk.written += f"token {count} {time_ms * 10**6} {text}\n".encode()
    said = talk.said({"exit": 0, "cpu_s": times[-1] / 1000}, 2)
    assert said is not None
    assert (list(said.answers), said.error or said.reason) == (answers, reason)


def test_a_pipe_is_at_its_end_when_nobody_can_write() -> None:
    # The fork server waited in its reading for ever, if the function had read away what the server was told of.
    read, write = os.pipe()
    os.set_blocking(read, False)
    assert not pipes.at_end(read)
    os.write(write, b"x")
    assert not pipes.at_end(read)
    os.close(write)
    assert pipes.at_end(read)
    os.close(read)


def test_a_function_that_reads_its_pipes_away_ends_at_its_limit(sandbox: Sandbox) -> None:
    code = (
        "import os, time\ndef evaluate(x):\n    ends = []\n    for fd in range(3, 64):\n"
        "        try: ends.append((fd, os.open(f'/proc/self/fd/{fd}', os.O_RDONLY | os.O_NONBLOCK)))\n"
        "        except OSError: pass\n"
        "    for n in range(3000):\n        for fd, end in ends:\n            try:\n"
        "                os.write(fd, b'x')\n                os.read(end, 65536)\n"
        "            except OSError: pass\n    time.sleep(1000)\n"
    )
    assert {reply.error for reply in call(sandbox, code).replies} <= {"wall limit", "cpu limit", "forged reply"}
