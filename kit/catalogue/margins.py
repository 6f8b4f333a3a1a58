"""Equivalence margins: how far two runs' numbers of a benchmark may lie apart and still be called the same."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field

from kit import registry
from kit.catalogue import look_up, manifests_folder
from kit.catalogue.views import measures_of
from kit.errors import RequestError, listed
from kit.measures import PERCENT, Measure
from kit.reading.documents import Strict, read
from kit.reading.values import Name

FILE = "margins.toml"
"""The file of ``manifests/`` that holds them."""
Sentence = Annotated[str, Field(min_length=1, max_length=500)]


class Margin(Strict):
    """The margin of one benchmark, or of one metric of instruction sets, for all of its numbers in one unit."""

    unit: str
    """The unit of its numbers; counts have ``percent``, of the units judged."""
    value: float = Field(gt=0, allow_inf_nan=False)
    """The largest difference that is called none, in the unit; for percent, percentage points."""
    reason: Sentence
    """Reason for this size: the difference that a smaller one could not turn."""
    source: Sentence
    """Source of the number, or the way in which it was computed."""


class MarginsFile(Strict):
    """The file ``manifests/margins.toml``: the margin of each benchmark, never of a single cell."""

    schema_: int = Field(alias="schema")
    margins: dict[Name, Margin] = Field(min_length=1)


def read_margins(folder: Path | None = None) -> Mapping[str, Margin]:
    """Return the margin of each benchmark that has one, by its name.

    Raises:
        RequestError: the file can't be read, names no benchmark or metric, or has a unit that none of its numbers has.
    """
    found = read(MarginsFile, (folder or manifests_folder()) / FILE, FILE).margins
    known = dict.fromkeys([*registry.names("benchmarks"), *registry.names("metrics")])
    for name, margin in found.items():
        look_up(known, name, f"{FILE}: margins", "benchmark or metric")
        units = dict.fromkeys(map(unit_of, measures_of(name).values()))
        if margin.unit not in units:
            wanted = listed(unit or "no unit" for unit in units)
            raise RequestError(f"{FILE}: margins.{name}.unit: found {margin.unit!r}; its numbers are in {wanted}")
    return found


def unit_of(measure: Measure) -> str:
    """Return the unit in which a measure has its margin: its own; for a count percent, of the units judged."""
    return PERCENT if measure.kind == "count" else measure.unit


def margin_of(margins: Mapping[str, Margin], benchmark: str, measure: Measure, n: int) -> float | None:
    """Return a benchmark's margin for one of its numbers, in the number's unit; None where it has none in this unit.

    Args:
        margins: all margins by benchmark.
        benchmark: the benchmark's or metric's name.
        measure: the number's measure; a count has its share of the ``n`` units judged.
        n: units behind the number.
    """
    margin = margins.get(benchmark)
    if margin is None or margin.unit != unit_of(measure):
        return None
    return margin.value * n / 100 if measure.kind == "count" else margin.value
