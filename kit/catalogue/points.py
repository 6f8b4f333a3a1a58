"""Points: a value for each axis of an experiment, and the setting that is decided by it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from pydantic import ValidationError

from kit.catalogue.axes import Coordinates, coordinates_text, value_text
from kit.catalogue.manifest import Experiment, Setting
from kit.errors import RequestError, did_you_mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of an experiment; stages plan their jobs at points."""

    experiment: Experiment | None
    """None where options of a command decide every field, and no manifest."""
    at: Coordinates
    """axis -> value, for each field of the experiment that is a list."""
    setting: Setting
    """Every field decided: by the experiment, by the axes, by what their values bring along."""
    benchmark: str = ""
    """Benchmark that the point's model is tested on; empty before one is chosen."""

    @property
    def name(self) -> str:
        """Return how messages name the point's experiment."""
        return f"experiment {self.experiment.id!r}" if self.experiment else "options"

    def on(self, benchmark: str) -> "Point":
        """Return the point with a benchmark that its model is tested on."""
        return replace(self, benchmark=benchmark)

    def after_round(self, round: int) -> "Point":
        """Return the point as it is after another round, all other fields as they are here."""
        return replace(self, setting=self.setting.model_copy(update={"round": round}))

    def replace(self, **changes: Any) -> "Point":
        """Return the point with other values on some axes.

        Raises:
            RequestError: the experiment has no such axis, or no such value there.
        """
        if self.experiment is None:
            raise RequestError(f"{', '.join(changes)}: no axis; options decide one point alone")
        return make_point(self.experiment, {**self.at, **changes}).on(self.benchmark)

    def along(self, axis: str) -> "list[Point]":
        """Return a point for each value that the experiment has on an axis, whatever a table shows of them."""
        if self.experiment is None or axis not in self.at:
            return [self]
        return [self.replace(**{axis: value}) for value in self.experiment.values(axis)]


def make_point(experiment: Experiment, at: Coordinates) -> Point:
    """Return the point of an experiment that has these values.

    Raises:
        RequestError: an axis has no value or one that the experiment does not have, or the values don't fit together.
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
    """Yield every combination of the axes' values; the last axis changes first."""
    for values in product(*axes.values()):
        yield dict(zip(axes, values, strict=True))
