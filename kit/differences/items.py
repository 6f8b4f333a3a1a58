"""The items of a grading with their scores, read line by line from grades or from scores of an instruction set."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kit.differences.runs import Measured
from kit.errors import KitError, RequestError, shown
from kit.reading.jsonlines import load_line
from kit.store import Artifact, Store

Units = tuple[float, int]
"""Units right, or the sum of the units' scores; and units judged."""
MOST_UNITS = 1000
"""Most units of one row: what a benchmark judges of one answer, such as the instructions of an IFEval prompt."""

LARGEST = 1e100
"""Scores are below it, so that their squares are numbers too."""
KEPT = 200
"""Characters that are kept of an answer and of a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One row of a grading, with its scores."""

    scores: Mapping[str, Units]
    """metric -> its score, of the metrics that judge the row."""
    answer: str = ""
    """The answer that the grader found in the text."""
    reason: str = ""
    """Reason why the answer is wrong, where the grader gives one."""


@dataclass(slots=True, kw_only=True)
class Items:
    """The items of one file by id, without those whose id stands twice: which of them counts can't be told."""

    by_id: dict[str, Item] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)
    """Ids that stand more than once."""

    def add(self, id: str, item: Item) -> None:
        """Add an item; one whose id is there already takes that one out too."""
        if id in self.repeated:
            return
        if id in self.by_id:
            self.repeated.add(id)
            del self.by_id[id]
            return
        self.by_id[id] = item


def read_items(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Items:
    """Return the items of rows as the kit writes grades (``scores``) and scores (``values``), each with its place.

    Raises:
        RequestError: a row is neither.
    """
    found = Items()
    known: dict[tuple[tuple[str, Units], ...], dict[str, Units]] = {}  # a million rows have few scores among them
    for where, row in rows:
        id, scores = row.get("id"), row.get("scores", row.get("values"))
        if not isinstance(id, str) or not isinstance(scores, Mapping):
            raise RequestError(
                f"{where}: wanted 'id' and 'scores', as `kit grade --out` writes them; found {_names(row)}"
            )
        units = {str(metric): _units(value, str(metric), where) for metric, value in scores.items()}
        judged = {name: one for name, one in units.items() if one[1]}
        shared = known.setdefault(tuple(judged.items()), judged)
        answer, reason = (str(row.get(name) or "")[:KEPT] for name in ("answer", "reason"))
        found.add(id, Item(scores=shared, answer=answer, reason=reason))
    return found


def _names(row: Mapping[str, Any]) -> str:
    """Return the names of a row's fields, with the type of an id or of scores that are of another one."""
    texts = [f"{name} ({type(row[name]).__name__})" if name in ("id", "scores") else name for name in sorted(row)[:12]]
    return ", ".join(texts) or "no field"


def _units(value: Any, metric: str, where: str) -> Units:
    """Return a score: ``[units right, units judged]``, or a number, which is the score of one unit.

    Raises:
        RequestError: it is neither.
    """
    parts = value if isinstance(value, list) else [value, 1]
    numbers = all(type(part) in (int, float, bool) and -LARGEST < part < LARGEST for part in parts)
    if len(parts) != 2 or not numbers or parts[1] != int(parts[1]) or not 0 <= parts[1] <= MOST_UNITS:
        raise RequestError(
            f"{where}: scores: {shown(metric)}: found {shown(value)}, wanted [units right, units judged], or a number"
        )
    return float(parts[0]), int(parts[1])


def stored_items(one: Measured) -> Items:
    """Return the items of a grading in a store, whose bytes still are those that its head records.

    Raises:
        KitError: its file is missing, was changed, or holds no grades.
    """
    if one.rows_file not in one.artifact.files:
        raise KitError(f"{one.artifact.folder}: no {one.rows_file}; remove the folder and run again")
    try:
        return read_items(stored_rows(one.store, one.artifact, one.rows_file))
    except RequestError as error:
        raise KitError(f"{error}; remove {one.artifact.folder} and run again") from error


def check_unchanged(one: Measured) -> None:
    """Check that a grading's rows still are the bytes that its head records.

    Raises:
        KitError: they are not, or the file is missing.
    """
    os.close(one.store.open_file(one.artifact, one.rows_file, checked=True))


def stored_rows(store: Store, artifact: Artifact, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of an artifact's JSONL file, each with its place, one line at a time.

    Raises:
        KitError: it is missing or was changed since it was written.
        RequestError: a line is no JSON object.
    """
    path = artifact.folder / name
    with os.fdopen(store.open_file(artifact, name, checked=True), "rb") as file:
        for number, line in enumerate(file, 1):
            where = f"{path}:{number}"
            try:
                value = load_line(line.decode(), where)
            except UnicodeDecodeError as error:
                raise RequestError(f"{where}: not UTF-8") from error
            if not isinstance(value, dict):
                raise RequestError(f"{where}: found {type(value).__name__}, wanted a JSON object")
            yield where, value
