"""Reading a benchmark's JSONL file, and choosing a protocol: what the benchmarks share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from kit.errors import RequestError, did_you_mean
from kit.records import Problem, read_objects

Choice = TypeVar("Choice")


def problems(path: Path, fields: Mapping[str, type], id_field: str) -> list[Problem]:
    """One problem a line.

    Args:
        path: a JSONL file.
        fields: the fields that each line must have, with their types; others are kept as they are.
        id_field: the field that holds the id; where a line lacks it, the line's position (from 0) is the id.

    Raises:
        RequestError: a field is missing or of another type, an id stands twice, or the file is empty.
    """
    rows: dict[str, Problem] = {}
    for where, value in read_objects(path):
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
