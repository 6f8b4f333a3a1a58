"""Tables and progress on a terminal. Whatever a model or a file wrote is shown as plain text, never as markup."""

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from kit.report import Grid, computed_text, curve_lines, disclaimer, how_to_read, overlap_line, paper_text
from kit.report.escapes import plain
from kit.report.live import Live
from kit.run.execute import Outcome

__all__ = ["Live", "console", "grid_table", "summary"]


def grid_table(grid: Grid, width: int) -> Group:
    """Return a table for a terminal of ``width`` columns: one column a metric, or one line a value."""
    notes = [f"{how_to_read(grid)} over so many units: {sizes}."] if (sizes := grid.sizes()) else []
    notes += [*curve_lines(grid), *(judging.line() for judging in grid.judgings), disclaimer(grid)]
    notes += [*(f"{drops.text()}." for drops in grid.drops), *filter(None, [overlap_line(grid)])]
    if grid.table.draw:
        notes.append("`kit report` with --format svg or png draws it as a figure.")
    if players := grid.players():
        notes.append("Played by: " + ", ".join(f"{name} = {player}" for name, player in players.items()) + ".")
    text = Text(plain("\n".join(notes)), style="dim")
    if not grid.columns:
        return Group(_name(f"{grid.table.title} - scale {grid.scale}"), text)
    names_width = sum(max(map(len, column)) + 6 for column in zip(*(line.names() for line in grid.lines), strict=True))
    texts = [
        computed_text(cell, column)
        for line in grid.lines
        for cell, column in zip(line.cells, grid.columns, strict=True)
    ]
    value_width = max(13, max(map(len, texts), default=0) + 3)
    fits = width >= names_width + value_width * len(grid.columns)
    return Group(one_column_per_metric(grid) if fits else one_row_per_value(grid), text)


def one_column_per_metric(grid: Grid) -> Table:
    """Return a table with one column for each metric; below each row of our numbers stands the paper's row."""
    table = _table(grid)
    for column in grid.columns:
        table.add_column(_name(grid.heading(column)), justify="right")
    for line in grid.lines:
        cells = list(zip(line.cells, grid.columns, strict=True))
        table.add_row(*map(_name, line.names()), *(computed_text(cell, column) for cell, column in cells))
        paper = [Text(f"paper {paper_text(cell, column)}", style="dim") for cell, column in cells]
        table.add_row(*[""] * len(line.at), *paper, end_section=True)
    return table


def one_row_per_value(grid: Grid) -> Table:
    """Return a table with one line for each number, the paper's number beside it; names are folded where it is narrow.

    Numbers are never cut.
    """
    table = _table(grid, fold=True)
    table.add_column("metric", overflow="fold")
    for name in ("here", "paper"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in grid.lines:
        for index, (cell, column) in enumerate(zip(line.cells, grid.columns, strict=True)):
            names = line.names() if index == 0 else [""] * len(line.at)
            last = index == len(grid.columns) - 1
            labels = map(_name, (*names, grid.heading(column)))
            table.add_row(*labels, computed_text(cell, column), paper_text(cell, column), end_section=last)
    return table


def _table(grid: Grid, *, fold: bool = False) -> Table:
    """Return an empty table with one column for each axis that names a row; long names may be folded."""
    title = _name(f"{grid.table.title} - scale {grid.scale}")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for axis in grid.table.axes:
        table.add_column(axis, no_wrap=not fold, overflow="fold")
    return table


def _name(text: str) -> Text:
    """Return a name out of a manifest as text that holds neither markup nor terminal escapes."""
    return Text(plain(text))


def console() -> Console:
    """Return a console on standard output; wide enough for a table where it is no terminal."""
    found = Console(markup=False, highlight=False)
    return found if found.is_terminal else Console(markup=False, highlight=False, width=160)


def summary(outcome: Outcome) -> Text:
    """Return one line that counts the jobs of a whole run by their outcome."""
    parts = [f"{len(outcome.done)} jobs done", f"{len(outcome.cached)} cached"]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if outcome.blocked:
        parts.append(f"{len(outcome.blocked)} not run, for want of those")
    return Text(f"{', '.join(parts)} in {outcome.wall_s:,.1f} s", style="bold red" if outcome.failed else "bold")
