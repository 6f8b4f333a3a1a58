"""Completions files as people's tools write them -> one text a problem, or an error that names what is missing.

``opening`` finds the files, ``layouts`` knows the tools, ``matching`` finds each record's problem, ``fields`` its text.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kit.errors import RequestError, one_line
from kit.files.completions.fields import check_field, read_field, read_text_at, refuse_several, refuse_too_deep
from kit.files.completions.layouts import Record, Records, read_records
from kit.files.completions.matching import Match, check_order, match, shorten
from kit.files.completions.texts import text_field
from kit.records import Problem

__all__ = ["Completions", "Record", "Records", "one_text_each", "read_completions", "read_records"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completions:
    """One text a problem, and how the texts were found."""

    texts: list[str]
    """The model's texts, in the problems' order."""
    field: str
    """Where the texts stood in their records; empty where the record is the text."""
    layout: str
    """The tool whose layout the file has, for instance ``lm-eval samples``; ``records`` for any other."""
    matched_by: str
    """The field that told the problem; ``position`` where the order did."""
    loosely: int
    """Texts whose prompt is the problem's but for white space or Unicode form."""
    left_out: dict[str, int]
    """reason -> how many records were not needed."""

    def summary(self) -> str:
        """Return the sentence that says what was read as what."""
        place = f"'{self.field}' of " if self.field else ""
        told = "position" if self.matched_by == "position" else repr(self.matched_by)
        texts = f"{len(self.texts):,} text{'s' * (len(self.texts) != 1)}"
        parts = [f"{texts} read from {place}{self.layout}, matched by {told}"]
        if self.loosely:
            parts.append(f"{self.loosely:,} of them but for white space or Unicode form")
        if self.left_out:
            parts.append("left out: " + ", ".join(f"{reason} {count:,}" for reason, count in self.left_out.items()))
        return ", ".join(parts)


def read_completions(
    path: Path, problems: Sequence[Problem], field: str | None = None, rows: int | None = None, benchmark: str = ""
) -> Completions:
    """Return one text for each problem of a file, a folder or an archive of completions.

    Args:
        path: what a tool wrote; see ``layouts``. Each record has an id (``task_id``, ``id``, ``key``, ...), the
            problem's own text (``prompt``, ``question``, ...) or a position, and a text (``completion``, ...).
        problems: what was asked.
        field: where the text is, dots for nested records and lists (``6b_finetuning.solution``, ``resps.0.0``); found
            by name if not given.
        rows: texts for the first so many problems will do; all by default.
        benchmark: its module's name; files and ids of another benchmark are told by it.

    Raises:
        RequestError: no field is known or more than one may be meant, an id stands twice or belongs to no problem, or a
            problem has no text.
    """
    return one_text_each(read_records(path, benchmark), problems, field, rows, benchmark)


def one_text_each(
    found: Records, problems: Sequence[Problem], field: str | None, rows: int | None, benchmark: str
) -> Completions:
    """Return one text for each problem, of records that were read before; arguments as :func:`read_completions`."""
    if field is not None:
        check_field(field)
    with refuse_too_deep(found.path):
        return _one_text_each(found, problems, field, rows, benchmark)


def _one_text_each(
    found: Records, problems: Sequence[Problem], field: str | None, rows: int | None, benchmark: str
) -> Completions:
    """Match the records, find the texts' field, and check that no problem is left without a text."""
    if not found.records:
        raise RequestError(
            f"{one_line(str(found.path))}: no record; wanted one completion a problem ({len(problems):,})"
        )
    told = match(found, problems, benchmark, rows)
    matched = _once(found, told)
    place = field if field is not None else text_field(found, problems, matched, told.field)
    wanted = [problem.id for problem in problems[:rows]]
    if field is None:
        for id in wanted:
            if id in matched:
                refuse_several(matched[id].row, place, matched[id].where)
    by_id = {id: _text(matched[id], place) for id in wanted if id in matched}
    _complete(found.path, problems, wanted, matched)
    texts = [by_id[id] for id in wanted]
    if told.placed:
        check_order(problems[:rows], [matched[id] for id in wanted], texts)
    left_out = Counter(found.left_out)
    if beyond := len(matched) - len(wanted):
        left_out[f"beyond the first {len(wanted):,} problems"] = beyond
    loosely = sum(id in told.loosely for id in wanted)
    return Completions(
        texts=texts,
        field=place,
        layout=found.layout,
        matched_by=told.field,
        loosely=loosely,
        left_out=dict(left_out),
    )


def _once(found: Records, told: Match) -> dict[str, Record]:
    """Return problem id -> its one record.

    Raises:
        RequestError: two records answer one problem.
    """
    matched: dict[str, Record] = {}
    for record, id in zip(found.records, told.ids, strict=True):
        if id in matched:
            value = record.position if told.field == "position" else record.keys[told.field]
            raise RequestError(
                f"{record.where}: {told.field} {shorten(str(value))} stands twice, first at {matched[id].where}; "
                "one completion each"
            )
        matched[id] = record
    return matched


def _complete(path: Path, problems: Sequence[Problem], wanted: Sequence[str], matched: Mapping[str, Record]) -> None:
    """Check that every problem that is wanted has a record.

    Raises:
        RequestError: some have none.
    """
    missing = [id for id in wanted if id not in matched]
    if not missing:
        return
    count = len(matched)
    asked = {problem.id for problem in problems[:count]} == set(matched)
    other = f"say --rows {count}" if asked else "give those problems alone with --data"
    raise RequestError(
        f"{one_line(str(path))}: {len(missing):,} of {len(wanted):,} problems have no completion, "
        f"the first is {shorten(missing[0])}; give every problem one, an empty text if the model said nothing; "
        f"where only {'the first ' if asked else ''}{count:,} were asked, {other}"
    )


def _text(record: Record, place: str) -> str:
    """Return a record's text; its place is looked up in the record as the file has it."""
    value = read_field(record.row, place, record.where) if place else record.row
    return read_text_at(value, place, record.where)
