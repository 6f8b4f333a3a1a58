"""Six attacks that every start tries from inside: a tier is what was observed, not what was asked for."""

from collections.abc import Sequence
from typing import Protocol

from kit.sandbox import Calls, Reply

ATTACKS = """
import os, resource, signal, socket

def read():
    open("/etc/passwd").close()

def write():
    open("/tmp/kit-sandbox-selftest", "w").close()

def connect():
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()

def fork():
    if os.fork() == 0:
        os._exit(0)

def signal_group():
    os.kill(0, 0)  # asks only whether a signal could be sent

def change_limits():
    resource.prlimit(0, resource.RLIMIT_NOFILE)

def got_through(name):
    try:
        globals()[name]()
    except (OSError, PermissionError):
        return False
    return True
"""
NAMES = ("read", "write", "connect", "fork", "signal_group", "change_limits")


class CanReply(Protocol):
    """The part of a sandbox that is tested: it runs functions of programs."""

    def replies(self, calls: Sequence[Calls]) -> list[list[Reply]]:
        """Run the calls, as :class:`kit.sandbox.Sandbox` has it."""
        ...


def failures(sandbox: CanReply) -> list[str]:
    """Return the attacks that got through, or why they could not be tried; empty if the sandbox holds."""
    control = Calls(id="selftest", code="def double(x):\n    return 2 * x\n", name="double", arguments=((21,),))
    attacks = Calls(id="selftest", code=ATTACKS, name="got_through", arguments=tuple((name,) for name in NAMES))
    (answer,), outcomes = sandbox.replies([control, attacks])
    if answer.value != 42:
        return [f"a plain program did not run: {answer.error}"]
    return [
        f"{name}: {outcome.error or 'got through'}"
        for name, outcome in zip(NAMES, outcomes, strict=True)
        if outcome.error or outcome.value is not False
    ]
