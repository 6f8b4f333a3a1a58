"""Tables as the audit reads them: columns with their n, rows with the run that they print, cells with all digits."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kit.audit.counts import Number, number
from kit.audit.facts import CountsFile
from kit.catalogue import paper
from kit.catalogue.paper import PaperColumn, PaperRow, PaperTable

DECIMALS = 2
"""Decimals of the paper's percentages, scores and rewards."""
SHARES = ("accuracy", "pass_at_1")
"""Metrics that are the share of items that are right."""
GROUPED = "group_mean"
SEEDS = "seed"
FIRST_ROUND = 1
"""Round of tables that name none."""
TEMPERATURE = 0.7
"""Temperature of the evolvers of tables that name none (the paper, A.1)."""
UNKNOWN_RUN = "commented_out"
"""Ending of a series that the authors' script holds and draws no more; the paper does not say what run it is."""
Run = tuple[tuple[str, str], ...]
"""Coordinates by which one run is known again in another table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column, and what its numbers are shares of."""

    id: str
    benchmark: str = ""
    role: str = ""
    """``prompt strict`` and so on for IFEval, ``mean of four`` of these; ``level 1`` and ``mean of levels``."""
    n: int = 0
    """Items behind a share; 0 where a cell is no share of items."""
    groups: tuple[int, ...] = ()
    """Items of each group, where a cell is the mean of the groups' shares."""
    units: int = 0
    """Scored units behind a share or a mean of shares; 0 for other numbers."""
    untested: str = ""
    """Reason why the counts can't be tested; empty for a share."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row: its name in messages, its cells by column, and the run that it prints."""

    name: str
    cells: Mapping[str, Number]
    run: Run | None = None
    """None where the run is not known, so that no other row is known to print it."""
    block: str = ""
    """The rows of one evolver belong together."""
    total: int = 0
    """Number to which the cells add up, where they are counts of the same items."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """One table, or one series of a figure."""

    name: str
    """``table-2``, ``figure-1``, or a name of one's own."""
    columns: Sequence[Column]
    lines: Sequence[Line]
    series: str = ""
    source: str = ""
    """Origin of a figure's numbers, as the manifest states it."""
    known: bool = True
    """Whether it is known what runs these are."""
    ticks: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Numbers on the axis of each panel of a figure, low to high."""

    @property
    def label(self) -> str:
        """The table's name, with the series of a figure that has several."""
        return f"{self.name} ({self.series})" if self.series else self.name


def printed_sheets(facts: CountsFile) -> list[Sheet]:
    """Return every table and series of the paper that holds numbers, in the paper's order."""
    return [sheet for name in paper.names() for sheet in sheets_of(name, paper.table(name), facts)]


def sheets_of(name: str, table: PaperTable, facts: CountsFile) -> Iterator[Sheet]:
    """Yield a table, or each series of a figure; nothing for settings and for figures without numbers."""
    if table.prints_settings:
        return
    columns = [_column(column, facts) for column in table.column]
    plain = [("", table.source or "", table.row)] if table.row else []
    for series, source, rows in [*plain, *((key, one.source, one.row) for key, one in table.series.items())]:
        known = not series.endswith(UNKNOWN_RUN)
        lines = [_line(row, table, apart="" if known else series) for row in rows]
        ticks = table.axis_ticks_in_pdf
        yield Sheet(name=name, columns=columns, lines=lines, series=series, source=source, known=known, ticks=ticks)


def _column(column: PaperColumn, facts: CountsFile) -> Column:
    """Return a column with the n of its shares, or the reason why there is none."""
    known = facts.of(column.benchmark)
    share = column.unit == "percent" and column.metric in SHARES and column.aggregation != GROUPED and column.n
    sizes = tuple(known.groups) if known and column.aggregation == GROUPED and column.n == sum(known.groups) else ()
    if share or sizes:
        reason = ""
    elif _role(column).startswith("mean of") or column.unit in ("items", "prompts"):
        reason = ""  # means and sums are recomputed
    elif column.aggregation == GROUPED:
        reason = f"a mean over {column.n_groups} groups, whose sizes are not in manifests/"
    else:
        reason = "a mean of scores, not a share of items"
    return Column(
        id=column.id,
        benchmark=column.benchmark or "",
        role=_role(column),
        n=column.n or 0 if share else 0,
        groups=sizes,
        units=column.n or 0 if share or column.aggregation == GROUPED else 0,
        untested=reason,
    )


def _role(column: PaperColumn) -> str:
    """Return what a column is among the columns of its benchmark; empty where it stands alone."""
    if isinstance(column.level, int):
        return f"level {column.level}"
    if column.level in ("mean_of_levels", "mean_of_four"):
        return column.level.replace("_", " ")
    return f"{column.level} {column.mode}" if column.benchmark == "ifeval" else ""


def _line(row: PaperRow, table: PaperTable, *, apart: str) -> Line:
    """Return a printed row with its name and its run; ``apart`` names runs that are those of no other table."""
    decimals = 0 if row.n else DECIMALS  # rows that state an n print counts
    cells = {key: number(value, decimals) for key, value in row.values.items() if not isinstance(value, str)}
    run = (("apart", apart), *run_of(row, table)) if apart else run_of(row, table)
    block = row.evolver or row.evolver_role or row.model or ""
    return Line(name=row_name(row), cells=cells, run=run, block=block, total=row.n or 0)


def row_name(row: PaperRow) -> str:
    """Return the keys of a printed row as a name: ``llama-3.1-8b-instruct, llama-3-8b, round 2``."""
    parts = [row.evolver or ("not evolved" if row.evolver_role == "none" else ""), row.model or "", row.dataset or ""]
    parts += [f"round {row.round}"] if row.round is not None else []
    parts += [f"temperature {row.temperature:g}"] if row.temperature is not None else []
    parts += [f"{row.candidate} against {row.reference}"] if row.candidate else []
    if row.selection or row.kept_fraction is not None:
        kept = f"{100 * row.kept_fraction:g} % kept" if row.kept_fraction is not None else ""
        parts += [f"selection {row.selection}" if row.selection else "", kept]
    return ", ".join(part for part in parts if part)


def run_of(row: PaperRow, table: PaperTable) -> Run:
    """Return what tells a row's run from every other: rows of one run print the same numbers, wherever they stand."""
    model = row.model or table.model or ""
    round = row.round if row.round is not None else table.round
    if row.evolver_role == "none" or round == 0:
        return (("scenario", SEEDS), ("model", model))
    found = {
        "scenario": table.scenario,
        "evolver": row.evolver or "",
        "model": model,
        "dataset": row.dataset or "",
        "round": str(FIRST_ROUND if round is None else round),
        "temperature": f"{TEMPERATURE if row.temperature is None else row.temperature:g}",
        "selection": "" if row.selection == "none" else row.selection or "",
        "kept": f"{1.0 if row.kept_fraction is None else row.kept_fraction:g}",
        "judged": f"{row.candidate} {row.reference}" if row.candidate else "",
    }
    return tuple(found.items())
