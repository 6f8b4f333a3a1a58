"""A judge that the engine runs, asked for the likelihood of each label; for a reply, it is asked as any model is."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from kit.engines import TOO_LONG, Engine, EngineSettings
from kit.judges.verdicts import request
from kit.records import Question, Row, Verdict

if TYPE_CHECKING:
    from kit.engines._chat import Chat

RULE = "above-mean-2"
"""Name of the rule of :func:`by_labels`, for a job's parameters."""
AT_ONCE = 32
"""Questions whose labels are scored together, before the progress is told."""
UNLIKELIEST = -1e4
"""A likelihood as low as is told apart, nats; one that is minus infinity has no distance from a mean."""


ROUNDING = 1e-9
"""Nats by which equal values may differ once a mean is taken from them; likelihoods that differ, differ by far more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored(Row):
    """Likelihoods that a judge gives the labels of one question."""

    likelihoods: tuple[float, ...]
    """ln p of each label, nats, in the question's order; none for a question that is too long to be asked."""
    prompt_tokens: int
    """Length of the question, tokens."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any], where: str = "") -> Self:
        """Make a row from a decoded JSON object, with a tuple where JSON has a list.

        Raises:
            RequestError: a field is missing, or one is not known.
        """
        found = super(Scored, cls).from_json(value, where)
        return replace(found, likelihoods=tuple(found.likelihoods))


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

    Questions of a group ask the same in another order, and such a model's choice hangs on the order: they are answered
    together, by the mean of what each says ("Balanced Position Calibration", Wang et al., arXiv 2305.17926). Where
    they are the same to the letter, as with two equal answers, all get the label of the first.

    Args:
        questions: all that the job asks: the mean is theirs, so that ranks must not share them out here.
        scored: their likelihoods, in order.
    """
    above = _above_means(questions, scored)
    groups: dict[str | int, list[int]] = {}
    for place, question in enumerate(questions):
        groups.setdefault(question.group or place, []).append(place)
    labels: dict[int, str] = {}
    for places in groups.values():
        known = [place for place in places if above[place]]
        labels.update(zip(known, _answers([questions[at] for at in known], [above[at] for at in known]), strict=True))
    return [
        Verdict(
            id=question.id,
            label=labels.get(place, ""),
            prompt_tokens=one.prompt_tokens,
            finish_reason="" if place in labels else TOO_LONG,
        )
        for place, (question, one) in enumerate(zip(questions, scored, strict=True))
    ]


def _answers(questions: Sequence[Question], above: Sequence[Sequence[float]]) -> list[str]:
    """Return the label of each question of a group, or of a question that stands alone."""
    if len({question.turns for question in questions}) < 2:
        return [question.labels[_highest(above[0])] for question in questions[:1]] * len(questions)
    together = [math.fsum(values) / len(values) for values in zip(*above, strict=True)]
    return [question.labels[_highest(together)] for question in questions]


def _highest(values: Sequence[float]) -> int:
    """Return the place of the highest value; of those that rounding alone may tell apart, of the first."""
    return next(place for place, value in enumerate(values) if value >= max(values) - ROUNDING)


def _above_means(questions: Sequence[Question], scored: Sequence[Scored]) -> list[list[float]]:
    """Return how far each label of each question is above its mean over the questions that have the same labels.

    The mean of a question whose labels no other has is 0; a question that is too long has no values.
    """
    found: dict[frozenset[str], list[Mapping[str, float]]] = {}
    for question, one in zip(questions, scored, strict=True):
        if one.likelihoods:
            by_label = dict(zip(question.labels, one.likelihoods, strict=True))
            found.setdefault(frozenset(question.labels), []).append(by_label)
    means = {
        labels: {
            label: math.fsum(by_label[label] for by_label in rows) / len(rows) if len(rows) > 1 else 0.0
            for label in labels
        }
        for labels, rows in found.items()
    }
    return [
        [
            value - means[frozenset(question.labels)][label]
            for label, value in zip(question.labels, one.likelihoods, strict=False)
        ]
        for question, one in zip(questions, scored, strict=True)
    ]


def open_chat(model: Path, settings: EngineSettings) -> "Chat":
    """Return the chat of a judge's folder, whose template writes what its labels follow.

    Raises:
        RequestError: the folder is no model, or has no chat template.
    """
    from kit.engines._chat import load_chat
    from kit.models.folder import require_chat_template

    require_chat_template(model)
    return load_chat(model, settings.max_model_len, engine=settings.name)
