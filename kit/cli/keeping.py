"""The option ``--keep``: which models stay on the disk, what has to be made again, and what a run gave back."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli.completing import complete_keep
from kit.errors import RequestError, listed

if TYPE_CHECKING:
    from kit.plan import Plan
    from kit.run.disk import Task
    from kit.run.execute import Outcome
    from kit.store import Job, Store

KeepRule = Annotated[
    str,
    typer.Option(
        "--keep",
        help="Models that stay once no job to come needs them: results (none), weights (tuned ones), all",
        autocompletion=complete_keep,
    ),
]
KEEP_ALL = "all"
MOST_NAMES = 6
"""Most jobs that one line names."""


def gigabytes(size: float) -> str:
    """Return a size in GB as text."""
    return f"{size / 1e9:,.1f} GB"


def disk_task(plan: "Plan", store: "Store | None", keep: str) -> "Task":
    """Return the jobs of a plan with the disk that they take, by a rule that is known.

    Args:
        plan: the plan.
        store: the store; None for an empty one.
        keep: value of ``--keep``.

    Raises:
        RequestError: there is no such rule.
    """
    from kit.run.disk import task_of
    from kit.stages._keeping import check_rule

    return task_of(plan.jobs, store, check_rule("--keep", keep))


def peaks(task: "Task", keep: str) -> str:
    """Return a phrase on the disk: its peak, and with how much a run gets by where files are given back."""
    from kit.run.disk import least_bytes, peak_bytes

    peak = peak_bytes(task)
    text = f"{gigabytes(peak)} of disk at the peak"
    if keep == KEEP_ALL:
        return text
    least = least_bytes(task)
    return f"{text} (--keep {keep}" + f"; {gigabytes(least)} where it has no more" * (least < peak) + ")"


def check_disk(task: "Task", store: "Store", keep: str) -> None:
    """Check that a store's disk has room for the jobs that have to run.

    Raises:
        RequestError: it has less than they need at the least.
    """
    from dataclasses import replace

    from kit.run.disk import free_bytes, least_bytes, peak_bytes
    from kit.stages._keeping import RULES, gives_back

    free = free_bytes(store)
    if peak_bytes(task) <= free or (need := least_bytes(task)) <= free:
        return
    rule = f" at the least with --keep {keep}" * (keep != KEEP_ALL)
    least = least_bytes(replace(task, goes=gives_back(RULES[0])))
    hint = f"; with --keep {RULES[0]} (make: KEEP={RULES[0]}) they get by with {gigabytes(least)}" * (least < need)
    raise RequestError(
        f"store {store.root}: the {len(task.unfinished)} jobs to do need about {need / 1e9:.1f} GB of disk{rule}, "
        f"{free / 1e9:.1f} GB are free; make room, or name another --store{hint}"
    )


def made_again(plan: "Plan", store: "Store", keys: Iterable[str]) -> "list[Job]":
    """Return the jobs among these that count as done and run again, as they gave back files that a job needs."""
    return [plan.jobs[key] for key in keys if store.has(key)]


def again_lines(jobs: "list[Job]") -> Iterator[str]:
    """Yield a sentence on the jobs that run again, with their price; none where there are none."""
    from kit.cli.listing import price

    if not jobs:
        return
    count = f"{len(jobs)} artifacts" if len(jobs) > 1 else "1 artifact"
    names = listed([job.id for job in jobs], MOST_NAMES)
    text = f"{count} gave the files back that jobs to do need, and must be computed again: {names}"
    yield f"{text}; about {price(jobs)}" if price(jobs) else text


def outcome_lines(plan: "Plan", outcome: "Outcome", keep: str) -> Iterator[str]:
    """Yield sentences on what a run gave back, what it could not, and what came out otherwise when made again."""
    if outcome.freed:
        models = f"{len(outcome.freed)} models" if len(outcome.freed) > 1 else "1 model"
        size = gigabytes(sum(outcome.freed.values()))
        yield f"--keep {keep}: {models} that no job to come needs gave back {size}; their heads stay"
    for key, reason in outcome.left.items():
        yield f"{plan.jobs[key].id} keeps its files: {reason}"
    for key, names in outcome.changed.items():
        readers = sum(key in job.inputs.values() for job in plan.jobs.values())
        yield (
            f"{plan.jobs[key].id} was made again, and differs from what it was in {listed(names, MOST_NAMES)}; what "
            f"the {readers} jobs that read it made before comes from the former files"
        )
