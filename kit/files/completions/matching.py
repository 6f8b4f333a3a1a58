"""Match each record with the problem that it answers: by id, by the problem's own text, or by position."""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.errors import LONGEST_NAME, RequestError, listed, one_line
from kit.files.completions.groups import SUBJECT, are_equal, asked_text, ids_by_subject, narrowed
from kit.files.completions.layouts import Record, Records, prompt_text
from kit.files.completions.names import ID_FIELDS, PROMPT_FIELDS
from kit.records import Problem

IFEVAL_OF_2023 = (
    " Responses of before June 2024, GPT-4's published ones too, answer IFEval's older input_data.jsonl "
    "(google-research 1d49f2c0): give it with --data"
)
POSITION_FIELDS = ("idx", "index", "doc_id")
"""Id fields that count the rows of a data set from 0, in the tools that write them."""
PLAIN_WORDS = {"test", "train", "validation", "val", "dev", "main", "full", "default", "sanitized", "openai", "google"}
PLAIN_WORDS |= {"id", "idx", "index", "item", "problem", "question", "task", "sample", "prompt", "doc", "q"}
"""Words before a number that name no benchmark: ``test/3``, ``task_3``."""
LONGEST_OWN = 200
"""Letters of a benchmark's name that are compared with what stands before an id's number."""
START = 24
"""Characters of a problem's text by which it is looked up in a prompt."""
INVISIBLE = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"), " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """The problem of each record, and the field that named it."""

    field: str
    """The field that named the problems; ``position`` where the order did."""
    ids: list[str]
    """The problem's id for each record."""
    placed: bool = False
    """Whether the records go by their positions."""
    loosely: set[str] = dataclasses.field(default_factory=set)
    """Ids of problems whose text is the record's but for white space or Unicode form."""


def match(found: Records, problems: Sequence[Problem], benchmark: str, rows: int | None) -> Match:
    """Return the problem of each record.

    A tool may number its records in its own way: the problem's own text, where it is there, counts more than an id.

    Raises:
        RequestError: a record answers no problem, or it can't be told which.
    """
    if found.records[0].position is not None:
        several = len({record.set for record in found.records}) > 1
        if (several or SUBJECT in problems[0].data) and (ids := ids_by_subject(found, problems)):
            return Match(field="position", ids=ids, placed=True)
        return _by_position(found, problems, rows)
    by_text = _texts(found.records, problems)
    by_id = _ids(found.records, problems, benchmark)
    column = by_text if by_text and (by_id is None or _differ(by_id, by_text)) else by_id
    if column is None:
        raise _no_problem_named(found.records[0], problems)
    return _resolved(found, problems, column, by_text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """Ids of the problems that each record may answer, by one field."""

    field: str
    ids: list[tuple[str, ...]]
    placed: bool = False
    loosely: set[str] = dataclasses.field(default_factory=set)


def _differ(by_id: _Column, by_text: _Column) -> bool:
    """Tell whether ids and texts name different problems anywhere."""
    pairs = zip(by_id.ids, by_text.ids, strict=True)
    return any(texts and not set(ids) & set(texts) for ids, texts in pairs)


def _resolved(found: Records, problems: Sequence[Problem], column: _Column, by_text: _Column | None) -> Match:
    """Return the one problem of each record.

    Raises:
        RequestError: a record has none, or several.
    """
    ids = []
    data = {problem.id: problem.data for problem in problems}
    taken: set[str] = set()
    for index, (record, candidates) in enumerate(zip(found.records, column.ids, strict=True)):
        if column.field not in record.keys:
            raise RequestError(f"{record.where}: no field {column.field!r}; it has {listed(sorted(record.keys))}")
        if len(candidates) > 1:
            candidates = narrowed(record.keys, candidates, data)  # noqa: PLW2901
        if len(candidates) > 1 and are_equal(candidates, data):  # whichever it answers, the grade is the same
            candidates = tuple(id for id in candidates if id not in taken)[:1] or candidates[:1]  # noqa: PLW2901
        if len(candidates) > 1:
            value = shorten(str(record.keys[column.field]))
            names = " and ".join(one_line(id, LONGEST_NAME) for id in candidates[:3])
            form = ", but for white space and Unicode form" if column.loosely & set(candidates) else ""
            raise RequestError(
                f"{record.where}: {column.field} {value} is the text of the problems {names}{form}; give each record "
                "the problem's id in 'id'"
            )
        if not candidates:
            values = {column.field: record.keys[column.field]}
            if by_text is not None and by_text.ids[index] == () and by_text.field in record.keys:
                values[by_text.field] = record.keys[by_text.field]
            known = sum(map(bool, column.ids))
            others = f" {known:,} of {len(column.ids):,} records answer one: give all their problems with --data"
            text = _unknown_record(record.where, values, problems)
            raise RequestError(text + others if known and text.endswith("?") else text)
        ids.append(candidates[0])
        taken.add(candidates[0])
    return Match(field=column.field, ids=ids, placed=column.placed, loosely=column.loosely)


def _no_problem_named(record: Record, problems: Sequence[Problem]) -> RequestError:
    """Return the error on a first record in which no field names a problem."""
    known = {name: record.keys.get(name) for name in (*ID_FIELDS, *PROMPT_FIELDS)}
    if values := {name: value for name, value in known.items() if isinstance(value, str | int | float) and value != ""}:
        return RequestError(_unknown_record(record.where, values, problems))
    return RequestError(
        f"{record.where}: found {listed(sorted(record.keys)) or 'no field'}; wanted an id ({', '.join(ID_FIELDS)}) "
        f"or the problem's text ({', '.join(PROMPT_FIELDS)})"
    )


def _unknown_record(where: str, values: Mapping[str, Any], problems: Sequence[Problem]) -> str:
    """Return the message on a record that answers none of the problems, by its values that name one."""
    described = " and ".join(f"{name} {shorten(str(value))}" for name, value in values.items())
    ifeval = "instruction_id_list" in problems[0].data and "prompt" in values
    verb = "belongs" if len(values) == 1 else "belong"
    return f"{where}: {described} {verb} to no problem; is it another benchmark's or split's?" + IFEVAL_OF_2023 * ifeval


# by id


def _ids(records: Sequence[Record], problems: Sequence[Problem], benchmark: str) -> _Column | None:
    """Return the id field that knows most records' problems; ``None`` where none knows any."""
    by_name = id_lookup(problems, benchmark)
    columns = []
    for name in ID_FIELDS:
        values = [record.keys.get(name) for record in records]
        if not any(value is not None for value in values):
            continue
        named = _Column(field=name, ids=[by_name(value) for value in values])
        placed = _Column(field=name, ids=[_position(value, problems) for value in values], placed=True)
        columns.append(placed if _counts(name, values, named, placed, problems) else named)
    known = [column for column in columns if any(column.ids)]
    return max(known, key=lambda column: sum(map(bool, column.ids)), default=None)


def _counts(name: str, values: Sequence[Any], named: _Column, placed: _Column, problems: Sequence[Problem]) -> bool:
    """Tell whether a field holds positions and no ids.

    lm-eval's ``doc_id`` always does. Another field does where every value is a position and some value is no id, and it
    is one that counts rows or holds each position once: MBPP's ids 11 to 510 are read as ids wherever they all are.
    """
    if not all(placed.ids) or name in problems[0].data:
        return False
    if name == "doc_id":
        return True
    if all(named.ids):
        return False
    return name in POSITION_FIELDS or sorted(map(str, values)) == sorted(map(str, range(len(values))))


def _position(value: Any, problems: Sequence[Problem]) -> tuple[str, ...]:
    """Return the id of the problem at a position."""
    text = _number(_plain(value))
    if not text.isdecimal() or len(text) > 9 or int(text) >= len(problems):
        return ()
    return (problems[int(text)].id,)


def id_lookup(problems: Sequence[Problem], benchmark: str) -> Callable[[Any], tuple[str, ...]]:
    """Return what finds a problem by an id as other tools write it.

    ``HumanEval/3`` is also ``3``, ``"003"``, ``3.0``, ``"3.0"``, ``HumanEval_3``, ``openai_humaneval/3``; MBPP's ``2``
    is also ``Mbpp/2``. What stands before the number must name the benchmark, or none.
    """
    ids = {problem.id: problem.id for problem in problems}
    short: dict[str, list[str]] = {}
    for id in ids:
        short.setdefault(_number(id.rpartition("/")[2]), []).append(id)
    own = {_letters(id.rpartition("/")[0]) for id in ids} | {
        _letters(benchmark),
        _letters(benchmark.rpartition("_")[2]),
    }
    own.discard("")

    def find(value: Any) -> tuple[str, ...]:
        text = _plain(value)
        if text in ids:
            return (ids[text],)
        before, tail = re.fullmatch(r"(?:(.*)[/_:\-#])?(.*)", text, re.DOTALL).groups("")  # type: ignore[union-attr]
        names = short.get(_number(tail), [])
        return (names[0],) if len(names) == 1 and _is_own(before, own) else ()

    return find


def _is_own(before: str, own: set[str]) -> bool:
    """Tell whether what stands before an id's number names the benchmark, or nothing at all."""
    words = [word for word in re.split(r"[^a-z0-9]+", before.lower()) if word and word not in PLAIN_WORDS]
    joined = "".join(words)[:LONGEST_OWN]
    return not words or any(joined[:length] in own for length in range(1, len(joined) + 1))


def _plain(value: Any) -> str:
    """Return an id as text; a whole number that a table made a fraction is whole again."""
    if isinstance(value, bool) or value is None or isinstance(value, list | dict):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _number(text: str) -> str:
    """Return a whole number without the zeros in front of it and after its point, another text as it is."""
    text = re.sub(r"^(\d+)\.0+$", r"\1", text)
    return text.lstrip("0") or "0" if text.isdecimal() and text.isascii() else text


def _letters(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", text.lower())


# by text


def loosen(text: str) -> str:
    """Return a text in one Unicode form, every run of white space one blank, none at its ends."""
    return " ".join(unicodedata.normalize("NFC", text.translate(INVISIBLE)).split())


def problem_texts(problems: Sequence[Problem]) -> list[list[str]]:
    """Return the problems' own texts, a list for each field that holds them."""
    names = [name for name in PROMPT_FIELDS if isinstance(problems[0].data.get(name), str)]
    return [[str(problem.data.get(name, "")) for problem in problems] for name in names]


def _texts(records: Sequence[Record], problems: Sequence[Problem]) -> _Column | None:
    """Return the text field that knows most records' problems; ``None`` where none knows any."""
    columns = []
    for texts in problem_texts(problems):
        exact, loose = _index(texts, problems, str), _index(texts, problems, loosen)
        for name in PROMPT_FIELDS:
            loosely: set[str] = set()
            ids = [_by_text(asked_text(record.keys, name, exact), exact, loose, loosely) for record in records]
            columns.append(_Column(field=name, ids=ids, loosely=loosely))
    known = [column for column in columns if any(column.ids)]
    return max(known, key=lambda column: sum(map(bool, column.ids)), default=None)


def _index(texts: Sequence[str], problems: Sequence[Problem], form: Callable[[str], str]) -> dict[str, tuple[str, ...]]:
    """Return text -> the ids of the problems that have it."""
    found: dict[str, list[str]] = {}
    for text, problem in zip(texts, problems, strict=True):
        if key := form(text):
            found.setdefault(key, []).append(problem.id)
    return {key: tuple(ids) for key, ids in found.items()}


def _by_text(
    value: Any, exact: Mapping[str, tuple[str, ...]], loose: Mapping[str, tuple[str, ...]], loosely: set[str]
) -> tuple[str, ...]:
    """Return the problems with a text, as it stands or else but for white space and Unicode form."""
    text = prompt_text(value)
    if not text.strip():
        return ()
    if text in exact:
        return exact[text]
    ids = loose.get(loosen(text), ())
    loosely.update(ids)
    return ids


# by position


def _by_position(found: Records, problems: Sequence[Problem], rows: int | None) -> Match:
    """Return the problems that the prompts hold, where each holds one; else the problems in their order.

    Raises:
        RequestError: there are more or fewer records than problems.
    """
    if ids := _by_prompts_sent(found.records, problems):
        return Match(field="position" if ids == [p.id for p in problems[: len(ids)]] else "origin_prompt", ids=ids)
    count, wanted = len(found.records), len(problems)
    if count not in (wanted, rows):
        kind = "texts" if found.field == "" else "predictions"
        first = f"; where only the first {count:,} were asked, say --rows {count}" if count < wanted else ""
        raise RequestError(
            f"{one_line(str(found.path))}: {count:,} {kind} in the order of the problems, and the benchmark has "
            f"{wanted:,}{first}; is it another split, or one part of several? Name the folder with all parts, or give "
            "the problems with --data"
        )
    return Match(field="position", ids=[problem.id for problem in problems[:count]], placed=True)


def _by_prompts_sent(records: Sequence[Record], problems: Sequence[Problem]) -> list[str] | None:
    """Return the problem whose text each prompt holds, and no two the same; ``None`` where they don't tell.

    A prompt may hold examples before its question, and a problem's text may be part of a longer one: the last counts,
    and of those that end together the longest. Problems with one text are told by the position.
    """
    texts = max(problem_texts(problems), key=lambda texts: len(set(texts)), default=[])
    forms = [loosen(text) for text in texts]
    asked = [loosen(record.asked) for record in records]
    if len(asked) <= len(forms) and all(form and form in sent for form, sent in zip(forms, asked, strict=False)):
        return [problem.id for problem in problems[: len(asked)]]
    by_start = _by_start(problems, forms)
    ids = []
    for index, sent in enumerate(asked):
        held = _held(sent, by_start)
        own = problems[index].id if index < len(problems) else ""
        if not held:
            return None
        ids.append(own if own in held else held[0])
    return ids if len(set(ids)) == len(ids) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Starts:
    """The problems by their texts, and the texts by their first characters."""

    texts: Mapping[str, Mapping[str, list[str]]]
    """The first characters -> the text -> the ids of the problems that have it."""
    lengths: Sequence[int]
    """Lengths of those first characters: :data:`START`, fewer for a text that is shorter."""


def _by_start(problems: Sequence[Problem], forms: Sequence[str]) -> _Starts:
    """Return the problems by their texts' starts."""
    found: dict[str, dict[str, list[str]]] = {}
    for problem, form in zip(problems, forms, strict=False):
        if form:
            found.setdefault(form[:START], {}).setdefault(form, []).append(problem.id)
    return _Starts(texts=found, lengths=sorted({len(start) for start in found}))


def _texts_held(asked: str, starts: _Starts) -> Iterator[tuple[int, str]]:
    """Give the problems' texts that stand in a text, each with its place; a text begins where a word does."""
    for at in range(len(asked)):
        if asked[at - 1 : at].isalnum():
            continue
        for length in starts.lengths:
            for form in starts.texts.get(asked[at : at + length], ()):
                if asked.startswith(form, at):
                    yield at, form


def _held(asked: str, starts: _Starts) -> list[str]:
    """Return the ids of the problems whose text stands last in a prompt, and is the longest there."""
    best, ids = (0, 0), list[str]()
    for at, form in _texts_held(asked, starts):
        if (rank := (at + len(form), len(form))) > best:
            best, ids = rank, starts.texts[form[:START]][form]
    return ids


def check_order(problems: Sequence[Problem], records: Sequence[Record], texts: Sequence[str]) -> None:
    """Check that records which go by position stand in the order of the problems, as far as their prompts tell.

    A prompt that was sent holds its problem's text. Where no prompt was kept, texts that quote another problem and not
    their own are counted, and more than half of all must be of that kind: one may quote by chance.

    Raises:
        RequestError: they stand in another order, or answer another benchmark.
    """
    own = max(problem_texts(problems), key=lambda texts: len(set(texts)), default=[])
    forms = [loosen(text) for text in own]
    by_start = _by_start(problems, forms)
    wrong = []
    for problem, record, text, form in zip(problems, records, texts, forms, strict=False):
        asked = loosen(record.asked or text)
        if form not in asked and (record.asked or next(_texts_held(asked, by_start), None)):
            wrong.append((problem, record))
    if wrong and (wrong[0][1].asked or 2 * len(wrong) > len(records)):
        problem, record = wrong[0]
        raise RequestError(
            f"{record.where}: its prompt does not hold the text of problem {one_line(problem.id, LONGEST_NAME)}, whose "
            "position it has; is it another benchmark's, or in another order? Where it is the right one, write records "
            "of an id and a text"
        )


def shorten(text: str) -> str:
    """Return a text's first 60 characters in quotes."""
    return repr(text if len(text) <= 60 else text[:57] + "...")
