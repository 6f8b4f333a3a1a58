"""The pool of fork servers: how many run at once, which locks they hold, and the work spread over them."""

import contextlib
import math
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from kit.errors import KitError, RequestError
from kit.machine.cgroups import free_memory, memory_for, memory_limit, programs_within
from kit.sandbox import Calls, Function, Program, Reply, Returned, Verdict, functions, lock, packages, seccomp, selftest
from kit.sandbox.client import Server, ServerDiedError, replies_of, verdict_of


class Pool:
    """The workers; one thread of the kit serves each."""

    def __init__(self, plan: dict[str, Any], workers: int, tier: str) -> None:
        self.tier = tier
        self.workers = workers
        self.packages: Mapping[str, str] = packages.versions()
        self.servers: list[Server] = []
        try:
            self.servers.extend(Server(plan) for _ in range(workers))
            for server in self.servers:
                server.wait_until_locked()
        except BaseException:
            self.close()
            raise

    def run(self, programs: Sequence[Program], progress: Callable[[int], None] | None = None) -> list[Verdict]:
        """Return one verdict a program, in order; ``progress`` is told how many are done."""
        return self._all(verdict_of, programs, progress)

    def replies(self, calls: Sequence[Calls], progress: Callable[[int], None] | None = None) -> list[list[Reply]]:
        """Return the replies of each function to each of its arguments, in order."""
        return self._all(replies_of, calls, progress)

    def call_functions(
        self, wanted: Sequence[Function], progress: Callable[[int, int], None] | None = None
    ) -> list[Returned]:
        """Call each function on its inputs, in one process a function; in order."""

        def spread(once: Sequence[Function]) -> list[Returned]:
            if progress is None:
                return self._all(functions.returned_of, once, None)
            progress(0, len(once))
            return self._all(functions.returned_of, once, lambda done: progress(done, len(once)))

        return functions.call_all(wanted, self.packages, spread)

    def call(self, source: str, name: str, arguments: Sequence[Any]) -> Any:
        """Run one function of an untrusted file and return its value.

        Raises:
            RequestError: it gave no plain value; the message says why.
        """
        calls = Calls(id=name, code=source, name=name, arguments=(tuple(arguments),))
        reply = self.replies([calls])[0][0]
        if reply.error:
            raise RequestError(
                f"{name}: {reply.error}; wanted a function that returns plain data when run in the sandbox"
            )
        return reply.value

    def _all(self, work: Callable[[Any, Server], Any], items: Sequence[Any], progress: Any) -> list[Any]:
        """Spread the items over the servers; results in the order of the items."""
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[int, Any, BaseException | None]] = queue.SimpleQueue()
        for index in range(len(items)):
            todo.put(index)

        def serve(server: Server) -> None:
            with contextlib.suppress(queue.Empty):
                while True:
                    index = todo.get_nowait()
                    try:
                        done.put((index, work(items[index], server), None))
                    except Exception as error:
                        done.put((index, None, error))

        for server in self.servers:
            threading.Thread(target=serve, args=(server,), daemon=True).start()
        results: list[Any] = [None] * len(items)
        for count in range(1, len(items) + 1):
            index, results[index], error = done.get()
            if error is not None:
                while not todo.empty():
                    with contextlib.suppress(queue.Empty):
                        todo.get_nowait()
                raise KitError(f"sandbox: {items[index].id}: {type(error).__name__}: {error}") from error
            if progress is not None:
                progress(count)
        return results

    def close(self) -> None:
        """Stop the worker processes of the sandbox."""
        for server in self.servers:
            server.stop()
        self.servers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def plan_of(tier: int, abi: int) -> dict[str, Any]:
    """Return the locks that a server is told to set: tier 1 and 2, or 3 for limits alone."""
    common = {"packages": packages.found(), "preload_packages": False}
    if tier == 3:
        return common | {"unsafe": True, "landlock": 0, "child_filter": "", "server_filter": ""}
    return common | {
        "unsafe": False,
        "landlock": abi if tier == 1 else 0,
        "server_filter": seccomp.server_filter(read_files=tier == 1).hex(),
        "child_filter": seccomp.child_filter().hex(),
    }


def parallel_programs(wanted: int, limit_bytes: int | None, free_bytes: int | None) -> int:
    """Return how many programs may run at once: all they may hold, and the kit beside them, has to fit into the memory.

    Args:
        wanted: at most so many.
        limit_bytes: what this process's control group may use; ``None`` where it is held to nothing.
        free_bytes: what the machine has free; ``None`` where nobody says. One program is run in any case: the machine
            may have more, once it is asked for it.

    Raises:
        RequestError: the control group has no room for one program.
    """
    room = wanted if limit_bytes is None else programs_within(limit_bytes)
    if room < 1:
        needed, held = memory_for(1) / 2**30, (limit_bytes or 0) / 2**30
        raise RequestError(
            f"the sandbox needs {needed:.1f} GiB of memory, so that a program may fill what it is allowed; the control "
            f"group of this process is held to {held:.1f} GiB. Give its container or service more, as with podman's or "
            f"docker's --memory={math.ceil(needed)}g"
        )
    free = programs_within(free_bytes) if free_bytes is not None else wanted
    return max(1, min(wanted, room, free))


def open_pool(*, workers: int | None, unsafe: bool, force_tier: int | None) -> Pool:
    """Open a pool of sandbox servers; see :func:`kit.sandbox.open_sandbox`."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    count = parallel_programs(max(1, min(workers or cores, cores)), memory_limit(), free_memory())
    if unsafe:
        return Pool(plan_of(3, 0), count, "unsafe")
    if sys.platform != "linux":
        cure = f"this is {sys.platform}: use the container"
        raise RequestError(seccomp.MISSING.format(what="the Linux kernel", cure=cure))
    abi = lock.landlock_abi()
    tiers = [force_tier] if force_tier else [1, 2]
    refusals = []
    for tier in tiers:
        if tier == 1 and not abi:
            refusals.append("tier 1: the kernel has no Landlock, or it is switched off")
            continue
        name = f"landlock-v{abi}+seccomp" if tier == 1 else "seccomp"
        try:
            pool = Pool(plan_of(tier, abi), count, name)
        except ServerDiedError as error:
            refusals.append(f"tier {tier}: {error}")
            continue
        if not (failures := selftest.failures(pool)):
            return pool
        pool.close()
        refusals.append(f"tier {tier}: the self-test failed ({', '.join(failures)})")
    cure = "run it where the kernel and the container's profile allow seccomp filters (docker's default does)"
    raise RequestError(seccomp.MISSING.format(what=f"a kernel that locks a process; {'; '.join(refusals)}", cure=cure))
