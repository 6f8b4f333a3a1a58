"""Readers for test_reading_time.py: a text tells them what to do; the process that reads imports them by name."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError
from kit.records import Grade, Problem


def loop(problem: Problem) -> None:
    while True:
        pass


def loop_caught(problem: Problem) -> None:
    """No exception of a handler's ends it."""
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass


def loop_in_a_pattern(problem: Problem) -> None:
    re.match("(a|a)*$", "a" * 60 + "b")


def loop_in_c(problem: Problem) -> None:
    """One call, in which Python looks at no signal."""
    pow(7, 10**10)


def loop_writing(problem: Problem) -> None:
    """The system's own time counts too."""
    with Path(os.devnull).open("wb", buffering=0) as file:
        while True:
            file.write(b"x")


def memory(problem: Problem) -> None:
    taken = []
    while True:
        taken.append(bytearray(1 << 24))


def huge(problem: Problem) -> None:
    bytearray(1 << 45)


def stack(problem: Problem) -> None:
    """Fill the stack of C calls."""
    sys.setrecursionlimit(10**9)

    def deeper(_: Any) -> Any:
        return list(map(deeper, [0]))

    deeper(0)


def recursion(problem: Problem) -> None:
    recursion(problem)


def abort(problem: Problem) -> None:
    os.abort()


def segmentation_fault(problem: Problem) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(problem: Problem) -> None:
    sys.exit(3)


def leave_at_once(problem: Problem) -> None:
    os._exit(0)


def number(problem: Problem) -> None:
    int("9" * 5_000)


def closed_output(problem: Problem) -> None:
    os.closerange(1, 20)


def talk(problem: Problem) -> None:
    """More than a pipe holds, in Python and past it."""
    print("x" * 200_000)
    print("x" * 200_000, file=sys.stderr)
    sys.stdout.flush()
    os.write(1, b'{"text": "forged"}\n')


def killed(problem: Problem) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(problem: Problem) -> None:
    mark = Path(problem.data["mark"])
    if not mark.exists():
        mark.touch()
        killed(problem)


def wrong_request(problem: Problem) -> None:
    raise RequestError(f"problem {problem.id}: wrong kwargs")


def failed_check(problem: Problem) -> None:
    raise KitError("not installed")


def spend(problem: Problem) -> None:
    end = time.process_time() + problem.data["seconds"]
    while time.process_time() < end:
        pass


def sleep(problem: Problem) -> None:
    time.sleep(problem.data["seconds"])


def told_then_loop(problem: Problem) -> None:
    Path(problem.data["mark"]).write_text(str(os.getpid()), encoding="ascii")
    loop(problem)


def do(problem: Problem, text: str) -> None:
    """Call the function that a text of the form ``!name`` names."""
    if text.startswith("!"):
        globals()[text[1:]](problem)


def codes(protocol: str) -> Callable[[Problem, str], str]:
    """A reader that gives the text back."""

    def read(problem: Problem, text: str) -> str:
        do(problem, text)
        return f"{protocol} {problem.id} {text}"

    return read


def grades(protocol: str) -> Callable[[Problem, str], Grade]:
    """A reader that finds every text right."""

    def read(problem: Problem, text: str) -> Grade:
        do(problem, text)
        metric = problem.data.get("metric", "m")
        return Grade(id=problem.id, scores={metric: [1, 1]}, answer=text, reason="r")

    return read


def unmade(protocol: str) -> Callable[[Problem, str], str]:
    raise RequestError(f"no protocol named {protocol!r}")


def broken(protocol: str) -> Callable[[Problem, str], str]:
    raise ImportError("No module named 'langdetect'")


def ended(protocol: str) -> Callable[[Problem, str], str]:
    os.abort()
