"""Headers of llama.cpp files that can't be true: told at once, before a library that believes them opens the file."""

import struct
from pathlib import Path

import pytest

from kit import models
from kit.errors import RequestError
from kit.models.gguf_header import check_header

pytest.importorskip("gguf")
U32, TEXT, ARRAY, U64 = 4, 8, 9, 10


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def key(name: str | bytes, kind: int, value: bytes) -> bytes:
    return text(name) + struct.pack("<I", kind) + value


def tensor(name: str = "a.weight", shape: tuple[int, ...] = (8,), kind: int = 0, start: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, start)


def gguf(
    keys: list[bytes],
    tensors: list[bytes],
    data: int = 32,
    *,
    claimed_keys: int | None = None,
    claimed_tensors: int | None = None,
) -> bytes:
    """A file with that header, padded, and so many bytes of data behind it."""
    counts = [
        len(found) if claimed is None else claimed
        for found, claimed in ((tensors, claimed_tensors), (keys, claimed_keys))
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, *counts) + b"".join(keys) + b"".join(tensors)
    return head + bytes(-len(head) % 32) + bytes(data)


BLOCKS = key("llama.block_count", U32, struct.pack("<I", 2))
WORDS = key("tokenizer.ggml.tokens", ARRAY, struct.pack("<IQ", TEXT, 2) + text("a") + text("b" * 99))
GOOD = gguf([BLOCKS, WORDS], [tensor(), tensor("b.weight", (4, 2), start=32)], 64)
NAMED = ", which GGUF doesn't have"


def test_a_good_header_passes(tmp_path: Path):
    (tmp_path / "m.gguf").write_bytes(GOOD)
    check_header(tmp_path / "m.gguf")


FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "4 bytes wanted at byte 0, and 0 are left"),
    "something else": (b"PK\x03\x04" + bytes(99), "its first bytes are not 'GGUF'"),
    "version 1": (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "version 1, wanted 2 or 3 in little-endian order"),
    "the other byte order": (
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0),
        "version 50331648, wanted 2 or 3 in little-endian order",
    ),
    # the readers counted on: numpy gives an empty array behind the file's end
    "billions of keys": (
        gguf([BLOCKS], [], claimed_keys=2**40),
        f"{13 * 2**40:,} bytes wanted at byte 24, and 72 are left",
    ),
    "billions of tensors": (
        gguf([], [tensor()], claimed_tensors=2**60),
        f"{25 * 2**60:,} bytes wanted at byte 24, and 72 are left",
    ),
    "an array of billions": (
        gguf([key("a", ARRAY, struct.pack("<IQ", U32, 2**62))], []),
        f"{2**64:,} bytes wanted at byte 49, and 47 are left",
    ),
    "texts of billions": (
        gguf([key("a", ARRAY, struct.pack("<IQ", TEXT, 2**50))], []),
        f"{2**53:,} bytes wanted at byte 49, and 47 are left",
    ),
    "a text longer than the file": (
        gguf([key("a", TEXT, struct.pack("<Q", 2**63))], []),
        f"{2**63:,} bytes wanted at byte 45, and 51 are left",
    ),
    "a name longer than the file": (
        gguf([struct.pack("<Q", 2**63) + bytes(32)], []),
        f"a name of {2**63:,} bytes at byte 32, wanted 65,535 at most",
    ),
    "arrays in arrays": (
        gguf([key("a", ARRAY, struct.pack("<IQ", ARRAY, 1) * 9)], []),
        "an array of type 9 at byte 49, which no reader takes",
    ),
    "a kind of nobody's": (gguf([key("a", 77, b"")], []), f"a value of type 77 at byte 37{NAMED}"),
    "a key twice": (gguf([BLOCKS, BLOCKS], []), "the key 'llama.block_count' stands in it twice"),
    "a key that is no text": (
        gguf([key(b"\xff\xfe", U32, bytes(4))], []),
        "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte",
    ),
    "a key that writes on the terminal": (
        gguf([key("\x1b[2J", U32, bytes(4))], []),
        "a name that can't be printed at byte 36",
    ),
    "an alignment of none": (
        gguf([key("general.alignment", U32, bytes(4))], []),
        "general.alignment is 0, wanted a power of two",
    ),
    "many dimensions": (
        gguf([], [tensor(shape=(1,) * 5)]),
        "a.weight has 5 dimensions, wanted 1 to 4",
    ),
    "a type of nobody's": (gguf([], [tensor(kind=999)]), "a.weight is of type 999, which gguf doesn't know"),
    "half a block": (
        gguf([], [tensor(shape=(33,), kind=2)]),
        "a.weight has shape [33] at byte 0, which its type can't have",
    ),
    "larger than all": (
        gguf([], [tensor(shape=(2**62, 2**62))]),
        f"a.weight ends at byte {96 + 2**126:,}, the file at 128",
    ),
    "past the end": (gguf([], [tensor(start=2**40)]), f"a.weight ends at byte {64 + 2**40 + 32:,}, the file at 96"),
    "one in the other": (
        gguf([], [tensor(shape=(16,)), tensor("b.weight", start=32)], 64),
        "b.weight lies in another tensor's bytes",
    ),
    "two of one name": (gguf([], [tensor(), tensor(start=32)], 64), "two tensors of one name stand in it"),
}


@pytest.mark.parametrize("data, message", FILES.values(), ids=list(FILES))
def test_a_header_that_cannot_be(data: bytes, message: str, tmp_path: Path):
    file, out = tmp_path / "m.gguf", tmp_path / "out"
    file.write_bytes(data)
    with pytest.raises(RequestError) as caught:
        models.from_gguf(file, out)
    assert str(caught.value) == f"{file}: no whole GGUF file ({message}); is the download complete?"
    assert not out.exists()


SIZES = {
    "layers": ("llama.block_count", 2**31, "found 2,147,483,648, wanted 1,000 at most"),
    "no width": ("llama.embedding_length", 0, "found 0, wanted 1 or more"),
    "a vocabulary": ("qwen2.vocab_size", 2**40, f"found {2**40:,}, wanted 10,000,000 at most"),
}


@pytest.mark.parametrize("name, value, message", SIZES.values(), ids=list(SIZES))
def test_a_size_that_no_model_has(name: str, value: int, message: str, tmp_path: Path):
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf([key(name, U64, struct.pack("<Q", value))], []))
    with pytest.raises(RequestError) as caught:
        check_header(file)
    assert str(caught.value) == f"{file}: {name}: {message}; the file is damaged, take another copy"


@pytest.mark.parametrize("cut", range(0, len(GOOD), 7))
def test_every_cut_is_told(cut: int, tmp_path: Path):
    (tmp_path / "m.gguf").write_bytes(GOOD[:cut])
    with pytest.raises(RequestError, match="is the download complete"):
        check_header(tmp_path / "m.gguf")
