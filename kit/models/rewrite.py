"""One model folder out of another, on the files themselves: no model is loaded."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import RequestError
from kit.models.folder import (
    bins,
    check_config,
    check_model_folder,
    copy_small_files,
    read_json,
    safetensors,
    write_json,
    write_shards,
)

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

LAYER = re.compile(r"(?P<head>.*\blayers\.)(?P<index>\d+)(?P<tail>\..*)")


def select_layers(model: Path, layers: Sequence[int], out: Path) -> None:
    """Stack chosen layers of a model into another, on the files themselves.

    Args:
        model: the folder to take from.
        layers: the source layer of each layer of the result, in order; a layer may come twice (depth up-scaling).
        out: the folder to write, made if missing.

    Raises:
        RequestError: the folder is no model, or a layer is not one of its.
    """
    check_model_folder(model)
    config = read_json(model / "config.json")
    count = config["num_hidden_layers"]
    if not layers or (odd := [layer for layer in layers if not 0 <= layer < count]):
        found = f"layer {odd[0]}" if layers else "no layers"
        raise RequestError(f"{model}: {found} asked for, the model has layers 0 to {count - 1}")
    for key, value in config.items():
        if "layer" in key and isinstance(value, list) and len(value) == count:
            config[key] = [value[layer] for layer in layers]
    config["num_hidden_layers"] = len(layers)
    places: dict[int, list[int]] = {}
    for place, layer in enumerate(layers):
        places.setdefault(layer, []).append(place)

    def keep(shard: "Tensors") -> "Tensors":
        kept: Tensors = {}
        for name, tensor in shard.items():
            if not (match := LAYER.fullmatch(name)):
                kept[name] = tensor
                continue
            for place in places.get(int(match["index"]), []):
                kept[f"{match['head']}{place}{match['tail']}"] = tensor.clone()
        return kept

    out.mkdir(parents=True, exist_ok=True)
    copy_small_files(model, out)
    write_json(out / "config.json", config)
    write_shards(out, ((name, keep(shard)) for name, shard in safetensors(model)))


def bin_to_safetensors(model: Path, out: Path) -> None:
    """Rewrite a folder of ``pytorch_model*.bin`` as safetensors; pickles are read as plain tensors only.

    Raises:
        RequestError: there is no such file, or it holds anything but tensors.
    """
    check_config(model)
    out.mkdir(parents=True, exist_ok=True)
    copy_small_files(model, out)
    shutil.copyfile(model / "config.json", out / "config.json")
    tied = {"lm_head.weight"} if read_json(model / "config.json").get("tie_word_embeddings") else set()
    write_shards(
        out,
        (
            (name, {key: tensor.clone() for key, tensor in shard.items() if key not in tied})
            for name, shard in bins(model)
        ),
    )
