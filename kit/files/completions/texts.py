"""The field that holds the model's texts, where no layout and no user says it."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from kit.errors import LONGEST_VALUE, RequestError, listed, one_line
from kit.files.completions.fields import MISSING, find_field, is_text, join_field, read_text_at
from kit.files.completions.layouts import Record, Records
from kit.files.completions.names import RARE_TEXT_FIELDS, TEXT_FIELDS
from kit.records import Problem

PLACES = (
    "choices.0.message.content",
    "choices.0.text",
    "choices.0.turns.0",
    "response.body.choices.0.message.content",
    "response.body.choices.0.text",
    "response.choices.0.message.content",
    "output.choices.0.message.content",
    "outputs.0.text",
    "resps.0.0",
)
"""Where servers and their clients put a text, deeper in a record."""


def text_field(found: Records, problems: Sequence[Problem], matched: Mapping[str, Record], key_field: str) -> str:
    """Return the field that holds the model's texts; ``matched`` is problem id -> its record.

    A file may bring the benchmark's own fields along, its reference answer too: what the problems hold with the same
    text, in more than half of the records, is not the model's.

    Raises:
        RequestError: there is none, only the benchmark's own, or more than one.
    """
    rows = {id: record.row for id, record in matched.items()}
    if found.field is not None and any(find_field(row, found.field) is not MISSING for row in rows.values()):
        return found.field
    if found.field == "" or any(is_text(row) for row in rows.values()) or key_field == "position":
        return found.field or ""
    seen = [
        name
        for name in (*TEXT_FIELDS, *RARE_TEXT_FIELDS, *PLACES)
        if name != key_field and any(is_text(find_field(row, name)) for row in rows.values())
    ]
    if not seen:
        _refuse_no_text(matched)
        first = next(iter(rows.values()))
        names = listed(sorted(first)) if isinstance(first, Mapping) else type(first).__name__
        raise RequestError(
            f"{one_line(str(found.path))}: the first record has {names}; wanted the text in one of "
            f"{', '.join(TEXT_FIELDS)}, or its field by name with --field{_deeper(first)}"
        )
    left = _not_the_benchmarks(seen, problems, rows)
    path = one_line(str(found.path))
    if not left:
        raise RequestError(
            f"{path}: no text but the benchmark's own ({', '.join(seen)}); wanted a model's, by --field if need be"
        )
    if len(left) > 1:
        raise RequestError(f"{path}: the text may be in {' or '.join(map(repr, left))}; say which with --field")
    return left[0]


def _refuse_no_text(matched: Mapping[str, Record]) -> None:
    """Refuse a field that has a text's name and holds null or a number in every record.

    Raises:
        RequestError: there is one; the message says what stands in it.
    """
    first = next(iter(matched.values()))
    for name in (*TEXT_FIELDS, *PLACES):
        value = find_field(first.row, name)
        if value is None or isinstance(value, int | float):
            read_text_at(value, name, first.where)


def _deeper(row: Any) -> str:
    """Return the hint that names the texts which stand deeper in a record; nothing where there are none."""
    deeper = (steps for steps in _texts_in(row, ()) if len(steps) > 1)
    places = [one_line(join_field(steps), LONGEST_VALUE) for steps in islice(deeper, 6)]
    return "; there are texts at " + ", ".join(f"'{place}'" for place in places) if places else ""


def _texts_in(value: Any, steps: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Give the place of each text in a record."""
    if isinstance(value, str):
        yield steps
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _texts_in(item, (*steps, str(name)))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts_in(item, (*steps, str(index)))


def _not_the_benchmarks(seen: Sequence[str], problems: Sequence[Problem], rows: Mapping[str, Any]) -> list[str]:
    """Return the fields that don't repeat a text of the problems."""
    data = {problem.id: problem.data for problem in problems}

    def own(name: str, fields: Sequence[str] | None = None) -> bool:
        same = sum(
            any(_same(find_field(row, name), data[id].get(other)) for other in fields or data[id])
            for id, row in rows.items()
        )
        return 2 * same > len(rows)

    # A reference under another name is somebody's test of the grader, if it stands alone.
    return [name for name in seen if not own(name)] or [name for name in seen if not own(name, [name])]


def _same(text: Any, reference: Any) -> bool:
    """Tell whether both are texts, and the same but for blanks."""
    return isinstance(text, str) and isinstance(reference, str) and text.split() == reference.split() != []
