"""The JSON files of a model folder, read and written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.reading.jsonfiles import parse_json
from kit.reading.textfiles import decode, read_bytes

INDEX = "model.safetensors.index.json"
"""Names the shard of every tensor, where there is more than one shard."""
MAX_BYTES = 64 * 2**20
"""The most that a JSON file of settings may hold; the largest vocab.json and indices have some megabytes."""


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the object that a JSON file of a model folder holds.

    Raises:
        RequestError: the file is no plain one, too large, no JSON that transformers and vLLM can read, or no object.
    """
    data = read_bytes(path, max_bytes=max_bytes)
    if data.startswith(b"\xef\xbb\xbf"):
        raise RequestError(f"{path}: begins with a byte-order mark, which transformers can't read; save it without")
    value = parse_json(decode(data, str(path)), str(path))
    if not isinstance(value, dict):
        raise RequestError(f"{path}: found {type(value).__name__}, wanted a JSON object")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object, indented for a reader, with a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")


def shown(value: Any) -> str:
    """Return a value as a message shows it: in one line of plain characters, and cut where it is long."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
