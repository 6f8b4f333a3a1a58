"""Strict types of experiments: a setting with one value in each field, and an experiment in which some are lists."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from kit.catalogue.axes import (
    Coordinates,
    axis_paths,
    axis_types,
    check_no_repeats,
    merge,
    set_value,
    value_at,
    value_paths,
    value_text,
    with_lists,
    with_optional_fields,
)
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
    """Benchmarks that are the columns of the table, if the manifest has no view; a view names its measures itself."""

    def axes(self) -> list[str]:
        """Return the fields that are lists, in the order in which a setting has them."""
        return [axis for axis, path in AXES.items() if isinstance(value_at(self, path), list)]

    def values(self, axis: str) -> list[Any]:
        """Return the experiment's values on an axis: the field's list, or its one value."""
        found = value_at(self, AXES[axis])
        return found if isinstance(found, list) else [found]

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
            value = value_text(at[axis] if axis in at else self.values(axis)[0])
            if value in changes:
                merge(document, changes[value].model_dump(exclude_unset=True))
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

    @model_validator(mode="after")
    def _check_lists(self) -> Self:
        check_no_repeats({**{axis: self.values(axis) for axis in self.axes()}, "benchmarks": self.benchmarks})
        return self

    @model_validator(mode="after")
    def _check_by(self) -> Self:
        axes, changed_by = set(self.axes()), dict[tuple[str, ...], str]()
        for axis, changes in self.by.items():
            if axis not in AXES:
                raise ValueError(f"by.{one_line(axis, 60)}: no such axis{did_you_mean(axis, AXES)}")
            known = [value_text(value) for value in self.values(axis)]
            for value, fields in changes.items():
                if value not in known:
                    raise ValueError(f"by.{axis}: the axis has no value {shown(value)}{did_you_mean(value, known)}")
                for path in value_paths(fields.model_dump(exclude_unset=True)):
                    field = next(name for name, axis_path in AXES.items() if axis_path == path)
                    other = field if field in axes else changed_by.setdefault(path, axis)
                    if other != axis:
                        raise ValueError(
                            f"by.{axis}.{one_line(value, 60)}: {'.'.join(path)} is given twice: it is an axis, or "
                            f"brought along by one, {other}"
                        )
        return self

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
                context = {"message": message.removeprefix("Value error, "), "at": fault["loc"]}
                raise PydanticCustomError("setting", "{message}", context) from error
        return self


class ExperimentsFile(Strict):
    """A file of ``manifests/experiments``: a list of experiments."""

    schema_: int = Field(alias="schema")
    paper: str = ""
    experiment: list[Experiment]
