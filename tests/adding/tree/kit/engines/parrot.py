"""An engine in one file: it says what it was told last."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.engines import EngineSettings, Progress, Request, Sampling, ScoredCompletion, unanswered
from kit.records import Completion

VERSION = 1


class Parrot:
    """See :class:`kit.engines.Engine`. A token is a word."""

    def __init__(self, settings: EngineSettings) -> None:
        self.fingerprint: Mapping[str, Any] = {"engine": "parrot"}
        self._settings = settings

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[Completion]:
        found = [self._completion(request, sampling) for request in requests]
        if progress:
            progress(len(found), sum(completion.tokens for completion in found))
        return found

    def generate_with_probabilities(
        self, requests: Sequence[Request], sampling: Sampling, progress: Progress | None = None
    ) -> list[ScoredCompletion]:
        return [
            ScoredCompletion(completion=found, probabilities=(1.0,) * found.tokens)
            for found in self.generate(requests, sampling, progress)
        ]

    def loglikelihood(self, texts: Sequence[tuple[str, str]]) -> list[list[float]]:
        return [[-1.0 for _ in continuation.split()] for _, continuation in texts]

    def swap(self, model: Path) -> bool:
        return False

    def with_adapter(self, adapter: Path) -> "Parrot":
        return self

    def close(self) -> None:
        pass

    def _completion(self, request: Request, sampling: Sampling) -> Completion:
        words = request.turns[-1].content.split()
        length = sum(len(turn.content.split()) for turn in request.turns)
        if (room := self._settings.max_model_len - length) < 1:
            return unanswered(request, length)
        kept = words[: min(room, sampling.max_tokens)]
        return Completion(
            id=request.id,
            text=" ".join(kept),
            prompt_tokens=length,
            tokens=len(kept),
            finish_reason="stop" if len(kept) == len(words) else "length",
        )


def open(model: Path, settings: EngineSettings) -> Parrot:  # noqa: A001  # the verb that every engine has
    return Parrot(settings)
