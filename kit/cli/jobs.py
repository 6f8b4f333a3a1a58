"""``kit job``, ``kit doctor`` and ``kit pin``: jobs of a plan, what this machine can run, what is pinned."""

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import (
    DEFAULT_STORE,
    AsJson,
    MirrorDir,
    RuntimeName,
    StoreDir,
    UnsafeExec,
    app,
    check_mirror,
    path_option,
    say,
    say_error,
)
from kit.cli.keeping import MOST_NAMES
from kit.errors import KitError, RequestError, listed, one_line

if TYPE_CHECKING:
    from kit.run.launch import Options
    from kit.store import Job, Store


@app.command()
def job(
    keys: Annotated[list[str], typer.Argument(metavar="KEY...", help="Jobs' keys, or the starts of them")],
    store: StoreDir = DEFAULT_STORE,
    mirror: MirrorDir = None,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
    plan: Annotated[
        Path | None, path_option("--plan", "A plan.json of `kit export snakemake`, which has the jobs; whole keys then")
    ] = None,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for inputs that another host has just made")
    ] = 0.0,
) -> None:
    """Run planned jobs, one after the other: the same on a host, in a container, on a cluster.

    Exit codes: 0 all are done; 1 one failed, or its inputs are not made yet; 2 the request was wrong; 75 another run is
    at work on one of them (with --plan; without it, this waits for the other run).
    """
    from kit.containers.preparing import prepare
    from kit.run.elsewhere import BUSY, at_work, wait_for_inputs
    from kit.run.launch import Options, Shape
    from kit.run.nodes import find_nodes
    from kit.store import Store

    check_mirror(mirror)
    if plan is None:
        opened = Store.existing(store)
        jobs, request = stored_jobs(keys, opened)
    else:
        opened = Store.open(store)
        jobs, request = exported_jobs(keys, plan, opened)
    with recording_refusals(jobs, opened if plan else None):
        wait_for_inputs(jobs, opened, wait)
        check_jobs(jobs, opened)
        if plan is not None and (other := at_work(jobs, opened)):
            key, holder = other
            say_error(f"{jobs[key].id} ({key[:10]}): another run is at work on it: {holder.text()}")
            sys.exit(BUSY)
        options = Options(
            store=opened.root,
            mirror=mirror,
            unsafe_exec=unsafe_exec,
            containers=prepare(runtime, list(jobs.values()), mirror),
            request=request,
            nodes=find_nodes(os.environ) if any(Shape.of(found).world > 1 for found in jobs.values()) else None,
        )
        for found in jobs.values():
            options.spread(Shape.of(found))
        done = run_jobs(jobs, opened, options, record=plan is not None)
    if not done:
        sys.exit(1)


def run_jobs(jobs: "dict[str, Job]", store: "Store", options: "Options", *, record: bool = False) -> bool:
    """Run jobs with a live display, name inputs that are not made yet, and return whether all are done.

    Args:
        jobs: the jobs, each after its inputs.
        store: the store.
        options: options of the workers.
        record: whether missing inputs are recorded as the failure of their job, as the inputs should be there.
    """
    from rich.console import Console

    from kit.report import terminal
    from kit.report.escapes import plain
    from kit.run.elsewhere import missing_inputs
    from kit.run.execute import execute

    console = Console()
    with terminal.Live(console, len(jobs)) as live:
        outcome = execute(jobs, store, options, live, wanted=list(jobs), request={})
    for key, names in outcome.changed.items():
        text = f"{jobs[key].id} was made again, and differs from what it was in {listed(names, MOST_NAMES)}"
        console.print(plain(text), markup=False, soft_wrap=True)
    for key, roles in missing_inputs(jobs, store).items():
        texts = list(missing_texts(jobs[key], roles, store))
        for text in texts:
            console.print(plain(f"{jobs[key].id}: {text}"), markup=False, soft_wrap=True)
        if record and key not in outcome.failed:
            store.record_failure(jobs[key], f"on {socket.gethostname()}: {'; '.join(texts)}")
    return not (outcome.failed or outcome.blocked)


def missing_texts(job: "Job", roles: list[str], store: "Store") -> Iterator[str]:
    """Yield phrases on the inputs that a job lacks: not made yet, or given back."""
    released = [role for role in roles if store.is_released(job.inputs[role])]
    if lacking := [role for role in roles if role not in released]:
        yield f"its inputs are not made yet: {', '.join(lacking)}"
    for role in released:
        yield f"{role}: {store.released_text(job.inputs[role])}"


@contextlib.contextmanager
def recording_refusals(jobs: "dict[str, Job]", store: "Store | None") -> Iterator[None]:
    """Record a refusal of jobs as their failure, where nobody sees what is printed: on a node of a cluster.

    Raises:
        KitError: the refusal.
    """
    try:
        yield
    except KitError as error:
        for found in jobs.values() if store else ():
            if store and not store.holds(found.key):
                store.record_failure(found, str(error))
        raise


def stored_jobs(keys: list[str], store: "Store") -> "tuple[dict[str, Job], dict[str, Any]]":
    """Return jobs that were planned into a store, key -> job, and no request: a store keeps none.

    Raises:
        RequestError: there is no such job.
    """
    found = [store.job(store.find(key)) for key in keys]
    return {job.key: job for job in found}, {}


def exported_jobs(keys: list[str], plan: Path, store: "Store") -> "tuple[dict[str, Job], dict[str, Any]]":
    """Return jobs of an exported plan, key -> job, and the request that it was made for.

    A job that gave its files back is left out where no job to come needs them: none of the plan, and none of the other
    readers that the plan names.

    Raises:
        RequestError: the plan can't be read, or has no such job.
    """
    from kit.cluster.folder import read_plan
    from kit.run.needs import to_run

    found = read_plan(plan)
    known = found.jobs
    if lacking := [key for key in keys if key not in known]:
        raise RequestError(
            f"--plan {one_line(str(plan))}: no job {one_line(lacking[0], 80)} among its {len(known)}; give whole keys, "
            "or export the plan again"
        )
    again = [key for key, readers in found.again.items() if not all(map(store.holds, readers))]
    needed = set(to_run(known, store, again))
    return {key: known[key] for key in keys if key in needed or store.holds(key)}, found.request


def check_jobs(jobs: "dict[str, Job]", store: "Store") -> None:
    """Check jobs that somebody else may have written, before any of them runs.

    Raises:
        RequestError: a job has a field that no plan gives it, or was planned for another kit.
    """
    from kit.run.elsewhere import missing_inputs
    from kit.run.jobfiles import check_fields, check_versions

    for job in jobs.values():
        check_fields(job)
    blocked = missing_inputs(jobs, store)
    for key, job in jobs.items():
        if key not in blocked:  # else it does not run, and the missing inputs are named
            check_versions(job)


@app.command()
def doctor(
    json: AsJson = False,
    pins: Annotated[bool, typer.Option("--pins", help="List what no manifest pins yet, and nothing else")] = False,
) -> None:
    """Say what this machine can run, and what is missing with the command that installs it."""
    if pins:
        list_unpinned(as_json=json)
        return
    from kit.check import doctor as checks

    sys.exit(checks.main(as_json=json))


def list_unpinned(*, as_json: bool) -> None:
    """Print one line for each revision, hash or digest that is not pinned."""
    from dataclasses import asdict

    from kit.check.pins import describe, pins, unpinned

    found = unpinned()
    if as_json:
        import json

        document = {"schema": 1, "unpinned": [{**asdict(pin), "file": pin.file.name} for pin in found]}
        typer.echo(json.dumps(document, indent=1))
        return
    for pin in found:
        say(describe(pin))
    checked = sum(pin.git_blob is not None for pin in found)
    count = f"{len(found) - checked} of {len(pins())} are not pinned"
    count += f", {checked} by a git blob id alone" * bool(checked)
    typer.echo(count + "; a networked machine finds them: kit pin" * bool(found))


@app.command()
def pin(
    move: Annotated[bool, typer.Option("--move", help="Take what has moved too, not only what is missing")] = False,
    locks: Annotated[bool, typer.Option("--locks", help="Resolve the locks again too (needs uv; keys change)")] = False,
) -> None:
    """On a networked machine: find the revisions, hashes and digests that are missing, and print what has moved."""
    import subprocess

    from kit.catalogue import ROOT
    from kit.check.pins import Online, refresh

    lines = 0
    for line in refresh(Online(), move=move):
        say(line)
        lines += 1
    if not lines:
        typer.echo("every pin is as the network has it")
    if locks:
        sys.exit(subprocess.run([sys.executable, str(ROOT / "requirements" / "lock.py")], check=False).returncode)
