"""The sandbox keeps its promises to those who use it, or refuses to open."""

import json
import os
import signal
import sys
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.sandbox import Calls, Program, Sandbox, lock, open_sandbox, pool, seccomp, wire

DOUBLE = "def double(x):\n    return 2 * x\n"


def no_handle(value: Any) -> int:
    raise TypeError


def test_tier_says_what_holds(sandbox: Sandbox) -> None:
    assert sandbox.tier in (f"landlock-v{lock.landlock_abi()}+seccomp", "seccomp")


def test_verdicts_keep_the_order_and_progress_counts(sandbox: Sandbox) -> None:
    programs = [Program(id=str(n), code=DOUBLE, tests=f"assert double({n}) == {2 * n - n % 2}") for n in range(20)]
    counts: list[int] = []
    verdicts = sandbox.run(programs, counts.append)
    assert [v.id for v in verdicts] == [str(n) for n in range(20)]
    assert [v.passed for v in verdicts] == [n % 2 == 0 for n in range(20)]
    assert counts == list(range(1, 21))


@pytest.mark.parametrize(
    ("code", "tests", "reason"),
    [
        pytest.param(DOUBLE, "assert double(1) == 3", "failed: AssertionError", id="wrong"),
        pytest.param("def double(x): return y", "double(1)", "failed: NameError", id="raises"),
        pytest.param("def double(x:", "double(1)", "failed: SyntaxError", id="no Python"),
        pytest.param("", "double(1)", "failed: NameError", id="not defined"),
        pytest.param(
            "class E(Exception): pass\ndef double(x): raise E", "double(1)", "failed: Exception", id="own error"
        ),
        pytest.param("import os\nos.abort()", "double(1)", "candidate died", id="dies"),
        pytest.param("x" * (33 << 20), "double(1)", "longer than 32 MiB", id="huge"),
        pytest.param(DOUBLE, "double(lambda: 1)", "failed: TypeError", id="test passes a function"),
    ],
)
def test_reasons(code: str, tests: str, reason: str, sandbox: Sandbox) -> None:
    (verdict,) = sandbox.run([Program(id="p", code=code, tests=tests)])
    assert (verdict.passed, verdict.reason) == (False, reason)


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        pytest.param(
            "class Pair:\n    def __init__(self, a, b): self.a = a\ndef firsts(pairs): return [p.a for p in pairs]",
            "pair = Pair(3, 4)\npair.a = 5\nassert firsts([Pair(1, 2), pair]) == [1, 5] and pair.a == 5",
            id="objects",
        ),
        pytest.param(
            "def count():\n    n = 0\n    while True:\n        yield n\n        n += 1",
            "c = count()\nassert [next(c), next(c)] == [0, 1]\nassert [x for x, _ in zip(c, 'abc')] == [2, 3, 4]",
            id="endless iterator",
        ),
        pytest.param("def f(): return map(str, range(3000))", "assert list(f())[-1] == '2999'", id="long iterator"),
        pytest.param(
            "def f():\n    raise ValueError",
            "try:\n    f()\n    assert False\nexcept ValueError:\n    pass",
            id="expected error",
        ),
        pytest.param("def f(*a, **k): return a, k", "assert f(1, b={2: 3}) == ((1,), {'b': {2: 3}})", id="keywords"),
        pytest.param("def sum(a, b): return a - b", "assert sum(3, 1) == 2", id="named like a built-in"),
        pytest.param(
            "class L:\n    def __len__(self): return 3\ndef f(): return L()", "assert len(f()) == 3", id="len"
        ),
        pytest.param("def f(s): return {x for x in s}", "assert f('aab') == {'a', 'b'}", id="set"),
    ],
)
def test_values_cross(code: str, tests: str, sandbox: Sandbox) -> None:
    names = ("f", "sum", "Pair", "firsts", "count")
    (verdict,) = sandbox.run([Program(id="p", code=code, tests=tests, names=names)])
    assert verdict.passed, verdict.reason


def test_string_hashes_are_the_same_in_every_run(sandbox: Sandbox) -> None:
    code = "def f(): return hash('kit'), list({'a', 'b', 'c', 'd'})"
    with open_sandbox(workers=1, force_tier=2) as other:
        assert other.call(code, "f", []) == sandbox.call(code, "f", [])


def test_call_gives_the_value(sandbox: Sandbox) -> None:
    code = "def create_deepen_prompt(instruction):\n    return f'Deepen: {instruction}'"
    assert sandbox.call(code, "create_deepen_prompt", ["<<instruction>>"]) == "Deepen: <<instruction>>"


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def f(x): return 1 / 0", "failed: ZeroDivisionError"),
        ("def f(x): return f", "failed: TypeError"),
        ("", "failed: NameError"),
        ("import os; os._exit(0)", "candidate died"),
    ],
)
def test_call_says_why_there_is_no_value(code: str, why: str, sandbox: Sandbox) -> None:
    with pytest.raises(RequestError) as caught:
        sandbox.call(code, "f", ["x"])
    assert str(caught.value) == f"f: {why}; wanted a function that returns plain data when run in the sandbox"


def test_replies_stand_one_a_call(sandbox: Sandbox) -> None:
    code = "def f(x):\n    return {'half': 1 / x}"
    (replies,) = sandbox.replies([Calls(id="c", code=code, name="f", arguments=((2,), (0,), (True,)))])
    assert [(r.value, r.error) for r in replies] == [
        ({"half": 0.5}, ""),
        (None, "failed: ZeroDivisionError"),
        ({"half": 1.0}, ""),
    ]


def test_no_more_workers_than_cores() -> None:
    with open_sandbox(workers=1000, force_tier=2) as opened:
        assert opened.workers == len(os.sched_getaffinity(0))


def test_a_server_that_died_is_replaced() -> None:
    with open_sandbox(workers=1, force_tier=2) as opened:
        assert isinstance(opened, pool.Pool)
        os.kill(opened.servers[0].process.pid, signal.SIGKILL)
        first, after = opened.run([Program(id=x, code=DOUBLE, tests="assert double(1) == 2") for x in "ab"])
    assert first.passed  # it was "no verdict": what ends a server is the machine, not a program
    assert after.passed


def test_nothing_is_left_when_closed() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_sandbox(workers=1, force_tier=2) as opened:
        assert isinstance(opened, pool.Pool)
        pid = opened.servers[0].process.pid
        assert opened.run([Program(id="a", code=DOUBLE, tests="assert double(1) == 2")])[0].passed
        opened.servers[0].restart()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_unsafe_is_named_and_limits_memory_and_time() -> None:
    with open_sandbox(unsafe=True) as opened:
        assert opened.tier == "unsafe"
        right, memory, loop = opened.run(
            [
                Program(id="right", code=DOUBLE, tests="assert double(2) == 4"),
                Program(id="memory", code="def f(): return len(bytearray(6 << 30))", tests="f()"),
                Program(id="loop", code="while True: pass", tests="", cpu_s=1),
            ]
        )
    assert right.passed
    assert (memory.reason, loop.reason) == ("failed: MemoryError", "cpu limit")


def test_falls_back_to_tier_2_without_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "landlock_abi", lambda: 0)
    with open_sandbox(workers=1) as opened:
        assert opened.tier == "seccomp"


TAIL = (
    " --unsafe-exec runs model-written code without a sandbox, with limits on memory and time only, and marks the"
    " scores 'unsafe'"
)


def test_refuses_when_an_attack_gets_through(monkeypatch: pytest.MonkeyPatch) -> None:
    # A filter that lets everything pass, as a kernel would that ignores filters.
    allow_all = (6).to_bytes(2, "little") + bytes(2) + (0x7FFF0000).to_bytes(4, "little")
    monkeypatch.setattr(seccomp, "server_filter", lambda read_files: allow_all)
    monkeypatch.setattr(seccomp, "child_filter", lambda: allow_all)
    with pytest.raises(RequestError) as caught:
        open_sandbox(workers=1, force_tier=2)
    for attack in ("read", "connect", "fork", "signal_group", "change_limits"):
        assert f"{attack}: got through" in str(caught.value)
    assert str(caught.value).endswith(TAIL)


def test_refuses_when_the_kernel_takes_no_filter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "server_filter", lambda read_files: bytes(8))
    with pytest.raises(RequestError) as caught:
        open_sandbox(workers=1, force_tier=2)
    assert str(caught.value) == (
        "the sandbox needs a kernel that locks a process; tier 2: prctl 22: Invalid argument; run it where the kernel"
        " and the container's profile allow seccomp filters (docker's default does)." + TAIL
    )


def test_refuses_without_pyseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    with pytest.raises(RequestError) as caught:
        open_sandbox(workers=1)
    assert str(caught.value) == (
        "the sandbox needs the package pyseccomp; install it with the extra 'grade' of this package." + TAIL
    )


def test_refuses_without_libseccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyseccomp", raising=False)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: "libc.so.6" if name == "c" else None)
    with pytest.raises(RequestError) as caught:
        open_sandbox(workers=1)
    assert str(caught.value) == (
        "the sandbox needs the library libseccomp2; install it with `apt-get install -y libseccomp2`." + TAIL
    )


@pytest.mark.parametrize(
    "value",
    [
        None, True, 0, -(1 << 63), 1 << 200, 0.1, float("inf"), 1j, "\udcff", b"\0", bytearray(b"x"), [1, [2]],
        (1, (2,)), {1: {2: 3}}, {"\0t": "int", "v": "0x1"}, {1, 2}, frozenset("a"), range(3), slice(1, 2),
        Decimal("0.1"), date(2026, 1, 2), int,
    ],
    ids=repr,
)  # fmt: skip
def test_wire_gives_back_what_it_took(value: Any) -> None:
    back = wire.decode(json.loads(json.dumps(wire.encode(value, no_handle))), lambda n: n)
    assert back == value
    assert type(back) is type(value)
