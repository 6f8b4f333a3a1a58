"""Read multiple-choice questions of several subjects, and the worked examples of each, from any of their files.

- An archive (tar, zip) as MMLU and C-Eval publish it: ``<split>/<subject>_<split>.csv``; or of the hub's Parquet files,
  ``<subject>/<split>-00000-of-00001.parquet``.
- JSONL, a JSON list or one Parquet file of rows: ``question``, ``choices`` or ``A`` to ``D``, ``answer`` (a letter or a
  position from 0), ``subject`` (or ``type``), and ``split``: rows of ``dev`` are examples, those without one are asked.

A file that has no example at all is asked without any; one that has some has five for each subject that it asks.
"""

import csv
import io
import re
import tempfile
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import RequestError, did_you_mean, one_line, shown
from kit.files import parquet
from kit.files.rowfiles import objects
from kit.reading.archives import kind_of_archive, read_members
from kit.reading.textfiles import decode
from kit.records import Problem

LETTERS = "ABCD"
SHOTS = 5
"""Worked examples before a question, as both benchmarks are asked by their authors and by OpenCompass."""
EXAMPLES = "dev"
"""Name of the split whose rows are worked examples."""
SPLITS = (EXAMPLES, "val", "test", "train", "auxiliary_train")
"""Names that a split may have; ``validation`` is ``val``."""
MOST_ROWS = 500_000
"""Rows that are read of a file; MMLU has 14,327 of the two splits that are read."""
_CSV = re.compile(r"(?:.*/)?(?P<split>dev|val|test)/(?P<subject>[^/]+)_(?P=split)\.csv")
_PARQUET = re.compile(r"(?:.*/)?(?P<subject>[^/]+)/(?P<split>dev|val|validation|test)-\d+-of-\d+\.parquet")
_COLUMNS = ("question", *LETTERS, "answer")
"""Columns of a CSV file that has no line of names, as MMLU's have none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One row of a file, before it is checked."""

    where: str
    subject: Any
    split: Any
    fields: Mapping[str, Any]


def read_choices(path: Path, subjects: Collection[str], asked: str) -> list[Problem]:
    """Return the questions of a benchmark: the first of each subject, then the second of each, and so on.

    So the first rows of a long file hold every subject, whatever kind of file it is. The id is
    ``<subject>/<position in the subject>``.

    Args:
        path: the benchmark's file.
        subjects: the subjects that the benchmark has.
        asked: name of the split that is asked: ``test`` or ``val``.

    Raises:
        RequestError: not one of the formats, an unknown subject or split, a row that is no question with four choices,
            too few examples, too many rows, or no question at all.
    """
    questions: dict[str, list[dict[str, Any]]] = defaultdict(list)
    examples: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for count, row in enumerate(_rows(path, asked), 1):
        if count > MOST_ROWS:
            raise RequestError(f"{row.where}: more than {MOST_ROWS:,} rows, which no such set has; is it another one?")
        if not isinstance(row.subject, str) or row.subject not in subjects:
            near = did_you_mean(row.subject, subjects) if isinstance(row.subject, str) else ""
            raise RequestError(f"{row.where}: subject: found {shown(row.subject)}, which the benchmark lacks{near}")
        (examples if row.split == EXAMPLES else questions)[row.subject].append(_question(row))
    name = one_line(str(path))
    if not questions:
        raise RequestError(f"{name}: no question of the split {asked!r} in it; is it another set?")
    _check_examples(name, questions, {subject: len(found) for subject, found in examples.items()})
    places = sorted((place, subject) for subject, rows in questions.items() for place in range(len(rows)))
    return [
        Problem(
            id=f"{subject}/{place}",
            data={"subject": subject, **questions[subject][place], "examples": examples[subject][:SHOTS]},
        )
        for place, subject in places
    ]


def _check_examples(name: str, subjects: Iterable[str], counts: Mapping[str, int]) -> None:
    """Check that each subject has its examples, if the file has any.

    Raises:
        RequestError: a subject has fewer.
    """
    for subject in subjects if counts else ():
        if (count := counts.get(subject, 0)) < SHOTS:
            raise RequestError(
                f"{name}: {subject}: {count} examples (split {EXAMPLES!r}), wanted {SHOTS}, or none in the whole file"
            )


def _question(row: _Row) -> dict[str, Any]:
    """Return a row as question, choices and the letter of the answer.

    Raises:
        RequestError: it lacks one of them, or has one of another type.
    """
    fields = row.fields
    if not isinstance(question := fields.get("question"), str) or not question.strip():
        raise RequestError(f"{row.where}: 'question': found {shown(question)}, wanted a text")
    if "choices" in fields:
        choices, named = fields["choices"], "'choices'"
    else:
        choices, named = [fields.get(letter) for letter in LETTERS], "'A' to 'D'"
    listed = list(choices) if isinstance(choices, list | tuple) else []
    if len(listed) != len(LETTERS) or not all(isinstance(choice, str) for choice in listed):
        raise RequestError(f"{row.where}: {named}: found {shown(choices)}, wanted four texts")
    answer = fields.get("answer")
    if type(answer) is int and 0 <= answer < len(LETTERS):
        answer = LETTERS[answer]
    if not isinstance(answer, str) or answer.strip() not in tuple(LETTERS):
        raise RequestError(f"{row.where}: 'answer': found {shown(answer)}, wanted a letter of {LETTERS}, or 0 to 3")
    return {"question": question, "choices": listed, "answer": answer.strip()}


def _rows(path: Path, asked: str) -> Iterator[_Row]:
    """Yield the rows of a file: those that are asked, and the examples."""
    if kind_of_archive(path):
        yield from _packed(path, asked)
        return
    for where, fields in objects(path):
        split = fields.get("split", asked)
        split = "val" if split == "validation" else split
        if split not in SPLITS:
            raise RequestError(f"{where}: 'split': found {shown(split)}, wanted one of {', '.join(SPLITS)}")
        if split in (EXAMPLES, asked):
            subject = fields.get("subject", fields.get("type"))
            yield _Row(where=where, subject=subject, split=split, fields=fields)


def _packed(path: Path, asked: str) -> Iterator[_Row]:
    """Yield the rows of an archive's files."""

    def place(name: str) -> re.Match[str] | None:
        if name.rpartition("/")[2].startswith("."):  # a copy of attributes that macOS adds to tar archives
            return None
        found = _CSV.fullmatch(name) or _PARQUET.fullmatch(name)
        return found if found and found["split"].replace("validation", "val") in (EXAMPLES, asked) else None

    members = read_members(path, lambda name: place(name) is not None)
    if not members:
        raise RequestError(
            f"{one_line(str(path))}: no file like {asked}/<subject>_{asked}.csv or "
            f"<subject>/{asked}-00000-of-00001.parquet in it; is it another archive?"
        )
    for member in members:
        found = place(member.name)
        assert found
        split = found["split"].replace("validation", "val")
        table, rows = _csv if member.name.endswith(".csv") else _parquet, 0
        for where, fields in table(member.data, member.where):
            rows += 1
            yield _Row(where=where, subject=found["subject"], split=split, fields=fields)
        if not rows:
            raise RequestError(f"{member.where}: no row in it; is the archive whole?")


def _csv(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a CSV file by column, each with its place; names of columns stand first, or are MMLU's.

    Quotes are read as OpenCompass reads them, with no error where one ends inside a field.

    Raises:
        RequestError: it is no CSV, or a row has more or fewer fields than columns.
    """
    reader = csv.reader(io.StringIO(decode(data, name), newline=None))
    columns: tuple[str, ...] = ()
    try:
        for row in reader:
            named = not columns and {*_COLUMNS} <= {*row}
            columns = columns or (tuple(row) if named else _COLUMNS)
            if named or not row:
                continue
            where = f"{name}:{reader.line_num}"
            if len(row) != len(columns):
                fields = f"{len(row)} field{'s' * (len(row) != 1)}"
                raise RequestError(
                    f"{where}: {fields}, wanted {len(columns)} ({', '.join(columns)}); is the file cut off?"
                )
            yield where, dict(zip(columns, row, strict=True))
    except csv.Error as error:
        raise RequestError(f"{name}:{reader.line_num}: not CSV: {error}; is it another set?") from error


def _parquet(data: bytes, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a Parquet file, each with its place; a process of its own reads it, within limits.

    Raises:
        RequestError: pyarrow is not installed, the file is damaged, or it unpacks to more than rows do.
    """
    with tempfile.TemporaryDirectory(prefix="kit-parquet-") as folder:
        path = Path(folder) / "rows.parquet"
        path.write_bytes(data)
        _, rows = parquet.read(path, len(data), name)
    for index, row in enumerate(rows):
        yield f"{name}[{index}]", row
