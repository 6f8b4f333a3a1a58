"""Run the jobs of a plan: skip those that the store has, start workers for the rest, go on where one fails."""

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
"""Callback (event, job, fields); events: ``cached``, ``start``, ``progress``, ``done``, ``failed``, ``blocked``."""
START_S, ROW_S = 900.0, 120.0
"""Seconds that a container with model-written code may take: for each job to start, and for each completion (twice the
time limit of a program)."""
LONGEST_REASON = 4000
"""Most characters that are kept of a worker's reason, or of a line that it printed."""


@dataclass(slots=True)
class Outcome:
    """The jobs of a plan by how they ended; every key is in one of cached, done, failed and blocked."""

    cached: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    """key -> reason of the failure."""
    blocked: dict[str, str] = field(default_factory=dict)
    """key -> key of the job that it waits for: one that failed, or one that is not part of this run."""
    interrupted: list[str] = field(default_factory=list)
    """Jobs whose half-written output of an earlier run was removed before this run began."""
    wall_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Limits:
    """Memory and time limits of one worker; none unless it runs model-written code in a container."""

    memory: str = ""
    """Memory limit as the runtime writes it, ``4g``; empty: no limit."""
    wall_s: float = 0.0
    """Most seconds of wall-clock time; 0: no limit."""
    rows: int = 0
    """Number of completions by which the time was set."""
    timed_out: threading.Event = field(default_factory=threading.Event)
    """Set once the worker was ended because its time was up."""

    @classmethod
    def for_worker(cls, shape: Shape, jobs: Iterable[Job], options: Options, store: Store) -> "Limits":
        """Return memory and wall-clock limits of one worker: :data:`START_S` a job and :data:`ROW_S` a completion."""
        if options.containers is None or not shape.kind.untrusted:
            return cls()
        counts = [[store.get(key).rows for key in job.inputs.values() if store.has(key)] for job in jobs]
        rows = sum(max(inputs, default=0) for inputs in counts)
        wall_s = min(START_S * len(counts) + ROW_S * rows, threading.TIMEOUT_MAX)
        return cls(memory=options.containers.memory_cap, wall_s=wall_s, rows=rows)


def execute(jobs: Mapping[str, Job], store: Store, options: Options, listen: Listener) -> Outcome:
    """Run the jobs that the store lacks, in as few worker starts as the stages allow.

    A failed job doesn't stop those that don't need it. Whatever is committed stays, however this process ends.

    Raises:
        RequestError: jobs would run in this Python, and its packages differ from their locks; or a folder has a name
            that no container can be given.
    """
    started = time.monotonic()
    for job in jobs.values():
        kind_of(job)  # an unknown kind is refused before any work
    check_folders(options)
    run = Run(jobs, store, options, listen)
    run.clear_leftovers()
    for key in jobs:
        run.add(key)
    if options.containers is None:  # an image was built from its lock
        check_installed(run.pending.values())
    while batch := next_batch(run.pending, jobs, store):
        run.start_worker(*batch)
    run.report_blocked()
    run.outcome.wall_s = time.monotonic() - started
    return run.outcome


class Run:
    """The state of one run of a plan: jobs that are still pending, and how the others ended."""

    def __init__(self, jobs: Mapping[str, Job], store: Store, options: Options, listen: Listener) -> None:
        self.jobs = jobs
        self.store = store
        self.options = options
        self.listen = listen
        self.pending: dict[str, Job] = {}
        """key -> job that has neither been done nor failed yet."""
        self.outcome = Outcome()

    def clear_leftovers(self) -> None:
        """End the containers of dead runs, then remove half-written output: a container may still be writing it."""
        if self.options.containers and any(not self.store.has(key) for key in self.jobs):
            end_leftover_containers(self.options.containers.runtime, self.store)
        removed = self.store.half_written(remove=True)
        self.outcome.interrupted = [key for key in removed if key in self.jobs and not self.store.has(key)]

    def add(self, key: str) -> None:
        """Record a job as cached, as failed where it can't be started, or else as pending."""
        job, done = self.jobs[key], self.store.has(key)
        if not (done and os.path.lexists(self.store.root / "jobs" / f"{key}.json")):  # a done job's file is not read
            self.store.plan(job)
        if done:
            self.outcome.cached.append(key)
            self.listen("cached", job, {"rows": self.store.get(key).rows})
            return
        self.pending[key] = job
        if reason := _not_ready_reason(key, self.store):
            self.fail(key, reason)

    def finish(self, key: str) -> None:
        """Record a pending job as done; the store has its artifact."""
        del self.pending[key]
        self.outcome.done.append(key)

    def fail(self, key: str, reason: str) -> None:
        """Record a pending job as failed, in the store too, and report its reason to the listener."""
        job = self.pending.pop(key)
        self.outcome.failed[key] = reason
        self.store.record_failure(job, reason)
        self.listen("failed", job, {"reason": reason})

    def report_blocked(self) -> None:
        """Record for each job that is still pending which other job it waits for, and report it to the listener."""
        for key, job in self.pending.items():
            needed = _blocking_key(key, self.jobs, self.outcome.failed)
            self.outcome.blocked[key] = needed
            self.listen("blocked", job, {"by": self.jobs[needed].id if needed in self.jobs else f"job {needed[:10]}"})

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
                stack.callback(_end_process, process, containers.runtime, folders.name)
                if limits.wall_s:
                    stack.callback(_start_timer(limits, process, containers.runtime, folders.name).cancel)
            Worker(self, keys, folders, limits).follow(process)


def _not_ready_reason(key: str, store: Store) -> str:
    """Return why a job can't be locked or logged (another kind of file has its name); empty if it can."""
    try:
        store.check_ready(key)
    except (KitError, OSError) as error:
        return str(error)
    return ""


def next_batch(pending: Mapping[str, Job], jobs: Mapping[str, Job], store: Store) -> tuple[Shape, list[str]] | None:
    """Return the shape and jobs of the next worker: jobs of one kind whose inputs are done or among them; None if none.

    Kinds come in their fixed order, so that jobs of a later kind wait until more of them can share a worker.
    """
    shape_of = {key: Shape.of(job) for key, job in pending.items()}
    for kind in KINDS.values():
        batches: dict[Shape, list[str]] = {}
        for key, job in pending.items():
            shape = shape_of[key]
            if shape.kind != kind:
                continue
            batch = batches.setdefault(shape, [])
            if all(needed in batch or store.has(needed) for needed in job.inputs.values()):
                batch.append(key)
        for shape, keys in batches.items():
            if keys:
                return shape, order_by_model(keys, jobs)
    return None


def order_by_model(keys: Iterable[str], jobs: Mapping[str, Job]) -> list[str]:
    """Return the jobs in an order in which each follows its inputs and each model is opened as few times as possible.

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
            same_shape = [key for key in free if order and shape_of(key) == shape_of(order[-1])]
            model = model_of((same_shape or free)[0])
            same = [key for key in now if model_of(key) == model]
        order.append(same[0])
        del left[same[0]]
    return order


def _exchange(
    shape: Shape, keys: list[str], containers: Containers, store: Store
) -> contextlib.AbstractContextManager[Exchange]:
    """Return the folders by which a worker in a container gives its output to the host; they hold its jobs' locks."""
    image = containers.image(shape.kind, shape.environment)
    return exchange(
        store,
        keys,
        other_user=os.geteuid() == 0 and not containers.rootless,
        copies=shape.kind.untrusted,
        observed={"image": image.digest, "commit": image.revision or None, "dirty": None},
    )


def _start_timer(limits: Limits, process: subprocess.Popen[str], runtime: str, name: str) -> threading.Timer:
    """Start a timer that ends a worker's container when its time is up, and return it."""

    def stop() -> None:
        limits.timed_out.set()
        end_container(runtime, name)
        if runtime == "apptainer":
            _kill(process)

    timer = threading.Timer(limits.wall_s, stop)
    timer.daemon = True
    timer.start()
    return timer


def _end_process(process: subprocess.Popen[str], runtime: str, name: str) -> None:
    """Wait for a container's client to end, or end client and container: the container's folder is removed next."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    if process.returncode != 0:  # the client may be gone, or hang, and the container still run
        end_container(runtime, name)
    if process.returncode is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process and all processes of its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _start(shape: Shape, keys: list[str], options: Options, folders: Exchange | None) -> subprocess.Popen[str]:
    """Start the worker's process: Python on the host, or the runtime's client with Python in a container."""
    cpu = shape.environment != "cuda"
    if options.containers and folders:
        arguments = command_in_container(shape, keys, options, options.containers, folders, cpu=cpu)
        variables = client_environment(options.containers.runtime, shape.kind)
    else:
        arguments, variables = command(shape, keys, options, cpu=cpu), environment(shape, cpu=cpu)
    return subprocess.Popen(
        arguments,
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
    """A running worker: its events, its log, and which of its jobs have ended."""

    def __init__(self, run: Run, keys: list[str], folders: Exchange | None, limits: Limits) -> None:
        self.run = run
        self.keys = keys
        self.folders = folders
        """Folders by which it gives its output to the host, if it runs in a container."""
        self.limits = limits
        self.current = keys[0]
        """The job that it began last, or that it begins first."""
        self.ended_one = False
        """Whether any of its jobs has ended."""
        self.tail: list[str] = []
        """The last lines that it printed."""

    def follow(self, process: subprocess.Popen[str]) -> None:
        """Handle a worker's events until it ends; if it ended early, one of its jobs has failed."""
        try:
            assert process.stdout is not None
            for event in self.events(process.stdout):
                if event["key"] in self.run.pending:
                    self.handle(event)
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
        """Yield a worker's events on its own jobs; write every other line to the log of the current job."""
        store = self.run.store
        while line := lines.readline(events.LONGEST_LINE):
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

    def handle(self, event: dict[str, Any]) -> None:
        """Handle one event of a job that has not ended."""
        run, kind, job = self.run, event["event"], self.run.pending[event["key"]]
        if kind == "computed" and self.folders:
            self.folders.take(job, event)
        if kind == "computed" or (kind == "done" and not run.store.has(job.key)):  # only the store's answer counts
            return
        self.ended_one |= kind in ("blocked", "done", "failed")
        if kind == "failed":  # a worker in a container could not record it
            run.fail(job.key, _encodable(event["reason"]))
        elif kind != "blocked":  # an input failed before it in this worker; the end of the run says so
            if kind == "done":
                run.finish(job.key)
            run.listen(kind, job, event)

    def failed_key(self) -> str | None:
        """Return the job that failed because its worker ended: the current one, or the first if none had begun.

        The other jobs get another worker. None where the worker ended between two jobs.
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
            code: exit code of the worker; below 0 it is the number of the signal that ended it.
            key: the job that failed because of that.
        """
        limits, log = self.limits, f"(log: {self.run.store.log_path(key)})"
        if limits.timed_out.is_set():
            limit = f"to {limits.wall_s:,.0f} s, the most that grading {limits.rows:,} rows may take"
            return f"the worker was killed: its container is held {limit} {log}"
        if code in (-9, 137) and limits.memory:
            return f"the worker was killed (signal 9): its container is held to {limits.memory} of memory; or by hand"
        if code in (-9, 137):
            return "the worker was killed (signal 9): out of memory, or by hand"
        if code < 0:
            return f"the worker was ended by signal {-code}"
        last = next((line for line in reversed(self.tail) if line), "it printed nothing")
        return f"the worker ended with exit code {code}: {last} {log}"


def _log(store: Store, key: str, line: str) -> None:
    """Add a line to a job's log; where that fails (a full disk, a lost permission, a link), the job goes on."""
    with contextlib.suppress(OSError, KitError):
        store.append_log(key, line)


def _encodable(text: str) -> str:
    """Return a worker's text, cut to the longest reason, as text that can be encoded as UTF-8."""
    return text[:LONGEST_REASON].encode("utf-8", "backslashreplace").decode()


def _blocking_key(key: str, jobs: Mapping[str, Job], failed: Mapping[str, str]) -> str:
    """Return the key of the failed job that a blocked one needs; if none failed, of one that is not in this run."""
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
