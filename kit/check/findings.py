"""Outcomes of checks, the names of the cells that they speak of, and their JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kit.catalogue.axes import Coordinates
from kit.report import Cell, Grid
from kit.report.escapes import plain_json

Place = tuple[frozenset[tuple[str, str | float]], str]
"""Place of a number in a table: its coordinates, and the metric's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check, with its reason."""

    check: str
    """``stored``, ``unharmed``, ``alive``, ``expected``; at the paper's scale ``cell``, ``paper`` and ``direction``."""
    what: str
    """The cell, or the artifact."""
    passed: bool
    """Whether it is as it should be. A ``cell`` that is off passes: ``paper`` judges how many of them there are."""
    detail: str
    """Found, wanted, tolerance; or why it fails."""
    verdict: str = ""
    """``within`` or ``off`` for a number that was compared with another; else empty."""


def place(at: Coordinates, column: str) -> Place:
    """Return the place of a cell, which no other cell of its table has."""
    return frozenset(at.items()), column


def named_cells(grid: Grid) -> Iterator[tuple[str, Cell]]:
    """Yield each cell with its name in messages: table, row, column."""
    for line in grid.lines:
        for cell, column in zip(line.cells, grid.columns, strict=True):
            yield ", ".join([grid.name, *line.names(), column.name]), cell


def as_json(scale: str | None, tables: Sequence[str], findings: Sequence[Any]) -> str:
    """Return findings as one JSON document.

    Args:
        scale: the scale of the tables with results; ``None`` if there are none.
        tables: full name of every table that was checked.
        findings: :class:`Finding` of tables with results, :class:`kit.check.settings.Setting` of printed settings.
    """
    document = {
        "schema": 1,
        "scale": scale,
        "tables": list(tables),
        "passed": all(finding.passed for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return plain_json(document)
