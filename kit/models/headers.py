"""A folder's tensors by name, read off the headers of its safetensors: no weight is loaded, no torch is needed."""

import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.files import INDEX, read_json, shown
from kit.reading.jsonfiles import load_json
from kit.reading.textfiles import open_regular

BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
"""safetensors' name of a type -> bits of one value."""

FLOATS = ("BF16", "F16", "F32", "F64")
"""Types that a weight can have as it is; an 8-bit float is one of a scale that stands elsewhere."""

LONGEST_HEADER = 100_000_000
"""Bytes; safetensors itself reads no longer one."""

MOST_DIMENSIONS = 8
"""Of a tensor; weights have one to four."""

NAME = re.compile(r"[!-.0-\[\]-~]{1,500}")
"""A tensor's name: of ASCII without blanks, slashes and control characters, as torch's modules have it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A tensor as a file holds it."""

    dtype: str
    """safetensors' name of its type."""
    shape: tuple[int, ...]
    """Its shape."""
    file: Path | None = None
    """The file it is in; None where there is no safetensors yet."""
    start: int = 0
    """Its first byte in the file."""
    size_bytes: int = 0
    """Its bytes."""


def weight_files(model: Path) -> list[Path]:
    """Return the safetensors that both engines read: those that the index names, or model.safetensors alone.

    Raises:
        RequestError: a file is missing, or transformers and vLLM would not read the same ones.
    """
    whole = model / "model.safetensors"
    others = sorted(file for file in model.glob("*.safetensors") if file != whole)
    if (model / INDEX).is_file():
        return _indexed_files(model, whole)
    if not whole.is_file():
        names = _some(file.name for file in others) or "no *.safetensors"  # a link that leads nowhere is none
        raise RequestError(
            f"{model}: found {names} and no {INDEX}, wanted model.safetensors, or shards with their index; is the "
            "download complete?"
        )
    if others:
        raise RequestError(
            f"{model}: {others[0].name} beside model.safetensors, and no {INDEX}: transformers reads the one, vLLM "
            f"every *.safetensors; move {others[0].name} out of the folder"
        )
    return [whole]


def _indexed_files(model: Path, whole: Path) -> list[Path]:
    """The files of the index, in order."""
    names = sorted(set(weight_map(model).values()))
    if missing := [name for name in names if not (model / name).is_file()]:
        more = f" and {len(missing) - 1} more are" if len(missing) > 1 else " is"
        raise RequestError(f"{model}: {missing[0]}{more} missing, {INDEX} names it; is the download complete?")
    if whole.is_file() and whole.name not in names:
        raise RequestError(
            f"{model}: model.safetensors beside {INDEX}, which doesn't name it: transformers reads the one, vLLM the "
            "index's files; move the copy that is not wanted out of the folder"
        )
    return [model / name for name in names]


def weight_map(model: Path) -> dict[str, str]:
    """Return the index's tensor name -> file name; empty where the folder has no index.

    Raises:
        RequestError: the index is no index.
    """
    if not (model / INDEX).is_file():
        return {}
    found = read_json(model / INDEX).get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(name, str) for name in found.values()):
        raise RequestError(
            f"{model / INDEX}: found no 'weight_map' from tensors to files, wanted the index that came with the "
            "shards; is the download complete?"
        )
    for name, file in found.items():
        if not NAME.fullmatch(name):
            raise RequestError(
                f"{model / INDEX}: names a tensor {shown(name)}, which no model has; is it the right one?"
            )
        if not file.isprintable() or set("/\\") & set(file) or file.startswith("."):
            raise RequestError(f"{model / INDEX}: names {shown(file)}, wanted files of the folder itself")
        if not file.endswith(".safetensors"):
            raise RequestError(f"{model / INDEX}: names {shown(file)}, wanted a *.safetensors")
    return found


def stored_tensors(model: Path) -> dict[str, Stored]:
    """Return every tensor of a model folder by name.

    Raises:
        RequestError: a file is damaged or cut off, two files hold the same tensor, or the index names one that its file
            lacks.
    """
    found: dict[str, Stored] = {}
    for file in weight_files(model):
        for name, tensor in read_header(file).items():
            if name in found:
                first = found[name].file or file
                raise RequestError(
                    f"{model}: {name} stands in {first.name} and in {file.name}, wanted each tensor once; "
                    "do the shards come from two checkpoints?"
                )
            found[name] = tensor
    places = weight_map(model)
    lacking = [name for name, file in places.items() if name not in found or found[name].file != model / file]
    if lacking:
        raise RequestError(
            f"{model}: {INDEX} names {_some(lacking)} in {places[lacking[0]]}, which lacks "
            f"{'it' if len(lacking) == 1 else 'them'}; do the index and the shards belong together?"
        )
    return found


def read_header(file: Path) -> dict[str, Stored]:
    """Return the tensors of one safetensors file by name, after checking that their bytes are all there.

    Raises:
        RequestError: the file is cut off, damaged, or something else.

    Source:
        The layout and its rules: https://github.com/huggingface/safetensors#format
    """
    with open_regular(file) as stream:
        size_bytes = os.fstat(stream.fileno()).st_size
        head = stream.read(8)
        if (head + stream.read(16)).startswith(b"version https://git-lfs"):
            raise RequestError(f"{file}: a git-lfs pointer, not the weights; run `git lfs pull` where it came from")
        length = int.from_bytes(head, "little")
        if len(head) < 8 or not 2 <= length <= LONGEST_HEADER:
            raise RequestError(f"{file}: {size_bytes:,} bytes that are no safetensors; is the download complete?")
        if 8 + length > size_bytes:
            raise _cut_off(file, size_bytes, "its header alone", 8 + length)
        stream.seek(8)
        text = stream.read(length)
    found = _header_object(file, text)
    _check_metadata(file, found.pop("__metadata__", {}))
    tensors = {name: _entry(file, name, value, 8 + length) for name, value in found.items()}
    _check_places(file, tensors, 8 + length, size_bytes)
    return tensors


def _header_object(file: Path, text: bytes) -> dict[str, Any]:
    """The header's object."""
    try:
        value = load_json(text.decode("utf-8"), unique_names=True)
    except ValueError as error:
        raise RequestError(f"{file}: its header is no JSON ({error}); the file is damaged, fetch it anew") from error
    if not isinstance(value, dict):
        raise RequestError(f"{file}: its header is no JSON object; the file is damaged, fetch it anew")
    return value


def _check_metadata(file: Path, value: Any) -> None:
    """Refuse what safetensors takes for no metadata: anything but texts by name."""
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise RequestError(
            f"{file}: its header has __metadata__ as {shown(value)}, wanted texts by name; the file is damaged"
        )


def _entry(file: Path, name: str, value: Any, data_start: int) -> Stored:
    """One line of the header, with type, shape and bytes in agreement."""
    if not NAME.fullmatch(name):
        raise RequestError(f"{file}: its header names a tensor {shown(name)}, which no model has; the file is damaged")
    try:
        dtype, shape, (start, end) = value["dtype"], value["shape"], value["data_offsets"]
        numbers = [*shape, start, end]
        # a bool is an int to Python
        sound = isinstance(shape, list) and all(type(side) is int and 0 <= side < 2**63 for side in numbers)
        sound = sound and len(shape) <= MOST_DIMENSIONS
        wanted = (math.prod(shape) * BITS[dtype] + 7) // 8 if sound else 0
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound or end - start != wanted:
        raise RequestError(f"{file}: its header has {name} as {_told(value)}, which can't be; the file is damaged")
    return Stored(dtype=dtype, shape=tuple(shape), file=file, start=data_start + start, size_bytes=wanted)


def _told(value: Any) -> str:
    """A line of the header as a message shows it: whole where it is a usual one."""
    text = ascii(value)
    return text if len(text) <= 200 else f"{text[:197]}..."


def _check_places(file: Path, tensors: Mapping[str, Stored], data_start: int, size_bytes: int) -> None:
    """The tensors lie one behind the other, and the file ends where the last one does."""
    end = data_start
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].start, item[1].size_bytes)):
        if tensor.start != end:
            raise RequestError(f"{file}: {name} starts at byte {tensor.start:,}, wanted {end:,}; the file is damaged")
        end += tensor.size_bytes
    if end > size_bytes:
        raise _cut_off(file, size_bytes, "its tensors", end)
    if end < size_bytes:
        raise RequestError(
            f"{file}: {size_bytes:,} bytes, its tensors end at byte {end:,}; the file is damaged, fetch it anew"
        )


def _cut_off(file: Path, size_bytes: int, what: str, wanted_bytes: int) -> RequestError:
    """The error of a file that ends too early."""
    return RequestError(
        f"{file}: cut off: found {size_bytes:,} bytes, wanted {wanted_bytes:,} for {what}; is the download complete?"
    )


def _some(names: Any) -> str:
    """The first few of some names, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 3:,} more" if len(listed) > 3 else ""
    return ", ".join(listed[:3]) + more


def same_bytes(one: Stored, other: Stored) -> bool:
    """Whether two stored tensors are equal in type, shape and every byte; read piece by piece."""
    if (one.dtype, one.shape) != (other.dtype, other.shape) or one.file is None or other.file is None:
        return False
    step = 1 << 22
    with one.file.open("rb") as left, other.file.open("rb") as right:
        left.seek(one.start)
        right.seek(other.start)
        sizes = [min(step, one.size_bytes - done) for done in range(0, one.size_bytes, step)]
        return all(left.read(size) == right.read(size) for size in sizes)
