"""The numbers that the paper prints, from ``manifests/paper``: one file a table or figure, and the text's scalars."""

from pathlib import Path

from pydantic import Field

from kit.catalogue import manifests_folder
from kit.catalogue.axes import Coordinates, coordinates_text
from kit.errors import RequestError, did_you_mean
from kit.reading.documents import Strict, read

Value = float | str
PRINTED_NAMES = {"base": "model", "seeds": "dataset", "tuning": "finetune"}
"""Axis -> what the printed rows call it, where that is another name."""


class PaperColumn(Strict):
    """What one column of a printed table counts."""

    id: str
    benchmark: str | None = None
    dataset: str | None = None
    level: str | int | None = None
    """``prompt``, ``instruction``, ``item``, a level of FollowBench, or how levels are joined."""
    mode: str | None = None
    metric: str | None = None
    n: int | None = None
    """Scored units behind one cell."""
    n_groups: int | None = None
    """Groups that the units fall into, where a cell is a mean over groups."""
    aggregation: str | None = None
    unit: str | None = None


class PaperRow(Strict):
    """One printed row: what sets it apart, and its cells by column id."""

    evolver: str | None = None
    evolver_role: str | None = None
    """``slm``, ``llm``, or ``none`` for seed data as it stands."""
    model: str | None = None
    """The base model that was tuned."""
    finetune: str | None = None
    round: int | None = None
    temperature: float | None = None
    selection: str | None = None
    kept_fraction: float | None = None
    candidate: str | None = None
    reference: str | None = None
    dataset: str | None = None
    domain: str | None = None
    n: int | None = None
    parameter: str | None = None
    scope: str | None = None
    values: dict[str, Value]
    """Column id -> cell, as printed. What the paper leaves out is absent."""


class Series(Strict):
    """One of several data sets behind a figure."""

    source: str
    row: list[PaperRow]


class PaperTable(Strict):
    """A table or figure of the paper."""

    schema_: int = Field(alias="schema")
    title: str
    scenario: str
    source: str | None = None
    table: str | None = None
    """The table that holds a figure's numbers too."""
    model: str | None = None
    response_generator: str | None = None
    judge: str | None = None
    followbench_judge: str | None = None
    reward_model: str | None = None
    seed_dataset: str | None = None
    eval_set: str | None = None
    round: int | None = None
    round_basis: str | None = None
    """Where the round is known from, if it is not stated."""
    evolution: str | None = None
    training_items: int | dict[str, int] | None = None
    temperature_note: str | None = None
    unsure: str | None = None
    """What the transcription could not settle."""
    claim: str | None = None
    """What a figure without released numbers is said to show."""
    panel_labels: dict[str, str] = Field(default_factory=dict)
    axes: dict[str, list[float]] = Field(default_factory=dict)
    axis_ticks_in_pdf: dict[str, list[float]] = Field(default_factory=dict)
    column: list[PaperColumn] = Field(default_factory=list)
    row: list[PaperRow] = Field(default_factory=list)
    series: dict[str, Series] = Field(default_factory=dict)

    @property
    def prints_settings(self) -> bool:
        """Whether it prints settings of training or sizes of seed sets, which manifests hold and no job computes."""
        sizes = [column.id for column in self.column] == ["n_items"]
        return bool(self.row) and all(row.parameter or (sizes and row.dataset) for row in self.row)

    def rows(self, **where: Value) -> list[PaperRow]:
        """The rows whose keys have these values, in printed order: ``rows(round=2, model="llama-3-8b")``."""
        return [row for row in self.row if all(getattr(row, key) == value for key, value in where.items())]

    def of_series(self, name: str) -> "PaperTable":
        """The figure with the rows of one of its series as its own; the table itself where no series is named.

        Raises:
            RequestError: it has no such series.
        """
        if not name:
            return self
        if name not in self.series:
            raise RequestError(f"{self.title}: no series {name!r}{did_you_mean(name, self.series)}")
        return self.model_copy(update={"row": self.series[name].row})

    def row_at(self, at: Coordinates) -> PaperRow | None:
        """The printed row at these coordinates, or none; a row fits if all that it names of them agrees.

        Raises:
            RequestError: several rows fit.
        """
        wanted = {PRINTED_NAMES.get(axis, axis): value for axis, value in at.items()}
        keys = [key for key in PaperRow.model_fields if key in wanted]
        rows = [row for row in self.row if all(getattr(row, key) in (None, wanted[key]) for key in keys)]
        if len(rows) > 1:
            raise RequestError(
                f"{self.title}: {len(rows)} rows for {coordinates_text(at)}; say which with {_differ(rows)}"
            )
        return rows[0] if rows else None

    def cell(self, at: Coordinates, column: str) -> Value | None:
        """One printed cell, or none where the paper has no such row or leaves the cell out.

        Args:
            at: axis -> value, what sets the row apart: ``{"evolver": ..., "base": ..., "round": 2}``.
            column: id of the column.

        Raises:
            RequestError: the table has no such column, or several rows fit.
        """
        known = [column.id for column in self.column]
        if column not in known:
            raise RequestError(f"{self.title}: no column {column!r}{did_you_mean(column, known)}")
        row = self.row_at(at)
        return row.values.get(column) if row else None


class Scalar(Strict):
    """A single number of the running text."""

    id: str
    value: float
    unit: str
    section: str
    qualifier: str | None = None
    """``nearly``, where the text says so."""


class ScalarsFile(Strict):
    """``manifests/paper/scalars.toml``."""

    schema_: int = Field(alias="schema")
    scalar: list[Scalar]


def names(folder: Path | None = None) -> list[str]:
    """Every table, then every figure, in the paper's order: ``table-1`` … ``figure-7``."""
    stems = [path.stem for path in _folder(folder).glob("*-*.toml")]
    return sorted(stems, key=lambda stem: (not stem.startswith("table"), int(stem.rpartition("-")[2])))


def table(number: int | str, folder: Path | None = None) -> PaperTable:
    """A table or figure: ``2``, ``"2"``, ``"table-2"``, ``"figure-1"``, or its file's name.

    Raises:
        RequestError: the paper has none of this name, or the file is not what it should be.
    """
    name = str(number).removesuffix(".toml")
    name = f"table-{name}" if name.isdigit() else name
    known = names(folder)
    if name not in known:
        raise RequestError(f"the paper has no {name!r}{did_you_mean(name, known)}")
    return read(PaperTable, _folder(folder) / f"{name}.toml")


def scalars(folder: Path | None = None) -> dict[str, Scalar]:
    """The numbers of the running text, by id."""
    return {scalar.id: scalar for scalar in read(ScalarsFile, _folder(folder) / "scalars.toml").scalar}


def _folder(folder: Path | None) -> Path:
    return folder or manifests_folder() / "paper"


def _differ(rows: list[PaperRow]) -> str:
    """The keys in which rows differ, for a message."""
    keys = [key for key in PaperRow.model_fields if key != "values"]
    return ", ".join(key for key in keys if len({getattr(row, key) for row in rows}) > 1)
