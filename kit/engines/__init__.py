"""Engines, which compute text. An engine is a file of this folder with an ``open`` that returns an :class:`Engine`."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

from kit.errors import RequestError
from kit.records import Completion, Row, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Settings for drawing the next token."""

    temperature: float = 0.0
    """0 is greedy."""
    top_p: float = 1.0
    """Nucleus: the smallest set of tokens with this probability."""
    max_tokens: int = 2048
    """A text is cut here, with ``finish_reason`` ``length``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One chat that an engine is to continue."""

    id: str
    """The row's; the completion carries it back."""
    turns: tuple[Turn, ...]
    """The chat. A last turn by the assistant is continued where it stops; else a new assistant turn is opened."""
    seed: int
    """Seed of this request alone, so that no row's text depends on which rows run beside it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """Settings that an engine is opened with; all can change an output byte, so all are in the job's key."""

    name: str = "vllm"
    """The engine: a file of ``kit/engines``."""
    dtype: str = "bfloat16"
    """``float32`` where the CPU has no bf16 units, else ``bfloat16``."""
    max_model_len: int = 4096
    """Prompt and text together, tokens; a longer prompt gets an empty text."""
    tensor_parallel: int = 1
    """GPUs that share one model."""
    max_num_seqs: int = 256
    """Requests computed side by side."""
    batch_invariant: bool = False
    """vLLM's mode in which a text does not depend on the batch it is computed in (GPU only)."""
    gpu_memory_share: float = 0.9
    """Part of each GPU's memory that the engine may take."""
    lora_rank: int = 0
    """Largest rank of the adapters that it can answer with; 0: it answers with the model alone."""


ADAPTER_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM makes room for."""


def adapter_room(rank: int, where: str) -> int:
    """Return the ``lora_rank`` of an engine that answers with an adapter of this rank; near ranks share a start.

    Args:
        rank: the adapter's.
        where: the key, file or folder that asks for it, for messages.

    Raises:
        RequestError: no engine takes an adapter of so large a rank.
    """
    for room in ADAPTER_RANKS:
        if rank <= room:
            return room
    raise RequestError(
        f"{where}: an adapter of rank {rank:,}, and engines answer with rank {ADAPTER_RANKS[-1]} at most; lower the "
        "rank, or merge the adapter into its base"
    )


def check_room(adapter: Path, rank: int, settings: EngineSettings) -> None:
    """Refuse an adapter that an engine was not opened for.

    Raises:
        RequestError: its rank is larger than ``lora_rank``.
    """
    if rank > settings.lora_rank:
        raise RequestError(
            f"{adapter}: an adapter of rank {rank}, and the engine was opened with lora_rank {settings.lora_rank}; "
            f"open it with {adapter_room(rank, str(adapter))}"
        )


TOO_LONG = "too_long"
"""``finish_reason`` of a request whose prompt leaves no room for a token: an empty text, and no model was asked."""


def unanswered(request: Request, prompt_tokens: int) -> Completion:
    """The completion of a request whose prompt leaves no room; one long row does not end the job of all others."""
    return Completion(id=request.id, text="", prompt_tokens=prompt_tokens, finish_reason=TOO_LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCompletion(Row):
    """A completion with the probability of each of its tokens."""

    completion: Completion
    probabilities: tuple[float, ...] = ()
    """Probability of each token of the text when it was chosen, 0 to 1, the token that ended the text included; of all
    tokens there are, at temperature 1 and without ``top_p``, whatever the text was drawn with. At temperature 0 it is
    the largest there was. Empty where no token was written."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """Make a row from a decoded JSON object, with the completion and the probabilities as they were.

        Raises:
            RequestError: a field is missing, or one is not known.
        """
        found = super(ScoredCompletion, cls).from_json(value, where)
        completion = Completion.from_json(value["completion"], where)
        return replace(found, completion=completion, probabilities=tuple(found.probabilities))


Progress = Callable[[int, int], None]
"""Called with (rows done so far, tokens written so far) while an engine works."""


class Engine(Protocol):
    """A loaded model that continues chats."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return the engine, version, device and dtype that run; they are recorded beside the rows.

        So are the CPU threads, which set the order of sums and with it last bits, and which no key holds.
        """
        ...

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[Completion]:
        """One completion a request, in the order of the requests.

        Where a prompt leaves no room for a token within ``max_model_len``, :func:`unanswered`'s.

        Raises:
            RequestError: a chat template refuses a row's turns.
        """
        ...

    def generate_with_probabilities(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[ScoredCompletion]:
        """Return the completions of :meth:`generate`, each with the probability of every token that was chosen.

        Raises:
            RequestError: as :meth:`generate`.
        """
        ...

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """For each (context, continuation): ln p of every token of the continuation after the context, nats."""
        ...

    def with_adapter(self, adapter: Path) -> "Engine":
        """Return this model with a PEFT adapter beside its weights; many adapters share one engine start.

        What comes back holds no weights of its own: it can be used until this engine is closed. Chats are written in
        the words of the adapter's folder where it has a tokenizer. This engine itself answers as before.

        Args:
            adapter: folder with adapter_config.json and adapter_model.safetensors.

        Raises:
            RequestError: the folder holds no adapter for this model, or one of a larger rank than ``lora_rank``.
        """
        ...

    def swap(self, model: Path) -> bool:
        """Take the weights of another model of the same shape, if the engine can; text is as after a fresh start.

        Returns:
            ``False``: it can't, and nothing has changed; close this engine and open one of the other model.
        """
        ...

    def close(self) -> None:
        """Give back memory; the engine can't be used afterwards."""
        ...


class Opener(Protocol):
    """Interface of a file in ``kit/engines``: the names that its module must define."""

    VERSION: int

    def open(self, model: Path, settings: EngineSettings) -> Engine:
        """Load the model of a folder (config.json, tokenizer, safetensors)."""
        ...


def request_seed(seed: int, *names: object) -> int:
    """31 bits of sha256 over the seed and the names (stage, round, row id): no row's text depends on its neighbours."""
    text = "/".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:4], "big") >> 1
