"""``kit job`` and ``kit doctor``: one job of a plan, and what this machine can run."""

import sys
from typing import Annotated

import typer

from kit.cli import DEFAULT_STORE, AsJson, MirrorDir, RuntimeName, StoreDir, UnsafeExec, app


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

    from kit.cli.tables import check_mirror
    from kit.containers import prepare
    from kit.launch import Options
    from kit.report import plain, terminal
    from kit.run import execute
    from kit.store import Store

    check_mirror(mirror)
    opened = Store.existing(store)
    found = opened.job(opened.find(key))
    options = Options(
        store=store.resolve(),
        mirror=mirror.resolve() if mirror else None,
        unsafe_exec=unsafe_exec,
        containers=prepare(runtime, [found]),
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
def doctor(json: AsJson = False) -> None:
    """Say what this machine can run, and what is missing with the command that installs it."""
    from kit import doctor as checks

    sys.exit(checks.main(as_json=json))
