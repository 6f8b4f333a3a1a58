"""From a chat to token ids and from token ids to text, in one way for every engine that holds its own weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kit.engines import Progress, Request, ScoredCompletion, unanswered
from kit.errors import KitError, RequestError
from kit.files.texts import HALF
from kit.models import (
    check_adapter,
    check_ids,
    check_model_folder,
    check_weights,
    embedding_rows,
    left_out,
    load_tokenizer,
    question_left_out,
    render,
)
from kit.models.adapters import brings_tokenizer
from kit.models.files import read_json
from kit.models.folder import require_chat_template
from kit.models.settings import read_config
from kit.models.templates import Renderer, template_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A request as the model sees it."""

    ids: list[int]
    """Token ids, begin token and all."""
    max_tokens: int
    """Most tokens that the text may take of ``max_model_len``; 0 for a prompt that leaves no room."""


Compute = Callable[[Sequence[tuple[Request, Prompt]], Progress | None], list[ScoredCompletion]]
"""An engine's work: requests and their prompts, none without room, to completions in the same order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """A model folder's tokenizer and the tokens its texts end with."""

    model: Path
    """Folder of the model."""
    tokenizer: Any
    """transformers' tokenizer."""
    stop_ids: tuple[int, ...]
    """Tokens that end a text, ascending."""
    max_model_len: int
    """Prompt and text together, tokens."""
    embedding_rows: int | None = None
    """Token ids that the model knows, 0 up to but without this one; None where the folder does not tell."""
    renderer: Renderer = field(default_factory=Renderer, repr=False, compare=False)
    """Runs the folder's template within limits."""

    def complete(
        self, requests: Sequence[Request], max_tokens: int, progress: Progress | None, compute: Compute
    ) -> list[ScoredCompletion]:
        """Render every request, have those computed whose prompt leaves room, and leave the others without a text.

        Args:
            requests: the chats.
            max_tokens: of a text, at most.
            progress: told of all rows.
            compute: makes the completions of the requests and prompts it is given, in order.
        """
        prompts = self.prompts(requests, max_tokens)
        fitting = [(request, prompt) for request, prompt in zip(requests, prompts, strict=True) if prompt.max_tokens]
        left_out = len(requests) - len(fitting)
        found = iter(compute(fitting, progress and (lambda rows, tokens: progress(rows + left_out, tokens))))
        return [
            next(found) if prompt.max_tokens else ScoredCompletion(completion=unanswered(request, len(prompt.ids)))
            for request, prompt in zip(requests, prompts, strict=True)
        ]

    def prompts(self, requests: Sequence[Request], max_tokens: int) -> list[Prompt]:
        """Render every request before the first is computed.

        The template writes the begin token where the model wants one, so none is added when its text is split.

        Raises:
            RequestError: the folder has no chat template; the template refuses a chat, breaks on it, takes too much
                time or memory, or leaves its system turn or the user's last one out; or a prompt has half a character
                or a token that the model has no embedding for.
        """
        require_chat_template(self.model)
        return [self._prompt(request, max_tokens) for request in requests]

    def _prompt(self, request: Request, max_tokens: int) -> Prompt:
        text = self.rendered(request)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        check_ids(ids, self.embedding_rows, self.tokenizer, f"{request.id}: prompt for {self.model}")
        return Prompt(ids=ids, max_tokens=max(0, min(max_tokens, self.max_model_len - len(ids))))

    def rendered(self, request: Request) -> str:
        """Return a request's chat in the words of the folder's template, up to where the model goes on.

        Raises:
            RequestError: as :meth:`prompts`.
        """
        if not request.turns:
            raise RequestError(f"{request.id}: the chat has no turn; wanted at least one by the user")
        goes_on = request.turns[-1].role == "assistant"
        turns = [{"role": turn.role, "content": turn.content} for turn in request.turns]
        options = {"add_generation_prompt": not goes_on, "continue_final_message": goes_on}
        try:
            text = render(self.tokenizer, turns, self.renderer, **options)
            lost = left_out(self.tokenizer, text, turns, self.renderer, **options)
            unasked = question_left_out(self.tokenizer, text, turns, self.renderer, **options)
        except RequestError as error:  # many templates raise one of their own on a system turn or on roles in a row
            _, file = template_text(self.model)
            raise RequestError(
                f"{request.id}: the chat template of {self.model} refuses this chat: {file}: {error}"
            ) from error
        if lost == "system":
            raise RequestError(
                f"{request.id}: the chat template of {self.model} leaves the system turn out; take a model that reads "
                "one, or put its text into the instruction"
            )
        if unasked:
            raise RequestError(
                f"{request.id}: the chat template of {self.model} leaves the user's last turn out, so that the model "
                "would be asked nothing; take another template"
            )
        if half := HALF.search(text):
            raise RequestError(
                f"{request.id}: its prompt holds half a character ({half[0]!a}), which no tokenizer takes; write the "
                "whole one, or U+FFFD in its place"
            )
        return text

    def pair_ids(self, texts: Sequence[tuple[str, str]]) -> list[tuple[list[int], list[int]]]:
        """Token ids of each (context, continuation), split apart, so that the context's don't depend on what follows.

        An empty context is the begin token, or the end token where the model has none.

        Raises:
            RequestError: a pair is longer than ``max_model_len`` - 1, a continuation has no token, or one has a token
                that the model has no embedding for.
        """
        first = self.tokenizer.bos_token_id if self.tokenizer.bos_token_id is not None else self.tokenizer.eos_token_id
        pairs = []
        for number, (context, continuation) in enumerate(texts):
            head = self.tokenizer(context, add_special_tokens=False)["input_ids"] or [first]
            tail = self.tokenizer(continuation, add_special_tokens=False)["input_ids"]
            if not tail:
                raise RequestError(f"text {number}: the continuation has no token; wanted at least one")
            # vLLM computes one token past the text even when none is wanted, hence the one to spare.
            if len(head) + len(tail) > self.max_model_len - 1:
                raise RequestError(
                    f"text {number}: context and continuation are {len(head)} + {len(tail)} tokens, max_model_len "
                    f"{self.max_model_len} leaves room for {self.max_model_len - 1}; shorten them, or raise it"
                )
            check_ids([*head, *tail], self.embedding_rows, self.tokenizer, f"text {number} for {self.model}")
            pairs.append((head, tail))
        return pairs

    def text(self, prompt: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text that the model wrote, special tokens left out, blanks as it wrote them.

        Decoded behind the prompt's last tokens, because sentencepiece drops the blank in front of a first word.
        """
        before = self._decode(prompt[-8:])
        both = self._decode([*prompt[-8:], *ids])
        return both[len(before) :] if both.startswith(before) else self._decode(ids)

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text


def load_chat(model: Path, max_model_len: int, *, engine: str = "transformers") -> Chat:
    """Read a model folder's tokenizer, after a check of all that the engine will read; no code from the folder is run.

    Args:
        model: the folder.
        max_model_len: prompt and text together, tokens.
        engine: who is to read the weights; see :func:`kit.models.check_weights`.

    Raises:
        RequestError: the folder is no model, its weights are not what its config.json describes, it was not made for so
            many tokens, or it ends texts with a token that it has no embedding for, and so can't write.
    """
    check_model_folder(model)
    check_weights(model, engine=engine)
    most = read_config(model).get("max_position_embeddings")
    if isinstance(most, int) and max_model_len > most:
        raise RequestError(f"{model}: max_model_len is {max_model_len}, the model was made for {most} tokens at most")
    tokenizer = load_tokenizer(model)
    stop_ids, rows = _stop_ids(model, model, tokenizer), embedding_rows(model)
    check_ids(stop_ids, rows, tokenizer, f"{model}: end of text")
    return Chat(model=model, tokenizer=tokenizer, stop_ids=stop_ids, max_model_len=max_model_len, embedding_rows=rows)


def adapter_chat(adapter: Path, base: Chat) -> Chat:
    """Return the chat of an adapter: its folder's tokenizer, template and end tokens, or the base's where it has none.

    Raises:
        RequestError: the folder holds no adapter for the base, a chat template without a tokenizer, or it ends texts
            with a token that the base has no embedding for.
    """
    check_adapter(adapter, base.model)
    if not brings_tokenizer(adapter):
        return base
    tokenizer = load_tokenizer(adapter)
    generation = adapter if (adapter / "generation_config.json").is_file() else base.model
    stop_ids = _stop_ids(adapter, generation, tokenizer)
    check_ids(stop_ids, base.embedding_rows, tokenizer, f"{adapter}: end of text")
    return replace(base, model=adapter, tokenizer=tokenizer, stop_ids=stop_ids, renderer=Renderer())


def _stop_ids(model: Path, generation: Path, tokenizer: Any) -> tuple[int, ...]:
    """The tokenizer's end token and those of generation_config.json: chat models end a turn with either."""
    ids = {tokenizer.eos_token_id} - {None}
    if (file := generation / "generation_config.json").is_file():
        ends = read_json(file).get("eos_token_id")
        ids |= set(ends if isinstance(ends, list) else [ends]) - {None}
    if not ids:
        raise KitError(f"{model}: neither the tokenizer nor generation_config.json names an end token")
    return tuple(sorted(ids))
