"""The layouts that evaluation tools write, told by their shape, and the records in them.

- lm-eval ``samples_*.jsonl``: ``doc``, ``doc_id``, ``resps`` ``[[text]]``; a row once more for each filter.
  https://github.com/EleutherAI/lm-evaluation-harness (0.4.13: ``evaluator.py``, ``evaluation_tracker.py``)
- OpenCompass ``predictions/<model>/<set>.json``, also in parts ``<set>_0.json``: ``{"0": {origin_prompt, ...}}``.
  https://github.com/open-compass/opencompass/blob/0.3.3/opencompass/openicl/icl_inferencer/icl_base_inferencer.py
- bigcode-evaluation-harness ``generations*.json``: a list of lists of texts, in the order of the problems.
  https://github.com/bigcode-project/bigcode-evaluation-harness/blob/0754793a4ba22eaaeff2c5381a480dfc36700cbe/bigcode_eval/evaluator.py
- EvalPlus ``{task_id, solution}``, or a folder ``HumanEval_0/0.py``.
  https://github.com/evalplus/evalplus/blob/1bd5f4c2382daa4c6cea8538506e0b59e4e906c7/evalplus/data/utils.py
- Inspect logs, ``.json`` or ``.eval``: ``samples`` with ``id``, ``input``, ``output.choices[0].message.content``.
  https://github.com/UKGovernmentBEIS/inspect_ai/blob/44b41cd36a6bf4b63dc7dfb17554fc7e0eed3566/src/inspect_ai/log/_recorders/eval.py

Anything else is ``records``: JSONL, a JSON list, an object of them by id, or an object around the list.
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from kit.completions.opening import File, open_files
from kit.errors import RequestError
from kit.records import beyond_json

ID_FIELDS = (
    "task_id",
    "id",
    "key",
    "question_id",
    "problem_id",
    "custom_id",
    "sample_id",
    "name",
    "idx",
    "index",
    "doc_id",
)
PROMPT_FIELDS = ("prompt", "question", "problem", "instruction", "text", "query", "input")
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
RARE_TEXT_FIELDS = (
    "model_output",
    "model_response",
    "completions",
    "responses",
    "outputs",
    "generations",
    "predictions",
)
KNOWN = {*ID_FIELDS, *PROMPT_FIELDS, *TEXT_FIELDS, *RARE_TEXT_FIELDS}
LM_EVAL, OPENCOMPASS, BIGCODE, EVALPLUS, INSPECT, PLAIN = (
    "lm-eval samples",
    "OpenCompass predictions",
    "a list of generations",
    "EvalPlus's folder",
    "an Inspect log",
    "records",
)
ATTACHMENT = "attachment://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One completion in a file."""

    where: str
    """How messages name it."""
    row: Any
    """It as the file has it."""
    keys: Mapping[str, Any]
    """Fields that may tell its problem."""
    position: int | None = None
    """Its place among the problems, from 0, where the layout goes by order."""
    asked: str = ""
    """The prompt as it was sent, examples and all, where the layout keeps it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The completions of a file, a folder or an archive."""

    path: Path
    """What was read."""
    layout: str
    """Whose layout it has."""
    records: list[Record]
    """In the order of the files."""
    field: str | None = None
    """Where the layout keeps the text; ``None`` where it has no place of its own."""
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    """reason -> how many records or files were passed by."""


def read_records(path: Path, benchmark: str = "") -> Records:
    """Return the records of a file, a folder or an archive of completions, with the name of its layout.

    Raises:
        RequestError: it can't be read, is no JSON, or holds no records.
    """
    files, others = open_files(path, benchmark)
    left_out = {"other files": others} if others else {}
    if all(file.name.endswith(".py") for file in files):
        return Records(path=path, layout=EVALPLUS, records=_programs(files), field="", left_out=left_out)
    parts = [(file, _document(file)) for file in files]
    named = [(_layout(rows), file) for file, rows in parts if rows]
    if len({layout for layout, _ in named}) > 1:
        (one, first), (other, second) = named[0], next(pair for pair in named if pair[0] != named[0][0])
        raise RequestError(f"{path}: {first.name} is {one}, {second.name} is {other}; name one of them")
    layout = named[0][0] if named else PLAIN
    if layout in (OPENCOMPASS, BIGCODE):
        _one_set(path, [file for file, _ in parts])
    rows = [row for _, rows in parts for row in rows]
    return _records(path, layout, rows, left_out)


def _records(path: Path, layout: str, rows: list[tuple[str, Any]], left_out: dict[str, int]) -> Records:
    """Return the records of one layout."""
    if layout == LM_EVAL:
        kept = list(_first_filter(rows))
        if len(kept) < len(rows):
            left_out["repeats under another filter"] = len(rows) - len(kept)
        records = [_lm_eval(where, row) for where, row in kept]
        return Records(path=path, layout=layout, records=records, field="resps.0.0", left_out=left_out)
    if layout == INSPECT:
        records = [Record(where=where, row=_attached(row), keys=row) for where, row in rows]
        place = "output.choices.0.message.content"
        return Records(path=path, layout=layout, records=records, field=place, left_out=left_out)
    if layout == OPENCOMPASS:
        records = [
            Record(where=where, row=row, keys={}, position=n, asked=said(row.get("origin_prompt")))
            for n, (where, row) in enumerate(rows)
        ]
        return Records(path=path, layout=layout, records=records, field="prediction", left_out=left_out)
    if layout == BIGCODE:
        records = [Record(where=where, row=row, keys={}, position=n) for n, (where, row) in enumerate(rows)]
        return Records(path=path, layout=layout, records=records, field="", left_out=left_out)
    records = [_plain(where, row) for where, row in rows]
    return Records(path=path, layout=layout, records=records, left_out=left_out)


class _ById(dict[str, Any]):
    """One member of an object whose names are ids: ``{"HumanEval/0": "text"}``."""


def _plain(where: str, row: Any) -> Record:
    """Return a record of no tool's own layout."""
    if isinstance(row, _ById):
        ((id, value),) = row.items()
        if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
            value = value[0]
        inner = value if isinstance(value, Mapping) else {}
        return Record(where=where, row=value, keys={**inner, "id": id})
    if not isinstance(row, Mapping):
        raise RequestError(f"{where}: found {type(row).__name__}, wanted an object")
    return Record(where=where, row=row, keys=row)


def _layout(rows: Sequence[tuple[str, Any]]) -> str:
    """Return whose layout a file's rows have, by the first of them."""
    row = rows[0][1]
    if isinstance(row, list | str):
        return BIGCODE
    if isinstance(row, _Position):
        return OPENCOMPASS
    if not isinstance(row, Mapping):
        return PLAIN
    if "resps" in row and "doc_id" in row:
        return LM_EVAL
    if isinstance(row.get("output"), Mapping) and "choices" in row["output"] and "id" in row:
        return INSPECT
    return PLAIN


class _Position(dict[str, Any]):
    """One member of OpenCompass's object, whose names count from 0."""


def _document(file: File) -> list[tuple[str, Any]]:
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
        value = json.loads(file.text)
    except (ValueError, RecursionError) as error:
        if not file.text.lstrip().startswith("[") or _many_lines(file.text):
            return None
        if isinstance(error, json.JSONDecodeError):
            place = f"line {error.lineno} column {error.colno}"
            raise RequestError(f"{file.where}: not JSON: {error.msg}: {place}; is the file cut off?") from error
        raise RequestError(f"{file.where}: {beyond_json(error)}") from error
    return value if isinstance(value, list | dict) else None


def _many_lines(text: str) -> bool:
    """Tell whether the first line is a JSON list of its own: JSONL of lists starts with a bracket as a list does."""
    first, _, rest = text.lstrip().partition("\n")
    try:
        return bool(rest.strip()) and isinstance(json.loads(first), list)
    except (ValueError, RecursionError):
        return False


def _lines(file: File) -> Iterator[tuple[str, Any]]:
    """Give the value of each line that is not blank."""
    for number, line in enumerate(file.text.split("\n"), 1):
        value = line.strip("\ufeff \t\r")  # files joined by `cat` keep each its byte-order mark
        if not value:
            continue
        where = f"{file.where}:{number}"
        try:
            yield where, json.loads(value)
        except json.JSONDecodeError as error:
            raise RequestError(f"{where}: not JSON: {error.msg}: column {error.colno}; is the file cut off?") from error
        except (ValueError, RecursionError) as error:
            raise RequestError(f"{where}: {beyond_json(error)}") from error


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
        return [(f"{where}: {name}[{index}]", row) for index, row in enumerate(whole[name])]
    if isinstance(whole.get("eval"), dict) and "samples" not in whole:  # EvalPlus's *_eval_results.json
        whole, where = whole["eval"], f"{where}: eval"
    if whole and all(_is_id(name) and isinstance(value, str | list | dict) for name, value in whole.items()):
        return [(f"{where}[{id!r}]", _ById({id: value})) for id, value in whole.items()]
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
    rows = {int(name): value for name, value in whole.items()}
    if missing := [n for n in range(len(rows)) if n not in rows]:
        raise RequestError(
            f"{where}: {len(rows):,} predictions, and none is numbered {missing[0]}; wanted 0 to {len(rows) - 1}, "
            "as a finished run has them"
        )
    return [(f"{where}['{n}']", _Position(rows[n])) for n in range(len(rows))]


def _one_set(path: Path, files: Sequence[File]) -> None:
    """Check that files which go by position are one set, whole or in parts ``<set>_0``, ``<set>_1``, ...

    Raises:
        RequestError: they are several sets, or a part is missing.
    """
    stems = [re.sub(r"\.jsonl?(\.gz)?$", "", file.name) for file in files]
    if len(stems) == 1:
        return
    parts = [re.fullmatch(r"(.*)_(\d+)", stem) for stem in stems]
    sets = [part[1] if part else stem for part, stem in zip(parts, stems, strict=True)]
    if names := [name for name, _ in groupby(sets)][1:]:
        raise RequestError(f"{path}: {len(names) + 1} sets of predictions ({sets[0]}, {names[0]}); name one file")
    numbers = [int(part[2]) if part else -1 for part in parts]
    if numbers != list(range(len(files))):
        found = ", ".join(PurePosixPath(stem).name for stem in stems)
        raise RequestError(f"{path}: parts {found}; wanted {sets[0]}_0 to _{len(files) - 1}, or one whole file")


def _first_filter(rows: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Give lm-eval's rows without those that repeat a document's responses under another filter."""
    seen: dict[str, Any] = {}
    for where, row in rows:
        key = json.dumps([where.rpartition(":")[0], row.get("doc_id"), row.get("doc")], sort_keys=True)
        if key in seen and row.get("filter") != seen[key].get("filter") and row.get("resps") == seen[key].get("resps"):
            continue
        seen.setdefault(key, row)
        yield where, row


def _lm_eval(where: str, row: Mapping[str, Any]) -> Record:
    """Return an lm-eval row's record: the document's own fields tell its problem, else ``doc_id``."""
    doc = row["doc"] if isinstance(row.get("doc"), Mapping) else {}
    return Record(where=where, row=row, keys={**doc, "doc_id": row["doc_id"]}, asked=said(row.get("arguments")))


def said(prompt: Any) -> str:
    """Return the text of a prompt that was sent: a text, a chat's turns, or lm-eval's arguments."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list):
        return "\n".join(said(turn) for turn in prompt)
    if isinstance(prompt, Mapping):
        names = ("prompt", "content", "gen_args_0", "arg_0")
        return "\n".join(said(prompt[name]) for name in names if name in prompt)
    return ""


def _attached(row: Mapping[str, Any]) -> Any:
    """Return an Inspect sample with its attachments put back where the log refers to them."""
    attachments = row.get("attachments")
    if not isinstance(attachments, Mapping) or not attachments:
        return row

    def resolve(value: Any) -> Any:
        if isinstance(value, str) and value.startswith(ATTACHMENT):
            return attachments.get(value.removeprefix(ATTACHMENT), value)
        if isinstance(value, list):
            return [resolve(item) for item in value]
        if isinstance(value, Mapping):
            return {name: resolve(item) for name, item in value.items()}
        return value

    return {**row, "output": resolve(row["output"])}


def _programs(files: Sequence[File]) -> list[Record]:
    """Return a record for each folder of programs: ``HumanEval_0/0.py`` is the first sample of ``HumanEval_0``.

    A folder's samples come in the order of their numbers, as the files do.
    """
    found: dict[str, dict[str, str]] = {}
    for file in files:
        path = PurePosixPath(file.name)
        found.setdefault(str(path.parent), {})[path.stem] = file.text
    wheres = {str(PurePosixPath(file.name).parent): str(Path(file.where).parent) for file in files}
    return [
        Record(where=wheres[folder], row=list(samples.values()), keys={"task_id": PurePosixPath(folder).name})
        for folder, samples in found.items()
    ]
