"""Tables and progress on a terminal. Whatever a model or a file wrote is shown as plain text, never as markup."""

import time
from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from kit.report import Grid, disclaimer, ours, plain, theirs
from kit.run import Outcome
from kit.store import Job

STYLES = {"cached": "dim", "done": "green", "failed": "bold red", "blocked": "yellow"}


def grid_table(grid: Grid, width: int) -> Group:
    """Ours above the paper's, a pair of lines a row; one line a number where the terminal is too narrow for that."""
    names = 2 * (max(len(name) for line in grid.lines for name in (line.evolver, line.base)) + 6)
    table = wide(grid) if width >= names + 13 * len(grid.columns) else tall(grid)
    notes = [f"Percent ± standard error over so many units: {grid.sizes()}.", disclaimer(grid)]
    if players := grid.players():
        notes.append("Played by: " + ", ".join(f"{name} = {player}" for name, player in players.items()) + ".")
    return Group(table, Text(plain("\n".join(notes)), style="dim"))


def wide(grid: Grid) -> Table:
    """A column a metric."""
    table = _table(grid)
    for column in grid.columns:
        table.add_column(_name(column.name), justify="right")
    for line in grid.lines:
        cells = list(zip(line.cells, grid.columns, strict=True))
        table.add_row(_name(line.evolver), _name(line.base), *(ours(cell, column) for cell, column in cells))
        paper = [Text(f"paper {theirs(cell, column)}", style="dim") for cell, column in cells]
        table.add_row("", "", *paper, end_section=True)
    return table


def tall(grid: Grid) -> Table:
    """A line a number."""
    table = _table(grid)
    for name in ("metric", "here", "paper"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for line in grid.lines:
        for index, (cell, column) in enumerate(zip(line.cells, grid.columns, strict=True)):
            names = (line.evolver, line.base) if index == 0 else ("", "")
            last = index == len(grid.columns) - 1
            words = map(_name, (*names, column.name))
            table.add_row(*words, ours(cell, column), theirs(cell, column), end_section=last)
    return table


def _table(grid: Grid) -> Table:
    """An empty table with the two columns that name a row."""
    title = _name(f"{grid.table.title} - scale {grid.scale}")
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("evolver", no_wrap=True)
    table.add_column("base", no_wrap=True)
    return table


def _name(text: str) -> Text:
    """What a manifest calls something: neither markup nor terminal escapes."""
    return Text(plain(text))


def console() -> Console:
    """Standard output; wide enough for a table where it is no terminal."""
    found = Console(markup=False, highlight=False)
    return found if found.is_terminal else Console(markup=False, highlight=False, width=160)


class Live:
    """A plan at work: one line a finished job, and below it a bar with rows/s, tokens/s and the time left."""

    def __init__(self, console: Console, total: int) -> None:
        self.console = console
        self.total = total
        self.settled = 0
        self.started = time.monotonic()
        self.job_started = self.started
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.plan_task = self.bar.add_task("jobs", total=total, rate="")
        self.job_task = self.bar.add_task("", total=None, rate="", visible=False)

    def __enter__(self) -> "Live":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def __call__(self, event: str, job: Job, fields: Mapping[str, Any]) -> None:
        """Take one event of :func:`kit.run.execute`."""
        if event == "start":
            self.job_started = time.monotonic()
            self.bar.reset(self.job_task, description=plain(job.id), total=None, visible=True, rate="")
        elif event == "progress":
            rate = self.rates(fields)
            self.bar.update(self.job_task, completed=fields["done"], total=fields["total"], rate=rate)
        else:
            self.settled += 1
            self.bar.update(self.plan_task, completed=self.settled)
            self.bar.update(self.job_task, visible=False)
            self.line(event, job, fields)

    def rates(self, fields: Mapping[str, Any]) -> str:
        """``3.1 rows/s, 120 tok/s, 40 s left`` of the job at work."""
        seconds = max(time.monotonic() - self.job_started, 1e-3)
        parts = [f"{fields['done'] / seconds:.1f} rows/s"]
        if fields.get("tokens"):
            parts.append(f"{fields['tokens'] / seconds:.0f} tok/s")
        if 0 < fields["done"] < fields["total"]:
            parts.append(f"{seconds / fields['done'] * (fields['total'] - fields['done']):.0f} s left")
        return ", ".join(parts)

    def line(self, event: str, job: Job, fields: Mapping[str, Any]) -> None:
        """One settled job."""
        tail = ""
        if event in ("done", "cached"):
            tail = f"{fields['rows']:,} rows"
            if event == "done":
                tail += f" in {fields['seconds']:.1f} s"
                if fields.get("tokens") and fields["seconds"]:
                    tail += f", {fields['tokens'] / fields['seconds']:.0f} tok/s"
                tail += ", by another run" if fields.get("shared") else ""
        elif event == "failed":
            tail = plain(str(fields["reason"]))
        elif event == "blocked":
            by = plain(str(fields["by"]))  # a key where it is no job of this run
            tail = f"needs {by}, which {'is not made yet' if by.startswith('job ') else 'failed'}"
        text = Text.assemble((f"{event:8}", STYLES[event]), f"{job.key[:10]}  {plain(job.id):62} ", (tail, "dim"))
        self.console.print(text, soft_wrap=True)


def summary(outcome: Outcome) -> Text:
    """One line on a whole run."""
    parts = [f"{len(outcome.done)} jobs done", f"{len(outcome.cached)} cached"]
    if outcome.failed:
        parts.append(f"{len(outcome.failed)} failed")
    if outcome.blocked:
        parts.append(f"{len(outcome.blocked)} not run, for want of those")
    return Text(f"{', '.join(parts)} in {outcome.wall_s:,.1f} s", style="bold red" if outcome.failed else "bold")
