"""Run the jobs of a plan: skip those that the store has, start workers for the rest, go on where one fails."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from kit.containers.client import end_leftover_containers
from kit.errors import KitError
from kit.machine.locks import check_installed
from kit.run import events
from kit.run.asking import check_servers
from kit.run.batches import next_batch
from kit.run.handover import Exchange
from kit.run.launch import Options, Shape, check_folders
from kit.run.processes import Limits, end_process, open_exchange, start_process, start_timer
from kit.store import Job, Store
from kit.workers import kind_of

Listener = Callable[[str, Job, Mapping[str, Any]], None]
"""Callback (event, job, fields); events: ``cached``, ``start``, ``progress``, ``done``, ``failed``, ``blocked``."""
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
    check_servers(run.pending.values())
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
            folders = stack.enter_context(open_exchange(shape, keys, containers, self.store)) if containers else None
            process = start_process(shape, keys, options, folders)
            if folders and containers:
                stack.callback(end_process, process, containers.runtime, folders.name)
                if limits.wall_s:
                    stack.callback(start_timer(limits, process, containers.runtime, folders.name).cancel)
            Worker(self, keys, folders, limits).follow(process)


def _not_ready_reason(key: str, store: Store) -> str:
    """Return why a job can't be locked or logged (another kind of file has its name); empty if it can."""
    try:
        store.check_ready(key)
    except (KitError, OSError) as error:
        return str(error)
    return ""


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
