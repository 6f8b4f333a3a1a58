"""Run the jobs of a plan: skip those that the store has, start workers for the rest, go on where one fails."""

import contextlib
import os
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import IO, Any

from kit.containers.client import end_leftover_containers
from kit.errors import KitError
from kit.machine.locks import check_installed
from kit.run import events
from kit.run.asking import check_servers
from kit.run.batches import next_batch
from kit.run.disk import free_bytes, next_wave, task_of
from kit.run.failed_ranks import first_failed, signal_of_only
from kit.run.handover import Exchange
from kit.run.keeping import Keeping
from kit.run.launch import Options, Shape, check_folders
from kit.run.needs import to_run
from kit.run.processes import Limits, end_process, open_exchange, start_process, start_timer
from kit.run.recording import recorded
from kit.stages._keeping import ALL
from kit.store import Artifact, Job, Store
from kit.training.checkpoints import minutes_between
from kit.workers import kind_of

Listener = Callable[[str, Job, Mapping[str, Any]], None]
"""Callback (event, job, fields); events: ``cached``, ``start``, ``progress``, ``done``, ``failed``, ``blocked``."""
MOST_TIMES = 3
"""Most times that an artifact is made again in one run, because another run gave its files back."""
LONGEST_REASON = 4000
"""Most characters that are kept of a worker's reason, or of a line that it printed."""
TAIL_LINES = 200
"""Last lines that are kept of what a worker printed: a launcher's summary has seven of each rank that ended."""


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
    changed: dict[str, list[str]] = field(default_factory=dict)
    """key -> files of an artifact that was made again that differ from those that it had given back."""
    freed: dict[str, int] = field(default_factory=dict)
    """key -> bytes of an artifact that gave its files back."""
    left: dict[str, str] = field(default_factory=dict)
    """key -> reason why an artifact that nobody needs kept its files."""
    wall_s: float = 0.0


def execute(
    jobs: Mapping[str, Job],
    store: Store,
    options: Options,
    listen: Listener,
    *,
    keep: str = ALL,
    wanted: Collection[str] = (),
    request: Mapping[str, Any] | None = None,
) -> Outcome:
    """Run the jobs that the store lacks, in as few worker starts as the stages and the disk allow.

    A failed job doesn't stop those that don't need it. Whatever is committed stays, however this process ends. An
    artifact that gave its files back counts as done; it is made again where a job needs its files.

    Args:
        jobs: the plan's, each after its inputs.
        store: the store.
        options: options of the workers.
        listen: takes each event.
        keep: rule by which artifacts that no job to come needs give their files back (:mod:`kit.stages._keeping`).
        wanted: keys whose files the caller reads.
        request: what was asked for, as ``kit status`` shows the run; that of the options by default.

    Raises:
        RequestError: jobs would run in this Python, and its packages differ from their locks; or a folder has a name
            that no container can be given; or the minutes between checkpoints are no number.
    """
    started = time.monotonic()
    for job in jobs.values():
        kind_of(job)  # an unknown kind is refused before any work
    check_folders(options)
    minutes_between(os.environ)
    run = Run(jobs, store, options, listen, keep=keep, wanted=wanted)
    run.clear_leftovers()
    run.begin()
    check_servers(run.pending.values())
    if options.containers is None:  # an image was built from its lock
        check_installed(run.pending.values())
    asked = options.request if request is None else request
    with recorded(jobs if run.pending else (), store, asked, listen) as run.listen:
        for wave in run.waves():
            while batch := next_batch({key: run.pending[key] for key in wave if key in run.pending}, jobs, store):
                run.start_worker(*batch)
        run.report_blocked()
    run.outcome.wall_s = time.monotonic() - started
    return run.outcome


class Run:
    """The state of one run of a plan: jobs that are still pending, and how the others ended."""

    def __init__(
        self,
        jobs: Mapping[str, Job],
        store: Store,
        options: Options,
        listen: Listener,
        *,
        keep: str = ALL,
        wanted: Collection[str] = (),
    ) -> None:
        self.jobs = jobs
        self.keep = keep
        self.wanted = wanted
        self.store = store
        self.options = options
        self.listen = listen
        self.pending: dict[str, Job] = {}
        """key -> job that has neither been done nor failed yet."""
        self.outcome = Outcome()
        self.former: dict[str, Artifact] = {}
        """key -> head of an artifact that is made again, because a job needs the files that it gave back."""
        self.again: Counter[str] = Counter()
        """key -> number of times that it was to be made again."""
        self.keeping = Keeping.begin({}, store, ALL, (), ())

    def begin(self) -> None:
        """Record every job as cached or pending, and give back what none of them needs."""
        unfinished = set(to_run(self.jobs, self.store, self.wanted))
        for key in self.jobs:
            self.add(key, needed=key in unfinished)
        self.keeping = Keeping.begin(self.jobs, self.store, self.keep, unfinished, self.wanted)
        self.outcome.freed, self.outcome.left = self.keeping.freed, self.keeping.left

    def waves(self) -> Iterator[list[str]]:
        """Yield pending jobs that run together: all of them, or as many as the disk has room for.

        Jobs that can't run, as others of theirs failed, are yielded once.
        """
        tried = set[str]()
        while True:
            if self.make_again():
                tried.clear()
            left = tuple(key for key in self.jobs if key in self.pending and key not in tried)
            if not left:
                return
            if self.keep != ALL:
                task = task_of(self.jobs, self.store, self.keep, self.wanted)
                left = tuple(next_wave(replace(task, unfinished=left), free_bytes(self.store)))
            tried.update(left)
            yield list(left)

    def make_again(self) -> bool:
        """Add the jobs whose files another run gave back while a pending job needs them; return whether there are."""
        found = False
        for key in reversed(list(self.jobs)):
            if key not in self.pending:
                continue
            for needed in self.jobs[key].inputs.values():
                ended = needed in self.jobs and needed not in self.pending and needed not in self.outcome.failed
                if ended and self.store.is_released(needed) and self.again[needed] < MOST_TIMES:
                    self.again[needed] += 1
                    self.former.setdefault(needed, self.store.get(needed))
                    self.pending[needed] = self.jobs[needed]
                    self.keeping.needs.add(needed)
                    for listed in (self.outcome.cached, self.outcome.done):
                        listed[:] = [one for one in listed if one != needed]
                    found = True
        return found

    def is_made(self, key: str) -> bool:
        """Return whether a job of this run is done: its artifact is there, with its files where they are needed."""
        return self.store.holds(key) or (self.store.has(key) and key not in self.former)

    def clear_leftovers(self) -> None:
        """End the containers of dead runs, then remove half-written output: a container may still be writing it."""
        if self.options.containers and any(not self.store.has(key) for key in self.jobs):
            end_leftover_containers(self.options.containers.runtime, self.store)
        removed = self.store.half_written(remove=True)
        self.outcome.interrupted = [key for key in removed if key in self.jobs and not self.store.has(key)]

    def add(self, key: str, *, needed: bool) -> None:
        """Record a job as cached, as failed where it can't be started, or else as pending.

        Args:
            key: of the job.
            needed: whether it has to run: the store lacks it, or lacks files that a job needs.
        """
        job, done = self.jobs[key], not needed
        if not (done and os.path.lexists(self.store.root / "jobs" / f"{key}.json")):  # a done job's file is not read
            self.store.plan(job)
        if done:
            self.outcome.cached.append(key)
            self.listen("cached", job, {"rows": self.store.get(key).rows})
            return
        if self.store.has(key):
            self.former[key] = self.store.get(key)
        self.pending[key] = job
        if reason := _not_ready_reason(key, self.store):
            self.fail(key, reason)

    def finish(self, key: str) -> None:
        """Record a pending job as done; the store has its artifact."""
        del self.pending[key]
        self.outcome.done.append(key)
        if former := self.former.pop(key, None):
            files = self.store.get(key).files
            names = sorted(name for name in former.files.keys() | files if former.files.get(name) != files.get(name))
            if names:
                self.outcome.changed[key] = names
        self.keeping.finish(key)

    def fail(self, key: str, reason: str) -> None:
        """Record a pending job as failed, in the store too, and report its reason to the listener."""
        job = self.pending.pop(key)
        self.outcome.failed[key] = reason
        self.store.record_failure(job, reason)
        with contextlib.suppress(KitError, OSError), self.store.lock(key):  # in a container its lock is held for it
            self.store.clear_parts(key)
        self.listen("failed", job, {"reason": reason})

    def report_blocked(self) -> None:
        """Record for each job that is still pending which other job it waits for, and report it to the listener."""
        for key, job in self.pending.items():
            needed = blocking_key(key, self.jobs, self.outcome.failed)
            self.outcome.blocked[key] = needed
            self.listen("blocked", job, {"by": self.jobs[needed].id if needed in self.jobs else f"job {needed[:10]}"})

    def start_worker(self, shape: Shape, keys: list[str]) -> None:
        """Start one worker and follow it until each of its jobs has ended, or the worker has."""
        options, containers = replace(self.options, again=frozenset(self.former)), self.options.containers
        limits = Limits.for_worker(shape, [self.pending[key] for key in keys], options, self.store)
        starting = {"done": 0, "total": 0, "tokens": 0, "phase": "starting a worker"}
        self.listen("progress", self.pending[keys[0]], starting)
        with contextlib.ExitStack() as stack:
            stack.callback(self.keeping.let_go)
            self.keeping.hold({needed for key in keys for needed in self.jobs[key].inputs.values()} - set(keys))
            folders = None
            if containers:
                folders = stack.enter_context(open_exchange(shape, keys, containers, self.store, options.request))
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
                self.tail.append(_both_ends(line.strip()))
                del self.tail[:-TAIL_LINES]
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
        if kind == "computed" or (kind == "done" and not run.is_made(job.key)):  # only the store's answer counts
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
        if signal := signal_of_only(self.tail):  # a launcher stands between, and has an exit code of its own
            code = -signal
        if limits.timed_out.is_set():
            limit = f"to {limits.wall_s:,.0f} s, the most that grading {limits.rows:,} rows may take"
            return f"the worker was killed: its container is held {limit} {log}"
        if code in (-9, 137) and limits.memory:
            return f"the worker was killed (signal 9): its container is held to {limits.memory} of memory; or by hand"
        if code in (-9, 137):
            return "the worker was killed (signal 9): out of memory, or by hand"
        if code < 0:
            return f"the worker was ended by signal {-code}"
        if ended := first_failed(self.tail, Shape.of(self.run.jobs[key]).world):
            return f"{ended}; what is kept of the job stays, and the same command goes on from there {log}"
        last = next((line for line in reversed(self.tail) if line), "it printed nothing")
        return f"the worker ended with exit code {code}: {last} {log}"


def _both_ends(line: str) -> str:
    """Return a line, in which much is left out in the middle if it is long: the end says what happened."""
    half = LONGEST_REASON // 2
    return line if len(line) <= LONGEST_REASON else f"{line[:half]}{line[-half:]}"


def _log(store: Store, key: str, line: str) -> None:
    """Add a line to a job's log; where that fails (a full disk, a lost permission, a link), the job goes on."""
    with contextlib.suppress(OSError, KitError):
        store.append_log(key, line)


def _encodable(text: str) -> str:
    """Return a worker's text, cut to the longest reason, as text that can be encoded as UTF-8."""
    return text[:LONGEST_REASON].encode("utf-8", "backslashreplace").decode()


def blocking_key(key: str, jobs: Mapping[str, Job], failed: Mapping[str, str]) -> str:
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
