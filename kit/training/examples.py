"""Pairs to token ids: what the model reads, and which of it the loss is taken on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models import load_tokenizer, render
from kit.records import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One pair as the model reads it."""

    id: str
    """The pair's."""
    tokens: tuple[int, ...]
    """Prompt, then response up to and with the end-of-turn token."""
    prompt_tokens: int
    """How many of them are prompt, at least 1; the loss is on the rest, at least 1."""

    @property
    def response_tokens(self) -> int:
        """How many tokens the loss is taken on."""
        return len(self.tokens) - self.prompt_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The examples of a job and what was lost on the way."""

    examples: tuple[Example, ...]
    """In the order of the pairs."""
    truncated: int
    """Examples shortened to ``max_length_tokens``."""
    dropped: dict[str, int]
    """reason -> pairs left out."""
    empty_responses: int
    """Pairs whose response is the end-of-turn token alone; trained on, as LLaMA-Factory does."""


def user_turn(pair: Pair) -> str:
    """The instruction, then a line break and the input if there is one (LLaMA-Factory's alpaca layout)."""
    return f"{pair.instruction}\n{pair.input}" if pair.input else pair.instruction


def chat_tokenizer(folder: Path, template: str, end_of_turn: str | None) -> tuple[Any, str]:
    """The base's tokenizer with the manifest's chat template, and the token that closes a turn.

    Raises:
        RequestError: the token is not one of the vocabulary, so that vLLM could not stop at it, or there is none.
    """
    tokenizer = load_tokenizer(folder)
    end_of_turn = end_of_turn or tokenizer.eos_token
    if end_of_turn is None:
        raise RequestError(f"sft.end_of_turn: absent, and the tokenizer of {folder} has no end-of-text token; name one")
    ids = tokenizer.encode(end_of_turn, add_special_tokens=False)
    if len(ids) != 1 or tokenizer.convert_ids_to_tokens(ids[0]) != end_of_turn:
        raise RequestError(
            f"sft.end_of_turn: {end_of_turn!r} is {len(ids)} tokens in the base's vocabulary, wanted one of its own; "
            "take a special token that the base already has"
        )
    tokenizer.chat_template = template
    return tokenizer, end_of_turn


def split(tokenizer: Any, pair: Pair, end_of_turn: str) -> tuple[str, str]:
    """The rendered chat in two: what the model is shown, and what it is to say, end-of-turn token included.

    Raises:
        RequestError: the template does not open the assistant's turn the way it closes one, or never closes it.
    """
    user = {"role": "user", "content": user_turn(pair)}
    turns = [user, {"role": "assistant", "content": pair.output}]
    prompt = render(tokenizer, [user], add_generation_prompt=True)
    whole = render(tokenizer, turns)
    said = whole[len(prompt) :]
    if not whole.startswith(prompt):
        raise RequestError(
            f"sft.chat_template: the prompt of {pair.id} is not the start of its whole chat; "
            "with add_generation_prompt the template must write just what precedes an answer"
        )
    if end_of_turn not in said:
        raise RequestError(
            f"sft.chat_template: {end_of_turn!r} does not follow the answer of {pair.id}; is it the token?"
        )
    return prompt, said[: said.rindex(end_of_turn) + len(end_of_turn)]


def kept_lengths(prompt: int, response: int, limit: int) -> tuple[int, int]:
    """How many tokens of each to keep when both exceed the limit together: LLaMA-Factory's rule.

    The shorter side keeps all it has when it is under half of the limit; otherwise both shrink in proportion. Each side
    loses its end.

    Source:
        hiyouga/LLaMA-Factory, src/llamafactory/data/processor/processor_utils.py, ``infer_seqlen``.
    """
    if response * 2 < limit:
        most = limit
    elif prompt * 2 < limit:
        most = limit - prompt
    else:
        most = int(limit * (response / (prompt + response)))
    kept = min(most, response)
    return min(max(limit - kept, 0), prompt), kept


def encode(pairs: Sequence[Pair], tokenizer: Any, *, end_of_turn: str, max_length_tokens: int) -> Encoded:
    """Tokenize the pairs; prompt and response apart, as they are when the model is asked.

    Raises:
        RequestError: there is no pair, or none is left.
    """
    texts = [split(tokenizer, pair, end_of_turn) for pair in pairs]
    if not texts:
        raise RequestError(
            "sft: the set of pairs is empty; a model cannot be tuned on nothing (is `rows` or a filter off?)"
        )
    prompts = tokenizer([prompt for prompt, _ in texts], add_special_tokens=False)["input_ids"]
    responses = tokenizer([said for _, said in texts], add_special_tokens=False)["input_ids"]
    examples, truncated = [], 0
    for pair, prompt, response in zip(pairs, prompts, responses, strict=True):
        shown, said = kept_lengths(len(prompt), len(response), max_length_tokens)
        if said and shown:
            truncated += shown + said < len(prompt) + len(response)
            tokens = (*prompt[:shown], *response[:said])
            examples.append(Example(id=pair.id, tokens=tokens, prompt_tokens=shown))
    lost = len(texts) - len(examples)
    if not examples:
        raise RequestError(
            f"sft: none of {lost} pairs keeps a response token within {max_length_tokens} tokens; raise it"
        )
    return Encoded(
        examples=tuple(examples),
        truncated=truncated,
        dropped={"no response token left": lost} if lost else {},
        empty_responses=sum(not pair.output for pair in pairs),
    )
