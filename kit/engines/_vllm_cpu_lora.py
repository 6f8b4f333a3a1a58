"""Adapters in vLLM on a CPU: a matrix product for each adapter, not a copy of its matrices for each token.

vLLM's own wrapper for CPUs gathers ``weights[index of the token's adapter]``, row by row; to it, a row without an
adapter has the index -1, which is the last adapter's.
"""

from collections.abc import Sequence
from typing import Any

import torch
from vllm.lora.punica_wrapper.punica_cpu import PunicaWrapperCPU
from vllm.platforms import current_platform

NO_ADAPTER = -1
"""vLLM's index of a row without an adapter."""


class AdapterProducts(PunicaWrapperCPU):  # type: ignore[misc]  # vLLM's types are not read
    """vLLM's arithmetic of adapters beside the linear layers, for rows of any mixture of adapters."""

    _rows: Sequence[tuple[int, slice | torch.Tensor]] = ()
    """Each adapter's index and the tokens of the step that have it."""

    def update_metadata(self, *arguments: Any, **options: Any) -> None:
        """Take the adapters of the next step's tokens; see :class:`PunicaWrapperCPU`."""
        super().update_metadata(*arguments, **options)
        indices = self.token_lora_indices
        found = indices.unique().tolist()
        whole = len(found) == 1  # as in all that the kit asks: the rows of a job have one adapter, or none
        self._rows = [(index, slice(None) if whole else indices == index) for index in found if index != NO_ADAPTER]

    def add_lora_linear(  # noqa: PLR0917 - vLLM's own signature
        self,
        y: torch.Tensor,
        x: torch.Tensor,
        lora_a_stacked: tuple[torch.Tensor, ...],
        lora_b_stacked: tuple[torch.Tensor, ...],
        scale: float,
        output_slices: tuple[int, ...],
        **_: Any,
    ) -> None:
        """Add ``scale * x A B`` to each slice of y.

        Args:
            y: (tokens, outputs), changed in place; outputs of several matrices side by side.
            x: (tokens, inputs).
            lora_a_stacked: for each slice (adapters, 1, rank, inputs).
            lora_b_stacked: for each slice (adapters, 1, outputs of the slice, rank).
            scale: factor that vLLM has not multiplied into B.
            output_slices: outputs of each slice.
        """
        outputs, inputs = y.view(-1, y.shape[-1]), x.view(-1, x.shape[-1])
        for adapter, rows in self._rows:
            end = 0
            for a, b, width in zip(lora_a_stacked, lora_b_stacked, output_slices, strict=True):
                start, end = end, end + width
                low = torch.nn.functional.linear(inputs[rows].float(), a[adapter, 0].float()) * scale
                outputs[rows, start:end] += torch.nn.functional.linear(low.to(y.dtype), b[adapter, 0].to(y.dtype))


def use() -> None:
    """Have vLLM's CPU platform, of this process, take :class:`AdapterProducts` for its engines to come."""
    type(current_platform).get_punica_wrapper = classmethod(lambda _: f"{__name__}.{AdapterProducts.__name__}")
