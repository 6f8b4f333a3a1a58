"""Completions files as people's tools write them -> one text a problem, or an error that names what is missing."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.records import Problem
from kit.seeds import objects

ID_FIELDS = ("task_id", "id", "key", "question_id", "problem_id", "name")
PROMPT_FIELDS = ("prompt", "question", "problem", "instruction", "text", "query")
TEXT_FIELDS = (
    "completion",
    "response",
    "output",
    "generation",
    "answer",
    "prediction",
    "solution",
    "generated_text",
    "text",
)


def read_completions(path: Path, problems: Sequence[Problem], field: str | None = None) -> list[str]:
    """The text for each problem, in the problems' order.

    Args:
        path: JSONL or a JSON list; each record has an id (``task_id``, ``id``, ``key``, ...) or the problem's own text
            (``prompt``, ``question``, ...), and a text (``completion``, ``response``, ``output``, ...).
        problems: what was asked.
        field: where the text is, dots for nested records (``6b_finetuning.solution``); found by name if not given.

    Raises:
        RequestError: no field is known, an id stands twice or belongs to no problem, or a problem has no text.
    """
    rows = objects(path)
    if not rows:
        raise RequestError(f"{path}: no record; wanted one completion a problem ({len(problems):,})")
    key_field, keys = _keys(path, rows[0][1], problems)
    text_field = field or _text_field(path, rows[0][1], key_field)
    texts: dict[str, str] = {}
    seen: dict[str, str] = {}
    for where, row in rows:
        key = str(_at(row, key_field, where))
        if key not in keys:
            raise RequestError(
                f"{where}: {key_field} {_short(key)} belongs to no problem; is it another benchmark's or split's?"
            )
        if keys[key] in seen:
            raise RequestError(
                f"{where}: {key_field} {_short(key)} stands twice, first at {seen[keys[key]]}; one completion each"
            )
        text = _at(row, text_field, where)
        if not isinstance(text, str):
            raise RequestError(f"{where}: {text_field}: found {type(text).__name__}, wanted text")
        seen[keys[key]] = where
        texts[keys[key]] = text
    if missing := [problem.id for problem in problems if problem.id not in texts]:
        raise RequestError(
            f"{path}: {len(missing):,} of {len(problems):,} problems have no completion, "
            f"the first is {_short(missing[0])}; give every problem one, an empty text if the model said nothing"
        )
    return [texts[problem.id] for problem in problems]


def _keys(path: Path, row: Mapping[str, Any], problems: Sequence[Problem]) -> tuple[str, dict[str, str]]:
    """The field that says which problem a record answers, and its values -> problem ids."""
    ids = {problem.id: problem.id for problem in problems}
    for name in ID_FIELDS:
        if name in row:
            short = {problem.id.rpartition("/")[2]: problem.id for problem in problems}
            return name, ids if str(row[name]) in ids or len(short) < len(ids) else {**short, **ids}
    for name in PROMPT_FIELDS:
        if name in row:
            by_text = _by_text(problems, row[name])
            if by_text:
                return name, by_text
    raise RequestError(
        f"{path}: the first record has {', '.join(sorted(row)) or 'no field'}; wanted an id ({', '.join(ID_FIELDS)}) "
        f"or the problem's text ({', '.join(PROMPT_FIELDS)})"
    )


def _by_text(problems: Sequence[Problem], sample: Any) -> dict[str, str] | None:
    """Problem text -> id, by the field of the problems that holds texts such as ``sample``."""
    candidates = [name for name in PROMPT_FIELDS if name in problems[0].data]
    found = None
    for name in candidates:
        texts = {str(problem.data[name]): problem.id for problem in problems}
        if len(texts) == len(problems):
            found = found or texts
            if sample in texts:
                return texts
    return found


def _text_field(path: Path, row: Mapping[str, Any], key_field: str) -> str:
    """The field that holds the text."""
    for name in TEXT_FIELDS:
        if name != key_field and isinstance(row.get(name), str):
            return name
    raise RequestError(
        f"{path}: the first record has {', '.join(sorted(row))}; wanted the text in one of {', '.join(TEXT_FIELDS)}, "
        "or its field by name with --field"
    )


def _at(row: Mapping[str, Any], field: str, where: str) -> Any:
    value: Any = row
    for part in field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise RequestError(f"{where}: no field {field!r}; it has {', '.join(sorted(row))}")
        value = value[part]
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
