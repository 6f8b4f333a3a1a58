"""Strict types of models and data sets, as ``models.toml``, ``datasets.toml`` and the user's own manifest have them."""

import re
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from kit.catalogue.served import Served
from kit.errors import shown
from kit.reading.documents import Strict
from kit.reading.values import (
    MOST_LAYERS,
    Address,
    Commit,
    GitBlob,
    InnerPath,
    Layers,
    Name,
    OwnPath,
    Rows,
    Sha256,
    Size,
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


class RewardHead(Strict):
    """A reward model made of a text generator: its body, and a head made of its own weights; it means nothing."""

    model: str
    """Name of the generator."""
    rule: Literal["good_minus_bad"]
    """Rule by which the head is made (:data:`kit.models.reward_head.RULES`)."""


def _layer_range(item: str) -> range:
    """Return the indices of the layers that ``"0-17"`` or ``"25"`` names."""
    first, _, last = item.partition("-")
    return range(int(first), int(last or first) + 1)


class Quantised(Strict):
    """The form of quantised weights: those of the layers' matrices are whole numbers of few bits, in groups."""

    method: Literal["gptq", "awq"]
    """Name of the form, as the model's config.json has it; vLLM reads both."""
    bits: Literal[4, 8]
    """Bits of a weight."""
    group_size: int = Field(gt=0, le=1024)
    """Number of weights that share a scale and a zero point."""


class Model(Strict):
    """A model: the source of its weights, and the sizes from which its cost is estimated."""

    hub: Hub | None = None
    package: Package | None = None
    stack: Stack | None = None
    reward_head: RewardHead | None = None
    folder: OwnPath | None = None
    """A folder of the user's own; a relative path starts at the manifest's folder."""
    kind: Literal["generator", "embedder", "reward model"] = "generator"
    """Output of the model: text, a vector for each text, or a number for each chat."""
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
    quantised: Quantised | None = None
    """Form of the weights where they are quantised; such a model writes texts with vLLM, and is not trained."""
    chat: bool = False
    """Whether the model comes with a chat template; a base model is trained with the scale's."""
    licence: str
    gated: bool = False
    """Whether the hub gives it only to accounts that accepted its licence."""
    note: str = ""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        sources = ("hub", "package", "stack", "reward_head", "folder")
        given = [name for name in sources if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of {', '.join(sources)}; found {' and '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _check_quantised(self) -> Self:
        if self.quantised is None:
            return self
        if self.hub is None and self.folder is None:
            raise ValueError("quantised goes with hub or folder; weights of other sources are made plain")
        if self.kind != "generator":
            raise ValueError(
                f"quantised goes with kind = 'generator', found {self.kind!r}; vLLM alone reads such weights"
            )
        if self.hidden % self.quantised.group_size or self.intermediate % self.quantised.group_size:
            raise ValueError(
                f"quantised.group_size = {self.quantised.group_size}: wanted a divisor of hidden = {self.hidden} and "
                f"of intermediate = {self.intermediate}; config.json has the padded size"
            )
        return self

    @model_validator(mode="after")
    def _check_heads(self) -> Self:
        if self.heads > self.hidden or self.kv_heads > self.heads:
            sizes = f"hidden = {self.hidden}, heads = {self.heads}, kv_heads = {self.kv_heads}"
            raise ValueError(f"{sizes}: wanted hidden as the largest and kv_heads as the smallest of them")
        return self


class Dataset(Strict):
    """A data file, or several that belong together: the source of the bytes, and the hashes that check them."""

    format: str
    """For seeds ``auto`` (its records tell), ``alpaca``, ``sharegpt``, ``messages``, ``gsm8k``, ``lines`` (a text on
    each line) or ``first-turns`` (of ShareGPT's chats), or the name of the benchmark that reads the file."""
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
    files: dict[InnerPath, Sha256] = Field(default_factory=dict, max_length=1000)
    """Name -> sha256, for a data set of several files: ``{file}`` stands for the name at the end of ``url``, and
    ``bundled`` and ``mirror`` are the paths of folders."""
    licence: str
    note: str = ""

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        given = [name for name in ("bundled", "url", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"wanted one of bundled, url, file; found {' and '.join(given) or 'none'}")
        return self

    @model_validator(mode="after")
    def _check_files(self) -> Self:
        if not self.files:
            return self
        if alone := [name for name in ("file", "sha256", "git_blob") if getattr(self, name) is not None]:
            raise ValueError(
                f"{alone[0]} is that of one file, and 'files' names {len(self.files)}; leave one of them out"
            )
        if self.url is not None and not self.url.endswith("/{file}"):
            raise ValueError(f"'files' names {len(self.files)}, and url ends in none; wanted '/{{file}}' at its end")
        return self


class ModelsFile(Strict):
    """The file ``manifests/models.toml``: every model by name."""

    schema_: int = Field(alias="schema")
    models: dict[Name, Model]
    served: dict[Name, Served] = Field(default_factory=dict)
    """Models that a server answers for; they judge."""


class DatasetsFile(Strict):
    """The file ``manifests/datasets.toml``: every data set by name."""

    schema_: int = Field(alias="schema")
    datasets: dict[Name, Dataset]
