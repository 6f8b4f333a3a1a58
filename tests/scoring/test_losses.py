"""kit/scoring/losses.py: losses of tokens against the model's own logits, whatever the batches."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kit.errors import KitError, RequestError
from kit.scoring.batches import TokenRow
from kit.scoring.losses import LossModel
from tests.scoring.conftest import table_model


def rows(count: int = 12) -> list[TokenRow]:
    generator = torch.Generator().manual_seed(5)
    lengths = torch.randint(2, 60, (count,), generator=generator).tolist()
    return [
        TokenRow(ids=torch.randint(250, (length,), generator=generator).tolist(), first=1 + number % 2 * (length // 2))
        for number, length in enumerate(lengths)
    ]


@pytest.fixture(scope="module")
def plain(layered: Any) -> list[list[float]]:
    """Losses from all logits of one row at a time, in fp64."""
    model = layered[0].double()
    found = []
    with torch.inference_mode():
        for row in rows():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0].log_softmax(-1)
            found.append([-float(logits[place - 1, row.ids[place]]) for place in range(row.first, len(row.ids))])
    model.float()
    return found


@pytest.mark.parametrize("packs", [True, False], ids=["packed", "filled up"])
@pytest.mark.parametrize("budget", [1, 100, 100_000])
def test_batches_change_no_loss(layered: Any, plain: list[list[float]], budget: int, packs: bool) -> None:
    model = LossModel(layered[0], tokens_per_batch=budget)
    if not packs:
        model._longest_packed = None
    said: list[tuple[int, int]] = []
    found = model.losses(rows(), lambda *done: said.append(done))
    for losses, wanted in zip(found, plain, strict=True):
        assert losses.tolist() == pytest.approx(wanted, rel=1e-5)
    assert said[-1] == (12, sum(len(row.ids) for row in rows()))
    assert said == sorted(said)
    assert layered[0].config._attn_implementation == "sdpa"  # as it was


def test_order_changes_no_loss(layered: Any, plain: list[list[float]]) -> None:
    found = LossModel(layered[0], tokens_per_batch=90).losses(rows()[::-1])
    for losses, wanted in zip(found[::-1], plain, strict=True):
        assert losses.tolist() == pytest.approx(wanted, rel=1e-5)


def test_no_rows_no_losses(layered: Any) -> None:
    assert LossModel(layered[0]).losses([]) == []


def test_known_models_pass_the_check(layered: Any) -> None:
    LossModel(layered[0]).check("folder")
    LossModel(table_model()).check("folder")


class Shifted(torch.nn.Module):
    """What no setting tells: the model adds to the logit of one token."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.inner, self.config, self.device, self.dtype = model, model.config, model.device, model.dtype
        self.base_model = model.base_model
        self.get_output_embeddings, self.get_input_embeddings = model.get_output_embeddings, model.get_input_embeddings

    def forward(self, **inputs: Any) -> Any:
        found = self.inner(**inputs)
        found.logits[..., 2] += 1
        return found


def test_a_model_that_changes_its_logits_in_its_own_way_is_refused() -> None:
    with pytest.raises(RequestError) as caught:
        LossModel(Shifted(table_model())).check("models/odd")
    assert str(caught.value) == (
        "models/odd: Shifted does something to its logits that scoring does not know: a loss is off by 0.81 nats; "
        "wanted a head that is one matrix, as Llama's"
    )


def test_damaged_weights_are_told() -> None:
    model = table_model()
    with torch.no_grad():
        model.lm_head.weight.fill_(float("nan"))
    with pytest.raises(KitError) as caught:
        LossModel(model).check("models/broken")
    assert str(caught.value).startswith("models/broken: a loss of the model is [nan, nan")
    assert str(caught.value).endswith("]; are its weights damaged?")


def test_an_adapter_in_the_layers_and_on_the_head_counts(tiny: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    base = LlamaForCausalLM.from_pretrained(tiny, dtype=torch.float32, trust_remote_code=False).eval()
    before = LossModel(base).losses(rows(3))
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj", "lm_head"], init_lora_weights=False)
    adapted = get_peft_model(base, config).eval()
    for row, losses, other in zip(rows(3), LossModel(base).losses(rows(3)), before, strict=True):
        ids = torch.tensor([row.ids])
        with torch.inference_mode():
            logits = adapted(input_ids=ids).logits[0, row.first - 1 : -1]
        wanted = torch.nn.functional.cross_entropy(logits, ids[0, row.first :], reduction="none")
        torch.testing.assert_close(losses, wanted, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(losses, other, rtol=1e-2)
