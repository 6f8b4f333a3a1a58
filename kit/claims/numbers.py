"""Numbers of a table with their coordinates, alike for what the paper prints and for what the kit computed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, coordinates_text, value_text
from kit.catalogue.claims import Side
from kit.catalogue.views import Column, measures_of
from kit.errors import RequestError, did_you_mean
from kit.measures import PERCENT, Measure
from kit.report import Cell, Grid

RANGES: Mapping[str, float] = {PERCENT: 100.0, "points_0_100": 100.0}
"""Unit of a printed column -> highest minus lowest value that one unit behind a cell can have."""
TABLE_KEYS = ("round", "model")
"""Fields of a printed table that hold for all of its rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """One number of a table, printed or computed, with its place."""

    table: str
    at: Coordinates
    """axis -> value, as far as the table names them."""
    column: str
    """Id of the paper's column, or of the kit's where the paper has none."""
    value: float | None
    """In the unit; None while it is not computed."""
    unit: str
    n: int | None = None
    """Units behind the number; None where this is not known."""
    items: str = ""
    """Name of the set of items behind it; numbers of one set share their items."""
    cell: Cell | None = None
    """The kit's cell; None for a printed number."""
    source: Column | None = None
    """The kit's column."""
    beside_curve: bool = False
    """Whether it is no cell of its table, but lies beside a curve there."""

    def name(self) -> str:
        """Return the place of the number for messages: ``table-2, evolver = a, base = b, gsm8k``."""
        return ", ".join(filter(None, (self.table, coordinates_text(self.at), self.column)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two numbers that a claim compares."""

    better: Number
    """The one that is claimed to be higher."""
    worse: Number

    @property
    def is_known(self) -> bool:
        """Whether both of its numbers have a value."""
        return self.better.value is not None and self.worse.value is not None

    @property
    def difference(self) -> float:
        """The higher number minus the other, in their unit; both are known."""
        assert self.better.value is not None and self.worse.value is not None
        return self.better.value - self.worse.value


def printed_numbers(name: str) -> list[Number]:
    """Return every number of a table or figure of the paper; none of a view that the paper has nothing for."""
    if name not in paper.names():
        return []
    table = paper.table(name)
    columns = {column.id: column for column in table.column}
    rows = table.row or next((series.row for series in table.series.values()), [])
    found = []
    for row in rows:
        at = row_coordinates(table, row)
        for id, value in row.values.items():
            column = columns[id]
            if isinstance(value, str):
                continue
            own = {"seeds": column.dataset} if column.dataset and "seeds" not in at else {}
            items = "/".join(filter(None, (column.benchmark, column.dataset or row.dataset))) or id
            n = row.n if column.n is None else column.n
            unit = column.unit or ""
            found.append(Number(table=name, at={**at, **own}, column=id, value=value, unit=unit, n=n, items=items))
    return found


def row_coordinates(table: paper.PaperTable, row: paper.PaperRow) -> Coordinates:
    """Return the coordinates of a printed row: axis -> value, with the kit's names for axes and values."""
    given = row.model_dump(exclude_none=True, exclude={"values"})
    given = {key: value for key in TABLE_KEYS if (value := getattr(table, key)) is not None} | given
    values = {(key, name): own for (key, own), name in paper.PRINTED_VALUES.items()}
    axes = {key: axis for axis, keys in paper.PRINTED_NAMES.items() for key in keys}
    others = ("evolver_role", "domain", "n", "parameter", "scope")
    return {axes.get(key, key): values.get((key, value), value) for key, value in given.items() if key not in others}


def grid_numbers(grid: Grid) -> list[Number]:
    """Return every number of a computed table; of a table of curves, the numbers that lie beside each curve."""
    found = [
        _of_cell(grid, cell, column)
        for line in grid.lines
        for cell, column in zip(line.cells, grid.columns, strict=True)
        if not cell.is_blank
    ]
    places = [(one.at, one.column) for one in found]
    for curve in grid.curves:
        for id, measure in measures_of(curve.column.benchmark).items():
            column = Column(id=id, name=id, benchmark=curve.column.benchmark, at=curve.column.at, measure=measure)
            address = replace(curve.address, column=id, printed="")
            if address.keys and (address.at, id) not in places:
                cell = Cell(address=address, result=None, reference=None, measure=measure)
                found.append(replace(_of_cell(grid, cell, column), beside_curve=True))
                places.append((address.at, id))
    return found


def _of_cell(grid: Grid, cell: Cell, column: Column) -> Number:
    """Return the number of one cell of a computed table."""
    return Number(
        table=grid.name,
        at=cell.address.at,
        column=cell.address.printed or cell.address.column,
        value=cell.value,
        unit=cell.measure.unit,
        n=None if cell.result is None else cell.result.n,
        items=column.benchmark,
        cell=cell,
        source=column,
    )


def measure_of(number: Number) -> Measure:
    """Return how a number is shown: the kit's measure, or two digits in the printed unit."""
    if number.cell is not None:
        return number.cell.measure
    names = {"points_0_100": "points"}
    return Measure(unit=names.get(number.unit, number.unit))


def pairs_of(side: Side, numbers: Mapping[str, Sequence[Number]], columns: Sequence[str] | None) -> list[Pair]:
    """Return the pairs of numbers that a claim compares, in the order of the table.

    Args:
        side: the claim's two sides.
        numbers: name of a table -> its numbers.
        columns: ids of the columns; None for all that both tables have.

    Raises:
        RequestError: a column is not there, no number is at the claimed point, or several are at the other.
    """
    here, there = numbers[side.table], numbers[side.against or side.table]
    check_columns(side.table, here, columns)
    wanted = {**side.better, **side.at}
    found = []
    for better in here:
        if not _is_at(better, wanted) or (columns is not None and better.column not in columns):
            continue
        place = {axis: value for axis, value in better.at.items() if axis not in side.better} | side.worse
        others = [one for one in there if one.column == better.column and _agrees(one.at, place) and one is not better]
        if len(others) > 1:
            table = others[0].table
            raise RequestError(f"claim: {better.name()} has {len(others)} partners in {table}; name more of its axes")

        if others:
            found.append(Pair(better=better, worse=others[0]))
    if here and there and not found:
        raise RequestError(
            f"claim: {side.table}: no two cells to compare at {coordinates_text(wanted)} and "
            f"{coordinates_text(side.worse) or side.against}; the names in manifests/claims.toml must be the table's"
        )
    return found


def check_columns(table: str, numbers: Sequence[Number], columns: Sequence[str] | None) -> None:
    """Check that a table has the columns that a claim names.

    Raises:
        RequestError: it lacks one; the message has the most similar name.
    """
    known = dict.fromkeys(number.column for number in numbers)
    for column in columns or ():
        if known and column not in known:
            raise RequestError(f"claim: {table} has no column {column!r}{did_you_mean(column, known)}")


def at_point(numbers: Sequence[Number], at: Coordinates, column: str) -> list[Number]:
    """Return the numbers of one column at some coordinates; an axis that a number leaves out matches every value."""
    return [one for one in numbers if one.column == column and _agrees(one.at, at)]


def _is_at(number: Number, at: Coordinates) -> bool:
    """Return whether a number has all of these coordinates."""
    return all(number.at.get(axis) == value for axis, value in at.items())


def _agrees(at: Coordinates, wanted: Coordinates) -> bool:
    """Return whether coordinates agree on the axes that both name."""
    return all(at[axis] == value for axis, value in wanted.items() if axis in at)


def grouped(pairs: Sequence[Pair], over: Sequence[str]) -> dict[str, list[Pair]]:
    """Return the pairs by their values on some axes; without axes, each pair by itself.

    Raises:
        RequestError: the cells of a pair have no such axis.
    """
    groups: dict[str, list[Pair]] = {}
    for number, pair in enumerate(pairs):
        if absent := [axis for axis in over if axis not in pair.better.at]:
            known = ", ".join(pair.better.at)
            raise RequestError(f"claim: {pair.better.table} has no axis {absent[0]!r} to go over; it has {known}")
        values = [value_text(pair.better.at[axis]) for axis in over]
        groups.setdefault(", ".join(values) if over else str(number), []).append(pair)
    return groups


def units_of(pairs: Sequence[Pair]) -> Iterator[str]:
    """Yield the units of some pairs, each once."""
    yield from dict.fromkeys(pair.better.unit for pair in pairs)
