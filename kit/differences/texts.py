"""Beginnings of the texts behind two items, and the place where two texts part."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.differences.items import stored_rows
from kit.differences.runs import Measured
from kit.errors import KitError
from kit.report.escapes import plain

KEPT = 1000
"""Characters that are kept of a text, from its beginning."""
SHOWN = 160
"""Characters that are shown of a text."""
BEFORE = 30
"""Characters that are shown before the place where two texts part."""
SOURCES = {
    "completions": ("completions.jsonl", "text"),
    "pairs": ("pairs.jsonl", "output"),
    "instructions": ("instructions.jsonl", "instruction"),
}
"""Role of a grading's input -> the file of its artifact with a text for each row, and the text's field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """The beginning of a text, and its length."""

    text: str
    length: int
    """Characters of the whole text."""


def beginning(text: str) -> Beginning:
    """Return the beginning of a text."""
    return Beginning(text=text[:KEPT], length=len(text))


def excerpts(before: Beginning | None, after: Beginning | None) -> tuple[str, str]:
    """Return what is shown of two texts, from where they part if they begin alike; made safe for a terminal.

    A text that is not there is ``(no text)``.
    """
    same = common_start(before.text, after.text) if before and after else 0
    if before and before == after:
        return _excerpt(
            before, 0
        ), "(the same text)" if before.length <= KEPT else f"(the same first {KEPT:,} characters)"
    start = same - BEFORE if same > SHOWN - BEFORE else 0
    return _excerpt(before, start), _excerpt(after, start)


def common_start(one: str, other: str) -> int:
    """Return the number of characters by which two texts begin alike."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def _excerpt(one: Beginning | None, start: int) -> str:
    """Return a part of a text on one line, in quotes; how many characters stand before and after it is said."""
    if one is None:
        return "(no text)"
    part = plain(one.text[start : start + SHOWN]).replace("\\n", "\\\\n").replace("\n", "\\n")
    before = f"(after {start:,} alike) " if start else ""
    rest = one.length - start - SHOWN
    return f'{before}"{part}"' + (f" ... {rest:,} more" if rest > 0 else "")


def texts_of(rows: Iterable[tuple[str, Mapping[str, Any]]], field: str, ids: Collection[str]) -> dict[str, Beginning]:
    """Return the beginnings of the texts of some rows, by id; the first of several with one id counts."""
    found: dict[str, Beginning] = {}
    for _, row in rows:
        id, text = row.get("id"), row.get(field)
        if isinstance(id, str) and id in ids and isinstance(text, str):
            found.setdefault(id, beginning(text))
    return found


def stored_texts(one: Measured, ids: Collection[str]) -> dict[str, Beginning]:
    """Return the beginnings of the texts that a grading's items are about; none where its store has them no more."""
    for role, (name, field) in SOURCES.items():
        if (key := one.artifact.job.inputs.get(role)) is None:
            continue
        try:
            artifact = one.store.get(key)
            if name in artifact.files:
                return texts_of(stored_rows(one.store, artifact, name), field, ids)
        except KitError:
            continue
    return {}
