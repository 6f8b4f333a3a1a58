"""TOML documents of strict types: read whole, or refused with the file, the path of the key and "did you mean"."""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError

from kit.errors import LONGEST_NAME, RequestError, did_you_mean, one_line, shown
from kit.reading.textfiles import decode, read_bytes

SCHEMA = 1
"""The ``schema`` that a document has to state."""
MAX_BYTES = 2**20
"""Most bytes of a document; the kit's longest has 12 KB."""
DEEPEST = 20
"""Most levels of tables and lists in each other, and most parts of a key; a scale written out takes 4."""
MOST_FAULTS = 20
"""Most faults in one message."""
ONE, LIST = "one value", "a list"
"""Names that pydantic gives to the two types of a field that is one value or a list; they are left out of key paths."""
LONGEST_FAULT = 300
"""Most characters of a parser's message that are shown."""
_TOKEN = re.compile(
    r'''
    """ (?> (?: [^"\\]++ | \\. | "(?!"") )* ) (?: "{3,5} | \Z)     # texts over several lines, closed or cut off
    | \'\'\' (?> (?: [^']++ | '(?!'') )* ) (?: '{3,5} | \Z)
    | " (?> (?: [^"\\\n]++ | \\. )* ) "? | ' [^'\n]*+ '?         # texts
    | \#[^\n]*+                                               # comments
    | [\[\]{}\n.=,]''',
    re.DOTALL | re.VERBOSE,
)
"""Tokens of a TOML text that tell how deep it is nested; atomic, so that no text makes the search go back."""


class Strict(BaseModel):
    """Base of strict types: no unknown key, no silent conversion, no change after reading."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)


Document = TypeVar("Document", bound=Strict)


def parse(kind: type[Document], text: str, where: str) -> Document:
    """Read one TOML document from its text.

    Raises:
        RequestError: not TOML, or not of this type; one line a fault, each with the file and the path of the key.
    """
    raw = parse_table(text, where)
    if "schema" in kind.model_fields or "schema_" in kind.model_fields:
        found = raw.get("schema")
        if found != SCHEMA:
            raise RequestError(f"{where}: schema: found {shown(found)}, this kit reads schema = {SCHEMA}")
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        # Of a key that may be a name or a table (scale), the table's faults say it all.
        faults = [fault for fault in error.errors(include_url=False) if fault["loc"][-2:] != ("scale", "str")]
        lines = [f"{where}: {_explain(kind, fault)}" for fault in faults[:MOST_FAULTS]]
        if len(faults) > MOST_FAULTS:
            lines.append(f"{where}: {len(faults) - MOST_FAULTS:,} more faults")
        raise RequestError("\n".join(lines)) from error


def parse_table(text: str, where: str) -> dict[str, Any]:
    """Return the keys and values of a TOML text; a text that would take too long is refused before it is parsed.

    Raises:
        RequestError: not TOML, or tables nested deeper than :data:`DEEPEST`, a number of thousands of digits, a text
            with a zero byte.
    """
    text = text.lstrip("\ufeff")  # a byte-order mark, which some editors write
    _check_depth(text, where)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RequestError(f"{where}: not TOML: {one_line(str(error), LONGEST_FAULT)}") from error
    except ValueError as error:  # Python converts no more than 4,300 digits, which would take long
        raise RequestError(f"{where}: a whole number of more than 4,300 digits; no key takes one") from error
    _check_zero_bytes(raw, where)
    return raw


def read(kind: type[Document], path: Path, where: str = "") -> Document:
    """Read one TOML file; ``where`` names it in messages, by default the file's name does."""
    name = one_line(where or path.name)
    return parse(kind, _text(path, name), name)


def read_table(path: Path) -> dict[str, Any]:
    """Return the keys and values of a TOML file that has no type of its own.

    Raises:
        RequestError: the file can't be read, or :func:`parse_table` refuses its text.
    """
    return parse_table(_text(path, path.name), path.name)


def _text(path: Path, name: str) -> str:
    """Return the text of a TOML file."""
    return decode(read_bytes(path, max_bytes=MAX_BYTES), name)


def _check_depth(text: str, where: str) -> None:
    """Check that tables and lists are not nested deeper than :data:`DEEPEST`, and that no key has as many parts.

    The parser calls itself for each bracket, and takes time that grows with the cube of a key's parts.

    Raises:
        RequestError: the text is nested deeper, or a key has too many parts.
    """
    depth = dots = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token == ".":
            dots += 1
        elif token in "[{":
            depth, dots = depth + 1, 0
        elif token in "]}":
            depth = max(0, depth - 1)
        elif token in "\n=,":
            dots = 0
        if depth > DEEPEST or dots >= DEEPEST:
            line = text.count("\n", 0, match.start()) + 1
            what = "keys joined by dots" if dots else "brackets in each other"
            raise RequestError(f"{where}: line {line:,}: more than {DEEPEST} {what}; no manifest has tables that deep")


def _check_zero_bytes(raw: Mapping[str, Any], where: str) -> None:
    """Check that no text or key has a zero byte: no file, model or address has one in its name.

    Raises:
        RequestError: a text or key has one.
    """
    stack: list[tuple[tuple[int | str, ...], Any]] = [((), raw)]
    while stack:
        location, value = stack.pop()
        if isinstance(value, dict):
            stack += [((*location, name), item) for name, item in value.items()]
            texts = list(value)
        elif isinstance(value, list):
            stack += [((*location, index), item) for index, item in enumerate(value)]
            continue
        else:
            texts = [value] if isinstance(value, str) else []
        if any("\0" in text for text in texts):
            place = f" {key_path(location)}:" if location else ""
            raise RequestError(f"{where}:{place} a text with a zero byte; no name, path or text of a manifest has one")


def key_path(location: tuple[int | str, ...]) -> str:
    """Return the path of a key as text: ``("experiment", 0, "sft")`` becomes ``experiment[0].sft``."""
    text = ""
    for index in location:
        part = index if isinstance(index, int) else one_line(index, LONGEST_NAME)
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _explain(kind: type[Strict], fault: Mapping[str, Any]) -> str:
    """Return one line on one of pydantic's faults: path of the key, the fault, what was found."""
    inner = fault.get("ctx", {}).get("at", ())  # where in the table a fault lies that its own type found
    location = tuple(part for part in (*fault["loc"], *inner) if part not in ("Scale", "str", "[key]", ONE, LIST))
    where = key_path(location)
    if fault["type"] == "extra_forbidden":
        known = _fields_at(kind, location[:-1])
        return f"{where}: no such key{_other_place(kind, location) or did_you_mean(str(location[-1]), known)}"
    if fault["type"] == "missing":
        return f"{where}: missing; it has no default"
    if fault["type"] == "model_type":
        wanted = "a table, or the name of a scale" if fault["loc"][-1:] == ("Scale",) else "a table"
        return f"{where}: wanted {wanted}, found {shown(fault['input'])}"
    if fault["type"] == "list_type" and isinstance(fault["input"], dict) and _fields_at(kind, (*location, 0)):
        header = key_path(tuple(part for part in location if isinstance(part, str)))
        return f"{where}: wanted a list of tables, found one table; its header has two brackets, [[{header}]]"
    message = fault["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    found = "" if isinstance(fault["input"], dict) else f", found {_without_password(shown(fault['input']))}"
    return f"{where}: {message}{found}" if where else message


def _other_place(kind: type[Strict], location: tuple[int | str, ...]) -> str:
    """Return the end of a message with the tables that have a key which the table at ``location`` does not have.

    Looked at are the tables in this one and those around it; empty if none of them has the key.
    """
    table, name = location[:-1], str(location[-1])
    inner = [field for field in _fields_at(kind, table) if name in _fields_at(kind, (*table, field))]
    if inner:
        return f"; did you mean {' or '.join(f'{field}.{name}' for field in inner)}?"
    for end in range(len(table) - 1, -1, -1):
        if name in _fields_at(kind, table[:end]):
            place = key_path((*table[:end], name))
            return f"; did you mean {place}? A key below a table's header belongs to that table; write it above"
    return ""


def _without_password(text: str) -> str:
    """Return the text without the user name and password of an address."""
    return re.sub(r"//[^/@]*@", "//...@", text)


def _fields_at(kind: type[Strict], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that the table at ``location`` may have."""
    current: Any = kind
    for part in location:
        current = _table(current)
        if isinstance(current, type) and issubclass(current, BaseModel):
            spec = current.model_fields.get(str(part)) or current.model_fields.get(f"{part}_")
            current = spec.annotation if spec else None
        else:
            current = _element(current)
    current = _table(current)
    if isinstance(current, type) and issubclass(current, BaseModel):
        return [spec.alias or name for name, spec in current.model_fields.items()]
    return []


def _table(annotation: Any) -> Any:
    """Return the table type of ``X`` or ``X | None``; any other type as it is."""
    types = getattr(annotation, "__args__", ()) if get_origin(annotation) not in (list, dict) else ()
    models = [kind for kind in types if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return models[0] if models else annotation


def _element(annotation: Any) -> Any:
    """Return the type of the items of a list, or of the values of a dictionary."""
    arguments = getattr(annotation, "__args__", ())
    return _table(arguments[-1]) if arguments else None
