"""The status of a store's jobs as lines for people, and as one JSON document."""

from collections.abc import Iterator
from typing import Any

from kit.errors import LONGEST_NAME, one_line
from kit.report.status import STATES, JobStatus, Status
from kit.run.progress import rate
from kit.store.runs import Run

LONGEST_REASON = 400
"""Characters of a reason that a line shows; the JSON document and the log have all of it."""
MOST_LINES = 20
"""Most jobs that one list names; the others are counted."""
HEADINGS = ("stage", "jobs", *STATES, "rows", "rows/s", "took", "left")


def duration(seconds: float) -> str:
    """Return a time in its two largest units: ``12 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 1 h``."""
    whole = round(seconds)
    for unit, name, below, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= unit:
            return f"{whole // unit:,} {name} {whole % unit // below} {small}"
    return f"{whole} s"


def lines(status: Status) -> Iterator[str]:
    """Yield the lines that show a status; all of it is text that others may have written, so it is to be made plain."""
    yield from _scope(status)
    if status.jobs:
        yield ", ".join(f"{count:,} {state}" for state, count in status.counts().items() if count)
        yield ""
        yield from _stages(status)
        yield ""
        yield _hours(status)
    for state, describe in (("running", _running), ("lost", _lost), ("failed", _failed)):
        if chosen := status.of(state):
            yield ""
            yield state
            for one in chosen[:MOST_LINES]:
                yield f"  {one_line(one.job.id)}: {one_line(describe(one, status))}"
            if len(chosen) > MOST_LINES:
                yield f"  and {len(chosen) - MOST_LINES:,} more"
    for fault in status.faults:
        yield ""
        yield f"not counted: {one_line(fault, LONGEST_REASON)}"


def _scope(status: Status) -> Iterator[str]:
    """Yield a line for each run whose jobs are shown, or one for the whole store."""
    if not status.jobs:
        yield f"store {status.store}: no jobs there; `kit reproduce 2` runs some, `kit plan 2 --write` writes them down"
        return
    if not status.runs:
        yield f"store {status.store}: all {len(status.jobs):,} jobs that were ever planned in it"
    for run in status.runs:
        record = run.record
        begun = f"begun {record.started_at} on {record.host} (process {record.pid}{_batch(run)})"
        yield one_line(f"{asked_for(run)}: {len(record.keys):,} jobs, {_ending(run, status)}; {begun}")


def asked_for(run: Run) -> str:
    """Return what a run was asked for: ``table-2, table-3 at smoke``; ``own files at smoke`` where it was no table."""
    tables, scale = run.record.request.get("tables"), run.record.request.get("scale")
    names = [str(name)[:LONGEST_NAME] for name in tables] if isinstance(tables, list) else []
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4:,} more" if len(names) > 4 else "")
    return f"{shown or 'own files'}{f' at {scale[:LONGEST_NAME]}' if isinstance(scale, str) else ''}"


def _batch(run: Run) -> str:
    return f", {run.record.batch_id}" if run.record.batch_id else ""


def _ending(run: Run, status: Status) -> str:
    """Return whether a run is at work, has ended, or is gone without a word."""
    if run.record.ended_at:
        return f"ended {run.record.ended_at}"
    if run.record.id in status.alive:
        return "at work"
    return f"gone without a word, last seen {duration(max(0.0, status.now - run.seen_at))} ago"


def _stages(status: Status) -> Iterator[str]:
    """Yield a table with a line for each stage, in the order in which the stages first come; empty columns left out."""
    grouped: dict[str, list[JobStatus]] = {}
    for one in status.jobs:
        grouped.setdefault(one.job.stage, []).append(one)
    table = [HEADINGS, *(_stage(name, jobs) for name, jobs in grouped.items())]
    kept = [column for column in zip(*table, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in kept]
    for cells in zip(*kept, strict=True):
        numbers = [f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True)]
        yield "  ".join([f"{cells[0]:{widths[0]}}", *numbers]).rstrip()


def _stage(name: str, jobs: list[JobStatus]) -> tuple[str, ...]:
    """Return the cells of one stage, an empty text for what is nothing."""
    counts = [sum(one.state == state for one in jobs) for state in STATES]
    done = [one for one in jobs if one.state == "done"]
    rows, timed = sum(one.rows for one in done), [one for one in done if not one.resumed]
    rows_timed, seconds = sum(one.rows for one in timed), sum(one.spent_s for one in timed)
    left = sum(one.left_s for one in jobs if one.state in ("running", "waiting", "lost"))
    return (
        one_line(name, LONGEST_NAME),
        f"{len(jobs):,}",
        *(f"{count:,}" if count else "" for count in counts),
        f"{rows:,}" if rows else "",
        rate(rows_timed / seconds, 1) if rows_timed and seconds else "",
        duration(took) if (took := sum(one.spent_s for one in jobs)) else "",
        duration(left) if left else "",
    )


def _hours(status: Status) -> str:
    """Return the line of sums: what was spent, what is left, how fast it goes and for how long still."""
    (spent, gpu_spent), (left, gpu_left) = status.spent_h(), status.left_h()
    to_come, untold, running = len(status.to_come()), status.untold(), len(status.of("running"))
    parts = [f"{gpu_spent:,.1f} GPU-hours spent" if gpu_spent or gpu_left else f"{duration(spent * 3600)} spent"]
    if to_come > untold:
        parts[0] += (
            f", about {gpu_left:,.1f} left" if gpu_spent or gpu_left else f", about {duration(left * 3600)} left"
        )
    if untold:
        parts.append(f"nothing tells how long {untold:,} of the {to_come:,} jobs to come take")
    if status.rows_per_s():
        parts.append(f"{rate(status.rows_per_s(), 1)} rows/s now")
    if running and to_come > untold:
        parts.append(f"done in about {duration(status.seconds_left())} with {running:,} running at a time")
    elif to_come and not status.alive:
        parts.append("nothing is at work on it: the same command goes on")
    return "; ".join(parts)


def _running(one: JobStatus, status: Status) -> str:  # noqa: ARG001  # as the others of its table
    """Return how far a running job is, and where it runs."""
    work, run = one.work, one.run
    assert work is not None
    assert run is not None
    if work.total:
        parts = [f"{work.done:,}/{work.total:,}"]
        if work.rows_per_s:
            parts.append(f"{rate(work.rows_per_s, 1)} rows/s")
            parts += [f"{rate(work.tokens_per_s, 0)} tok/s"] if work.tokens_per_s else []
            parts.append(f"about {duration(one.left_s)} left")
    else:
        parts = [f"{work.phase}, {duration(work.phase_s + one.silent_s)}"]
    parts += [f"{one.gpus} GPU{'s' * (one.gpus > 1)}"] if one.gpus else []
    return ", ".join([*parts, f"on {run.record.host}{_batch(run)}"])


def _lost(one: JobStatus, status: Status) -> str:
    """Return since when the run of a lost job is gone, and what is left of it."""
    run = one.run
    assert run is not None
    kept = f", {one.kept:,} of its rows are kept" if one.kept else ""
    return (
        f"its run on {run.record.host} (process {run.record.pid}{_batch(run)}) is gone without a word, last seen "
        f"{duration(one.silent_s)} ago: killed by hand or for memory, or its machine is down{kept}; the same command "
        f"goes on; log: {status.store / 'logs' / f'{one.key}.log'}"
    )


def _failed(one: JobStatus, status: Status) -> str:
    """Return why a job failed, and how many jobs need it."""
    blocked = sum(other.needs == one.key for other in status.jobs)
    needed = f"; {blocked:,} job{'s need' if blocked > 1 else ' needs'} it" if blocked else ""
    log = status.store / "logs" / f"{one.key}.log"
    reason = one.reason.removeprefix(f"{one.job.id}: ")  # the line names it
    reason = reason if len(reason) <= LONGEST_REASON else f"{reason[:LONGEST_REASON]}..."
    return f"{reason}{needed}; log: {log}"


def document(status: Status) -> dict[str, Any]:
    """Return the status as a JSON document, with every job that is neither done nor waiting by name."""
    (spent, gpu_spent), (left, gpu_left) = status.spent_h(), status.left_h()
    return {
        "schema": 1,
        "store": str(status.store),
        "runs": [_run(run, status) for run in status.runs],
        "jobs": status.counts(),
        "rows_per_s": status.rows_per_s(),
        "hours": {"spent": spent, "left": left},
        "gpu_hours": {"spent": gpu_spent, "left": gpu_left},
        "seconds_left": status.seconds_left(),
        "jobs_without_estimate": status.untold(),
        "running": [_job(one) for one in status.of("running")],
        "lost": [_job(one) for one in status.of("lost")],
        "failed": [{**_job(one), "reason": one.reason} for one in status.of("failed")],
        "blocked": [{**_job(one), "needs": one.needs} for one in status.of("blocked")],
        "faults": status.faults,
    }


def _run(run: Run, status: Status) -> dict[str, Any]:
    record = run.record
    names = ("id", "host", "pid", "batch_id", "started_at", "ended_at", "request")
    at_work = record.id in status.alive
    return {**{name: getattr(record, name) for name in names}, "jobs": len(record.keys), "at_work": at_work}


def _job(one: JobStatus) -> dict[str, Any]:
    """Return the fields of one job; those of its progress where it runs or was lost."""
    found: dict[str, Any] = {"key": one.key, "id": one.job.id, "stage": one.job.stage, "gpus": one.gpus}
    found["rows_kept"] = one.kept
    if one.work and one.run:
        work = one.work
        found |= {"phase": work.phase, "done": work.done, "total": work.total, "host": one.run.record.host}
        found |= {"rows_per_s": work.rows_per_s, "tokens_per_s": work.tokens_per_s, "run": one.run.record.id}
        found |= {"seconds": one.spent_s, "seconds_left": one.left_s, "silent_s": one.silent_s}
    return found
