"""Strict types of scales: who plays each role, numbers of rows, engine, training and hardware."""

from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from pydantic import Field

from kit.catalogue.axes import with_optional_fields
from kit.catalogue.experiments import Sft
from kit.catalogue.options import ScaleOptions
from kit.reading.documents import Strict
from kit.reading.values import MOST_BATCH, MOST_EPOCHS, Devices, Gib, Name, Rows, Title, Tokens


class SeedRows(Strict):
    """Rows of a data set that are used as a seed set."""

    dataset: str
    rows: Rows | None = None
    """Number of rows, counted from the first; all by default."""
    name: Name | None = None
    """First part of its rows' ids, its own name by default; two seed sets of one name and the same rows share jobs."""


class BenchmarkRows(Strict):
    """Problems of a data set that are used as a benchmark, with their prompts and grading protocol."""

    dataset: str
    rows: Rows | None = None
    protocol: Literal["paper", "default"]
    prompts: Literal["kit", "opencompass", "paper", "followbench"]
    max_tokens: Tokens
    judge: Name | None = None
    """The paper's model that judges the answers, or the name of a model; the cast says who plays it."""
    judge_by: Literal["text", "labels"] = "text"
    """``text``: the judge writes a reply, which is read; ``labels``: the label that it finds likeliest is taken."""
    judge_max_tokens: Tokens = 2048
    """A judge's reply is cut after so many tokens; one that is asked for labels writes none."""


class MetricRows(Strict):
    """Rows of an instruction set that a metric scores, and the metric's settings."""

    rows: Rows | None = None
    """Number of rows, counted from the first; all by default."""
    max_tokens: Tokens = 2048
    """A longer row is not scored; a judge's reply is cut after so many tokens."""
    prompts: Literal["kit", "paper"] | None = None
    """Source of the words that a judge is asked in; the scale's by default."""
    judge_by: Literal["text", "labels"] = "text"
    """``text``: the judge writes a reply, which is read; ``labels``: the label that it finds likeliest is taken."""
    options: dict[Name, str | float | bool] = Field(default_factory=dict)
    """Options of the metric, in the place of its defaults."""


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


if TYPE_CHECKING:
    PartialSft: TypeAlias = Strict
else:
    PartialSft = with_optional_fields(Sft, "Tuning")


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
    metrics: dict[Name, MetricRows] = Field(default_factory=dict)
    """Metrics of instruction sets that are not computed with the defaults at this scale."""
    engine: EngineSpec
    training: Training
    chat: ChatFormat
    hardware: Hardware
    tensor_parallel: dict[Name, Annotated[int, Field(gt=0, le=1024)]] = Field(default_factory=dict)
    """Model -> number of GPUs over which it is split; 1 by default."""
    tuning: dict[Name, PartialSft] = Field(default_factory=dict)
    """The paper's name of a base model -> hyperparameters that it is tuned with at this scale, in the place of the
    experiment's: an adapter, for instance, where the hardware does not hold the training of every weight."""
    limits: Limits = Limits()
    scenarios: dict[Name, ScaleOptions] = Field(default_factory=dict)
    """Scenario -> options that it has at this scale, whatever an experiment says."""
