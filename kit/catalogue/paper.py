"""The numbers that the paper prints, from ``manifests/paper``: a file for each table or figure, one for the text."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field

from kit.catalogue import manifests_folder
from kit.catalogue.axes import Coordinates, coordinates_text
from kit.errors import RequestError, did_you_mean
from kit.reading.documents import Strict, read

Value = float | str
PRINTED_NAMES: Mapping[str, Sequence[str]] = {
    "base": ["model"],
    "seeds": ["dataset"],
    "tuning": ["finetune"],
    "selection": ["selection", "candidate"],
    "against": ["reference"],
}
"""Axis -> its keys in the printed rows, where they are others; a row has one of them."""
PRINTED_VALUES = {("reference", "none"): "full"}
"""Key and value of an axis -> the value in the printed rows, where that is another."""


class PaperColumn(Strict):
    """One column of a printed table, and how its numbers were computed."""

    id: str
    benchmark: str | None = None
    dataset: str | None = None
    level: str | int | None = None
    """``prompt``, ``instruction``, ``item``, a level of FollowBench, or the way in which levels are combined."""
    mode: str | None = None
    metric: str | None = None
    n: int | None = None
    """Number of scored units behind one cell."""
    n_groups: int | None = None
    """Number of groups of units, where a cell is a mean over groups."""
    aggregation: str | None = None
    unit: str | None = None


class PaperRow(Strict):
    """One printed row: the keys that tell it from other rows, and its cells by column id."""

    evolver: str | None = None
    evolver_role: str | None = None
    """``slm``, ``llm``, or ``none`` for seed data that was not evolved."""
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
    """Column id -> cell, as printed. Cells that the paper leaves out are absent."""


class Series(Strict):
    """One of several sets of numbers behind a figure."""

    source: str
    row: list[PaperRow]


class PaperTable(Strict):
    """A table or figure of the paper, as printed."""

    schema_: int = Field(alias="schema")
    title: str
    scenario: str
    source: str | None = None
    table: str | None = None
    """The table that has the same numbers as a figure."""
    model: str | None = None
    response_generator: str | None = None
    judge: str | None = None
    followbench_judge: str | None = None
    reward_model: str | None = None
    seed_dataset: str | None = None
    eval_set: str | None = None
    round: int | None = None
    round_basis: str | None = None
    """Source of the round, if the table does not state it."""
    evolution: str | None = None
    training_items: int | dict[str, int] | None = None
    temperature_note: str | None = None
    unsure: str | None = None
    """Questions that are open after the transcription."""
    claim: str | None = None
    """The paper's statement on a figure whose numbers are not released."""
    panel_labels: dict[str, str] = Field(default_factory=dict)
    axes: dict[str, list[float]] = Field(default_factory=dict)
    axis_ticks_in_pdf: dict[str, list[float]] = Field(default_factory=dict)
    column: list[PaperColumn] = Field(default_factory=list)
    row: list[PaperRow] = Field(default_factory=list)
    series: dict[str, Series] = Field(default_factory=dict)

    @property
    def prints_settings(self) -> bool:
        """Return whether it prints settings of training or sizes of seed sets, which no job computes."""
        sizes = [column.id for column in self.column] == ["n_items"]
        return bool(self.row) and all(row.parameter or (sizes and row.dataset) for row in self.row)

    def rows(self, **where: Value) -> list[PaperRow]:
        """Return the rows whose keys have these values, in printed order: ``rows(round=2, model="llama-3-8b")``."""
        return [row for row in self.row if all(getattr(row, key) == value for key, value in where.items())]

    def of_series(self, name: str) -> "PaperTable":
        """Return the figure with the rows of one of its series; unchanged where no series is named.

        Raises:
            RequestError: the figure has no such series.
        """
        if not name:
            return self
        if name not in self.series:
            raise RequestError(f"{self.title}: no series {name!r}{did_you_mean(name, self.series)}")
        return self.model_copy(update={"row": self.series[name].row})

    def row_at(self, at: Coordinates) -> PaperRow | None:
        """Return the printed row at these coordinates, or None; a key that a row leaves out matches every value.

        Raises:
            RequestError: several rows match.
        """
        named = {key: value for axis, value in at.items() for key in PRINTED_NAMES.get(axis, [axis])}
        wanted = {key: PRINTED_VALUES.get((key, str(value)), value) for key, value in named.items()}
        keys = [key for key in PaperRow.model_fields if key in wanted]
        rows = [row for row in self.row if all(getattr(row, key) in (None, wanted[key]) for key in keys)]
        if len(rows) > 1:
            raise RequestError(
                f"{self.title}: {len(rows)} rows for {coordinates_text(at)}; say which with {_differing_keys(rows)}"
            )
        return rows[0] if rows else None

    def cell(self, at: Coordinates, column: str) -> Value | None:
        """Return one printed cell, or None where the paper has no such row or leaves the cell out.

        Args:
            at: coordinates of the row: ``{"evolver": ..., "base": ..., "round": 2}``.
            column: id of the column.

        Raises:
            RequestError: the table has no such column, or several rows match.
        """
        known = [column.id for column in self.column]
        if column not in known:
            raise RequestError(f"{self.title}: no column {column!r}{did_you_mean(column, known)}")
        row = self.row_at(at)
        return row.values.get(column) if row else None


class Scalar(Strict):
    """A single number that the paper's text states."""

    id: str
    value: float
    unit: str
    section: str
    qualifier: str | None = None
    """A word that limits the number, such as ``nearly``."""


class ScalarsFile(Strict):
    """The file ``manifests/paper/scalars.toml``: numbers of the paper's text."""

    schema_: int = Field(alias="schema")
    scalar: list[Scalar]


def names(folder: Path | None = None) -> list[str]:
    """Return the names of all tables, then of all figures, in the paper's order: ``table-1`` … ``figure-7``.

    Names without a number, of tables that were added, come last.
    """

    def order(stem: str) -> tuple[bool, bool, int, str]:
        number = stem.rpartition("-")[2]
        has_number = number.isascii() and number.isdigit()
        return not has_number, not stem.startswith("table"), int(number) if has_number else 0, stem

    return sorted((path.stem for path in _folder(folder).glob("*-*.toml")), key=order)


def table(number: int | str, folder: Path | None = None) -> PaperTable:
    """Return a table or figure by number or name: ``2``, ``"2"``, ``"table-2"``, ``"figure-1"``, ``"table-2.toml"``.

    Raises:
        RequestError: the paper has none of this name, or the file does not have the right form.
    """
    name = str(number).removesuffix(".toml")
    name = f"table-{name}" if name.isdigit() else name
    known = names(folder)
    if name not in known:
        raise RequestError(f"the paper has no {name!r}{did_you_mean(name, known)}")
    return read(PaperTable, _folder(folder) / f"{name}.toml")


def scalars(folder: Path | None = None) -> dict[str, Scalar]:
    """Return the numbers of the paper's text, by id."""
    return {scalar.id: scalar for scalar in read(ScalarsFile, _folder(folder) / "scalars.toml").scalar}


def _folder(folder: Path | None) -> Path:
    """Return the folder of the printed numbers; ``manifests/paper`` by default."""
    return folder or manifests_folder() / "paper"


def _differing_keys(rows: list[PaperRow]) -> str:
    """Return the keys in which rows differ, as a text for messages."""
    keys = [key for key in PaperRow.model_fields if key != "values"]
    return ", ".join(key for key in keys if len({getattr(row, key) for row in rows}) > 1)
