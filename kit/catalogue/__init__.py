"""The manifests as one thing to look names up in: models, data sets, scales, experiments, tables."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from kit.catalogue.manifest import (
    Dataset,
    DatasetsFile,
    Experiment,
    ExperimentsFile,
    Model,
    ModelsFile,
    Scale,
    UserManifest,
    ViewFile,
)
from kit.errors import RequestError, did_you_mean, shown
from kit.reading.documents import read

ROOT = Path(__file__).resolve().parents[2]
Value = TypeVar("Value")
MOST_STACKED = 8
"""Models that may be made from each other, one after the other; one would do."""


def manifests_folder() -> Path:
    """``manifests/`` of this checkout, or the copy inside an installed package."""
    for folder in (ROOT / "manifests", ROOT / "kit" / "manifests"):
        if folder.is_dir():
            return folder
    raise RequestError(f"no manifests/ beside {ROOT}; run the kit from its checkout")


@dataclass(frozen=True)
class Catalogue:
    """Every name, read when first asked for."""

    folder: Path
    user: UserManifest | None = None
    """A user's own manifest, whose names come before the tree's."""
    user_folder: Path | None = None
    """Where its relative paths start."""
    where: str = ""
    """How messages name the user's manifest."""
    files: dict[str, Dataset] = field(default_factory=dict)
    """Files that a command names, by their paths."""

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Models by name: those of ``models.toml``, and the user's own before them."""
        own = self.user.models if self.user else {}
        return {**read(ModelsFile, self.folder / "models.toml").models, **own}

    @cached_property
    def datasets(self) -> Mapping[str, Dataset]:
        """``datasets.toml`` and the user's."""
        own = self.user.datasets if self.user else {}
        return {**read(DatasetsFile, self.folder / "datasets.toml").datasets, **own}

    @cached_property
    def experiments(self) -> Mapping[str, Experiment]:
        """Every file of ``experiments/``, and the user's."""
        found: dict[str, Experiment] = {}
        for path in sorted((self.folder / "experiments").glob("*.toml")):
            for experiment in read(ExperimentsFile, path).experiment:
                if experiment.id in found:
                    raise RequestError(f"{path.name}: experiment id {experiment.id!r} stands twice")
                found[experiment.id] = experiment
        if self.user:
            own = Counter(experiment.id for experiment in self.user.experiment)
            if twice := [id for id, count in own.items() if count > 1]:
                raise RequestError(f"{self.where}: experiment: the id {twice[0]!r} stands twice; ids must differ")
            found |= {experiment.id: experiment for experiment in self.user.experiment}
        return found

    def scale(self, name: str) -> Scale:
        """A scale by name."""
        path = self._named("scales", name, "scale")
        return read(Scale, path)

    def table(self, name: str) -> ViewFile:
        """A table's view by its number (``2``) or name (``table-2``)."""
        return read(ViewFile, self._named("tables", f"table-{name}" if name.isdigit() else name, "table"))

    def names(self, kind: str) -> list[str]:
        """File names of ``scales`` or ``tables``, without the ending."""
        return sorted(path.stem for path in (self.folder / kind).glob("*.toml"))

    def model(self, name: str, where: str) -> Model:
        """A model by name; ``where`` is the manifest and key that asks."""
        return look_up(self.models, name, where, "model")

    def dataset(self, name: str, where: str) -> Dataset:
        """A data set by name; a file that a command names goes by its path."""
        return self.files[name] if name in self.files else look_up(self.datasets, name, where, "data set")

    def check_stack(self, name: str, where: str) -> None:
        """Refuse layers that are not there: the other model has fewer, or is made from this one.

        Args:
            name: a model that is stacked from another's layers.
            where: the manifest, for messages.

        Raises:
            RequestError: they are not there.
        """
        chain = [name]
        while (stack := self.model(chain[-1], where).stack) is not None:
            key = f"{where}: models.{chain[-1]}.stack"
            if stack.model in chain:
                names = " is made from ".join([*chain, stack.model])
                raise RequestError(f"{key}: {names}, which is itself; name other layers")
            if len(chain) == MOST_STACKED:
                raise RequestError(f"{key}: {MOST_STACKED} models, each made from the next; name the last one's layers")
            other = self.model(stack.model, f"{key}.model")
            if (highest := max(stack.indices())) >= other.layers:
                found = f"found {highest}, and {stack.model} has layers 0 to {other.layers - 1}"
                raise RequestError(f"{key}.layers: {found}")
            chain.append(stack.model)

    def _named(self, kind: str, name: str, noun: str) -> Path:
        known = self.names(kind)
        if name not in known:
            raise RequestError(f"no {noun} named {shown(name)}{did_you_mean(name, known)}")
        return self.folder / kind / f"{name}.toml"


def look_up(values: Mapping[str, Value], name: str, where: str, noun: str) -> Value:
    """``values[name]``, or an error that says where the name stands and which one was meant."""
    if name not in values:
        raise RequestError(f"{where}: no {noun} named {shown(name)}{did_you_mean(name, values)}")
    return values[name]


def lock_hash(environment: str) -> str:
    """sha256 of ``requirements/<environment>.txt``: how an environment enters a key."""
    path = ROOT / "requirements" / f"{environment}.txt"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"no lock for the environment {environment!r}: {path} is missing") from error
