"""Tables of results beside the paper's; reads the store, and no stage knows of it."""

import csv
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kit.catalogue import paper
from kit.catalogue.manifest import Column, Table
from kit.errors import KitError
from kit.plan import CellAddress, Plan
from kit.records import Result, read_rows
from kit.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of a table; rates are 0-1, and the column turns them into percent."""

    address: CellAddress
    result: Result | None
    """``None`` while its job is not done."""
    reference: float | None
    """What the paper prints here, in the column's unit."""

    @property
    def percent(self) -> float | None:
        """The value, percent."""
        return None if self.result is None else 100 * self.result.value

    @property
    def stderr_percent(self) -> float | None:
        """Its standard error, percentage points."""
        return None if self.result is None else 100 * self.result.stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table: an evolver and a base model."""

    evolver: str
    base: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table with its numbers."""

    name: str
    table: Table
    scale: str
    cast: Mapping[str, str]
    lines: tuple[Line, ...]

    @property
    def columns(self) -> list[Column]:
        """The table's columns, in order."""
        return self.table.column

    def players(self) -> dict[str, str]:
        """The paper's names in this table -> who plays them, where that is somebody else."""
        names = [*self.table.evolvers, *(line.base for line in self.lines)]
        return {name: self.cast[name] for name in dict.fromkeys(names) if self.cast.get(name, name) != name}

    def sizes(self) -> str:
        """Units behind a cell, per column: ``IFEval P-S 12, ...``; what the standard errors rest on."""
        first = self.lines[0].cells if self.lines else ()
        counts = [
            f"{column.name} {cell.result.n:,}" for column, cell in zip(self.columns, first, strict=True) if cell.result
        ]
        return ", ".join(counts)


def make_grid(name: str, plan: Plan, store: Store) -> Grid:
    """Fill a table of a plan with what the store has."""
    table = plan.tables[name]
    printed = paper.table(table.paper) if table.paper else None
    cache: dict[str, dict[str, Result]] = {}
    rows: dict[tuple[str, str], list[Cell]] = {}
    for address in plan.cells[name]:
        if address.key not in cache and store.has(address.key):
            cache[address.key] = stored_results(store, address.key)
        rows.setdefault((address.evolver, address.base), []).append(
            Cell(
                address=address,
                result=cache.get(address.key, {}).get(address.column),
                reference=_number(printed.cell(address.evolver, address.base, address.column)) if printed else None,
            )
        )
    return Grid(
        name=name,
        table=table,
        scale=plan.scale,
        cast=plan.cast,
        lines=tuple(Line(evolver=e, base=b, cells=tuple(cells)) for (e, b), cells in rows.items()),
    )


def stored_results(store: Store, key: str) -> dict[str, Result]:
    """Return a grading's results by metric, of a file that is still as its head says.

    Raises:
        KitError: it is missing, was changed, or holds what no grading writes.
    """
    artifact = store.get(key)
    os.close(store.open_file(artifact, "results.jsonl", checked=True))
    path = artifact.folder / "results.jsonl"
    found = read_rows(path, Result)
    for number, result in enumerate(found, 1):
        numbers = (result.value, result.stderr)
        sound = all(type(value) in (int, float) and 0 <= value <= 1 for value in numbers) and type(result.n) is int
        if not (sound and result.n > 0 and type(result.metric) is str and type(result.unit) is str):
            raise KitError(f"{path}:{number}: no result of a grading; remove {artifact.folder} and run again")
    return {result.metric: result for result in found}


def _number(value: object) -> float | None:
    """A printed cell as a number, if it is one."""
    return float(value) if isinstance(value, int | float) else None


def ours(cell: Cell, column: Column) -> str:
    """Our number as the table prints it: ``33.33 ±13.6``."""
    if cell.percent is None or cell.stderr_percent is None:
        return "missing"
    return f"{cell.percent:.{column.digits}f}\N{NO-BREAK SPACE}±{cell.stderr_percent:.1f}"


def theirs(cell: Cell, column: Column) -> str:
    """The paper's number, or a dash."""
    return "-" if cell.reference is None else f"{cell.reference:.{column.digits}f}"


def disclaimer(grid: Grid) -> str:
    """What the numbers beside the paper's mean at this scale."""
    if grid.table.paper is None:
        return "A table of one's own: the paper prints nothing to compare it with."
    if grid.scale == "paper":
        return "The paper's models and data; `kit verify` compares each cell and judges the table."
    return (
        f"Scale {grid.scale}: other models and fewer rows than the paper's. The numbers show that the pipeline works; "
        "they neither confirm nor refute the paper's cells, which stand beside them for orientation."
    )


def markdown(grid: Grid) -> str:
    """The table as Markdown: ours, and the paper's in brackets."""
    head = ["evolver", "base", *(one_line(column.name) for column in grid.columns)]
    lines = [f"**{one_line(grid.table.title)}** (scale `{one_line(grid.scale)}`)", ""]
    lines += ["| " + " | ".join(head) + " |", "| --- | --- |" + " ---: |" * len(grid.columns)]
    for line in grid.lines:
        cells = [f"{ours(c, k)} ({theirs(c, k)})" for c, k in zip(line.cells, grid.columns, strict=True)]
        lines.append("| " + " | ".join([one_line(line.evolver), one_line(line.base), *cells]) + " |")
    lines += ["", "Percent ± standard error; in brackets what the paper prints. " + disclaimer(grid)]
    if players := grid.players():
        played = ", ".join(f"{one_line(name)} = {one_line(player)}" for name, player in players.items())
        lines += ["", f"Played by: {played}."]
    lines += ["", f"Units behind a cell: {grid.sizes()}.", ""]
    return "\n".join(lines)


def as_csv(grid: Grid) -> str:
    """One line a cell: table, scale, names, value, standard error, n, unit, the paper's value, the job's key."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    head = ["table", "scale", "evolver", "evolver_player", "base", "base_player", "column"]
    writer.writerow([*head, "percent", "stderr", "n", "unit", "paper", "key"])
    for line in grid.lines:
        for cell, column in zip(line.cells, grid.columns, strict=True):
            result = cell.result
            players = [line.evolver, grid.cast.get(line.evolver), line.base, grid.cast.get(line.base)]
            numbers = [cell.percent, cell.stderr_percent, result.n, result.unit] if result else [None] * 4
            writer.writerow([grid.name, grid.scale, *players, column.id, *numbers, cell.reference, cell.address.key])
    return out.getvalue()


def one_line(text: str) -> str:
    """Text of a manifest as a cell of a Markdown table: no line break, no column bar, no control character."""
    return plain(text).replace("\n", " ").replace("|", "\\|")


def plain(text: str) -> str:
    r"""Text of a model or a file made safe to show: control characters, and so terminal escapes, as ``\x1b``."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def plain_json(document: Any, indent: int | None = 1) -> str:
    r"""JSON that is safe to show: what :func:`plain` makes visible is written as JSON writes it, ``\u001b``."""
    text = json.dumps(document, ensure_ascii=False, indent=indent)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
