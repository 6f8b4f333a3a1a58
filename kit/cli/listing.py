"""Lines printed of a plan: its scale and notes, one line a job, and estimates of time, disk and GPU-hours."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from kit.cli.keeping import KEEP_ALL, again_lines, disk_task, made_again, peaks

if TYPE_CHECKING:
    from rich.console import Console

    from kit.plan import Plan
    from kit.run.disk import Task
    from kit.store import Job, Store


def formula() -> str:
    """Return the text that explains how costs are estimated, without the lists of the functions' arguments."""
    import re

    from kit.plan import costs

    return re.sub(r"\n +Args:\n(?: {8}.*\n)*", "", costs.FORMULA).strip()


def totals(plan: "Plan", task: "Task") -> dict[str, float]:
    """Return the number of jobs for each stage, and the estimated GPU-hours and seconds of all jobs, with their disk.

    Args:
        plan: the plan.
        task: its jobs with their disk, on an empty store; ``disk_bytes`` is its peak, ``least_disk_bytes`` with how
            much a run gets by.
    """
    from kit.run.disk import least_bytes, peak_bytes

    stages: dict[str, float] = {}
    for job in plan.jobs.values():
        stages[job.stage] = stages.get(job.stage, 0) + 1
    hours, seconds = (estimated(plan.jobs.values(), name) for name in ("gpu_hours", "wall_s"))
    disk = {"disk_bytes": peak_bytes(task), "least_disk_bytes": least_bytes(task)}
    return {**stages, "gpu_hours": round(hours, 1), "wall_s": round(seconds, 1), **disk}


def estimated(jobs: "Iterable[Job]", name: str) -> float:
    """Return the sum of one resource over some jobs."""
    return sum(float(job.resources.get(name, 0)) for job in jobs)


def price(jobs: "Iterable[Job]") -> str:
    """Return jobs' GPU-hours where GPUs are used, else their time from three seconds on; then what judges are asked.

    That is the number of their questions, and for judges on servers the tokens, and the money where there are prices.
    """
    jobs = list(jobs)
    parts = []
    if hours := estimated(jobs, "gpu_hours"):
        parts.append(f"{hours:,.1f} GPU-h")
    elif (seconds := estimated(jobs, "wall_s")) >= 3:
        parts.append(f"{seconds / 60:,.1f} min")
    if questions := estimated(jobs, "questions"):
        parts.append(f"{questions:,.0f} questions to judges")
    if tokens := estimated(jobs, "asked_tokens"):
        parts.append(f"{tokens:,.0f} tokens at servers")
    if money := estimated(jobs, "money"):
        parts.append(f"{money:,.2f} of money")
    return ", ".join(parts)


def kept(job: "Job") -> str:
    """Return how many rows a selection keeps and of how many; empty for other jobs, and where this is not known."""
    rows, read = job.resources.get("rows"), job.resources.get("rows_read")
    return f"keeps {rows:,} of {read:,} rows" if rows and read else ""


def show_plan(console: "Console", plan: "Plan", store: "Store", keep: str = KEEP_ALL) -> None:
    """Print one line for each job of a plan, one with the sums, and one on what must be computed again.

    Args:
        console: where it is printed.
        plan: the plan.
        store: the store, by which a job is cached, or to do, or to do again.
        keep: value of ``--keep``.

    Raises:
        RequestError: there is no such rule.
    """
    from rich.text import Text

    from kit.report.escapes import plain

    left = disk_task(plan, store, keep)
    unfinished = set(left.unfinished)
    width = max((len(job.id) for job in plan.jobs.values()), default=0)
    for key, job in plan.jobs.items():
        state = ("again" if store.has(key) else "to do") if key in unfinished else "cached"
        text = price([job]) or kept(job)
        console.print(Text(f"{state:7}{key[:10]} {plain(job.id):{width}} {text}".rstrip()), soft_wrap=True)
    count = Counter(job.stage for job in plan.jobs.values())
    stages = ", ".join(f"{number} {name}" for name, number in count.items())
    text = f"{len(plan.jobs)} jobs: {stages}; about {price(plan.jobs.values()) or '0 min'}"
    text += f", {peaks(disk_task(plan, None, keep), keep)}"
    if len(unfinished) < len(plan.jobs):
        missing = [plan.jobs[key] for key in left.unfinished]
        text += f"; to do: {len(missing)}, about {price(missing) or '0 min'}"
        text += f", {peaks(left, keep)} more than now" * bool(missing)
    console.print(Text(text, style="bold"), soft_wrap=True)
    for line in again_lines(made_again(plan, store, left.unfinished)):
        console.print(Text(plain(line), style="yellow"), soft_wrap=True)


def print_unpinned_hashes(console: "Console", store: "Store", keys: "Iterable[str]") -> None:
    """Print the sha256 of each file that was fetched without one in its manifest; the artifacts' facts hold it."""
    from rich.text import Text

    from kit.report.escapes import plain

    for key in keys:
        artifact = store.get(key)
        if artifact.facts.get("sha256_was_pinned") is False:
            name = plain(artifact.job.id.removeprefix("fetch/"))
            sha256 = plain(str(artifact.facts.get("sha256")))
            text = f"note: {name}: sha256 is {sha256}; `kit pin` writes it into its manifest"
            console.print(Text(text, style="dim"), soft_wrap=True)


def machine_chooses_scale(tables: list[str], scale: str) -> bool:
    """Return whether this machine decides on the scale: none is given, and no manifest names its own."""
    return scale == "auto" and not any(name.endswith(".toml") for name in tables)


def print_choices(console: "Console", plan: "Plan", *, auto: bool) -> None:
    """Print the scale, if this machine chose it, and the notes of the plan."""
    from rich.text import Text

    from kit.report.escapes import plain

    if auto:
        reason = "no GPU here" if plan.scale == "smoke" else "the largest that this machine holds"
        console.print(Text(f"scale {plan.scale}: {reason}; --scale (make: SCALE=) names another"), soft_wrap=True)
    for note in plan.notes:
        console.print(Text(f"note: {plain(note)}", style="dim"), soft_wrap=True)
