"""Pairs to token ids: what the model reads, and which of it the loss is taken on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models import check_ids, embedding_rows, left_out, load_tokenizer, render
from kit.models.templates import Renderer
from kit.records import ROLES, Pair, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One pair as the model reads it."""

    id: str
    """Id of the pair."""
    tokens: tuple[int, ...]
    """Prompt, then response up to and with the end-of-turn token."""
    prompt_tokens: int
    """Number of prompt tokens among them, at least 1; the loss is on the rest, at least 1."""
    later_prompts: tuple[tuple[int, int], ...] = ()
    """Positions of the prompts of further turns, ``(first position, past the last)``, ascending; no loss there
    either."""

    @property
    def response_tokens(self) -> int:
        """Return the number of tokens that the loss is taken on."""
        return len(self.tokens) - self.prompt_tokens - sum(end - start for start, end in self.later_prompts)

    @property
    def response_positions(self) -> Sequence[int]:
        """Positions of the tokens that the loss is taken on, ascending."""
        if not self.later_prompts:
            return range(self.prompt_tokens, len(self.tokens))
        starts = (self.prompt_tokens, *(end for _, end in self.later_prompts))
        ends = (*(start for start, _ in self.later_prompts), len(self.tokens))
        return [position for start, end in zip(starts, ends, strict=True) for position in range(start, end)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The examples of a job and what was lost on the way."""

    examples: tuple[Example, ...]
    """In the order of the pairs."""
    truncated: int
    """Examples shortened to ``max_length_tokens``."""
    dropped: dict[str, int]
    """Reason -> number of pairs left out."""
    empty_responses: int
    """Pairs whose response is blank or the end-of-turn token alone; trained on, as LLaMA-Factory does."""
    unanswered: int
    """Examples of several turns whose last answers lie past ``max_length_tokens`` and are not trained on."""


def user_turn(pair: Pair) -> str:
    """Return the instruction, then a line break and the input if there is one (LLaMA-Factory's alpaca layout)."""
    return f"{pair.instruction}\n{pair.input}" if pair.input else pair.instruction


def chat_tokenizer(folder: Path, template: str, end_of_turn: str | None) -> tuple[Any, str]:
    """Return the base's tokenizer with the manifest's chat template, and the token that closes a turn.

    Raises:
        RequestError: the token is not one of the vocabulary, so that vLLM could not stop at it, the base's embedding
            has no row for it, or there is none.
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
    check_ids(ids, embedding_rows(folder), tokenizer, "sft.end_of_turn")
    tokenizer.chat_template = template
    return tokenizer, end_of_turn


def split(tokenizer: Any, pair: Pair, end_of_turn: str, renderer: Renderer | None = None) -> list[tuple[str, str]]:
    """The rendered chat cut at its answers: what the model is shown, and what it is to say, end-of-turn token included.

    Most pairs are one such piece; a history's answers are said too, as in LLaMA-Factory without ``mask_history``.

    Raises:
        RequestError: the template refuses the chat or leaves a turn out, does not open the assistant's turn the way it
            closes one, never closes it, or writes an answer in another way once the chat goes on.
    """
    turns = [*pair.turns_before(), *map(_turn, ROLES, (user_turn(pair), pair.output))]
    whole = _rendered(tokenizer, turns, pair, renderer)
    pieces: list[tuple[str, str]] = []
    start = 0
    for number, turn in enumerate(turns, 1):
        if turn.role != "assistant":
            continue
        prompt = _rendered(tokenizer, turns[: number - 1], pair, renderer, add_generation_prompt=True)
        answered = whole if number == len(turns) else _rendered(tokenizer, turns[:number], pair, renderer)
        end = _end_of_answer(prompt, answered, pair, end_of_turn)
        if len(prompt) < start or not whole.startswith(answered[:end]):
            raise RequestError(
                f"sft.chat_template: the chat of {pair.id} up to turn {number} is not the start of its whole chat; "
                "a history wants a template that writes earlier turns like the last"
            )
        pieces.append((prompt[start:], answered[len(prompt) : end]))
        start = end
    if role := left_out(tokenizer, whole, [turn.to_json() for turn in turns], renderer):
        raise RequestError(
            f"sft.chat_template: it leaves out or changes the {role} turn of {pair.id}; take a template that writes "
            "every turn as it is"
        )
    return pieces


def _turn(role: str, content: str) -> Turn:
    return Turn(role=role, content=content)


def _rendered(
    tokenizer: Any, turns: Sequence[Turn], pair: Pair, renderer: Renderer | None = None, **options: bool
) -> str:
    """Return the turns in the template's words."""
    try:
        return render(tokenizer, [turn.to_json() for turn in turns], renderer, **options)
    except RequestError as error:  # the template's own, or one of its time and memory
        raise RequestError(f"sft.chat_template: it refuses the chat of {pair.id}: {error}") from error


def _end_of_answer(prompt: str, whole: str, pair: Pair, end_of_turn: str) -> int:
    """Return the position where an answer ends in its chat, the end-of-turn token included."""
    if not whole.startswith(prompt):
        raise RequestError(
            f"sft.chat_template: the prompt of {pair.id} is not the start of its whole chat; "
            "with add_generation_prompt the template must write just what precedes an answer"
        )
    if end_of_turn not in whole[len(prompt) :]:
        raise RequestError(
            f"sft.chat_template: {end_of_turn!r} does not follow the answer of {pair.id}; is it the token?"
        )
    return whole.rindex(end_of_turn) + len(end_of_turn)


def kept_lengths(prompt: int, response: int, limit: int) -> tuple[int, int]:
    """Return how many tokens of each to keep when both exceed the limit together: LLaMA-Factory's rule.

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

    The template writes the begin token where the base wants one, so none is added when its text is split.

    Raises:
        RequestError: there is no pair, or none is left.
    """
    with Renderer() as renderer:
        chats = [split(tokenizer, pair, end_of_turn, renderer) for pair in pairs]
    if not chats:
        raise RequestError(
            "sft: the set of pairs is empty; a model cannot be tuned on nothing (is `rows` or a filter off?)"
        )
    pieces = [piece for chat in chats for piece in chat]
    prompts = iter(tokenizer([prompt for prompt, _ in pieces], add_special_tokens=False)["input_ids"])
    responses = iter(tokenizer([response for _, response in pieces], add_special_tokens=False)["input_ids"])
    examples, truncated, unanswered = [], 0, 0
    for pair, chat in zip(pairs, chats, strict=True):
        ids = [(next(prompts), next(responses)) for _ in chat]
        example, last_is_answered = _example(pair.id, ids, max_length_tokens)
        if example is not None:
            truncated += len(example.tokens) < sum(len(prompt) + len(response) for prompt, response in ids)
            unanswered += not last_is_answered
            examples.append(example)
    lost = len(chats) - len(examples)
    if not examples:
        raise RequestError(
            f"sft: none of {lost} pairs keeps a response token within {max_length_tokens} tokens; raise it"
        )
    return Encoded(
        examples=tuple(examples),
        truncated=truncated,
        dropped={"no response token left": lost} if lost else {},
        empty_responses=sum(not pair.output.strip() for pair in pairs),
        unanswered=unanswered,
    )


def _example(id: str, pieces: Sequence[tuple[list[int], list[int]]], limit: int) -> tuple[Example | None, bool]:
    """Return one chat's example, None if no response token is left, and whether its last answer is in it.

    Source:
        hiyouga/LLaMA-Factory @0b3022b, src/llamafactory/data/processor/supervised.py, ``_encode_data_example``: turn by
        turn, each cut to what the limit leaves after those before it, the rest left out.
    """
    tokens: list[int] = []
    spans: list[tuple[int, int]] = []
    response_kept = 0
    for prompt, response in pieces:
        if len(tokens) >= limit:
            return _made(id, tokens, spans), False
        prompt_kept, response_kept = kept_lengths(len(prompt), len(response), limit - len(tokens))
        spans.append((len(tokens), len(tokens) + prompt_kept))
        tokens += [*prompt[:prompt_kept], *response[:response_kept]]
    return _made(id, tokens, spans), response_kept > 0


def _made(id: str, tokens: Sequence[int], prompts: Sequence[tuple[int, int]]) -> Example | None:
    """Return the example, if the loss has a token to be taken on and one to be taken after."""
    first = prompts[0][1]
    example = Example(id=id, tokens=tuple(tokens), prompt_tokens=first, later_prompts=tuple(prompts[1:]))
    return example if first and example.response_tokens else None
