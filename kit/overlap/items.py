"""Test items out of benchmarks' problems and of people's own files of questions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from kit.errors import RequestError, listed, one_line
from kit.files.completions.names import ID_FIELDS, PROMPT_FIELDS
from kit.files.rowfiles import objects
from kit.overlap import Item
from kit.records import Problem


def items_of(test: str, problems: Iterable[Problem]) -> list[Item]:
    """Return the items of a benchmark.

    Args:
        test: name of the benchmark.
        problems: its problems.

    Raises:
        RequestError: a problem has no text that a model is asked with.
    """
    return [
        Item(test=test, id=problem.id, text=_asked(problem.data, f"{test}: problem {problem.id}"))
        for problem in problems
    ]


def read_items(path: Path) -> list[Item]:
    """Return the items of a user's own file of questions, JSON or JSONL.

    Raises:
        RequestError: the file can't be read, or a record has no question.
    """
    found = []
    for place, (where, record) in enumerate(objects(path)):
        id = next((record[name] for name in ID_FIELDS if isinstance(record.get(name), str | int)), place)
        found.append(Item(test=path.name, id=str(id), text=_asked(record, where)))
    if not found:
        raise RequestError(f"{one_line(str(path))}: no record; wanted test items")
    return found


def _asked(data: Mapping[str, Any], where: str) -> str:
    """Return the text that a model is asked with: the question, without options, examples and answer."""
    for name in PROMPT_FIELDS:
        if isinstance(text := data.get(name), str) and text.strip():
            more = data.get("input") if name == "instruction" else None
            return f"{text}\n{more}" if isinstance(more, str) and more else text
    raise RequestError(f"{where}: no question; found {listed(sorted(data))}, wanted one of {', '.join(PROMPT_FIELDS)}")
