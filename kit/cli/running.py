"""``kit reproduce``, ``run``, ``fetch``: compute tables, a user's own manifest, or what they need from the network."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import (
    DEFAULT_STORE,
    MirrorDir,
    RuntimeName,
    ScaleName,
    StoreDir,
    Tables,
    UnsafeExec,
    app,
    check_mirror,
    store_to_plan,
)
from kit.cli.clustering import (
    GPUS_PER_NODE,
    GROUP_HOURS,
    ClusterName,
    ClusterOptions,
    GpusPerNode,
    GroupHours,
    ProfileName,
    find_engine,
    make_handover,
)
from kit.cli.judging import say_estimate
from kit.cli.keeping import KEEP_ALL, KeepRule, again_lines, check_disk, disk_task, made_again, outcome_lines
from kit.cli.listing import machine_chooses_scale, print_choices, print_unpinned_hashes, show_plan
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from rich.console import Console

    from kit.containers import Containers
    from kit.plan import Plan
    from kit.run.execute import Outcome
    from kit.store import Job, Store

DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the jobs and run none")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask before more than one GPU-hour")]
GPU_HOURS_WITHOUT_ASKING = 1.0


@app.command()
def reproduce(
    tables: Tables,
    scale: ScaleName = "auto",
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    dry_run: DryRun = False,
    yes: Yes = False,
    keep: KeepRule = KEEP_ALL,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
    cluster: ClusterName = "",
    profile: ProfileName = "",
    gpus_per_node: GpusPerNode = GPUS_PER_NODE,
    group_hours: GroupHours = GROUP_HOURS,
) -> None:
    """Compute tables of the paper and print them beside the paper's numbers."""
    from kit.plan.planning import plan_tables

    auto = machine_chooses_scale(tables, scale)
    options = ClusterOptions(scheduler=cluster, profile=profile, gpus_per_node=gpus_per_node, group_hours=group_hours)
    options.check(auto=auto)
    run_plan(
        lambda: plan_tables(tables, scale),
        store,
        mirror,
        dry_run=dry_run,
        yes=yes,
        unsafe=unsafe_exec,
        auto=auto,
        runtime=runtime,
        keep=keep,
        cluster=options,
    )


@app.command()
def run(
    manifest: Annotated[Path, typer.Argument(help="A manifest of your own, anywhere on disk")],
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    dry_run: DryRun = False,
    yes: Yes = False,
    keep: KeepRule = KEEP_ALL,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
    cluster: ClusterName = "",
    profile: ProfileName = "",
    gpus_per_node: GpusPerNode = GPUS_PER_NODE,
    group_hours: GroupHours = GROUP_HOURS,
) -> None:
    """Compute the experiments of a manifest of your own."""
    from kit.plan.planning import plan_manifest

    options = ClusterOptions(scheduler=cluster, profile=profile, gpus_per_node=gpus_per_node, group_hours=group_hours)
    options.check(auto=False)
    if manifest.suffix != ".toml" and not os.path.lexists(manifest):
        raise RequestError(
            f"{one_line(str(manifest))}: no such file; wanted the path of a manifest, which ends in .toml; "
            "`kit reproduce` computes tables of the paper"
        )
    run_plan(
        lambda: plan_manifest(manifest),
        store,
        mirror,
        dry_run=dry_run,
        yes=yes,
        unsafe=unsafe_exec,
        runtime=runtime,
        keep=keep,
        cluster=options,
    )


def run_plan(
    make: "Callable[[], Plan]",
    store_path: Path,
    mirror: Path | None,
    *,
    dry_run: bool,
    yes: bool,
    unsafe: bool,
    auto: bool = False,
    runtime: str = "local",
    keep: str = KEEP_ALL,
    cluster: ClusterOptions | None = None,
) -> None:
    """Plan, ask for confirmation if it is expensive, run, and print every table; exit 1 if a job failed."""
    from rich.text import Text

    from kit.cluster.following import run_on_cluster
    from kit.report import make_grid, terminal
    from kit.report.escapes import plain
    from kit.report.overlaps import with_overlaps
    from kit.report.pictures import keep_figure
    from kit.run.execute import execute
    from kit.run.launch import Options
    from kit.store import Store

    console = terminal.console()
    plan = make()
    check_mirror(mirror)
    print_choices(console, plan, auto=auto)
    if dry_run:
        show_plan(console, plan, store_to_plan(store_path), keep)
        return
    store = store_to_plan(store_path)
    task = disk_task(plan, store, keep)
    missing = [plan.jobs[key] for key in task.unfinished]
    engine = find_engine(cluster, missing) if cluster is not None and cluster.scheduler else None
    containers = None if engine else find_containers(plan, missing, runtime, mirror)
    store = Store.open(store_path) if missing else writable_or_read(store)
    check_disk(task, store, keep)
    for line in again_lines(made_again(plan, store, task.unfinished)):
        console.print(Text(plain(line), style="yellow"), soft_wrap=True)
    check_hours(missing, plan.scale, ask=not yes)
    say_estimate(missing)
    with terminal.Live(console, len(plan.jobs)) as live:
        if cluster is not None and engine is not None:
            handover = make_handover(plan, store, cluster, mirror, runtime, unsafe=unsafe)
            outcome = run_on_cluster(handover, store, engine, live, keep=keep)
        else:
            options = Options(
                store=store.root, mirror=mirror, unsafe_exec=unsafe, containers=containers, request=plan.request()
            )
            outcome = execute(plan.jobs, store, options, live, keep=keep)
    print_interrupted(console, plan, outcome)
    print_unpinned_hashes(console, store, outcome.done)
    for grid in with_overlaps([make_grid(name, plan, store) for name in plan.tables], plan, store):
        console.print()
        console.print(terminal.grid_table(grid, console.width))
        if grid.table.draw:
            console.print(Text(plain(keep_figure(grid, store))), soft_wrap=True)
    console.print(terminal.summary(outcome))
    for line in outcome_lines(plan, outcome, keep):
        console.print(Text(plain(line), style="yellow" if outcome.left or outcome.changed else ""), soft_wrap=True)
    if outcome.failed or outcome.blocked:
        for key in outcome.failed:
            console.print(Text(plain(f"log of {plan.jobs[key].id}: {store.log_path(key)}")), soft_wrap=True)
        sys.exit(1)


def writable_or_read(store: "Store") -> "Store":
    """Return a store in which every job is done, opened to be written; where it can't be, it is read."""
    from kit.store import Store

    try:
        return Store.open(store.root)
    except RequestError:
        return store


def find_containers(plan: "Plan", missing: "list[Job]", runtime: str, mirror: Path | None) -> "Containers | None":
    """Return the containers for the missing jobs, before the first of them starts; None where they run in this Python.

    Raises:
        RequestError: the machine or the runtime lacks something that the jobs need.
    """
    if not missing and runtime == "local":
        return None
    from kit.containers.preparing import prepare

    check_hardware(plan, missing)
    return prepare(runtime, missing, mirror)


def check_hardware(plan: "Plan", missing: "list[Job]") -> None:
    """Check that this machine has the plan's hardware, if a missing job computes with a model.

    Raises:
        RequestError: it has fewer GPUs, or smaller ones.
    """
    from kit.plan.planning import check_machine, this_machine
    from kit.workers import kind_of

    if any(kind_of(job).accelerated for job in missing):
        check_machine(plan, this_machine())


def print_interrupted(console: "Console", plan: "Plan", outcome: "Outcome") -> None:
    """Print which jobs an earlier run had left half-written."""
    from rich.text import Text

    from kit.report.escapes import plain

    if outcome.interrupted:
        ids = plain(", ".join(plan.jobs[key].id for key in outcome.interrupted))
        text = (
            f"an earlier run was interrupted in {ids}: its half-written output was removed, all it committed was kept"
        )
        console.print(Text(text, style="yellow"), soft_wrap=True)


def check_costs(missing: "list[Job]", store: "Store", scale: str, *, ask: bool) -> None:
    """Check that the disk has room for the missing jobs together, and ask before more than one GPU-hour is spent.

    Raises:
        RequestError: too little disk is free, or more than a GPU-hour is needed and nobody confirmed it.
    """
    from kit.run.disk import task_of

    check_disk(task_of({job.key: job for job in missing}, None, KEEP_ALL), store, KEEP_ALL)
    check_hours(missing, scale, ask=ask)


def check_hours(missing: "list[Job]", scale: str, *, ask: bool) -> None:
    """Ask before more than one GPU-hour is spent.

    Raises:
        RequestError: more is needed, nobody confirmed it, and there is no terminal on which to ask.
    """
    hours = sum(float(job.resources.get("gpu_hours", 0)) for job in missing)
    if hours > GPU_HOURS_WITHOUT_ASKING and ask:
        text = f"this needs about {hours:,.0f} GPU-hours at scale {scale}"
        if not sys.stdin.isatty():
            raise RequestError(f"{text}; say --yes (make: YES=1) to begin")
        typer.confirm(f"{text}. Begin?", abort=True)


@app.command()
def fetch(
    tables: Tables,
    scale: ScaleName = "auto",
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """Fetch and check the models and data of tables; nothing else has a network."""
    from rich.console import Console

    from kit.plan.planning import plan_tables
    from kit.report import terminal
    from kit.run.execute import execute
    from kit.run.launch import Options
    from kit.run.needs import to_run
    from kit.store import Store
    from kit.workers import kind_of

    found = plan_tables(tables, scale)
    check_mirror(mirror)
    jobs = {key: job for key, job in found.jobs.items() if kind_of(job).fetches}
    opened = Store.open(store)
    options = Options(store=opened.root, mirror=mirror, request=found.request())
    console = Console()
    wanted = [key for key in to_run(found.jobs, opened) if key in jobs]  # those that gave back files needed now, too
    with terminal.Live(console, len(jobs)) as live:
        outcome = execute(jobs, opened, options, live, wanted=wanted)
    print_unpinned_hashes(console, opened, outcome.done)
    console.print(terminal.summary(outcome))
    if outcome.failed:
        sys.exit(1)
