"""Mean losses of questions and responses: L(Q) and L(A|Q) from one pass over both, L(A) from one over the response."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.files.texts import HALF
from kit.models import check_model_folder, check_weights, embedding_rows, load_causal_lm, load_tokenizer
from kit.models.settings import read_config
from kit.records import Pair
from kit.scoring.batches import TokenRow
from kit.scoring.boundaries import EncodedPair, check_boundary, check_tokenizer, encode, question_text
from kit.scoring.losses import LossModel

WINDOW = 1024
"""Rows whose tokens are in memory at a time, so that memory does not grow with the rows."""

NO_QUESTION = "the instruction is empty"
NO_RESPONSE = "the response is empty"
HALF_CHARACTER = "a text holds half a character, which no tokenizer takes"
UNKNOWN_TOKEN = "a token that the model has no embedding for"
TOO_LONG = "longer than the model or the limit takes"
UNSCORED_QUESTION = "no token of the instruction is predicted, as there is none before it"
UNSCORED_RESPONSE = "no token of the response is predicted, as there is none before it"
NOT_FINITE = "a loss is not finite"
ZERO = "a loss is 0, so that nothing can be divided by it"


@dataclass(frozen=True, slots=True, kw_only=True)
class PairLosses:
    """Mean losses of one pair in nats a token, or the reason why it has none."""

    question: float = math.nan
    """L(Q): of the question's tokens, the first left out, as nothing predicts it. NaN in a row without losses."""
    answer_given_question: float = math.nan
    """L(A|Q): of the response's tokens after the question, the line break before them included."""
    answer: float = math.nan
    """L(A): of the response's tokens on their own, the first left out."""
    question_tokens: int = 0
    """Tokens of the joint text before the boundary, special tokens included; 0 where nothing was split into tokens."""
    answer_tokens: int = 0
    """Tokens of the joint text from the boundary on."""
    skipped: str = ""
    """Reason why the pair has no losses; empty where it has some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringSettings:
    """Settings that losses of pairs are computed with; all but the last can change one."""

    dtype: str = "float32"
    """Type of the model's body; the head computes from fp32 operands."""
    boundary: str = "authors"
    """One of :data:`kit.scoring.boundaries.BOUNDARIES`."""
    max_tokens: int = 0
    """Most tokens of question and response together; 0 for as many as the model was made for."""
    tokens_per_batch: int | None = None
    """Most tokens of a batch; by default what suits the device. It moves last digits alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoringModel:
    """A model that is ready to score pairs: its tokenizer and what it knows."""

    losses: LossModel
    """The model itself."""
    tokenizer: Any
    """transformers' tokenizer."""
    longest: int | None
    """Tokens that the model was made for; None where its config.json does not tell."""
    embedding_rows: int | None
    """Token ids that it knows, 0 up to but without this one; None where the folder does not tell."""
    fingerprint: Mapping[str, Any]
    """Packages, device, type and threads that compute."""


def open_model(folder: Path, settings: ScoringSettings) -> ScoringModel:
    """Load a model to score with, and try it out on two short rows; no code from the folder is run.

    Args:
        folder: config.json, tokenizer and safetensors.
        settings: the type, and the boundary that the tokenizer has to know.

    Raises:
        RequestError: the folder is no model, it treats its logits in an unknown way, the boundary is not known, or the
            tokenizer can't give it.
    """
    check_boundary(settings.boundary, str(folder))
    check_model_folder(folder)
    check_weights(folder)
    tokenizer = load_tokenizer(folder)
    check_tokenizer(tokenizer, settings.boundary, str(folder))
    import torch
    import transformers

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_causal_lm(folder, dtype=getattr(torch, settings.dtype)).to(device).eval()
    losses = LossModel(model, tokens_per_batch=settings.tokens_per_batch)
    losses.check(str(folder))
    longest = read_config(folder).get("max_position_embeddings")
    fingerprint = {
        "transformers": transformers.__version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "dtype": settings.dtype,
        "threads": torch.get_num_threads(),
        "layout": "packed" if losses.packs else "padded",
    }
    return ScoringModel(
        losses=losses,
        tokenizer=tokenizer,
        longest=longest if isinstance(longest, int) else None,
        embedding_rows=embedding_rows(folder),
        fingerprint=fingerprint,
    )


def score_pairs(
    model: ScoringModel,
    pairs: Sequence[Pair],
    settings: ScoringSettings,
    progress: Callable[[int], None] | None = None,
) -> list[PairLosses]:
    """Return the mean losses of each pair, in their order; a pair that can't be scored has the reason in its place.

    Args:
        model: from :func:`open_model`.
        pairs: any number; memory does not grow with them.
        settings: those that the model was opened with.
        progress: is told how many pairs are done, counted by their tokens within :data:`WINDOW` of them.
    """
    found: list[PairLosses] = []
    for start in range(0, len(pairs), WINDOW):
        part = pairs[start : start + WINDOW]
        found += _score_window(model, part, settings, progress and _after(progress, start))
        if progress:
            progress(len(found))
    return found


def _after(progress: Callable[[int], None], start: int) -> Callable[[int], None]:
    return lambda done: progress(start + done)


def _score_window(
    model: ScoringModel, pairs: Sequence[Pair], settings: ScoringSettings, progress: Callable[[int], None] | None
) -> list[PairLosses]:
    """Score pairs whose tokens are all in memory."""
    texts = [(question_text(pair), pair.output) for pair in pairs]
    faults = [_fault_of_texts(*both) for both in texts]
    sound = [both for both, fault in zip(texts, faults, strict=True) if not fault]
    encoded = iter(encode(model.tokenizer, sound, settings.boundary))
    rows = [None if fault else next(encoded) for fault in faults]
    faults = [_fault_of_tokens(row, model, settings) if row else fault for row, fault in zip(rows, faults, strict=True)]
    scored = [row for row, fault in zip(rows, faults, strict=True) if row and not fault]
    asked = [TokenRow(ids=ids) for row in scored for ids in (row.joint, row.response)]
    total = sum(len(row.ids) for row in asked)

    def told(_done: int, tokens: int) -> None:
        if progress:
            progress(tokens * len(pairs) // total)

    losses = iter(model.losses.losses(asked, told))
    return [
        _skipped(row, fault) if fault or row is None else _means(row, next(losses), next(losses))
        for row, fault in zip(rows, faults, strict=True)
    ]


def _fault_of_texts(question: str, response: str) -> str:
    """Return the reason why texts can't be split into tokens and scored; empty where they can."""
    if not question:
        return NO_QUESTION
    if not response:
        return NO_RESPONSE
    return HALF_CHARACTER if HALF.search(question) or HALF.search(response) else ""


def _fault_of_tokens(row: EncodedPair, model: ScoringModel, settings: ScoringSettings) -> str:
    """Return the reason why tokens can't be scored; empty where they can."""
    longest = max(len(row.joint), len(row.response))
    limits = [limit for limit in (model.longest, settings.max_tokens) if limit]
    if limits and longest > min(limits):
        return TOO_LONG
    if model.embedding_rows is not None and max(*row.joint, *row.response, 0) >= model.embedding_rows:
        return UNKNOWN_TOKEN
    if row.boundary < 2:
        return UNSCORED_QUESTION
    return UNSCORED_RESPONSE if row.boundary >= len(row.joint) or len(row.response) < 2 else ""


def _means(row: EncodedPair, joint: Any, response: Any) -> PairLosses:
    """Return a pair's mean losses from those of its tokens, summed in fp64."""
    at = row.boundary - 1  # the joint text's losses begin with the token at position 1
    means = [float(losses.double().mean()) for losses in (joint[:at], joint[at:], response)]
    fault = NOT_FINITE if not all(map(math.isfinite, means)) else ZERO if not all(means) else ""
    if fault:
        return _skipped(row, fault)
    return PairLosses(
        question=means[0],
        answer_given_question=means[1],
        answer=means[2],
        question_tokens=row.boundary,
        answer_tokens=len(row.joint) - row.boundary,
    )


def _skipped(row: EncodedPair | None, reason: str) -> PairLosses:
    """Return a pair without losses, with its lengths where they are known."""
    before, both = (row.boundary, len(row.joint)) if row else (0, 0)
    return PairLosses(question_tokens=before, answer_tokens=both - before, skipped=reason)
