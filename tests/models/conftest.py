"""Tiny random models of the architectures in manifests/models.toml, and ways to damage them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SIZES = {
    "vocab_size": 64,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}
Tensors = dict[str, Any]


def _save_model(folder: Path, model_type: str, **more: Any) -> Path:
    """A folder as save_pretrained writes it, with the file that stands for a tokenizer."""
    import torch
    from transformers import CONFIG_MAPPING, AutoModelForCausalLM

    torch.manual_seed(0)
    config = CONFIG_MAPPING[model_type](**{**SIZES, **more})
    AutoModelForCausalLM.from_config(config, trust_remote_code=False).save_pretrained(folder)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def _load(folder: Path) -> Tensors:
    from safetensors.torch import load_file

    return {name: tensor for file in folder.glob("*.safetensors") for name, tensor in load_file(file).items()}


def _rewrite(folder: Path, change: Callable[[Tensors], Any]) -> None:
    """Change the tensors of model.safetensors; what the change returns takes their place if it is a dict."""
    from safetensors.torch import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    changed = change(tensors)
    save_file(changed if isinstance(changed, dict) else tensors, folder / "model.safetensors")


def _reconfigure(folder: Path, **changes: Any) -> None:
    """Change config.json; None takes a key out."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Make a few good models once for all tests."""
    root = tmp_path_factory.mktemp("originals")
    return {
        "untied": _save_model(root / "untied", "llama", tie_word_embeddings=False),
        "tied": _save_model(root / "tied", "llama", tie_word_embeddings=True),
        "biased": _save_model(root / "biased", "qwen2", tie_word_embeddings=False),
    }


@pytest.fixture
def copy(originals: dict[str, Path], tmp_path: Path) -> Callable[..., Path]:
    """A copy of a good model to be damaged."""

    def make(name: str = "untied", to: str = "model") -> Path:
        shutil.copytree(originals[name], tmp_path / to)
        return tmp_path / to

    return make


@pytest.fixture(scope="session")
def save_model() -> Callable[..., Path]:
    return _save_model


@pytest.fixture(scope="session")
def load() -> Callable[[Path], Tensors]:
    return _load


@pytest.fixture(scope="session")
def rewrite() -> Callable[..., None]:
    return _rewrite


@pytest.fixture(scope="session")
def reconfigure() -> Callable[..., None]:
    return _reconfigure
