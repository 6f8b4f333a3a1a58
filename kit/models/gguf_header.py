"""The header of a llama.cpp file, checked before any library reads the file: every count, length and place in it.

The readers of gguf and transformers believe what a header says: a count of billions keeps them busy for ever, because
numpy gives an empty array for what lies past the file's end.
"""

import math
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from kit.errors import RequestError
from kit.models.settings import bound_message
from kit.reading.textfiles import open_regular

FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's number of a plain type -> struct's letter."""
TEXT, ARRAY = 8, 9
"""GGUF's numbers of the other two."""
MOST_DIMENSIONS = 4
"""Of a tensor; ggml has no more."""
LONGEST_NAME = 65_535
"""Bytes of a key's or a tensor's name, by GGUF's rules."""
SETTINGS = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "expert_count": "num_experts",
    "vocab_size": "vocab_size",
}
"""GGUF's key behind the architecture's name -> the setting of config.json that it becomes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tensor lies behind the header."""

    name: str
    """The tensor's."""
    start: int
    """Its first byte, counted from where the data begin."""
    size_bytes: int
    """Its bytes."""


def check_header(file: Path) -> None:
    """Refuse a llama.cpp file whose header can't be true of the file.

    Raises:
        RequestError: it is no GGUF file, is cut off, or its counts, lengths or places do not fit.

    Source:
        The layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
    """
    with open_regular(file) as stream:
        reader = _Reader(stream)
        try:
            settings = _check(reader)
        except (ValueError, struct.error) as error:
            raise RequestError(f"{file}: no whole GGUF file ({error}); is the download complete?") from error
    for key, value in settings.items():
        name = SETTINGS.get(key.partition(".")[2])
        if name and (wrong := bound_message(name, value)):
            raise RequestError(f"{file}: {key}: {wrong}; the file is damaged, take another copy")


class _Reader:
    """A file read from front to back, which never asks for more than is left of it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.size = os.fstat(stream.fileno()).st_size
        self.place = 0
        self._stream = stream

    def take(self, count: int) -> bytes:
        """The next bytes."""
        self.check(count)
        self.place += count
        return self._stream.read(count)

    def skip(self, count: int) -> None:
        """Pass by the next bytes."""
        self.check(count)
        self.place += count
        self._stream.seek(self.place)

    def check(self, count: int) -> None:
        """Refuse a length or count that the rest of the file can't have."""
        if count > self.size - self.place:
            raise ValueError(f"{count:,} bytes wanted at byte {self.place:,}, and {self.size - self.place:,} are left")

    def number(self, letter: str) -> int:
        """The next number of one of struct's kinds."""
        value: int = struct.unpack(f"<{letter}", self.take(struct.calcsize(f"<{letter}")))[0]
        return value

    def name(self) -> str:
        """The next text, as a name."""
        length = self.number("Q")
        if length > LONGEST_NAME:
            raise ValueError(f"a name of {length:,} bytes at byte {self.place:,}, wanted {LONGEST_NAME:,} at most")
        found = self.take(length).decode("utf-8")
        if not found.isprintable() or not found:
            raise ValueError(f"a name that can't be printed at byte {self.place:,}")
        return found

    def value(self, kind: int) -> int | None:
        """The next value where it is a whole number; any other is passed by."""
        if kind in FORMATS:
            found = self.number(FORMATS[kind])
            return found if FORMATS[kind] in "BbHhIiQq" else None
        if kind == TEXT:
            self.skip(self.number("Q"))
            return None
        if kind != ARRAY:
            raise ValueError(f"a value of type {kind} at byte {self.place:,}, which GGUF doesn't have")
        self._pass_array()
        return None

    def _pass_array(self) -> None:
        """Pass an array by."""
        kind, count = self.number("I"), self.number("Q")
        if kind in FORMATS:
            self.skip(count * struct.calcsize(FORMATS[kind]))
        elif kind == TEXT:
            self.check(8 * count)
            for _ in range(count):
                self.skip(self.number("Q"))
        else:
            raise ValueError(f"an array of type {kind} at byte {self.place:,}, which no reader takes")


def _check(reader: _Reader) -> dict[str, int]:
    """Read the whole header; its whole numbers by key."""
    if reader.take(4) != b"GGUF":
        raise ValueError("its first bytes are not 'GGUF'")
    version, tensors, keys = reader.number("I"), reader.number("Q"), reader.number("Q")
    if version not in (2, 3):
        raise ValueError(f"version {version}, wanted 2 or 3 in little-endian order")
    reader.check(13 * keys)  # the least that a key with its value takes
    reader.check(25 * tensors)
    settings: dict[str, int] = {}
    names: set[str] = set()
    for _ in range(keys):
        name = reader.name()
        if name in names:
            raise ValueError(f"the key {name!r} stands in it twice")
        names.add(name)
        if (value := reader.value(reader.number("I"))) is not None:
            settings[name] = value
    alignment = settings.get("general.alignment", 32)
    if alignment < 1 or alignment & (alignment - 1) or alignment > 2**20:
        raise ValueError(f"general.alignment is {alignment}, wanted a power of two")
    places = [_tensor(reader, alignment) for _ in range(tensors)]
    if len({place.name for place in places}) < len(places):
        raise ValueError("two tensors of one name stand in it")
    _check_places(reader, places, alignment)
    return settings


def _tensor(reader: _Reader, alignment: int) -> Place:
    """One line of the table of tensors."""
    from gguf import GGML_QUANT_SIZES

    name, dimensions = reader.name(), reader.number("I")
    if not 1 <= dimensions <= MOST_DIMENSIONS:
        raise ValueError(f"{name} has {dimensions:,} dimensions, wanted 1 to {MOST_DIMENSIONS}")
    shape = [reader.number("Q") for _ in range(dimensions)]
    kind, start = reader.number("I"), reader.number("Q")
    sizes: Mapping[int, tuple[int, int]] = GGML_QUANT_SIZES
    if kind not in sizes:
        raise ValueError(f"{name} is of type {kind}, which gguf doesn't know")
    block, block_bytes = sizes[kind]
    if 0 in shape or shape[0] % block or start % alignment:
        raise ValueError(f"{name} has shape {shape} at byte {start:,}, which its type can't have")
    return Place(name=name, start=start, size_bytes=math.prod(shape) // block * block_bytes)


def _check_places(reader: _Reader, places: list[Place], alignment: int) -> None:
    """The tensors lie apart from each other, and inside the file."""
    data_start = -(-reader.place // alignment) * alignment
    end = 0
    for place in sorted(places, key=lambda one: one.start):
        if place.start < end:
            raise ValueError(f"{place.name} lies in another tensor's bytes")
        end = place.start + place.size_bytes
        if data_start + end > reader.size:
            raise ValueError(f"{place.name} ends at byte {data_start + end:,}, the file at {reader.size:,}")
