"""Records whose text alone does not tell their problem: a file for each subject, one question in several problems."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from kit.errors import LONGEST_NAME, RequestError, listed, one_line
from kit.files.completions.layouts import Records
from kit.records import Problem

SUBJECT = "subject"
"""The field of a problem that names its subject, or a record's."""
LETTERS = "ABCD"


def ids_by_subject(found: Records, problems: Sequence[Problem]) -> list[str] | None:
    """Return the problem of each record of files that go by order, one file a subject; ``None`` where none is named so.

    OpenCompass names them ``lukaemon_mmlu_<subject>.json`` and ``ceval-<subject>.json``.

    Raises:
        RequestError: a file names no subject, two name one, or one holds more records than the subject has problems.
    """
    where = one_line(str(found.path))
    ids: dict[str, list[str]] = {}
    for problem in problems:
        ids.setdefault(str(problem.data.get(SUBJECT, "")), []).append(problem.id)
    sets = {record.set: subject_of(record.set, ids) for record in found.records}
    if not any(sets.values()):
        if len(sets) > 1:
            raise RequestError(f"{where}: {len(sets)} sets of predictions ({listed(list(sets)[:2])}); name one file")
        return None
    files: dict[str, str] = {}
    for name, subject in sets.items():
        if not subject:
            raise RequestError(
                f"{where}: {one_line(name, LONGEST_NAME)} ends with no subject of the benchmark; leave it out"
            )
        if subject in files:
            raise RequestError(
                f"{where}: {one_line(files[subject], LONGEST_NAME)} and {one_line(name, LONGEST_NAME)} both hold "
                f"{subject}; name the folder of one run"
            )
        files[subject] = name
    matched = []
    for record in found.records:
        subject, place = sets[record.set], record.position or 0
        if place >= len(ids[subject]):
            raise RequestError(
                f"{record.where}: {subject} has {len(ids[subject]):,} problems in the benchmark, and this is one more; "
                "is it another split?"
            )
        matched.append(ids[subject][place])
    return matched


def subject_of(name: str, subjects: Mapping[str, Any]) -> str:
    """Return the longest subject that a file's name ends with, after a mark or alone; empty where none is."""
    stem = PurePosixPath(name).name.lower()
    ends = [one for one in subjects if one and stem.endswith(one) and not stem.removesuffix(one)[-1:].isalnum()]
    return max(ends, key=len, default="")


def asked_text(keys: Mapping[str, Any], name: str, texts: Collection[str]) -> Any:
    """Return what a record's field says was asked; an instruction with its input below it, where a problem is both."""
    value, below = keys.get(name), keys.get("input")
    if name == "instruction" and isinstance(value, str) and isinstance(below, str) and below:
        return joined if (joined := f"{value}\n\n{below}") in texts else value
    return value


def narrowed(keys: Mapping[str, Any], ids: Sequence[str], data: Mapping[str, Mapping[str, Any]]) -> tuple[str, ...]:
    """Return those of several problems with one text that a record's other fields fit best.

    Args:
        keys: the record's fields.
        ids: the problems.
        data: problem id -> its fields.
    """
    fields = {**keys, "choices": keys.get("choices", [keys.get(letter) for letter in LETTERS])}
    fits = {id: sum(name in fields and fields[name] == value for name, value in data[id].items()) for id in ids}
    return tuple(id for id in ids if fits[id] == max(fits.values()))


def are_equal(ids: Sequence[str], data: Mapping[str, Mapping[str, Any]]) -> bool:
    """Tell whether several problems differ in nothing but their ids, so that it does not matter which is answered."""
    return all(data[id] == data[ids[0]] for id in ids)
