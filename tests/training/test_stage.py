"""The stage from end to end on a tiny random Llama: what it writes, says and refuses."""

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.errors import KitError, RequestError
from kit.records import Pair, write_rows
from kit.stages import sft
from kit.training.params import parse
from kit.training.trainer import training_arguments

LORA = {"tuning": "lora", "lora": {"rank": 8, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}}


def test_it_writes_a_plain_model_folder(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    out, before = tmp_path / "out", dict(os.environ)
    summary = sft.run(params, inputs, out, context)
    assert sorted(path.name for path in out.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "train_log.jsonl",
    ]
    assert capfd.readouterr() == ("", "")
    assert dict(os.environ) == before
    assert AutoTokenizer.from_pretrained(out, trust_remote_code=False).chat_template == params["chat_template"]
    assert GenerationConfig.from_pretrained(out).eos_token_id == [2, 1]
    config = json.loads((out / "config.json").read_text())
    assert (config["dtype"], config["use_cache"]) == ("float32", True)
    assert "_attn_implementation" not in config
    model = AutoModelForCausalLM.from_pretrained(out, trust_remote_code=False)
    assert summary.rows == len(model.state_dict()) - 1  # the head is the embedding
    assert summary.facts["steps"] == 6
    assert summary.facts["trainable"] == model.num_parameters()
    assert summary.facts["tokens"] == context.said[-1][2]
    assert [done for done, total, _ in context.said if total == 6] == [1, 2, 3, 4, 5, 6]


def test_the_log_holds_the_schedule_and_the_order(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    sft.run(params, inputs, tmp_path / "out", context)
    lines = [json.loads(line) for line in (tmp_path / "out" / sft.LOG).read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    # Warm-up of ceil(0.03 * 6) = 1 step from 0, then half a cosine over five: (1 + cos(pi * k / 5)) / 2.
    assert [line["lr"] for line in lines] == pytest.approx(
        [0.0, 1e-2, 9.0451e-3, 6.5451e-3, 3.4549e-3, 9.549e-4], rel=1e-4
    )
    assert sorted(row for line in lines[:3] for row in line["rows"]) == list(range(11))
    assert [len(line["rows"]) for line in lines] == [4, 4, 3, 4, 4, 3]


@pytest.mark.parametrize("extra", [{}, LORA, LORA | {"save": "adapter"}], ids=["full", "lora", "adapter"])
def test_the_same_inputs_give_the_same_bytes(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path, extra: dict[str, Any]
) -> None:
    hashes = []
    for name in ("a", "b"):
        sft.run(params | extra, inputs, tmp_path / name, context)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        hashes.append({str(path.relative_to(tmp_path / name)): sha256(path.read_bytes()).hexdigest() for path in files})
    assert hashes[0] == hashes[1]


def test_lora_is_saved_merged_with_its_adapter_beside(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    out = tmp_path / "out"
    summary = sft.run(params | LORA, inputs, out, context)
    # 2 layers, rank 8: q, o 32x32; k, v 32x16; gate, up, down 32x64.
    assert summary.facts["trainable"] == 2 * 8 * (2 * 64 + 2 * 48 + 3 * 96)
    assert losses(out)[-1] < losses(out)[0]
    assert sorted(path.name for path in (out / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    assert not (out / "adapter_config.json").exists()
    base = AutoModelForCausalLM.from_pretrained(inputs["base"], trust_remote_code=False)
    ids = torch.tensor([[5, 6, 7, 8]])
    untrained = base(ids).logits
    adapted = PeftModel.from_pretrained(base, out / "adapter")(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(out, trust_remote_code=False)(ids).logits
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-5)
    assert (merged - untrained).abs().max() > 1e-3


def test_checkpointing_activations_changes_no_loss(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path
) -> None:
    for recompute in (True, False):
        sft.run(params | {"gradient_checkpointing": recompute}, inputs, tmp_path / str(recompute), context)
    assert losses(tmp_path / "True") == pytest.approx(losses(tmp_path / "False"), rel=1e-6)


def test_bfloat16_trains_in_fp32_and_saves_in_bf16(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, losses: Any, tmp_path: Path
) -> None:
    from transformers import AutoModelForCausalLM

    sft.run(params | {"dtype": "bfloat16"}, inputs, tmp_path / "bf16", context)
    sft.run(params, inputs, tmp_path / "fp32", context)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "bf16", trust_remote_code=False).dtype == torch.bfloat16
    assert json.loads((tmp_path / "bf16" / "config.json").read_text())["dtype"] == "bfloat16"
    assert losses(tmp_path / "bf16") == pytest.approx(losses(tmp_path / "fp32"), rel=2e-2)


def test_another_seed_draws_another_order(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    facts = [sft.run(params | {"seed": seed}, inputs, tmp_path / str(seed), context).facts for seed in (1, 2)]
    assert facts[0]["order_sha256"] != facts[1]["order_sha256"]


def test_a_loss_that_is_no_number_ends_the_job(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    with pytest.raises(KitError, match=r"sft: the loss of step \d is (nan|inf); is the learning rate too high\?"):
        sft.run(params | {"learning_rate": 1e30, "epochs": 5}, inputs, tmp_path / "out", context)


def refused(params: dict[str, Any], inputs: dict[str, Path], context: Any, tmp_path: Path) -> str:
    with pytest.raises(RequestError) as caught:
        sft.run(params, inputs, tmp_path / "out", context)
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_an_empty_set_is_refused(inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path) -> None:
    write_rows(inputs["pairs"] / "pairs.jsonl", [])
    assert refused(params, inputs, context, tmp_path).startswith("sft: the set of pairs is empty")


def test_more_rows_than_there_are_is_refused(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    path = inputs["pairs"] / "pairs.jsonl"
    expected = f"sft.rows: 12 asked for, {path} has 11; lower it or make more pairs"
    assert refused(params | {"rows": 12}, inputs, context, tmp_path) == expected


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to shard over")
def test_sharding_on_a_cpu_is_refused(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    # accelerate trained on, unsharded, and said nothing.
    message = refused(params | {"sharding": "fsdp"}, inputs, context, tmp_path)
    assert message.startswith("sft.sharding: 'fsdp' on a CPU, where accelerate trains unsharded without a word")


def test_a_rank_that_was_not_started_is_missed(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    # `accelerate launch --cpu --num_processes 2` starts one process and says nothing.
    context.world = 2
    with pytest.raises(KitError, match=r"^sft: accelerate runs 1 rank\(s\), the job was planned for 2;"):
        sft.run(params, inputs, tmp_path / "out", context)


def test_a_family_that_was_not_checked_is_refused(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    config = json.loads((inputs["base"] / "config.json").read_text()) | {"model_type": "gemma2"}
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    message = refused(params, inputs | {"base": tmp_path / "other"}, context, tmp_path)
    assert message.startswith("sft.packing: not known to be exact for 'gemma2'")


PAPER = {
    "main": {"learning_rate": 2e-5, "epochs": 3, "tuning": "full"},
    "scaling-0.5b": {"learning_rate": 1e-5, "epochs": 2, "tuning": "full"},
    "scaling-7b": {"learning_rate": 7e-6, "epochs": 2, "tuning": "full"},
    "scaling-72b": {"learning_rate": 5e-5, "epochs": 2, **LORA},
}


@pytest.mark.parametrize("extra", PAPER.values(), ids=PAPER.keys())
def test_the_papers_configurations_are_valid(params: dict[str, Any], extra: dict[str, Any], tmp_path: Path) -> None:
    paper = {
        "global_batch_size": 64,
        "per_device_batch_size": 1,
        "max_length_tokens": 2048,
        "dtype": "bfloat16",
        "gradient_checkpointing": True,
        "sharding": "fsdp",
    }
    arguments = training_arguments(parse(params | paper | extra), 8, tmp_path, steps=423)
    assert arguments.learning_rate == extra["learning_rate"]
    assert arguments.get_warmup_steps(423) == 13
    assert arguments.fsdp_plugin_args["fsdp_version"] == 2
    assert arguments.fsdp_plugin_args["reshard_after_forward"] is True
    assert arguments.fsdp_plugin_args["activation_checkpointing"] is True
    assert arguments.fsdp_plugin_args["cpu_ram_efficient_loading"] is True
    assert arguments.fsdp_plugin_args["mixed_precision_policy"].reduce_dtype is torch.float32
    assert (arguments.bf16, arguments.max_grad_norm, arguments.report_to) == (True, 1.0, [])


def test_rows_with_system_and_history_are_trained_on_and_counted(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "user"
    folder.mkdir()
    rows = [
        {"instruction": "And 2?", "output": "3", "system": "Count.", "history": [["1?", "2"]], "source": "web"},
        {"instruction": "Say \ud83d hi.", "output": "hi"},
    ]
    (folder / "alpaca.json").write_text(json.dumps(rows))
    out = tmp_path / "out"
    facts = sft.run(params | {"epochs": 1}, inputs | {"pairs": folder}, out, context).facts
    names = ("with_system", "with_history", "unread_fields", "half_characters", "byte_order_marks", "unanswered")
    assert [facts[name] for name in names] == [1, 1, {"source": 1}, 1, 0, 0]
    # "2", "3" and "hi", each with its end
    assert facts["response_tokens"] == 2 + 2 + 3


def test_half_a_character_of_a_responders_is_replaced(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
) -> None:
    # ended in a traceback of the tokenizer's
    write_rows(inputs["pairs"] / "pairs.jsonl", [Pair(id="s/0", instruction="A", output="b\ud83d")])
    facts = sft.run(params | {"epochs": 1}, inputs, tmp_path / "out", context).facts
    assert facts["half_characters"] == 1
    assert facts["response_tokens"] == 1 + 3 + 1  # U+FFFD is three bytes


def test_a_row_with_a_token_past_the_embedding_is_named(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # IndexError in the first forward pass
    from transformers import AutoTokenizer

    base = tmp_path / "grown"
    shutil.copytree(inputs["base"], base)
    tokenizer = AutoTokenizer.from_pretrained(base, trust_remote_code=False)
    tokenizer.add_tokens(["<pic>"])
    tokenizer.save_pretrained(base)
    write_rows(
        inputs["pairs"] / "pairs.jsonl",
        [Pair(id="s/0", instruction="A", output="b"), Pair(id="s/1", instruction="See <pic>.", output="b")],
    )
    monkeypatch.setattr("kit.training.weights.load", lambda *_: pytest.fail("the model was loaded"))
    with pytest.raises(RequestError) as caught:
        sft.run(params, inputs | {"base": base}, tmp_path / "out", context)
    assert str(caught.value) == (
        "sft: pair s/1: token '<pic>' has id 261, and the model's embedding has 261 rows; take another token, or a "
        "model whose embedding has grown with its tokenizer"
    )
