"""Named checks on a finished table, each with the reason it fails.

At the paper's scale a number is compared with the paper's cell; at any other with the value that was recorded in
``manifests/expected/<scale>`` when that scale last changed. Only the paper's scale can say "reproduced", and says it of
a table: no more cells are off than chance allows, and the evolver that the paper finds better is better here.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kit.check.findings import Finding
from kit.check.printed import against_paper
from kit.check.recorded import against_expected
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
    for name in plan.tables:
        found += stored(name, plan, store)
        found += check_hashes(name, plan, store)
        try:
            grid = make_grid(name, plan, store)
        except KitError as error:
            if found[-1].passed:  # else it is told already
                found.append(Finding(check="unharmed", what=name, passed=False, detail=str(error)))
            continue
        found += alive(grid)
        found += against_paper(grid) if plan.scale == "paper" else against_expected(grid)
    return found


def stored(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Check that the job of each cell is done."""
    missing = [plan.jobs[key].id for key in _grades(name, plan) if not store.has(key)]
    cure = "run `kit reproduce`, or `kit run` for a manifest of your own"
    detail = f"not done: {', '.join(missing)}; {cure}" if missing else f"{len(_grades(name, plan))} graded"
    yield Finding(check="stored", what=name, passed=not missing, detail=detail)


def check_hashes(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Check that every artifact behind a table still has the sha256 that its head records."""
    keys = [key for key in sorted(plan.needs(_grades(name, plan))) if store.has(key)]
    faults = [f"{plan.jobs[key].id}: {fault}" for key in keys for fault in store.check(key)]
    detail = "; ".join(faults) if faults else f"{len(keys)} artifacts hash to what they say"
    yield Finding(check="unharmed", what=name, passed=not faults, detail=detail)


def alive(grid: Grid) -> Iterator[Finding]:
    """Check that no column is all at its lowest or all at its highest value: then the pipeline is broken."""
    for index, column in enumerate(grid.columns):
        cells = [line.cells[index] for line in grid.lines]
        if all(cell.is_blank for cell in cells):
            continue
        known = [cell.result.value for cell in cells if cell.result]
        low, high = column.measure.bounds
        dead = bool(known) and (max(known) == low or min(known) == high)
        shown = (column.measure.short_text(column.measure.in_unit(value)) for value in known)
        detail = ", ".join(shown) or "no value"
        what = f"{grid.name}, {column.name}"
        yield Finding(check="alive", what=what, passed=bool(known) and not dead, detail=detail)


def show(console: "Console", plan: Plan, findings: list[Finding]) -> None:
    """Print one line for each check, and a last one with the verdict."""
    from rich.text import Text

    for finding in findings:
        mark = ("ok  ", "green") if finding.passed else ("FAIL", "bold red")
        mark = ("off ", "yellow") if finding.passed and finding.verdict == "off" else mark
        console.print(
            Text.assemble(mark, f"  {finding.check:9} {plain(finding.what)}: {plain(finding.detail)}"), soft_wrap=True
        )
    failed = sum(not finding.passed for finding in findings)
    line = f"{len(findings)} checks, {failed} failed. {verdict(plan, findings)}"
    console.print(Text(line, style="bold"), soft_wrap=True)


def verdict(plan: Plan, findings: list[Finding]) -> str:
    """Return the checks' verdict; only tables that were compared at the paper's scale are called "reproduced"."""
    failed = any(not finding.passed for finding in findings)
    compared = any(finding.verdict for finding in findings)
    if plan.scale == "paper":
        if not compared:
            return "No cell was compared with the paper's."
        if failed:
            return "The paper's tables are not reproduced: see what failed."
        return "The paper's tables are reproduced, as far as these checks go."
    if not compared:
        text = f"Nothing is recorded for scale {plan.scale} to compare with"
    else:
        text = f"Scale {plan.scale} {'does not give' if failed else 'gives'} what was recorded"
    return f"{text}; it says nothing about the paper's numbers."


def _grades(name: str, plan: Plan) -> list[str]:
    return list(dict.fromkeys(key for address in plan.cells[name] for key in address.keys))
