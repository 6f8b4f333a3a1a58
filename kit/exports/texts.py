"""JSON that every reader takes: no halves of characters, no NaN, the same bytes for the same value; names of files."""

import hashlib
import json
import math
import re
from typing import Any

UNSAFE_IN_NAMES = re.compile(r"[^0-9A-Za-z._~=+-]+")


def whole(value: Any) -> Any:
    r"""Return a JSON value that every reader takes, and that UTF-8 can write.

    A model can emit half of a character, which is written out as ``\ud83d``; NaN and infinity become null.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {whole(str(name)): whole(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [whole(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def dump(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON, its fields in the order in which they stand."""
    return json.dumps(whole(value), ensure_ascii=False, allow_nan=False, indent=indent)


def sha256_text(text: str) -> str:
    """Return the sha256 of a text's UTF-8."""
    return hashlib.sha256(whole(text).encode()).hexdigest()


def file_name(text: str, longest: int = 100) -> str:
    """Return a text as part of a file's name: plain letters, digits and a few marks; a long one ends with its hash."""
    name = UNSAFE_IN_NAMES.sub("-", text).strip(".-") or "unnamed"
    return name if len(name) <= longest else f"{name[: longest - 9]}-{sha256_text(text)[:8]}"
