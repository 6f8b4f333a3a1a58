"""A question and its response as token ids, and the token at which the response begins.

    joint text:  question, a line break, response          no chat template, the tokenizer's own special tokens

The line break is on the response's side. Tokens before the boundary are the question's, except that nothing predicts
the first token of a text; tokens from the boundary on are the response's.

- ``authors``: the boundary is the number of tokens of the question on its own, special tokens included. It is off by
  one or more where the tokenizer joins across the line break.
- ``exact``: the boundary is the first token of the joint text that reaches past the question's last character.

Source:
    HypherX/Evolution-Analysis @7595feb, Evol_Instruct/eval_loss.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import RequestError, did_you_mean
from kit.records import Instruction, Pair

BOUNDARIES = ("authors", "exact")
"""Rules for the token at which the response begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedPair:
    """Token ids of one pair, special tokens included."""

    joint: Sequence[int]
    """Tokens of question, line break and response."""
    boundary: int
    """Position of the response's first token among them; their number where no token is the response's."""
    response: Sequence[int]
    """Tokens of the response alone."""


def question_text(row: Instruction | Pair) -> str:
    """Return the instruction, then a line break and the input if there is one; in front, the turns before it.

    The authors' rows have no turns before; here each has a line of its own.
    """
    own = f"{row.instruction}\n{row.input}" if row.input else row.instruction
    return "\n".join([*(turn.content for turn in row.turns_before()), own])


def check_boundary(boundary: str, where: str) -> None:
    """Refuse the name of a rule that is not known.

    Raises:
        RequestError: it is none of :data:`BOUNDARIES`.
    """
    if boundary not in BOUNDARIES:
        raise RequestError(f"{where}: no boundary named {boundary!r}{did_you_mean(boundary, BOUNDARIES)}")


def check_tokenizer(tokenizer: Any, boundary: str, where: str) -> None:
    """Refuse a tokenizer that does not tell which characters its tokens stand for, where that is needed.

    Raises:
        RequestError: it is no fast tokenizer, and the boundary is ``exact``.
    """
    if boundary == "exact" and not tokenizer.is_fast:
        raise RequestError(
            f"{where}: {type(tokenizer).__name__} does not tell where its tokens begin and end in a text, which "
            "boundary 'exact' needs; add a tokenizer.json, or take boundary 'authors'"
        )


def encode(tokenizer: Any, texts: Sequence[tuple[str, str]], boundary: str) -> list[EncodedPair]:
    """Return the tokens of each (question, response).

    Args:
        tokenizer: transformers', with the special tokens that it adds by default.
        texts: none with half a character.
        boundary: one of :data:`BOUNDARIES`.
    """
    if not texts:
        return []
    joints = tokenizer(
        [f"{question}\n{response}" for question, response in texts],
        return_offsets_mapping=boundary == "exact",
        verbose=False,
    )
    responses = _ids(tokenizer, [response for _, response in texts])
    if boundary == "exact":
        ends = [[end for _, end in offsets] for offsets in joints["offset_mapping"]]
        places = [_first_past(of_row, len(question)) for of_row, (question, _) in zip(ends, texts, strict=True)]
    else:
        places = [len(ids) for ids in _ids(tokenizer, [question for question, _ in texts])]
    return [
        EncodedPair(joint=joint, boundary=min(place, len(joint)), response=response)
        for joint, place, response in zip(joints["input_ids"], places, responses, strict=True)
    ]


def _ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    found: list[list[int]] = tokenizer(list(texts), verbose=False)["input_ids"]
    return found


def _first_past(ends: Sequence[int], length: int) -> int:
    """Return the position of the first token that ends past a number of characters; special tokens end at 0."""
    return next((place for place, end in enumerate(ends) if end > length), len(ends))
