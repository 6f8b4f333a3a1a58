"""Attention over examples that lie end to end in one row, each seeing itself alone: no mask, no padding, no waste."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any

from kit.errors import RequestError

VARLEN = "kit_varlen"
"""Our kernel's name among transformers' attention functions; the only one, so that no package that happens to be there
decides which bytes a job writes."""

MOST_FILLED = 1.15
"""Tokens that a call may work on, for each token that is there."""
FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
"""Model types whose layers hand the lengths down to the kernel and whose head takes positions (``logits_to_keep``)."""


def kernel(model_type: str, packing: bool) -> str | None:
    """Return the attention implementation for packed rows; None to keep the model's own.

    Raises:
        RequestError: packing is asked of a family whose layers were not checked to keep examples apart.
    """
    if not packing:
        return None
    if model_type not in FAMILIES:
        known = ", ".join(sorted(FAMILIES))
        raise RequestError(
            f"sft.packing: not known to be exact for {model_type!r} (known: {known}); set packing = false"
        )
    register()
    return VARLEN


def register() -> None:
    """Make the kernel known to transformers by its name; a name without a mask function gets no mask built."""
    from transformers import AttentionInterface

    AttentionInterface.register(VARLEN, varlen_attention)


def longest_packed(config: Any) -> int | None:
    """Return the most tokens of an example that may lie in a packed row of a model; None where no row may be packed.

    Args:
        config: transformers' configuration of the model.
    """
    if config.model_type not in FAMILIES:
        return None
    window: int | None = getattr(config, "sliding_window", None)
    return window or int(config.max_position_embeddings)


@contextmanager
def packed_attention(model: Any) -> Iterator[None]:
    """Let a model that was loaded with another attention compute packed rows; it has its own again afterwards."""
    register()
    config = model.config
    before = config._attn_implementation
    config._attn_implementation = VARLEN
    try:
        yield
    finally:
        config._attn_implementation = before


def varlen_attention(
    _module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    example_lengths: list[int],
    example_ends: Any,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **_unused: Any,
) -> tuple[Any, None]:
    """Compute causal attention in which each example sees itself alone.

    On a GPU in bf16: one call of torch's own flash-attention for all examples. Elsewhere, where nothing is trained, a
    call for neighbours of about one length; else one call of torch's fused kernel an example. On two cores and 150
    tokens an example this makes a training step 1.3 times as fast as one call with a block-diagonal mask, which costs
    (sum of lengths)² and keeps torch from its causal kernel. On an H100 the calls an example were what a step waited
    for (docs/gpu.md).

    Args:
        _module: the attention layer; unused, but part of the interface.
        query: shape (1, heads, tokens, head size).
        key: shape (1, key heads, tokens, head size).
        value: as ``key``.
        attention_mask: None; the lengths say it all.
        example_lengths: tokens of each example, in the order they lie.
        example_ends: 0 and the sums of the first 1, 2, … lengths, int32, shape (examples + 1,), on the device.
        scaling: factor on the scores; torch's default when None.
        dropout: on the attention weights.
        sliding_window: the layer's, tokens; an example must fit in it.

    Returns:
        Shape (1, tokens, heads, head size), and no attention weights.

    Raises:
        RequestError: a mask is given, or an example is longer than the layer's window.
    """
    import torch

    if attention_mask is not None:
        raise RequestError("sft.packing: the model brings an attention mask of its own; set packing = false")
    if sliding_window is not None and max(example_lengths) > sliding_window:
        raise RequestError(
            f"sft.packing: an example is longer than the window of {sliding_window} tokens; set packing = false"
        )
    if value.is_cuda and value.dtype is torch.bfloat16 and not dropout:
        return _in_one_call((query, key, value), example_lengths, example_ends, scaling), None
    if not torch.is_grad_enabled() and not dropout:
        return _by_length((query, key, value), example_lengths, scaling), None
    parts = zip(*(tensor.split(example_lengths, dim=2) for tensor in (query, key, value)), strict=True)
    attend = torch.nn.functional.scaled_dot_product_attention
    outputs = [
        attend(q, k, v, is_causal=True, scale=scaling, dropout_p=dropout, enable_gqa=q.shape[1] != k.shape[1])
        for q, k, v in parts
    ]
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous(), None


def _by_length(tensors: Sequence[Any], lengths: list[int], scaling: float | None) -> Any:
    """Call torch's fused kernel once for neighbours of about one length; shapes as in :func:`varlen_attention`.

    Shorter ones are filled up behind, where causal attention has none of their tokens look.
    """
    import torch

    attend = torch.nn.functional.scaled_dot_product_attention
    parts = []
    for group in _fillings(tuple(lengths), tensors[0].device):
        q, k, v = (_filled_up(tensor[0].transpose(0, 1)[group.start : group.end], group) for tensor in tensors)
        found = attend(q, k, v, is_causal=True, scale=scaling, enable_gqa=q.shape[1] != k.shape[1])
        found = found.transpose(1, 2).flatten(0, 1)
        parts.append(found if group.kept is None else found.index_select(0, group.kept))
    return torch.cat(parts)[None]


def groups_by_length(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield neighbouring lengths that waste less than :data:`MOST_FILLED` when all are filled up to the longest."""
    group: list[int] = []
    for length in lengths:
        widest = max([*group, length])
        if group and widest * (len(group) + 1) > MOST_FILLED * (sum(group) + length):
            yield group
            group = []
        group.append(length)
    if group:
        yield group


@dataclass(frozen=True)
class _Filling:
    """Neighbouring examples as rows of one length, and the way back to examples that lie end to end."""

    start: int
    """Begin of the first example in the row, tokens."""
    end: int
    """End of the last one."""
    examples: int
    taken: Any
    """Place of each filled token, from ``start`` on, shape (examples × longest,); None where all are of one length."""
    kept: Any
    """Place of each example's token among the filled ones, shape (end - start,); None where all are of one length."""


@lru_cache(maxsize=1)
def _fillings(lengths: tuple[int, ...], device: Any) -> list[_Filling]:
    """Return the calls for examples of these lengths; kept, as every layer of a model asks the same."""
    import torch

    found = []
    start = 0
    for group in groups_by_length(lengths):
        end, longest = start + sum(group), max(group)
        taken = kept = None
        if min(group) < longest:
            lasts = list(accumulate(group))
            places = [
                last - length + min(place, length - 1)  # behind its end, an example's last token again
                for last, length in zip(lasts, group, strict=True)
                for place in range(longest)
            ]
            taken = torch.tensor(places, device=device)
            kept = torch.tensor(
                [row * longest + place for row, length in enumerate(group) for place in range(length)], device=device
            )
        found.append(_Filling(start, end, len(group), taken, kept))
        start = end
    return found


def _filled_up(tensor_THD: Any, group: _Filling) -> Any:  # noqa: N803
    """Return examples that lie end to end as rows of one length, shape (examples, heads, longest, head size)."""
    rows = tensor_THD if group.taken is None else tensor_THD.index_select(0, group.taken)
    return rows.unflatten(0, (group.examples, -1)).transpose(1, 2)


def _in_one_call(tensors: Sequence[Any], lengths: list[int], ends: Any, scaling: float | None) -> Any:
    """Call torch's flash-attention for packed rows of query, key and value; shapes as in :func:`varlen_attention`."""
    from torch.nn.attention.varlen import varlen_attn

    # (1, heads, tokens, size) -> (tokens, heads, size). Rotary embedding under autocast leaves fp32.
    q, k, v = (tensor[0].transpose(0, 1).to(tensors[2].dtype) for tensor in tensors)
    options: dict[str, Any] = {"scale": scaling, "window_size": (-1, 0)}  # all tokens before, none after
    if "enable_gqa" in (varlen_attn.__kwdefaults__ or {}):  # torch 2.11 takes fewer key heads without being told
        options["enable_gqa"] = q.shape[1] != k.shape[1]
    longest = max(lengths)
    out: Any = varlen_attn(q, k, v, ends, ends, longest, longest, **options)
    return out[None]
