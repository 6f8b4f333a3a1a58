"""No verdict and no reason depends on what else the machine does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.benchmarks import humaneval, mbpp
from kit.records import Grade, Problem
from kit.sandbox import Program, Sandbox, client, open_sandbox
from kit.sandbox.watch import Watch

BUSY = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end: pass"

ENDINGS = {
    "loop": ("def f():\n    while True: pass", "cpu limit"),
    "loop at import": ("while True: pass", "cpu limit"),
    "loop behind a closed pipe": ("import os\nos.closerange(3, 64)\nwhile True: pass", "candidate died"),
    "loop that catches": ("def f():\n    try:\n        while True: pass\n    except BaseException: pass", "cpu limit"),
    "one long operation": ("def f(): return 3 ** (10 ** 9)", "cpu limit"),
    "endless generator": ("def f(): return max(n for n in iter(int, 1))", "cpu limit"),
    "sleep": ("import time\ndef f(): time.sleep(1000)", "wall limit"),
    "sleep at import": ("import time\ntime.sleep(1000)", "wall limit"),
    "naps without end": ("import time\ndef f():\n    while True: time.sleep(0.05)", "wall limit"),
    "empty pipe": ("import os\ndef f():\n    os.read(os.pipe()[0], 1)", "wall limit"),
    "lock held by itself": (
        "import threading\ndef f():\n    lock = threading.Lock()\n    lock.acquire()\n    lock.acquire()", "wall limit",
    ),
    "select": ("import select\ndef f(): select.select([], [], [])", "wall limit"),
    "one nap": ("import time\ndef f(): time.sleep(0.5)", ""),
    "6 GiB at once": ("def f(): return bytearray(6 << 30)", "failed: MemoryError"),
    "memory in blocks": ("def f():\n    a = []\n    while True: a.append(b'ab' * 400_000)", "failed: MemoryError"),
    "memory at import": ("a = []\nwhile True: a.append(bytes(range(256)) * 4096)", "failed: MemoryError"),
    "string that doubles": ("def f():\n    s = 'x'\n    while True: s += s", "failed: MemoryError"),
    "memory, whatever is raised": (
        "def f():\n    a = []\n    while True:\n        try: a.append(bytes(range(256)) * 4096)\n"
        "        except MemoryError: pass", "failed: MemoryError",
    ),
    "fork": ("import os\ndef f(): os.fork()", "failed: PermissionError"),
    "forks without end": (
        "import os\ndef f():\n    while True:\n        try: os.fork()\n        except OSError: pass", "cpu limit",
    ),
    "threads": ("import threading\ndef f(): threading.Thread(target=f).start()", "failed: RuntimeError"),
    "exit": ("import os\nos._exit(0)", "candidate died"),
    "exit in the call": ("import os\ndef f(): os._exit(3)", "candidate died"),
    "sys.exit": ("def f(): raise SystemExit(0)", "failed: CandidateError"),
    "segfault": ("import ctypes\ndef f(): ctypes.string_at(0)", "candidate died"),
    "abort": ("import os\ndef f(): os.abort()", "candidate died"),
    "no Python": ("def f(:", "failed: SyntaxError"),
    "recursion": ("def f(): return f()", "failed: RecursionError"),
}  # fmt: skip
"""Name -> (code, the reason that it must be given whatever else the machine does)."""


@contextlib.contextmanager
def machine_busy_with(count: int, *, core: int | None = None, seconds: int = 900) -> Iterator[None]:
    """Keep so many processes computing, on one core if asked for, and end them when done (or after so many seconds)."""
    command = [sys.executable, "-S", "-c", BUSY.format(seconds=seconds)]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        for process in processes:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def endings(sandbox: Sandbox, cpu_s: float) -> dict[str, str]:
    """Return the reason that each program is given."""
    programs = [
        Program(id=name, code=code, tests="f()", names=("f",), cpu_s=cpu_s) for name, (code, _) in ENDINGS.items()
    ]
    return {verdict.id: verdict.reason for verdict in sandbox.run(programs)}


@pytest.fixture
def one_core() -> Iterator[int]:
    """Hold this process, and the servers that it starts, to one core."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core := min(cores)})
    yield core
    os.sched_setaffinity(0, cores)


def test_a_starved_program_is_no_sleeper(one_core: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A loop got "wall limit" where other processes had the core: only the clock was read.
    monkeypatch.setattr(client, "SLEEP_FACTOR", 1)
    loop, sleep = ENDINGS["loop"][0], ENDINGS["sleep"][0]
    with open_sandbox(workers=1) as sandbox, machine_busy_with(5, core=one_core):
        verdicts = sandbox.run(
            [Program(id=code, code=code, tests="f()", names=("f",), cpu_s=0.5) for code in (loop, sleep)]
        )
    assert [verdict.reason for verdict in verdicts] == ["cpu limit", "wall limit"]


def test_a_pass_beyond_the_cpu_limit_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    # The kit may be so starved that it comes to look when all is over: that must make no difference.
    monkeypatch.setattr(Watch, "exceeded", lambda self: "")
    code = "import time\ndef f():\n    while time.process_time() < 1: pass"
    with open_sandbox(workers=1) as sandbox:
        (verdict,) = sandbox.run([Program(id="f", code=code, tests="f()", cpu_s=0.5)])
    assert (verdict.passed, verdict.reason) == (False, "cpu limit")


def test_the_kernel_ends_a_loop_that_nobody_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Watch, "exceeded", lambda self: "")
    with open_sandbox(workers=1) as sandbox:
        (verdict,) = sandbox.run([Program(id="f", code="while True: pass", tests="", cpu_s=0.5)])
    assert (verdict.passed, verdict.reason) == (False, "cpu limit")


def killing(times: int, which: int) -> type[Watch]:
    """A watch that kills one of the two processes, as a machine without memory does, so many times."""
    left = [times]

    class Killing(Watch):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            if left[0]:
                left[0] -= 1
                os.kill(self.pids[which], signal.SIGKILL)

    return Killing


@pytest.mark.parametrize("which", [0, 1], ids=["candidate", "tester"])
def test_what_the_machine_kills_is_run_again(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A right answer was "candidate died" or "no verdict" where the machine was short of memory.
    with open_sandbox(workers=1) as sandbox:
        monkeypatch.setattr(client, "Watch", killing(2, which))
        program = Program(id="f", code="import time\ndef f(): time.sleep(0.2)", tests="f()")
        first, after = sandbox.run([program, program])
    assert first.passed
    assert after.passed


@pytest.mark.parametrize(("which", "reason"), [(0, "candidate died"), (1, "no verdict")])
def test_what_is_killed_each_time_fails(which: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_sandbox(workers=1) as sandbox:
        monkeypatch.setattr(client, "Watch", killing(client.ATTEMPTS, which))
        program = Program(id="f", code="import time\ndef f(): time.sleep(0.2)", tests="f()")
        first, after = sandbox.run([program, program])
    assert (first.passed, first.reason) == (False, reason)
    assert after.passed


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_ending_has_its_reason(sandbox: Sandbox) -> None:
    assert endings(sandbox, 1.0) == {name: reason for name, (_, reason) in ENDINGS.items()}


def references(shared: Path, sandbox: Sandbox) -> list[Grade]:
    """Return the grades of the reference solutions of HumanEval and MBPP."""
    he = humaneval.read(shared / "data" / "humaneval" / "HumanEval.jsonl.gz")
    mb = mbpp.read(shared / "data" / "mbpp" / "mbpp.jsonl")

    def texts(problems: list[Problem], field: str) -> list[str]:
        return [problem.data[field] for problem in problems]

    return [
        *humaneval.grade(he, texts(he, "canonical_solution"), "paper", sandbox),
        *mbpp.grade(mb, texts(mb, "code"), "paper", sandbox),
    ]


def rows(shared: Path) -> bytes:
    """Return what is written of the references and of all programs that end badly."""
    with open_sandbox() as sandbox:
        grades = [json.dumps(grade.to_json()) for grade in references(shared, sandbox)]
        return "\n".join([*grades, json.dumps(endings(sandbox, 1.0))]).encode()


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.timeout(7200)
def test_grades_are_byte_identical_quiet_and_beside_sixteen(shared: Path) -> None:
    quiet = rows(shared)
    with machine_busy_with(16, seconds=3600):
        busy = rows(shared)
    assert busy == quiet
    *grades, reasons = map(json.loads, quiet.decode().splitlines())
    assert len(grades) == 664
    assert [grade["id"] for grade in grades if grade["reason"]] == []
    assert reasons == {name: reason for name, (_, reason) in ENDINGS.items()}
