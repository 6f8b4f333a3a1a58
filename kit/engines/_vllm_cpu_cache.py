"""Size of vLLM's key-value cache on a CPU."""

from pathlib import Path

from kit.engines import EngineSettings
from kit.models.settings import read_config

CPU_CACHE_GIB = 4
"""Key-value cache on a CPU, at most. It decides how many requests run side by side: it is not read off the machine."""


def cache_gib(model: Path, settings: EngineSettings) -> int:
    """Whole GiB that keep ``max_num_seqs`` texts of ``max_model_len``; vLLM fills all of it with zeros at the start."""
    config = read_config(model)
    names = ("num_attention_heads", "hidden_size", "num_hidden_layers")
    sizes = [config[name] for name in names if isinstance(config.get(name), int)]
    if len(sizes) < len(names):  # an architecture with other names for them
        return CPU_CACHE_GIB
    heads, hidden, layers = sizes
    kv_heads, head_dim = config.get("num_key_value_heads") or heads, config.get("head_dim") or hidden // heads
    if not isinstance(kv_heads, int) or not isinstance(head_dim, int):  # one a layer
        return CPU_CACHE_GIB
    # Keys and values, 4 bytes at most, in blocks of 128 tokens.
    token_bytes = 2 * 4 * layers * kv_heads * head_dim
    wanted: int = token_bytes * settings.max_num_seqs * (settings.max_model_len + 128)
    return min(CPU_CACHE_GIB, wanted // 2**30 + 1)
