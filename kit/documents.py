"""TOML documents of strict types: read whole, or told with the file, the path of the key and "did you mean"."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from kit.errors import RequestError, did_you_mean

SCHEMA = 1
"""The ``schema`` that a document has to state."""


class Strict(BaseModel):
    """No unknown key, no silent conversion, no change after reading."""

    model_config = ConfigDict(
        strict=True, frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


Document = TypeVar("Document", bound=Strict)


def parse(kind: type[Document], text: str, where: str) -> Document:
    """Read one TOML document.

    Raises:
        RequestError: not TOML, or not this document; one line a fault, each with the file and the path of the key.
    """
    try:
        raw = tomllib.loads(text.lstrip("\ufeff"))  # a byte-order mark, which some editors write
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{where}: not TOML: {error}") from error
    if "schema" in kind.model_fields or "schema_" in kind.model_fields:
        found = raw.get("schema")
        if found != SCHEMA:
            raise RequestError(f"{where}: schema: found {found!r}, this kit reads schema = {SCHEMA}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        # Of a key that may be a name or a table (scale), the table's faults say it all.
        faults = [fault for fault in error.errors() if fault["loc"][-2:] != ("scale", "str")]
        raise RequestError("\n".join(f"{where}: {_explain(kind, fault)}" for fault in faults)) from error


def read(kind: type[Document], path: Path, where: str = "") -> Document:
    """Read one TOML file; ``where`` is how messages name it."""
    name = where or path.name
    try:
        return parse(kind, path.read_text(encoding="utf-8"), name)
    except UnicodeDecodeError as error:
        raise RequestError(f"{name}: byte {error.start} is not UTF-8; TOML files are") from error
    except OSError as error:
        raise RequestError(f"{name}: {error.strerror}; looked for {path}") from error


def key_path(location: tuple[int | str, ...]) -> str:
    """``("experiment", 0, "sft")`` -> ``experiment[0].sft``."""
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _explain(kind: type[Strict], fault: Mapping[str, Any]) -> str:
    location = tuple(part for part in fault["loc"] if part not in ("Scale", "str"))
    where = key_path(location)
    if fault["type"] == "extra_forbidden":
        known = _fields_at(kind, location[:-1])
        return f"{where}: no such key{did_you_mean(str(location[-1]), known)}"
    if fault["type"] == "missing":
        return f"{where}: missing; it has no default"
    if fault["type"] == "model_type":
        wanted = "a table, or the name of a scale" if fault["loc"][-1:] == ("Scale",) else "a table"
        return f"{where}: wanted {wanted}, found {fault['input']!r}"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    found = "" if isinstance(fault["input"], dict) else f", found {fault['input']!r}"
    return f"{where}: {message}{found}" if where else message


def _fields_at(kind: type[Strict], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the table at ``location`` may have."""
    current: Any = kind
    for part in location:
        if isinstance(part, int):
            continue
        if not (isinstance(current, type) and issubclass(current, BaseModel)):
            continue
        spec = current.model_fields.get(part)
        current = _inner(spec.annotation) if spec else current
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [spec.alias or name for name, spec in current.model_fields.items()]
    return []


def _inner(annotation: Any) -> Any:
    """The table type within ``list[X]``, ``dict[str, X]`` or ``X | None``."""
    arguments = getattr(annotation, "__args__", ())
    models = [a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)]
    return models[0] if models else annotation
