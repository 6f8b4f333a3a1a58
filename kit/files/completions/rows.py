"""One file's JSON -> its rows: a list's items, an object's members or what it stands around, or a value a line."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kit.errors import LONGEST_NAME, RequestError, one_line, shown
from kit.files.completions.names import ID_FIELDS, KNOWN, PROMPT_FIELDS, TEXT_FIELDS
from kit.files.completions.opening import File
from kit.reading.jsonfiles import BeyondError, load_json
from kit.reading.jsonlines import beyond_json, load_line


class ById(dict[str, Any]):
    """One member of an object whose names are ids: ``{"HumanEval/0": "text"}``."""


class Position(dict[str, Any]):
    """One member of OpenCompass's object, whose names count from 0."""


def read_rows(file: File) -> list[tuple[str, Any]]:
    """Return the rows of one file: a JSON list's items, a JSON object's, or one a line.

    Raises:
        RequestError: it is empty, or no JSON.
    """
    if not file.text.strip():
        raise RequestError(f"{file.where}: empty; wanted a JSON list or JSONL of records")
    whole = _whole(file)
    if isinstance(whole, list):
        return [(f"{file.where}[{index}]", row) for index, row in enumerate(whole)]
    if isinstance(whole, dict):
        line = "" if "\n" in file.text.strip() else ":1"
        rows = [] if _is_record(whole) else _object(file.where, whole)
        return rows or [(f"{file.where}{line}", whole)]
    return list(_lines(file))


def _whole(file: File) -> Any:
    """Return the file as one JSON value; ``None`` where it is none, or a value of another kind: the lines tell."""
    try:
        value = load_json(file.text, unique_names=True)
    except json.JSONDecodeError as error:
        if not file.text.lstrip().startswith("[") or _many_lines(file.text):
            return None
        place = f"line {error.lineno} column {error.colno}"
        raise RequestError(f"{file.where}: not JSON: {error.msg}: {place}; is the file cut off?") from error
    except BeyondError as error:
        if not file.text.lstrip().startswith("[") or _many_lines(file.text):
            return None  # the lines tell, and where
        raise RequestError(f"{file.where}: {beyond_json(error)}") from error
    return value if isinstance(value, list | dict) else None


def _many_lines(text: str) -> bool:
    """Tell whether the first line is a JSON list of its own: JSONL of lists starts with a bracket as a list does."""
    first, _, rest = text.lstrip().partition("\n")
    try:
        return bool(rest.strip()) and isinstance(load_json(first), list)
    except ValueError:
        return False


def _lines(file: File) -> Iterator[tuple[str, Any]]:
    """Give the value of each line that is not blank."""
    for number, line in enumerate(file.text.split("\n"), 1):
        value = line.strip("\ufeff \t\r")  # files joined by `cat` keep each its byte-order mark
        if not value:
            continue
        where = f"{file.where}:{number}"
        yield where, load_line(value, where)


def _is_record(whole: Mapping[str, Any]) -> bool:
    """Tell whether an object is one record, and not something around a list of them.

    A record may hold a list of objects itself (an IFEval row's ``kwargs``, a response's ``choices``); what is around a
    list may have a name or an id (of the run). So the prompt or the text tells, and else the objects of the list.
    """
    if any(isinstance(whole.get(name), str) for name in (*TEXT_FIELDS, *PROMPT_FIELDS)):
        return True
    if "choices" not in whole and any(KNOWN & set(whole[name][0]) for name in _lists(whole)):
        return False
    return any(isinstance(whole.get(name), str | int) for name in ID_FIELDS)


def _lists(whole: Mapping[str, Any]) -> list[str]:
    """Return the names of an object's members that are lists of objects."""
    return [name for name, value in whole.items() if isinstance(value, list) and value and _all_objects(value)]


def _object(where: str, whole: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return the records in a file's one JSON object: OpenCompass's, a list with something around it, or texts by id.

    Nothing comes back where the object is none of them, and so one record itself.

    Raises:
        RequestError: OpenCompass's numbers have a gap.
    """
    if whole and all(name.isdecimal() for name in whole) and _all_objects(whole) and _predictions(whole):
        return _positions(where, whole)
    lists = _lists(whole)
    if "samples" in lists and ("eval" in whole or "plan" in whole):  # Inspect's
        lists = ["samples"]
    lists = [name for name in lists if KNOWN & set(whole[name][0])] or lists
    if len(lists) == 1:
        name = lists[0]
        place = f"{where}: {one_line(name, LONGEST_NAME)}"
        return [(f"{place}[{index}]", row) for index, row in enumerate(whole[name])]
    if isinstance(whole.get("eval"), dict) and "samples" not in whole:  # EvalPlus's *_eval_results.json
        whole, where = whole["eval"], f"{where}: eval"
    if whole and all(_is_id(name) and isinstance(value, str | list | dict) for name, value in whole.items()):
        return [(f"{where}[{shown(id)}]", ById({id: value})) for id, value in whole.items()]
    return []


def _is_id(name: str) -> bool:
    """Tell whether an object's name may be a problem's id, and no field's name: ids are numbered."""
    return any(letter.isdecimal() for letter in name)


def _all_objects(values: Mapping[str, Any] | Sequence[Any]) -> bool:
    items = values.values() if isinstance(values, Mapping) else values
    return all(isinstance(value, dict) for value in items)


def _predictions(whole: Mapping[str, Any]) -> bool:
    """Tell whether an object's members look like OpenCompass's."""
    return all("prediction" in value for value in whole.values())


def _positions(where: str, whole: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return OpenCompass's rows in the order of their numbers, which need not be the file's.

    Raises:
        RequestError: a number is left out.
    """
    rows = {n: whole[str(n)] for n in range(len(whole)) if str(n) in whole}
    if missing := [n for n in range(len(whole)) if n not in rows]:
        raise RequestError(
            f"{where}: {len(whole):,} predictions, and none is numbered {missing[0]}; wanted 0 to {len(whole) - 1}, "
            "as a finished run has them"
        )
    return [(f"{where}['{n}']", Position(rows[n])) for n in range(len(rows))]
