"""JSON of a model folder: what is damaged, of another type, or of a size that no model has, is a sentence at once."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import models
from kit.errors import RequestError
from kit.models.settings import read_config

pytest.importorskip("torch")
pytest.importorskip("transformers")

OWN = "; is it the model's own file?"
SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "a text": ({"hidden_size": "64"}, "hidden_size: found '64', wanted a whole number"),
    "a bool": ({"num_attention_heads": True}, "num_attention_heads: found True, wanted a whole number"),
    "a float": ({"vocab_size": 64.5}, "vocab_size: found 64.5, wanted a whole number"),
    "an object": ({"head_dim": {"a": 1}}, "head_dim: found {'a': 1}, wanted a whole number"),
    "texts": ({"num_key_value_heads": ["2", "2"]}, "num_key_value_heads: found ['2', '2'], wanted a whole number"),
    "no positions": (
        {"max_position_embeddings": "4096"},
        "max_position_embeddings: found '4096', wanted a whole number",
    ),
    "zero": ({"hidden_size": 0}, "hidden_size: found 0, wanted 1 or more"),
    "below zero": ({"num_hidden_layers": -2}, "num_hidden_layers: found -2, wanted 1 or more"),
    # kept transformers busy for ever, on torch's meta device
    "a billion layers": ({"num_hidden_layers": 10**9}, "num_hidden_layers: found 1,000,000,000, wanted 1,000 at most"),
    "layers by another name": ({"n_layers": 10**9}, "n_layers: found 1,000,000,000, wanted 1,000 at most"),
    "layers of a part": (
        {"text_config": {"num_layers": 5_000}},
        "text_config: num_layers: found 5,000, wanted 1,000 at most",
    ),
    "experts": ({"num_local_experts": 10**7}, "num_local_experts: found 10,000,000, wanted 10,000 at most"),
    "a vocabulary": (
        {"vocab_size": 10**30},
        "vocab_size: found a number of 31 digits, wanted 10,000,000 at most",
    ),
    "any other number": ({"sea": [1, {"stone": 2**60}]}, f"sea: stone: found {2**60:,}, wanted {2**53:,} at most"),
    "architectures as a text": (
        {"architectures": "LlamaForCausalLM"},
        "architectures: found 'LlamaForCausalLM', wanted a list of names",
    ),
    "architecture as a list": ({"model_type": ["llama"]}, "model_type: found ['llama'], wanted a name"),
    "a type of nobody's": ({"torch_dtype": "os"}, "torch_dtype: found 'os', wanted torch's name of a type"),
    "a type that is a number": ({"dtype": 16}, "dtype: found 16, wanted torch's name of a type"),
    "nested ids": (
        {"eos_token_id": [1, [2]]},
        "eos_token_id: found [1, [2]], wanted a token id or a list of token ids",
    ),
    "an id as a text": ({"bos_token_id": "1"}, "bos_token_id: found '1', wanted a token id or a list of token ids"),
    "a part that is a text": ({"text_config": "llama"}, "text_config: found 'llama', wanted an object"),
    "rope as a list": ({"rope_scaling": []}, "rope_scaling: found [], wanted an object"),
    "a flag as a text": ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: found 'yes', wanted true or false"),
    "a name that writes on the terminal": (
        {"a\x1b[2J": 10**20},
        rf"a\x1b[2J: found {10**20:,}, wanted {2**53:,} at most",
    ),
}


@pytest.mark.parametrize("changes, message", SETTINGS.values(), ids=list(SETTINGS))
def test_settings_of_another_type_or_size(
    changes: dict[str, Any], message: str, copy: Callable[..., Path], reconfigure: Callable[..., None]
):
    # tracebacks of transformers', hours, or all the memory there is
    folder = copy()
    reconfigure(folder, **changes)
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == f"{folder / 'config.json'}: {message}{OWN}"


def test_null_where_a_model_has_a_size(copy: Callable[..., Path]):
    folder = copy()
    settings = json.loads((folder / "config.json").read_text()) | {"hidden_size": None}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(RequestError, match=r"config.json: hidden_size: found None, wanted a whole number; "):
        models.check_model_folder(folder)


GOOD: list[dict[str, Any]] = [
    {"num_key_value_heads": None, "head_dim": None, "rope_scaling": None, "architectures": None},
    {"eos_token_id": [1, 2], "pad_token_id": -1, "dtype": "bfloat16", "attn_implementation": "flash_attention_2"},
    {"intermediate_size": [16, 32], "max_position_embeddings": 10_485_760, "num_experts": 0},
    {
        "torch_dtype": {"text_config": "float16", "": "float32"},
        "text_config": None,
        "vision_config": {"hidden_size": 8},
    },
    {"rope_theta": 1e30, "num_nextn_predict_layers": 0, "quantization_config": {"bits": 4}, "n_group": None},
]


@pytest.mark.parametrize("settings", GOOD, ids=str)
def test_what_real_models_have_is_let_pass(settings: dict[str, Any], tmp_path: Path):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert read_config(tmp_path) == settings


def test_the_check_of_weights_has_its_own_bounds(copy: Callable[..., Path], reconfigure: Callable[..., None]):
    folder = copy()
    reconfigure(folder, num_hidden_layers=10**9)
    with pytest.raises(RequestError, match="num_hidden_layers: found 1,000,000,000, wanted 1,000 at most"):
        models.check_weights(folder)


def test_a_model_of_far_more_modules_than_tensors_is_not_built(
    copy: Callable[..., Path], reconfigure: Callable[..., None]
):
    # a setting that no table names; every layer and expert is built before the first name is compared
    from kit.models import weights

    folder = copy()
    stored = models.headers.stored_tensors(folder)
    with pytest.raises(RequestError) as caught, weights.limited_building("m", len(stored)):
        import torch

        torch.nn.ModuleList(torch.nn.Sequential(torch.nn.Identity()) for _ in range(10**9))
    assert str(caught.value) == (
        f"m: config.json describes a model of more than {20_000 + 20 * len(stored):,} modules, and {len(stored)} "
        "tensors are stored; do the two belong together?"
    )
    models.check_weights(folder)  # the limit is gone again


TEXTS = {
    "nothing": (b"", "not JSON: Expecting value: line 1 column 1 (char 0); is the file cut off?"),
    "cut off": (b'{"a": ', "not JSON: Expecting value: line 1 column 7 (char 6); is the file cut off?"),
    "a list": (b"[]", "found list, wanted a JSON object"),
    "deep": (b'{"a":' * 9999 + b"1" + b"}" * 9999, "more than 100 brackets in each other at character 500"),
    "not a number": (b'{"a": NaN}', "not JSON: NaN is no number of JSON; is the file cut off?"),
    "without end": (b'{"a": -Infinity}', "not JSON: -Infinity is no number of JSON; is the file cut off?"),
    "too large": (b'{"a": 1e999}', "not JSON: 1e999 is too large a number; is the file cut off?"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "UTF-16 text; save the file as UTF-8"),
    "no text": (b'{"a": "\xff"}', "line 1: byte 7 (0xff) is not UTF-8; save the file as UTF-8"),
    "a mark": (b"\xef\xbb\xbf{}", "begins with a byte-order mark, which transformers can't read; save it without"),
}
FILES = ("config.json", "generation_config.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.json")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("data, message", TEXTS.values(), ids=list(TEXTS))
def test_a_file_that_is_damaged(name: str, data: bytes, message: str, copy: Callable[..., Path]):
    folder = copy()
    (folder / name).write_bytes(data)
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == f"{folder / name}: {message}"


def test_a_file_that_is_too_large(copy: Callable[..., Path]):
    folder = copy()
    with (folder / "tokenizer_config.json").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(RequestError, match="more than 67,108,864 bytes, which no such file has"):
        models.check_model_folder(folder)


OTHERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "an end of texts": ("generation_config.json", {"eos_token_id": {"a": 1}}, "a token id or a list of token ids"),
    "half an id": ("generation_config.json", {"pad_token_id": 1.5}, "a token id or a list of token ids"),
    "a template as a number": ("tokenizer_config.json", {"chat_template": 7}, "a template's text, or texts by name"),
    "a template without name": (
        "tokenizer_config.json",
        {"chat_template": [{"template": "{{ a }}"}]},
        "a template's text, or texts by name",
    ),
    "added tokens": (
        "tokenizer_config.json",
        {"added_tokens_decoder": {"one": {"content": "a"}}},
        "an object from token ids to tokens",
    ),
    "a tokenizer elsewhere": (
        "tokenizer_config.json",
        {"fast_tokenizer_files": ["../tokenizer.4.0.0.json"]},
        "a list of files of the folder itself",
    ),
    "a class as a list": ("tokenizer_config.json", {"tokenizer_class": ["a"]}, "a name"),
    "a token": ("special_tokens_map.json", {"eos_token": {"text": "</s>"}}, "a token"),
}


@pytest.mark.parametrize("name, settings, wanted", OTHERS.values(), ids=list(OTHERS))
def test_files_beside_config_json(name: str, settings: dict[str, Any], wanted: str, copy: Callable[..., Path]):
    folder = copy()
    (folder / name).write_text(json.dumps(settings))
    ((key, value),) = settings.items()
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == f"{folder / name}: {key}: found {value!r}, wanted {wanted}{OWN}"


@pytest.mark.parametrize("name", ["config.json", "chat_template.jinja", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_plain_file(name: str, kind: str, copy: Callable[..., Path]):
    # a pipe without a writer was waited for
    folder = copy()
    (folder / name).unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(folder / name)
    elif kind == "folder":
        (folder / name).mkdir()
    else:
        (folder / name).symlink_to("/dev/zero")
    found = "a folder" if kind == "folder" else "a pipe, socket or device"
    with pytest.raises(RequestError) as caught:
        models.check_model_folder(folder)
    assert str(caught.value) == f"{folder}: {name!r} is {found}, wanted a plain file; take it out of the folder"


def test_links_into_a_cache_are_files(copy: Callable[..., Path], tmp_path: Path):
    """Hugging Face's cache has its files as links to ``../../blobs``."""
    folder = copy()
    (tmp_path / "blobs").mkdir()
    for number, file in enumerate(sorted(folder.iterdir())):
        blob = file.rename(tmp_path / "blobs" / str(number))
        file.symlink_to(os.path.relpath(blob, folder))
    models.check_model_folder(folder)
    models.check_weights(folder)
