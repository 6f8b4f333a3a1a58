"""JSON objects of a file that has one a line, each with its place for messages."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kit.errors import RequestError, one_line
from kit.reading.jsonfiles import BeyondError, DeepError, likely_cause, load_json
from kit.reading.textfiles import read_text

BYTE_ORDER_MARK = "\ufeff"
"""The character that some editors write in front of a text file; no part of the text."""


def read_objects(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects of a JSONL file, plain or gzip, each with its place (``file:line``), blank lines skipped.

    Raises:
        RequestError: the file is not UTF-8, a line is not JSON or beyond what can be read, or not an object.
    """
    yield from objects_of(read_text(path), one_line(str(path)))


def objects_of(text: str, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the JSON objects of a text that was read before, as :func:`read_objects`; ``name`` is its file's."""
    for number, marked in enumerate(text.split("\n"), 1):
        line = marked.lstrip(BYTE_ORDER_MARK)  # files laid end to end have one in the middle too
        if not line or line.isspace():
            continue
        where = f"{name}:{number}"
        value = load_line(line, where)
        if not isinstance(value, dict):
            raise RequestError(f"{where}: found {type(value).__name__}, wanted a JSON object")
        yield where, value


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
