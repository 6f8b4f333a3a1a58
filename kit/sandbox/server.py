"""The fork server of one worker: it locks itself once, then forks a candidate and a tester for each program.

It runs in a Python without site-packages and without an environment, and its own locks are what its children inherit.
It imports the standard library's usual modules first, and numpy if its plan says so: a fork then has them for nothing.

No program passes through it: candidates read their code, testers their tests, and the kit what testers write, each on a
pipe of its own. So no memory that a program inherits ever held anything of an earlier one.
"""

import contextlib
import fcntl
import gc
import importlib
import os
import random
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from kit.sandbox import caller, candidate, lock, packages, tester, watch, wire
from kit.sandbox.pipes import at_end

PRELOADED = (
    "__future__ abc array ast base64 binascii bisect calendar cmath collections collections.abc contextlib copy csv",
    "dataclasses datetime decimal difflib encodings.ascii encodings.latin_1 encodings.utf_16 enum fractions functools",
    "hashlib heapq html inspect io itertools json keyword locale math numbers operator pprint queue re resource",
    "secrets signal socket statistics string stringprep struct textwrap threading time timeit tokenize traceback types",
    "typing unicodedata urllib.parse uuid warnings weakref zlib",
)
"""Modules that completions use; the rest of the standard library is read when asked for, where files can be read."""
PRELOADED_WITHOUT_FILES = (
    "argparse asyncio bz2 cmd codecs concurrent.futures doctest email.utils fcntl glob graphlib gzip hmac ipaddress",
    "logging lzma pathlib pickle platform random sched shlex shutil subprocess tempfile unittest unittest.mock",
    "xml.etree.ElementTree",
)
"""In tier 2, where no file can be read, only these can be imported as well."""


QUIET_S = 0.02
"""Seconds for which a function runs before the kit is told to watch it: most end sooner."""


class Pipes(NamedTuple):
    """The descriptors of a fork server."""

    jobs: int
    """From the kit: when to run a program, and when to stop it; nothing of the program."""
    codes: int
    """From the kit to candidates: the code of programs."""
    tests: int
    """From the kit to testers: the tests of programs."""
    results: int
    """To the kit: which processes run a program, and how they ended."""
    verdicts: int
    """From testers to the kit; a candidate closes it before it runs anything. A process that calls a function, and has
    no tester, writes here itself."""


def preload(names: Iterable[str]) -> None:
    """Import modules; one that this Python was built without is left out."""
    for name in " ".join(names).split():
        with contextlib.suppress(ImportError):
            importlib.import_module(name)


def lock_down(plan: dict[str, Any]) -> None:
    """Give up all that the plan says, for good."""
    lock.limit()
    if plan["unsafe"]:
        return
    lock.drop_capabilities()
    lock.prctl(lock.PR_SET_DUMPABLE, 0)
    lock.prctl(lock.PR_SET_NO_NEW_PRIVS, 1)
    if plan["landlock"]:
        lock.restrict_files(plan["landlock"], packages.folders(plan["packages"]))
    lock.install_filter(bytes.fromhex(plan["server_filter"]))


def close_all_but(keep: Iterable[int]) -> None:
    """Close every descriptor but these and the three standard ones, which are /dev/null."""
    low = 3
    for fd in sorted(keep):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, lock.OPEN_FILES)


def spawn(keep: Iterable[int], main: Callable[[], None], *, cpu_s: int, memory_bytes: int, child_filter: bytes) -> int:
    """Fork a child that locks itself further, runs ``main`` and exits; returns its process id."""
    if pid := lock.fork():
        return pid
    status = 0
    try:
        close_all_but(keep)
        lock.prctl(lock.PR_SET_PDEATHSIG, signal.SIGKILL)
        lock.limit_child(cpu_s, memory_bytes)
        if child_filter:
            lock.install_filter(child_filter)
        gc.enable()
        random.seed(0)
        main()
    except MemoryError:  # so little is left that it could not even be said on the pipe
        status = wire.EXIT_NO_MEMORY
    finally:
        os._exit(status)


def end(pid: int) -> dict[str, Any]:
    """Kill and reap a child; says how it went, and what it took until then."""
    cpu_s = watch.cpu_of(pid)
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return {"exit": os.waitstatus_to_exitcode(status), "cpu_s": cpu_s, "peak_bytes": usage.ru_maxrss << 10}


def serve_one(cpu_s: int, pipes: Pipes, child_filter: bytes, first_random: list[float]) -> dict[str, Any]:
    """Run one program until its tester is gone or the kit says stop; returns how its two processes ended.

    Raises:
        EOFError: the kit is gone.
    """
    request_read, request_write = os.pipe()
    reply_read, reply_write = os.pipe()
    candidate_pid = spawn(
        {pipes.codes, request_read, reply_write},
        lambda: candidate.run(pipes.codes, request_read, reply_write),
        cpu_s=cpu_s, memory_bytes=lock.MEMORY_BYTES, child_filter=child_filter,
    )  # fmt: skip
    os.close(request_read)
    os.close(reply_write)
    ended_read, ended_write = os.pipe()  # the tester alone holds it: it closes with the tester's end
    tester_pid = spawn(
        {pipes.tests, request_write, reply_read, pipes.verdicts, ended_write},
        lambda: tester.run(pipes.tests, request_write, reply_read, pipes.verdicts, first_random),
        cpu_s=cpu_s, memory_bytes=lock.TESTER_BYTES, child_filter=child_filter,
    )  # fmt: skip
    for fd in (request_write, reply_read, ended_write):
        os.close(fd)
    wire.send(pipes.results, {"candidate": candidate_pid, "tester": tester_pid})
    if pipes.jobs in select.select([ended_read, pipes.jobs], [], [])[0]:
        wire.receive(pipes.jobs)  # stop
    os.close(ended_read)
    return {"candidate": end(candidate_pid), "tester": end(tester_pid)}


def call_one(cpu_s: int, pipes: Pipes, child_filter: bytes) -> dict[str, Any]:
    """Run one model-written function on its inputs, which needs no tester; returns how its process ended.

    Raises:
        EOFError: the kit is gone.
    """
    ended_read, ended_write = os.pipe()
    pid = spawn(
        {pipes.codes, pipes.verdicts, ended_write},
        lambda: caller.run(pipes.codes, pipes.verdicts),
        cpu_s=cpu_s, memory_bytes=lock.MEMORY_BYTES, child_filter=child_filter,
    )  # fmt: skip
    os.close(ended_write)
    os.set_blocking(ended_read, False)
    tell_at = time.monotonic() + QUIET_S
    while True:
        if tell_at and time.monotonic() >= tell_at:
            wire.send(pipes.results, {"watch": pid})
            tell_at = 0.0
        ready = select.select([ended_read, pipes.jobs], [], [], QUIET_S if tell_at else None)[0]
        if pipes.jobs in ready:
            wire.receive(pipes.jobs)  # stop
            break
        if ended_read in ready and at_end(ended_read):
            break  # else the function wrote into it, which says nothing
    os.close(ended_read)
    report = end(pid)
    fcntl.fcntl(pipes.verdicts, fcntl.F_SETFL, 0)  # the function may have changed how the shared pipe behaves
    return {"candidate": report}


def main(*inherited: int) -> None:
    """Lock, report, and serve until the kit closes the pipe.

    Args:
        inherited: the descriptors of :class:`Pipes`, in order.
    """
    # All descriptors under the limit of open files, where the children close what is not theirs.
    pipes = Pipes(*map(os.dup, inherited))
    for fd in inherited:
        os.close(fd)
    plan = wire.receive(pipes.jobs)
    files = bool(plan["landlock"] or plan["unsafe"])
    preload(PRELOADED if files else PRELOADED + PRELOADED_WITHOUT_FILES)
    absent = {} if plan["preload_packages"] else plan["packages"]
    try:
        if absent:
            room = packages.room()  # noqa: F841 (kept as long as the server lives)
            sys.meta_path.append(packages.Absent(absent))
        else:
            packages.preload(plan["packages"], files=files)
        lock_down(plan)
    except (lock.LockError, ImportError, OSError, ValueError) as error:
        wire.send(pipes.results, {"error": str(error)})
        return
    child_filter = bytes.fromhex(plan["child_filter"])
    packages.seed(sys.modules)
    first_random = packages.next_random(sys.modules)
    packages.seed(sys.modules)
    gc.disable()
    gc.freeze()
    wire.send(pipes.results, {"locked": True})
    with contextlib.suppress(EOFError):  # the kit is gone; what still runs dies with this process
        while True:
            job = wire.receive(pipes.jobs)
            if "function" in job:
                wire.send(pipes.results, call_one(job["cpu_s"], pipes, child_filter))
            elif "stop" not in job:  # else it came when its program had ended by itself
                wire.send(pipes.results, serve_one(job["cpu_s"], pipes, child_filter, first_random))
