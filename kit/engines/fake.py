"""Answers from a hash of the prompt, for unit tests of what uses an engine; no model, no tokens, no meaning."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.engines import EngineSettings, Progress, Request, Sampling, ScoredCompletion, check_room, unanswered
from kit.errors import RequestError
from kit.records import Completion

VERSION = 1

WORDS = (
    "sea",
    "stone",
    "seven",
    "why",
    "river",
    "sum",
    "green",
    "letter",
    "two",
    "then",
    "houses",
    "write",
    "naïve",
    "海",
)
"""Words that its texts are made of."""


def open(model: Path, settings: EngineSettings) -> "FakeEngine":  # noqa: A001 - the verb that every engine has
    """Make an engine that answers without a model.

    Args:
        model: a path; only its name counts, and it need not exist.
        settings: ``name`` must be ``fake``.

    Raises:
        RequestError: ``settings.name`` is another engine's.
    """
    if settings.name != "fake":
        raise RequestError(
            f"engine 'fake' was opened for settings that name {settings.name!r}; it is for unit tests only"
        )
    return FakeEngine(model.name, settings)


class FakeEngine:
    """See :class:`kit.engines.Engine`. A token is a word."""

    def __init__(self, model: str, settings: EngineSettings, adapter: str = "") -> None:
        self.fingerprint: Mapping[str, Any] = {"engine": "fake"}
        self._base = model
        self._model = f"{model} with {adapter}" if adapter else model
        self._settings = settings

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[Completion]:
        """One completion a request, in the order of the requests."""
        completions: list[Completion] = []
        for request in requests:
            completions.append(self._completion(request, sampling))
            if progress:
                progress(len(completions), sum(completion.tokens for completion in completions))
        return completions

    def generate_with_probabilities(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[ScoredCompletion]:
        """Return the completions, each with a value of 0 to 1 for every word, by the words up to it."""
        return [
            ScoredCompletion(completion=completion, probabilities=self._probabilities(completion.text.split()))
            for completion in self.generate(requests, sampling, progress)
        ]

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        """A value below 0 for every word of the continuation."""
        return [
            [
                -(1 + _digest([self._model, context, place, word])[0]) / 64
                for place, word in enumerate(continuation.split())
            ]
            for context, continuation in texts
        ]

    def with_adapter(self, adapter: Path) -> "FakeEngine":
        """Answer from another hash; only the adapter's name counts, and it need not exist."""
        check_room(adapter, 1, self._settings)
        return FakeEngine(self._base, self._settings, adapter.name)

    def swap(self, model: Path) -> bool:
        """It can't: a new start costs as little."""
        del model
        return False

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""

    def _probabilities(self, words: Sequence[str]) -> tuple[float, ...]:
        return tuple((1 + _digest([self._model, words[: place + 1]])[0]) / 256 for place in range(len(words)))

    def _completion(self, request: Request, sampling: Sampling) -> Completion:
        length = sum(len(turn.content.split()) for turn in request.turns)
        if (room := self._settings.max_model_len - length) < 1:
            return unanswered(request, length)
        draws = [sampling.temperature, sampling.top_p]
        seed = request.seed if sampling.temperature else 0  # a greedy text has no seed
        turns = [[turn.role, turn.content] for turn in request.turns]
        noise = _digest([self._model, turns, draws, seed])
        words = [WORDS[byte % len(WORDS)] for byte in noise[1 : 4 + noise[0] % 28]]
        kept = words[: min(room, sampling.max_tokens)]
        return Completion(
            id=request.id,
            text=" ".join(kept),
            prompt_tokens=length,
            tokens=len(kept),
            finish_reason="stop" if len(kept) == len(words) else "length",
        )


def _digest(value: Any) -> bytes:
    """32 bytes that are always the same for the same value."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8")).digest()
