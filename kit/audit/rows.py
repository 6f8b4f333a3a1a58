"""A table with what its checks ask again and again, computed once: columns by id, IFEval's roles, places of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.audit import ifeval
from kit.audit.counts import Number, can_be_looked_up, counts, fits_groups
from kit.audit.facts import CountsFile
from kit.audit.sheets import Column, Line, Sheet

FEWEST_CUT = 3
"""Cells with digits cut off that make a table one of that kind, where no cell is rounded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """One table, and the facts by which its rows are checked."""

    sheet: Sheet
    facts: CountsFile
    columns: Mapping[str, Column]
    roles: Mapping[str, str]
    """Role of a column of IFEval -> its id."""
    rounded: int
    """Cells that can be rounded and not cut off."""
    cut: int
    """Cells that can be cut off and not rounded."""
    places: Mapping[Number, Sequence[tuple[str, Column]]]
    """Number -> the rows and columns of shares that print it, and can."""

    @property
    def is_cut(self) -> bool:
        """Return whether digits are cut off instead of rounded: several cells say so, and none says otherwise."""
        return self.rounded == 0 and self.cut >= FEWEST_CUT

    def violations(self, line: Line, exchanged: Mapping[str, Number] | None = None) -> list[str]:
        """Return a sentence for each of IFEval's bounds that a row breaks, with some of its cells exchanged."""
        if not self.roles:
            return []
        found = ifeval.counts_of({**line.cells, **(exchanged or {})}, self.roles, self.facts.ifeval)
        return [why for _, why in ifeval.violations(found, self.facts.ifeval)]


def rows_of(sheet: Sheet, facts: CountsFile) -> Rows:
    """Return a table with what its checks ask."""
    places: dict[Number, list[tuple[str, Column]]] = {}
    rounded = cut = 0
    for line in sheet.lines:
        for column in sheet.columns:
            cell = line.cells.get(column.id) if column.n else None
            if cell is None:
                continue
            fits, fits_cut = bool(counts(cell, column.n)), bool(counts(cell, column.n, "cut"))
            rounded += fits and not fits_cut
            cut += fits_cut and not fits
            if fits:
                places.setdefault(cell, []).append((line.name, column))
    return Rows(
        sheet=sheet,
        facts=facts,
        columns={column.id: column for column in sheet.columns},
        roles=ifeval.roles(sheet, facts.ifeval),
        rounded=rounded,
        cut=cut,
        places=places,
    )


def fits(cell: Number, column: Column) -> bool:
    """Return whether a number can be in a column, rounded to the nearest."""
    if column.n:
        return bool(counts(cell, column.n))
    return not can_be_looked_up(column.groups) or fits_groups(cell, column.groups)
