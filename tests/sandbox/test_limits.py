"""Programs that will not end, or not in time."""

import pytest

from kit.sandbox import Calls, Program, Sandbox, client

CPU_S = 0.25
"""Seconds, few: a program that never ends takes all of them, in each tier and for each user of test_identities.py."""
IGNORING = (
    "import signal\nfor s in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU): signal.signal(s, signal.SIG_IGN)\n"
)
CASES = {
    "loop in the call": ("def f():\n    while True: pass", "cpu limit"),
    "loop at import": ("while True: pass", "cpu limit"),
    "loop that ignores signals": (IGNORING + "def f():\n    while True: pass", "cpu limit"),
    "loop that catches everything": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "cpu limit",
    ),
    "one long operation": ("def f(): return 3 ** (10 ** 9)", "cpu limit"),
    "hash flood": ("def f(): return {n * ((1 << 61) - 1) for n in range(40_000)}", "cpu limit"),
    "sleep": ("import time\ndef f(): time.sleep(100)", "wall limit"),
}


@pytest.mark.parametrize("case", CASES)
def test_ends_in_time(case: str, sandbox: Sandbox) -> None:
    code, reason = CASES[case]
    (verdict,) = sandbox.run([Program(id=case, code=code, tests="f()", names=("f",), cpu_s=CPU_S)])
    assert (verdict.passed, verdict.reason) == (False, reason)
    assert verdict.cpu_s < 2 * client.BACKSTOP_FACTOR  # at which the kernel ends it, give or take its ticks


def test_a_slow_machine_does_not_fail_what_sleeps_a_little(sandbox: Sandbox) -> None:
    # Wall seconds used to be the limit: on a busy machine right answers failed.
    code = "import time\ndef f(): time.sleep(1.5)"
    (verdict,) = sandbox.run([Program(id="nap", code=code, tests="f()", cpu_s=1)])
    assert verdict.passed


def test_calls_keep_what_came_before_the_limit(sandbox: Sandbox) -> None:
    code = "def f(x):\n    while x > 1: pass\n    return x"
    ((first, second, third, fourth),) = sandbox.replies(
        [Calls(id="c", code=code, name="f", arguments=((0,), (1,), (2,), (0,)), cpu_s=CPU_S)]
    )
    assert (first.value, second.value) == (0, 1)
    assert third.error == fourth.error == "cpu limit"
