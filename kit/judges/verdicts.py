"""From questions and replies to verdicts: what is asked is checked, labels are read, and all is counted."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from kit.catalogue.served import Served
from kit.engines import TOO_LONG, Request, request_seed
from kit.errors import KitError, shown
from kit.judges.thoughts import without_thoughts
from kit.records import Question, Verdict

ReadLabel: TypeAlias = Callable[[Question, str], str]
"""Returns the label that a reply to a question gives, one of the question's unless it is open; empty where none can be
read."""


class Reply(Protocol):
    """Reply of a judge to one question, wherever it was asked: :class:`kit.records.Completion` is one."""

    @property
    def text(self) -> str:
        """Return the whole reply, thoughts and all."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Return the length of the question in tokens."""
        ...

    @property
    def tokens(self) -> int:
        """Return the length of the whole reply in tokens."""
        ...

    @property
    def finish_reason(self) -> str:
        """Return the reason why the reply ended, as in :class:`kit.records.Completion`."""
        ...


class Unanswered(Protocol):
    """A server's reply, as :class:`kit.judges.server.Reply` is one, with the reason if there is none."""

    @property
    def reason(self) -> str:
        """Return the reason why the question is unanswered; empty where it is answered."""
        ...


def check_questions(questions: Sequence[Question], file: str) -> list[Question]:
    """Return questions, each of which has an id of its own, a chat, and labels that can be told apart.

    Args:
        questions: what a judge is to be asked.
        file: the plug-in that asks, for messages: ``benchmarks/alpacafarm.py``.

    Raises:
        KitError: one has not; the plug-in's file is wrong.
    """
    seen: set[str] = set()
    for question in questions:
        where = f"{file}: questions: {shown(question.id)}"
        if question.id in seen:
            raise KitError(f"{where} stands twice; wanted an id for each question, <problem>#<part> for several")
        seen.add(question.id)
        if not question.turns:
            raise KitError(f"{where}: no turn; wanted a chat that asks the judge")
        labels = question.labels
        if len(labels) < 2 or not all(labels):
            raise KitError(f"{where}: found the labels {list(labels)}, wanted two or more, none of them empty")
        for place, one in enumerate(labels):
            if any(other.startswith(one) for other in (*labels[:place], *labels[place + 1 :])):
                raise KitError(f"{where}: the label {one!r} is the start of another; no reply could tell them apart")
    return list(questions)


def request(question: Question) -> Request:
    """Return the request that asks a question; judges are greedy, so that the seed decides nothing here."""
    return Request(id=question.id, turns=question.turns, seed=request_seed(0, "judge", question.id))


def verdict(question: Question, reply: Reply, read_label: ReadLabel, model: str = "") -> Verdict:
    """Return the verdict that a reply gives, read without the judge's thoughts.

    Args:
        question: what was asked.
        reply: what the judge said.
        read_label: the benchmark's, or metric's, way of reading a label.
        model: name of the model as the server reports it; empty for a local one.

    Raises:
        KitError: what is read is a label that the question does not have, and does not leave open.
    """
    text, thoughts = without_thoughts(reply.text)
    label = read_label(question, text) if text.strip() else ""
    if label and label not in question.labels and not question.is_open:
        wanted = ", ".join(question.labels)
        raise KitError(f"question {shown(question.id)}: label: found {shown(label)}, wanted one of {wanted}")
    return Verdict(
        id=question.id,
        label=label,
        text=text,
        model=model,
        prompt_tokens=reply.prompt_tokens,
        tokens=reply.tokens,
        finish_reason=reply.finish_reason,
        thoughts=thoughts,
    )


def counts(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return what is recorded beside verdicts: counts of labels, unreadable replies, models, thoughts and tokens."""
    models: Mapping[str, int] = Counter(one.model for one in verdicts if one.model)
    return {
        "labels": dict(sorted(Counter(one.label for one in verdicts if one.label).items())),
        "unreadable": sum(not one.label for one in verdicts),
        "thoughts": sum(one.thoughts for one in verdicts),
        "models": dict(sorted(models.items())),
        "tokens": sum(one.tokens for one in verdicts),
        "prompt_tokens": sum(one.prompt_tokens for one in verdicts),
        "cut_at_limit": sum(one.finish_reason == "length" for one in verdicts),
        "too_long": sum(one.finish_reason == TOO_LONG for one in verdicts),
    }


def unanswered(replies: Sequence[Unanswered]) -> dict[str, Any]:
    """Return how many questions a server left unanswered, by reason; their verdicts are unreadable."""
    reasons = Counter(reply.reason for reply in replies if reply.reason)
    return {"unanswered": dict(sorted(reasons.items()))}


def money(verdicts: Sequence[Verdict], entry: Served) -> dict[str, float]:
    """Return what the replies cost at a server's prices, each question asked once; nothing where it has no prices."""
    if entry.price_in is None or entry.price_out is None:
        return {}
    millions = [(one.prompt_tokens * entry.price_in + one.tokens * entry.price_out) / 1e6 for one in verdicts]
    return {"money": round(math.fsum(millions), 6)}
