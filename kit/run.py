"""For each job of a plan: skip what the store has, start a worker for the rest, go on where one fails."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from kit import events
from kit.containers.client import client_environment, end_container, end_left_over
from kit.errors import KitError
from kit.handover import Exchange, exchange
from kit.launch import Options, Shape, check_folders, command, command_in_container, environment
from kit.locks import check_installed
from kit.store import Job, Store
from kit.workers import KINDS, kind_of

Listener = Callable[[str, Job, Mapping[str, Any]], None]
"""Called with (event, job, its fields): ``cached``, ``start``, ``progress``, ``done``, ``failed``, ``blocked``."""
START_S, ROW_S = 900.0, 120.0
"""How long a ``grade`` container may take for a job: to start, and for each row, twice what a program may."""
LONGEST_REASON = 4000
"""Characters of a worker's words that are kept."""


@dataclass(slots=True)
class Outcome:
    """What became of a plan's jobs; every key is in one of the four."""

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
class Caps:
    """What one worker is held to; nothing, where it is no container of ``grade``."""

    memory: str = ""
    wall_s: float = 0.0
    rows: int = 0
    late: threading.Event = field(default_factory=threading.Event)
    """Set when its time was up."""

    @classmethod
    def of(cls, shape: Shape, jobs: Iterable[Job], options: Options, store: Store) -> "Caps":
        """Those of one worker; its time goes with the completions that are there to be graded."""
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
    if options.containers and any(not store.has(key) for key in jobs):
        end_left_over(options.containers.runtime, store)  # before what it was writing is cleared away
    left = store.half_written(remove=True)
    outcome = Outcome(interrupted=[key for key in left if key in jobs and not store.has(key)])
    pending: dict[str, Job] = {}
    for key, job in jobs.items():
        done = store.has(key)
        if not (done and os.path.lexists(store.root / "jobs" / f"{key}.json")):  # none of a done job's is read here
            store.plan(job)
        if done:
            outcome.cached.append(key)
            listen("cached", job, {"rows": store.get(key).rows})
        elif fault := _not_ready(key, store):
            outcome.failed[key] = fault
            store.record_failure(job, fault)
            listen("failed", job, {"reason": fault})
        else:
            pending[key] = job
    if options.containers is None:  # an image was built from its lock
        check_installed(pending.values())
    while batch := next_batch(pending, jobs, store):
        shape, keys = batch
        _run_worker(shape, keys, pending=pending, store=store, options=options, outcome=outcome, listen=listen)
    for key, job in pending.items():
        cause = _cause(key, jobs, outcome.failed)
        outcome.blocked[key] = cause
        listen("blocked", job, {"by": jobs[cause].id if cause in jobs else f"job {cause[:10]}"})
    outcome.wall_s = time.monotonic() - started
    return outcome


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
    """An order in which each job follows its inputs and each model is opened as rarely as can be.

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


def _run_worker(
    shape: Shape,
    keys: list[str],
    *,
    pending: dict[str, Job],
    store: Store,
    options: Options,
    outcome: Outcome,
    listen: Listener,
) -> None:
    """Start one worker, follow its events, and take every job off ``pending`` that it settled."""
    caps = Caps.of(shape, [pending[key] for key in keys], options, store)
    listen("progress", pending[keys[0]], {"done": 0, "total": 0, "tokens": 0, "phase": "starting a worker"})
    with contextlib.ExitStack() as stack:
        hand = None
        if options.containers:
            image = options.containers.image(shape.kind, shape.environment)
            observed = {"image": image.digest, "commit": image.revision or None, "dirty": None}
            theirs = os.geteuid() == 0 and not options.containers.rootless
            copies = shape.kind.untrusted
            hand = stack.enter_context(exchange(store, keys, other_user=theirs, copies=copies, observed=observed))
        process = _start(shape, keys, options, hand)
        if hand and options.containers:
            stack.callback(_end, process, options.containers.runtime, hand.name)
            if caps.wall_s:
                timer = threading.Timer(caps.wall_s, _stop_late, (caps, process, options.containers.runtime, hand.name))
                timer.daemon = True
                timer.start()
                stack.callback(timer.cancel)
        _attend(process, keys, hand, caps, pending=pending, store=store, outcome=outcome, listen=listen)


def _stop_late(caps: Caps, process: subprocess.Popen[str], runtime: str, name: str) -> None:
    """What happens when a container's time is up."""
    caps.late.set()
    end_container(runtime, name)
    if runtime == "apptainer":
        _kill(process)


def _end(process: subprocess.Popen[str], runtime: str, name: str) -> None:
    """See a container and its client out, however this run ends: the container's folder goes next."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=10)
    if process.returncode != 0:  # the client may be gone, or deaf, and the container at work
        end_container(runtime, name)
    if process.returncode is None:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[str]) -> None:
    """End a process and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _start(shape: Shape, keys: list[str], options: Options, hand: Exchange | None) -> subprocess.Popen[str]:
    """The worker's process: Python here, or the runtime's client with Python in a container."""
    cpu = shape.environment != "cuda"
    if options.containers and hand:
        words = command_in_container(shape, keys, options, options.containers, hand, cpu=cpu)
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
        cwd=hand.folder if hand else None,
        start_new_session=True,
    )


def _attend(
    process: subprocess.Popen[str],
    keys: list[str],
    hand: Exchange | None,
    caps: Caps,
    *,
    pending: dict[str, Job],
    store: Store,
    outcome: Outcome,
    listen: Listener,
) -> None:
    """Follow a worker to its end."""
    tail: list[str] = []
    current = keys[0]
    settled = False
    try:
        assert process.stdout is not None
        for at, event in _follow(process.stdout, keys, store, tail):
            current = at
            if event["key"] in pending:
                settled |= _hear(event, hand, pending=pending, store=store, outcome=outcome, listen=listen)
        code = process.wait()
    except BaseException:
        process.terminate()
        raise
    finally:
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
    # Only the job that was at work is to blame, or the first where none had begun; the others get another worker.
    victim = current if current in pending else None if settled else next((k for k in keys if k in pending), None)
    if victim is not None:
        reason = _why(code, tail, store, victim, caps)
        job = pending.pop(victim)
        outcome.failed[victim] = reason
        store.record_failure(job, reason)
        listen("failed", job, {"reason": reason})


def _hear(
    event: dict[str, Any],
    hand: Exchange | None,
    *,
    pending: dict[str, Job],
    store: Store,
    outcome: Outcome,
    listen: Listener,
) -> bool:
    """Act on one event of a pending job; whether the worker is through with the job."""
    kind, job = event["event"], pending[event["key"]]
    if kind == "computed" and hand:
        hand.take(job, event)
    if kind == "computed" or (kind == "done" and not store.has(job.key)):  # the store has the last word
        return False
    if kind == "done":
        outcome.done.append(pending.pop(job.key).key)
    if kind == "failed":
        event["reason"] = outcome.failed[job.key] = _readable(event["reason"])
        del pending[job.key]
        store.record_failure(job, outcome.failed[job.key])  # a worker in a container could not
    if kind != "blocked":  # an input failed before it in this worker; the end of the run says so
        listen(kind, job, event)
    return kind in ("blocked", "done", "failed")


def _follow(
    lines: IO[str], keys: Collection[str], store: Store, tail: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a worker's output on its own jobs, each with the job it is at; all else goes to that job's log."""
    current = next(iter(keys))
    while line := lines.readline(events.LONGEST):
        event = events.parse(line)
        if event is None or event["key"] not in keys:
            _log(store, current, line)
            tail.append(line.strip()[:LONGEST_REASON])
            del tail[:-20]
            continue
        if event["event"] == "start":
            current = event["key"]
        if event["event"] != "progress":
            _log(store, current, f"[{event['event']}] {event}\n")
        yield current, event


def _log(store: Store, key: str, line: str) -> None:
    """Add a line to a job's log; a disk too full for it, a lost permission or a link in its place stops no job."""
    with contextlib.suppress(OSError, KitError):
        store.append_log(key, line)


def _readable(text: str) -> str:
    """A worker's words as text that can be written anywhere."""
    return text[:LONGEST_REASON].encode("utf-8", "backslashreplace").decode()


def _why(code: int, tail: list[str], store: Store, key: str, caps: Caps) -> str:
    """Why a worker ended before its jobs did."""
    if caps.late.is_set():
        held = f"to {caps.wall_s:,.0f} s, the most that grading {caps.rows:,} rows may take"
        return f"the worker was killed: its container is held {held} (log: {store.log_path(key)})"
    if code in (-9, 137) and caps.memory:
        return f"the worker was killed (signal 9): its container is held to {caps.memory} of memory; or by hand"
    if code in (-9, 137):
        return "the worker was killed (signal 9): out of memory, or by hand"
    if code < 0:
        return f"the worker was ended by signal {-code}"
    last = next((line for line in reversed(tail) if line), "it printed nothing")
    return f"the worker ended with exit code {code}: {last} (log: {store.log_path(key)})"


def _cause(key: str, jobs: Mapping[str, Job], failed: Mapping[str, str]) -> str:
    """The failed job that a blocked one waits for; the first job that is no part of this run, if none failed."""
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
