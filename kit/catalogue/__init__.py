"""The catalogue looks up models, data sets, scales, experiments and tables of the manifests by name."""

import hashlib
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from kit.catalogue.entries import Dataset, DatasetsFile, Model, ModelsFile
from kit.catalogue.experiments import Experiment, ExperimentsFile, with_repeats
from kit.catalogue.manifest import UserManifest, ViewFile
from kit.catalogue.scales import Scale
from kit.catalogue.served import Served
from kit.errors import RequestError, did_you_mean, one_line, shown
from kit.reading.documents import read

ROOT = Path(__file__).resolve().parents[2]
Value = TypeVar("Value")
LONGEST_STACK_CHAIN = 8
"""Most models of which each is made from the next one's layers."""


def manifests_folder() -> Path:
    """Return ``manifests/`` of this checkout, or its copy inside an installed package.

    Raises:
        RequestError: there is neither.
    """
    for folder in (ROOT / "manifests", ROOT / "kit" / "manifests"):
        if folder.is_dir():
            return folder
    raise RequestError(f"no manifests/ beside {ROOT}; run the kit from its checkout")


@dataclass(frozen=True)
class Catalogue:
    """Everything that the manifests give a name; each file is read when it is first asked for."""

    folder: Path
    user: UserManifest | None = None
    """The user's own manifest, whose names come before those of ``folder``."""
    user_folder: Path | None = None
    """Folder in which relative paths of the user's manifest start."""
    where: str = ""
    """Name of the user's manifest in messages."""
    files: dict[str, Dataset] = field(default_factory=dict)
    """Data files that a command names, by their paths."""
    servers: Mapping[str, Served] = field(default_factory=dict)
    """Models that a server answers for out of a file that a command names (``where``)."""
    repeats: int = 1
    """Number of training seeds of each experiment: its own, and the numbers that follow the last of them."""
    manifests: dict[str, str] = field(default_factory=dict, compare=False)
    """Each manifest that was read, by its path below ``folder`` (the user's own by its name) -> its sha256."""

    def note(self, path: Path) -> Path:
        """Note a manifest with the sha256 of its bytes, and return its path; what is no plain file is not noted."""
        inside = path.is_relative_to(self.folder)
        name = path.relative_to(self.folder).as_posix() if inside else one_line(path.name)
        with suppress(OSError):
            if path.is_file():
                self.manifests[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        return path

    @cached_property
    def models(self) -> Mapping[str, Model]:
        """Return all models by name; the user's replace those of ``models.toml`` that have the same name."""
        own = self.user.models if self.user else {}
        return {**read(ModelsFile, self.note(self.folder / "models.toml")).models, **own}

    @cached_property
    def served(self) -> Mapping[str, Served]:
        """Return all models that a server answers for, by name; the user's replace those of ``models.toml``.

        Raises:
            RequestError: one has the name of a model with weights.
        """
        file = read(ModelsFile, self.folder / "models.toml")
        own = {**(self.user.served if self.user else {}), **self.servers}
        found = {**file.served, **own}
        if both := sorted(set(found) & set(self.models)):
            where = self.where if both[0] in {*own, *(self.user.models if self.user else ())} else "models.toml"
            raise RequestError(
                f"{where}: served.{both[0]}: a model of that name has weights of its own; give one of the two another "
                "name"
            )
        return found

    @cached_property
    def datasets(self) -> Mapping[str, Dataset]:
        """Return all data sets by name; the user's replace those of ``datasets.toml`` that have the same name."""
        own = self.user.datasets if self.user else {}
        return {**read(DatasetsFile, self.note(self.folder / "datasets.toml")).datasets, **own}

    @cached_property
    def experiments(self) -> Mapping[str, Experiment]:
        """Return all experiments by id: those of every file of ``experiments/``, and the user's.

        Raises:
            RequestError: two experiments of the kit, or two of the user's, have the same id.
        """
        found: dict[str, Experiment] = {}
        for path in sorted((self.folder / "experiments").glob("*.toml")):
            for experiment in read(ExperimentsFile, self.note(path)).experiment:
                if experiment.id in found:
                    raise RequestError(f"{path.name}: experiment id {experiment.id!r} stands twice")
                found[experiment.id] = experiment
        if self.user:
            counts = Counter(experiment.id for experiment in self.user.experiment)
            if repeated := [id for id, count in counts.items() if count > 1]:
                raise RequestError(f"{self.where}: experiment: the id {repeated[0]!r} stands twice; ids must differ")
            found |= {experiment.id: experiment for experiment in self.user.experiment}
        return {id: with_repeats(experiment, self.repeats) for id, experiment in found.items()}

    def scale(self, name: str) -> Scale:
        """Return the scale with this name; raises RequestError if there is none."""
        return read(Scale, self.note(self._path("scales", name, "scale")))

    def table(self, name: str) -> ViewFile:
        """Return the view of a table, which is named by its number (``2``) or its file (``table-2``)."""
        return read(ViewFile, self.note(self._path("tables", f"table-{name}" if name.isdigit() else name, "table")))

    def names(self, kind: str) -> list[str]:
        """Return the file names in ``scales`` or ``tables``, without the ending."""
        return sorted(path.stem for path in (self.folder / kind).glob("*.toml"))

    def model(self, name: str, where: str) -> Model:
        """Return the model with this name; ``where`` is the manifest and key that name it, for messages."""
        return look_up(self.models, name, where, "model")

    def dataset(self, name: str, where: str) -> Dataset:
        """Return the data set with this name; a file that a command names has its path as its name."""
        return self.files[name] if name in self.files else look_up(self.datasets, name, where, "data set")

    def check_stack(self, name: str, where: str) -> None:
        """Check that a stacked model's layers exist in the model that they are taken from.

        Args:
            name: a model that is stacked from another model's layers.
            where: the manifest, for messages.

        Raises:
            RequestError: the other model has fewer layers, or is itself made from this one.
        """
        chain = [name]
        while (stack := self.model(chain[-1], where).stack) is not None:
            key = f"{where}: models.{chain[-1]}.stack"
            if stack.model in chain:
                names = " is made from ".join([*chain, stack.model])
                raise RequestError(f"{key}: {names}, which is itself; name other layers")
            if len(chain) == LONGEST_STACK_CHAIN:
                raise RequestError(f"{key}: {len(chain)} models, each made from the next; name the last one's layers")
            other = self.model(stack.model, f"{key}.model")
            if (highest := max(stack.indices())) >= other.layers:
                found = f"found {highest}, and {stack.model} has layers 0 to {other.layers - 1}"
                raise RequestError(f"{key}.layers: {found}")
            chain.append(stack.model)

    def _path(self, kind: str, name: str, noun: str) -> Path:
        """Return the path of a file of ``scales`` or ``tables``; raises RequestError if there is none."""
        known = self.names(kind)
        if name not in known:
            raise RequestError(f"no {noun} named {shown(name)}{did_you_mean(name, known)}")
        return self.folder / kind / f"{name}.toml"


def look_up(values: Mapping[str, Value], name: str, where: str, noun: str) -> Value:
    """Return ``values[name]``; a name that is not there is an error.

    Args:
        values: what is looked up, by name.
        name: the name.
        where: manifest and key that name it, for messages.
        noun: what a value is called in messages.

    Raises:
        RequestError: there is no such name; the message has the most similar one.
    """
    if name not in values:
        raise RequestError(f"{where}: no {noun} named {shown(name)}{did_you_mean(name, values)}")
    return values[name]


def lock_hash(environment: str) -> str:
    """Return the sha256 of ``requirements/<environment>.txt``, which stands for the environment in jobs' keys.

    Raises:
        RequestError: the file is missing.
    """
    path = ROOT / "requirements" / f"{environment}.txt"
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RequestError(f"no lock for the environment {environment!r}: {path} is missing") from error
