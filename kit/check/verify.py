"""Named checks on a finished table, each with the reason it fails.

At the paper's scale a number is compared with the paper's cell; at any other with the value that was recorded in
``manifests/expected/<scale>`` when that scale last changed. Only what is compared with the paper can be "reproduced",
and that is said of tables: their claims hold, most of their numbers match, and none is off.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from kit.catalogue.margins import read_margins
from kit.check.claimed import claimed
from kit.check.findings import CANNOT_TELL, OFF, Finding, compares_with_paper, counts, counts_text, outcome
from kit.check.printed import against_paper
from kit.check.recorded import against_expected
from kit.check.verdicts import seed_spreads
from kit.errors import KitError
from kit.plan import Plan
from kit.report import Grid, make_grid
from kit.report.escapes import plain
from kit.store import Store

if TYPE_CHECKING:
    from rich.console import Console


def check(plan: Plan, store: Store) -> list[Finding]:
    """Run every check on every table of the plan."""
    found: list[Finding] = []
    grids: dict[str, Grid] = {}
    for name in plan.tables:
        found += stored(name, plan, store)
        found += check_hashes(name, plan, store)
        try:
            grids[name] = make_grid(name, plan, store)
        except KitError as error:
            if found[-1].passed:  # else it is told already
                found.append(Finding(check="unharmed", table=name, what=name, passed=False, detail=str(error)))
    found += judged(grids, store)
    return [finding for name in plan.tables for finding in found if finding.table == name]


def judged(grids: Mapping[str, Grid], store: Store) -> list[Finding]:
    """Return the verdicts on tables that are at hand: on each number, on whole tables, on the claims that they decide.

    Args:
        grids: name -> table.
        store: where the items behind the claims are.
    """
    found: list[Finding] = []
    compared = {name: grid for name, grid in grids.items() if compares_with_paper(grid)}
    spreads = seed_spreads(compared.values())
    margins = read_margins() if compared else {}
    for grid in grids.values():
        found += alive(grid)
        found += against_paper(grid, spreads, margins) if grid.name in compared else against_expected(grid)
    return [*found, *claimed(compared, store)]


def stored(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Check that the job of each cell is done."""
    missing = [plan.jobs[key].id for key in _grades(name, plan) if not store.has(key)]
    cure = "run `kit reproduce`, or `kit run` for a manifest of your own"
    detail = f"not done: {', '.join(missing)}; {cure}" if missing else f"{len(_grades(name, plan))} graded"
    yield Finding(check="stored", table=name, what=name, passed=not missing, detail=detail)


def check_hashes(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Check that every artifact behind a table still has the sha256 that its head records."""
    keys = [key for key in sorted(plan.needs(_grades(name, plan))) if store.has(key)]
    faults = [f"{plan.jobs[key].id}: {fault}" for key in keys for fault in store.check(key)]
    detail = "; ".join(faults) if faults else f"{len(keys)} artifacts hash to what they say"
    yield Finding(check="unharmed", table=name, what=name, passed=not faults, detail=detail)


def alive(grid: Grid) -> Iterator[Finding]:
    """Check that no column is all at its lowest or all at its highest value: then the pipeline is broken.

    Counts of one benchmark share its units: that one label or outcome never came up is no fault where another did.
    """
    values = [
        [cell.result.value for line in grid.lines if (cell := line.cells[index]).result]
        for index in range(len(grid.columns))
    ]
    counted = {
        column.benchmark
        for column, known in zip(grid.columns, values, strict=True)
        if column.measure.kind == "count" and max(known, default=0.0) > 0
    }
    for index, (column, known) in enumerate(zip(grid.columns, values, strict=True)):
        if all(line.cells[index].is_blank for line in grid.lines):
            continue
        low, high = column.measure.bounds
        dead = bool(known) and (max(known) == low or min(known) == high)
        dead = dead and not (column.measure.kind == "count" and column.benchmark in counted)
        shown = (column.measure.short_text(column.measure.in_unit(value)) for value in known)
        detail = ", ".join(shown) or "no value"
        what = f"{grid.name}, {column.name}"
        yield Finding(check="alive", table=grid.name, what=what, passed=bool(known) and not dead, detail=detail)


STYLES = {"go": "green", "no": "bold red", CANNOT_TELL: "yellow"}
"""Outcome of a check -> style of its first word."""


def show(console: "Console", plan: Plan, findings: list[Finding]) -> None:
    """Print a line for each check and for each table's counts, and a last one with the verdict."""
    from rich.text import Text

    for finding in findings:
        word = finding.verdict or ("ok" if finding.passed else "FAIL")
        open_question = finding.passed and finding.verdict in (OFF, CANNOT_TELL)
        mark = (f"{word:11}", STYLES[CANNOT_TELL if open_question else finding.outcome])
        console.print(
            Text.assemble(mark, f"  {finding.check:9} {plain(finding.what)}: {plain(finding.detail)}"), soft_wrap=True
        )
    for table, count in counts(findings).items():
        console.print(Text(f"{plain(table)}: {counts_text(count)} of {sum(count.values())} cells"), soft_wrap=True)
    failed = sum(finding.outcome == "no" for finding in findings)
    unsure = sum(finding.outcome == CANNOT_TELL for finding in findings)
    line = f"{len(findings)} checks, {failed} failed, {unsure} can't tell. {verdict(plan, findings)}"
    console.print(Text(line, style="bold"), soft_wrap=True)


def verdict(plan: Plan, findings: list[Finding]) -> str:
    """Return a sentence with the outcome; only tables that were compared with the paper's are called reproduced."""
    whole = outcome(findings)
    if any(finding.check == "paper" for finding in findings):
        claims = sum(finding.check == "claim" for finding in findings)
        what = f"{claims} of the paper's claims hold, and" if claims else "no claim is decided by them alone;"
        return {
            "go": f"The paper's tables are reproduced: {what} most of their numbers match.",
            "no": "The paper's tables are not reproduced: see what failed.",
            CANNOT_TELL: "Whether the paper's tables are reproduced can't be told from these runs (docs/verify.md).",
        }[whole]
    says = {
        "go": f"Scale {plan.scale} gives what was recorded",
        "no": f"Scale {plan.scale} does not give what was recorded",
        CANNOT_TELL: f"It can't be told: not all numbers are recorded for scale {plan.scale}; --record writes them",
    }[whole]
    return f"{says}; it says nothing about the paper's numbers."


def _grades(name: str, plan: Plan) -> list[str]:
    return list(dict.fromkeys(key for address in plan.cells[name] for key in address.keys))
