"""Strict types of views, which are the tables and figures, and of the user's own manifest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from kit.catalogue.axes import NamedByAxis, Value, check_no_repeats, one_or_list_tag
from kit.catalogue.drawing import Draw, check_draw
from kit.catalogue.entries import Dataset, Model
from kit.catalogue.experiments import AxisName, Experiment
from kit.catalogue.scales import Scale, SeedRows
from kit.catalogue.served import Served
from kit.errors import RequestError, one_line
from kit.reading.documents import LIST, ONE, Strict, read, read_table
from kit.reading.values import LONGEST_NAME, MOST_NAMES, Name, Names, Title


class ColumnGroup(Strict):
    """Columns of a table that have the same coordinates."""

    at: Annotated[dict[AxisName, Value], NamedByAxis] = Field(default_factory=dict)
    """axis -> value, for all cells of these columns."""
    measures: Names
    """Benchmarks, or metrics of instruction sets, each with all its numbers; or single numbers,
    ``ifeval.ifeval_prompt_strict``, ``ifd.ic_ifd``."""
    mean: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9_]*)?$", max_length=LONGEST_NAME)
    """Id of one column that shows the mean of these numbers, in their place; empty for a column each."""
    printed: dict[Name, str] = Field(default_factory=dict)
    """Id of a column -> its id in the paper's file, where that is another."""


class ViewFields(Strict):
    """The points of experiments that a table shows, and the measures that it shows of them."""

    title: Title = ""
    experiment: Annotated[Annotated[str, Tag(ONE)] | Annotated[Names, Tag(LIST)], Discriminator(one_or_list_tag)] = ""
    """Id of the experiment; or ids of several, each cell being given by one of them."""
    rows: Annotated[dict[AxisName, Annotated[list[Value], Field(min_length=1, max_length=MOST_NAMES)]], NamedByAxis] = (
        Field(default_factory=dict)
    )
    """axis -> values: there is a row for each combination of the values, in this order."""
    at: Annotated[dict[AxisName, Value], NamedByAxis] = Field(default_factory=dict)
    """axis -> value, for all cells."""
    columns: list[ColumnGroup] = Field(min_length=1, max_length=MOST_NAMES)
    draw: Draw | None = None
    """Form of the figure, if the view is drawn; its numbers are a table as well."""

    def experiments(self) -> list[str]:
        """Return the ids of the view's experiments."""
        return [self.experiment] if isinstance(self.experiment, str) else self.experiment

    @model_validator(mode="after")
    def _check_rows(self) -> Self:
        check_no_repeats({f"rows.{axis}": values for axis, values in self.rows.items()})
        return self

    @model_validator(mode="after")
    def _check_draw(self) -> Self:
        if self.draw:
            check_draw(self.draw, self.rows)
        return self


class View(ViewFields):
    """A table, and what the paper prints in its place."""

    paper: str | None = None
    """Name of the file under ``manifests/paper`` that has the printed numbers."""
    series: str = ""
    """Name of the printed figure's series with which the numbers are compared."""


class ViewFile(View):
    """A view with its own file in ``manifests/tables``."""

    schema_: int = Field(alias="schema")


class UserView(ViewFields):
    """A view that stands in the user's own manifest; the paper prints none of its numbers."""

    id: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]*)?$", max_length=LONGEST_NAME)
    """Name of the table, if the manifest has several: they are called ``<file>.<id>``."""


class UserManifest(Strict):
    """The user's own manifest: experiments, views and a scale in one file, with the user's own models and data sets."""

    schema_: int = Field(alias="schema")
    title: Title = "experiment"
    models: dict[Name, Model] = Field(default_factory=dict)
    datasets: dict[Name, Dataset] = Field(default_factory=dict)
    served: dict[Name, Served] = Field(default_factory=dict)
    """Models that a server answers for; they judge."""
    experiment: list[Experiment] = Field(min_length=1, max_length=MOST_NAMES)
    view: list[UserView] = Field(default_factory=list, max_length=MOST_NAMES)
    """The tables; without a view there is one table, with every axis as rows and every benchmark as columns."""
    scale: str | Scale
    """Name of a scale, or a whole scale. A role that is the name of a model needs no cast."""
    cast: dict[Name, Name] = Field(default_factory=dict)
    """The paper's model -> the model that plays it, in addition to the scale's cast."""
    seeds: dict[Name, SeedRows] = Field(default_factory=dict)
    """Seed sets by name, in addition to the scale's."""


class ServedFile(Strict):
    """A file with servers alone, for commands that take no whole manifest."""

    schema_: int = Field(alias="schema")
    served: dict[Name, Served] = Field(min_length=1)


def read_servers(path: Path) -> Mapping[str, Served]:
    """Return the servers of a file: of a whole manifest, or of one with ``[served]`` tables alone.

    Raises:
        RequestError: it can't be read, is neither, or names no server.
    """
    where = one_line(str(path))
    if "experiment" not in read_table(path):
        return read(ServedFile, path, where).served
    if found := read(UserManifest, path, where).served:
        return found
    raise RequestError(f"{where}: served: missing; wanted [served.NAME] tables (docs/judging.md)")
