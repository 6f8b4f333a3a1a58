"""One model folder out of another, on the files themselves: no model is loaded."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError
from kit.models.files import write_json
from kit.models.folder import (
    bins,
    check_config,
    check_model_folder,
    copy_small_files,
    safetensors,
    write_shards,
)
from kit.models.settings import read_config
from kit.models.weights import check_tensors, check_weights, described

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
        RequestError: the folder is no model, lacks weights, or a layer is not one of its.
    """
    check_model_folder(model)
    check_weights(model)
    config = read_config(model)
    count = config.get("num_hidden_layers")
    if not isinstance(count, int):
        raise RequestError(f"{model / 'config.json'}: num_hidden_layers: found {count!r}, wanted how many it has")
    if not layers or (out_of_range := [layer for layer in layers if not 0 <= layer < count]):
        found = f"layer {out_of_range[0]}" if layers else "no layers"
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
    check_weights(out)


def bin_to_safetensors(model: Path, out: Path) -> None:
    """Rewrite a folder of ``pytorch_model*.bin`` as safetensors; pickles are read as plain tensors only.

    Raises:
        RequestError: there is no such file, or it holds anything but tensors.
    """
    check_config(model)
    config = read_config(model)
    tied = {"lm_head.weight"} if config.get("tie_word_embeddings") else set()
    _check_bins(model, config, tied)
    out.mkdir(parents=True, exist_ok=True)
    copy_small_files(model, out)
    shutil.copyfile(model / "config.json", out / "config.json")
    write_shards(
        out,
        (
            (name, {key: tensor.clone() for key, tensor in shard.items() if key not in tied})
            for name, shard in bins(model)
        ),
    )
    check_weights(out)


def _check_bins(model: Path, config: dict[str, Any], tied: set[str]) -> None:
    """Check the tensors of pickles against config.json before any is written; they are mapped, not read.

    Raises:
        RequestError: tensors are missing, unexpected or misshapen, or a head that is left out is not the embedding.
    """
    import torch

    tensors: Tensors = {}
    for _, shard in bins(model):
        if twice := sorted(tensors.keys() & shard.keys()):
            raise RequestError(f"{model}: {twice[0]} stands in two of its *.bin files, wanted each tensor once")
        tensors |= shard
    check_tensors(model, config, described(tensors))
    embedding = tensors.get("model.embed_tokens.weight")
    for name in sorted(tied & tensors.keys()):
        if embedding is not None and not torch.equal(tensors[name], embedding):
            raise RequestError(
                f"{model}: {name} differs from the embedding, and config.json calls them one (tie_word_embeddings); "
                "set it to false in config.json if the head was trained apart"
            )
