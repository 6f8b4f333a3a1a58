"""``kit plan``, ``report``, ``verify``: list the jobs behind tables, print tables from the store, check them."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import (
    DEFAULT_STORE,
    AsJson,
    ScaleName,
    StoreDir,
    Tables,
    app,
    path_option,
    say,
    say_json,
    store_to_plan,
    store_to_read,
)
from kit.cli.completing import complete_checkable
from kit.cli.listing import formula, machine_chooses_scale, print_choices, show_plan, totals
from kit.cli.pictures import draw_figures
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.store import Store

FORMATS = ("terminal", "markdown", "csv", "json", "svg", "png")
"""Forms of a report; the first is the default."""


@app.command()
def plan(
    tables: Tables,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
    write: Annotated[bool, typer.Option("--write", help="Put the jobs into the store, for `kit job KEY`")] = False,
) -> None:
    """List the jobs behind tables: stage, key, inputs, resources, cached or not."""
    from dataclasses import asdict

    from rich.console import Console

    from kit.plan import digest
    from kit.plan.planning import plan_tables
    from kit.store import Store

    found = plan_tables(tables, scale)
    opened = Store.open(store) if write else store_to_plan(store)
    for job in found.jobs.values() if write else ():
        opened.plan(job)
    if not json:
        console = Console(highlight=False)
        print_choices(console, found, auto=machine_chooses_scale(tables, scale))
        show_plan(console, found, opened)
        return
    document = {
        "schema": 1,
        "scale": found.scale,
        "digest": digest(found),
        "tables": {name: {"cells": [asdict(cell) for cell in cells]} for name, cells in found.cells.items()},
        "cast": found.cast,
        "models": {name: model.model_dump(exclude_none=True) for name, model in found.models.items()},
        "notes": found.notes,
        "totals": totals(found),
        "formula": formula(),
        "jobs": [{**job.to_json(), "cached": opened.has(key)} for key, job in found.jobs.items()],
    }
    say_json(document)


@app.command()
def report(
    tables: Tables,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    format: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = FORMATS[0],
    out: Annotated[
        Path | None,
        path_option("--out", "With --format svg or png: a folder for NAME.svg or .png and NAME.csv of each figure"),
    ] = None,
) -> None:
    """Print tables from what the store has, or draw figures."""
    from kit.plan.options import check_choice
    from kit.plan.planning import plan_tables
    from kit.report import make_grid, terminal
    from kit.report.formats import as_csv, as_json, markdown
    from kit.report.overlaps import with_overlaps

    check_choice("--format", format, FORMATS)
    if out is not None and format not in ("svg", "png"):
        raise RequestError(f"--out {one_line(str(out))}: goes with --format svg or png; other formats are printed")
    opened = store_to_read(store)
    found = plan_tables(tables, scale)
    console = terminal.console()
    grids = with_overlaps([make_grid(name, found, opened) for name in found.tables], found, opened)
    if format == "csv":
        say(as_csv(grids), nl=False)
    elif format == "json":
        say_json(as_json(grids))
    elif format in ("svg", "png"):
        draw_figures(grids, "svg" if format == "svg" else "png", out)
    for grid in grids if format in ("terminal", "markdown") else ():
        if format == "terminal":
            console.print(terminal.grid_table(grid, console.width))
        else:
            say(markdown(grid), nl=False)


def stored_tables(store: "Store", scale: str) -> list[str]:
    """Return the tables whose numbers are all in the store, at this scale; if there are none, those with some numbers.

    Tables share jobs, so the numbers of one may be some of another's: tables that are left out are printed.

    Raises:
        RequestError: the store has no number of any table.
    """
    from kit.plan.planning import ALL, plan_tables

    plan = plan_tables([ALL], scale)
    keys = {name: {key for address in cells for key in address.keys} for name, cells in plan.cells.items()}
    done = {name: sum(store.has(key) for key in wanted) for name, wanted in keys.items()}
    some = [name for name in keys if done[name]]
    whole = [name for name in some if done[name] == len(keys[name])]
    if not some:
        raise RequestError(f"store {store.root}: no number of any table at this scale; `kit reproduce 2` computes one")
    for name in some if whole else ():
        if name not in whole:
            left = f"{done[name]} of its {len(keys[name])} gradings are there, from tables that share them"
            typer.echo(f"{name} is left out: {left}; `kit verify {name}` checks it all the same", err=True)
    return whole or some


@app.command()
def verify(
    tables: Annotated[
        list[str] | None,
        typer.Argument(help="Tables by number; all that the store has, by default", autocompletion=complete_checkable),
    ] = None,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
    record: Annotated[
        bool, typer.Option("--record", help="Write what the store has as the values expected from now on")
    ] = False,
) -> None:
    """Check finished tables: artifacts unharmed, every cell there, every number within its tolerance.

    Tables 6, 7 and 8 print settings and counts: they are compared with manifests/, which takes no job and no store.
    """
    from rich.console import Console

    from kit.check import recorded
    from kit.check import settings as settings_check
    from kit.check import verify as checks
    from kit.check.findings import as_json
    from kit.plan.planning import plan_tables

    printed, computed = settings_check.split(tables or [])
    if printed and record:
        raise RequestError(f"--record: {', '.join(printed)}: no job computes it, so there is nothing to record")
    settings = settings_check.check(printed)
    found, findings = None, []
    if computed or not printed:
        opened = store_to_read(store)
        found = plan_tables(computed or stored_tables(opened, scale), scale)
        if record:
            for path in recorded.record(found, opened):
                say(f"wrote {path}")
            return
        findings = checks.check(found, opened)
    if json:
        names = [*(found.tables if found else ()), *printed]
        typer.echo(as_json(found.scale if found else None, names, [*findings, *settings]))
    else:
        if found:
            checks.show(Console(), found, findings)
        settings_check.show(Console(), settings)
    if not (all(one.passed for one in findings) and all(one.passed for one in settings)):
        sys.exit(1)
