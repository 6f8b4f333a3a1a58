"""The losses of given tokens: the model's body once over each row, its head over the positions that are scored."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from kit.errors import KitError, RequestError
from kit.models.attention import longest_packed, packed_attention
from kit.scoring.batches import TokenRow, lay_out, plan
from kit.scoring.heads import head_of

CPU_BUDGET = 1024
"""Tokens of a batch on a CPU; what lies between two layers of a small model then fits its cache."""
GPU_BUDGET = 16384
"""Tokens of a batch on a GPU: enough to fill one, and some GB of a large model's activations."""
PROBES = ((11, 7, 5, 3, 2, 13, 17, 19), (4, 9, 6, 15, 8))
"""Token ids that a model is tried out on; its vocabulary decides what they mean, and they are taken modulo its size."""
ALLOWED = {"float32": 1e-4, "float64": 1e-4}
"""Type of the body -> the most that a loss of the probes may be off, nats; else :data:`ALLOWED_HALF`."""
ALLOWED_HALF = 0.25
"""The same for 16-bit types, whose own logits are rounded to three digits."""

Progress = Callable[[int, int], None]
"""Called with (rows done so far, their tokens) after each batch."""


class LossModel:
    """A loaded model that tells how likely given tokens are; it keeps no text, and no logits of one."""

    def __init__(self, model: Any, *, tokens_per_batch: int | None = None) -> None:
        """Take a model as it is.

        Args:
            model: transformers' causal language model, in the mode for inference.
            tokens_per_batch: most tokens of a batch; by default what suits the device.
        """
        self._model = model
        self._body = model.base_model
        self._head = head_of(model)
        self._longest_packed = longest_packed(model.config)
        on_gpu = model.device.type == "cuda"
        self._budget = tokens_per_batch or (GPU_BUDGET if on_gpu else CPU_BUDGET)

    @property
    def packs(self) -> bool:
        """Whether rows of this model may lie end to end; else they are filled up to one length."""
        return self._longest_packed is not None

    def losses(self, rows: Sequence[TokenRow], progress: Progress | None = None) -> list[Any]:
        """Return -ln p of every scored token, nats.

        Args:
            rows: what to score.
            progress: is told of batches that are done.

        Returns:
            One fp32 tensor a row on the CPU, shape (scored tokens,), in the order of the rows.
        """
        import torch

        lengths = [len(row.ids) for row in rows]
        parts: list[Any] = []
        order: list[int] = []
        done = tokens = 0
        with torch.inference_mode():
            for batch in plan(lengths, self._budget, self._longest_packed):
                parts.append(self._batch_losses([rows[row] for row in batch.rows], batch.packed))
                order += batch.rows
                done, tokens = done + len(batch.rows), tokens + sum(lengths[row] for row in batch.rows)
                if progress:
                    progress(done, tokens)
            # On a GPU one wait for all batches.
            found: Any = torch.cat(parts).cpu() if parts else torch.empty(0)
            pieces = found.split([rows[row].scored for row in order]) if order else ()
        by_row = dict(zip(order, pieces, strict=True))
        return [by_row[row] for row in range(len(rows))]

    def _batch_losses(self, rows: Sequence[TokenRow], packed: bool) -> Any:
        """Return the losses of one batch, row after row."""
        layout = lay_out(rows, packed=packed, device=self._model.device)
        with packed_attention(self._model) if packed else nullcontext():
            hidden = self._body(**layout.inputs, use_cache=False).last_hidden_state
        return self._head.losses(hidden.flatten(0, 1)[layout.places], layout.targets)

    def check(self, where: str) -> None:
        """Compare the losses of two short rows with those of the model's own logits.

        What a model does to its logits stands in its code; a way that this room does not know must not go unseen.

        Args:
            where: the model's folder, for the message.

        Raises:
            RequestError: they differ.
            KitError: they are no numbers.
        """
        import torch

        size = self._model.get_input_embeddings().num_embeddings
        rows = [TokenRow(ids=[id % size for id in ids]) for ids in PROBES]
        allowed = ALLOWED.get(str(self._model.dtype).removeprefix("torch."), ALLOWED_HALF)
        for row, found in zip(rows, self.losses(rows), strict=True):
            ids = torch.tensor([row.ids], device=self._model.device)
            with torch.inference_mode():
                logits = self._model(input_ids=ids, use_cache=False).logits[0, :-1].float()
                wanted = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none").cpu()
            if not bool(found.isfinite().all()):
                raise KitError(f"{where}: a loss of the model is {found.tolist()}; are its weights damaged?")
            apart = float((found - wanted).abs().max())
            if not apart <= allowed * max(1.0, float(wanted.max())):
                raise RequestError(
                    f"{where}: {type(self._model).__name__} does something to its logits that scoring does not know: "
                    f"a loss is off by {apart:.2g} nats; wanted a head that is one matrix, as Llama's"
                )
