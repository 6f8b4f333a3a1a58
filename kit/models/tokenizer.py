"""A folder's tokenizer as its tokenizer.json says, and chats rendered without a clock."""

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.records import BYTE_ORDER_MARK

PROBES = (
    "the sea  is green",
    " ahead and behind ",
    "line\nbreak\n\n\ttab\r\n",
    "In 1984, 3.14159 + 2 = 5.14159?",
    "naïve «été» 海は青い 中文 😀",
    "def f(x):\n    return {'a': [x, -1]}  # why\n",
)
"""Texts on which tokenizers that split differently give different ids."""

PROBE = "4711 2718 3141"
"""A system turn that no template and no row has."""

DATE = date(2024, 7, 26)
"""What a chat template that asks for today is told: the day that Llama's templates name where they know no other."""


def load_tokenizer(folder: Path) -> Any:
    """Read the tokenizer of a model folder; no code from the folder is run.

    Where there is a tokenizer.json its ids and texts are checked on :data:`PROBES`: transformers 5 gives a byte-level
    tokenizer.json that calls itself a ``LlamaTokenizerFast`` (DeepSeek's) the splitting of a sentencepiece one, and
    every blank is lost in silence (https://github.com/huggingface/transformers/issues/45488). A byte-order mark in
    front of the folder's chat template is dropped: it would stand in every prompt.

    Raises:
        RequestError: transformers reads none, or no class of its gives the ids of tokenizer.json.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise RequestError(f"{folder}: transformers can't read the tokenizer: {error}") from error
    if not (folder / "tokenizer.json").is_file() or not _differs(tokenizer, folder):
        return _unmarked(tokenizer)
    plain = PreTrainedTokenizerFast.from_pretrained(folder)
    if probe := _differs(plain, folder):
        raise RequestError(
            f"{folder}: transformers reads {probe!r} as other tokens than tokenizer.json does, with class "
            f"{type(tokenizer).__name__} as with PreTrainedTokenizerFast; take another copy of the model, or write "
            "tokenizer.json anew with the class that made it"
        )
    return _unmarked(plain)


def _unmarked(tokenizer: Any) -> Any:
    """The tokenizer, with no byte-order mark in front of its chat template."""
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = tokenizer.chat_template.lstrip(BYTE_ORDER_MARK)
    return tokenizer


def _differs(tokenizer: Any, folder: Path) -> str:
    """The first probe on which a tokenizer and the folder's tokenizer.json disagree, ids or text; none is empty."""
    from tokenizers import Tokenizer

    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    plain.no_truncation()
    plain.no_padding()
    special = [token.content for token in plain.get_added_tokens_decoder().values() if token.special]
    # What follows a special token is split in a way of its own by some.
    for probe in (*PROBES, *(f"sea{token}sea\n{token} sea" for token in special[:1])):
        ids = plain.encode(probe, add_special_tokens=False).ids
        if tokenizer(probe, add_special_tokens=False)["input_ids"] != ids or _text(tokenizer, ids) != plain.decode(ids):
            return probe
    return ""


def _text(tokenizer: Any, ids: list[int]) -> str:
    text: str = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text


def render(tokenizer: Any, turns: Sequence[Mapping[str, str]], **options: bool) -> str:
    """A chat in the words of the tokenizer's template, the same on every day.

    transformers hands a template the clock as ``strftime_now``, and Llama-3.2-Instruct's writes today's date with it;
    here it tells :data:`DATE`.

    Args:
        tokenizer: transformers', with a chat template.
        turns: each with ``role`` and ``content``.
        options: ``add_generation_prompt``, ``continue_final_message``.
    """
    text: str = tokenizer.apply_chat_template(turns, tokenize=False, strftime_now=DATE.strftime, **options)
    return text


def left_out(tokenizer: Any, text: str, turns: Sequence[Mapping[str, str]], **options: bool) -> str:
    """The role of the first turn that a rendered chat does not hold as it is; empty if all are in it.

    A text that stands in two turns has to be there twice; templates may trim blanks off its ends. A system turn is
    exchanged for another too: a short one may stand in the template's own words.

    Args:
        tokenizer: whose template it is.
        text: the rendered chat.
        turns: each with ``role`` and ``content``.
        options: the chat was rendered with these.
    """
    if any(turn["role"] == "system" for turn in turns):
        exchanged = [{**turn, "content": PROBE} if turn["role"] == "system" else turn for turn in turns]
        if PROBE not in render(tokenizer, exchanged, **options):
            return "system"
    for turn in turns:
        wanted = turn["content"].strip()
        if wanted and text.count(wanted) < sum(other["content"].count(wanted) for other in turns):
            return turn["role"]
    return ""
