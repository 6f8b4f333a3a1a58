"""A judge that the engine runs: asked for a reply that is read, or for the likelihood of each label."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.engines import TOO_LONG, Engine, EngineSettings
from kit.judges import request
from kit.records import Question, Verdict

if TYPE_CHECKING:
    from kit.engines._chat import Chat

AT_ONCE = 32
"""Questions whose labels are scored together, before the progress is told."""


def by_labels(
    questions: Sequence[Question],
    engine: Engine,
    chat: "Chat",
    progress: Callable[[int, int], None],
) -> list[Verdict]:
    """Return for each question the label that the judge is likeliest to begin its reply with.

    Compared are the probabilities of the whole labels, as an assistant's turn after the question's chat. No label is
    the start of another, so these are probabilities of things that exclude each other, whatever their lengths. Of
    labels that are equally likely the first wins. A model too small to write a readable reply answers this way.

    Args:
        questions: what is asked.
        engine: the judge.
        chat: its tokenizer and template.
        progress: told how many questions are done, and how many there are.

    Raises:
        RequestError: the template refuses a chat; see :meth:`kit.engines._chat.Chat.prompts`.
    """
    verdicts: list[Verdict] = []
    for first in range(0, len(questions), AT_ONCE):
        verdicts += _likeliest(questions[first : first + AT_ONCE], engine, chat)
        progress(len(verdicts), len(questions))
    return verdicts


def _likeliest(questions: Sequence[Question], engine: Engine, chat: "Chat") -> list[Verdict]:
    """Return the verdicts of some questions, whose labels are scored in one call of the engine."""
    contexts = [chat.rendered(request(question)) for question in questions]
    lengths = [_tokens(chat, context) for context in contexts]
    # The engine wants room for one token more than it scores.
    room = [
        length + max(_tokens(chat, label) for label in question.labels) < chat.max_model_len
        for question, length in zip(questions, lengths, strict=True)
    ]
    rows = list(zip(questions, contexts, lengths, room, strict=True))
    pairs = [(context, label) for question, context, _, fits in rows if fits for label in question.labels]
    scores = iter([sum(values) for values in engine.loglikelihood(pairs)] if pairs else [])
    verdicts = []
    for question, _, length, fits in rows:
        found = {label: next(scores) for label in question.labels} if fits else {}
        label = max(found, key=found.__getitem__) if found else ""  # of equals the first
        verdicts.append(
            Verdict(id=question.id, label=label, prompt_tokens=length, finish_reason="" if fits else TOO_LONG)
        )
    return verdicts


def _tokens(chat: "Chat", text: str) -> int:
    """Return the length of a text in tokens."""
    return len(chat.tokenizer(text, add_special_tokens=False)["input_ids"])


def open_chat(model: Path, settings: EngineSettings) -> "Chat":
    """Return the chat of a judge's folder, whose template writes what its labels follow.

    Raises:
        RequestError: the folder is no model, or has no chat template.
    """
    from kit.engines._chat import load_chat
    from kit.models.folder import require_chat_template

    require_chat_template(model)
    return load_chat(model, settings.max_model_len, engine=settings.name)
