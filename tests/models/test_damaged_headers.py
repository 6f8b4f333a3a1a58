"""Safetensors headers, indices, pickles and adapters of somebody else's making: a sentence each, and nothing opened."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError
from kit.models.headers import read_header, stored_tensors

INDEX = "model.safetensors.index.json"


def file_of(header: str | bytes, data: int = 4) -> bytes:
    text = header.encode() if isinstance(header, str) else header
    return len(text).to_bytes(8, "little") + text + bytes(data)


def entry(**changes: Any) -> str:
    return json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | changes})


BAD = ", which can't be; the file is damaged"
DEEP = '{"a":' * 200 + "1" + "}" * 200
HEADERS: dict[str, tuple[str | bytes, str]] = {
    "deep": (
        DEEP,
        "its header is no JSON (more than 100 brackets in each other); the file is damaged, fetch it anew",
    ),
    "a name twice": (
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [0], '
        '"data_offsets": [0, 0]}}',
        "its header is no JSON (an object has the name 'a' twice); the file is damaged, fetch it anew",
    ),
    "a setting twice": (
        '{"a": {"dtype": "F32", "dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}',
        "its header is no JSON (an object has the name 'dtype' twice); the file is damaged, fetch it anew",
    ),
    "no text": (
        b'{"\xff": 1}',
        "its header is no JSON ('utf-8' codec can't decode byte 0xff in position 2: invalid start byte); the file is "
        "damaged, fetch it anew",
    ),
    "no number": (
        '{"a": NaN}',
        "its header is no JSON (NaN is no number of JSON); the file is damaged, fetch it anew",
    ),
    "a bool as size": (
        entry(shape=[True]),
        "its header has a as {'dtype': 'F32', 'shape': [True], 'data_offsets': [0, 4]}" + BAD,
    ),
    "a float as size": (
        entry(shape=[1.0]),
        "its header has a as {'dtype': 'F32', 'shape': [1.0], 'data_offsets': [0, 4]}" + BAD,
    ),
    "a text as size": (
        entry(shape="1"),
        "its header has a as {'dtype': 'F32', 'shape': '1', 'data_offsets': [0, 4]}" + BAD,
    ),
    "bools as places": (
        entry(data_offsets=[False, 4]),
        "its header has a as {'dtype': 'F32', 'shape': [1], 'data_offsets': [False, 4]}" + BAD,
    ),
    "places backwards": (
        entry(data_offsets=[4, 0]),
        "its header has a as {'dtype': 'F32', 'shape': [1], 'data_offsets': [4, 0]}" + BAD,
    ),
    "three places": (
        entry(data_offsets=[0, 2, 4]),
        "its header has a as {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 2, 4]}" + BAD,
    ),
    "a type as a list": (
        entry(dtype=["F32"]),
        "its header has a as {'dtype': ['F32'], 'shape': [1], 'data_offsets': [0, 4]}" + BAD,
    ),
    "nothing": ('{"a": null}', "its header has a as None" + BAD),
    "a name that leads out": (
        entry().replace('"a"', '"../../a"', 1),
        "its header names a tensor '../../a', which no model has; the file is damaged",
    ),
    "a name with a zero": (
        entry().replace('"a"', '"a\\u0000"', 1),
        r"its header names a tensor 'a\x00', which no model has; the file is damaged",
    ),
    "a name that writes on the terminal": (
        entry().replace('"a"', '"\\u001b[2J"', 1),
        r"its header names a tensor '\x1b[2J', which no model has; the file is damaged",
    ),
    "metadata as a list": (
        '{"__metadata__": [1]}',
        "its header has __metadata__ as [1], wanted texts by name; the file is damaged",
    ),
    "metadata of numbers": (
        '{"__metadata__": {"format": 1}}',
        "its header has __metadata__ as {'format': 1}, wanted texts by name; the file is damaged",
    ),
}


@pytest.mark.parametrize("header, message", HEADERS.values(), ids=list(HEADERS))
def test_a_header_of_somebody_elses(header: str | bytes, message: str, tmp_path: Path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(file_of(header))
    with pytest.raises(RequestError) as caught:
        read_header(file)
    assert str(caught.value) == f"{file}: {message}"


@pytest.mark.parametrize("side", [10**400, -(10**20), 2**63], ids=["huge", "below zero", "no int of 64 bits"])
def test_a_size_of_many_digits_is_cut_in_the_message(side: int, tmp_path: Path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(file_of(entry(shape=[side, 0])))
    with pytest.raises(RequestError, match=r"its header has a as .*, which can't be; the file is damaged$") as caught:
        read_header(file)
    assert len(str(caught.value)) < 300 + len(str(file))


def test_many_dimensions(tmp_path: Path):
    (tmp_path / "w.safetensors").write_bytes(file_of(entry(shape=[1] * 100_000)))
    with pytest.raises(RequestError, match="which can't be; the file is damaged"):
        read_header(tmp_path / "w.safetensors")


INDICES: dict[str, tuple[Any, str]] = {
    "a folder above": ({"x": ".."}, "names '..', wanted files of the folder itself"),
    "an absolute path": ({"x": "/etc/passwd"}, "names '/etc/passwd', wanted files of the folder itself"),
    "another system's path": (
        {"x": "..\\a.safetensors"},
        "names '..\\\\a.safetensors', wanted files of the folder itself",
    ),
    "a zero": ({"x": "a\0.safetensors"}, r"names 'a\x00.safetensors', wanted files of the folder itself"),
    "a hidden file": ({"x": ".a.safetensors"}, "names '.a.safetensors', wanted files of the folder itself"),
    "another kind": ({"x": "config.json"}, "names 'config.json', wanted a *.safetensors"),
    "a tensor's path": (
        {"../x": "a.safetensors"},
        "names a tensor '../x', which no model has; is it the right one?",
    ),
    "a number": (
        {"x": 1},
        "found no 'weight_map' from tensors to files, wanted the index that came with the shards; is the download "
        "complete?",
    ),
}


@pytest.mark.parametrize("places, message", INDICES.values(), ids=list(INDICES))
def test_an_index_names_files_of_its_folder(places: Any, message: str, tmp_path: Path):
    (tmp_path / "a.safetensors").write_bytes(file_of(entry()))
    (tmp_path / INDEX).write_text(json.dumps({"weight_map": places}))
    with pytest.raises(RequestError) as caught:
        stored_tensors(tmp_path)
    assert str(caught.value) == f"{tmp_path / INDEX}: {message}"


def test_shards_that_are_links_are_read(tmp_path: Path):
    """Hugging Face's cache holds its shards as links."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "model").mkdir()
    (tmp_path / "blobs" / "x").write_bytes(file_of(entry()))
    (tmp_path / "model" / "a.safetensors").symlink_to("../blobs/x")
    (tmp_path / "model" / INDEX).write_text(json.dumps({"weight_map": {"a": "a.safetensors"}}))
    assert list(stored_tensors(tmp_path / "model")) == ["a"]


torch = pytest.importorskip("torch")


def pickles() -> dict[str, tuple[Callable[[Path], Any], str]]:
    """A file's writer -> the start of the message."""
    return {
        "a list": (lambda file: torch.save([torch.zeros(2)], file), "holds list, wanted tensors by name; "),
        "a number": (lambda file: torch.save({"a": 1}, file), "holds int under 'a', wanted plain tensors by name; "),
        "a model in it": (
            lambda file: torch.save({"state_dict": {"a": torch.zeros(2)}}, file),
            "holds dict under 'state_dict', wanted plain tensors by name; ",
        ),
        "sparse": (
            lambda file: torch.save({"a": torch.zeros(2, 2).to_sparse()}, file),
            "holds Tensor under 'a', wanted plain tensors by name; ",
        ),
        "larger than its file": (
            lambda file: torch.save({"a": torch.zeros(1).expand(10**12)}, file),
            "'a' has 4,000,000,000,000 bytes, the file ",
        ),
        "code": (lambda file: torch.save({"a": print}, file), "not a plain file of tensors ("),
        "no pickle": (lambda file: file.write_bytes(b"sea"), "not a plain file of tensors ("),
        "a pipe": (os.mkfifo, "is a pipe, socket or device, wanted a plain file; "),
    }


@pytest.mark.parametrize("name", pickles())
def test_a_pickle_of_something_else(name: str, tmp_path: Path):
    # tracebacks, or as much memory as a tensor says that it has
    write, message = pickles()[name]
    config = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    write(tmp_path / "pytorch_model.bin")
    with pytest.raises(RequestError) as caught:
        models.bin_to_safetensors(tmp_path, tmp_path / "out")
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path))
    assert not (tmp_path / "out").exists()


ADAPTERS: dict[str, tuple[dict[str, Any], str]] = {
    "code": ({"auto_map": {"AutoModel": "a.B"}}, "auto_map is {'AutoModel': 'a.B'}, which names code to be imported"),
    "another kind of code": ({"megatron_config": {"a": 1}}, "megatron_config is {'a': 1}, which names code"),
    "a rank of billions": ({"r": 10**9}, "r: found 1000000000, wanted a whole number from 1 to 65,536"),
    "a rank of a layer's": ({"rank_pattern": {"q_proj": 0}}, "rank_pattern.q_proj: found 0, wanted a whole number"),
    "no rank": ({"r": True}, "r: found True, wanted a whole number from 1 to 65,536"),
    "a pattern that takes for ever": ({"target_modules": "(a+)+$"}, "target_modules: found '(a+)+$', wanted names of"),
    "many repetitions": ({"target_modules": ".*.*.*.*.*.*x"}, "target_modules: found '.*.*.*.*.*.*x', wanted names of"),
    "modules as an object": ({"modules_to_save": {"a": 1}}, "modules_to_save: found {'a': 1}, wanted names of modules"),
    "layers again and again": ({"layer_replication": [[0, 10**9]]}, "layer_replication makes another base of the base"),
    "a kind of nobody's": ({"peft_type": "SEA"}, "PEFT can't add the adapter to "),
    "no kind": ({"peft_type": ["LORA"]}, "PEFT can't add the adapter to "),
}


@pytest.mark.parametrize("settings, message", ADAPTERS.values(), ids=list(ADAPTERS))
def test_an_adapters_settings(settings: dict[str, Any], message: str, originals: dict[str, Path], tmp_path: Path):
    pytest.importorskip("peft")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "target_modules": ["q_proj"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config | settings))
    (tmp_path / "adapter_model.safetensors").write_bytes(file_of(entry()))
    with pytest.raises(RequestError) as caught:
        models.check_adapter(tmp_path, originals["untied"])
    assert str(caught.value).startswith(str(tmp_path))
    assert message in str(caught.value)


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


def piece(text: bytes) -> bytes:
    inner = b"\x0a" + varint(len(text)) + text + b"\x15" + struct.pack("<f", -1.0)
    return b"\x0a" + varint(len(inner)) + inner


PIECES = {
    "nothing": b"",
    "no protobuf": b"\xff" * 999,
    "cut off": piece(b"sea")[:-3],
    "a length of billions": b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7fsea",
    "one piece without an unknown": piece(b"sea"),
}


@pytest.mark.parametrize("data", PIECES.values(), ids=list(PIECES))
def test_a_sentencepiece_file_that_is_damaged(data: bytes, tmp_path: Path):
    pytest.importorskip("sentencepiece")
    from kit.models.internlm2 import _write_tokenizer

    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(RequestError) as caught:
        _write_tokenizer(tmp_path, tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'tokenizer.model'}: no sentencepiece model that can be read: ")
