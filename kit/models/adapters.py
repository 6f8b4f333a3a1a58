"""A PEFT adapter's folder compared with the base that it is for, before either is loaded."""

from pathlib import Path
from typing import Any

from kit.errors import RequestError
from kit.models.differences import Differences, difference_message
from kit.models.files import read_json
from kit.models.headers import read_header
from kit.models.weights import architecture, reports

WEIGHTS = "adapter_model.safetensors"


def check_adapter(adapter: Path, base: Path) -> None:
    """Refuse an adapter that lacks tensors, holds others, or was made for a base of another shape.

    PEFT itself warns of what is missing, says nothing of what is left over, and merges the rest.

    Args:
        adapter: a folder with adapter_config.json and adapter_model.safetensors.
        base: the folder of the model that it is to be added to.

    Raises:
        RequestError: the folder holds no adapter, or not the one that its own configuration describes on this base.
    """
    for name in ("adapter_config.json", WEIGHTS):
        if not (adapter / name).is_file():
            raise RequestError(f"{adapter}: no {name} in the folder, wanted an adapter that PEFT saved")
    stored = read_header(adapter / WEIGHTS)
    wanted = _wanted(adapter, base)
    shapes = {name: (stored[name].shape, wanted[name]) for name in sorted(stored.keys() & wanted.keys())}
    found = Differences(
        missing=sorted(wanted.keys() - stored.keys()),
        unexpected=sorted(stored.keys() - wanted.keys()),
        shapes={name: (there, asked) for name, (there, asked) in shapes.items() if there != asked},
    )
    if found:
        base_name = read_json(adapter / "adapter_config.json").get("base_model_name_or_path")
        cure = f"{_cure(found)} Its adapter_config.json names the base {base_name!r}"
        raise RequestError(difference_message(adapter, f"adapter on {base}", found, cure))


def _wanted(adapter: Path, base: Path) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor that the adapter has on this base."""
    import torch
    from peft import PeftConfig, get_peft_model, get_peft_model_state_dict

    kind, config = architecture(base, read_json(base / "config.json"))
    try:
        with torch.device("meta"), reports():
            settings = PeftConfig.from_pretrained(str(adapter))
            settings.base_model_name_or_path = None  # the name of a folder that was elsewhere; PEFT would warn of it
            model = get_peft_model(kind(config), settings)
    except (ValueError, TypeError, KeyError) as error:  # of a configuration, or of modules that this base lacks
        raise RequestError(
            f"{adapter}: PEFT can't add the adapter to {base}: {' '.join(str(error).split())}; was it made for "
            "another base?"
        ) from error
    state: dict[str, Any] = get_peft_model_state_dict(model, save_embedding_layers=False)
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _cure(found: Differences) -> str:
    """The likely reason."""
    if found.missing and not found.shapes and not found.unexpected:
        return "is the download complete?"
    return "was it made for another base?"
