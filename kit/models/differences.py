"""Describe the differences between a folder's tensors and its architecture's in one sentence."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kit.models.headers import Stored

SHOWN = 6
"""Names that a message lists; the others are counted."""

LAYER = re.compile(r"\.(?P<index>\d+)\.")
"""A layer's number in a tensor's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Differences:
    """Differences between a folder's tensors and its architecture's."""

    missing: list[str] = field(default_factory=list)
    """Wanted, and not stored."""
    unexpected: list[str] = field(default_factory=list)
    """Stored, and neither wanted nor known to be harmless."""
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(default_factory=dict)
    """Name -> (stored shape, wanted shape)."""
    types: dict[str, str] = field(default_factory=dict)
    """Name -> stored type, where it is no 16-, 32- or 64-bit float."""
    untied: list[tuple[str, str]] = field(default_factory=list)
    """Two that config.json calls one, stored twice with different values."""

    def __bool__(self) -> bool:
        return any((self.missing, self.unexpected, self.shapes, self.types, self.untied))


def order(name: str) -> list[tuple[int, str]]:
    """Return a sort key of a tensor's name that has layer 10 behind layer 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]


def difference_message(where: Path, kind: str, found: Differences, cure: str) -> str:
    """Return the sentence that names every difference, or the first of many, and ends in the likely cure."""
    parts = [
        _part(found.missing, "missing"),
        _part(found.unexpected, "unknown to it"),
        _part([f"{name} {_size(a)}, wanted {_size(b)}" for name, (a, b) in found.shapes.items()], "of another shape"),
        _part([f"{name} {dtype}, wanted a float" for name, dtype in found.types.items()], "of another type"),
        _part([f"{one} and {other}" for one, other in found.untied], "stored twice with different values"),
    ]
    summary = "; ".join(part for part in parts if part)
    return f"{where}: the weights are not those of its {kind}: {summary}; {cure}"


def _part(lines: list[str], what: str) -> str:
    """Return one kind of difference: how many, in which layers, and the first by name."""
    if not lines:
        return ""
    numbers = sorted({int(match["index"]) for line in lines if (match := LAYER.search(line))})
    place = f" (layer{'s' if len(numbers) > 1 else ''} {_ranges(numbers)})" if numbers else ""
    more = f" and {len(lines) - SHOWN:,} more" if len(lines) > SHOWN else ""
    return f"{len(lines):,} {what}{place}: {', '.join(lines[:SHOWN])}{more}"


def _ranges(numbers: list[int]) -> str:
    """``0 to 3, 7`` for 0, 1, 2, 3, 7."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ", ".join(f"{part[0]} to {part[-1]}" if len(part) > 1 else str(part[0]) for part in parts)


def _size(shape: tuple[int, ...]) -> str:
    """``261 x 32`` for a matrix's shape."""
    return " x ".join(map(str, shape)) or "a single value"


def likely_cure(settings: Mapping[str, Any], stored: Mapping[str, Stored], found: Differences) -> str:
    """Return the likely reason of the differences, as a question or an advice.

    Args:
        settings: config.json; empty where it is not at hand.
        stored: the folder's tensors; empty where they are not at hand.
        found: the differences.
    """
    if found.types:
        return "take the model's version that is not quantised"
    if found.untied:
        return "set tie_word_embeddings to false in config.json if the head was trained apart, else remove its tensor"
    if reason := _other_layers(settings, stored, found) or _other_vocabulary(settings, found):
        return reason
    if found.shapes or found.unexpected:
        return "do config.json and the weights belong together?"
    if all(name.startswith(("lm_head.", "embed_out.")) for name in found.missing):
        return "is the download complete? If the head is the embedding, set tie_word_embeddings to true in config.json"
    return "is the download complete?"


def _other_layers(settings: Mapping[str, Any], stored: Mapping[str, Stored], found: Differences) -> str:
    """Tell how many layers are stored, if layers at the end are all of the difference."""
    count = settings.get("num_hidden_layers")
    numbers = {int(match["index"]) for name in stored if (match := LAYER.search(name))}
    if not isinstance(count, int) or not numbers or found.shapes or len(numbers) != max(numbers) + 1:
        return ""
    differing = {int(match["index"]) for name in found.missing + found.unexpected if (match := LAYER.search(name))}
    both = found.missing + found.unexpected
    if (
        len(numbers) == count
        or any(not LAYER.search(name) for name in both)
        or min(differing) != min(len(numbers), count)
    ):
        return ""
    return f"config.json has num_hidden_layers {count}, and {len(numbers)} layers are stored"


def _other_vocabulary(settings: Mapping[str, Any], found: Differences) -> str:
    """Tell how many rows are stored, if rows of the embedding and the head are all of the difference."""
    if found.missing or found.unexpected:
        return ""
    rows = {stored[0] for stored, wanted in found.shapes.values() if stored[1:] == wanted[1:] and len(stored) == 2}
    size = settings.get("vocab_size")
    same = all(wanted[0] == size and stored[1:] == wanted[1:] for stored, wanted in found.shapes.values())
    if len(rows) != 1 or not same:
        return ""
    return f"config.json has vocab_size {size}, and {min(rows)} rows are stored"
