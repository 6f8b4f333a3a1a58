"""Tables of results beside the paper's; reads the store, and no stage knows of it."""

import os
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, value_text
from kit.catalogue.experiments import AXES
from kit.catalogue.views import Column, Table, measures_of
from kit.errors import KitError
from kit.measures import Measure
from kit.plan import CellAddress, Plan
from kit.records import Result, read_rows
from kit.report.curves import CurveCell, CurveRun, make_curve_cell
from kit.report.drops import Drops, drops_behind
from kit.report.judging import Judging, judgings
from kit.report.selections import Selected, selections_behind
from kit.store import Store

PLAYED = ("evolver", "responder", "base", "scorer", "judge", "embedder", "rewarder")
"""Axes whose values are models of the paper; at a small scale another model plays each of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of a table; results are stored without a unit, and shown in the unit of their measure."""

    address: CellAddress
    result: Result | None
    """``None`` while one of its jobs is not done; for several seeds, the mean of their values and of their errors."""
    reference: float | None
    """The number that the paper prints here, in the measure's unit."""
    spread: float | None = None
    """Standard deviation between the runs of several seeds, as stored; ``None`` where there is one run."""
    measure: Measure = field(default_factory=Measure)
    """Unit, digits and kind of the number."""
    runs: tuple[float, ...] = ()
    """Value of each run as stored, in the order of the address's keys; empty while one of them is not done."""

    @property
    def value(self) -> float | None:
        """The cell's value in the measure's unit; ``None`` while it is not computed."""
        return None if self.result is None else self.measure.in_unit(self.result.value)

    @property
    def error(self) -> float | None:
        """The value's standard error over rows in the measure's unit; for percent, percentage points."""
        return None if self.result is None else self.measure.in_unit(self.result.stderr)

    @property
    def run_spread(self) -> float | None:
        """The value's standard deviation between runs in the measure's unit."""
        return None if self.spread is None else self.measure.in_unit(self.spread)

    @property
    def is_blank(self) -> bool:
        """Whether no experiment gives this cell."""
        return not self.address.keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Number of rows of one training set that repeat test items (:mod:`kit.report.overlaps` counts them)."""

    at: Coordinates
    """Coordinates of the training set: evolver, seeds and so on, as far as the table names them."""
    key: str
    """Key of the artifact that holds the set."""
    rows: int
    any: int
    """Rows that repeat an item of any of the table's benchmarks."""
    by: Mapping[str, int]
    """Benchmark -> rows that repeat an item of it."""

    @property
    def share(self) -> float:
        """The share of the rows that repeat an item."""
        return self.any / self.rows if self.rows else 0.0

    def is_sound(self, benchmarks: Sequence[str]) -> bool:
        """Return whether a count can have been made for these benchmarks."""
        counts = [self.any, *self.by.values()]
        whole = all(type(count) is int and count >= 0 for count in (self.rows, *counts))
        fits = whole and max(self.by.values(), default=0) <= self.any <= min(self.rows, sum(self.by.values()))
        return fits and set(self.by) == set(benchmarks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One row of a table, with its cells in the columns' order."""

    at: Coordinates
    """axis -> value, by which the row is named."""
    cells: tuple[Cell, ...]

    def names(self) -> list[str]:
        """The row's values as texts, in the order of the table's axes."""
        return [value_text(value) for value in self.at.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """A table with its numbers, and with who plays the paper's models."""

    name: str
    table: Table
    scale: str
    cast: Mapping[str, str]
    lines: tuple[Line, ...]
    curves: tuple[CurveCell, ...] = ()
    """Cells whose value is a curve, row by row; they stand in no line."""
    drops: tuple[Drops, ...] = ()
    """Rows that the steps of evolution behind the table left out, or that could not be scored."""
    selections: tuple[Selected, ...] = ()
    """Parts of sets that the models behind the table are tuned on."""
    overlaps: tuple[Overlap, ...] = ()
    """Overlap of each training set with the table's benchmarks, where it was counted."""
    judgings: tuple[Judging, ...] = ()
    """Judges of the answers behind the cells."""

    @property
    def columns(self) -> Sequence[Column]:
        """The columns of numbers, in order; curves stand in none."""
        return [column for column in self.table.columns if column.curve is None]

    def addresses(self) -> Iterator[CellAddress]:
        """Yield the address of each number, then of each curve."""
        yield from (cell.address for line in self.lines for cell in line.cells)
        yield from (cell.address for cell in self.curves)

    def units(self) -> list[str]:
        """Return the units of the columns, each once."""
        return list(dict.fromkeys(column.measure.unit for column in self.columns))

    def heading(self, column: Column) -> str:
        """Return the heading of a column: its name, with the unit where the table has several."""
        unit = column.measure.unit if len(self.units()) > 1 else ""
        return f"{column.name} ({unit})" if unit else column.name

    def axes(self) -> list[str]:
        """Return the axes of the cells' coordinates, in the order of a setting."""
        named = {axis for address in self.addresses() for axis in address.at}
        return [axis for axis in AXES if axis in named]

    def players(self) -> dict[str, str]:
        """Return each model of the paper in this table that another model plays, with that model's name."""
        names = [str(address.at[axis]) for axis in PLAYED for address in self.addresses() if axis in address.at]
        return {name: self.cast[name] for name in dict.fromkeys(names) if self.cast.get(name, name) != name}

    def runs(self) -> int:
        """Return the largest number of runs that a cell is the mean of."""
        return max((len(address.keys) for address in self.addresses()), default=1)

    def sizes(self) -> str:
        """Return the number of units behind the cells of each column that has a result: ``IFEval Pr(S) 12, ...``."""
        cells_by_column = zip(*(line.cells for line in self.lines), strict=True)
        results = [[cell.result for cell in cells if cell.result] for cells in cells_by_column]
        columns = zip(self.columns, results, strict=bool(self.lines))
        return ", ".join(f"{column.name} {units_text(found)}" for column, found in columns if found)


def units_text(results: Sequence[Result]) -> str:
    """Return the number of units behind results, and of their groups: ``12``, ``10 to 12``, ``30 in 2 groups``."""
    counts, groups = sorted({result.n for result in results}), sorted({result.groups or 0 for result in results})
    text = " to ".join(f"{count:,}" for count in dict.fromkeys((counts[0], counts[-1])))
    grouped = " to ".join(str(count) for count in dict.fromkeys((groups[0], groups[-1])) if count)
    return f"{text} in {grouped} groups" if grouped else text


def make_grid(name: str, plan: Plan, store: Store) -> Grid:
    """Return a table of a plan, filled with the results that the store has."""
    table = plan.tables[name]
    printed = paper.table(table.paper).of_series(table.series) if table.paper else None
    known: dict[str, dict[str, Result]] = {}
    known_curves: dict[str, CurveRun] = {}
    cells: list[Cell] = []
    curves: list[CurveCell] = []
    for address, column in zip(plan.cells[name], cycle(table.columns)):  # the columns come round
        if column.curve:
            curves.append(make_curve_cell(address, column, column.curve, store, known_curves))
            continue
        for key in address.keys:
            if key not in known and store.has(key):
                known[key] = stored_results(store, key, measures_of(column.benchmark))
        runs = [result_of(column, known.get(key, {})) for key in address.keys]
        result, spread = mean_of([run for run in runs if run]) if runs and all(runs) else (None, None)
        reference = _number(printed.cell(address.at, address.printed or address.column)) if printed else None
        values = tuple(run.value for run in runs if run) if result else ()
        cells.append(
            Cell(
                address=address,
                result=result,
                reference=reference,
                spread=spread,
                measure=column.measure,
                runs=values,
            )
        )
    width = sum(column.curve is None for column in table.columns)
    lines = tuple(
        Line(at=row, cells=tuple(cells[index * width : (index + 1) * width])) for index, row in enumerate(table.rows)
    )
    keys = [key for address in plan.cells[name] for key in address.keys]
    return Grid(
        name=name,
        table=table,
        scale=plan.scale,
        cast=plan.cast,
        lines=lines,
        curves=tuple(curves),
        drops=drops_behind(keys, plan, store),
        selections=selections_behind(keys, plan, store),
        judgings=tuple(judgings(keys, plan.jobs, store)),
    )


def result_of(column: Column, results: Mapping[str, Result]) -> Result | None:
    """Return a column's result among those of one run: its metric's, or the mean of several; None if one is missing.

    The standard error of a mean of several metrics is the mean of theirs: they are counted from the same answers, and
    this is the most that it can be.
    """
    if not column.mean_of:
        return results.get(column.id)
    parts = [results.get(id) for id in column.mean_of]
    found = [part for part in parts if part]
    if len(found) < len(parts):
        return None
    return replace(
        found[0],
        metric=column.id,
        value=statistics.fmean(part.value for part in found),
        stderr=statistics.fmean(part.stderr for part in found),
        n=min(part.n for part in found),
        failures={},
        groups=None,
        step=statistics.fmean(1 / part.n if part.step is None else part.step for part in found),
    )


def mean_of(runs: Sequence[Result]) -> tuple[Result, float | None]:
    """Return the mean of one number's runs and the standard deviation between them; of one run, the run itself.

    The runs answer the same items, so what the choice of items adds does not shrink with their number: the error over
    items is the mean of theirs.
    """
    first = runs[0]
    if len(runs) == 1:
        return first, None
    values = [run.value for run in runs]
    error = statistics.fmean(run.stderr for run in runs)
    steps = [run.step for run in runs if run.step is not None]
    whole = replace(
        first,
        value=statistics.fmean(values),
        stderr=error,
        n=min(run.n for run in runs),
        failures={},
        step=statistics.fmean(steps) if steps else None,
    )
    return whole, statistics.stdev(values)


def stored_results(store: Store, key: str, measures: Mapping[str, Measure] | None = None) -> dict[str, Result]:
    """Return a grade job's results by metric, from a file whose sha256 is still the one that its head records.

    Args:
        store: where the artifact is.
        key: the grading's.
        measures: metric -> its measure; what is not among them is held to be a share.

    Raises:
        KitError: it is missing, was changed, or holds what no grading writes.
    """
    artifact = store.get(key)
    os.close(store.open_file(artifact, "results.jsonl", checked=True))
    path = artifact.folder / "results.jsonl"
    found = {}
    for number, result in enumerate(read_rows(path, Result), 1):
        if type(result.metric) is not str or not result.is_sound((measures or {}).get(result.metric, Measure())):
            raise KitError(f"{path}:{number}: no result of a grading; remove {artifact.folder} and run again")
        found[result.metric] = result
    return found


def _number(value: object) -> float | None:
    """Return a printed cell as a number; ``None`` if it is none."""
    return float(value) if isinstance(value, int | float) else None


def computed_text(cell: Cell, column: Column) -> str:
    """Return our number as the table prints it: ``33.33 ±13.6``; of several runs ``33.33 ±13.6 [spread]``."""
    if cell.is_blank:
        return ""
    if cell.value is None or cell.error is None:
        return "missing"
    text, short = column.measure.text, column.measure.short_text
    spread = "" if cell.run_spread is None else f"\N{NO-BREAK SPACE}[{text(cell.run_spread)}]"
    return f"{text(cell.value)}\N{NO-BREAK SPACE}±{short(cell.error)}{spread}"


def paper_text(cell: Cell, column: Column) -> str:
    """Return the paper's number as the table prints it; a dash where there is none."""
    return "-" if cell.reference is None else column.measure.text(cell.reference)


def disclaimer(grid: Grid) -> str:
    """Return a sentence on what the numbers mean at this scale, beside the paper's."""
    if grid.table.paper is None:
        return "A table of one's own: the paper prints nothing to compare it with."
    if grid.scale == "paper":
        return "The paper's models and data; `kit verify` compares each cell and judges the table."
    return (
        f"Scale {grid.scale}: other models and fewer rows than the paper's. The numbers show that the pipeline works; "
        "they neither confirm nor refute the paper's cells, which stand beside them for orientation."
    )


def how_to_read(grid: Grid, *, spread: bool = True) -> str:
    """Return a phrase that says what each number of a cell is: value, error, and spread where that is shown."""
    units = grid.units()
    what = "In the unit of each column" if len(units) > 1 else "".join(units).capitalize() or "Value"
    if (runs := grid.runs()) > 1:
        between = " [standard deviation between seeds]" if spread else ""
        return f"{what}: mean of {runs} seeds ± standard error over items{between}"
    return f"{what}: value ± standard error" if len(units) > 1 else f"{what} ± standard error"


def overlap_line(grid: Grid) -> str:
    """Return a sentence on the overlap of each training set with the tests; empty where none was counted."""
    if not grid.overlaps:
        return ""
    tests = ", ".join(dict.fromkeys(name for overlap in grid.overlaps for name in overlap.by))
    sets = "; ".join(
        f"{_named(one.at) or 'its set'} {one.share:.2%} ({one.any:,} of {one.rows:,})" for one in grid.overlaps
    )
    return f"Training rows that repeat more than half of a test item, by 8-grams ({tests}): {sets}."


def _named(at: Coordinates) -> str:
    """Return coordinates as text; a number stands behind the name of its axis."""
    return ", ".join(value if isinstance(value, str) else f"{axis} {value_text(value)}" for axis, value in at.items())


def curve_lines(grid: Grid) -> list[str]:
    """Return a line for each run of each curve: its place, its points, and the file that they lie in."""
    return [
        f"{', '.join([*map(value_text, cell.address.at.values()), cell.column.name])}: {line}"
        for cell in grid.curves
        for line in cell.summary()
    ]
