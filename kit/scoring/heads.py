"""From hidden states to the loss of each target, some hundred positions at a time: no logits of a whole text.

The product is computed from fp32 operands whatever type the body has: with operands in bf16 torch's chunked loss is
rounded to bf16, and a loss is off by 4e-3. On a CPU the vocabulary is taken in blocks as well, whose logits stay in the
cache: 1.4 times as fast as torch's chunks, which write 50 MB, read them three times and give them back.
"""

from dataclasses import dataclass
from typing import Any

from kit.errors import RequestError

CHUNK = 256
"""Positions whose logits are there at a time; 50 MB in fp32 with a vocabulary of 49,152."""
BLOCKED = frozenset({"cpu"})
"""Devices on which the vocabulary is taken in blocks."""
BLOCK_POSITIONS, BLOCK_TOKENS = 512, 4096
"""Positions, and tokens of the vocabulary, whose logits are there at a time then; 8 MB in fp32."""

FACTORS = {"logit_scale": 1, "lm_head_multiplier": 1, "logits_scaling": -1}
"""Settings of config.json that scale logits, and the power with which they do: Cohere's and Falcon-H1's multiply,
Granite's divides."""
SOFT_CAP = "final_logit_softcapping"
"""Setting of config.json that bends logits: ``cap * tanh(logits / cap)`` (Gemma 2)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last layer of a language model, ready to compute losses."""

    module: Any
    """The layer itself, for one that is more than a matrix and a bias (a low-rank adapter on it, for instance)."""
    weight: Any
    """Its matrix in fp32, shape (vocabulary, hidden); None where the layer itself has to be called."""
    bias: Any
    """Its bias in fp32, shape (vocabulary,); None where it has none."""
    factor: float
    """Multiplies the logits."""
    soft_cap: float | None
    """Bends the logits; None where they stay as they are."""

    def losses(self, hidden_NH: Any, targets_N: Any) -> Any:  # noqa: N803
        """Return -ln p of each target, nats, fp32, shape (targets,).

        Args:
            hidden_NH: hidden states that predict the targets, in the body's type.
            targets_N: token ids.
        """
        import torch

        if self.weight is None or self.soft_cap is not None:
            chunks = zip(hidden_NH.split(CHUNK), targets_N.split(CHUNK), strict=True)
            return torch.cat([self._chunk_losses(hidden, targets) for hidden, targets in chunks])
        if hidden_NH.device.type in BLOCKED:
            parts = zip(hidden_NH.split(BLOCK_POSITIONS), targets_N.split(BLOCK_POSITIONS), strict=True)
            return torch.cat([self._block_losses(hidden, targets) for hidden, targets in parts])
        hidden = hidden_NH.float()
        return torch.nn.functional.linear_cross_entropy(
            hidden if self.factor == 1 else hidden * self.factor,
            self.weight,
            targets_N,
            linear_bias=None if self.bias is None else self.bias * self.factor,
            reduction="none",
            options=torch.nn.LinearCrossEntropyOptions(chunking_method=None, batch_chunk_size=CHUNK),
        )

    def _block_losses(self, hidden: Any, targets: Any) -> Any:
        """Return the losses of some positions: the sum of exp(logit) grows block by block beside the highest logit."""
        import torch

        hidden = hidden.float() * self.factor if self.factor != 1 else hidden.float()
        highest = hidden.new_full((len(targets), 1), -torch.inf)
        total, wanted = torch.zeros_like(highest), torch.zeros_like(highest)
        room = hidden.new_empty(len(targets) * BLOCK_TOKENS)
        for start in range(0, len(self.weight), BLOCK_TOKENS):
            block = self.weight[start : start + BLOCK_TOKENS].t()
            logits = room[: len(targets) * block.shape[1]].view(len(targets), block.shape[1])
            torch.mm(hidden, block, out=logits)
            if self.bias is not None:
                logits += self.bias[start : start + BLOCK_TOKENS] * self.factor
            places = targets[:, None] - start
            inside = (places >= 0) & (places < block.shape[1])
            wanted = torch.where(inside, logits.gather(1, places.clamp(0, block.shape[1] - 1)), wanted)
            above = torch.maximum(highest, logits.amax(1, keepdim=True))
            total = total * (highest - above).exp() + logits.sub_(above).exp_().sum(1, keepdim=True)
            highest = above
        return (highest + total.log() - wanted)[:, 0]

    def _chunk_losses(self, hidden: Any, targets: Any) -> Any:
        """Return the losses of some positions, whose logits are all there."""
        import torch

        if self.weight is None:
            logits = self.module(hidden).float()
        else:
            logits = torch.nn.functional.linear(hidden.float(), self.weight, self.bias)
        if self.factor != 1:
            logits *= self.factor
        if self.soft_cap is not None:
            logits = self.soft_cap * torch.tanh(logits / self.soft_cap)
        return torch.nn.functional.cross_entropy(logits, targets, reduction="none")


def head_of(model: Any) -> Head:
    """Return the head of a loaded model, with what its config.json does to logits.

    Raises:
        RequestError: the model has none.
    """
    import torch

    module = model.get_output_embeddings()
    if module is None:
        raise RequestError(f"{type(model).__name__}: it has no head over the vocabulary; wanted a text generator")
    config = model.config
    plain = type(module) is torch.nn.Linear
    bias = module.bias if plain else None
    factor = 1.0
    for name, power in FACTORS.items():
        if isinstance(value := getattr(config, name, None), int | float):
            factor *= float(value) ** power
    return Head(
        module=module,
        weight=module.weight.detach().float() if plain else None,
        bias=None if bias is None else bias.detach().float(),
        factor=factor,
        soft_cap=getattr(config, SOFT_CAP, None),
    )
