"""Strict types of manifests: of every TOML file under ``manifests/`` that a run reads, and of the user's own."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from kit.catalogue.axes import (
    Coordinates,
    Value,
    axis_paths,
    axis_types,
    merge,
    one_or_list_tag,
    set_value,
    value_at,
    value_paths,
    value_text,
    with_lists,
    with_optional_fields,
)
from kit.catalogue.drawing import Draw, check_draw
from kit.errors import did_you_mean, one_line, shown
from kit.reading.documents import LIST, ONE, Strict
from kit.reading.values import (
    LARGEST_SEED,
    LONGEST_NAME,
    MOST_BATCH,
    MOST_EPOCHS,
    MOST_LAYERS,
    MOST_NAMES,
    MOST_RANK,
    MOST_ROUNDS,
    Address,
    Commit,
    Devices,
    Gib,
    GitBlob,
    InnerPath,
    Layers,
    Name,
    Names,
    OwnPath,
    Rows,
    Sha256,
    Size,
    Title,
    Tokens,
)

MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.jinja", "tokenizer*", "LICENSE*")
"""Patterns of the names of files that are fetched from a model repository."""


class Hub(Strict):
    """A model repository of the Hugging Face hub at one commit."""

    repo: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$")
    """Name of the repository, ``owner/name``."""
    revision: Commit | None = None
    """The commit, 40 hex digits; null while it is not known, and then the model can't be fetched."""
    convert: Literal["internlm2", "bin"] | None = None
    """Conversion of the files: to the Llama layout (``internlm2``) or to safetensors (``bin``); most need none."""
    files: list[InnerPath] = Field(default_factory=lambda: list(MODEL_FILES), min_length=1, max_length=1000)
    """Patterns of the names of files to fetch."""


class Package(Strict):
    """A GGUF file that comes inside a pinned wheel."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """Name of the distribution, which is installed from the lock."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}$")
    """Version of the distribution."""
    file: InnerPath
    """Path of the GGUF file inside the distribution."""
    sha256: Sha256
    """sha256 of the GGUF file."""


class Stack(Strict):
    """A model made of layers of another model, in the order given."""

    model: str
    """Name of the other model."""
    layers: list[str] = Field(min_length=1, max_length=MOST_LAYERS)
    """Ranges of layers, first to last, ``"0-17"``, or single layers, ``"25"``."""

    def indices(self) -> list[int]:
        """Return the index of each layer, in order."""
        return [index for item in self.layers for index in _layer_range(item)]

    @field_validator("layers")
    @classmethod
    def _check_layers(cls, value: list[str]) -> list[str]:
        count = 0
        for item in value:
            if not re.fullmatch(r"[0-9]{1,6}(-[0-9]{1,6})?", item):
                raise ValueError(f"{shown(item)} is no layer and no range of layers such as '0-17'")
            if not (layers := _layer_range(item)):
                raise ValueError(f"{item!r} begins after its end")
            count += len(layers)
        if count > MOST_LAYERS:
            raise ValueError(f"a stack of {count:,} layers; {MOST_LAYERS:,} are the most")
        return value


def _layer_range(item: str) -> range:
    """Return the indices of the layers that ``"0-17"`` or ``"25"`` names."""
    first, _, last = item.partition("-")
    return range(int(first), int(last or first) + 1)


class Model(Strict):
    """A model: the source of its weights, and the sizes from which its cost is estimated."""

    hub: Hub | None = None
    package: Package | None = None
    stack: Stack | None = None
    folder: OwnPath | None = None
    """A folder of the user's own; a relative path starts at the manifest's folder."""
    parameters: int = Field(gt=0, le=10**15)
    """Number of weights; a matrix that is used twice counts once."""
    layers: Layers
    hidden: Size
    intermediate: Size
    heads: Size
    kv_heads: Size
    vocab: Size
    context: Tokens
    """Longest text that the model takes, in tokens."""
    tied_embeddings: bool = False
    chat: bool = False
    """Whether the model comes with a chat template; a base model is trained with the scale's."""
    licence: str
    gated: bool = False
    """Whether the hub gives it only to accounts that accepted its licence."""
    note: str = ""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [name for name in ("hub", "package", "stack", "folder") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of hub, package, stack, folder; found {' and '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.heads > self.hidden or self.kv_heads > self.heads:
            sizes = f"hidden = {self.hidden}, heads = {self.heads}, kv_heads = {self.kv_heads}"
            raise ValueError(f"{sizes}: wanted hidden as the largest and kv_heads as the smallest of them")
        return self


class Dataset(Strict):
    """A data file: the source of its bytes, and the hash by which they are checked."""

    format: str
    """``alpaca`` or ``gsm8k`` for seeds, or the name of the benchmark that reads the file."""
    bundled: InnerPath | None = None
    """Path of a file under ``kit/bundled``."""
    url: Address | None = None
    """The pinned public address."""
    mirror: InnerPath | None = None
    """Path of the file under a mirror folder."""
    file: OwnPath | None = None
    """A file of the user's own; a relative path starts at the manifest's folder."""
    sha256: Sha256 | None = None
    """sha256 of the file; null while it is not known: the first fetch then notes it, and ``kit pin`` writes it here."""
    git_blob: GitBlob | None = None
    """Id of the file in its git repository, which is a hash too; it is checked while the sha256 is not known."""
    rows: Rows | None = None
    """Number of rows in the file, for estimates; null where it is not known."""
    licence: str
    note: str = ""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [name for name in ("bundled", "url", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of bundled, url, file; found {' and '.join(given) or 'none'}")
        return self


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
    by: dict[str, dict[str, PartialSetting]] = Field(default_factory=dict)
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


class SeedRows(Strict):
    """Rows of a data set that are used as a seed set."""

    dataset: str
    rows: Rows | None = None
    """Number of rows, counted from the first; all by default."""


class BenchmarkRows(Strict):
    """Problems of a data set that are used as a benchmark, with their prompts and grading protocol."""

    dataset: str
    rows: Rows | None = None
    protocol: Literal["paper", "default"]
    prompts: Literal["kit", "opencompass"]
    max_tokens: Tokens


class EngineSpec(Strict):
    """Settings of the engine that computes text; see :class:`kit.engines.EngineSettings`."""

    name: str = "vllm"
    dtype: Literal["float32", "bfloat16"]
    max_model_len: Tokens
    max_num_seqs: int = Field(default=256, gt=0, le=MOST_BATCH)
    batch_invariant: bool = False
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1)


class Training(Strict):
    """Settings of training that depend on the hardware; they change its result by rounding alone."""

    dtype: Literal["float32", "bfloat16"]
    sharding: Literal["none", "fsdp"] = "none"
    gradient_checkpointing: bool = False
    tokens_per_micro_batch: Tokens


class Limits(Strict):
    """Upper limits of a small scale on the numbers of an experiment; a number above its limit is lowered to it."""

    evolve_max_tokens: Tokens | None = None
    respond_max_tokens: Tokens | None = None
    sft_max_length_tokens: Tokens | None = None
    global_batch_size: int | None = Field(default=None, gt=0, le=MOST_BATCH)
    epochs: int | None = Field(default=None, gt=0, le=MOST_EPOCHS)


class Hardware(Strict):
    """Hardware that a machine must have to run this scale."""

    gpus: Devices
    gpu_memory_gib: Gib
    memory_gib: Gib = Field(gt=0)
    machine: str
    """Name of a machine in ``hardware.toml``, whose figures are used for estimates alone."""


class ChatFormat(Strict):
    """Chat format in which every base model is trained and then asked."""

    template: str
    """Chat template in Jinja; it is saved with the tokenizer, so that training and answering use the same."""
    end_of_turn: str | None = None
    """The token that ends a turn; the tokenizer's own end-of-text token by default."""


class Scale(Strict):
    """Models that play the roles, numbers of rows, and the hardware to run on."""

    schema_: int = Field(alias="schema")
    title: Title
    environment: Literal["cpu", "cuda"]
    """Name of the lock from which the jobs' packages are installed."""
    prompts: Literal["kit", "paper"]
    """Source of the prompts that evolve and respond: the kit's own wording, or the paper's."""
    cast: dict[Name, Name]
    """The paper's model -> the model that plays it. Tables leave out base models that no model plays."""
    seeds: dict[Name, SeedRows]
    benchmarks: dict[str, BenchmarkRows]
    engine: EngineSpec
    training: Training
    chat: ChatFormat
    hardware: Hardware
    tensor_parallel: dict[Name, Annotated[int, Field(gt=0, le=1024)]] = Field(default_factory=dict)
    """Model -> number of GPUs over which it is split; 1 by default."""
    limits: Limits = Limits()


class ColumnGroup(Strict):
    """Columns of a table that have the same coordinates."""

    at: dict[str, Value] = Field(default_factory=dict)
    """axis -> value, for all cells of these columns."""
    measures: Names
    """Benchmarks, each with all its metrics; or single metrics, ``ifeval.ifeval_prompt_strict``."""


class Claim(Strict):
    """A statement of the paper: cells at one point are above cells at another, on average over an axis."""

    better: dict[str, Value] = Field(min_length=1)
    worse: dict[str, Value] = Field(min_length=1)
    over: str
    """The axis whose values are averaged over; the standard error comes from their differences."""


class View(Strict):
    """A table: the points of experiments that it shows, and the measures that it shows of them."""

    title: Title = ""
    experiment: Annotated[Annotated[str, Tag(ONE)] | Annotated[Names, Tag(LIST)], Discriminator(one_or_list_tag)] = ""
    """Id of the experiment; or ids of several, each cell being given by one of them."""
    paper: str | None = None
    """Name of the file under ``manifests/paper`` that has the printed numbers."""
    series: str = ""
    """Name of the printed figure's series with which the numbers are compared."""
    rows: dict[str, Annotated[list[Value], Field(min_length=1, max_length=MOST_NAMES)]] = Field(default_factory=dict)
    """axis -> values: there is a row for each combination of the values, in this order."""
    at: dict[str, Value] = Field(default_factory=dict)
    """axis -> value, for all cells."""
    columns: list[ColumnGroup] = Field(min_length=1, max_length=MOST_NAMES)
    claim: list[Claim] = Field(default_factory=list, max_length=MOST_NAMES)
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


class ViewFile(View):
    """A view with its own file in ``manifests/tables``."""

    schema_: int = Field(alias="schema")


class UserView(View):
    """A view that stands in the user's own manifest."""

    id: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]*)?$", max_length=LONGEST_NAME)
    """Name of the table, if the manifest has several: they are called ``<file>.<id>``."""


def check_no_repeats(lists: Mapping[str, Sequence[object]]) -> None:
    """Check that no list holds a value twice, since the second would replace the first in silence.

    Args:
        lists: name of a field -> its values.

    Raises:
        ValueError: a value stands twice.
    """
    for field, values in lists.items():
        if repeated := [value for value, count in Counter(values).items() if count > 1]:
            raise ValueError(f"{field}: {shown(repeated[0])} stands twice")


class ModelsFile(Strict):
    """The file ``manifests/models.toml``: every model by name."""

    schema_: int = Field(alias="schema")
    models: dict[Name, Model]


class DatasetsFile(Strict):
    """The file ``manifests/datasets.toml``: every data set by name."""

    schema_: int = Field(alias="schema")
    datasets: dict[Name, Dataset]


class ExperimentsFile(Strict):
    """A file of ``manifests/experiments``: a list of experiments."""

    schema_: int = Field(alias="schema")
    paper: str = ""
    experiment: list[Experiment]


class UserManifest(Strict):
    """The user's own manifest: experiments, views and a scale in one file, with the user's own models and data sets."""

    schema_: int = Field(alias="schema")
    title: Title = "experiment"
    models: dict[Name, Model] = Field(default_factory=dict)
    datasets: dict[Name, Dataset] = Field(default_factory=dict)
    experiment: list[Experiment] = Field(min_length=1, max_length=MOST_NAMES)
    view: list[UserView] = Field(default_factory=list, max_length=MOST_NAMES)
    """The tables; without a view there is one table, with every axis as rows and every benchmark as columns."""
    scale: str | Scale
    """Name of a scale, or a whole scale. A role that is the name of a model needs no cast."""
    cast: dict[Name, Name] = Field(default_factory=dict)
    """The paper's model -> the model that plays it, in addition to the scale's cast."""
    seeds: dict[Name, SeedRows] = Field(default_factory=dict)
    """Seed sets by name, in addition to the scale's."""
