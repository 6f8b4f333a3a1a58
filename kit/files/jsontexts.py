"""Texts of JSON files cut into records, and records that get more fields, all else kept character by character."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kit.reading.jsonlines import BYTE_ORDER_MARK

BLANKS = " \t\r\n"
"""Characters that JSON allows between its parts."""
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class RecordTexts:
    """A text of records: each as it stands, and what stands around them."""

    before: str
    """Text in front of the first record: a list's bracket."""
    records: Sequence[str]
    """Text of each record, in order."""
    between: Sequence[str]
    """Text in front of each record but the first: a list's comma, a line break."""
    after: str
    """Text behind the last record: a list's bracket, a line break."""

    def joined(self, records: Mapping[int, str]) -> str:
        """Return a text of some records, laid out as this one.

        Args:
            records: position of each record, in the order to write them -> its text.
        """
        if not records:
            return "[]\n" if "[" in self.before else ""
        parts = [self.before]
        for position, text in records.items():
            # The first record has nothing before it that could stand between two.
            parts += [self.between[max(position - 1, 0)]] if len(parts) > 1 else []
            parts.append(text)
        return "".join([*parts, self.after])


def list_texts(text: str) -> RecordTexts:
    """Return the records of a JSON list that was read before."""
    text = text.lstrip(BYTE_ORDER_MARK)
    spans: list[tuple[int, int]] = []
    position = text.index("[") + 1
    while True:
        position = _over_blanks(text, position, and_comma=True)
        if text[position] == "]":
            break
        _, end = _DECODER.raw_decode(text, position)
        spans.append((position, end))
        position = end
    ends = [end for _, end in spans]
    return RecordTexts(
        before=text[: spans[0][0]] if spans else "[",
        records=[text[start:end] for start, end in spans],
        between=[text[end:start] for end, (start, _) in zip(ends, spans[1:], strict=False)],
        after=text[ends[-1] :] if spans else text[position:],
    )


def line_texts(text: str) -> RecordTexts:
    """Return the records of JSONL that was read before, without its blank lines; each ends as the first line does."""
    line_end = "\r\n" if "\r\n" in text[: text.find("\n") + 1] else "\n"
    bare = (line.lstrip(BYTE_ORDER_MARK).rstrip("\r") for line in text.split("\n"))
    records = [line for line in bare if line and not line.isspace()]
    return RecordTexts(before="", records=records, between=[line_end] * (len(records) - 1), after=line_end)


def with_fields(text: str, fields: Mapping[str, Any]) -> str:
    r"""Return the text of a JSON object with more fields behind its own, set apart as these are.

    A field that it has already gets its new value in its place. ``{"a": 1E2}`` with ``b`` = 3 becomes
    ``{"a": 1E2, "b": 3}``.

    Args:
        text: an object that was read before, with blanks around it or without.
        fields: name -> the new value.
    """
    members = _members(text)
    own = {member.name: member for member in members}
    new = {name: value for name, value in fields.items() if name not in own}
    pieces, position = list[str](), 0
    for member in members:
        if member.name in fields:
            pieces += [text[position : member.start], _dumped(fields[member.name])]
            position = member.end
    last = members[-1].end if members else text.index("{") + 1
    pieces.append(text[position:last])
    comma, colon = _separators(text, members)
    added = [f"{json.dumps(name, ensure_ascii=False)}{colon}{_dumped(value)}" for name, value in new.items()]
    return "".join([*pieces, comma if members and added else "", comma.join(added), text[last:]])


@dataclass(frozen=True, slots=True)
class _Member:
    """One field of an object's text: positions of its name, and of its value."""

    name: str
    name_start: int
    name_end: int
    start: int
    end: int


def _members(text: str) -> list[_Member]:
    """Return the fields of an object's text, in order."""
    found: list[_Member] = []
    position = text.index("{") + 1
    while True:
        position = _over_blanks(text, position, and_comma=True)
        if text[position] == "}":
            return found
        name, name_end = _DECODER.raw_decode(text, position)
        start = _over_blanks(text, _over_blanks(text, name_end) + 1)  # over the colon
        _, end = _DECODER.raw_decode(text, start)
        found.append(_Member(name, position, name_end, start, end))
        position = end


def _separators(text: str, members: Sequence[_Member]) -> tuple[str, str]:
    """Return what stands between two fields of an object's text, and between a name and its value."""
    if not members:
        return ", ", ": "
    last = members[-1]
    colon = text[last.name_end : last.start]
    if len(members) > 1:
        return text[members[-2].end : last.name_start], colon
    lead = text[text.index("{") + 1 : last.name_start]
    return f",{lead if lead.strip(' ') else ' ' * (colon != ':')}", colon


def _over_blanks(text: str, position: int, *, and_comma: bool = False) -> int:
    """Return the next position that holds something else than blanks, and commas where they are passed over too."""
    passed = BLANKS + "," * and_comma
    while text[position] in passed:
        position += 1
    return position


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
