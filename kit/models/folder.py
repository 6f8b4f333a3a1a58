"""A model folder's files: checked, read and written one shard at a time."""

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import RequestError, did_you_mean
from kit.models.files import INDEX, read_json, write_json
from kit.models.headers import stored_tensors, weight_files

if TYPE_CHECKING:
    import torch

    Tensors = dict[str, torch.Tensor]


def check_model_folder(path: Path, chat: bool = False) -> None:
    """Refuse what isn't a model folder before anything is loaded; takes no torch.

    Whether the weights are those that config.json describes is :func:`kit.models.check_weights`'s question.

    Args:
        path: the folder.
        chat: the model is talked to, so it needs a chat template.

    Raises:
        RequestError: the folder, its config.json, its safetensors or the chat template is missing, or a file of
            weights is damaged or cut off.
    """
    check_config(path)
    if not any(path.glob("*.safetensors")):
        cure = ""
        if any(path.glob("*.bin")):
            cure = "; it holds *.bin files: rewrite them with kit.models.bin_to_safetensors"
        elif any(path.glob("*.gguf")):
            cure = "; it holds a *.gguf file: rewrite it with kit.models.from_gguf"
        raise RequestError(f"{path}: no *.safetensors in the folder{cure or '; is the download complete?'}")
    if (path / "adapter_config.json").is_file():
        raise RequestError(
            f"{path}: adapter_config.json beside config.json: transformers would add the adapter to the weights, vLLM "
            "would not; merge it into the weights, or move it into a folder of its own"
        )
    stored_tensors(path)
    if not any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise RequestError(f"{path}: no tokenizer.json or tokenizer.model; copy the model's tokenizer files there")
    if chat:
        check_chat_template(path)


def check_chat_template(path: Path) -> None:
    """Refuse a model folder that has no chat template.

    Raises:
        RequestError: it has none.
    """
    if not _has_chat_template(path):
        raise RequestError(
            f"{path}: the tokenizer has no chat template (chat_template.jinja, or chat_template in "
            "tokenizer_config.json), and this model is talked to; take its instruction-tuned version or add a template"
        )


def check_config(path: Path) -> None:
    """Refuse a path that is no folder with a config.json.

    Raises:
        RequestError: it is none; the message says what it is instead.
    """
    if not path.is_dir():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        found = "is a file" if path.exists() else "no such folder"
        raise RequestError(f"{path}: {found}, wanted a model folder{did_you_mean(path.name, beside)}")
    if not (path / "config.json").is_file():
        if (path / "adapter_config.json").is_file():
            base = read_json(path / "adapter_config.json").get("base_model_name_or_path")
            raise RequestError(
                f"{path}: an adapter for {base!r} (adapter_config.json), wanted a whole model; merge it into its base "
                "with PEFT's merge_and_unload and save that"
            )
        below = sorted(entry.parent.name for entry in path.glob("*/config.json"))
        cure = f"; did you mean its folder {below[0]!r}?" if below else ""
        raise RequestError(f"{path}: no config.json in the folder, wanted a model in the Hugging Face layout{cure}")


def _has_chat_template(path: Path) -> bool:
    """Whether transformers will find a template."""
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    config = path / "tokenizer_config.json"
    return config.is_file() and bool(read_json(config).get("chat_template"))


def safetensors(model: Path) -> Iterator[tuple[str, "Tensors"]]:
    """Each shard's name and tensors, one shard in memory at a time."""
    from safetensors.torch import load_file

    for file in weight_files(model):
        yield file.name, load_file(file)


def bins(model: Path) -> Iterator[tuple[str, "Tensors"]]:
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


def write_shards(out: Path, shards: Iterable[tuple[str, "Tensors"]]) -> None:
    """Write the shards one by one, and their index if there is more than one."""
    from safetensors.torch import save_file

    places: dict[str, str] = {}
    size_bytes = 0
    for name, tensors in shards:
        save_file(tensors, out / name, metadata={"format": "pt"})
        places |= dict.fromkeys(tensors, name)
        size_bytes += sum(tensor.nbytes for tensor in tensors.values())
    if len(set(places.values())) > 1:
        write_json(out / INDEX, {"metadata": {"total_size": size_bytes}, "weight_map": dict(sorted(places.items()))})


def copy_small_files(model: Path, out: Path) -> None:
    """Tokenizer, templates, generation settings, licence: all but config, weights, code, and the store's own head."""
    left = {".safetensors", ".bin", ".pt", ".pth", ".gguf", ".py", ".h5", ".msgpack", ".onnx"}
    for file in sorted(model.iterdir()):
        if (
            file.is_file()
            and file.suffix not in left
            and not file.name.endswith(("config.json", ".index.json", "artifact.json"))
        ):
            shutil.copyfile(file, out / file.name)
    for name in ("tokenizer_config.json", "generation_config.json"):
        if (model / name).is_file():
            shutil.copyfile(model / name, out / name)
