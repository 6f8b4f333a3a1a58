"""The kernel for packed rows: what one call for all examples is given, against one call an example."""

from typing import Any

import pytest
import torch

from kit.errors import RequestError
from kit.models import attention
from kit.models.attention import groups_by_length, varlen_attention

LENGTHS = [3, 1, 6]
ENDS = torch.tensor([0, 3, 4, 10], dtype=torch.int32)


def tensors(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    """Queries of four heads, keys and values of two, ten tokens, head size eight."""
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(1, heads, 10, 8, generator=generator).to(dtype) for heads in (4, 2, 2)]


def reference(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, ends: torch.Tensor, ends_k: torch.Tensor,
    longest: int, longest_k: int, *, scale: float | None, window_size: tuple[int, int], enable_gqa: bool = False,
) -> torch.Tensor:  # fmt: skip
    """Do what torch's varlen_attn is documented to do, token by token; shapes (tokens, heads, size)."""
    assert torch.equal(ends, ends_k)
    assert longest == longest_k == int((ends[1:] - ends[:-1]).max())
    assert window_size == (-1, 0)  # causal
    assert query.dtype == key.dtype == value.dtype
    shared = query.shape[1] // key.shape[1]
    assert enable_gqa == (shared > 1)
    scale = query.shape[2] ** -0.5 if scale is None else scale
    out = torch.empty_like(query)
    for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        for token in range(begin, end):
            for head in range(query.shape[1]):
                keys, values = key[begin : token + 1, head // shared], value[begin : token + 1, head // shared]
                shares = (query[token, head] @ keys.T * scale).softmax(-1)
                out[token, head] = shares @ values
    return out


@pytest.mark.parametrize("scaling", [None, 0.7])
def test_one_call_for_all_examples_is_one_call_an_example(
    monkeypatch: pytest.MonkeyPatch, scaling: float | None
) -> None:
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", reference)
    apart, _ = varlen_attention(None, *tensors(), None, example_lengths=LENGTHS, example_ends=ENDS, scaling=scaling)
    together = attention._in_one_call(tensors(), LENGTHS, ENDS, scaling)
    assert together.shape == apart.shape == (1, 10, 4, 8)
    torch.testing.assert_close(together, apart)


@pytest.mark.parametrize("lengths", [[10], [5, 5], [4, 3, 3], [3, 1, 6], [2, 2, 2, 2, 1, 1]])
@pytest.mark.parametrize("filled", [1.0, 1.3, 9.0])
def test_one_call_for_neighbours_of_one_length_is_one_call_an_example(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int], filled: float
) -> None:
    monkeypatch.setattr(attention, "MOST_FILLED", filled)
    apart, _ = varlen_attention(None, *tensors(), None, example_lengths=lengths, example_ends=ENDS, scaling=0.7)
    with torch.inference_mode():
        together, _ = varlen_attention(None, *tensors(), None, example_lengths=lengths, example_ends=ENDS, scaling=0.7)
    assert together.shape == apart.shape
    torch.testing.assert_close(together, apart)


def test_neighbours_are_taken_together_while_little_is_filled_up() -> None:
    assert list(groups_by_length([100, 99, 90, 50, 49, 3])) == [[100, 99, 90], [50, 49], [3]]
    assert list(groups_by_length([3, 100])) == [[3], [100]]
    assert list(groups_by_length([7] * 5)) == [[7] * 5]
    assert list(groups_by_length([])) == []


def test_queries_and_keys_take_the_values_type(monkeypatch: pytest.MonkeyPatch) -> None:
    # Under autocast the rotary embedding leaves them in fp32, and flash-attention takes one type.
    monkeypatch.setattr("torch.nn.attention.varlen.varlen_attn", reference)
    query, key, value = tensors()
    assert attention._in_one_call((query, key, value.bfloat16()), LENGTHS, ENDS, None).dtype is torch.bfloat16


def test_torchs_own_call_takes_what_it_is_given() -> None:
    import inspect

    from torch.nn.attention.varlen import varlen_attn

    names = inspect.signature(varlen_attn).parameters
    assert {"scale", "window_size", "enable_gqa"} <= set(names)
    assert list(names)[:7] == ["query", "key", "value", "cu_seq_q", "cu_seq_k", "max_q", "max_k"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"attention_mask": torch.ones(1)},
            "sft.packing: the model brings an attention mask of its own; set packing = false",
            id="mask",
        ),
        pytest.param(
            {"sliding_window": 5},
            "sft.packing: an example is longer than the window of 5 tokens; set packing = false",
            id="window",
        ),
    ],
)
def test_what_would_not_be_exact_is_refused(change: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"attention_mask": None, "example_lengths": LENGTHS, "example_ends": ENDS} | change
    with pytest.raises(RequestError) as caught:
        varlen_attention(None, *tensors(), **asked)
    assert str(caught.value) == message
