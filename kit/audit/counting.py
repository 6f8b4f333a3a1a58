"""Checks of single rows: percentages against counts (GRIM), IFEval's bounds, and what a column's counts can't tell."""

from collections.abc import Iterator
from itertools import combinations

from kit.audit import ifeval
from kit.audit.alternatives import nearest, other_readings
from kit.audit.counts import RULES, can_be_looked_up, counts, fit_share
from kit.audit.facts import CountsFile
from kit.audit.findings import Finding, Untested
from kit.audit.rows import Rows, fits, rows_of
from kit.audit.sheets import Column, Line, Sheet
from kit.audit.swaps import chance_of, likely_swaps, repairs, swap_finding

MOST_EXCHANGED = 0.05
"""Largest chance that two numbers fit each other's column, for an exchange in one row to be worth a word."""


def row_findings(sheet: Sheet, facts: CountsFile) -> list[Finding]:
    """Return the findings of a sheet that concern one row each, and its swapped columns."""
    rows = rows_of(sheet, facts)
    swaps = likely_swaps(rows)
    explained = {(line.name, column.id) for swap in swaps for line in swap.lines for column in swap.columns}
    found = [swap_finding(rows, swap) for swap in swaps]
    found += [_cut_note(rows)] if rows.is_cut else []
    for line in sheet.lines:
        found += _count_findings(rows, line, explained)
        found += _ifeval_findings(rows, line, explained)
    return found


def compared(sheet: Sheet) -> int:
    """Return how many cells were tested against counts."""
    columns = [column.id for column in sheet.columns if column.n or can_be_looked_up(column.groups)]
    return sum(id in line.cells for line in sheet.lines for id in columns)


def compared_ifeval(sheet: Sheet, facts: CountsFile) -> int:
    """Return how many rows were held against IFEval's bounds."""
    columns = ifeval.roles(sheet, facts.ifeval)
    return sum(sum(id in line.cells for id in columns.values()) > 1 for line in sheet.lines)


def untested(sheet: Sheet) -> Iterator[Untested]:
    """Yield the columns whose counts can't be tested, by the reason."""
    reasons: dict[str, list[str]] = {}
    for column in sheet.columns:
        if column.untested:
            reasons.setdefault(column.untested, []).append(column.id)
        elif column.n and fit_share(column.n, _decimals(sheet, column)) == 1:
            reasons.setdefault(f"so many items that some count gives any number, n = {column.n}", []).append(column.id)
    for reason, ids in reasons.items():
        yield Untested(table=sheet.label, columns=tuple(ids), reason=reason)


def _decimals(sheet: Sheet, column: Column) -> int:
    """Return the most decimals in a column."""
    return max((line.cells[column.id].decimals for line in sheet.lines if column.id in line.cells), default=0)


def _count_findings(rows: Rows, line: Line, explained: set[tuple[str, str]]) -> Iterator[Finding]:
    """Yield each number of a row that no count of its n gives."""
    for column in rows.sheet.columns:
        cell = line.cells.get(column.id)
        if cell is None or fits(cell, column) or (line.name, column.id) in explained:
            continue
        unusual = [rule for rule in RULES[1:] if column.n and counts(cell, column.n, rule)]
        if "cut" in unusual and rows.is_cut:
            continue
        if column.n:
            why = f"no count of n = {column.n} is printed as {cell.text}: {nearest(cell, column.n)}"
            chance = f"{100 * fit_share(column.n, cell.decimals):.1f} % of all numbers fit"
            if unusual == ["cut"] and rows.rounded:
                chance += f"; {rows.rounded} cells here are rounded and not cut off"
        else:
            why = f"no mean of {len(column.groups)} groups of {', '.join(map(str, column.groups))} items is printed so"
            chance = ""
        yield Finding(
            check="counts",
            table=rows.sheet.label,
            rows=(line.name,),
            columns=(column.id,),
            printed=(cell.text,),
            why=why,
            sure="likely" if unusual else "certain",
            chance=chance,
            could_be=(*_exchanges(rows, line, column), *other_readings(cell, column, rows)),
        )


def _exchanges(rows: Rows, line: Line, column: Column) -> Iterator[str]:
    """Yield the exchanges with another cell of the row that make both possible, where chance seldom does."""
    for other in rows.sheet.columns:
        if other.id == column.id or not (other.n and column.n) or not repairs(rows, line, column.id, other.id):
            continue
        if column.n != other.n and chance_of(line, column, other) <= MOST_EXCHANGED:
            pair = [one.id for one in rows.sheet.columns if one.id in (column.id, other.id)]
            yield f"{pair[0]} and {pair[1]} exchanged"


def _cut_note(rows: Rows) -> Finding:
    """Return the note on a table that cuts digits off."""
    return Finding(
        check="counts",
        table=rows.sheet.label,
        why=f"{rows.cut} cells are counts of their n with digits cut off and not rounded, and no cell is rounded",
        sure="possible",
        could_be=("a table made by a program that cuts digits off",),
    )


def _ifeval_findings(rows: Rows, line: Line, explained: set[tuple[str, str]]) -> Iterator[Finding]:
    """Yield what is wrong between IFEval's numbers in a row, all in one finding."""
    columns, prompts = rows.roles, rows.facts.ifeval
    if not columns or any((line.name, id) in explained for id in columns.values()):
        return
    broken = list(ifeval.violations(ifeval.counts_of(line.cells, columns, prompts), prompts))
    if not broken:
        return
    concerned = [columns[role] for role in ifeval.ROLES if any(role in roles for roles, _ in broken)]
    exchanges = [
        f"{left} and {right} exchanged"
        for left, right in combinations(columns.values(), 2)
        if left in line.cells and right in line.cells and repairs(rows, line, left, right)
    ]
    yield Finding(
        check="ifeval",
        table=rows.sheet.label,
        rows=(line.name,),
        columns=tuple(concerned),
        printed=tuple(line.cells[id].text for id in concerned),
        why="; ".join(why for _, why in broken),
        sure="certain",
        could_be=(*exchanges, f"one of them from another run or another set than the {prompts.prompts} prompts"),
    )
