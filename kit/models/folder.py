"""A model folder's files: checked, read and written one shard at a time."""

import shutil
import stat
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import RequestError, did_you_mean
from kit.models.files import INDEX, read_json, shown, write_json
from kit.models.foreign_code import check_no_code
from kit.models.headers import stored_tensors, weight_files
from kit.models.opening import one_line
from kit.models.settings import check_files, read_config
from kit.models.templates import template_text, token_texts, try_template
from kit.reading.textfiles import open_regular

KINDS = (".json", ".jinja", ".safetensors", ".bin", ".model", ".gguf", ".txt")
"""Suffixes of the files that a model is read from."""

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
        RequestError: the folder, its config.json, its safetensors or the chat template is missing; a file of weights or
            of settings is damaged or cut off; the model comes with code to be run; or its chat template can't be used.
    """
    check_config(path)
    check_no_code(path)
    read_config(path)
    check_files(path)
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
    if not has_tokenizer(path):
        raise RequestError(f"{path}: no tokenizer.json or tokenizer.model; copy the model's tokenizer files there")
    if chat:
        check_chat_template(path)


def has_tokenizer(path: Path) -> bool:
    """Whether a folder has a tokenizer's main file."""
    return any((path / name).is_file() for name in ("tokenizer.json", "tokenizer.model", "vocab.json"))


def check_chat_template(path: Path) -> None:
    """Refuse a model folder that has no chat template, or one that can't be used; it is tried out where jinja2 is.

    Raises:
        RequestError: it has none, or one that breaks, loops or renders no chat; see :mod:`kit.models.templates`.
    """
    text, file = require_chat_template(path)
    if find_spec("jinja2"):
        try_template(text, token_texts(path), f"{path / file}: the chat template")


def require_chat_template(path: Path) -> tuple[str, str]:
    """Return a model folder's chat template and the name of its file.

    Raises:
        RequestError: it has none.
    """
    text, file = template_text(path)
    if not text.strip():
        raise RequestError(
            f"{path}: the tokenizer has no chat template (chat_template.jinja, or chat_template in "
            "tokenizer_config.json), and this model is talked to; take its instruction-tuned version or add a template"
        )
    return text, file


def check_config(path: Path) -> None:
    """Refuse a path that is no folder with a config.json.

    Raises:
        RequestError: it is none; the message says what it is instead.
    """
    if not path.is_dir():
        beside = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
        found = "is a file" if path.exists() else "no such folder"
        raise RequestError(f"{path}: {found}, wanted a model folder{did_you_mean(path.name, beside)}")
    _check_kinds(path)
    if not (path / "config.json").is_file():
        if (path / "adapter_config.json").is_file():
            base = read_json(path / "adapter_config.json").get("base_model_name_or_path")
            raise RequestError(
                f"{path}: an adapter for {shown(base)} (adapter_config.json), wanted a whole model; merge it into its "
                "base with PEFT's merge_and_unload and save that"
            )
        below = sorted(entry.parent.name for entry in path.glob("*/config.json"))
        cure = f"; did you mean its folder {below[0]!r}?" if below else ""
        raise RequestError(f"{path}: no config.json in the folder, wanted a model in the Hugging Face layout{cure}")


def _check_kinds(path: Path) -> None:
    """Refuse a pipe, a device or a folder that has the name of one of a model's files; a link to a file will do.

    Raises:
        RequestError: one is there.
    """
    for entry in sorted(path.iterdir()):
        if entry.suffix not in KINDS:
            continue
        try:
            mode = entry.stat().st_mode
        except OSError:
            continue  # a link that leads nowhere: the file is missing, which is told where it is wanted
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise RequestError(f"{path}: {shown(entry.name)} is {kind}, wanted a plain file; take it out of the folder")


def safetensors(model: Path) -> Iterator[tuple[str, "Tensors"]]:
    """Yield each shard's name and tensors, one shard in memory at a time."""
    from safetensors.torch import load_file

    for file in weight_files(model):
        yield file.name, load_file(file)


def bins(model: Path) -> Iterator[tuple[str, "Tensors"]]:
    """Yield each pickle's name, as a safetensors shard's, and its tensors, mapped from disk."""
    import torch

    files = sorted(model.glob("pytorch_model*.bin"))
    if not files:
        raise RequestError(f"{model}: no pytorch_model*.bin in the folder")
    for number, file in enumerate(files, 1):
        open_regular(file).close()
        try:
            shard = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
        except Exception as error:  # an UnpicklingError, a RuntimeError of an old format or of a cut file
            raise RequestError(
                f"{file}: not a plain file of tensors ({one_line(error)}); nothing else is unpickled"
            ) from error
        _check_tensors_only(file, shard)
        yield _shard_name(number, len(files)), shard


def _check_tensors_only(file: Path, shard: object) -> None:
    """Refuse what a pickle may hold beside plain tensors, and tensors larger than the file that they lie in.

    Raises:
        RequestError: there is some.
    """
    import torch

    if not isinstance(shard, dict):
        raise RequestError(f"{file}: holds {type(shard).__name__}, wanted tensors by name; is it the model's file?")
    size_bytes = file.stat().st_size
    for name, tensor in shard.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
            raise RequestError(
                f"{file}: holds {type(tensor).__name__} under {shown(name)}, wanted plain tensors by name; is it the "
                "model's file?"
            )
        if tensor.nbytes > size_bytes:
            raise RequestError(
                f"{file}: {shown(name)} has {tensor.nbytes:,} bytes, the file {size_bytes:,}; the file is damaged"
            )


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
