"""Parameters of an SFT job, and the messages on wrong ones; no model is needed."""

from pathlib import Path
from typing import Any

import pytest

from kit.errors import KitError, RequestError
from kit.stages import sft
from kit.training.params import parse
from kit.training.sharding import check_after, check_before

PARAMS: dict[str, Any] = {
    "tuning": "full",
    "learning_rate": 2e-5,
    "epochs": 3,
    "global_batch_size": 64,
    "max_length_tokens": 2048,
    "seed": 42,
    "dtype": "float32",
    "chat_template": "{{ messages }}",
    "end_of_turn": "<|im_end|>",
}


def test_the_defaults_are_the_protocols() -> None:
    params = parse(PARAMS)
    assert (params.lr_scheduler, params.warmup_ratio, params.weight_decay) == ("cosine", 0.03, 0.0)
    assert (params.packing, params.sharding, params.lora, params.rows) == (True, "none", None, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"epoch": 3}, "sft.epoch: no such parameter; did you mean 'epochs'?", id="unknown"),
        pytest.param(
            {"tuning": "lora", "lora": {"rank": 8, "alfa": 8, "alpha": 8}},
            "sft.lora.alfa: no such parameter; did you mean 'alpha'?",
            id="unknown-in-lora",
        ),
        pytest.param({"seed": "42"}, "sft.seed: found '42': Input should be a valid integer", id="type"),
        pytest.param({"epochs": 0}, "sft.epochs: found 0: Input should be greater than or equal to 1", id="range"),
        pytest.param(
            {"sharding": "zero3"}, "sft.sharding: found 'zero3': Input should be 'none' or 'fsdp'", id="choice"
        ),
        pytest.param(
            {"tuning": "lora"},
            "sft: tuning is 'lora' and lora is absent; LoRA wants both, full fine-tuning neither",
            id="lora-without-its-numbers",
        ),
    ],
)
def test_a_wrong_parameter_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse(PARAMS | change)
    assert str(caught.value) == message


def test_every_missing_parameter_is_named(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        sft.run({"tuning": "full"}, {}, tmp_path, None)  # type: ignore[arg-type]
    missing = sorted(set(PARAMS) - {"tuning", "end_of_turn"})
    assert sorted(str(caught.value).splitlines()) == [f"sft.{name}: missing; it has no default" for name in missing]


def test_what_accelerate_made_is_compared_with_what_was_asked() -> None:
    check_before("none", 1, False)
    check_before("fsdp", 8, True)
    check_after("none", 2, "MULTI_CPU", 2)
    check_after("fsdp", 8, "FSDP", 8)
    with pytest.raises(RequestError, match=r"^sft\.sharding: 'fsdp' over 1 rank shards nothing"):
        check_before("fsdp", 1, True)
    with pytest.raises(KitError, match=r"^sft: sharding 'fsdp' was asked for, accelerate made MULTI_GPU"):
        check_after("fsdp", 8, "MULTI_GPU", 8)
    with pytest.raises(KitError, match=r"^sft: sharding 'none' was asked for, accelerate made FSDP"):
        check_after("none", 8, "FSDP", 8)
