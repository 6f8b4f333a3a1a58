"""Estimated costs of a plan's jobs, against arithmetic done by hand."""

from types import SimpleNamespace
from typing import Any

import pytest

from kit.catalogue.entries import Model
from kit.catalogue.served import Served
from kit.plan import costs
from kit.plan.estimate import Machine

TINY = Model(
    folder="tiny", parameters=1000, layers=2, hidden=8, intermediate=16, heads=2, kv_heads=1, vocab=10, context=64,
    licence="none",
)  # fmt: skip
MACHINE = Machine(
    flops=1e6, bandwidth=1e5, memory_bytes=100_000, dtype="bfloat16", training_utilisation=0.5, prefill_utilisation=0.5,
    decode_utilisation=0.5, batch=4, source="made up",
)  # fmt: skip
CATALOGUE: Any = SimpleNamespace(models={"tiny": TINY}, model=lambda name, where: {"tiny": TINY}[name])


@pytest.fixture(autouse=True)
def machine_of_round_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "_machine", {"made-up": MACHINE}.__getitem__)


def scale(gpus: int, **tensor_parallel: int) -> Any:
    return SimpleNamespace(
        hardware=SimpleNamespace(gpus=gpus, machine="made-up"),
        tensor_parallel=tensor_parallel,
        engine=SimpleNamespace(dtype="float32"),
    )


def test_generation_on_four_devices_with_two_for_each_copy() -> None:
    found = costs.generation(CATALOGUE, scale(4, tiny=2), "tiny", 9, 1000)
    # Two copies, five rows each. Reading: 2 x 1000 x 5 x 200 = 2e6 FLOP at 2 x 1e6 x 0.5 a second = 2 s.
    # Writing: ceil(5 / 4) = 2 batches of 350 steps; a step reads 2000 + 4 x 32 x (200 + 175) = 50,000 bytes, 0.5 s at
    # 1e5 a second; 700 x 0.5 / (2 x 0.5) = 350 s.
    assert found["wall_s"] == 352.0
    assert found["gpus"] == 4
    assert found["gpu_hours"] == round(2 * 2 * 352 / 3600, 4)
    assert found["disk_bytes"] == 2 * 5 * 350 * 5  # rows of both copies x tokens x bytes a token
    assert found["memory_bytes_per_device"] == (2000 + 4 * 32 * 550) / 2


def test_a_text_is_350_tokens_or_the_limit() -> None:
    assert costs.generation(CATALOGUE, scale(1), "tiny", 1, 100)["disk_bytes"] == 100 * 5
    assert costs.generation(CATALOGUE, scale(1), "tiny", 1, 351)["disk_bytes"] == 350 * 5


def test_without_a_gpu_one_device_works_and_no_gpu_hour_is_spent() -> None:
    found = costs.generation(CATALOGUE, scale(0), "tiny", 4, 10)
    assert (found["gpus"], found["gpu_hours"]) == (0, 0.0)
    # reading 2 x 1000 x 4 x 200 at 5e5 = 3.2 s; 10 steps of (2000 + 4 x 32 x 205) / 1e5 = 0.2824 s, at half: 5.648 s
    assert found["wall_s"] == 8.8


PARAMS: dict[str, Any] = {
    "max_length_tokens": 2048, "epochs": 3, "gradient_checkpointing": False, "tokens_per_micro_batch": 5, "lora": None,
    "sharding": "none",
}  # fmt: skip


@pytest.mark.parametrize(
    ("gpus", "change", "wall_s", "memory"),
    [
        # 6 x 1000 x 10 rows x 500 tokens x 3 = 90e6 FLOP at 5e5 a second; 16,000 + 2000 of copies + 2 x 1920 + 400
        pytest.param(1, {}, 180.0, 22_240, id="one-gpu"),
        pytest.param(0, {}, 180.0, 22_240, id="no-gpu"),
        pytest.param(1, {"gradient_checkpointing": True}, 240.0, 20_480, id="recomputing"),
        pytest.param(1, {"max_length_tokens": 50}, 18.0, 22_240, id="short-rows"),
        pytest.param(1, {"epochs": 1}, 60.0, 22_240, id="one-epoch"),
        # 16,000 / 2 + 840 + 2 x 1440 + 400
        pytest.param(2, {"sharding": "fsdp"}, 90.0, 12_120, id="sharded"),
        # 4000 + 12 x 512 + 2000 + 3840 + 400; 4 passes of 6
        pytest.param(1, {"lora": {"rank": 2}}, 120.0, 16_384, id="lora"),
        pytest.param(1, {"tokens_per_micro_batch": 10}, 180.0, 16_000 + 2000 + 7680 + 800, id="more-in-flight"),
    ],
)
def test_tuning(gpus: int, change: dict[str, Any], wall_s: float, memory: int) -> None:
    found = costs.tuning(CATALOGUE, scale(gpus), "tiny", 10, PARAMS | change)
    disk = 4 * 512 if "lora" in change else 2000  # an adapter's weights in fp32, or the model's in bf16
    assert (found["wall_s"], found["memory_bytes_per_device"], found["disk_bytes"]) == (wall_s, memory, disk)
    assert found["gpu_hours"] == (round(wall_s * gpus / 3600, 4) if gpus else 0.0)


def test_a_model_takes_its_weights_in_the_engines_type() -> None:
    assert costs.storage(TINY, scale(1)) == {"disk_bytes": 4000}


def test_every_formula_and_assumption_is_printed() -> None:
    for words in ("prompt of 200 tokens", "ceil(rows / B)", "layers * T * hidden"):
        assert words in costs.FORMULA


def test_questions_to_a_server_cost_tokens_and_money_where_it_has_prices() -> None:
    free = Served(model="m", base_url="http://127.0.0.1:1/v1")
    priced = free.model_copy(update={"price_in": 10.0, "price_out": 30.0})
    assert costs.asking(free, 100, 2048) == {"asked_tokens": 100 * (900 + 350)}
    # 100 replies of 50 tokens: 90,000 x 10 + 5,000 x 30 millionths
    assert costs.asking(priced, 100, 50) == {"asked_tokens": 95_000, "money": 1.05}


def test_a_model_whose_sizes_are_not_known_has_no_cost() -> None:
    params = {"max_length_tokens": 9}
    assert costs.generation(CATALOGUE, scale(1), "my-folder", 1, 9) == costs.tuning(
        CATALOGUE, scale(1), "my-folder", 1, params
    )
    assert costs.tuning(CATALOGUE, scale(1), "my-folder", 1, params) == {}
