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


IFEVAL_OF_2023 = (
    " Responses of before June 2024, GPT-4's published ones too, answer IFEval's older input_data.jsonl "
    "(google-research 1d49f2c0): give it with --data"
)


def read_completions(
    path: Path, problems: Sequence[Problem], field: str | None = None, rows: int | None = None
) -> tuple[list[str], str]:
    """The text for each problem, in the problems' order, and the field that the texts were read from.

    Args:
        path: JSONL or a JSON list; each record has an id (``task_id``, ``id``, ``key``, ...) or the problem's own text
            (``prompt``, ``question``, ...), and a text (``completion``, ``response``, ``output``, ...).
        problems: what was asked.
        field: where the text is, dots for nested records (``6b_finetuning.solution``); found by name if not given.
        rows: texts for the first so many problems will do; all by default.

    Raises:
        RequestError: no field is known or more than one may be meant, an id stands twice or belongs to no problem, or a
            problem has no text.
    """
    records = objects(path)
    if not records:
        raise RequestError(f"{path}: no record; wanted one completion a problem ({len(problems):,})")
    key_field, keys = _keys(records, problems)
    matched: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for where, row in records:
        value = _at(row, key_field, where)
        if str(value) not in keys:
            raise RequestError(_stranger(where, {key_field: value}, problems))
        if (id := keys[str(value)]) in matched:
            first = matched[id][0]
            raise RequestError(
                f"{where}: {key_field} {_short(str(value))} stands twice, first at {first}; one completion each"
            )
        matched[id] = (where, row)
    name = field or _text_field(path, problems, {id: row for id, (_, row) in matched.items()}, key_field)
    wanted = [problem.id for problem in problems[:rows]]
    asked = set(wanted)
    texts = {id: _text(name, where, row) for id, (where, row) in matched.items() if id in asked}
    if missing := [id for id in wanted if id not in texts]:
        raise RequestError(
            f"{path}: {len(missing):,} of {len(wanted):,} problems have no completion, "
            f"the first is {_short(missing[0])}; give every problem one, an empty text if the model said nothing"
        )
    return [texts[id] for id in wanted], name


def _keys(records: Sequence[tuple[str, Mapping[str, Any]]], problems: Sequence[Problem]) -> tuple[str, dict[str, str]]:
    """The field that says which problem a record answers, and its values -> problem ids; the first record says.

    A tool may number its records in its own way: the problem's own text, where it is there, counts more than an id.
    """
    where, row = records[0]
    ids = {problem.id: problem.id for problem in problems}
    short = {problem.id.rpartition("/")[2]: problem.id for problem in problems}
    every_id = {**short, **ids} if len(short) == len(ids) else ids
    by_id = [(name, every_id) for name in ID_FIELDS if str(row.get(name)) in every_id]
    every_text = _texts(problems)
    by_text = [(name, texts) for name in PROMPT_FIELDS for texts in every_text if str(row.get(name)) in texts]
    if by_id and by_text:
        (named, _), (told, texts) = by_id[0], by_text[0]
        pairs = [(every_id.get(str(row.get(named))), texts.get(str(row.get(told)))) for _, row in records]
        return by_text[0] if any(id != other for id, other in pairs if other is not None) else by_id[0]
    if found := by_id or by_text:
        return found[0]
    if strange := {name: row[name] for name in (*ID_FIELDS, *PROMPT_FIELDS) if row.get(name) is not None}:
        raise RequestError(_stranger(where, strange, problems))
    raise RequestError(
        f"{where}: found {', '.join(sorted(row)) or 'no field'}; wanted an id ({', '.join(ID_FIELDS)}) "
        f"or the problem's text ({', '.join(PROMPT_FIELDS)})"
    )


def _texts(problems: Sequence[Problem]) -> list[dict[str, str]]:
    """Problem text -> id, for each field of the problems that holds another text in each."""
    names = [name for name in PROMPT_FIELDS if name in problems[0].data]
    found = [{str(problem.data.get(name)): problem.id for problem in problems} for name in names]
    return [texts for texts in found if len(texts) == len(problems)]


def _stranger(where: str, values: Mapping[str, Any], problems: Sequence[Problem]) -> str:
    """The message on a record that answers none of the problems, by the values that could have told."""
    told = " and ".join(f"{name} {_short(str(value))}" for name, value in values.items())
    ifeval = "instruction_id_list" in problems[0].data and "prompt" in values
    verb = "belongs" if len(values) == 1 else "belong"
    return f"{where}: {told} {verb} to no problem; is it another benchmark's or split's?" + IFEVAL_OF_2023 * ifeval


def _text_field(path: Path, problems: Sequence[Problem], rows: Mapping[str, Mapping[str, Any]], key_field: str) -> str:
    """The field that holds the model's texts; ``rows``: problem id -> its record.

    A file may bring the benchmark's own fields along, its reference answer too: what the problems hold with the same
    text, in more than half of the records, is not the model's.
    """
    found = [
        name
        for name in TEXT_FIELDS
        if name != key_field and any(isinstance(row.get(name), str) for row in rows.values())
    ]
    if not found:
        raise RequestError(
            f"{path}: the first record has {', '.join(sorted(next(iter(rows.values()))))}; wanted the text in one of "
            f"{', '.join(TEXT_FIELDS)}, or its field by name with --field"
        )
    data = {problem.id: problem.data for problem in problems}

    def own(name: str, fields: Sequence[str] | None = None) -> bool:
        same = sum(
            any(_same(row.get(name), data[id].get(other)) for other in fields or data[id]) for id, row in rows.items()
        )
        return 2 * same > len(rows)

    # A reference under another name is somebody's test of the grader, if it stands alone.
    left = [name for name in found if not own(name)] or [name for name in found if not own(name, [name])]
    if not left:
        raise RequestError(
            f"{path}: no text but the benchmark's own ({', '.join(found)}); wanted a model's, by --field if need be"
        )
    if len(left) > 1:
        raise RequestError(f"{path}: the text may be in {' or '.join(map(repr, left))}; say which with --field")
    return left[0]


def _same(text: Any, reference: Any) -> bool:
    """Whether both are texts, and the same but for blanks."""
    return isinstance(text, str) and isinstance(reference, str) and text.split() == reference.split() != []


def _text(field: str, where: str, row: Mapping[str, Any]) -> str:
    text = _at(row, field, where)
    if not isinstance(text, str):
        found = "null" if text is None else type(text).__name__
        raise RequestError(f"{where}: {field}: found {found}, wanted text, an empty one if the model said nothing")
    return text


def _at(row: Mapping[str, Any], field: str, where: str) -> Any:
    value: Any = row
    for part in field.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise RequestError(f"{where}: no field {field!r}; it has {', '.join(sorted(row))}")
        value = value[part]
    return value


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
