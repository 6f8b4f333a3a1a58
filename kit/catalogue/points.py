"""Points of an experiment: each has one value on every axis, and the setting that follows from these values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from kit.catalogue.axes import Coordinates, coordinates_text, value_text
from kit.catalogue.experiments import NO_SELECTION, Experiment, Setting
from kit.errors import RequestError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of an experiment, at which stages plan their jobs."""

    experiment: Experiment | None
    """The experiment; None where a command's options decide every field, and no manifest."""
    at: Coordinates
    """axis -> value, for each field of the experiment that is a list."""
    setting: Setting
    """The value of every field: from the experiment, from the axes, and from ``by``."""
    benchmark: str = ""
    """Benchmark on which the point's model is tested, or metric that scores its rows; empty before one is chosen."""
    evolvers: tuple[str, ...] = ()
    """Evolvers that a command's options name, where there are several."""

    @property
    def name(self) -> str:
        """Return the name of the point's experiment for messages."""
        return f"experiment {self.experiment.id!r}" if self.experiment else "options"

    def with_benchmark(self, benchmark: str) -> "Point":
        """Return the point with a benchmark on which its model is tested, or a metric that scores its rows."""
        return replace(self, benchmark=benchmark)

    def with_round(self, round: int) -> "Point":
        """Return the point with another round of evolution, and all other fields unchanged."""
        return replace(self, setting=self.setting.model_copy(update={"round": round}))

    def without_selection(self) -> "Point":
        """Return the point of all the pairs of which this one's are a selected part."""
        changes = {"selection": NO_SELECTION, "kept_fraction": 1.0}
        return replace(self, setting=self.setting.model_copy(update=changes))

    def replace(self, **changes: Any) -> "Point":
        """Return the point of the same experiment that has other values on some axes.

        Raises:
            RequestError: the experiment has no such axis, or no such value on it.
        """
        if self.experiment is None:
            raise RequestError(f"{', '.join(changes)}: no axis; options decide one point alone")
        return make_point(self.experiment, {**self.at, **changes}).with_benchmark(self.benchmark)

    def of_evolver(self, name: str) -> "Point":
        """Return the point of one of the evolvers that options name."""
        return replace(self, at={"evolver": name}, setting=self.setting.model_copy(update={"evolver": name}))

    def along(self, axis: str) -> "list[Point]":
        """Return a point for each value that the experiment has on an axis, also for values that no table shows."""
        if self.experiment is None and axis == "evolver" and self.evolvers:
            return [self.of_evolver(name) for name in self.evolvers]
        if self.experiment is None or axis not in self.at:
            return [self]
        return [self.replace(**{axis: value}) for value in self.experiment.values(axis)]


def make_point(experiment: Experiment, at: Coordinates) -> Point:
    """Return the point of an experiment at these coordinates.

    Raises:
        RequestError: an axis has no value, a value that the experiment does not have, or values that contradict each
            other.
    """
    axes = experiment.axes()
    if set(at) != set(axes):
        raise RequestError(f"experiment {experiment.id!r}: wanted a value for {', '.join(axes)}; found {', '.join(at)}")
    for axis, value in at.items():
        if value not in (known := experiment.values(axis)):
            close = did_you_mean(value_text(value), map(value_text, known))
            raise RequestError(f"experiment {experiment.id!r}: {axis} has no value {value_text(value)!r}{close}")
    try:
        setting = experiment.setting(at)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        raise RequestError(
            f"experiment {experiment.id!r}, {coordinates_text(at)}: {f'{place}: ' if place else ''}{message}"
        ) from error
    return Point(experiment=experiment, at=dict(at), setting=setting)


def product_of(axes: Mapping[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of the axes' values; the value on the last axis changes fastest."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))
