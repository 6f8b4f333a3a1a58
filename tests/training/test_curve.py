"""One loss curve: packed, padded, and stock transformers, to the same weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from kit.models.attention import VARLEN, register
from kit.records import Pair, read_rows
from kit.stages import sft
from kit.training.examples import chat_tokenizer, encode
from kit.training.packing import collate
from kit.training.params import parse
from kit.training.trainer import response_loss, training_arguments

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def examples_of(inputs: dict[str, Path], params: dict[str, Any]) -> Any:
    tokenizer, _ = chat_tokenizer(inputs["base"], params["chat_template"], params["end_of_turn"])
    pairs = read_rows(inputs["pairs"] / "pairs.jsonl", Pair)
    return encode(pairs, tokenizer, end_of_turn=params["end_of_turn"], max_length_tokens=256).examples


def stock(inputs: dict[str, Path], params: dict[str, Any], steps: list[list[int]], out: Path) -> list[float]:
    """The same steps by transformers' own Trainer, collation, accumulation and loss."""
    import datasets
    from transformers import AutoModelForCausalLM, Trainer

    examples = examples_of(inputs, params)

    def collation(batch: list[dict[str, list[int]]]) -> dict[str, torch.Tensor]:
        width = max(len(row["input_ids"]) for row in batch)
        fill = {"input_ids": 0, "attention_mask": 0, "labels": -100}
        return {k: torch.tensor([r[k] + [v] * (width - len(r[k])) for r in batch]) for k, v in fill.items()}

    # One epoch of the Trainer over all steps; the caller leaves no short ones.
    rows = [examples[i] for step in steps for i in step]
    data = datasets.Dataset.from_list(
        [
            {
                "input_ids": list(e.tokens),
                "attention_mask": [1] * len(e.tokens),
                "labels": [-100] * e.prompt_tokens + list(e.tokens[e.prompt_tokens :]),
            }
            for e in rows
        ]
    )

    class InOrder(Trainer):
        def _get_train_sampler(self, *_args: Any) -> Any:
            return torch.utils.data.SequentialSampler(data)

    arguments = training_arguments(parse(params), 1, out, steps=len(steps))
    arguments.per_device_train_batch_size = 2
    arguments.gradient_accumulation_steps = 2
    arguments.logging_steps = 1
    arguments.logging_strategy = "steps"
    model = AutoModelForCausalLM.from_pretrained(inputs["base"], dtype=torch.float32, trust_remote_code=False)
    trainer = InOrder(model=model, args=arguments, train_dataset=data, data_collator=collation)
    trainer.train()
    trainer.save_model(out)
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def test_packed_padded_and_stock_training_agree(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path
) -> None:
    params |= {"rows": 8}
    for packing in (True, False):
        sft.run(params | {"packing": packing}, inputs, tmp_path / str(packing), context)
    lines = [line.partition('"rows":')[2] for line in (tmp_path / "True" / sft.LOG).read_text().splitlines()]
    steps = [[int(n) for n in line[1 : line.index("]")].split(",")] for line in lines]
    expected = stock(inputs, params, steps, tmp_path / "stock")
    packed, padded = losses(tmp_path / "True"), losses(tmp_path / "False")
    assert len(packed) == 4
    assert packed[-1] < packed[0] - 0.1
    assert packed == pytest.approx(padded, rel=1e-5)
    assert packed == pytest.approx(expected, rel=1e-5)
    trained = tensors(tmp_path / "True")
    for other in (tensors(tmp_path / "False"), tensors(tmp_path / "stock")):
        assert trained.keys() == other.keys()
        for name, tensor in trained.items():
            torch.testing.assert_close(tensor, other[name], **CLOSE)


def test_the_short_last_step_is_a_mean_over_its_own_tokens(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path
) -> None:
    for packing in (True, False):
        sft.run(params | {"packing": packing}, inputs, tmp_path / str(packing), context)
    assert len(losses(tmp_path / "True")) == 6
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=1e-5)


def test_the_loss_of_response_positions_is_the_stock_loss(inputs: dict[str, Path], params: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM

    register()
    examples = examples_of(inputs, params)[:5]
    packed = AutoModelForCausalLM.from_pretrained(inputs["base"], attn_implementation=VARLEN, trust_remote_code=False)
    stock_model = AutoModelForCausalLM.from_pretrained(
        inputs["base"], attn_implementation="eager", trust_remote_code=False
    )
    ours = response_loss(packed, collate(examples, kernel=VARLEN, filler=examples[0], device="cpu"))
    theirs = torch.zeros(())
    for example in examples:
        ids = torch.tensor([example.tokens])
        labels = ids.clone()
        labels[0, : example.prompt_tokens] = -100
        theirs = theirs + stock_model(input_ids=ids, labels=labels).loss * example.response_tokens
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.backward()
    theirs.backward()
    for mine, other in zip(packed.parameters(), stock_model.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, **CLOSE)


def test_an_empty_micro_batchs_loss_is_fp32_like_the_others(inputs: dict[str, Path], params: dict[str, Any]) -> None:
    # Under FSDP's bf16 it was bf16, so a rank without a row added two bytes to the other ranks' four.
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(inputs["base"], dtype=torch.bfloat16, trust_remote_code=False)
    filler = examples_of(inputs, params)[0]
    assert response_loss(model, collate([], kernel=None, filler=filler, device="cpu")).dtype is torch.float32


def test_an_empty_micro_batch_leaves_the_gradients_at_zero(inputs: dict[str, Path], params: dict[str, Any]) -> None:
    from transformers import AutoModelForCausalLM

    register()
    filler = examples_of(inputs, params)[0]
    for kernel in (VARLEN, None):
        model = AutoModelForCausalLM.from_pretrained(
            inputs["base"], attn_implementation=kernel or "sdpa", trust_remote_code=False
        )
        response_loss(model, collate([], kernel=kernel, filler=filler, device="cpu")).backward()
        assert all(weight.grad is not None and not weight.grad.any() for weight in model.parameters())
