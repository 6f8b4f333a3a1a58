"""A judge that the engine runs, asked for the likelihood of each label; for a reply, it is asked as any model is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.engines import TOO_LONG, Engine, EngineSettings
from kit.judges.verdicts import request
from kit.records import Question, Verdict

if TYPE_CHECKING:
    from kit.engines._chat import Chat

RULE = "above-mean-1"
"""Name of the rule of :func:`by_labels`, for a job's parameters."""
AT_ONCE = 32
"""Questions whose labels are scored together, before the progress is told."""
UNLIKELIEST = -1e4
"""A likelihood as low as is told apart, nats; one that is minus infinity has no distance from a mean."""


ROUNDING = 1e-9
"""Nats by which equal values may differ once a mean is taken from them; likelihoods that differ, differ by far more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Likelihoods that a judge gives the labels of one question."""

    likelihoods: tuple[float, ...]
    """ln p of each label, nats, in the question's order; none for a question that is too long to be asked."""
    prompt_tokens: int
    """Length of the question, tokens."""


def score_labels(
    questions: Sequence[Question], engine: Engine, chat: "Chat", progress: Callable[[int, int], None]
) -> list[Scored]:
    """Return for each question how likely the judge is to begin its reply with each label.

    Args:
        questions: what is asked.
        engine: the judge.
        chat: its tokenizer and template.
        progress: told how many questions are done, and how many there are.

    Raises:
        RequestError: the template refuses a chat; see :meth:`kit.engines._chat.Chat.prompts`.
    """
    found: list[Scored] = []
    for first in range(0, len(questions), AT_ONCE):
        found += _scored(questions[first : first + AT_ONCE], engine, chat)
        progress(len(found), len(questions))
    return found


def _scored(questions: Sequence[Question], engine: Engine, chat: "Chat") -> list[Scored]:
    """Return the likelihoods of some questions' labels, which are scored in one call of the engine."""
    contexts = [chat.rendered(request(question)) for question in questions]
    lengths = [_tokens(chat, context) for context in contexts]
    # The engine wants room for one token more than it scores.
    fits = [
        length + max(_tokens(chat, label) for label in question.labels) < chat.max_model_len
        for question, length in zip(questions, lengths, strict=True)
    ]
    asked = [
        (context, question.labels) for question, context, fit in zip(questions, contexts, fits, strict=True) if fit
    ]
    pairs = [(context, label) for context, labels in asked for label in labels]
    sums = iter([max(UNLIKELIEST, math.fsum(values)) for values in engine.loglikelihood(pairs)] if pairs else [])
    return [
        Scored(likelihoods=tuple(next(sums) for _ in question.labels) if fit else (), prompt_tokens=length)
        for question, length, fit in zip(questions, lengths, fits, strict=True)
    ]


def _tokens(chat: "Chat", text: str) -> int:
    """Return the length of a text in tokens."""
    return len(chat.tokenizer(text, add_special_tokens=False)["input_ids"])


def by_labels(questions: Sequence[Question], scored: Sequence[Scored]) -> list[Verdict]:
    """Return for each question the label whose likelihood is highest above its mean over all questions of a job.

    A small model finds one label likelier than the others whatever it is asked about; that much of it is in the mean,
    and what is left comes from the question (Zhou et al., "Batch Calibration", arXiv 2309.17249). Compared are the
    probabilities of whole labels, none of which is the start of another. Of equals the first wins; a question whose
    labels no other has gets the likeliest. A model too small to write a reply that can be read answers in this way.

    Args:
        questions: all that the job asks: the mean is theirs, so that ranks must not share them out here.
        scored: their likelihoods, in order.
    """
    means = _means(questions, scored)
    verdicts = []
    for question, one in zip(questions, scored, strict=True):
        above = [value - mean for value, mean in zip(one.likelihoods, means[question.labels], strict=False)]
        verdicts.append(
            Verdict(
                id=question.id,
                label=question.labels[_highest(above)] if above else "",
                prompt_tokens=one.prompt_tokens,
                finish_reason="" if above else TOO_LONG,
            )
        )
    return verdicts


def _highest(values: Sequence[float]) -> int:
    """Return the place of the highest value; of those that rounding alone may tell apart, of the first."""
    return next(place for place, value in enumerate(values) if value >= max(values) - ROUNDING)


def _means(questions: Sequence[Question], scored: Sequence[Scored]) -> Mapping[tuple[str, ...], list[float]]:
    """Return labels -> the mean likelihood of each, over the questions that have them; 0 where only one was asked."""
    groups: dict[tuple[str, ...], list[tuple[float, ...]]] = {}
    for question, one in zip(questions, scored, strict=True):
        groups.setdefault(question.labels, []).extend([one.likelihoods] if one.likelihoods else [])
    return {
        labels: [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]
        if len(rows) > 1
        else [0.0] * len(labels)
        for labels, rows in groups.items()
    }


def open_chat(model: Path, settings: EngineSettings) -> "Chat":
    """Return the chat of a judge's folder, whose template writes what its labels follow.

    Raises:
        RequestError: the folder is no model, or has no chat template.
    """
    from kit.engines._chat import load_chat
    from kit.models.folder import require_chat_template

    require_chat_template(model)
    return load_chat(model, settings.max_model_len, engine=settings.name)
