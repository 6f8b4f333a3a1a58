"""Not a test: runs work in a fork that kills itself at an audit event, for tests of jobs that go on after it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
EVENTS = ("open", "os.rename", "os.remove", "test.row")
"""Audit events at which an attempt may end: files that are opened, renamed and removed, and rows that are computed."""


def attempt(work: Callable[[], int], last_event: int | None, *, after: str = "") -> int:
    """Do some work in a fork, which kills itself at an event; return its exit code, below 0 for a signal.

    Nothing is left of the attempt but what it put on the disk.

    Args:
        work: returns the exit code.
        last_event: which event is the last, counted from 1; None: the work ends by itself.
        after: event from which they are counted; empty: from the start.
    """
    sys.stdout.flush()  # or the fork would print it once more
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    seen, begun = 0, not after

    def hook(event: str, _: object) -> None:
        nonlocal seen, begun
        begun = begun or event == after
        if begun and event in EVENTS:
            seen += 1
            if seen == last_event:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)


def run_driver(driver: ModuleType, *words: str, **variables: str) -> str:
    """Run a driver of such tests, a module with a main program, in a process of its own; return what it printed."""
    command = [sys.executable, "-m", driver.__name__, *words]
    # its modules are found by the folder that it runs in
    done = subprocess.run(command, text=True, capture_output=True, check=False, cwd=ROOT, env=os.environ | variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
