"""Tiny reward models with random weights, and InternLM2's computation written out."""

import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest

SIZES = {"hidden": 32, "heads": 4, "groups": 2, "layers": 2, "wide": 48, "vocabulary": 264}
REWARD_TOKEN = 262


def _tiny_model() -> Any:
    path = Path(__file__).resolve().parents[1] / "tiny_model.py"
    spec = importlib.util.spec_from_file_location("tiny_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text generator of random weights: a token a byte, and a chat template."""
    folder = tmp_path_factory.mktemp("generator") / "model"
    _tiny_model().save(folder)
    return folder


@pytest.fixture(scope="session")
def internlm2(generator: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reward checkpoint as InternLM2's are: its names, fused queries, keys and values, code of its own."""
    import shutil

    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("internlm2") / "model"
    folder.mkdir()
    draw = torch.Generator().manual_seed(3)
    matrix = lambda *shape: torch.randn(shape, generator=draw) * 0.3  # noqa: E731
    hidden, heads, groups, wide = (SIZES[name] for name in ("hidden", "heads", "groups", "wide"))
    tensors = {
        "model.tok_embeddings.weight": matrix(SIZES["vocabulary"], hidden),
        "model.norm.weight": 1 + matrix(hidden),
        "v_head.weight": matrix(1, hidden),
    }
    for number in range(SIZES["layers"]):
        layer = f"model.layers.{number}."
        tensors |= {
            f"{layer}attention.wqkv.weight": matrix((heads + 2 * groups) * hidden // heads, hidden),
            f"{layer}attention.wo.weight": matrix(hidden, hidden),
            f"{layer}feed_forward.w1.weight": matrix(wide, hidden),
            f"{layer}feed_forward.w3.weight": matrix(wide, hidden),
            f"{layer}feed_forward.w2.weight": matrix(hidden, wide),
            f"{layer}attention_norm.weight": 1 + matrix(hidden),
            f"{layer}ffn_norm.weight": 1 + matrix(hidden),
        }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = {
        "architectures": ["InternLM2ForRewardModel"],
        "auto_map": {"AutoModel": "modeling_internlm2.InternLM2ForRewardModel"},
        "bias": False,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "hidden_act": "silu",
        "hidden_size": hidden,
        "intermediate_size": wide,
        "max_position_embeddings": 256,
        "model_type": "internlm2",
        "num_attention_heads": heads,
        "num_hidden_layers": SIZES["layers"],
        "num_key_value_heads": groups,
        "pad_token_id": 1,
        "reward_token_id": REWARD_TOKEN,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1000000,
        "tie_word_embeddings": False,
        "vocab_size": SIZES["vocabulary"],
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "modeling_internlm2.py").write_text("raise SystemExit('code of the model was run')")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        if (generator / name).is_file():
            shutil.copyfile(generator / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def converted(internlm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as the kit rewrites it."""
    from kit import models

    folder = tmp_path_factory.mktemp("converted") / "model"
    models.internlm2_to_llama(internlm2, folder)
    return folder


def plain_reward(folder: Path, ids: list[int]) -> float:
    """The value head at the last token, one layer after the other, off the checkpoint's own tensors."""
    import torch
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    hidden, heads, groups = SIZES["hidden"], SIZES["heads"], SIZES["groups"]
    size, queries = hidden // heads, heads // groups

    def norm(x: Any, weight: Any) -> Any:
        return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + 1e-5) * weight

    def turned(x: Any) -> Any:
        """Rotary positions, halves of a head side by side."""
        angles = torch.arange(len(ids))[:, None] * 1000000 ** (-torch.arange(0, size, 2) / size)
        cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        left, right = x[..., : size // 2], x[..., size // 2 :]
        return x * cos + torch.cat([-right, left], dim=-1) * sin

    x = weights["model.tok_embeddings.weight"][torch.tensor(ids)]
    hides = torch.full((len(ids), len(ids)), -torch.inf).triu(1)
    for number in range(SIZES["layers"]):
        layer = {name.split(".", 3)[3]: one for name, one in weights.items() if f"layers.{number}." in name}
        fused = norm(x, layer["attention_norm.weight"]) @ layer["attention.wqkv.weight"].T
        fused = fused.reshape(len(ids), groups, queries + 2, size)
        parts = []
        for group in range(groups):
            key, value = turned(fused[:, group, queries]), fused[:, group, queries + 1]
            for query in range(queries):
                scores = turned(fused[:, group, query]) @ key.T / math.sqrt(size) + hides
                parts.append(scores.softmax(dim=-1) @ value)
        x = x + torch.cat(parts, dim=-1) @ layer["attention.wo.weight"].T
        inner = norm(x, layer["ffn_norm.weight"])
        gate = torch.nn.functional.silu(inner @ layer["feed_forward.w1.weight"].T)
        x = x + (gate * (inner @ layer["feed_forward.w3.weight"].T)) @ layer["feed_forward.w2.weight"].T
    return float(norm(x, weights["model.norm.weight"])[-1] @ weights["v_head.weight"][0])


@pytest.fixture(scope="session")
def by_hand(internlm2: Path) -> Any:
    """InternLM2's reward of token ids, without the kit."""
    return lambda ids: plain_reward(internlm2, list(ids))
