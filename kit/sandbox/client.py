"""The kit's side of one fork server: starts it, hands it programs, stops them at limits, and judges what they did."""

import contextlib
import math
import os
import secrets
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kit
from kit.sandbox import Calls, Program, Reply, Verdict, packages, pipes, selftest, wire
from kit.sandbox.outcome import TOO_LONG, Outcome, outcome_of
from kit.sandbox.watch import Watch

START = "import sys; sys.path.append({root!r}); from kit.sandbox.server import main; sys.path.pop(); main({fds})"
START_S = 600.0
"""Longest time for a server to lock itself; it is a fraction of a second, unless the machine is very busy."""
SLEEP_FACTOR = 4
"""Seconds a program may sleep for each of its CPU seconds."""
BACKSTOP_FACTOR = 4
"""The kernel ends a program at this many times its CPU seconds, should the kit get no core itself to do it in time. Not
at once: the kernel counts ticks, so that on a busy machine it ends a program too early, or too late."""
SEED_BYTES = 16
"""Size of the secret seed of a program's second run."""
ATTEMPTS = 3
"""Most runs of one program, if something outside the kit kills it, as a machine does that is short of memory."""


class ServerDiedError(Exception):
    """A fork server ended or fell silent."""


class Server:
    """One fork server and the pipes to it."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.second: Server | None = None
        """The one that has the packages, once a program has wanted one."""
        self._start()

    def _start(self) -> None:
        jobs, self.jobs = os.pipe()
        codes, self.codes = os.pipe()
        tests, self.tests = os.pipe()
        self.results, results = os.pipe()
        self.verdicts, verdicts = os.pipe()
        inherited = (jobs, codes, tests, results, verdicts)
        for fd in (self.codes, self.tests, self.verdicts):
            os.set_blocking(fd, False)
        self.used_up = False
        """Whether a program left something unread, which the next one would take for its own."""
        root = str(Path(kit.__file__).resolve().parents[1])
        # What -I stands for, but for -E, which would ignore the one variable: hashes, and with them the order of sets,
        # must be the same in every run. -S: no site-packages.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-s", "-S", "-B", "-c", START.format(root=root, fds=", ".join(map(str, inherited)))],
            env={"PYTHONHASHSEED": "0"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=inherited,
            start_new_session=True,
        )
        for fd in inherited:
            os.close(fd)
        wire.send(self.jobs, self.plan)

    def wait_until_locked(self) -> None:
        """Wait for the server's word that its locks are on.

        Raises:
            ServerDiedError: they are not; the message says which.
        """
        try:
            if not select.select([self.results], [], [], START_S)[0]:
                raise ServerDiedError("the fork server fell silent while it started")
            message = wire.receive(self.results)
        except EOFError as error:
            raise ServerDiedError("the fork server ended while it started") from error
        if "error" in message:
            raise ServerDiedError(message["error"])

    def run(self, code: str, tests: dict[str, Any], cpu_s: float) -> Outcome:
        """Run one program, however long it takes: a server that lives will answer, and one that died is seen at once.

        Raises:
            ServerDiedError: the server died; it must be restarted.
            WireError: code or tests are too long.
        """
        unread = {
            fd: memoryview(wire.frame(wire.packed(message)))
            for fd, message in ((self.codes, code), (self.tests, tests))
        }
        try:
            unread = {fd: pipes.written(fd, data) for fd, data in unread.items()}
            wire.send(self.jobs, {"cpu_s": BACKSTOP_FACTOR * math.ceil(cpu_s)})
            outcome = self._attend(unread, cpu_s)
            self.used_up = any(unread.values()) or any(map(pipes.size_of, unread))
        except (EOFError, BrokenPipeError) as error:
            raise ServerDiedError("the fork server ended") from error
        return outcome

    def _attend(self, unsent: dict[int, memoryview], cpu_s: float) -> Outcome:
        """Write what candidate and tester are to read, stop them at a limit, and read what the tester writes."""
        watch: Watch | None = None
        look_at, stopped = math.inf, ""
        written = bytearray()
        while True:
            left_s = max(0.0, look_at - time.monotonic()) if watch and not stopped else None
            writable = [fd for fd, data in unsent.items() if data]
            ready = select.select([self.results, self.verdicts], writable, [], left_s)
            for fd in ready[1]:
                unsent[fd] = pipes.written(fd, unsent[fd])
            if self.verdicts in ready[0]:
                written += os.read(self.verdicts, wire.AT_ONCE)
            if self.results in ready[0] and watch:  # both processes are gone, and nobody writes any more
                report = wire.receive(self.results)
                written += pipes.all_of(self.verdicts)
                return outcome_of(report, bytes(written), stopped=stopped, cpu_s=cpu_s)
            if self.results in ready[0]:
                watch = self._watch(cpu_s)
                look_at = time.monotonic() + watch.wait_s
            elif watch and not stopped:
                if len(written) > wire.LIMIT_BYTES:
                    stopped = TOO_LONG
                elif time.monotonic() >= look_at:
                    stopped = watch.exceeded()
                    look_at = time.monotonic() + watch.wait_s
                if stopped:
                    wire.send(self.jobs, {"stop": stopped})
            del written[wire.LIMIT_BYTES + 1 :]

    def _watch(self, cpu_s: float) -> Watch:
        pids = wire.receive(self.results)
        return Watch(server=self.process.pid, cpu_s=cpu_s, sleep_s=SLEEP_FACTOR * cpu_s, **pids)

    def with_packages(self) -> "Server":
        """Return the server that has the packages; the first time it is started, and tried with attacks.

        Raises:
            ServerDiedError: it did not start, or does not hold.
        """
        if self.second is None:
            server = Server(self.plan | {"preload_packages": True})
            try:
                server.wait_until_locked()
                if failures := selftest.failures(server):
                    raise ServerDiedError(f"the self-test failed ({', '.join(failures)})")
            except BaseException:
                server.stop()
                raise
            self.second = server
        return self.second

    def replies(self, calls: Sequence[Calls]) -> list[list[Reply]]:
        """Return the replies of each function to each of its arguments, in order."""
        return [replies_of(each, self) for each in calls]

    def stop(self) -> None:
        """End the server and, with it, whatever it forked; and the second."""
        if self.second is not None:
            self.second.stop()
            self.second = None
        self._stop()

    def _stop(self) -> None:
        for fd in (self.jobs, self.codes, self.tests, self.results, self.verdicts):
            with contextlib.suppress(OSError):
                os.close(fd)
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """A new server in place of this one."""
        self._stop()
        self._start()
        self.wait_until_locked()


def run_safely(server: Server, code: str, tests: dict[str, Any], cpu_s: float) -> Outcome:
    """Run one program, where it has the packages that it wants.

    A program that asks for a package by a name that cannot be seen in it ends where it asks, and is run once more: it
    gets what it would have got from the server that has the package.
    """
    if server.plan["preload_packages"] or not server.plan["packages"]:
        return _run_safely(server, code, tests, cpu_s)
    if not packages.named(code, tests.get("setup", ""), tests.get("tests", "")):
        outcome = _run_safely(server, code, tests, cpu_s)
        if not outcome.wants_package:
            return outcome
    return _run_safely(server.with_packages(), code, tests, cpu_s)


def _run_safely(server: Server, code: str, tests: dict[str, Any], cpu_s: float) -> Outcome:
    """Run one program; a server that died, or whose program left its code or tests unread, is replaced.

    What something outside the kit killed, it did not kill for what the program is: the program is run again.
    """
    outcome = Outcome(frames=[])
    for _ in range(ATTEMPTS):
        try:
            outcome = server.run(code, tests, cpu_s)
        except ServerDiedError:
            outcome = Outcome(frames=[], killed=True)
        except wire.WireError:
            outcome = Outcome(frames=[], limit=TOO_LONG)
        if not outcome.frames or server.used_up:
            server.restart()
        if not outcome.killed:
            break
    return outcome


def verdict_of(program: Program, server: Server) -> Verdict:
    """Run one program and judge it: passed only if the tester said so, and said nothing else, within the limits.

    Tests that draw random numbers draw the same in each run, so that verdicts can be repeated, and so that a completion
    could draw them too, where it should compute. What passes such tests is run again on numbers from a secret seed, and
    has to pass once more: no pass rests on numbers that a completion can know. One that is right for any numbers gets
    the same verdict in each run. No fixed seed would do, however it is made from code and tests: this file is public,
    and a completion can hold the tests and read its own code.
    """
    tests: dict[str, Any] = {"setup": program.setup, "tests": program.tests, "names": list(program.names)}
    verdict, drew = _judged(program, tests, server)
    if not drew:
        return verdict
    again, _ = _judged(program, tests | {"seed": secrets.token_hex(SEED_BYTES)}, server)
    return verdict if again.passed else again


def _judged(program: Program, tests: dict[str, Any], server: Server) -> tuple[Verdict, bool]:
    """Return the verdict of one run, and whether it is a pass of tests that drew random numbers."""
    outcome = run_safely(server, program.code, tests, program.cpu_s)
    report = outcome.frames[1] if len(outcome.frames) == 2 else {}
    passed = report.get("passed") is True and not outcome.limit
    reason = "" if passed else outcome.reason(report)
    verdict = Verdict(id=program.id, passed=passed, reason=reason, cpu_s=outcome.cpu_s)
    return verdict, passed and bool(report["drew"])


def replies_of(calls: Calls, server: Server) -> list[Reply]:
    """Make all calls of one function."""
    arguments = [wire.encode(args, _not_plain) for args in calls.arguments]
    outcome = run_safely(server, calls.code, {"name": calls.name, "arguments": arguments}, calls.cpu_s)
    replies, reason = [], outcome.reason({})
    for frame in outcome.frames[1:]:
        if "value" in frame:
            replies.append(Reply(value=wire.decode(frame["value"], _no_handle)))
        elif "error" in frame:
            replies.append(Reply(error=frame["error"]))
        else:
            reason = outcome.reason(frame)
    return replies + [Reply(error=reason)] * (len(arguments) - len(replies))


def _not_plain(value: Any) -> int:
    raise TypeError(f"{type(value).__name__} is not plain data")


def _no_handle(number: int) -> Any:
    raise wire.WireError(f"handle {number} where plain data was wanted")
