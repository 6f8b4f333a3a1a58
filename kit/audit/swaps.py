"""Columns that look swapped: an exchange makes cells possible that can't be where they stand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, prod

from kit.audit.counts import Number, counts, fit_share
from kit.audit.findings import MOST_BY_CHANCE, Finding
from kit.audit.rows import Rows, fits
from kit.audit.sheets import Column, Line

FEWEST_ROWS = 2
"""Rows in which an exchange must repair the order of two columns with the same n: in one row a slip does it as well."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Two columns whose exchange repairs every number in some rows, and how often chance does so."""

    columns: tuple[Column, Column]
    lines: tuple[Line, ...]
    expected: float
    """Number of pairs of columns that repair as much by chance."""


def likely_swaps(rows: Rows) -> list[Swap]:
    """Return the exchanges of two columns that explain rows better than chance does, the best ones first."""
    tested = [column for column in rows.sheet.columns if column.n]
    pairs = comb(len(tested), 2)
    found = []
    faulty = [line for line in rows.sheet.lines if _is_faulty(rows, line)]
    for left, right in combinations(tested, 2) if faulty else ():
        lines = tuple(line for line in faulty if repairs(rows, line, left.id, right.id))
        if not lines:
            continue
        by_chance = [chance_of(line, left, right) for line in lines]
        alike = left.n == right.n
        expected = pairs * prod(by_chance)
        if expected <= MOST_BY_CHANCE["likely"] if not alike else len(lines) >= FEWEST_ROWS:
            found.append(Swap((left, right), lines, expected))
    found.sort(key=lambda swap: (-len(swap.lines), swap.expected))
    return _apart(found)


def _is_faulty(rows: Rows, line: Line) -> bool:
    """Return whether a row has a number that can't be, by itself or beside IFEval's others."""
    if not all(fits(line.cells[column.id], column) for column in rows.sheet.columns if column.id in line.cells):
        return True
    return bool(rows.violations(line))


def _apart(swaps: Sequence[Swap]) -> list[Swap]:
    """Return those swaps whose cells no better swap explains already."""
    taken: set[tuple[str, str]] = set()
    kept = []
    for swap in swaps:
        cells = {(line.name, column.id) for line in swap.lines for column in swap.columns}
        if not cells & taken:
            kept.append(swap)
            taken |= cells
    return kept


def repairs(rows: Rows, line: Line, left: str, right: str) -> bool:
    """Return whether an exchange of two cells makes both possible, where one is not or IFEval's bounds are broken."""
    if left not in line.cells or right not in line.cells:
        return False
    exchanged: Mapping[str, Number] = {left: line.cells[right], right: line.cells[left]}
    ends = rows.columns[left], rows.columns[right]
    if not all(fits(exchanged[column.id], column) for column in ends):
        return False
    wrong = not all(fits(line.cells[column.id], column) for column in ends)
    if not any(column.role for column in ends):
        return wrong
    before, after = rows.violations(line), rows.violations(line, exchanged)
    return len(after) < len(before) or (wrong and len(after) == len(before))


def chance_of(line: Line, left: Column, right: Column) -> float:
    """Return how likely two numbers fit each other's column by chance; 1 where both have the same n."""
    if left.n == right.n:
        return 1.0
    return fit_share(left.n, line.cells[right.id].decimals) * fit_share(right.n, line.cells[left.id].decimals)


def swap_finding(rows: Rows, swap: Swap) -> Finding:
    """Return the finding of two columns that look swapped in some rows."""
    left, right = swap.columns
    reasons = []
    for line in swap.lines:
        bad = [column for column in swap.columns if not fits(line.cells[column.id], column)]
        reasons += [f"{line.cells[one.id].text} is no count of {one.id}'s n = {one.n}" for one in bad]
        if not bad:
            reasons += rows.violations(line)[:1]
    readings = [
        f"{line.name}: " + ", ".join(_as_count(line.cells[b.id], a) for a, b in ((left, right), (right, left)))
        for line in swap.lines
    ]
    alike = left.n == right.n
    return Finding(
        check="swapped",
        table=rows.sheet.label,
        rows=tuple(line.name for line in swap.lines),
        columns=(left.id, right.id),
        printed=tuple(line.cells[column.id].text for line in swap.lines for column in swap.columns),
        why="; ".join(dict.fromkeys(reasons)) + "; exchanged, all are possible",
        sure="certain",
        chance="" if alike else f"{swap.expected:.1g} pairs of columns would be repaired so by chance",
        could_be=(f"the two columns exchanged in {len(swap.lines)} of {len(rows.sheet.lines)} rows", *readings),
    )


def _as_count(cell: Number, column: Column) -> str:
    """Return a number as a count of a column: ``gsm8k 65.35 = 862 of 1319``."""
    return f"{column.id} {cell.text} = {counts(cell, column.n)[0]} of {column.n}"
