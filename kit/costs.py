"""What a job is expected to cost, from the manifests' sizes (:mod:`kit.estimate` has the formulas)."""

from collections.abc import Mapping
from typing import Any

from kit.catalogue import Catalogue
from kit.manifest import Model, Scale


def writing(catalogue: Catalogue, scale: Scale, name: str, rows: int, max_tokens: int) -> dict[str, Any]:
    return {}


def answering(catalogue: Catalogue, scale: Scale, name: str, rows: int, max_tokens: int) -> dict[str, Any]:
    return {}


def tuning(catalogue: Catalogue, scale: Scale, model: Model, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def storing(model: Model) -> dict[str, Any]:
    return {}
