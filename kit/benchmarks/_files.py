"""Reading a benchmark's JSONL file, and choosing a protocol: what the benchmarks share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from kit.errors import RequestError, did_you_mean
from kit.records import Problem
from kit.seeds import objects
from kit.textfiles import read_text

Choice = TypeVar("Choice")


def problems(path: Path, fields: Mapping[str, type], id_field: str) -> list[Problem]:
    """Return the problems of a file, one a record.

    Args:
        path: JSONL or a JSON list, plain or gzip.
        fields: the fields that each line must have, with their types; others are kept as they are.
        id_field: the field that holds the id; where a line lacks it, the line's position (from 0) is the id.

    Raises:
        RequestError: a field is missing or of another type, an id stands twice, or the file is empty.
    """
    rows: dict[str, Problem] = {}
    for where, value in objects(path) if read_text(path).strip() else []:
        for name, kind in fields.items():
            if not isinstance(value.get(name), kind):
                found = f"{type(value[name]).__name__}" if name in value else "nothing"
                raise RequestError(
                    f"{where}: field {name!r}: found {found}, wanted {kind.__name__}; is it another set?"
                )
        key = str(value.get(id_field, len(rows)))
        if key in rows:
            raise RequestError(f"{where}: the id {key!r} stands twice; is the file two files joined?")
        rows[key] = Problem(id=key, data=value)
    if not rows:
        raise RequestError(f"{path}: no problem in it; is the file cut off?")
    return list(rows.values())


def choose(protocols: Mapping[str, Choice], name: str) -> Choice:
    """The protocol of that name.

    Raises:
        RequestError: there is none.
    """
    if name not in protocols:
        raise RequestError(f"no protocol named {name!r}{did_you_mean(name, protocols)}")
    return protocols[name]
