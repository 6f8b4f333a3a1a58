"""Compare what vLLM's wrapper for CPUs adds to outputs with sums row by row; prints one JSON object.

python lora_products.py
"""

import json
import os
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])
os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"

import torch  # noqa: E402
from vllm.lora.layers import LoRAMapping  # noqa: E402
from vllm.lora.punica_wrapper.punica_selector import get_punica_wrapper  # noqa: E402

from kit.engines import _vllm_cpu_lora  # noqa: E402

INPUTS, RANK, WIDTHS, SCALE = 6, 2, (3, 5), 0.5
NUMBERS = [7, 9]
"""Adapters' numbers, by slot."""
MIXTURES = {"one": (9, 9, 9, 9), "none": (0, 0, 0, 0), "mixed": (9, 0, 7, 9)}
"""Number of the adapter that each of four tokens has; 0: none."""


def largest_difference(numbers: tuple[int, ...], dtype: torch.dtype) -> float:
    """Return how far the wrapper's outputs are from the sums row by row, at most."""
    torch.manual_seed(0)
    a = tuple(torch.randn(2, 1, RANK, INPUTS, dtype=dtype) for _ in WIDTHS)
    b = tuple(torch.randn(2, 1, width, RANK, dtype=dtype) for width in WIDTHS)
    x, y = torch.randn(len(numbers), INPUTS, dtype=dtype), torch.randn(len(numbers), sum(WIDTHS), dtype=dtype)
    wanted = y.clone()
    for row, number in enumerate(numbers):
        if number:
            slot = NUMBERS.index(number)
            parts = [SCALE * (x[row] @ one[slot, 0].T @ two[slot, 0].T) for one, two in zip(a, b, strict=True)]
            wanted[row] += torch.cat(parts)
    wrapper = get_punica_wrapper(8, max_batches=8, device="cpu", max_loras=2)
    assert type(wrapper) is _vllm_cpu_lora.AdapterProducts
    mapping = LoRAMapping(index_mapping=numbers, prompt_mapping=numbers, is_prefill=True)
    wrapper.update_metadata(mapping, NUMBERS, 2, 10)
    wrapper.add_lora_linear(y, x, a, b, SCALE, WIDTHS)
    return float((y - wanted).abs().max())


if __name__ == "__main__":
    _vllm_cpu_lora.use()
    print(json.dumps({name: largest_difference(numbers, torch.float32) for name, numbers in MIXTURES.items()}))
