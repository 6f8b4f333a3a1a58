"""Fit an experiment's settings to a scale: other tuning of some bases, and models whose weights are quantised."""

from dataclasses import replace
from typing import Any

from pydantic import ValidationError

from kit.catalogue.axes import merge
from kit.catalogue.entries import Model
from kit.catalogue.experiments import Sft
from kit.catalogue.points import Point
from kit.catalogue.scales import Scale
from kit.errors import RequestError, shown


def changes_of_tuning(scale: Scale, base: str) -> dict[str, Any]:
    """Return the hyperparameters that a scale has for a base model, by the paper's name; empty where it has none."""
    return scale.tuning[base].model_dump(exclude_unset=True) if base in scale.tuning else {}


def tuned_point(point: Point, scale: Scale, where: str) -> Point:
    """Return a point whose base is tuned with the scale's hyperparameters in the place of the experiment's.

    Raises:
        RequestError: the two contradict each other.
    """
    setting = point.setting
    changes = changes_of_tuning(scale, setting.base)
    if not changes:
        return point
    document = setting.sft.model_dump()
    merge(document, changes)
    return replace(point, setting=setting.model_copy(update={"sft": _sft(document, f"{where}: tuning.{setting.base}")}))


def _sft(document: dict[str, Any], where: str) -> Sft:
    """Return the hyperparameters of a document.

    Raises:
        RequestError: they contradict each other.
    """
    try:
        return Sft.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([where, *map(str, first["loc"])])
        raise RequestError(f"{place}: {first['msg'].removeprefix('Value error, ')}") from error


def check_trainable(name: str, model: Model, where: str) -> None:
    """Check that a base model has weights that can be trained.

    Raises:
        RequestError: they are quantised.
    """
    if model.quantised:
        raise RequestError(
            f"{where}: {name} is to be tuned, and its weights are quantised ({form(model)}); wanted a model of 16- or "
            "32-bit floats: let another one play the base"
        )


def check_scorer(name: str, model: Model, where: str) -> None:
    """Check that a model that scores rows has weights that transformers reads.

    Raises:
        RequestError: they are quantised.
    """
    if model.quantised:
        raise RequestError(
            f"{where}: {name} is to score rows, which transformers does, and its weights are quantised "
            f"({form(model)}); wanted a model of 16- or 32-bit floats: let another one play the scorer"
        )


def check_engine(name: str, model: Model, scale: Scale, where: str) -> None:
    """Check that the scale's engine reads a model's weights.

    Raises:
        RequestError: they are quantised, and the engine is another one than vLLM, or computes in fp32.
    """
    if model.quantised and scale.engine.name != "vllm":
        raise RequestError(
            f"{where}: {name}'s weights are quantised ({form(model)}), and the engine is {shown(scale.engine.name)}; "
            "wanted engine.name = 'vllm', which alone reads them"
        )
    if model.quantised and scale.engine.dtype != "bfloat16":
        raise RequestError(
            f"{where}: {name}'s weights are quantised ({form(model)}), and the engine computes in "
            f"{scale.engine.dtype}; wanted engine.dtype = 'bfloat16': vLLM multiplies such weights by 16-bit numbers"
        )


def form(model: Model) -> str:
    """Return the form of quantised weights in words: ``gptq, 4 bits in groups of 128``."""
    found = model.quantised
    return f"{found.method}, {found.bits} bits in groups of {found.group_size}" if found else "not quantised"
