"""``kit job``, ``kit doctor`` and ``kit pin``: one job of a plan, what this machine can run, what is pinned."""

import sys
from typing import Annotated

import typer

from kit.cli import DEFAULT_STORE, AsJson, MirrorDir, RuntimeName, StoreDir, UnsafeExec, app, check_mirror, say


@app.command()
def job(
    key: Annotated[str, typer.Argument(help="A job's key, or the start of it")],
    store: StoreDir = DEFAULT_STORE,
    mirror: MirrorDir = None,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
) -> None:
    """Run one planned job: the same on a host, in a container, on a cluster."""
    from rich.console import Console

    from kit.containers.preparing import prepare
    from kit.report import terminal
    from kit.report.escapes import plain
    from kit.run.execute import execute
    from kit.run.jobfiles import check_fields, check_versions
    from kit.run.launch import Options
    from kit.store import Store

    check_mirror(mirror)
    opened = Store.existing(store)
    found = opened.job(opened.find(key))
    check_fields(found)
    if all(map(opened.has, found.inputs.values())):  # else it does not run, and the missing inputs are named below
        check_versions(found)
    options = Options(
        store=opened.root,
        mirror=mirror,
        unsafe_exec=unsafe_exec,
        containers=prepare(runtime, [found], mirror),
    )
    console = Console()
    with terminal.Live(console, 1) as live:
        outcome = execute({found.key: found}, opened, options, live)
    if outcome.blocked:
        missing = [role for role, needed in found.inputs.items() if not opened.has(needed)]
        console.print(plain(f"{found.id}: its inputs are not made yet: {', '.join(missing)}"), markup=False)
    if outcome.failed or outcome.blocked:
        sys.exit(1)


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
