"""kit/scoring/heads.py: heads of all kinds against a softmax in fp64, and logits that are never all there."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from kit.errors import RequestError
from kit.scoring import heads
from kit.scoring.heads import head_of


class Wrapped(torch.nn.Linear):
    """A head that is more than its matrix."""

    def forward(self, *hidden: torch.Tensor) -> torch.Tensor:
        return 3 * super().forward(*hidden)


def model(module: Any, **settings: Any) -> Any:
    return SimpleNamespace(get_output_embeddings=lambda: module, config=SimpleNamespace(**settings))


def linear(kind: type[torch.nn.Linear] = torch.nn.Linear, *, bias: bool = False) -> torch.nn.Linear:
    torch.manual_seed(1)
    return kind(6, 40, bias=bias)


CASES = {
    "a matrix": (linear(), {}, lambda logits: logits),
    "with a bias": (linear(bias=True), {}, lambda logits: logits),
    "multiplied, as Cohere's": (linear(bias=True), {"logit_scale": 0.0625}, lambda logits: logits * 0.0625),
    "divided, as Granite's": (linear(), {"logits_scaling": 8}, lambda logits: logits / 8),
    "bent, as Gemma 2's": (linear(), {"final_logit_softcapping": 2.0}, lambda logits: 2 * torch.tanh(logits / 2)),
    "not bent, as Gemma 3's": (linear(), {"final_logit_softcapping": None}, lambda logits: logits),
    "more than a matrix": (linear(Wrapped), {}, lambda logits: logits),
    "more than a matrix, and divided": (linear(Wrapped), {"logits_scaling": 4.0}, lambda logits: logits / 4),
}


@pytest.mark.parametrize("blocked", [["cpu"], []])
@pytest.mark.parametrize(("chunk", "tokens"), [(3, 7), (256, 4096)])
@pytest.mark.parametrize(("module", "settings", "bend"), CASES.values(), ids=list(CASES))
def test_losses_are_those_of_a_softmax(monkeypatch, blocked, chunk, tokens, module, settings, bend):
    monkeypatch.setattr(heads, "BLOCKED", blocked)
    monkeypatch.setattr(heads, "CHUNK", chunk)
    monkeypatch.setattr(heads, "BLOCK_POSITIONS", chunk)
    monkeypatch.setattr(heads, "BLOCK_TOKENS", tokens)
    generator = torch.Generator().manual_seed(2)
    hidden, targets = 5 * torch.randn(10, 6, generator=generator), torch.randint(40, (10,), generator=generator)
    with torch.inference_mode():
        found = head_of(model(module, **settings)).losses(hidden, targets)
        logits = bend(module.double()(hidden.double()))
        module.float()
    wanted = -(logits.exp() / logits.exp().sum(dim=1, keepdim=True)).gather(1, targets[:, None])[:, 0].log()
    assert found.dtype is torch.float32
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_operands_of_16_bits_are_multiplied_in_32():
    # torch's chunked loss of bf16 operands is itself rounded to bf16.
    module = linear().bfloat16()
    hidden, targets = torch.randn(10, 6).bfloat16(), torch.arange(10)
    with torch.inference_mode():
        found = head_of(model(module)).losses(hidden, targets)
        wanted = torch.nn.functional.cross_entropy(
            hidden.double() @ module.weight.double().T, targets, reduction="none"
        )
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-6)


def test_logits_of_a_chunk_alone_are_there(monkeypatch):
    sizes = []
    real = torch.nn.functional.linear_cross_entropy

    def watched(*args: Any, options: Any, **named: Any) -> Any:
        sizes.append(options.batch_chunk_size)
        return real(*args, options=options, **named)

    monkeypatch.setattr(torch.nn.functional, "linear_cross_entropy", watched)
    with torch.inference_mode():
        hidden, targets = torch.randn(1000, 6), torch.zeros(1000, dtype=torch.long)
        head = head_of(model(linear()))
        apart = head.losses(hidden, targets)
        assert sizes == []
        monkeypatch.setattr(heads, "BLOCKED", [])
        together = head.losses(hidden, targets)
    assert sizes == [256]
    torch.testing.assert_close(together, apart)


def test_logits_of_a_block_alone_are_there_on_a_cpu(monkeypatch):
    sizes = []
    real = torch.mm

    def watched(a: torch.Tensor, b: torch.Tensor, *, out: torch.Tensor) -> torch.Tensor:
        sizes.append(out.numel())
        return real(a, b, out=out)

    monkeypatch.setattr(torch, "mm", watched)
    module = torch.nn.Linear(6, 10_000, bias=False)
    with torch.inference_mode():
        head_of(model(module)).losses(torch.randn(1000, 6), torch.zeros(1000, dtype=torch.long))
    assert len(sizes) == 6 and max(sizes) == heads.BLOCK_POSITIONS * heads.BLOCK_TOKENS


def test_logits_beyond_what_exp_can_take_are_no_trouble():
    # a block whose highest logit is far above, or far below, that of the blocks before it
    module = linear()
    module.weight.data = torch.tensor([[-500.0], [300.0], [900.0], [-900.0]])
    hidden, targets = torch.ones(3, 1), torch.tensor([2, 1, 3])
    with torch.inference_mode():
        found = head_of(model(module)).losses(hidden, targets)
    assert found.tolist() == [0.0, 600.0, 1800.0]


def test_a_model_without_a_head_is_refused():
    with pytest.raises(RequestError) as caught:
        head_of(model(None))
    assert str(caught.value) == "SimpleNamespace: it has no head over the vocabulary; wanted a text generator"
