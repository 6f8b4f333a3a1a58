"""The JSON files of a model folder, read and written."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.errors import RequestError

INDEX = "model.safetensors.index.json"
"""Names the shard of every tensor, where there is more than one shard."""


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        RequestError: it is no JSON, or no object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{path}: not JSON: {error}; is the file cut off?") from error
    if not isinstance(value, dict):
        raise RequestError(f"{path}: found {type(value).__name__}, wanted a JSON object")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write an object, indented for a reader, with a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
