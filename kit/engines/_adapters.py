"""Answers of an engine with a PEFT adapter put beside its weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from kit.engines import EngineSettings, Progress, Request, Sampling, ScoredCompletion, check_room
from kit.engines._chat import Chat, adapter_chat
from kit.models.adapters import adapter_rank, check_plain
from kit.records import Completion

Adapter = TypeVar("Adapter")
"""An adapter as the engine knows it."""
Known_contra = TypeVar("Known_contra", contravariant=True)
"""The same, in an argument."""


class Host(Protocol[Known_contra]):
    """An engine that holds the weights."""

    fingerprint: Mapping[str, Any]

    def answer(
        self,
        chat: Chat,
        adapter: Known_contra | None,
        requests: Sequence[Request],
        sampling: Sampling,
        progress: Progress | None,
        *,
        probabilities: bool = False,
    ) -> list[ScoredCompletion]:
        """Return one completion for each request, in the words of a chat, with an adapter or without.

        Args:
            chat: the chat.
            adapter: None for the model alone.
            requests: the chats to go on with.
            sampling: how tokens are drawn.
            progress: told how far it is.
            probabilities: give those of the tokens too.
        """
        ...

    def score(self, chat: Chat, adapter: Known_contra | None, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """For each (context, continuation): ln p of the continuation's tokens, with an adapter or without."""
        ...

    def with_adapter(self, adapter: Path) -> "AdaptedEngine[Any]":
        """Return the engine's answers with an adapter."""
        ...


class AdaptedEngine(Generic[Adapter]):
    """One adapter of an engine; see :class:`kit.engines.Engine`. The weights, and the memory, are the engine's."""

    def __init__(self, host: Host[Adapter], chat: Chat, adapter: Adapter) -> None:
        self._host = host
        self._chat = chat
        self._adapter = adapter

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return the fingerprint of the engine that the adapter runs in."""
        return self._host.fingerprint

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[Completion]:
        """One completion a request, in the order of the requests."""
        scored = self._host.answer(self._chat, self._adapter, requests, sampling, progress)
        return [row.completion for row in scored]

    def generate_with_probabilities(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[ScoredCompletion]:
        """Return the completions with the probability of each token; see :class:`kit.engines.Engine`."""
        return self._host.answer(self._chat, self._adapter, requests, sampling, progress, probabilities=True)

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """For each (context, continuation): ln p of every token of the continuation after the context, nats."""
        return self._host.score(self._chat, self._adapter, texts)

    def with_adapter(self, adapter: Path) -> "AdaptedEngine[Any]":
        """Return another adapter of the same engine, in the place of this one."""
        return self._host.with_adapter(adapter)

    def swap(self, model: Path) -> bool:
        """It can't: the weights are the engine's."""
        del model
        return False

    def close(self) -> None:
        """Nothing to give back: the weights are the engine's."""


def open_adapter(adapter: Path, base: Chat, settings: EngineSettings) -> Chat:
    """Check an adapter against an engine's model and settings, and return the chat to ask it in.

    Raises:
        RequestError: it is none for this model, of too large a rank, or more than low-rank matrices.
    """
    chat = adapter_chat(adapter, base)
    check_plain(adapter)
    check_room(adapter, adapter_rank(adapter), settings)
    return chat
