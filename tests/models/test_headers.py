"""Files of weights that are damaged, cut off, or not those that both engines read; no torch is needed to see it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError
from kit.models.headers import read_header, stored_tensors

INDEX = "model.safetensors.index.json"
NORM = "model.norm.weight"


def safetensors(tensors: dict[str, list[float]], **header: Any) -> bytes:
    """A safetensors file written by hand."""
    import struct

    lines: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, values in tensors.items():
        line = {"dtype": "F32", "shape": [len(values)], "data_offsets": [len(data), len(data) + 4 * len(values)]}
        lines[name] = line | header
        data += struct.pack(f"<{len(values)}f", *values)
    text = json.dumps(lines).encode()
    return len(text).to_bytes(8, "little") + text + data


WHOLE = safetensors({"a": [1.0, 2.0], "b": [3.0]})
HEADER = len(WHOLE) - 12


def test_a_header_is_read_without_its_data(tmp_path: Path):
    (tmp_path / "w.safetensors").write_bytes(WHOLE)
    found = read_header(tmp_path / "w.safetensors")
    assert {name: (one.dtype, one.shape, one.start, one.size_bytes) for name, one in found.items()} == {
        "a": ("F32", (2,), HEADER, 8),
        "b": ("F32", (1,), HEADER + 8, 4),
    }


def test_the_official_writer_is_read(tmp_path: Path):
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    kinds = {
        "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I64": torch.int64,
        "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
        "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "C64": torch.complex64,
    }  # fmt: skip
    tensors = {name: torch.zeros(3, 5).to(kind) for name, kind in kinds.items()}
    save_file(tensors | {"scalar": torch.tensor(1.0), "empty": torch.zeros(0, 4)}, tmp_path / "w.safetensors")
    found = read_header(tmp_path / "w.safetensors")
    assert {name: found[name].dtype for name in kinds} == {name: name for name in kinds}
    assert all(found[name].size_bytes == tensors[name].nbytes for name in kinds)
    assert (found["scalar"].shape, found["empty"].shape) == ((), (0, 4))


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:1f2e\nsize 4\n"
FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "0 bytes that are no safetensors; is the download complete?"),
    "five bytes": (b"short", "5 bytes that are no safetensors; is the download complete?"),
    "zeros of a reserved download": (bytes(64), "64 bytes that are no safetensors; is the download complete?"),
    "an error page": (b"<!DOCTYPE html><html>", "21 bytes that are no safetensors; is the download complete?"),
    "a pointer": (POINTER, "a git-lfs pointer, not the weights; run `git lfs pull` where it came from"),
    "cut in the header": (
        WHOLE[:40],
        f"cut off: found 40 bytes, wanted {HEADER} for its header alone; is the download complete?",
    ),
    "cut behind the header": (
        WHOLE[:HEADER],
        f"cut off: found {HEADER} bytes, wanted {HEADER + 12} for its tensors; is the download complete?",
    ),
    "one byte short": (
        WHOLE[:-1],
        f"cut off: found {HEADER + 11} bytes, wanted {HEADER + 12} for its tensors; is the download complete?",
    ),
    "bytes behind the last tensor": (
        WHOLE + b"\0",
        f"{HEADER + 13} bytes, its tensors end at byte {HEADER + 12}; the file is damaged, fetch it anew",
    ),
    "a header that is no JSON": (
        WHOLE[:8] + b"x" + WHOLE[9:],
        "its header is no JSON (Expecting value: line 1 column 1 (char 0)); the file is damaged, fetch it anew",
    ),
    "a header that is a list": (
        (2).to_bytes(8, "little") + b"[]",
        "its header is no JSON object; the file is damaged, fetch it anew",
    ),
    "a type of nobody's": (
        safetensors({"a": [1.0]}, dtype="F7"),
        "its header has a as {'dtype': 'F7', 'shape': [1], 'data_offsets': [0, 4]}, which can't be; the file is "
        "damaged",
    ),
    "a shape of more than its bytes": (
        safetensors({"a": [1.0]}, shape=[2, 3]),
        "its header has a as {'dtype': 'F32', 'shape': [2, 3], 'data_offsets': [0, 4]}, which can't be; the file is "
        "damaged",
    ),
    "a shape below 0": (
        safetensors({"a": [1.0]}, shape=[-1, -1]),
        "its header has a as {'dtype': 'F32', 'shape': [-1, -1], 'data_offsets': [0, 4]}, which can't be; the file is "
        "damaged",
    ),
    "two tensors in one place": (
        safetensors({"a": [1.0], "b": [2.0]}, data_offsets=[0, 4]),
        f"b starts at byte {len(safetensors({'a': [1.0], 'b': [2.0]}, data_offsets=[0, 4])) - 8:,}, wanted "
        f"{len(safetensors({'a': [1.0], 'b': [2.0]}, data_offsets=[0, 4])) - 4:,}; the file is damaged",
    ),
}


@pytest.mark.parametrize("data, message", FILES.values(), ids=list(FILES))
def test_a_damaged_file_is_refused(data: bytes, message: str, tmp_path: Path):
    # most ended in a SafetensorError after the start, which named no cure
    file = tmp_path / "model.safetensors"
    file.write_bytes(data)
    with pytest.raises(RequestError) as caught:
        read_header(file)
    assert str(caught.value) == f"{file}: {message}"


def sharded(folder: Path, weight_map: dict[str, str] | None, **shards: list[str]) -> Path:
    """Shards ``a``, ``b``, ... with those tensors, and an index."""
    folder.mkdir()
    for name, tensors in shards.items():
        (folder / f"{name}.safetensors").write_bytes(safetensors({key: [1.0] for key in tensors}))
    if weight_map is not None:
        places = {name: f"{file}.safetensors" for name, file in weight_map.items()}
        (folder / INDEX).write_text(json.dumps({"weight_map": places}))
    return folder


def test_shards_are_read_as_the_index_says(tmp_path: Path):
    # a second full copy, as Mistral's consolidated.safetensors, is nobody's business
    folder = sharded(tmp_path / "m", {"x": "a", "y": "b"}, a=["x"], b=["y", "z"], consolidated=["x", "y"])
    assert {name: one.file and one.file.name for name, one in stored_tensors(folder).items()} == {
        "x": "a.safetensors",
        "y": "b.safetensors",
        "z": "b.safetensors",
    }


SHARDS: dict[str, tuple[dict[str, str] | None, dict[str, list[str]], str]] = {
    "a shard is missing": (
        {"x": "a", "y": "b"},
        {"a": ["x"]},
        f": b.safetensors is missing, {INDEX} names it; is the download complete?",
    ),
    "shards are missing": (
        {"x": "a", "y": "b", "z": "c"},
        {"a": ["x"]},
        f": b.safetensors and 1 more are missing, {INDEX} names it; is the download complete?",
    ),
    # the last one read won
    "a tensor in two shards": (
        {"x": "a", "y": "b"},
        {"a": ["x"], "b": ["x", "y"]},
        ": x stands in a.safetensors and in b.safetensors, wanted each tensor once; do the shards come from two "
        "checkpoints?",
    ),
    # drawn at random
    "a tensor that the shard lacks": (
        {"x": "a", "y": "b"},
        {"a": ["x"], "b": ["z"]},
        f": {INDEX} names y in b.safetensors, which lacks it; do the index and the shards belong together?",
    ),
    "tensors of another shard": (
        {"x": "b", "y": "a"},
        {"a": ["x"], "b": ["y"]},
        f": {INDEX} names x, y in b.safetensors, which lacks them; do the index and the shards belong together?",
    ),
    "no index": (
        None,
        {"model-00001-of-00002": ["x"]},
        f": found model-00001-of-00002.safetensors and no {INDEX}, wanted model.safetensors, or shards with their "
        "index; is the download complete?",
    ),
    # transformers read the one, vLLM both
    "two files, no index": (
        None,
        {"model": ["x"], "other": ["x"]},
        f": other.safetensors beside model.safetensors, and no {INDEX}: transformers reads the one, vLLM every "
        "*.safetensors; move other.safetensors out of the folder",
    ),
    "a whole copy beside the shards": (
        {"x": "a"},
        {"a": ["x"], "model": ["x"]},
        f": model.safetensors beside {INDEX}, which doesn't name it: transformers reads the one, vLLM the index's "
        "files; move the copy that is not wanted out of the folder",
    ),
    "an index that leads out": (
        {"x": "../other"},
        {"a": ["x"]},
        f"/{INDEX}: names '../other.safetensors', wanted files of the folder itself",
    ),
}


@pytest.mark.parametrize("weight_map, shards, message", SHARDS.values(), ids=list(SHARDS))
def test_shards_that_do_not_belong_together(
    weight_map: dict[str, str] | None, shards: dict[str, list[str]], message: str, tmp_path: Path
):
    folder = sharded(tmp_path / "m", weight_map, **shards)
    with pytest.raises(RequestError) as caught:
        stored_tensors(folder)
    assert str(caught.value) == f"{folder}{message}"


NO_MAP = "found no 'weight_map' from tensors to files, wanted the index that came with the shards; "
INDICES = {
    "cut off": (
        '{"weight_map": {"x"',
        "not JSON: Expecting ':' delimiter: line 1 column 20 (char 19); is the file cut off?",
    ),
    "no map": ("{}", f"{NO_MAP}is the download complete?"),
    "an empty map": ('{"weight_map": {}}', f"{NO_MAP}is the download complete?"),
    "a list": ("[]", "found list, wanted a JSON object"),
}


@pytest.mark.parametrize("text, message", INDICES.values(), ids=list(INDICES))
def test_an_index_that_is_none(text: str, message: str, tmp_path: Path):
    # ended in tracebacks
    folder = sharded(tmp_path / "m", None, a=["x"])
    (folder / INDEX).write_text(text)
    with pytest.raises(RequestError) as caught:
        stored_tensors(folder)
    assert str(caught.value) == f"{folder / INDEX}: {message}"


def test_a_folder_with_an_adapter_in_it_is_refused(tmp_path: Path, copy: Callable[..., Path]):
    # transformers loaded the adapter on top, vLLM did not: two models of one folder
    folder = copy()
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == (
        f"{folder}: adapter_config.json beside config.json: transformers would add the adapter to the weights, vLLM "
        "would not; merge it into the weights, or move it into a folder of its own"
    )


def test_an_adapter_alone_is_no_model(tmp_path: Path):
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "a/base"}')
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: an adapter for 'a/base' (adapter_config.json), wanted a whole model; merge it into its base with "
        "PEFT's merge_and_unload and save that"
    )


def test_a_config_that_is_cut_off(copy: Callable[..., Path]):
    folder = copy()
    (folder / "config.json").write_text('{"model_type": "lla')
    with pytest.raises(RequestError) as caught:
        models.check_weights(folder)
    assert str(caught.value) == (
        f"{folder / 'config.json'}: not JSON: Unterminated string starting at: line 1 column 16 (char 15); is the file "
        "cut off?"
    )


def test_a_link_to_a_file_that_is_gone(tmp_path: Path):
    folder = sharded(tmp_path / "m", {"x": "a"}, a=["x"])
    shutil.move(folder / "a.safetensors", tmp_path / "elsewhere")
    (folder / "a.safetensors").symlink_to(tmp_path / "elsewhere")
    assert list(stored_tensors(folder)) == ["x"]
    (tmp_path / "elsewhere").unlink()
    with pytest.raises(RequestError, match=rf"^{folder}: a.safetensors is missing, "):
        stored_tensors(folder)
