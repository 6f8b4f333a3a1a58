"""Ask a model that a server answers for: each question once, within the budget, every reply kept.

A reply is kept under the hash of what was asked (:mod:`kit.judges.replies`), what a request may cost is set aside before
it is sent (:mod:`kit.judges.budget`), and failures that may pass are waited for (:mod:`kit.judges.pacing`). So a run
that was killed goes on where it was: it asks nothing again whose reply had come, and spends no more than is left.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from kit.catalogue.served import Served
from kit.engines import Request, Sampling
from kit.records import Row

Progress = Callable[[int, int, int], None]
"""Takes the questions answered so far, their number, and the tokens of the replies so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply(Row):
    """A server's reply to one request; or the reason why there is none that can be read."""

    id: str
    """Id of the request."""
    text: str
    """The whole reply, thoughts included; empty where there is none."""
    model: str
    """Name of the model, as the server reports it."""
    prompt_tokens: int
    """Length of the question, tokens; 0 where the server does not say."""
    tokens: int
    """Length of the reply, tokens; 0 where the server does not say."""
    finish_reason: str
    """Reason why the reply ended, as in :class:`~kit.records.Completion`."""
    reason: str = ""
    """Reason why the question is unanswered; empty where it is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """One model that a server answers for, with the name that a manifest gives it."""

    name: str
    entry: Served

    def key_params(self) -> dict[str, Any]:
        """Return what a job's key holds of it: the model's name. Where it is asked changes no reply that is kept."""
        return {"model": self.entry.model}

    def to_source(self) -> dict[str, Any]:
        """Return it as JSON values, for ``resources["source"]`` of a job: not in the key, and no key is in it."""
        return {"name": self.name, "entry": self.entry.model_dump(mode="json")}

    @classmethod
    def from_source(cls, source: Mapping[str, Any]) -> "ServerSettings":
        """Return the settings that :meth:`to_source` wrote."""
        return cls(name=source["name"], entry=Served.model_validate(source["entry"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The most that some requests can cost, each asked once."""

    questions: int
    """Number of different questions."""
    tokens: int
    """Most tokens of questions and replies."""
    money: Decimal | None
    """Most money; None without prices."""


def estimate(requests: Sequence[Request], sampling: Sampling, server: ServerSettings) -> Estimate:
    """Return the most that requests can cost: no text has more tokens than bytes, no reply more than its limit."""
    raise NotImplementedError


def ask(
    requests: Sequence[Request], sampling: Sampling, server: ServerSettings, replies: Path, progress: Progress
) -> list[Reply]:
    """Ask a server, and return one reply for each request, in the order of the requests.

    Args:
        requests: chats whose last turn is the user's.
        sampling: settings for drawing the next token.
        server: the server.
        replies: folder that outlives the job, with a file for each reply.
        progress: is told how far it is.

    Raises:
        RequestError: the key's variable is not set, or the budget does not suffice.
        KitError: the server can't be reached or refuses, or the budget is reached; what was answered is kept.
    """
    raise NotImplementedError
