"""A PEFT adapter's folder compared with the base that it is for, before either is loaded."""

import re
from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.differences import Differences, difference_message
from kit.models.files import read_json, shown, write_json
from kit.models.folder import has_tokenizer
from kit.models.headers import read_header, stored_tensors
from kit.models.opening import one_line
from kit.models.settings import read_config
from kit.models.templates import template_text
from kit.models.vocabulary import EMBEDDINGS
from kit.models.weights import architecture, limited_building, reports

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
HEAD = "lm_head"
MERGE = "merge this one into its base with PEFT's merge_and_unload and save that"
CODE = ("auto_map", "megatron_config")
"""Settings that have a library import what they name."""
MOST_RANK = 65_536
"""Highest rank of an adapter; no matrix is wider."""
PLAIN: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none", None),
    "lora_bias": (False, None),
    "modules_to_save": (None, []),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
    # Others (pissa, olora, corda, loftq) change the base's weights when the adapter is loaded: for vLLM it is then
    # another adapter, and in transformers the base and its other adapters are no longer what they were.
    "init_lora_weights": (True, False, None, "gaussian", "eva", "orthogonal"),
    "use_dora": (False, None),
    "use_qalora": (False, None),
    "use_bdlora": (None,),
    "alora_invocation_tokens": (None, []),
    "arrow_config": (None,),
    "kasa_config": (None,),
    "monteclora_config": (None,),
}
"""Setting -> its values in an adapter that is low-rank matrices beside inner layers and no more; messages name the
first."""
PATTERN = re.compile(r"(?!(?:[^*+]*[*+]){5})(?!.*\)[*+{])[\w.*+?()|\[\]\\^$-]{1,2000}", re.ASCII)
"""A module's name, or a regular expression that is read at once: four repetitions at most, none of a group."""


def check_adapter(adapter: Path, base: Path) -> None:
    """Refuse an adapter that lacks tensors, holds others, or was made for a base of another shape.

    PEFT itself warns of what is missing, says nothing of what is left over, and merges the rest.

    Args:
        adapter: a folder with adapter_config.json and adapter_model.safetensors.
        base: the folder of the model that it is to be added to.

    Raises:
        RequestError: the folder holds no adapter, or not the one that its own configuration describes on this base.
    """
    adapter_settings(adapter)
    stored = read_header(adapter / WEIGHTS)
    wanted = _wanted(adapter, base)
    shapes = {name: (stored[name].shape, wanted[name]) for name in sorted(stored.keys() & wanted.keys())}
    found = Differences(
        missing=sorted(wanted.keys() - stored.keys()),
        unexpected=sorted(stored.keys() - wanted.keys()),
        shapes={name: (there, asked) for name, (there, asked) in shapes.items() if there != asked},
    )
    if found:
        base_name = read_json(adapter / CONFIG).get("base_model_name_or_path")
        cure = f"{_cure(found)} Its adapter_config.json names the base {shown(base_name)}"
        raise RequestError(difference_message(adapter, f"adapter on {base}", found, cure))


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / CONFIG).is_file() and not (folder / "config.json").exists()


def adapter_settings(adapter: Path) -> dict[str, Any]:
    """Return an adapter's settings, once its two files are there and ask for nothing that an adapter has not.

    Raises:
        RequestError: a file is missing, or a setting is of another type, too large, or names code.
    """
    for name in (CONFIG, WEIGHTS):
        if not (adapter / name).is_file():
            raise RequestError(f"{adapter}: no {name} in the folder, wanted an adapter that PEFT saved")
    _check_settings(adapter / CONFIG)
    return read_json(adapter / CONFIG)


def _check_settings(path: Path) -> None:
    """Refuse an adapter that names code to be imported, or asks for more than an adapter has.

    Raises:
        RequestError: a setting is of another type, too large, or names code.
    """
    settings = read_json(path)
    for name in CODE:
        if settings.get(name) is not None:
            raise RequestError(
                f"{path}: {name} is {shown(settings[name])}, which names code to be imported, and none is; take it out "
                "of the file"
            )
    if settings.get("auto_mapping") is not None and not isinstance(settings["auto_mapping"], dict):
        raise RequestError(f"{path}: auto_mapping: found {shown(settings['auto_mapping'])}, wanted an object")
    _check_patterns(path, settings)
    ranks = {f"rank_pattern.{name}": rank for name, rank in (settings.get("rank_pattern") or {}).items()}
    for name, rank in [("r", settings.get("r", 1)), *ranks.items()]:
        if type(rank) is not int or not 1 <= rank <= MOST_RANK:
            raise RequestError(f"{path}: {name}: found {shown(rank)}, wanted a whole number from 1 to {MOST_RANK:,}")
    if settings.get("layer_replication") is not None:
        raise RequestError(f"{path}: layer_replication makes another base of the base; merge the adapter first")


def _check_patterns(path: Path, settings: dict[str, Any]) -> None:
    """Refuse names of modules that are no names, and regular expressions that may take for ever to match.

    Raises:
        RequestError: a setting has one.
    """
    for name in ("target_modules", "exclude_modules", "modules_to_save", "layers_pattern", "target_parameters"):
        value = settings.get(name)
        names = [value] if isinstance(value, str) else value or []
        if not isinstance(names, list) or not all(map(_is_pattern, names)):
            wanted = 'names of modules, such as ["q_proj", "v_proj"], or a short pattern'
            raise RequestError(f"{path}: {name}: found {shown(value)}, wanted {wanted}")
    for name in ("rank_pattern", "alpha_pattern"):
        value = settings.get(name) or {}
        if not isinstance(value, dict) or not all(map(_is_pattern, value)):
            raise RequestError(f"{path}: {name}: found {shown(value)}, wanted numbers by names of modules")


def _is_pattern(value: object) -> bool:
    """Whether a value is a module's name or a short regular expression."""
    return isinstance(value, str) and PATTERN.fullmatch(value) is not None


def _wanted(adapter: Path, base: Path) -> dict[str, tuple[int, ...]]:
    """Return name -> shape of every tensor that the adapter has on this base."""
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict

    kind, config = architecture(base, read_config(base))
    try:
        with torch.device("meta"), reports(), limited_building(str(adapter)):
            settings = PeftConfig.from_pretrained(str(adapter))
            settings.base_model_name_or_path = None  # the name of a folder that was elsewhere; PEFT would warn of it
            model = get_peft_model(kind(config), settings)
    except RequestError:
        raise
    except Exception as error:  # of a configuration, or of modules that this base lacks
        raise RequestError(
            f"{adapter}: PEFT can't add the adapter to {base}: {one_line(error)}; was it made for another base?"
        ) from error
    state: dict[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _cure(found: Differences) -> str:
    """Ask for the likely cause of the differences."""
    if found.missing and not found.shapes and not found.unexpected:
        return "is the download complete?"
    return "was it made for another base?"


def brings_tokenizer(adapter: Path) -> bool:
    """Return whether an adapter's folder has a tokenizer: chats are then written with its template, not the base's.

    Raises:
        RequestError: it has a chat template and no tokenizer.
    """
    if has_tokenizer(adapter):
        return True
    text, file = template_text(adapter)
    if text:
        raise RequestError(
            f"{adapter / file}: a chat template, and no tokenizer.json beside it; put the base's tokenizer files "
            "there, or take the template out, and chats are written with the base's"
        )
    return False


def name_base(adapter: Path, base: str) -> None:
    """Write a base's name into adapter_config.json, and its list of modules in order."""
    path = adapter / CONFIG
    settings = read_json(path) | {"base_model_name_or_path": base}
    if isinstance(settings.get("target_modules"), list):  # a set's order, which differs from process to process
        settings["target_modules"].sort()
    write_json(path, settings)


def adapter_rank(adapter: Path) -> int:
    """Return the largest rank of an adapter's matrices; raises as :func:`adapter_settings`."""
    settings = adapter_settings(adapter)
    ranks: list[int] = [settings.get("r", 1), *(settings.get("rank_pattern") or {}).values()]
    return max(ranks)


def adaptable_layers(base: Path) -> list[str]:
    """Return the names of a model's matrices between its embedding and its head: ``q_proj``, ``up_proj`` and so on."""
    ends = (*EMBEDDINGS, f"{HEAD}.weight")
    return sorted(
        {
            name.split(".")[-2]
            for name, tensor in stored_tensors(base).items()
            if len(tensor.shape) == 2 and name.endswith(".weight") and not name.endswith(ends)
        }
    )


def check_plain(adapter: Path) -> None:
    """Refuse an adapter that is more than low-rank matrices beside inner layers, which vLLM can't compute with.

    Raises:
        RequestError: it is.
    """
    settings = adapter_settings(adapter)
    for name, values in PLAIN.items():
        if (found := settings.get(name)) not in values:
            raise RequestError(
                f"{adapter / CONFIG}: {name}: found {shown(found)}, wanted {values[0]!r}: engines answer with plain "
                f"LoRA adapters; {MERGE}"
            )
    outer = sorted(name for name in read_header(adapter / WEIGHTS) if f".{HEAD}." in name or "lora_embedding" in name)
    if outer:
        raise RequestError(
            f"{adapter / WEIGHTS}: {shown(outer[0])} changes the embedding or the head, and engines answer with "
            f"adapters of inner layers; {MERGE}"
        )
