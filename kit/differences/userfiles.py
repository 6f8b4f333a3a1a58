"""Two files compared by the ids of their rows: grades as ``kit grade --out`` writes them, or completions of any tool.

Files with a JSON object a line are read line by line, and of their texts a hash is kept; the beginnings of those that
differ are read in a second pass. Other layouts are read by :mod:`kit.files.completions`, one file after the other.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue.views import measures_of
from kit.differences.cells import LeftOut, adjusted, compare
from kit.differences.items import LARGEST, Item, Items, read_items
from kit.differences.report import Report, Turned, turned_items, with_texts
from kit.differences.texts import Beginning, beginning
from kit.errors import RequestError, listed, one_line, shown
from kit.files.completions.fields import MISSING, find_field, is_text, read_field, read_text_at
from kit.files.completions.layouts import Record, read_records
from kit.files.completions.names import ID_FIELDS, RARE_TEXT_FIELDS, TEXT_FIELDS
from kit.files.completions.texts import PLACES
from kit.measures import Measure
from kit.reading.jsonlines import BYTE_ORDER_MARK, load_object, read_objects
from kit.reading.textfiles import GZIP, MAX_FILE_BYTES, decode, not_utf8, open_regular


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Places of a text and of a score in the records of a completions file."""

    field: str | None = None
    """Place of the text; found by name if not given."""
    score: str | None = None
    """Place of a number or a truth that grades the text; none if not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One completion of a file, by its id."""

    where: str
    id: str
    text: str
    score: float | None


def compare_files(before: Path, after: Path, reading: Reading) -> Report:
    """Compare two files of grades, or two files of completions.

    Raises:
        RequestError: one can't be read, the two are of different kinds, or no id stands in both.
    """
    kinds = has_grades(before), has_grades(after)
    if kinds[0] != kinds[1]:
        one, other = (before, after) if kinds[0] else (after, before)
        raise RequestError(
            f"{one_line(str(one))} holds grades, {one_line(str(other))} does not; wanted two of one kind: `kit grade "
            "--out` writes the grades of completions"
        )
    report = Report(names=(str(before), str(after)))
    if kinds[0]:
        if (given := reading.field or reading.score) is not None:
            raise RequestError(
                f"{shown(given)}: --field and --score are of completions; {one_line(str(before))} holds grades"
            )
        return _compared(report, read_items(json_lines(before)), read_items(json_lines(after)), _answers)
    if reading.score is not None:

        def texts(side: int, ids: set[str]) -> dict[str, Beginning]:
            return _beginnings((before, after)[side], reading, ids)

        return _compared(report, _scored(before, reading), _scored(after, reading), texts)
    return _texts_compared(report, before, after, reading)


def has_grades(path: Path) -> bool:
    """Return whether a file holds grades or scores of the kit: rows with an id and scores of metrics.

    Raises:
        RequestError: it can't be read.
    """
    if not _is_json_lines(path):
        return False
    _, row = next(json_lines(path))
    return isinstance(row.get("scores", row.get("values")), Mapping) and "id" in row and "output" not in row


def _is_json_lines(path: Path) -> bool:
    """Return whether a file's first line is a JSON object by itself, so that it can be read line by line."""
    if path.is_dir() or path.suffix.lower() in (".eval", ".zip", ".py"):
        return False
    try:
        next(json_lines(path))
    except (RequestError, StopIteration):
        return False
    return True


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the objects of a JSONL file, each with its place, a line at a time; of a packed one, all at once.

    Raises:
        RequestError: it can't be read, or a line is no JSON object.
    """
    name = one_line(str(path))
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_FILE_BYTES:
            raise RequestError(f"{name}: more than {MAX_FILE_BYTES:,} bytes, which no such file has")
        start = file.read(2)
        file.seek(0)
        if start == GZIP:
            yield from read_objects(path)
            return
        for number, line in enumerate(file, 1):
            where = f"{name}:{number}"
            if number == 1:
                text = decode(line, name)
            else:
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    raise RequestError(f"{where}: {not_utf8(line, error.start)}") from error
            if not (bare := text.lstrip(BYTE_ORDER_MARK).strip()):
                continue
            yield where, load_object(bare, where)


Texts = Callable[[int, set[str]], Mapping[str, Beginning]]
"""Function that returns the beginnings of the texts of some ids, of the first side (0) or the second (1)."""


def _answers(side: int, ids: set[str]) -> Mapping[str, Beginning]:
    """Return no texts: a file of grades has the answers alone, which stand in its items."""
    del side, ids
    return {}


def _compared(report: Report, before: Items, after: Items, texts: Texts) -> Report:
    """Compare two files' items and add them to a report, with the texts of those that turned.

    Raises:
        RequestError: the two have no item in common that is graded alike.
    """
    name = f"{Path(report.names[0]).name}, {Path(report.names[1]).name}"
    found = compare(name, before, after, known_measures(before), {})
    if not found.cells:
        raise RequestError(
            f"nothing to compare: {one_line(report.names[0])} and {one_line(report.names[1])} have no item in common "
            f"that both grade alike ({', '.join(found.left_out.parts()) or 'both are empty'})"
        )
    report.comparisons, report.ids = adjusted([found]), [name]
    changed = turned_items(name, before, after, found)
    ids = {item.id for item in changed}
    sides = [dict(texts(side, ids)) for side in (0, 1)]
    for side, items in zip(sides, (before, after), strict=True):
        for id in ids - side.keys():
            if items.by_id[id].answer:
                side[id] = beginning(items.by_id[id].answer)
    report.turned = [with_texts(item, *sides) for item in changed]
    return report


def known_measures(items: Items) -> dict[str, Measure]:
    """Return the measures of the benchmarks that have one of the items' metrics."""
    metrics = {metric for item in items.by_id.values() for metric in item.scores}
    plugins = [*registry.names("benchmarks"), *registry.names("metrics")]
    return {id: measure for name in plugins for id, measure in measures_of(name).items() if id in metrics}


def written(path: Path, reading: Reading) -> Iterator[Written]:
    """Yield the completions of a file, a folder or an archive of any tool.

    Raises:
        RequestError: it can't be read, or a record has no id, no text, or no score where one is wanted.
    """
    if _is_json_lines(path):
        _, first = next(json_lines(path))
        if isinstance(first.get("id"), str) and isinstance(first.get("text"), str) and reading.field in (None, "text"):
            records: Iterable[Record] = (Record(where=where, row=row, keys=row) for where, row in json_lines(path))
            yield from (_written(record, "id", "text", reading.score) for record in records)
            return
    found = read_records(path)
    if not found.records:
        raise RequestError(f"{one_line(str(path))}: no record; wanted one completion a problem")
    place = reading.field if reading.field is not None else found.field
    key = _id_field(path, found.records)
    field = place if place is not None else _text_field(path, found.records[0], key)
    yield from (_written(record, key, field, reading.score) for record in found.records)


def _written(record: Record, key: str, field: str, score: str | None) -> Written:
    """Return the completion that a record holds."""
    if key == "position":
        id = f"{record.set}/{record.position}" if record.set else str(record.position)
    else:
        value = record.keys.get(key)
        id = "" if value is None else str(value)
        if not id:
            raise RequestError(f"{record.where}: no {key!r}; the first record has one, and wanted one in each")
    text = read_field(record.row, field, record.where) if field else record.row
    return Written(
        where=record.where,
        id=id,
        text=read_text_at(text, field, record.where),
        score=None if score is None else _score(record, score),
    )


def _score(record: Record, place: str) -> float:
    """Return the score that a record holds.

    Raises:
        RequestError: there is none, or it is no number that a score can be.
    """
    value = read_field(record.row, place, record.where)
    if not isinstance(value, int | float) or not -LARGEST < value < LARGEST:
        raise RequestError(
            f"{record.where}: --score {one_line(place, 60)}: found {shown(value)}, wanted a number or a truth"
        )
    return float(value)


def _id_field(path: Path, records: list[Record]) -> str:
    """Return the field that names the records, ``position`` where they go by order.

    Raises:
        RequestError: there is none that has another value in each record.
    """
    if records[0].position is not None:
        return "position"
    for name in ID_FIELDS:
        if not isinstance(records[0].keys.get(name), str | int):
            continue
        if 2 * len({str(record.keys.get(name)) for record in records}) > len(records):  # a few may stand twice
            return name
    raise RequestError(
        f"{one_line(str(path))}: the first record has {listed(sorted(map(str, records[0].keys)))}; wanted an id, "
        f"one of {', '.join(ID_FIELDS)}, that is another in each record"
    )


def _text_field(path: Path, first: Record, key: str) -> str:
    """Return the field of a record that holds the model's text, by its name.

    Raises:
        RequestError: there is none.
    """
    for name in (*TEXT_FIELDS, *RARE_TEXT_FIELDS, *PLACES):
        found = find_field(first.row, name)
        if name != key and found is not MISSING and is_text(found):
            return name
    names = listed(sorted(map(str, first.keys)))
    raise RequestError(
        f"{one_line(str(path))}: the first record has {names}; wanted the text in one of {', '.join(TEXT_FIELDS)}, or "
        "its field by name with --field"
    )


def _scored(path: Path, reading: Reading) -> Items:
    """Return a file's completions as items with one score each."""
    found = Items()
    metric = (reading.score or "").rpartition(".")[2]
    for one in written(path, reading):
        found.add(one.id, Item(scores={metric: (one.score or 0.0, 1)}))
    return found


def _beginnings(path: Path, reading: Reading, ids: set[str]) -> dict[str, Beginning]:
    """Return the beginnings of the texts of some ids; nothing is read for none."""
    return {one.id: beginning(one.text) for one in written(path, reading) if one.id in ids} if ids else {}


def _texts_compared(report: Report, before: Path, after: Path, reading: Reading) -> Report:
    """Compare the texts of two files by id, and add those that differ to a report: nobody graded them.

    Raises:
        RequestError: no id stands in both.
    """
    hashes = [_hashes(path, reading) for path in (before, after)]
    (one, repeated_before), (other, repeated_after) = hashes
    common = [id for id in one if id in other]
    left_out = LeftOut(
        only_before=len(one) - len(common),
        only_after=len(other) - len(common),
        repeated_before=len(repeated_before),
        repeated_after=len(repeated_after),
    )
    if not common:
        parts = ", ".join(left_out.parts()) or "both are empty"
        raise RequestError(
            f"nothing to compare: {one_line(str(before))} and {one_line(str(after))} share no id ({parts})"
        )
    differ = [id for id in common if one[id] != other[id]]
    sides = [_beginnings(path, reading, set(differ)) for path in (before, after)]
    name = f"{before.name}, {after.name}"
    report.turned = [
        Turned(of=name, id=id, changes={}, before=sides[0].get(id), after=sides[1].get(id)) for id in differ
    ]
    report.texts = len(differ), len(common)
    report.notes += [f"texts left out: {', '.join(left_out.parts())}"] * bool(left_out.parts())
    if differ:
        report.faults.append(
            "the texts are not graded; say --benchmark to grade both, or name grades of kit grade --out"
        )
    return report


def _hashes(path: Path, reading: Reading) -> tuple[dict[str, bytes], set[str]]:
    """Return a hash of each text by id, and the ids that stand more than once, which have none."""
    found: dict[str, bytes] = {}
    repeated: set[str] = set()
    for one in written(path, reading):
        if one.id in found:
            repeated.add(one.id)
        found[one.id] = hashlib.blake2b(one.text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return {id: digest for id, digest in found.items() if id not in repeated}, repeated
