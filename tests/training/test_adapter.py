"""Output of a LoRA run: an adapter's folder for its base, or a whole model with the adapter added."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.engines import EngineSettings, Request, Sampling, transformers
from kit.errors import RequestError
from kit.records import Turn
from kit.stages import sft

LORA = {"tuning": "lora", "lora": {"rank": 8, "alpha": 8, "dropout": 0.0, "targets": "all-linear"}}
ADAPTER = LORA | {"save": "adapter"}


@pytest.fixture
def saved(inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path) -> Path:
    sft.run(params | ADAPTER, inputs, tmp_path / "adapter", context)
    return tmp_path / "adapter"


def test_an_adapters_folder_has_its_tokenizer_and_names_its_base(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
):
    summary = sft.run(params | ADAPTER, inputs, tmp_path / "out", context)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "chat_template.jinja",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "train_log.jsonl",
    ]
    # 2 layers of 7 matrices, 2 factors each
    assert summary.rows == 2 * 7 * 2
    settings = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
    # In a store the folder's name is the key; a path would be another one on every machine.
    assert settings["base_model_name_or_path"] == inputs["base"].name
    assert settings["target_modules"] == sorted(settings["target_modules"])
    assert (tmp_path / "out" / "chat_template.jinja").read_text() == params["chat_template"]
    ends = json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    assert ends == [2, 1]
    assert (tmp_path / "out" / "adapter_model.safetensors").stat().st_mode & 0o444 == 0o444


def test_peft_opens_it(saved: Path, inputs: dict[str, Path]):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    base = AutoModelForCausalLM.from_pretrained(inputs["base"], trust_remote_code=False)
    ids = torch.tensor([[5, 6, 7, 8]])
    untrained = base(ids).logits
    adapted = PeftModel.from_pretrained(base, saved)(ids).logits
    assert (adapted - untrained).abs().max() > 1e-3
    assert AutoTokenizer.from_pretrained(saved, trust_remote_code=False).chat_template


def ask(engine: Any) -> list[str]:
    rows = [
        Request(id=str(number), turns=(Turn(role="user", content=f"Count to {number}."),), seed=1)
        for number in range(4)
    ]
    return [row.text for row in engine.generate(rows, Sampling(max_tokens=24))]


def test_merged_and_beside_its_base_it_writes_the_same(
    saved: Path, inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
):
    sft.run(params | LORA, inputs, tmp_path / "merged", context)
    settings = EngineSettings(name="transformers", dtype="float32", max_model_len=256, lora_rank=8)
    merged = transformers.open(tmp_path / "merged", settings)
    base = transformers.open(inputs["base"], settings)
    assert ask(base.with_adapter(saved)) == ask(merged)


def test_the_adapter_is_the_one_that_is_merged(
    saved: Path, inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
):
    sft.run(params | LORA, inputs, tmp_path / "merged", context)
    files = ("adapter_config.json", "adapter_model.safetensors")
    hashes = [
        [sha256((folder / name).read_bytes()).hexdigest() for name in files]
        for folder in (saved, tmp_path / "merged" / "adapter")
    ]
    assert hashes[0] == hashes[1]


def test_full_tuning_has_no_adapter_to_save(
    inputs: dict[str, Path], params: dict[str, Any], context: Any, tmp_path: Path
):
    with pytest.raises(RequestError, match=r"^sft: save is 'adapter' and lora is absent"):
        sft.run(params | {"save": "adapter"}, inputs, tmp_path / "out", context)
