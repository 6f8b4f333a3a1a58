"""``kit audit``: printed numbers against themselves, the paper's or those of a file."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from kit.cli import AsJson, app, path_option, say, say_json
from kit.cli.completing import complete_printed
from kit.errors import RequestError, one_line

FORMATS = ("terminal", "markdown", "json")
"""Forms of the report; the first is the default."""


@app.command()
def audit(
    tables: Annotated[
        list[str] | None,
        typer.Argument(help="Tables and figures: 2, figure-1; all by default", autocompletion=complete_printed),
    ] = None,
    results: Annotated[
        Path | None, path_option("--results", "Numbers of your own instead: CSV with benchmark, n, value")
    ] = None,
    json: AsJson = False,
    format: Annotated[str, typer.Option("--format", help=", ".join(FORMATS))] = FORMATS[0],
) -> None:
    """Check the paper's printed numbers against themselves; no run and no store is read.

    Percentages against counts of n, IFEval's four numbers against each other, swapped columns, repeated rows, figures
    against their tables, means, sums. Exit 0 if nothing is found, 1 with findings (notes alone are none), 2 if the
    request was wrong. docs/audit.md has the arithmetic.
    """
    from kit.audit import showing
    from kit.audit.checking import audit_paper, audit_sheets
    from kit.audit.facts import facts
    from kit.audit.results import read_results
    from kit.plan.options import check_choice

    check_choice("--format", format, FORMATS)
    if json and format not in (FORMATS[0], "json"):
        raise RequestError(f"--format {format}: --json asks for another form; leave one of them out")
    if results is not None and tables:
        raise RequestError(
            f"--results {one_line(str(results))}: goes without tables of the paper; leave {tables[0]} out"
        )
    report = audit_paper(tables or []) if results is None else audit_sheets(read_results(results, facts()))
    if json or format == "json":
        say_json(showing.document(report))
    elif format == "markdown":
        say(showing.markdown(report), nl=False)
    else:
        from rich.console import Console

        showing.show(Console(highlight=False), report)
    if report.findings:
        sys.exit(1)
