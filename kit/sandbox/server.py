"""The fork server of one worker: it locks itself once, then forks a candidate and a tester for each program.

It runs in a Python without site-packages and without an environment, knows no tests, and its own locks are what its
children inherit. It imports the standard library's usual modules and numpy first: a fork then has them for nothing.
"""

import contextlib
import gc
import importlib
import os
import random
import select
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from kit.sandbox import candidate, lock, packages, tester, watch, wire

PRELOADED = (
    "__future__ abc array ast base64 binascii bisect calendar cmath collections collections.abc contextlib copy csv",
    "dataclasses datetime decimal difflib encodings.ascii encodings.latin_1 encodings.utf_16 enum fractions functools",
    "hashlib heapq html inspect io itertools json keyword locale math numbers operator pprint queue re resource",
    "secrets signal socket statistics string stringprep struct textwrap threading time timeit tokenize traceback types",
    "typing unicodedata urllib.parse uuid warnings weakref zlib",
)
"""What completions use; the rest of the standard library is read when asked for, where files can be read."""
PRELOADED_WITHOUT_FILES = (
    "argparse asyncio bz2 cmd codecs concurrent.futures doctest email.utils fcntl glob graphlib gzip hmac ipaddress",
    "logging lzma pathlib pickle platform random sched shlex shutil subprocess tempfile unittest unittest.mock",
    "xml.etree.ElementTree",
)
"""In tier 2, where no file can be read, only these can be imported as well."""


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


def spawn(keep: Iterable[int], cpu_s: int, child_filter: bytes, main: Callable[[], None]) -> int:
    """Fork a child that locks itself further, runs ``main`` and exits; returns its process id."""
    if pid := os.fork():
        return pid
    status = 0
    try:
        close_all_but(keep)
        lock.prctl(lock.PR_SET_PDEATHSIG, signal.SIGKILL)
        lock.limit(cpu_s)
        if child_filter:
            lock.install_filter(child_filter)
        gc.enable()
        random.seed(0)  # here, since a fork seeds it anew
        packages.seed(sys.modules)
        main()
    except MemoryError:  # so little is left that it could not even be said on the pipe
        status = wire.EXIT_NO_MEMORY
    finally:
        os._exit(status)


def collect(verdicts: int, jobs: int) -> tuple[bytes, bool]:
    """All that comes through a pipe until it is closed or the kit says stop; and whether it was too much.

    Raises:
        EOFError: the kit is gone.
    """
    data = bytearray()
    while len(data) <= wire.LIMIT_BYTES:
        ready = select.select([verdicts, jobs], [], [])[0]
        if jobs in ready:
            wire.receive(jobs)
            return bytes(data), False
        if not (part := os.read(verdicts, 1 << 20)):
            return bytes(data), False
        data += part
    return bytes(data[: wire.LIMIT_BYTES]), True


def end(pid: int) -> dict[str, Any]:
    """Kill and reap a child; says how it went, and what it took until then."""
    cpu_s = watch.cpu_of(pid)
    os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    return {"exit": os.waitstatus_to_exitcode(status), "cpu_s": cpu_s, "peak_bytes": usage.ru_maxrss << 10}


def serve_one(job: dict[str, Any], fds: tuple[int, int, int], child_filter: bytes) -> tuple[dict[str, Any], bytes]:
    """Run one program; returns how its two processes ended, and what the tester wrote."""
    jobs, tests, results = fds
    request_read, request_write = os.pipe()
    reply_read, reply_write = os.pipe()
    candidate_pid = spawn(
        {request_read, reply_write},
        job["cpu_s"],
        child_filter,
        lambda: candidate.run(job["code"], request_read, reply_write),
    )
    os.close(request_read)
    os.close(reply_write)
    verdict_read, verdict_write = os.pipe()  # after the first fork: the candidate never had it
    tester_pid = spawn(
        {tests, request_write, reply_read, verdict_write},
        job["cpu_s"],
        child_filter,
        lambda: tester.run(tests, request_write, reply_read, verdict_write),
    )
    for fd in (request_write, reply_read, verdict_write):
        os.close(fd)
    wire.send(results, {"candidate": candidate_pid, "tester": tester_pid})
    written, too_long = collect(verdict_read, jobs)
    os.close(verdict_read)
    return {"too_long": too_long, "candidate": end(candidate_pid), "tester": end(tester_pid)}, written


def main(jobs: int, tests: int, results: int) -> None:
    """Lock, report, and serve until the kit closes the pipe."""
    # All descriptors under the limit of open files, where the children close what is not theirs.
    inherited = (jobs, tests, results)
    jobs, tests, results = (os.dup(fd) for fd in inherited)
    for fd in inherited:
        os.close(fd)
    plan = wire.receive(jobs)
    files = bool(plan["landlock"] or plan["unsafe"])
    preload(PRELOADED if files else PRELOADED + PRELOADED_WITHOUT_FILES)
    try:
        packages.preload(plan["packages"], files=files)
        lock_down(plan)
    except (lock.LockError, ImportError, OSError, ValueError) as error:
        wire.send(results, {"error": str(error)})
        return
    child_filter = bytes.fromhex(plan["child_filter"])
    gc.disable()
    gc.freeze()
    wire.send(results, {"locked": True})
    while True:
        try:
            job = wire.receive(jobs)
            if "stop" in job:  # it came when its program had ended by itself
                continue
            ended, written = serve_one(job, (jobs, tests, results), child_filter)
        except EOFError:  # what still runs dies with this process
            return
        wire.send(results, ended)
        wire.write_frame(results, written)
        del job, written
