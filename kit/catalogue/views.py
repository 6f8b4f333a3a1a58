"""Finds the cells of a view: its rows, its columns, and the points of experiments that give each number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

from kit import registry
from kit.catalogue import look_up
from kit.catalogue.axes import Coordinates, checked_value, coordinates_text, value_at, value_text
from kit.catalogue.drawing import Draw, check_columns
from kit.catalogue.experiments import AXES, AXIS_TYPES, Experiment
from kit.catalogue.manifest import ColumnGroup, View
from kit.catalogue.points import Point, make_point, product_of
from kit.errors import RequestError, did_you_mean, listed, one_line
from kit.measures import CurveMeasure, Measure

REPEAT_AXIS = "seed"
"""The axis whose values repeat one measurement: a view that does not name it shows the mean over its values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table, with its coordinates and its measure."""

    id: str
    """Id of its metric, or of its curve."""
    name: str
    """Heading of the column."""
    benchmark: str
    at: Coordinates = field(default_factory=dict)
    """axis -> value, for all cells of the column, in addition to the row's."""
    measure: Measure = field(default_factory=Measure)
    """Unit, digits and kind of its numbers."""
    curve: CurveMeasure | None = None
    """Axes of its curves; None for a column of numbers."""
    mean_of: tuple[str, ...] = ()
    """Ids of the numbers whose mean it shows; empty for a column of one number."""
    printed: str = ""
    """Id of the paper's column with the same numbers, where that is not its own id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table without its numbers: rows and columns by their coordinates."""

    title: str
    paper: str | None
    """Name of the file under ``manifests/paper`` that has the printed numbers."""
    axes: tuple[str, ...]
    """Axes whose values name a row, in order."""
    rows: tuple[Coordinates, ...]
    columns: tuple[Column, ...]
    series: str = ""
    """Name of the printed figure's series with which the numbers are compared."""
    draw: Draw | None = None
    """Form of the figure; None for a table alone."""


class CellFinder:
    """Finds the rows and columns of a view, and the points that give each cell.

    Args:
        view: the view.
        experiments: all experiments, by id.
        where: name of the view in messages.
    """

    def __init__(self, view: View, experiments: Mapping[str, Experiment], where: str) -> None:
        self.where = where
        self.view = view
        self.experiments = [look_up(experiments, id, f"{where}: experiment", "experiment") for id in view.experiments()]
        self.rows = {axis: self._values(axis, values, f"rows.{axis}") for axis, values in view.rows.items()}
        self.at = self._coordinates(view.at, "at")
        self.group_at = [self._coordinates(group.at, f"columns[{n}].at") for n, group in enumerate(view.columns)]
        for number, at in enumerate(self.group_at):
            self._check_given_once(at, f"columns[{number}].at")
            self._check_none_open(at, f"columns[{number}]")

    def columns(self) -> list[Column]:
        """Return the columns of the view: one for each metric of each group.

        Raises:
            RequestError: no benchmark or metric has a measure, a column stands twice, a mean is of unlike numbers, a
                printed column is given to none, or the figure has no place for a column.
        """
        found: list[Column] = []
        for number, (group, at) in enumerate(zip(self.view.columns, self.group_at, strict=True)):
            where = f"{self.where}: columns[{number}].measures"
            each = [one for measure in group.measures for one in self._columns_of(measure, at, where)]
            each = [_mean_column(group.mean, each, where)] if group.mean else each
            for id in group.printed:
                look_up(dict.fromkeys(one.id for one in each), id, f"{self.where}: columns[{number}].printed", "column")
            for column in each:
                if any((other.id, other.benchmark, other.at) == (column.id, column.benchmark, at) for other in found):
                    place = f", at {coordinates_text(at)}" if at else ""
                    raise RequestError(f"{where}: {column.id} is a column already{place}; leave one out")
                found.append(replace(column, printed=group.printed.get(column.id, "")))
        self._check_figure(found)
        return [_with_distinct_name(column, found) for column in found]

    def points(self, row: Coordinates, column: Column) -> list[Point]:
        """Return the points that give a cell: one, or one for each seed; none where no experiment has the cell.

        Raises:
            RequestError: several experiments have it, and not just one of them lists its benchmark; or the values of an
                experiment's axes contradict each other.
        """
        at = {**row, **self.at, **column.at}
        try:
            having = [(one, points) for one in self.experiments if (points := list(_points(one, at)))]
        except RequestError as error:
            raise RequestError(f"{self.where}: {error}") from error
        listing = [found for found in having if _lists(found[0], column.benchmark)]
        found = listing or having
        if len(found) > 1:
            place = f"{self.where}: {coordinates_text(at)}" if at else self.where
            ids = " and ".join(repr(experiment.id) for experiment, _ in found)
            raise RequestError(f"{place}: {column.id} is given by {ids}; wanted one experiment")
        return found[0][1] if found else []

    def coordinates(self, row: Coordinates, column: Column) -> dict[str, Any]:
        """Return all coordinates that a view gives for a cell, in the order in which a setting has the axes."""
        at = {**row, **self.at, **column.at}
        return {axis: at[axis] for axis in AXES if axis in at}

    def _columns_of(self, measure: str, at: Coordinates, where: str) -> Iterator[Column]:
        """Yield the columns of one measure: a benchmark's or a metric's name, or with one number, ``ifd.ic_ifd``."""
        benchmark, _, metric = measure.partition(".")
        known = dict.fromkeys([*registry.names("benchmarks"), *registry.names("metrics")])
        look_up(known, benchmark, where, "benchmark or metric")
        metrics, curves = measures_of(benchmark), curves_of(benchmark)
        if metric:
            look_up({**metrics, **curves}, metric, where, "metric or curve" if curves else "metric")
        for id in [metric] if metric else metrics:
            if curve := curves.get(id):
                yield Column(id=id, name=curve.title or id, benchmark=benchmark, at=at, curve=curve)
            else:
                found = metrics[id]
                yield Column(id=id, name=found.title or id, benchmark=benchmark, at=at, measure=found)

    def _check_figure(self, columns: Sequence[Column]) -> None:
        """Check that the view's figure can draw these columns.

        Raises:
            RequestError: it would draw several columns over each other, numbers as curves or curves as numbers.
        """
        if self.view.draw:
            try:
                check_columns(self.view.draw, columns)
            except ValueError as error:
                raise RequestError(f"{self.where}: {error}") from error

    def _values(self, axis: str, values: Sequence[Any], key: str) -> list[Any]:
        """Return values in the type of their axis.

        Raises:
            RequestError: there is no such axis, or it takes no such value; the message has the key.
        """
        look_up(AXES, axis, f"{self.where}: {key.partition('.')[0]}", "axis")
        found = []
        for number, value in enumerate(values):
            try:
                found.append(checked_value(AXIS_TYPES, axis, value))
            except ValueError as error:
                place = f"{key}[{number}]" if key.startswith("rows") else key
                raise RequestError(f"{self.where}: {place}: {error}, found {value_text(value)!r}") from error
        return found

    def _coordinates(self, at: Coordinates, key: str) -> dict[str, Any]:
        """Return coordinates with each value in the type of its axis."""
        return {axis: self._values(axis, [value], f"{key}.{axis}")[0] for axis, value in at.items()}

    def _check_given_once(self, column: Coordinates, key: str) -> None:
        """Check that an axis has a value in one place of the view only: in rows, in at or in a column's at.

        Raises:
            RequestError: an axis has values in two places.
        """
        places: list[tuple[str, Mapping[str, Any]]] = [("rows", self.rows), ("at", self.at), (key, column)]
        for axis in AXES:
            given = [(place, values[axis]) for place, values in places if axis in values]
            if len(given) > 1:
                found = " and ".join(f"{_value_text(value)} in {place}" for place, value in given)
                raise RequestError(f"{self.where}: the axis {axis} is given twice: {found}; leave one out")

    def _check_none_open(self, column: Coordinates, key: str) -> None:
        """Check that a column's cells have one value on each axis, so that none of several is shown by chance.

        Raises:
            RequestError: an axis is open: an experiment has several values on it, and the view names none.
        """
        wanted = {**self.rows, **{axis: [value] for axis, value in {**self.at, **column}.items()}}
        for experiment in self.experiments:
            if not all(set(values) & set(experiment.all_values(axis)) for axis, values in wanted.items()):
                continue  # it has none of these cells
            for axis in experiment.axes():
                values = experiment.values(axis)
                if len(values) > 1 and axis not in (*wanted, REPEAT_AXIS):
                    raise RequestError(
                        f"{self.where}: {key}: the axis {axis} is open: experiment {experiment.id!r} has "
                        f"{_value_text(values)}; name values in rows, in at, or in the column's at"
                    )


def _mean_column(id: str, columns: Sequence[Column], where: str) -> Column:
    """Return one column that shows the mean of others, which are shares or means of one benchmark in one unit.

    Its heading begins with the words that all of theirs begin with.

    Raises:
        RequestError: they are of several benchmarks, of several units or kinds, or curves.
    """
    first = columns[0]
    kinds = {(one.benchmark, one.measure.unit, one.measure.kind, one.curve is None) for one in columns}
    if len(kinds) > 1 or first.curve:
        found = listed(f"{one.benchmark}.{one.id}" for one in columns)
        raise RequestError(f"{where}: a mean is of numbers of one benchmark, unit and kind, found {found}")
    words = [words[0] for words in zip(*(one.name.split() for one in columns), strict=False) if len(set(words)) == 1]
    name = f"{' '.join(words) or first.benchmark}, mean of {len(columns)}"
    return replace(first, id=id, name=name, mean_of=tuple(one.id for one in columns))


def measuring_stage(name: str) -> str:
    """Return the stage whose job gives the numbers of a benchmark or of a metric of instruction sets."""
    return "score" if name in registry.names("metrics") else "grade"


def measures_of(name: str) -> Mapping[str, Measure]:
    """Return the numbers of a benchmark, or of a metric of instruction sets, by id, each with its measure."""
    found: Mapping[str, Measure] = _plugin(name).METRICS
    return found


def curves_of(name: str) -> Mapping[str, CurveMeasure]:
    """Return the curves of a benchmark or metric by id; most have none."""
    found: Mapping[str, CurveMeasure] = getattr(_plugin(name), "CURVES", {})
    return found


def _plugin(name: str) -> ModuleType:
    """Return the module of a benchmark or of a metric."""
    return registry.load("metrics" if measuring_stage(name) == "score" else "benchmarks", name)


def default_view(title: str, experiments: Sequence[Experiment]) -> View:
    """Return a view with every axis as rows and every benchmark of the experiments as columns.

    Seeds are no rows: a cell shows the mean over them.
    """
    axes = [axis for axis in AXES if axis != REPEAT_AXIS and any(axis in one.axes() for one in experiments)]
    rows = {axis: list(dict.fromkeys(value for one in experiments for value in one.values(axis))) for axis in axes}
    benchmarks = list(dict.fromkeys(name for one in experiments for name in one.benchmarks))
    return View.model_construct(  # its fields are checked, and may be longer than a user's
        title=title,
        experiment=[experiment.id for experiment in experiments],
        rows=rows,
        columns=[ColumnGroup(measures=benchmarks)],
    )


def each_cell_has_one_experiment(view: View, experiments: Sequence[Experiment]) -> bool:
    """Return whether exactly one of the experiments has each cell of a default view."""
    (group,) = view.columns
    return all(
        sum(_lists(experiment, benchmark) and _has_points(experiment, at) for experiment in experiments) == 1
        for at in product_of(view.rows)
        for benchmark in group.measures
    )


def _lists(experiment: Experiment, benchmark: str) -> bool:
    """Return whether an experiment lists a benchmark, or lists none."""
    return not experiment.benchmarks or benchmark in experiment.benchmarks


def _has_points(experiment: Experiment, at: Coordinates) -> bool:
    """Return whether an experiment has a point at these coordinates."""
    if any(axis in experiment.brought_along for axis in at):
        return any(True for _ in _points(experiment, at))
    return all(value in experiment.values(axis) for axis, value in at.items())


def _points(experiment: Experiment, at: Coordinates) -> Iterator[Point]:
    """Yield the points of an experiment at these coordinates: one, or one for each seed where no seed is given."""
    if not all(value in experiment.all_values(axis) for axis, value in at.items()):
        return
    brought = {AXES[axis]: value for axis, value in at.items() if axis in experiment.brought_along}
    axes = {axis: [at[axis]] if axis in at else experiment.values(axis) for axis in experiment.axes()}
    for point in (make_point(experiment, coordinates) for coordinates in product_of(axes)):
        if all(value_at(point.setting, path) == value for path, value in brought.items()):
            yield point


def _with_distinct_name(column: Column, columns: Sequence[Column]) -> Column:
    """Return the column; if others have the same metric, its name has the coordinates in which it differs."""
    same_metric = [other for other in columns if other.id == column.id]
    differing = [axis for axis, value in column.at.items() if any(one.at.get(axis) != value for one in same_metric)]
    if not differing:
        return column
    text = coordinates_text({axis: column.at[axis] for axis in differing})
    return replace(column, name=f"{column.name}, {text}")


def _value_text(value: Any) -> str:
    """Return a value, or a list of values, as a text for messages."""
    return listed(map(value_text, value)) if isinstance(value, list) else one_line(value_text(value), 60)


def blank_note(name: str, blank: Sequence[tuple[Coordinates, Column]], experiments: Sequence[Experiment]) -> str:
    """Return a sentence on the cells that no experiment gives: their number, and the values that none has."""
    unknown: list[str] = []
    for at, _ in blank:
        for axis, value in at.items():
            known = list(dict.fromkeys(value_text(each) for one in experiments for each in one.all_values(axis)))
            if value_text(value) not in known:
                close = did_you_mean(value_text(value), known)
                unknown.append(f"{axis} {one_line(value_text(value), 60)}{close.replace('; did', ', did')}")
    count = "1 cell is" if len(blank) == 1 else f"{len(blank)} cells are"
    first = ", ".join(filter(None, (coordinates_text(blank[0][0]), blank[0][1].id)))
    details = "; ".join(dict.fromkeys(unknown)) if unknown else f"the first is {first}"
    return f"{name}: {count} left blank, which no experiment of the table gives: {details}"
