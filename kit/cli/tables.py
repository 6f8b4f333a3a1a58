"""``kit plan``, ``report``, ``verify``: list the jobs behind tables, print tables from the store, check them."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import (
    DEFAULT_STORE,
    AsJson,
    MirrorDir,
    RuntimeName,
    ScaleName,
    StoreDir,
    Tables,
    UnsafeExec,
    app,
    budgeting,
    path_option,
    say,
    say_json,
    store_to_plan,
    store_to_read,
)
from kit.cli.completing import complete_checkable, complete_table
from kit.cli.keeping import KEEP_ALL, KeepRule, disk_task
from kit.cli.listing import formula, machine_chooses_scale, print_choices, show_plan, totals
from kit.cli.pictures import draw_figures
from kit.cli.running import DryRun, Yes
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.check.findings import Checked, Finding
    from kit.check.settings import Setting
    from kit.plan import Plan
    from kit.store import Store

FORMATS = ("terminal", "markdown", "csv", "json", "svg", "png")
"""Forms of a report; the first is the default."""


@app.command()
def plan(
    tables: Tables,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    keep: KeepRule = KEEP_ALL,
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
    whole = disk_task(found, None, keep)
    opened = Store.open(store) if write else store_to_plan(store)
    for job in found.jobs.values() if write else ():
        opened.plan(job)
    if not json:
        console = Console(highlight=False)
        print_choices(console, found, auto=machine_chooses_scale(tables, scale))
        show_plan(console, found, opened, keep)
        return
    document = {
        "schema": 1,
        "scale": found.scale,
        "digest": digest(found),
        "tables": {name: {"cells": [asdict(cell) for cell in cells]} for name, cells in found.cells.items()},
        "cast": found.cast,
        "models": {name: model.model_dump(exclude_none=True) for name, model in found.models.items()},
        "notes": found.notes,
        "keep": keep,
        "totals": totals(found, whole),
        "formula": formula(),
        "jobs": [
            {**job.to_json(), "cached": opened.has(key), "released": opened.is_released(key)}
            for key, job in found.jobs.items()
        ],
    }
    say_json(document)


@app.command()
def report(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="Tables by number: 2; all of them: all; or the path of a manifest of your own. With --html or --serve "
            "all that the store has, by default",
            autocompletion=complete_table,
        ),
    ] = None,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    format: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = FORMATS[0],
    out: Annotated[
        Path | None,
        path_option(
            "--out",
            "With --html: the file; with --format svg or png: a folder for NAME.svg or .png and NAME.csv of figures",
        ),
    ] = None,
    html: Annotated[
        bool, typer.Option("--html", help="Write one HTML page with the rows behind every number into --out")
    ] = False,
    serve: Annotated[bool, typer.Option("--serve", help="Show that page to browsers on this machine")] = False,
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="With --serve; 0 takes a free one")] = 0,
    beside: Annotated[
        list[Path] | None,
        path_option("--beside", "With --html or --serve: another store, whose rows can be set beside these"),
    ] = None,
) -> None:
    """Print tables from what the store has, draw figures, or make a page of all of it (docs/report.md)."""
    if html or serve:
        check_page_options(format, out, port, html=html, serve=serve)
        from kit.cli import pages

        if out is not None:
            pages.write_page(tables or [], scale, store, beside or [], out)
        else:
            pages.serve_page(tables or [], scale, store, beside or [], port)
        return
    if beside or port:
        raise RequestError("--beside and --port: go with --html or --serve")
    if not tables:
        raise RequestError("no tables are named: 2, or all; --html and --serve take all that the store has")
    print_report(tables, scale, store, format, out)


def check_page_options(format: str, out: Path | None, port: int, *, html: bool, serve: bool) -> None:
    """Check that the options of a page go together.

    Raises:
        RequestError: they don't.
    """
    if format != FORMATS[0]:
        raise RequestError(f"--format {one_line(format)}: is another form than --html; leave one of them out")
    if html and serve:
        raise RequestError("--serve: shows the page without a file; leave out --html, or --serve")
    if html and out is None:
        raise RequestError("--html: wanted a file for the page: --out report.html")
    if serve and out is not None:
        raise RequestError(f"--out {one_line(str(out))}: --serve writes no file; leave one of them out")
    if html and port:
        raise RequestError("--port: goes with --serve")


def print_report(tables: list[str], scale: str, store: Path, format: str, out: Path | None) -> None:
    """Print tables in one of the forms, or draw figures."""
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
    """Return the tables whose numbers are all in the store, at this scale; if there are none, those begun.

    Tables share jobs, so the numbers of one may be some of another's. A table is begun if it has a number that no table
    with a larger share of its own numbers has. Those with some numbers that are left out are printed.

    Raises:
        RequestError: the store has no number of any table.
    """
    from kit.plan.planning import ALL, plan_tables

    plan = plan_tables([ALL], scale)
    keys = {name: {key for address in cells for key in address.keys} for name, cells in plan.cells.items()}
    done = {name: {key for key in wanted if store.has(key)} for name, wanted in keys.items()}
    shares = {name: len(done[name]) / len(keys[name]) for name in keys if done[name]}
    if not shares:
        raise RequestError(f"store {store.root}: no number of any table at this scale; `kit reproduce 2` computes one")
    whole = [name for name, share in shares.items() if share == 1]
    begun = [
        name
        for name, share in shares.items()
        if not any(shares[other] > share and done[other] >= done[name] for other in shares)
    ]
    found = whole or begun
    for name in shares:
        if name not in found:
            left = f"{len(done[name])} of its {len(keys[name])} gradings are there, from tables that share them"
            typer.echo(f"{name} is left out: {left}; `kit verify {name}` checks it all the same", err=True)
    return found


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
    junit: Annotated[
        Path | None, path_option("--junit", "Also write JUnit XML into this file, a case for each check")
    ] = None,
    annotations: Annotated[
        bool, typer.Option("--annotations", help="Also print errors, warnings and counts as GitHub Actions reads them")
    ] = False,
    budget: budgeting.Budget = None,
    claim: budgeting.ClaimName = "",
    seeds: budgeting.Seeds = budgeting.SEEDS,
    alpha: budgeting.Alpha = budgeting.ALPHA,
    about: budgeting.AboutWhat = "runs",
    simulate: budgeting.Simulate = 0,
    dry_run: DryRun = False,
    yes: Yes = False,
    mirror: MirrorDir = None,
    unsafe_exec: UnsafeExec = False,
    runtime: RuntimeName = "local",
) -> None:
    """Check finished tables: artifacts unharmed, every cell there, a verdict on every number.

    At scale paper a number is compared with the paper's, at other scales with the recorded value: match, off, cannot
    tell or missing, with the reason (docs/verify.md). Where nothing is recorded, --record writes what is there.

    Tables 6, 7 and 8 print settings and counts: they are compared with manifests/, which takes no job and no store.

    With --budget and --claim it runs jobs instead, in an order that decides the claim by the fewest hours, and stops as
    soon as the evidence allows (docs/budget.md).

    Exit codes: 0 all is as it should be; 1 it is not: a check failed, a number is off or missing; 2 the request was
    wrong; 3 it can't be told: nothing is recorded, or the runs are too few.
    """
    from kit.check import settings as settings_check
    from kit.check.findings import EXIT_CODES, outcome
    from kit.plan.planning import plan_tables

    asked = budgeting.Request(
        budget=budget,
        claim=claim,
        scale=scale,
        store=store,
        mirror=mirror,
        runtime=runtime,
        about=about,
        seeds=seeds,
        alpha=alpha,
        simulate=simulate,
        json=json,
        dry_run=dry_run,
        yes=yes,
        unsafe=unsafe_exec,
    )
    if asked.is_asked_for:
        given = {"--record": record, "--junit": junit, "--annotations": annotations}
        budgeting.decide(asked, [*(tables or []), *(name for name, value in given.items() if value)])
        return
    check_options(json=json, record=record, junit=junit, annotations=annotations)
    printed, computed = settings_check.split(tables or [])
    if printed and record:
        raise RequestError(f"--record: {', '.join(printed)}: no job computes it, so there is nothing to record")
    settings = settings_check.check(printed)
    found, findings = None, []
    if computed or not printed:
        from kit.check import recorded
        from kit.check import verify as checks

        opened = store_to_read(store)
        found = plan_tables(computed or stored_tables(opened, scale), scale)
        if record:
            for path in recorded.record(found, opened):
                say(f"wrote {path}")
            return
        findings = checks.check(found, opened)
    print_findings(found, findings, settings, printed, json=json)
    write_for_machines([*findings, *settings], junit, annotations=annotations)
    if code := EXIT_CODES[outcome([*findings, *settings])]:
        sys.exit(code)


def check_options(*, json: bool, record: bool, junit: Path | None, annotations: bool) -> None:
    """Check that the options of ``kit verify`` go together, and that the file of JUnit XML can be written.

    Raises:
        RequestError: they don't, or it can't.
    """
    if record and (json or junit or annotations):
        raise RequestError("--record: compares nothing; leave out --json, --junit and --annotations")
    if json and annotations:
        raise RequestError("--json: prints one document; leave out --annotations, or print them in a second call")
    if junit is not None and (junit.is_dir() or not junit.parent.is_dir()):
        fault = "a folder; name a file" if junit.is_dir() else f"no folder {one_line(str(junit.parent))}"
        raise RequestError(f"--junit {one_line(str(junit))}: {fault}")
    if junit is not None and not os.access(junit if junit.exists() else junit.parent, os.W_OK):
        raise RequestError(f"--junit {one_line(str(junit))}: can't be written there; name a file that can")


def print_findings(
    plan: "Plan | None", findings: "list[Finding]", settings: "list[Setting]", printed: list[str], *, json: bool
) -> None:
    """Print findings on tables of results and on tables of settings, as lines or as one JSON document."""
    from rich.console import Console

    from kit.check import settings as settings_check
    from kit.check import verify as checks
    from kit.check.findings import as_json

    if json:
        names = [*(plan.tables if plan else ()), *printed]
        typer.echo(as_json(plan.scale if plan else None, names, [*findings, *settings]))
        return
    if plan:
        checks.show(Console(), plan, findings)
    settings_check.show(Console(), settings)


def write_for_machines(findings: "list[Checked]", path: Path | None, *, annotations: bool) -> None:
    """Write findings as JUnit XML into a file, and print them as lines of GitHub Actions, where they are asked for.

    Raises:
        RequestError: the file can't be written.
    """
    from kit.check import junit

    if path is not None:
        try:
            path.write_text(junit.junit(findings), encoding="utf-8")
        except OSError as error:
            raise RequestError(f"--junit {one_line(str(path))}: {error.strerror}") from error
    for line in junit.annotations(findings) if annotations else ():
        typer.echo(line)
