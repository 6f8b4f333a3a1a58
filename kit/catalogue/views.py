"""From a view to its cells: the rows, the columns, and the points of experiments that give each number."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kit import registry
from kit.catalogue import look_up
from kit.catalogue.axes import Coordinates, checked_value, coordinates_text, value_text
from kit.catalogue.drawing import COLUMN, Draw
from kit.catalogue.manifest import AXES, AXIS_TYPES, Claim, ColumnGroup, Experiment, View
from kit.catalogue.points import Point, make_point, product_of
from kit.errors import RequestError, did_you_mean, listed, one_line
from kit.measures import CurveMeasure, Measure

REPEATED = "seed"
"""The axis whose values are repeats of one number: a view that leaves it open shows their mean."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a table."""

    id: str
    """The metric's, or the curve's."""
    name: str
    """What stands above it."""
    benchmark: str
    at: Coordinates = field(default_factory=dict)
    """axis -> value, what its cells share beside the row's."""
    measure: Measure = field(default_factory=Measure)
    """Unit, digits and kind of its numbers."""
    curve: CurveMeasure | None = None
    """Axes of its curves; None for a column of numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is printed: rows and columns by their coordinates."""

    title: str
    paper: str | None
    """File under ``manifests/paper`` with the printed numbers."""
    axes: tuple[str, ...]
    """What names a row, in order."""
    rows: tuple[Coordinates, ...]
    columns: tuple[Column, ...]
    series: str = ""
    """Which of a printed figure's series is compared with."""
    claims: tuple[Claim, ...] = ()
    draw: Draw | None = None
    """How it is drawn as a figure; None for a table alone."""


class Picker:
    """Finds the points of a view's cells.

    Args:
        view: which points are picked, and what is measured there.
        experiments: by id.
        where: how messages name the view.
    """

    def __init__(self, view: View, experiments: Mapping[str, Experiment], where: str) -> None:
        self.where = where
        self.view = view
        self.experiments = [look_up(experiments, id, f"{where}: experiment", "experiment") for id in view.experiments()]
        self.rows = {axis: self._values(axis, values, f"rows.{axis}") for axis, values in view.rows.items()}
        self.at = self._coordinates(view.at, "at")
        self.groups = [self._coordinates(group.at, f"columns[{n}].at") for n, group in enumerate(view.columns)]
        for number, at in enumerate(self.groups):
            self._check_given_once(at, f"columns[{number}].at")
            self._check_decided(at, f"columns[{number}]")

    def columns(self) -> list[Column]:
        """Return a column for each metric of each group.

        Raises:
            RequestError: a measure that no benchmark has, or columns that the figure has no place for.
        """
        found: list[Column] = []
        for number, (group, at) in enumerate(zip(self.view.columns, self.groups, strict=True)):
            for measure in group.measures:
                found += self._measured(measure, at, f"{self.where}: columns[{number}].measures")
        self._check_drawn(found)
        return [_told_apart(column, found) for column in found]

    def points(self, row: Coordinates, column: Column) -> list[Point]:
        """Return the points behind a cell: one, or one for each seed; none where no experiment gives it.

        Raises:
            RequestError: several experiments give it.
        """
        at = {**row, **self.at, **column.at}
        claims = [experiment for experiment in self.experiments if _gives(experiment, at, column.benchmark)]
        if len(claims) > 1:
            raise RequestError(
                f"{self.where}: {coordinates_text(at)}: {column.id} is given by "
                f"{' and '.join(repr(claim.id) for claim in claims)}; wanted one experiment"
            )
        return [point for claim in claims for point in _points(claim, at)]

    def coordinates(self, row: Coordinates, column: Column) -> dict[str, Any]:
        """Return all that a view says of a cell: ``seeds``, ``evolver``, ``base``, ... in the order of a setting."""
        at = {**row, **self.at, **column.at}
        return {axis: at[axis] for axis in AXES if axis in at}

    def _measured(self, measure: str, at: Coordinates, where: str) -> Iterator[Column]:
        """Yield the columns of one measure: a benchmark's name, or ``benchmark.metric``."""
        benchmark, _, metric = measure.partition(".")
        look_up(dict.fromkeys(registry.names("benchmarks")), benchmark, where, "benchmark")
        metrics, curves = measures_of(benchmark), curves_of(benchmark)
        if metric:
            look_up({**metrics, **curves}, metric, where, "metric or curve" if curves else "metric")
        for id in [metric] if metric else metrics:
            if curve := curves.get(id):
                yield Column(id=id, name=curve.title or id, benchmark=benchmark, at=at, curve=curve)
            else:
                found = metrics[id]
                yield Column(id=id, name=found.title or id, benchmark=benchmark, at=at, measure=found)

    def _check_drawn(self, columns: Sequence[Column]) -> None:
        """Refuse a figure that would draw several columns over each other, or numbers as curves.

        Raises:
            RequestError: it would.
        """
        draw = self.view.draw
        if draw is None:
            return
        where = f"{self.where}: draw"
        names = listed(column.id for column in columns)
        if len(columns) > 1 and COLUMN not in (draw.line, draw.panel_axis):
            raise RequestError(
                f"{where}: {len(columns)} columns ({names}) have no place; wanted line or panel = {COLUMN!r}, "
                "or one column"
            )
        wanted = draw.kind == "curves"
        if other := [column.id for column in columns if (column.curve is not None) != wanted]:
            what = "a number, wanted a curve" if wanted else "a curve, wanted a number"
            cure = "lines" if wanted else "curves"
            raise RequestError(f"{where}.kind: {other[0]} is {what}; kind = {cure!r} draws it")

    def _values(self, axis: str, values: Sequence[Any], key: str) -> list[Any]:
        """Return values in the axis's own type."""
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
        """Return coordinates in the axes' own types."""
        return {axis: self._values(axis, [value], f"{key}.{axis}")[0] for axis, value in at.items()}

    def _check_given_once(self, column: Coordinates, key: str) -> None:
        """Refuse an axis that two places give a value.

        Raises:
            RequestError: there is one.
        """
        places: list[tuple[str, Mapping[str, Any]]] = [("rows", self.rows), ("at", self.at), (key, column)]
        for axis in AXES:
            given = [(place, values[axis]) for place, values in places if axis in values]
            if len(given) > 1:
                said = " and ".join(f"{_shown(value)} in {place}" for place, value in given)
                raise RequestError(f"{self.where}: the axis {axis} is given twice: {said}; leave one out")

    def _check_decided(self, column: Coordinates, key: str) -> None:
        """Refuse a column whose cells have several values on an axis, one of which would be shown in silence.

        Raises:
            RequestError: an axis is open.
        """
        for experiment in self.experiments:
            for axis in experiment.axes():
                values = experiment.values(axis)
                decided = axis in (*self.rows, *self.at, *column, REPEATED) or len(values) == 1
                if not decided:
                    raise RequestError(
                        f"{self.where}: {key}: the axis {axis} is open: experiment {experiment.id!r} has "
                        f"{_shown(values)}; name values in rows, in at, or in the column's at"
                    )


def measures_of(benchmark: str) -> Mapping[str, Measure]:
    """Return the metrics of a benchmark, each with its measure."""
    found: Mapping[str, Measure] = registry.load("benchmarks", benchmark).METRICS
    return found


def curves_of(benchmark: str) -> Mapping[str, CurveMeasure]:
    """Return the curves of a benchmark; most have none."""
    found: Mapping[str, CurveMeasure] = getattr(registry.load("benchmarks", benchmark), "CURVES", {})
    return found


def default_view(title: str, experiments: Sequence[Experiment]) -> View:
    """Return a table of every axis as rows and every benchmark of the experiments as columns.

    Several seeds are no rows: their mean is shown.
    """
    axes = [axis for axis in AXES if axis != REPEATED and any(axis in one.axes() for one in experiments)]
    rows = {axis: list(dict.fromkeys(value for one in experiments for value in one.values(axis))) for axis in axes}
    benchmarks = list(dict.fromkeys(name for one in experiments for name in one.benchmarks))
    return View(
        title=title,
        experiment=[experiment.id for experiment in experiments],
        rows=rows,
        columns=[ColumnGroup(measures=benchmarks)],
    )


def fills(view: View, experiments: Sequence[Experiment]) -> bool:
    """Whether each cell of a default view is given by one experiment, no more and no fewer."""
    (group,) = view.columns
    return all(
        sum(_gives(experiment, at, benchmark) for experiment in experiments) == 1
        for at in product_of(view.rows)
        for benchmark in group.measures
    )


def _gives(experiment: Experiment, at: Coordinates, benchmark: str) -> bool:
    """Whether an experiment has these values, and tests on the benchmark if it says on which it does."""
    tested = not experiment.benchmarks or benchmark in experiment.benchmarks
    return tested and all(value in experiment.values(axis) for axis, value in at.items())


def _points(experiment: Experiment, at: Coordinates) -> Iterator[Point]:
    """Yield the point at these coordinates, or one for each seed where they leave it open."""
    open_axes = {axis: experiment.values(axis) for axis in experiment.axes()}
    for whole in product_of({axis: [at[axis]] if axis in at else values for axis, values in open_axes.items()}):
        yield make_point(experiment, whole)


def _told_apart(column: Column, others: Sequence[Column]) -> Column:
    """Return the column with its coordinates in its name, where others have the same metric."""
    same = [other for other in others if other.id == column.id]
    differ = [axis for axis, value in column.at.items() if any(other.at.get(axis) != value for other in same)]
    if not differ:
        return column
    text = coordinates_text({axis: column.at[axis] for axis in differ})
    return replace(column, name=f"{column.name}, {text}")


def _shown(value: Any) -> str:
    """Return a value, or a list of them, for a message."""
    return listed(map(value_text, value)) if isinstance(value, list) else one_line(value_text(value), 60)


def blank_note(name: str, blank: Sequence[tuple[Coordinates, Column]], experiments: Sequence[Experiment]) -> str:
    """Return the sentence on the cells that no experiment gives: how many, and which values nobody has."""
    unknown: list[str] = []
    for at, _ in blank:
        for axis, value in at.items():
            known = list(dict.fromkeys(value_text(each) for one in experiments for each in one.values(axis)))
            if value_text(value) not in known:
                close = did_you_mean(value_text(value), known)
                unknown.append(f"{axis} {one_line(value_text(value), 60)}{close.replace('; did', ', did')}")
    count = "1 cell is" if len(blank) == 1 else f"{len(blank)} cells are"
    first = f"{coordinates_text(blank[0][0])}, {blank[0][1].id}"
    why = "; ".join(dict.fromkeys(unknown)) if unknown else f"the first is {first}"
    return f"{name}: {count} left blank, which no experiment of the table gives: {why}"
