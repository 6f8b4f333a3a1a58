"""Functions that keep what was asked, write replies of their own or use up their pipes: none of it pays."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from kit.sandbox import Calls, Function, Sandbox, functions, pipes, plain
from tests.sandbox.conftest import INPUTS, body, call

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


@pytest.mark.parametrize("name", SAID)
def test_what_no_caller_writes_is_no_value(name: str, sandbox: Sandbox) -> None:
    # Any identifier was taken for the name of an error, and lists within lists up to what Python's stack can hold.
    text, error = SAID[name]
    returned = call(sandbox, SAYS.format(text=text))
    assert {reply.error for reply in returned.replies} == {error}
    assert all(reply.value is None or isinstance(reply.value, plain.Opaque) for reply in returned.replies)


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
