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
from kit.cli.judging import say_estimate
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
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
) -> None:
    """Compute tables of the paper and print them beside the paper's numbers."""
    from kit.plan.planning import plan_tables

    run_plan(
        lambda: plan_tables(tables, scale),
        store,
        mirror,
        dry_run=dry_run,
        yes=yes,
        unsafe=unsafe_exec,
        auto=machine_chooses_scale(tables, scale),
        runtime=runtime,
    )


@app.command()
def run(
    manifest: Annotated[Path, typer.Argument(help="A manifest of your own, anywhere on disk")],
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    dry_run: DryRun = False,
    yes: Yes = False,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
) -> None:
    """Compute the experiments of a manifest of your own."""
    from kit.plan.planning import plan_manifest

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
) -> None:
    """Plan, ask for confirmation if it is expensive, run, and print every table; exit 1 if a job failed."""
    from rich.text import Text

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
        show_plan(console, plan, store_to_plan(store_path))
        return
    store = store_to_plan(store_path)
    missing = [job for key, job in plan.jobs.items() if not store.has(key)]
    containers = find_containers(plan, missing, runtime, mirror)
    store = Store.open(store_path)
    check_costs(missing, store, plan.scale, ask=not yes)
    say_estimate(missing)
    options = Options(
        store=store.root,
        mirror=mirror,
        unsafe_exec=unsafe,
        containers=containers,
    )
    with terminal.Live(console, len(plan.jobs)) as live:
        outcome = execute(plan.jobs, store, options, live)
    print_interrupted(console, plan, outcome)
    print_unpinned_hashes(console, store, outcome.done)
    for grid in with_overlaps([make_grid(name, plan, store) for name in plan.tables], plan, store):
        console.print()
        console.print(terminal.grid_table(grid, console.width))
        if grid.table.draw:
            console.print(Text(plain(keep_figure(grid, store))), soft_wrap=True)
    console.print(terminal.summary(outcome))
    if outcome.failed or outcome.blocked:
        for key in outcome.failed:
            console.print(Text(plain(f"log of {plan.jobs[key].id}: {store.log_path(key)}")), soft_wrap=True)
        sys.exit(1)


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
    """Check that the disk has room for the missing jobs, and ask before more than one GPU-hour is spent.

    Raises:
        RequestError: too little disk is free, or more than a GPU-hour is needed and nobody confirmed it.
    """
    import shutil

    need = sum(int(job.resources.get("disk_bytes", 0)) for job in missing)
    free = shutil.disk_usage(store.root).free
    if need > free:
        raise RequestError(
            f"store {store.root}: the {len(missing)} jobs to do need about {need / 1e9:.1f} GB of disk, "
            f"{free / 1e9:.1f} GB are free; make room, or name another --store"
        )
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
    from kit.store import Store
    from kit.workers import kind_of

    found = plan_tables(tables, scale)
    check_mirror(mirror)
    jobs = {key: job for key, job in found.jobs.items() if kind_of(job).fetches}
    opened = Store.open(store)
    options = Options(store=opened.root, mirror=mirror)
    console = Console()
    with terminal.Live(console, len(jobs)) as live:
        outcome = execute(jobs, opened, options, live)
    print_unpinned_hashes(console, opened, outcome.done)
    console.print(terminal.summary(outcome))
    if outcome.failed:
        sys.exit(1)
