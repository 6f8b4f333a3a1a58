"""JSON objects of a file that has one a line, each with its place for messages."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kit.errors import RequestError, one_line
from kit.reading.jsonfiles import BeyondError, DeepError, likely_cause, load_json
from kit.reading.textfiles import read_text

BYTE_ORDER_MARK = "\ufeff"
"""The character that some editors write in front of a text file; no part of the text."""
MOST_LINES = 5
"""Lines at fault that a message names beside the first."""


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects of a JSONL file, plain or gzip, each with its place (``file:line``), blank lines skipped.

    Raises:
        RequestError: the file is not UTF-8, a line is not JSON or beyond what can be read, or not an object.
    """
    yield from objects_of(read_text(path), one_line(str(path)))


def objects_of(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects of a text that was read before, as :func:`read_objects`; ``name`` is its file's.

    Where one line is at fault and others are not, the message counts all lines at fault, so that nobody has to find
    them one by one.
    """
    lines = ((number, line.lstrip(BYTE_ORDER_MARK)) for number, line in enumerate(text.split("\n"), 1))
    rows = ((number, line) for number, line in lines if line and not line.isspace())
    for good, (number, line) in enumerate(rows):
        where = f"{name}:{number}"
        try:
            value = load_object(line, where)
        except RequestError as error:
            later = {other: _is_object(another) for other, another in rows}
            bad = [other for other, fine in later.items() if not fine]
            if bad and good + len(later) > len(bad):
                raise RequestError(f"{error} ({_more_lines(bad)})") from error
            raise
        yield where, value


def load_object(line: str, where: str) -> dict[str, Any]:
    """Return the JSON object of one line of a file.

    Raises:
        RequestError: it is no JSON, beyond what can be read, or not an object.
    """
    value = load_line(line, where)
    if not isinstance(value, dict):
        raise RequestError(f"{where}: found {type(value).__name__}, wanted a JSON object")
    return value


def _is_object(line: str) -> bool:
    """Return whether a line is a JSON object that can be read."""
    try:
        load_object(line, "")
    except RequestError:
        return False
    return True


def _more_lines(numbers: Sequence[int]) -> str:
    """Return how many more lines of a file can't be read, and the first of them."""
    first = ", ".join(map(str, numbers[:MOST_LINES]))
    rest = f" and {len(numbers) - MOST_LINES:,} more" if len(numbers) > MOST_LINES else ""
    if len(numbers) == 1:
        return f"line {first} can't be read either"
    return f"{len(numbers):,} more lines can't be read either: {first}{rest}"


def load_line(line: str, where: str) -> Any:
    """Return the JSON value of one line of a file.

    Raises:
        RequestError: it is no JSON, or beyond what can be read.
    """
    try:
        return load_json(line, unique_names=True)
    except json.JSONDecodeError as error:
        raise RequestError(f"{where}: not JSON: {error.msg}: column {error.colno}; {likely_cause(error)}") from error
    except BeyondError as error:
        raise RequestError(f"{where}: {beyond_json(error)}") from error


def beyond_json(error: BeyondError | RecursionError) -> str:
    """Explain why the kit does not read JSON that Python reads: a number too long, or lists nested too deep."""
    if isinstance(error, DeepError | RecursionError):
        return "lists or objects nested too deep to read; wanted records of texts"
    if isinstance(error.__cause__, ValueError):  # Python's own, on whole numbers
        return "a whole number of more than 4,300 digits; wanted it as text, or rounded"
    return f"{error}; wanted {error.wanted}"
