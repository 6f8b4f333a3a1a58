"""For each job of a plan: skip what the store has, start a worker for the rest, go on where one fails."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from kit import events
from kit.containers import client_environment
from kit.handover import Exchange, exchange
from kit.launch import GROUPS, Options, Shape, command, command_in_container, environment
from kit.locks import check_installed
from kit.store import Job, Store

ORDER = ("fetch", "convert", "text", "train", "grade")
Listener = Callable[[str, Job, Mapping[str, Any]], None]
"""Called with (event, job, its fields): ``cached``, ``start``, ``progress``, ``done``, ``failed``, ``blocked``."""


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


def execute(jobs: Mapping[str, Job], store: Store, options: Options, listen: Listener) -> Outcome:
    """Run what the store lacks, in as few worker starts as the stages allow.

    A failed job doesn't stop those that don't need it. Whatever is committed stays, however this process ends.

    Raises:
        RequestError: jobs would run here, and this Python has other packages than their locks.
    """
    started = time.monotonic()
    outcome = Outcome(interrupted=[key for key in store.interrupted() if key in jobs and not store.has(key)])
    pending: dict[str, Job] = {}
    for key, job in jobs.items():
        store.plan(job)
        if store.has(key):
            outcome.cached.append(key)
            listen("cached", job, {"rows": store.get(key).rows})
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


def next_batch(pending: Mapping[str, Job], jobs: Mapping[str, Job], store: Store) -> tuple[Shape, list[str]] | None:
    """The next worker's shape and jobs: all of one group that need nothing but each other, earliest group first."""
    for group in dict.fromkeys([*ORDER, *(GROUPS.get(job.stage, job.stage) for job in pending.values())]):
        shapes: dict[Shape, list[str]] = {}
        for key, job in pending.items():
            if GROUPS.get(job.stage, job.stage) != group:
                continue
            shape = Shape.of(job)
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
    with contextlib.ExitStack() as stack:
        hand = None
        if options.containers:
            hand = stack.enter_context(exchange(store, keys, as_root=os.geteuid() == 0))
        process = _start(shape, keys, options, hand)
        if hand:
            stack.callback(_end, process)
        _attend(
            process, shape, keys, hand, pending=pending, store=store, options=options, outcome=outcome, listen=listen
        )


def _end(process: subprocess.Popen[str]) -> None:
    """See a runtime's client out, however this run ends: the container's folder goes next."""
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()


def _start(shape: Shape, keys: list[str], options: Options, hand: Exchange | None) -> subprocess.Popen[str]:
    """The worker's process: Python here, or the runtime's client with Python in a container."""
    cpu = shape.environment != "cuda"
    if options.containers and hand:
        words = command_in_container(shape, keys, options, options.containers, hand, cpu=cpu)
        variables = client_environment(options.containers.runtime, shape.group)
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
    shape: Shape,
    keys: list[str],
    hand: Exchange | None,
    *,
    pending: dict[str, Job],
    store: Store,
    options: Options,
    outcome: Outcome,
    listen: Listener,
) -> None:
    """Follow a worker to its end."""
    tail: list[str] = []
    current = keys[0]
    settled = False
    try:
        assert process.stdout is not None
        for at, event in _follow(process.stdout, keys[0], store, tail):
            current = at
            job = pending.get(event["key"])
            if job is None:
                continue
            if event["event"] == "computed" and hand:
                hand.take(job, event)
                continue
            settled = settled or event["event"] in ("blocked", "done", "failed")
            if event["event"] == "done":
                outcome.done.append(pending.pop(job.key).key)
            if event["event"] == "failed":
                outcome.failed[job.key] = str(event["reason"])
                del pending[job.key]
                store.record_failure(job, outcome.failed[job.key])  # a worker in a container could not
            if event["event"] != "blocked":  # an input failed before it in this worker; the end of the run says so
                listen(event["event"], job, event)
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
        capped = options.containers.memory_cap if options.containers and shape.group == "grade" else ""
        reason = _why(code, tail, store, victim, capped)
        job = pending.pop(victim)
        outcome.failed[victim] = reason
        store.record_failure(job, reason)
        listen("failed", job, {"reason": reason})


def _follow(lines: IO[str], first: str, store: Store, tail: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The events of a worker's output, each with the job it is at; other lines go to that job's log."""
    current = first
    for line in lines:
        event = events.parse(line)
        if event is None:
            _log(store, current, line)
            tail.append(line.strip())
            del tail[:-20]
            continue
        if event["event"] == "start":
            current = event["key"]
        if event["event"] != "progress":
            _log(store, current, f"[{event['event']}] {event}\n")
        yield current, event


def _log(store: Store, key: str, line: str) -> None:
    """Add a line to a job's log; a disk too full for it, or a lost permission, stops no job."""
    with (
        contextlib.suppress(OSError),
        store.log_path(key).open("a", encoding="utf-8", errors="backslashreplace") as log,
    ):
        log.write(line)


def _why(code: int, tail: list[str], store: Store, key: str, capped: str = "") -> str:
    """Why a worker ended before its jobs did; ``capped``: the memory that its container may use."""
    if code in (-9, 137) and capped:
        return f"the worker was killed (signal 9): its container is held to {capped} of memory; or by hand"
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
