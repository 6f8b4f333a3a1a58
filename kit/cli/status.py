"""``kit status``: what the jobs of a store are doing, from any shell and any machine that sees the store."""

import sys
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, AsJson, StoreDir, app, say, say_json

if TYPE_CHECKING:
    from kit.report.status import Status, StatusReader

SHORTEST_S, LONGEST_S = 0.2, 3600.0
"""Fewest and most seconds between two readings."""


@app.command()
def status(
    store: StoreDir = DEFAULT_STORE,
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every few seconds, until all is done")] = False,
    every: Annotated[
        float | None, typer.Option(help="Seconds between two readings, with --watch; 2 by default")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All jobs that were ever planned in the store, not only the last run's")
    ] = False,
    json: AsJson = False,
) -> None:
    """Say what the jobs of a run are doing: states, rows a second, hours spent and left, what failed and why.

    It reads the store alone, so it works from any shell, and from any machine that sees the store. Runs that are at
    work are shown, and the last one (docs/status.md). With --watch and --json it prints a document a line.
    """
    from kit.errors import RequestError
    from kit.report.status import StatusReader
    from kit.store import Store

    if every is not None and not watch:
        raise RequestError(f"--every {every:g}: goes with --watch; without it the status is shown once")
    if every is not None and not SHORTEST_S <= every <= LONGEST_S:
        raise RequestError(f"--every {every:g}: wanted {SHORTEST_S:g} to {LONGEST_S:,g} seconds; leave it out for 2")
    reader = StatusReader(Store.existing(store))
    if not watch:
        show(reader.read(everything=everything), as_json=json)
        return
    try:
        follow(reader, every or 2.0, everything=everything, as_json=json)
    except KeyboardInterrupt:  # nothing was stopped but the looking
        sys.exit(0)


def show(found: "Status", *, as_json: bool) -> None:
    """Print a status once, for people or as JSON."""
    from kit.report.statuspage import document, lines

    if as_json:
        say_json(document(found))
    else:
        say("\n".join(lines(found)))


def follow(reader: "StatusReader", every_s: float, *, everything: bool, as_json: bool) -> None:
    """Show a status anew until every job is done and no run at work.

    On a terminal each takes the place of the one before, elsewhere they stand one below the other.
    """
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from kit.report.escapes import plain
    from kit.report.statuspage import document, lines

    console = Console(highlight=False)
    in_place = console.is_terminal and not as_json
    display = Live(console=console, auto_refresh=False, vertical_overflow="crop")
    with display if in_place else nullcontext():
        while True:
            found = reader.read(everything=everything)
            if in_place:
                display.update(Text(plain("\n".join(lines(found))), no_wrap=True, overflow="ellipsis"), refresh=True)
            elif as_json:
                say_json(document(found), indent=None)
            else:
                say("\n".join([*lines(found), ""]))
            if found.jobs and not found.alive and found.counts()["done"] == len(found.jobs):
                return
            time.sleep(every_s)
