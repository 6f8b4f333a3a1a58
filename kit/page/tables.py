"""Tables and figures as the page shows them: each number with the paper's, its verdict, and the rows behind it."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from kit.check.findings import Finding, counts, counts_text, is_number, named_cells, named_curves
from kit.page.rows import Explorer, RowSet
from kit.report import Cell, Grid, computed_text, curve_lines, disclaimer, how_to_read, overlap_line, paper_text

SIGNS = {"match": "\N{CHECK MARK}", "off": "\N{MULTIPLICATION X}", "cannot tell": "?", "missing": "\N{EN DASH}"}
"""Verdict -> the sign that stands beside its colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellView:
    """One number of a table, in the texts that the page shows."""

    ours: str
    """Our number as every other form of the report has it; empty where no experiment gives the cell."""
    paper: str
    """The number that the paper prints; a dash where it prints none."""
    verdict: str = ""
    """One of :data:`kit.check.findings.VERDICTS`; empty where nothing was compared."""
    why: str = ""
    """Numbers and reason of the verdict."""
    sets: tuple[str, ...] = ()
    """Ids of the sets of rows that it is counted from, one for each run."""
    name: str = ""
    """Place of the number in its table, for a reader who can't see the table."""

    @property
    def sign(self) -> str:
        """The sign that stands beside the verdict."""
        return SIGNS.get(self.verdict, "")

    @property
    def kind(self) -> str:
        """The verdict as a part of a class's name: ``cannot-tell``."""
        return self.verdict.replace(" ", "-") or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class RowView:
    """One row of a table: its names and its numbers."""

    names: tuple[str, ...]
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveView:
    """One curve of a figure, with the rows behind it."""

    name: str
    verdict: str
    why: str
    sets: tuple[str, ...]

    @property
    def sign(self) -> str:
        """The sign that stands beside the verdict."""
        return SIGNS.get(self.verdict, "")

    @property
    def kind(self) -> str:
        """The verdict as a part of a class's name."""
        return self.verdict.replace(" ", "-") or "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableView:
    """One table or figure as the page shows it."""

    name: str
    title: str
    axes: tuple[str, ...]
    """Heading of each of the rows' names."""
    columns: tuple[str, ...]
    rows: tuple[RowView, ...]
    curves: tuple[CurveView, ...]
    counts: str
    """Number of cells with each verdict; empty where nothing was compared."""
    how_to_read: str
    disclaimer: str
    players: Mapping[str, str]
    """Model of the paper -> the model that plays it."""
    notes: tuple[str, ...]
    """Sentences on judges, sizes, dropped rows, selections and overlaps with the tests."""
    findings: tuple[tuple[str, str, str], ...]
    """Outcome, check with its place, and detail of what was checked about the table as a whole, or about a column."""
    label: str
    """Name of the table for people: ``Table 2``, ``Figure 4``."""
    picture: str = ""
    """Address of the figure's picture, ``data:image/svg+xml;base64,...``; empty for a table."""
    picture_text: str = ""
    """Description of the picture for readers who can't see it."""


def table_view(grid: Grid, findings: Sequence[Finding], explorer: Explorer) -> TableView:
    """Return a table or figure as the page shows it.

    Args:
        grid: the table.
        findings: what was checked about it and its numbers.
        explorer: gathers the rows behind its numbers.
    """
    verdicts = {one.what: one for one in findings if is_number(one)}
    named = dict(zip((id(cell) for _, cell in named_cells(grid)), named_cells(grid), strict=True))
    rows = tuple(
        RowView(
            names=tuple(line.names()),
            cells=tuple(
                _cell_view(grid, named[id(cell)], verdicts, explorer, place) for place, cell in enumerate(line.cells)
            ),
        )
        for line in grid.lines
    )
    picture, text = _picture(grid)
    whole = [one for one in findings if not is_number(one)]
    return TableView(
        name=grid.name,
        title=grid.table.title,
        axes=tuple(grid.table.axes),
        columns=tuple(grid.heading(column) for column in grid.columns),
        rows=rows,
        curves=tuple(_curve_views(grid, verdicts, explorer)),
        counts=counts_text(found) if (found := counts(findings).get(grid.name)) else "",
        how_to_read=how_to_read(grid) if grid.columns else "",
        disclaimer=disclaimer(grid),
        players=grid.players(),
        notes=tuple(_notes(grid)),
        findings=tuple((one.outcome, _check_name(one), one.detail) for one in whole),
        label=grid.name.replace("-", " ").capitalize(),
        picture=picture,
        picture_text=text,
    )


def _check_name(finding: Finding) -> str:
    """Return a check's name, with the column or claim that it is about."""
    place = finding.what.partition(", ")[2]
    return f"{finding.check}, {place}" if place else finding.check


def _cell_view(
    grid: Grid, named: tuple[str, Cell], verdicts: Mapping[str, Finding], explorer: Explorer, place: int
) -> CellView:
    """Return the view of one number, and have the rows behind it gathered."""
    (what, cell), column = named, grid.columns[place]
    if cell.is_blank:
        return CellView(ours="", paper="")
    found, name = verdicts.get(what), what.partition(", ")[2]
    ours = computed_text(cell, column)
    return CellView(
        ours=ours,
        paper=paper_text(cell, column),
        verdict=found.verdict if found else "",
        why=found.detail if found else "",
        sets=_sets(explorer, cell.address.keys, (grid.name, name, _said(ours, found)), cell.address.at),
        name=name,
    )


def _curve_views(grid: Grid, verdicts: Mapping[str, Finding], explorer: Explorer) -> Iterator[CurveView]:
    """Yield the view of each curve that an experiment gives."""
    for what, cell in named_curves(grid):
        found, name = verdicts.get(what), what.partition(", ")[2]
        yield CurveView(
            name=name,
            verdict=found.verdict if found else "",
            why=found.detail if found else "",
            sets=_sets(explorer, cell.address.keys, (grid.name, name, _said("", found)), cell.address.at),
        )


def _said(ours: str, finding: Finding | None) -> str:
    """Return a number with its verdict and the reason; the number alone where nothing was compared."""
    return f"{finding.verdict}: {finding.detail}" if finding else ours


def _sets(
    explorer: Explorer, keys: Sequence[str], number: tuple[str, str, str], at: Mapping[str, str | float]
) -> tuple[str, ...]:
    """Return the ids of the sets behind a number's runs; those whose jobs are done.

    Args:
        explorer: gathers the rows.
        keys: keys of the runs' jobs.
        number: table, place in it, and what is said of the number.
        at: coordinates of the number.
    """
    table, place, said = number
    found: list[RowSet | None] = [explorer.add(key, table, place, at, said) for key in keys]
    return tuple(one.id for one in found if one)


def _notes(grid: Grid) -> Iterator[str]:
    """Yield sentences on what is behind the numbers, as Markdown has them."""
    if sizes := grid.sizes():
        yield f"Units behind a cell: {sizes}."
    yield from (judging.line() for judging in grid.judgings)
    yield from (drops.text() for drops in grid.drops)
    yield from (one.text() for one in grid.selections)
    yield from curve_lines(grid)
    if line := overlap_line(grid):
        yield line


def _picture(grid: Grid) -> tuple[str, str]:
    """Return a figure's picture as an address that holds it, and its description; empty texts for a table."""
    from kit.report.figures import make_figure
    from kit.report.plots import picture

    if not grid.table.draw:
        return "", ""
    figure = make_figure(grid)
    content = base64.b64encode(picture(figure, "svg")).decode()
    return f"data:image/svg+xml;base64,{content}", figure.description()


def by_number(views: Sequence[TableView]) -> list[tuple[str, list[TableView]]]:
    """Return tables, then figures, then the rest, each with a heading."""
    kinds = {"table": "Tables", "figure": "Figures"}

    def kind(view: TableView) -> str:
        return kinds.get(view.name.partition("-")[0], "Further views")

    order = [*kinds.values(), "Further views"]
    ordered = sorted(views, key=lambda view: order.index(kind(view)))
    return [(name, list(found)) for name, found in groupby(ordered, key=kind)]
