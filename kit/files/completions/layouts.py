"""The layouts that evaluation tools write, told by their shape, and the records in them.

- lm-eval ``samples_*.jsonl``: ``doc``, ``doc_id``, ``resps`` ``[[text]]``; a row once more for each filter.
  https://github.com/EleutherAI/lm-evaluation-harness (0.4.13: ``evaluator.py``, ``evaluation_tracker.py``)
- OpenCompass ``predictions/<model>/<set>.json``, also in parts ``<set>_0.json``: ``{"0": {origin_prompt, ...}}``;
  of MMLU and C-Eval a set for each subject.
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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from kit.errors import LONGEST_NAME, RequestError, listed, one_line
from kit.files.completions.fields import find_field, refuse_too_deep
from kit.files.completions.opening import File, open_files
from kit.files.completions.rows import ById, Position, read_rows

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
    """One completion, as its record in a file."""

    where: str
    """Name of the record in messages."""
    row: Any
    """It as the file has it."""
    keys: Mapping[str, Any]
    """Fields that may tell its problem."""
    position: int | None = None
    """Its place among the problems, from 0, where the layout goes by order."""
    asked: str = ""
    """The prompt as it was sent, examples and all, where the layout keeps it."""
    set: str = ""
    """Name of the set of predictions whose ``position`` it is, where the layout goes by order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The completions of a file, a folder or an archive."""

    path: Path
    """File, folder or archive that was read."""
    layout: str
    """Name of the tool whose layout it has."""
    records: list[Record]
    """In the order of the files."""
    field: str | None = None
    """Place of the text in this layout; ``None`` where it has no place of its own."""
    left_out: dict[str, int] = dataclasses.field(default_factory=dict)
    """reason -> how many records or files were passed by."""


def read_records(path: Path, benchmark: str = "") -> Records:
    """Return the records of a file, a folder or an archive of completions, with the name of its layout.

    Raises:
        RequestError: it can't be read, is no JSON, or holds no records.
    """
    files, others = open_files(path, benchmark)
    left_out = {"other files": others} if others else {}
    with refuse_too_deep(path):
        return _read_files(path, files, left_out, benchmark)


def _read_files(path: Path, files: list[File], left_out: dict[str, int], benchmark: str) -> Records:
    """Return the records of the files that were chosen."""
    if all(file.name.endswith(".py") for file in files):
        return Records(path=path, layout=EVALPLUS, records=_programs(files), field="", left_out=left_out)
    parts = [(file, read_rows(file)) for file in files]
    named = [(_layout(rows), file) for file, rows in parts if rows]
    if len({layout for layout, _ in named}) > 1:
        (one, first), (other, second) = named[0], next(pair for pair in named if pair[0] != named[0][0])
        raise RequestError(
            f"{one_line(str(path))}: {one_line(first.name)} is {one}, {one_line(second.name)} is {other}; name one of "
            "them"
        )
    layout = named[0][0] if named else PLAIN
    if layout in (OPENCOMPASS, BIGCODE):
        sets = _sets(path, [file for file, _ in parts], benchmark if layout == OPENCOMPASS else "")
        if layout == OPENCOMPASS:
            records = list(_opencompass(zip(sets, (rows for _, rows in parts), strict=True)))
            return Records(path=path, layout=layout, records=records, field="prediction", left_out=left_out)
    rows = [row for _, rows in parts for row in rows]
    return _records(path, layout, rows, left_out)


def _records(path: Path, layout: str, rows: list[tuple[str, Any]], left_out: dict[str, int]) -> Records:
    """Return the records of one layout."""
    if layout == LM_EVAL:
        _refuse_likelihoods(*rows[0])
        kept = list(_first_filter(rows))
        if len(kept) < len(rows):
            others = {str(row.get("filter")) for _, row in rows} - {str(row.get("filter")) for _, row in kept}
            left_out[f"rows under another filter ({listed(sorted(others))})"] = len(rows) - len(kept)
        records = [_lm_eval(where, row) for where, row in kept]
        place = "resps.0.0" if all("resps" in row for _, row in kept) else "filtered_resps.0"
        return Records(path=path, layout=layout, records=records, field=place, left_out=left_out)
    if layout == INSPECT:
        records = [_inspect(where, row) for where, row in rows]
        place = "output.choices.0.message.content"
        return Records(path=path, layout=layout, records=records, field=place, left_out=left_out)
    if layout == BIGCODE:
        records = [Record(where=where, row=row, keys={}, position=n) for n, (where, row) in enumerate(rows)]
        return Records(path=path, layout=layout, records=records, field="", left_out=left_out)
    records = [_plain(where, row) for where, row in rows]
    return Records(path=path, layout=layout, records=records, left_out=left_out)


def _plain(where: str, row: Any) -> Record:
    """Return a record of no tool's own layout."""
    if isinstance(row, ById):
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
    if isinstance(row, Position):
        return OPENCOMPASS
    if not isinstance(row, Mapping):
        return PLAIN
    if "doc_id" in row and ("resps" in row or "filtered_resps" in row):
        return LM_EVAL
    if isinstance(row.get("output"), Mapping) and "choices" in row["output"] and "id" in row:
        return INSPECT
    return PLAIN


def _opencompass(parts: Iterable[tuple[str, Sequence[tuple[str, Any]]]]) -> Iterator[Record]:
    """Give the records of OpenCompass's files, each its set and its rows; the parts of a set are numbered on."""
    counts: Counter[str] = Counter()
    for name, rows in parts:
        for where, row in rows:
            asked = prompt_text(row.get("origin_prompt"))
            yield Record(where=where, row=row, keys={}, position=counts[name], asked=asked, set=name)
            counts[name] += 1


def _sets(path: Path, files: Sequence[File], benchmark: str) -> list[str]:
    """Return the set of each file that goes by position: it is one set, whole or in parts ``<set>_0``, ``<set>_1``, ...

    Several sets are one benchmark's where each carries its name, as MMLU's subjects do.

    Raises:
        RequestError: they are several sets otherwise, or a part is missing.
    """
    stems = [re.sub(r"\.jsonl?(\.gz)?$", "", file.name) for file in files]
    if len(stems) == 1:
        return stems
    found = [re.fullmatch(r"(.*)_(\d+)", stem) for stem in stems]
    sets = [part[1] if part else stem for part, stem in zip(found, stems, strict=True)]
    numbers: dict[str, list[str]] = {}
    for name, part in zip(sets, found, strict=True):
        numbers.setdefault(name, []).append(part[2] if part else "")
    where, short = one_line(str(path)), benchmark.rpartition("_")[2]
    if len(numbers) > 1 and not (short and all(short in PurePosixPath(name).name.lower() for name in numbers)):
        raise RequestError(f"{where}: {len(numbers)} sets of predictions ({listed(list(numbers)[:2])}); name one file")
    for name, some in numbers.items():
        if some not in ([""], [str(number) for number in range(len(some))]):
            parts = listed(PurePosixPath(stem).name for stem, one in zip(stems, sets, strict=True) if one == name)
            wanted = f"{one_line(name, LONGEST_NAME)}_0 to _{len(some) - 1}"
            raise RequestError(f"{where}: parts {parts}; wanted {wanted}, or one whole file")
    return sets


def _first_filter(rows: Sequence[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Give lm-eval's rows without those that repeat a document's responses under another filter."""
    seen: dict[str, Any] = {}
    for where, row in rows:
        key = json.dumps([where.rpartition(":")[0], row.get("doc_id"), row.get("doc")], sort_keys=True)
        if key in seen and row.get("filter") != seen[key].get("filter") and row.get("resps") == seen[key].get("resps"):
            continue
        seen.setdefault(key, row)
        yield where, row


def _refuse_likelihoods(where: str, row: Mapping[str, Any]) -> None:
    """Refuse rows of a task that compares the likelihoods of given answers: the model wrote no text.

    Raises:
        RequestError: it is such a row.
    """
    found = find_field(row, "resps.0.0" if "resps" in row else "filtered_resps.0")
    if isinstance(found, list) and len(found) == 2 and str(found[1]) in ("True", "False"):
        raise RequestError(
            f"{where}: likelihoods of the given answers, and no text that the model wrote; take a task of lm-eval that "
            "generates, for MMLU mmlu_generative"
        )


def _lm_eval(where: str, row: Mapping[str, Any]) -> Record:
    """Return an lm-eval row's record: the document's own fields tell its problem, else ``doc_id``."""
    doc = row["doc"] if isinstance(row.get("doc"), Mapping) else {}
    return Record(where=where, row=row, keys={**doc, "doc_id": row["doc_id"]}, asked=prompt_text(row.get("arguments")))


def _inspect(where: str, row: Mapping[str, Any]) -> Record:
    """Return an Inspect sample's record; of a chat that was its input the user's turns are the question."""
    asked = row.get("input")
    if isinstance(asked, list):
        asked = [turn for turn in asked if isinstance(turn, Mapping) and turn.get("role") == "user"]
    return Record(where=where, row=_attached(row), keys={**row, "input": prompt_text(asked)})


def prompt_text(prompt: Any) -> str:
    """Return the text of a prompt that was sent: a text, a chat's turns, or lm-eval's arguments."""
    if isinstance(prompt, str):
        return prompt
    if isinstance(prompt, list):
        return "\n".join(prompt_text(turn) for turn in prompt)
    if isinstance(prompt, Mapping):
        names = ("prompt", "content", "text", "gen_args_0", "arg_0")
        return "\n".join(prompt_text(prompt[name]) for name in names if name in prompt)
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
    folder_paths = {str(PurePosixPath(file.name).parent): str(Path(file.where).parent) for file in files}
    return [
        Record(where=folder_paths[folder], row=list(samples.values()), keys={"task_id": PurePosixPath(folder).name})
        for folder, samples in found.items()
    ]
