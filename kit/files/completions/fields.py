r"""Places inside a record: ``resps.0.0``, ``output.choices.0.message.content``, ``gpt-4\.1.text``."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kit.errors import LONGEST_VALUE, RequestError, listed, one_line
from kit.reading.jsonlines import beyond_json

DOT = re.compile(r"(?<!\\)\.")
DEEPEST_FIELD = 100
"""Most dots in the place of a field."""
LONGEST_FIELD = 4000
"""Most characters in the place of a field."""
LONGEST_NUMBER = 9
"""Digits of an item's number in a list."""
MISSING = object()


@contextmanager
def refuse_too_deep(path: Path) -> Iterator[None]:
    """Turn a nest that Python can't follow into an error on the file.

    Raises:
        RequestError: lists or objects are nested too deep.
    """
    try:
        yield
    except RecursionError as error:
        raise RequestError(f"{one_line(str(path))}: {beyond_json(error)}") from error


def split_field(field: str) -> list[str]:
    r"""Return the steps of a place: a dot leads one step deeper, ``\.`` is a dot of the name itself."""
    return [step.replace("\\.", ".") for step in DOT.split(field)]


def join_field(steps: Sequence[str]) -> str:
    """Return the place that :func:`split_field` takes apart again."""
    return ".".join(step.replace(".", "\\.") for step in steps)


def check_field(field: str) -> None:
    """Refuse a place that leads deeper than any record goes; looking it up takes time that grows with its square.

    Raises:
        RequestError: it does.
    """
    if field.count(".") > DEEPEST_FIELD or len(field) > LONGEST_FIELD:
        raise RequestError(
            f"--field {one_line(field, LONGEST_VALUE)}: wanted {DEEPEST_FIELD} steps and {LONGEST_FIELD:,} characters "
            "at most"
        )


def find_field(value: Any, field: str) -> Any:
    """Return what stands at a place, or :data:`MISSING`."""
    return _find(value, split_field(field))


def _find(value: Any, steps: Sequence[str]) -> Any:
    """Return what the steps lead to; several may be one name with dots in it, as a shell leaves them unescaped."""
    if not steps:
        return value
    for count in range(len(steps), 0, -1):
        child = _child(value, ".".join(steps[:count]))
        found = MISSING if child is MISSING else _find(child, steps[count:])
        if found is not MISSING:
            return found
    return MISSING


def read_field(value: Any, field: str, where: str) -> Any:
    """Return what stands at a place.

    Raises:
        RequestError: nothing does; the message says how far the place leads and what stands there.
    """
    if (found := find_field(value, field)) is not MISSING:
        return found
    steps = split_field(field)
    depth = 0
    field = one_line(field, LONGEST_VALUE)
    while (deeper := _child(value, steps[depth])) is not MISSING:
        value, depth = deeper, depth + 1
    start = f"'{join_field(steps[:depth])}'" if depth else "it"
    raise RequestError(f"{where}: no field '{field}'; {start} {_contents(value)}")


def refuse_several(value: Any, field: str, where: str) -> None:
    """Refuse a place that the kit chose itself, where it takes the first of several responses.

    Raises:
        RequestError: a list on the way has more than one item; the message says which ``--field`` takes the first.
    """
    steps = split_field(field) if field else []
    for depth, step in enumerate(steps):
        if isinstance(value, list) and len(value) > 1:
            raise RequestError(
                f"{where}: {join_field(steps[:depth])}: found a list of {len(value):,}, and one completion a problem "
                f"is graded; take one by its number, the first is --field {field}"
            )
        value = _child(value, step)


def _child(value: Any, step: str) -> Any:
    """Return one step's value: an object's field, or a list's item by its number from 0."""
    if isinstance(value, Mapping):
        return value.get(step, MISSING)
    if isinstance(value, list) and step.isdecimal() and len(step) <= LONGEST_NUMBER and int(step) < len(value):
        return value[int(step)]
    return MISSING


def _contents(value: Any) -> str:
    """Say what stands at a place, so that the next place can be written from it."""
    if isinstance(value, Mapping):
        return f"has {listed(join_field([name]) for name in sorted(map(str, value))) or 'no field'}"
    if isinstance(value, list):
        return f"is a list of {len(value):,}, numbered from 0" if value else "is an empty list"
    return f"is {_kind(value)}"


def _kind(value: Any) -> str:
    return "null" if value is None else "text" if isinstance(value, str) else type(value).__name__


def is_text(value: Any) -> bool:
    """Tell whether :func:`read_text_at` finds one text or more in a value."""
    if isinstance(value, list):
        return bool(value) and all(is_text(item) or _is_part(item) for item in value)
    return isinstance(value, str)


def _is_part(value: Any) -> bool:
    """Tell whether a value is a content part of a chat message: ``{"type": "text", "text": "..."}``."""
    return isinstance(value, Mapping) and isinstance(value.get("type"), str)


def read_text_at(value: Any, field: str, where: str) -> str:
    """Return the one text in a value: itself, the only item of a list, or the text parts of a chat message.

    Raises:
        RequestError: it holds none, or several; the message says which ``--field`` takes one of them.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(map(_is_part, value)):
        # as Inspect's ChatMessage.text joins them; reasoning and images are no part of the answer
        return "\n".join(str(part.get("text", "")) for part in value if part["type"] == "text")
    if isinstance(value, list) and len(value) == 1:
        return read_text_at(value[0], f"{field}.0".removeprefix("."), where)
    start = f"{where}: {field}: " if field else f"{where}: "
    if isinstance(value, list) and value:
        raise RequestError(
            f"{start}found a list of {len(value):,}, and one completion a problem is graded; "
            f"take one by its number, the first is --field {f'{field}.0'.removeprefix('.')}"
        )
    if isinstance(value, Mapping) and value:
        names = listed(join_field([name]) for name in sorted(map(str, value)))
        first = next((name for name, item in value.items() if is_text(item)), next(iter(value)))
        place = one_line(f"{field}.{join_field([str(first)])}".removeprefix("."), LONGEST_VALUE)
        raise RequestError(f"{start}found an object with {names}, wanted text; go on to it as in --field {place}")
    found = "an empty list" if value == [] else "an empty object" if value == {} else _kind(value)
    raise RequestError(f"{start}found {found}, wanted text, an empty one if the model said nothing")
