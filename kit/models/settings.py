"""Check the types and sizes in a model folder's JSON files, before a library believes them.

A count of 10**9 layers would keep transformers busy for ever even where nothing is allocated, and a text in the place
of a number ends in an error of nobody's. Settings that are not named here are transformers' own business: its errors
are caught where it opens a folder.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.files import read_json, shown

BOUNDS = {
    "hidden_size": 10**6,
    "n_embd": 10**6,
    "d_model": 10**6,
    "intermediate_size": 10**7,
    "moe_intermediate_size": 10**7,
    "num_attention_heads": 10**5,
    "num_key_value_heads": 10**5,
    "n_head": 10**5,
    "head_dim": 10**5,
    "num_hidden_layers": 1_000,
    "vocab_size": 10**7,
    "max_position_embeddings": 2**31,
    "n_positions": 2**31,
    "n_ctx": 2**31,
    "num_experts": 10**4,
    "num_experts_per_tok": 10**4,
}
"""Setting -> the largest value that is believed; some ten times that of the largest model there is."""
ALWAYS_THERE = ("hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size")
"""Sizes that may be absent, and not null."""
LAYERS = re.compile(r"(?:n|num)_(?:\w+_)?(?:layers?|blocks?)|(?:en|de)coder_layers")
EXPERTS = re.compile(r"(?:n|num)_(?:\w+_)?experts(?:_\w+)?")
LARGEST = 2**53
"""The largest whole number of any setting; a larger one is no size, and no float holds it."""
TYPES = re.compile(r"(?:torch\.)?(?:auto|float(?:16|32|64)?|bfloat16|half|double|float8_\w+|u?int8|float4_\w+)")
"""torch's name of a weight's type."""


def bound_message(name: str, value: Any) -> str:
    """Return what is wrong with a size, as a message shows it; empty where nothing is.

    Args:
        name: the setting's.
        value: its value; only whole numbers are looked at.
    """
    if type(value) is not int:
        return ""
    most = BOUNDS.get(name, LARGEST)
    if LAYERS.fullmatch(name):
        most = BOUNDS["num_hidden_layers"]
    elif EXPERTS.fullmatch(name):
        most = BOUNDS["num_experts"]
    least = 1 if name in ALWAYS_THERE else 0 if name in BOUNDS else -LARGEST
    if value < least:
        return f"found {_number(value)}, wanted {least:,} or more"
    if value > most:
        return f"found {_number(value)}, wanted {most:,} at most"
    return ""


def _number(value: int) -> str:
    """Return a number with commas, or how many digits it has."""
    return f"{value:,}" if abs(value) < 10**30 else f"a number of {len(str(abs(value)))} digits"


def check_bounds(settings: Mapping[str, Any], where: str) -> None:
    """Refuse numbers of config.json that no model has, in every part of it.

    Raises:
        RequestError: one is out of its bounds.
    """
    for name, value in settings.items():
        _check_bound(name, value, f"{where}: {shown(name)[1:-1]}")


def _check_bound(name: str, value: Any, where: str) -> None:
    """Check a setting's value and those inside it."""
    if isinstance(value, dict):
        check_bounds(value, where)
    elif isinstance(value, list):
        for one in value:
            _check_bound(name, one, where)
    elif wrong := bound_message(name, value):
        raise RequestError(f"{where}: {wrong}; is it the model's own file?")


def read_config(model: Path) -> dict[str, Any]:
    """Return a folder's config.json after a check of the settings that decide what is built.

    Raises:
        RequestError: it is no JSON object, or a setting is of another type or size than a model has.
    """
    path = model / "config.json"
    settings = read_json(path)
    check_bounds(settings, str(path))
    for name in ALWAYS_THERE:
        if name in settings and settings[name] is None:
            raise _wrong(str(path), name, None, "a whole number")
    _check_part(settings, str(path))
    return settings


def _check_part(settings: Mapping[str, Any], where: str) -> None:
    """Check one object of config.json, and those of its parts that describe a model of their own."""
    for name in BOUNDS:
        value = settings.get(name)
        if value is not None and type(value) is not int and not _whole_numbers(value):
            raise _wrong(where, name, value, "a whole number")
    _check_types(settings, CONFIG, where)
    for name, value in settings.items():
        if name.endswith("_config") and isinstance(value, dict):
            _check_part(value, f"{where}: {shown(name)[1:-1]}")


Kind = tuple[Callable[[Any], bool], str]
"""Check of a setting's value, and the words for it in a message."""


def _whole_numbers(value: Any) -> bool:
    """Return whether it is a list of whole numbers, one a layer for instance."""
    return isinstance(value, list) and all(type(one) is int for one in value) and bool(value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_ids(value: Any) -> bool:
    """Return whether it is a token id or a list of some."""
    return type(value) is int or (isinstance(value, list) and all(type(one) is int for one in value))


def _is_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _is_type(value: Any) -> bool:
    """Return whether it is torch's name of a type; transformers takes one by part too."""
    parts = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(one, str) and TYPES.fullmatch(one) for one in parts)


def _is_plain_name(value: Any) -> bool:
    """Return whether it is a name or names without a path: those with one are fetched from elsewhere, and run."""
    parts = value.values() if isinstance(value, dict) else [value]
    return all(isinstance(one, str | None) and re.fullmatch(r"\w*", one or "", re.ASCII) for one in parts)


def _is_token(value: Any) -> bool:
    """Return whether it is a special token: a text, or an object with one."""
    return isinstance(value, str) or (isinstance(value, dict) and isinstance(value.get("content"), str))


def _is_template(value: Any) -> bool:
    """Return whether it is a chat template's text, or several by name."""
    if isinstance(value, list):
        return bool(value) and all(
            isinstance(one, dict) and isinstance(one.get("name"), str) and isinstance(one.get("template"), str)
            for one in value
        )
    return isinstance(value, str) or (isinstance(value, dict) and all(isinstance(one, str) for one in value.values()))


def _is_added(value: Any) -> bool:
    """Return whether it is an object from token ids to tokens."""
    return isinstance(value, dict) and all(
        re.fullmatch(r"\d{1,9}", key, re.ASCII) and _is_token(one) for key, one in value.items()
    )


def _is_file_names(value: Any) -> bool:
    """Return whether it is a list of files of the folder itself."""
    return _is_names(value) and all(one.isprintable() and not set("/\\") & set(one) for one in value)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


IDS: Kind = (_is_ids, "a token id or a list of token ids")
NAME: Kind = (_is_text, "a name")
PLAIN: Kind = (_is_plain_name, "a plain name: one with a path is code from elsewhere, which is not run")
TOKEN: Kind = (_is_token, "a token")
CONFIG: dict[str, Kind] = {
    "model_type": NAME,
    "architectures": (_is_names, "a list of names"),
    "dtype": (_is_type, "torch's name of a type"),
    "torch_dtype": (_is_type, "torch's name of a type"),
    "bos_token_id": IDS,
    "eos_token_id": IDS,
    "pad_token_id": IDS,
    "tie_word_embeddings": (_is_flag, "true or false"),
    "text_config": (_is_object, "an object"),
    "rope_scaling": (_is_object, "an object"),
    "rope_parameters": (_is_object, "an object"),
    "attn_implementation": PLAIN,
    "_attn_implementation": PLAIN,
    "_attn_implementation_internal": PLAIN,
    "experts_implementation": PLAIN,
    "_experts_implementation": PLAIN,
    "_experts_implementation_internal": PLAIN,
}
"""Setting of config.json -> what it must be where it is there and not null."""
GENERATION: dict[str, Kind] = {"bos_token_id": IDS, "eos_token_id": IDS, "pad_token_id": IDS}
"""Setting of generation_config.json -> what it must be where it is there and not null."""
TOKENIZER: dict[str, Kind] = {
    "tokenizer_class": NAME,
    "chat_template": (_is_template, "a template's text, or texts by name"),
    "added_tokens_decoder": (_is_added, "an object from token ids to tokens"),
    "model_max_length": (_is_number, "a number"),
    "fast_tokenizer_files": (_is_file_names, "a list of files of the folder itself"),
    "bos_token": TOKEN,
    "eos_token": TOKEN,
    "pad_token": TOKEN,
    "unk_token": TOKEN,
}
"""The same of tokenizer_config.json and special_tokens_map.json."""
FILES: dict[str, dict[str, Kind]] = {
    "generation_config.json": GENERATION,
    "tokenizer_config.json": TOKENIZER,
    "special_tokens_map.json": TOKENIZER,
    "added_tokens.json": {},
    "vocab.json": {},
    "chat_template.json": {},
}
"""Files beside config.json that transformers reads with a model or its tokenizer -> their settings."""


def check_files(model: Path) -> None:
    """Refuse a folder of whose JSON files one is damaged, or has another type where a text or a number belongs.

    Raises:
        RequestError: one can't be read, or has a setting of another type.
    """
    for name, kinds in FILES.items():
        if (model / name).is_file():
            _check_types(read_json(model / name), kinds, str(model / name))


def _check_types(settings: Mapping[str, Any], kinds: Mapping[str, Kind], where: str) -> None:
    """Check the settings that are there and not null."""
    for name, (is_right, wanted) in kinds.items():
        if (value := settings.get(name)) is not None and not is_right(value):
            raise _wrong(where, name, value, wanted)


def _wrong(where: str, name: str, value: Any, wanted: str) -> RequestError:
    """Make the error of a setting that has a wrong value."""
    return RequestError(f"{where}: {name}: found {shown(value)}, wanted {wanted}; is it the model's own file?")
