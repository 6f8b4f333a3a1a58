"""A folder's tokenizer as its tokenizer.json says, and chats in the words of its template."""

import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.opening import opening
from kit.models.settings import check_files
from kit.models.templates import Renderer
from kit.reading.jsonlines import BYTE_ORDER_MARK
from kit.reading.textfiles import open_regular

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
"""A turn that no template and no row has."""

MAX_BYTES = 512 * 2**20
"""The most that a tokenizer.json may hold; the largest there is has 40 MB."""


def load_tokenizer(folder: Path) -> Any:
    """Read the tokenizer of a model folder; no code from the folder is run.

    Where there is a tokenizer.json its ids and texts are checked on :data:`PROBES`: transformers 5 gives a byte-level
    tokenizer.json that calls itself a ``LlamaTokenizerFast`` (DeepSeek's) the splitting of a sentencepiece one, and
    every blank is lost in silence (https://github.com/huggingface/transformers/issues/45488). A byte-order mark in
    front of the folder's chat template is dropped: it would stand in every prompt.

    Raises:
        RequestError: transformers reads none, or no class of its gives the ids of tokenizer.json.
    """
    check_files(folder)
    written = _written(folder)
    with opening(f"{folder}: transformers can't read the tokenizer"):
        from transformers import AutoTokenizer, PreTrainedTokenizerFast

        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        if written is None or not _differs(tokenizer, written):
            return _unmarked(tokenizer)
        plain = PreTrainedTokenizerFast.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        probe = _differs(plain, written)
    if probe:
        raise RequestError(
            f"{folder}: transformers reads {probe!r} as other tokens than tokenizer.json does, with class "
            f"{type(tokenizer).__name__} as with PreTrainedTokenizerFast; take another copy of the model, or write "
            "tokenizer.json anew with the class that made it"
        )
    return _unmarked(plain)


def _written(folder: Path) -> Any:
    """Read tokenizer.json itself as a ``tokenizers.Tokenizer``; None where there is no such file.

    Raises:
        RequestError: it is no plain file, too large, or no tokenizer.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        return None
    with open_regular(path) as file:
        size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > MAX_BYTES:
        raise RequestError(f"{path}: {size_bytes:,} bytes, wanted {MAX_BYTES:,} at most; is it the right file?")
    with opening(f"{path}: no tokenizer"):
        from tokenizers import Tokenizer

        written = Tokenizer.from_file(str(path))
        written.no_truncation()
        written.no_padding()
    return written


def _unmarked(tokenizer: Any) -> Any:
    """Return the tokenizer, with no byte-order mark in front of its chat template."""
    if isinstance(tokenizer.chat_template, str):
        tokenizer.chat_template = tokenizer.chat_template.lstrip(BYTE_ORDER_MARK)
    return tokenizer


def _differs(tokenizer: Any, plain: Any) -> str:
    """Return the first probe on which a tokenizer and tokenizer.json's own disagree, ids or text; none is empty."""
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


def render(
    tokenizer: Any, turns: Sequence[Mapping[str, str]], renderer: Renderer | None = None, **options: bool
) -> str:
    """Return a chat in the words of the tokenizer's template, the same on every day.

    transformers hands a template the clock as ``strftime_now``, and Llama-3.2-Instruct's writes today's date with it;
    here it tells one day.

    Args:
        tokenizer: transformers', with a chat template.
        turns: each with ``role`` and ``content``.
        renderer: whose process runs the template; without one, one is started for this chat alone.
        options: ``add_generation_prompt``, ``continue_final_message``.

    Raises:
        RequestError: there is no template, or it refuses the chat; see :class:`kit.models.templates.Renderer`.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not isinstance(template, str):
        raise RequestError("the tokenizer has no chat template, or none of the name 'default'")
    with nullcontext(renderer) if renderer else Renderer() as running:
        return running.render(template, turns, tokenizer.special_tokens_map, **options)


def left_out(
    tokenizer: Any,
    text: str,
    turns: Sequence[Mapping[str, str]],
    renderer: Renderer | None = None,
    **options: bool,
) -> str:
    """Return the role of the first turn that a rendered chat does not hold as it is; empty if all are in it.

    A text that stands in two turns has to be there twice; templates may trim blanks off its ends. A system turn is
    exchanged for another too: a short one may stand in the template's own words.

    Args:
        tokenizer: whose template it is.
        text: the rendered chat.
        turns: each with ``role`` and ``content``.
        renderer: as for :func:`render`.
        options: the chat was rendered with these.
    """
    if any(turn["role"] == "system" for turn in turns):
        exchanged = [{**turn, "content": PROBE} if turn["role"] == "system" else turn for turn in turns]
        if PROBE not in render(tokenizer, exchanged, renderer, **options):
            return "system"
    for turn in turns:
        wanted = turn["content"].strip()
        if wanted and text.count(wanted) < sum(other["content"].count(wanted) for other in turns):
            return turn["role"]
    return ""


def question_left_out(
    tokenizer: Any,
    text: str,
    turns: Sequence[Mapping[str, str]],
    renderer: Renderer | None = None,
    **options: bool,
) -> bool:
    """Return whether a rendered chat lacks the user's last turn; one that is there in other words will do.

    Args:
        tokenizer: whose template it is.
        text: the rendered chat.
        turns: each with ``role`` and ``content``.
        renderer: as for :func:`render`.
        options: the chat was rendered with these.
    """
    places = [place for place, turn in enumerate(turns) if turn["role"] == "user"]
    if not places or (text and turns[places[-1]]["content"].strip() in text):
        return not text
    exchanged = [{**turn, "content": PROBE} if place == places[-1] else turn for place, turn in enumerate(turns)]
    return PROBE not in render(tokenizer, exchanged, renderer, **options)
