"""Strict types of experiments: a setting with one value in each field, and an experiment in which some are lists."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from kit.catalogue.axes import (
    Coordinates,
    axis_paths,
    axis_types,
    check_no_repeats,
    coordinates_text,
    merge,
    quotation_marks,
    set_value,
    value_at,
    value_paths,
    value_text,
    with_lists,
    with_optional_fields,
)
from kit.catalogue.options import ScenarioOptions
from kit.errors import did_you_mean, one_line, shown
from kit.reading.documents import Strict
from kit.reading.values import (
    LARGEST_SEED,
    LONGEST_NAME,
    MOST_BATCH,
    MOST_EPOCHS,
    MOST_NAMES,
    MOST_RANK,
    MOST_ROUNDS,
    Tokens,
)


class SamplingSpec(Strict):
    """Sampling parameters of a model's texts, and their greatest length."""

    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: Tokens


class Lora(Strict):
    """Sizes of a LoRA adapter: low-rank matrices that are trained while the model's own weights are frozen."""

    rank: int = Field(gt=0, le=MOST_RANK)
    alpha: int = Field(gt=0, le=MOST_RANK)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Sft(Strict):
    """Hyperparameters of supervised fine-tuning; ``docs/deviations.md`` gives the reason for each choice."""

    tuning: Literal["full", "lora"] = "full"
    learning_rate: float = Field(gt=0, le=1)
    epochs: int = Field(gt=0, le=MOST_EPOCHS)
    global_batch_size: int = Field(gt=0, le=MOST_BATCH)
    lr_scheduler: Literal["cosine"] = "cosine"
    warmup_ratio: float = Field(ge=0, lt=1)
    weight_decay: float = Field(default=0.0, ge=0, le=100)
    max_length_tokens: Tokens
    lora: Lora | None = None
    merge: bool = False
    """Whether a LoRA adapter is merged into its base and a whole model is saved, instead of the adapter alone."""

    @model_validator(mode="after")
    def _check_lora(self) -> Self:
        if (self.tuning == "lora") != (self.lora is not None):
            raise ValueError("tuning = 'lora' and the table lora belong together")
        if self.merge and self.lora is None:
            raise ValueError(
                "merge = true goes with tuning = 'lora'; without an adapter the tuned model is whole already"
            )
        return self


NO_SELECTION = "none"
"""Selection that keeps every pair."""
RANDOM_SELECTION = "random"
"""Selection that looks at no score: rows are drawn."""


class Setting(Strict):
    """All choices from which one number of a table follows: each field has one value."""

    scenario: str = ""
    """Name of a file in ``kit/scenarios``; with ``round = 0`` all fields of evolution and responses may be left out."""
    seeds: str
    """Name of a seed set of the scale."""
    evolver: str = ""
    """The paper's name of a model; the scale's cast says which model plays it."""
    responder: str = ""
    base: str
    round: int = Field(default=1, ge=0, le=MOST_ROUNDS)
    """Round of evolution whose instructions are answered and trained on; 0: the seed data with its own responses."""
    breadth: bool = False
    """Whether evolution uses the breadth operator beside the four depth operators."""
    options: ScenarioOptions | None = None
    selection: str = NO_SELECTION
    """Score by which a part of the pairs is kept for training, ``ic_ifd`` for instance; ``random``; or ``none``."""
    kept_fraction: float = Field(default=1.0, gt=0, le=1)
    """Part of the pairs that a selection keeps."""
    against: str = ""
    """Selection of as many pairs, or ``none`` for all of them: answers are compared with those of the model tuned on
    it. Empty for the answers that the benchmark brings; only a benchmark that compares answers takes another value."""
    scorer: str = ""
    """The paper's name of the model whose losses score pairs; the base where it is left out."""
    judge: str = ""
    """The paper's name of the model that judges instructions."""
    embedder: str = ""
    """The paper's name of the model that embeds instructions."""
    rewarder: str = ""
    """The paper's name of the reward model that scores instructions."""
    seed: int = Field(ge=0, le=LARGEST_SEED)
    evolve: SamplingSpec | None = None
    respond: SamplingSpec | None = None
    sft: Sft

    @model_validator(mode="after")
    def _check_round(self) -> Self:
        fields = ("scenario", "evolver", "responder", "evolve", "respond")
        if self.round and (missing := [field for field in fields if not getattr(self, field)]):
            raise ValueError(f"{missing[0]} is missing; it may be left out where round = 0 alone, the seed data")
        return self

    @model_validator(mode="after")
    def _check_selection(self) -> Self:
        if (self.selection == NO_SELECTION) != (self.kept_fraction == 1):
            raise ValueError(
                f"selection = {self.selection!r} and kept_fraction = {self.kept_fraction} do not fit; a selection "
                "keeps less than 1, and without one (selection = 'none') nothing is left out"
            )
        return self

    @model_validator(mode="after")
    def _check_against(self) -> Self:
        if self.against == self.selection:
            raise ValueError(f"against = {self.against!r} is the selection itself; wanted another, or nothing")
        if self.against not in ("", NO_SELECTION) and self.selection == NO_SELECTION:
            raise ValueError(
                f"against = {self.against!r} keeps as many pairs as the selection, and that is 'none', which keeps "
                "all; exchange the two"
            )
        return self

    @property
    def selection_name(self) -> str:
        """Return the selection with its part of the pairs, for the ids of jobs: ``ic_ifd-0.05``; or ``none``."""
        return self.selection if self.selection == NO_SELECTION else f"{self.selection}-{self.kept_fraction:g}"


AXES = axis_paths(Setting)
"""Axis -> its path in a setting."""
AXIS_TYPES = axis_types(Setting)
"""Axis -> the type that checks its values."""
AxisName: TypeAlias = Annotated[str, Field(json_schema_extra={"enum": [*AXES]})]
"""Name of an axis: editors complete it; experiments and views check it themselves, with a message that says where."""
OLD_FIELDS = {"rounds": "round", "train_round": "round"}
"""Fields that experiments had in earlier versions of the kit -> their present names."""

if TYPE_CHECKING:
    SettingWithLists: TypeAlias = Strict
    PartialSetting: TypeAlias = Strict
else:
    SettingWithLists = with_lists(Setting, "Experiment")
    PartialSetting = with_optional_fields(Setting, "By")


class Experiment(SettingWithLists):
    """A setting in which some fields are lists: these fields are its axes, and a point has one value on each."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=LONGEST_NAME)
    by: dict[AxisName, dict[str, PartialSetting]] = Field(default_factory=dict)
    """``by.AXIS.VALUE``: fields that replace the experiment's own where an axis has this value."""
    benchmarks: list[str] = Field(default_factory=list, max_length=MOST_NAMES)
    """Benchmarks that are the columns of the table, if the manifest has no view; a view names its measures itself. If
    several experiments of a view have a cell, the one that lists its benchmark gives it."""

    def axes(self) -> list[str]:
        """Return the fields that are lists, in the order in which a setting has them."""
        return [axis for axis, path in AXES.items() if isinstance(value_at(self, path), list)]

    def values(self, axis: str) -> list[Any]:
        """Return the experiment's values on an axis: the field's list, or its one value."""
        found = value_at(self, AXES[axis])
        return found if isinstance(found, list) else [found]

    @cached_property
    def brought_along(self) -> Mapping[str, list[Any]]:
        """Return the fields that ``by`` sets, each with all values that the experiment has for it."""
        found: dict[str, list[Any]] = {}
        for changes in self.by.values():
            for fields in changes.values():
                for path in value_paths(fields.model_dump(exclude_unset=True)):
                    axis = _axis_at(path)
                    found.setdefault(axis, [*self.values(axis)]).append(value_at(fields, path))
        return found

    def all_values(self, axis: str) -> list[Any]:
        """Return the experiment's values on an axis, and those that other axes bring along for this field."""
        return list(dict.fromkeys(self.brought_along.get(axis, self.values(axis))))

    def setting(self, at: Coordinates) -> Setting:
        """Return the setting at a point.

        Args:
            at: one value for each axis.

        Raises:
            ValidationError: the values, or the fields that ``by`` has for them, contradict each other.
        """
        document = self.model_dump(include=set(Setting.model_fields), exclude_unset=True)
        for axis in self.axes():
            set_value(document, AXES[axis], at[axis])
        for axis, changes in self.by.items():
            value = at[axis] if axis in at else self.values(axis)[0]
            for key, fields in changes.items():
                if _names_value(key, value):
                    merge(document, fields.model_dump(exclude_unset=True))
        return Setting.model_validate(document)

    @model_validator(mode="before")
    @classmethod
    def _refuse_old_fields(cls, document: Any) -> Any:
        for old, new in OLD_FIELDS.items():
            if isinstance(document, dict) and old in document:
                raise ValueError(
                    f"{old} is called {new} now: the round that is trained on, or a list of rounds; "
                    "those before it are planned by themselves"
                )
        return document

    @model_validator(mode="before")
    @classmethod
    def _check_quotation_marks(cls, document: Any) -> Any:
        by = document.get("by") if isinstance(document, dict) else None
        for axis, changes in by.items() if isinstance(by, dict) else ():
            names = [value_text(value) for value in _values_in(document, axis)]
            for key, fields in changes.items() if isinstance(changes, dict) else ():
                if not isinstance(fields, dict):
                    continue
                if f"{axis}.{key}" in AXES:
                    raise ValueError(f"by: {quotation_marks(f'{axis}.{key}')}")
                inner = next((name for name in fields if name not in Setting.model_fields), None)
                if dotted := [name for name in names if name.startswith(f"{key}.{inner}")]:
                    raise ValueError(f"by.{axis}: {quotation_marks(dotted[0])}")
        return document

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        check_no_repeats({**{axis: self.values(axis) for axis in self.axes()}, "benchmarks": self.benchmarks})
        return self

    @model_validator(mode="after")
    def _check_by(self) -> Self:
        changed_by = dict[str, str]()
        for axis, changes in self.by.items():
            if axis not in AXES:
                raise ValueError(f"by.{one_line(axis, 60)}: no such axis{did_you_mean(axis, AXES)}")
            self._check_values_of_by(axis)
            for value, fields in changes.items():
                for path in value_paths(fields.model_dump(exclude_unset=True)):
                    self._check_given_once(f"by.{axis}.{one_line(value, 60)}", axis, path, changed_by)
        return self

    def _check_values_of_by(self, axis: str) -> None:
        """Check that each key of ``by.AXIS`` names a value of the axis, and that no value is named twice."""
        values = self.values(axis)
        named: list[Any] = []
        for key in self.by[axis]:
            found = [value for value in values if _names_value(key, value)]
            if not found:
                close = did_you_mean(key, map(value_text, values))
                raise ValueError(f"by.{axis}: the axis has no value {shown(key)}{close}")
            named += found
        check_no_repeats({f"by.{axis}": named})

    def _check_given_once(self, where: str, axis: str, path: tuple[str, ...], changed_by: dict[str, str]) -> None:
        """Check that a field that a value of an axis brings along has no other value at the same point."""
        field = _axis_at(path)
        if field == axis:
            raise ValueError(f"{where}: {'.'.join(path)} is the axis itself; a value can't bring along another")
        is_axis = isinstance(value_at(self, path), list) or field in self.by
        other = field if is_axis else changed_by.setdefault(field, axis)
        if other != axis:
            raise ValueError(
                f"{where}: {'.'.join(path)} is given twice: it is an axis, or brought along by one, {other}"
            )

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        first = {axis: self.values(axis)[0] for axis in self.axes()}
        changes = [{axis: value} for axis in first for value in self.values(axis)[1:]]
        for at in (first, *({**first, **change} for change in changes)):
            try:
                self.setting(at)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                message = "missing; it has no default" if fault["type"] == "missing" else fault["msg"]
                several = {axis: value for axis, value in at.items() if len(self.values(axis)) > 1}
                place = f" (at {coordinates_text(several)})" if several else ""
                context = {"message": message.removeprefix("Value error, ") + place, "at": fault["loc"]}
                raise PydanticCustomError("setting", "{message}", context) from error
        return self


def _axis_at(path: tuple[str, ...]) -> str:
    """Return the name of the axis that stands at a path of a setting."""
    return next(axis for axis, axis_path in AXES.items() if axis_path == path)


def _values_in(document: Any, axis: str) -> list[Any]:
    """Return the values of an axis in a document that is not checked yet, as many as an axis may have."""
    if axis not in AXES:
        return []
    for part in AXES[axis]:
        document = document.get(part) if isinstance(document, dict) else None
    return document[:MOST_NAMES] if isinstance(document, list) else [document]


def _names_value(key: str, value: Any) -> bool:
    """Return whether a key of ``by`` names a value: ``1e-5`` and ``0.00001`` name one number."""
    if key == value_text(value):
        return True
    try:
        return type(value) in (int, float) and float(key) == value
    except ValueError:
        return False


class ExperimentsFile(Strict):
    """A file of ``manifests/experiments``: a list of experiments."""

    schema_: int = Field(alias="schema")
    paper: str = ""
    experiment: list[Experiment]


def with_repeats(experiment: Experiment, repeats: int) -> Experiment:
    """Return an experiment with so many training seeds at least: its own, and the numbers that follow the last one."""
    seeds = experiment.values("seed")
    more = [seeds[-1] + number for number in range(1, repeats - len(seeds) + 1)]
    return experiment.model_copy(update={"seed": [*seeds, *more]}) if more else experiment
