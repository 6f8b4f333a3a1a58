"""Count the token ids that a model knows, without loading it, and find token ids that are none of them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.files import read_json
from kit.models.headers import read_header

EMBEDDINGS = (
    "embed_tokens.weight",
    "wte.weight",
    "embed_in.weight",
    "word_embeddings.weight",
    "tok_embeddings.weight",
)
"""Ends of the names of input embeddings in safetensors: Llama's, GPT-2's, GPT-NeoX's, Bloom's, InternLM's."""


def embedding_rows(folder: Path) -> int | None:
    """Rows of a model's input embedding: the lesser of what config.json says and what lies in the safetensors.

    Returns:
        None where neither tells.
    """
    found = _stored_rows(folder)
    config = read_json(folder / "config.json")
    inner = config.get("text_config")
    for part in (config, inner if isinstance(inner, dict) else {}):
        if type(size := part.get("vocab_size")) is int:
            found.append(size)
            break
    return min(found, default=None)


def _stored_rows(folder: Path) -> list[int]:
    """First dimension of every input embedding in the safetensors' headers."""
    rows = []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            tensors = read_header(path)
        except RequestError:
            continue  # a damaged file is told where weights are checked, with its name
        shapes = [tensor.shape for name, tensor in tensors.items() if name.endswith(EMBEDDINGS)]
        rows += [shape[0] for shape in shapes if len(shape) == 2]
    return rows


def check_ids(ids: Iterable[int], rows: int | None, tokenizer: Any, where: str) -> None:
    """Refuse token ids that the model's embedding has no row for: added tokens, and an embedding that did not grow.

    Args:
        ids: token ids.
        rows: of the embedding; None where nobody knows.
        tokenizer: transformers', to name the token.
        where: what the ids are of, for the message.

    Raises:
        RequestError: one is too high.
    """
    highest = max(ids, default=-1)
    if rows is not None and highest >= rows:
        name = tokenizer.convert_ids_to_tokens(highest) if highest < len(tokenizer) else None
        raise RequestError(
            f"{where}: {f'token {name!r}' if name else 'a token without a name'} has id {highest:,}, and the model's "
            f"embedding has {rows:,} rows; take another token, or a model whose embedding has grown with its tokenizer"
        )
