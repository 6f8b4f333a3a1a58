"""For each job of a plan: skip what the store has, start a worker for the rest, go on where one fails."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from kit.containers import Containers
from kit.containers.client import client_environment, end_container, end_leftover_containers
from kit.errors import KitError
from kit.machine.locks import check_installed
from kit.run import events
from kit.run.handover import Exchange, exchange
from kit.run.launch import Options, Shape, check_folders, command, command_in_container, environment
from kit.store import Job, Store
from kit.workers import KINDS, kind_of

Listener = Callable[[str, Job, Mapping[str, Any]], None]
"""Called with (event, job, its fields): ``cached``, ``start``, ``progress``, ``done``, ``failed``, ``blocked``."""
START_S, ROW_S = 900.0, 120.0
"""Seconds that a container with model-written code may take for a job: to start, and for each completion, twice what a
program may."""
LONGEST_REASON = 4000
"""Characters that are kept of a worker's reason or line."""


@dataclass(slots=True)
class Outcome:
    """What became of a plan's jobs; every key is in one of cached, done, failed and blocked."""

    cached: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """key -> reason."""
    blocked: dict[str, str] = field(default_factory=dict)
    """key -> the job it waits for: one that failed, or one of no part of this run."""
    interrupted: list[str] = field(default_factory=list)
    """Jobs that an earlier run had left half-written; cleared before this one began."""
    wall_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Limits:
    """What one worker is held to: nothing, unless it runs model-written code in a container."""

    memory: str = ""
    """As the runtime writes it, ``4g``; empty: none."""
    wall_s: float = 0.0
    """Seconds on the clock; 0: none."""
    rows: int = 0
    """Completions that the time is for."""
    timed_out: threading.Event = field(default_factory=threading.Event)
    """Set when the time was up."""

    @classmethod
    def for_worker(cls, shape: Shape, jobs: Iterable[Job], options: Options, store: Store) -> "Limits":
        """Return memory and wall-clock limits of one worker: :data:`START_S` a job and :data:`ROW_S` a completion."""
        if options.containers is None or not shape.kind.untrusted:
            return cls()
        made = [[store.get(key).rows for key in job.inputs.values() if store.has(key)] for job in jobs]
        rows = sum(max(counts, default=0) for counts in made)
        wall_s = min(START_S * len(made) + ROW_S * rows, threading.TIMEOUT_MAX)
        return cls(memory=options.containers.memory_cap, wall_s=wall_s, rows=rows)


def execute(jobs: Mapping[str, Job], store: Store, options: Options, listen: Listener) -> Outcome:
    """Run what the store lacks, in as few worker starts as the stages allow.

    A failed job doesn't stop those that don't need it. Whatever is committed stays, however this process ends.

    Raises:
        RequestError: jobs would run here, and this Python has other packages than their locks; or a container can't be
            given a folder of that name.
    """
    started = time.monotonic()
    for job in jobs.values():
        kind_of(job)  # an unknown kind is refused before any work
    check_folders(options)
    run = Run(jobs, store, options, listen)
    run.clear_left_overs()
    for key in jobs:
        run.add(key)
    if options.containers is None:  # an image was built from its lock
        check_installed(run.pending.values())
    while batch := next_batch(run.pending, jobs, store):
        run.start_worker(*batch)
    run.name_blocked()
    run.outcome.wall_s = time.monotonic() - started
    return run.outcome


class Run:
    """One run of a plan: its jobs that are still to do, what became of the others, and who is told."""

    def __init__(self, jobs: Mapping[str, Job], store: Store, options: Options, listen: Listener) -> None:
        self.jobs = jobs
        self.store = store
        self.options = options
        self.listen = listen
        self.pending: dict[str, Job] = {}
        """key -> job; a job leaves it when it is done or has failed."""
        self.outcome = Outcome()

    def clear_left_overs(self) -> None:
        """End the containers of dead runs and remove what was half-written, in this order: they may be writing it."""
        if self.options.containers and any(not self.store.has(key) for key in self.jobs):
            end_leftover_containers(self.options.containers.runtime, self.store)
        left = self.store.half_written(remove=True)
        self.outcome.interrupted = [key for key in left if key in self.jobs and not self.store.has(key)]

    def add(self, key: str) -> None:
        """Sort a job in: it is done already, can't be begun, or is to do."""
        job, done = self.jobs[key], self.store.has(key)
        if not (done and os.path.lexists(self.store.root / "jobs" / f"{key}.json")):  # a done job's is not read here
            self.store.plan(job)
        if done:
            self.outcome.cached.append(key)
            self.listen("cached", job, {"rows": self.store.get(key).rows})
            return
        self.pending[key] = job
        if fault := _not_ready(key, self.store):
            self.fail(key, fault)

    def finish(self, key: str) -> None:
        """Take a job off the list that the store has now."""
        del self.pending[key]
        self.outcome.done.append(key)

    def fail(self, key: str, reason: str) -> None:
        """Take a job off the list that failed; record the reason, also in the store, and tell it."""
        job = self.pending.pop(key)
        self.outcome.failed[key] = reason
        self.store.record_failure(job, reason)
        self.listen("failed", job, {"reason": reason})

    def name_blocked(self) -> None:
        """Say of each job that is left which other it waits for."""
        for key, job in self.pending.items():
            cause = _cause(key, self.jobs, self.outcome.failed)
            self.outcome.blocked[key] = cause
            self.listen("blocked", job, {"by": self.jobs[cause].id if cause in self.jobs else f"job {cause[:10]}"})

    def start_worker(self, shape: Shape, keys: list[str]) -> None:
        """Start one worker and follow it until each of its jobs has ended, or the worker has."""
        options, containers = self.options, self.options.containers
        limits = Limits.for_worker(shape, [self.pending[key] for key in keys], options, self.store)
        starting = {"done": 0, "total": 0, "tokens": 0, "phase": "starting a worker"}
        self.listen("progress", self.pending[keys[0]], starting)
        with contextlib.ExitStack() as stack:
            folders = stack.enter_context(_exchange(shape, keys, containers, self.store)) if containers else None
            process = _start(shape, keys, options, folders)
            if folders and containers:
                stack.callback(_end, process, containers.runtime, folders.name)
                if limits.wall_s:
                    stack.callback(_stop_in_time(limits, process, containers.runtime, folders.name).cancel)
            Worker(self, keys, folders, limits).follow(process)


def _not_ready(key: str, store: Store) -> str:
    """Return why a job can't be locked or logged: something odd is in the place of its files; empty if it can."""
    try:
        store.check_ready(key)
    except (KitError, OSError) as error:
        return str(error)
    return ""


def next_batch(pending: Mapping[str, Job], jobs: Mapping[str, Job], store: Store) -> tuple[Shape, list[str]] | None:
    """Return the next worker's shape and jobs, of one kind, that need nothing but each other; None if there is none.

    Kinds are looked at in their order, so that the jobs of a later kind wait until more of them can share a worker.
    """
    found = {key: Shape.of(job) for key, job in pending.items()}
    for kind in KINDS.values():
        shapes: dict[Shape, list[str]] = {}
        for key, job in pending.items():
            shape = found[key]
            if shape.kind != kind:
                continue
            mine = shapes.setdefault(shape, [])
            if all(needed in mine or store.has(needed) for needed in job.inputs.values()):
                mine.append(key)
        for shape, keys in shapes.items():
            if keys:
                return shape, by_model(keys, jobs)
    return None


def by_model(keys: Iterable[str], jobs: Mapping[str, Job]) -> list[str]:
    """Return an order in which each job follows its inputs and each model is opened as rarely as can be.

    Jobs of the model that is open go first. The next is a model none of whose jobs waits for another's, if there is
    one, and of the same shape, if there is one: an engine may take its weights without a new start.
    """
    left = dict.fromkeys(keys)
    order: list[str] = []
    model: str | None = None

    def ready(key: str) -> bool:
        return not any(needed in left for needed in jobs[key].inputs.values())

    def model_of(key: str) -> str | None:
        return jobs[key].inputs.get("model")

    def shape_of(key: str) -> Any:
        return jobs[key].resources.get("shape")

    while left:
        now = [key for key in left if ready(key)]
        same = [key for key in now if model_of(key) == model]
        if not same:
            waiting = {model_of(key) for key in left if not ready(key)}
            free = [key for key in now if model_of(key) not in waiting] or now
            alike = [key for key in free if order and shape_of(key) == shape_of(order[-1])]
            model = model_of((alike or free)[0])
            same = [key for key in now if model_of(key) == model]
        order.append(same[0])
        del left[same[0]]
    return order


def _exchange(
    shape: Shape, keys: list[str], containers: Containers, store: Store
) -> contextlib.AbstractContextManager[Exchange]:
    """Return the folders through which a worker in a container hands over its output, with its jobs' locks held."""
    image = containers.image(shape.kind, shape.environment)
    return exchange(
        store,
        keys,
        other_user=os.geteuid() == 0 and not containers.rootless,
        copies=shape.kind.untrusted,
        observed={"image": image.digest, "commit": image.revision or None, "dirty": None},
    )


def _stop_in_time(limits: Limits, process: subprocess.Popen[str], runtime: str, name: str) -> threading.Timer:
    """Start a timer that ends a worker's container when its time is up."""

    def stop() -> None:
        limits.timed_out.set()
        end_container(runtime, name)
        if runtime == "apptainer":
            _kill(process)

    timer = threading.Timer(limits.wall_s, stop)
    timer.daemon = True
    timer.start()
    return timer


def _end(process: subprocess.Popen[str], runtime: str, name: str) -> None:
    """Wait for a container's client to end, and end both where they don't: the container's folder is removed next."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    if process.returncode != 0:  # the client may be gone, or deaf, and the container at work
        end_container(runtime, name)
    if process.returncode is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _start(shape: Shape, keys: list[str], options: Options, folders: Exchange | None) -> subprocess.Popen[str]:
    """Start the worker's process: Python here, or the runtime's client with Python in a container."""
    cpu = shape.environment != "cuda"
    if options.containers and folders:
        words = command_in_container(shape, keys, options, options.containers, folders, cpu=cpu)
        variables = client_environment(options.containers.runtime, shape.kind)
    else:
        words, variables = command(shape, keys, options, cpu=cpu), environment(shape, cpu=cpu)
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        cwd=folders.folder if folders else None,
        start_new_session=True,
    )


class Worker:
    """A worker that is at work: what it says, and which of its jobs have ended."""

    def __init__(self, run: Run, keys: list[str], folders: Exchange | None, limits: Limits) -> None:
        self.run = run
        self.keys = keys
        self.folders = folders
        """Where it hands over its output, if it is in a container."""
        self.limits = limits
        self.current = keys[0]
        """The job that it began last, or is to begin first."""
        self.ended_one = False
        """Whether any of its jobs has ended."""
        self.tail: list[str] = []
        """The last lines that it printed."""

    def follow(self, process: subprocess.Popen[str]) -> None:
        """Act on what a worker says until it ends; if it ended early, one of its jobs has failed."""
        try:
            assert process.stdout is not None
            for event in self.events(process.stdout):
                if event["key"] in self.run.pending:
                    self.act_on(event)
            code = process.wait()
        except BaseException:
            process.terminate()
            raise
        finally:
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()
        if (key := self.failed_key()) is not None:
            self.run.fail(key, self.failure_reason(code, key))

    def events(self, lines: IO[str]) -> Iterator[dict[str, Any]]:
        """Yield a worker's events on its own jobs; every other line goes to the log of the job that is at work."""
        store = self.run.store
        while line := lines.readline(events.LONGEST):
            event = events.parse(line)
            if event is None or event["key"] not in self.keys:
                _log(store, self.current, line)
                self.tail.append(line.strip()[:LONGEST_REASON])
                del self.tail[:-20]
                continue
            if event["event"] == "start":
                self.current = event["key"]
            if event["event"] != "progress":
                _log(store, self.current, f"[{event['event']}] {event}\n")
            yield event

    def act_on(self, event: dict[str, Any]) -> None:
        """Act on one event of a job that has not ended."""
        run, kind, job = self.run, event["event"], self.run.pending[event["key"]]
        if kind == "computed" and self.folders:
            self.folders.take(job, event)
        if kind == "computed" or (kind == "done" and not run.store.has(job.key)):  # the store has the last word
            return
        self.ended_one |= kind in ("blocked", "done", "failed")
        if kind == "failed":  # a worker in a container could not record it
            run.fail(job.key, _readable(event["reason"]))
        elif kind != "blocked":  # an input failed before it in this worker; the end of the run says so
            if kind == "done":
                run.finish(job.key)
            run.listen(kind, job, event)

    def failed_key(self) -> str | None:
        """Return the job that failed because the worker ended: the one at work, or the first if none had begun.

        The others get another worker. None where the worker ended between two jobs.
        """
        pending = self.run.pending
        if self.current in pending:
            return self.current
        if self.ended_one:
            return None
        return next((key for key in self.keys if key in pending), None)

    def failure_reason(self, code: int, key: str) -> str:
        """Explain why a worker ended before its jobs did.

        Args:
            code: its exit code; below 0 the signal that ended it.
            key: the job that failed by it.
        """
        limits, log = self.limits, f"(log: {self.run.store.log_path(key)})"
        if limits.timed_out.is_set():
            held = f"to {limits.wall_s:,.0f} s, the most that grading {limits.rows:,} rows may take"
            return f"the worker was killed: its container is held {held} {log}"
        if code in (-9, 137) and limits.memory:
            return f"the worker was killed (signal 9): its container is held to {limits.memory} of memory; or by hand"
        if code in (-9, 137):
            return "the worker was killed (signal 9): out of memory, or by hand"
        if code < 0:
            return f"the worker was ended by signal {-code}"
        last = next((line for line in reversed(self.tail) if line), "it printed nothing")
        return f"the worker ended with exit code {code}: {last} {log}"


def _log(store: Store, key: str, line: str) -> None:
    """Add a line to a job's log; a disk too full for it, a lost permission or a link in its place stops no job."""
    with contextlib.suppress(OSError, KitError):
        store.append_log(key, line)


def _readable(text: str) -> str:
    """Return a worker's words as text that can be written anywhere."""
    return text[:LONGEST_REASON].encode("utf-8", "backslashreplace").decode()


def _cause(key: str, jobs: Mapping[str, Job], failed: Mapping[str, str]) -> str:
    """Return the failed job that a blocked one waits for; if none failed, the first that is no part of this run."""
    queue, outside = [key], []
    while queue:
        current = queue.pop()
        if current in failed:
            return current
        if current in jobs:
            queue.extend(jobs[current].inputs.values())
        else:
            outside.append(current)
    return outside[0] if outside else key
