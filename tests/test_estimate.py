"""Formulas of costs and memory, against arithmetic done by hand."""

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.entries import Model
from kit.errors import RequestError
from kit.plan.estimate import (
    MEMORY_SHARE,
    Machine,
    adapter_parameters,
    cache_bytes_per_token,
    generation,
    machine,
    parameters,
    training,
    weight_bytes,
)
from kit.plan.planning import plan_tables

CATALOGUE = Catalogue(manifests_folder())
GB = 10**9


def tiny(**changes: object) -> Model:
    """Return a model of 1,000 weights: 2 layers of width 8 with heads of 4, one of them with keys and values."""
    sizes = {
        "folder": "tiny",
        "parameters": 1000,
        "layers": 2,
        "hidden": 8,
        "intermediate": 16,
        "heads": 2,
        "kv_heads": 1,
        "vocab": 10,
        "context": 64,
        "licence": "none",
    }
    return Model.model_validate(sizes | changes)


def plain(**changes: object) -> Machine:
    """Return a machine whose figures are round numbers."""
    figures = {
        "flops": 1e6,
        "bandwidth": 1e5,
        "memory_bytes": 10_000,
        "dtype": "bfloat16",
        "training_utilisation": 0.5,
        "prefill_utilisation": 0.5,
        "decode_utilisation": 0.5,
        "batch": 4,
        "source": "made up",
    }
    return Machine.model_validate(figures | changes)


def test_cache_holds_keys_and_values_of_every_layer():
    # 2 (key, value) x 2 layers x 1 head x 4 numbers x 2 bytes
    assert cache_bytes_per_token(tiny(), "bfloat16") == 32
    assert cache_bytes_per_token(tiny(), "float32") == 64


def test_generation_by_hand():
    cost = generation(tiny(), 8, 5, 10, gpus=2, hardware=plain())
    # reading: 2 x 1000 x 8 x 5 = 80,000 FLOP at 2 x 1e6 x 0.5 a second = 0.08 s
    # writing: 8 / 4 = 2 batches of 10 steps. A step reads 2000 + 4 x 32 x (5 + 5) = 3280 bytes, 0.0328 s at 1e5 a
    #          second, and computes 2 x 1000 x 4 = 8000 FLOP, 0.008 s at 1e6; so 20 x 0.0328 / (2 x 0.5) = 0.656 s
    assert cost.wall_s == pytest.approx(0.08 + 0.656)
    assert cost.gpu_hours == pytest.approx(2 * 0.736 / 3600)
    assert cost.disk_bytes == 8 * 10 * 5
    # (2000 + 4 x 32 x 15) / 2
    assert cost.memory_bytes_per_gpu == 1960


def test_generation_is_bound_by_arithmetic_where_that_is_slower():
    cost = generation(tiny(), 4, 0, 10, gpus=1, hardware=plain(bandwidth=1e9))
    assert cost.wall_s == pytest.approx(10 * 8000 / (1e6 * 0.5))


def test_the_batch_is_as_large_as_memory_allows():
    # 0.9 x 3000 - 2000 = 700 bytes of room; a row of 10 tokens needs 320
    cost = generation(tiny(), 4, 0, 10, gpus=1, hardware=plain(memory_bytes=3000))
    assert cost.memory_bytes_per_gpu == 2000 + 2 * 320
    assert cost.fits(plain(memory_bytes=3000))


def test_a_model_that_is_too_large_does_not_fit():
    cost = generation(tiny(), 4, 0, 10, gpus=1, hardware=plain(memory_bytes=1000))
    assert cost.memory_bytes_per_gpu == 2000 + 320
    assert not cost.fits(plain(memory_bytes=1000))


def test_no_rows_cost_nothing():
    cost = generation(tiny(), 0, 5, 10, gpus=1, hardware=plain())
    assert (cost.wall_s, cost.disk_bytes) == (0, 0)


def test_training_by_hand():
    cost = training(tiny(), 6, 10, 3, gpus=2, checkpointing=True, hardware=plain(), tokens_per_micro_batch=5)
    # 6 x 1000 x 180 tokens x 4/3 = 1,440,000 FLOP at 2 x 1e6 x 0.5 a second
    assert cost.wall_s == pytest.approx(1.44)
    assert cost.gpu_hours == pytest.approx(2 * 1.44 / 3600)
    assert cost.disk_bytes == 2000
    # 16 x 1000 / 2 = 8000; the largest piece is a layer, (1000 - 2 x 80) / 2 = 420 weights = 840 bytes;
    # activations: 2 x 5 x 8 + 5 x (80 + 64) = 800 numbers = 1600 bytes; logits: 8 x 5 x 10 = 400
    assert cost.memory_bytes_per_gpu == 8000 + 840 + 1600 + 400


def test_training_without_checkpointing_is_quicker_and_keeps_more():
    cost = training(tiny(), 6, 10, 3, gpus=2, checkpointing=False, hardware=plain(), tokens_per_micro_batch=5)
    assert cost.wall_s == pytest.approx(1.08)
    # activations: 2 x 5 x (80 + 64) = 1440 numbers = 2880 bytes
    assert cost.memory_bytes_per_gpu == 8000 + 840 + 2880 + 400


def test_training_alone_under_autocast():
    cost = training(tiny(), 6, 10, 3, gpus=1, checkpointing=True, hardware=plain(), tokens_per_micro_batch=5)
    # 16 x 1000; a bf16 copy of every weight, 2 x 1000; activations: 2 x 5 x 8 + 5 x (16 x 8 + 4 x 16) = 1040 numbers
    assert cost.memory_bytes_per_gpu == 16_000 + 2000 + 2080 + 400
    # 8 x 1000 x 180 FLOP at 1e6 x 0.5 a second
    assert cost.wall_s == pytest.approx(2.88)


def test_training_in_float32_keeps_no_copies():
    hardware = plain(dtype="float32")
    cost = training(tiny(), 6, 10, 3, gpus=1, checkpointing=True, hardware=hardware, tokens_per_micro_batch=5)
    # the largest piece is 420 weights; activations as sharded, 800 numbers of 4 bytes
    assert cost.memory_bytes_per_gpu == 16_000 + 1680 + 3200 + 400


def test_two_devices_without_sharding_hold_a_model_each():
    cost = training(
        tiny(), 6, 10, 3, gpus=2, checkpointing=True, hardware=plain(), tokens_per_micro_batch=5, sharded=False
    )
    assert cost.memory_bytes_per_gpu == 16_000 + 2000 + 2080 + 400
    assert cost.wall_s == pytest.approx(1.44)


def test_an_adapter_by_hand():
    # A layer's linears: q and o 8 + 8, k and v 8 + 4, three of 8 + 16; 2 layers, rank 2
    assert adapter_parameters(tiny(), 2) == 2 * 2 * (2 * 16 + 2 * 12 + 3 * 24) == 512
    asked = {"gpus": 1, "hardware": plain(), "tokens_per_micro_batch": 5, "lora_rank": 2}
    recomputed = training(tiny(), 6, 10, 3, checkpointing=True, **asked)
    # Frozen weights are cast layer by layer: no copy of all, one of the largest piece.
    assert recomputed.memory_bytes_per_gpu == 4000 + 12 * 512 + 840 + 2080 + 400
    assert recomputed.wall_s == pytest.approx(6 * 1000 * 180 / 5e5)
    kept = training(tiny(), 6, 10, 3, checkpointing=False, **asked)
    # The backward pass needs the bf16 weights: they are kept. 2 x 5 x (128 + 64) numbers of activations
    assert kept.memory_bytes_per_gpu == 4000 + 12 * 512 + 2000 + 3840 + 400
    assert kept.wall_s == pytest.approx(4 * 1000 * 180 / 5e5)


def test_the_parameters_of_a_layout_by_hand():
    # 2 layers of 2 x 64 + 2 x 8 x 4 + 3 x 8 x 16 + 2 x 8 = 592; embeddings and head 2 x 80; the last norm 8
    assert parameters(tiny()) == 2 * 592 + 160 + 8
    assert parameters(tiny(tied_embeddings=True)) == 2 * 592 + 80 + 8
    # biases of queries 8, of keys and values 4 each
    assert parameters(tiny(), qkv_bias=True) == 2 * (592 + 16) + 160 + 8


# Peaks of docs/gpu.md, bytes: packed, micro-batches of 4,096 tokens at most, on one H100.
@pytest.mark.parametrize(
    ("name", "asked", "measured"),
    [
        pytest.param("llama-3.2-3b", {"checkpointing": True}, 60_213_898_752, id="full"),
        pytest.param("llama-3.2-3b", {"checkpointing": False}, 80_776_075_264, id="nothing-recomputed"),
        pytest.param("llama-3.2-3b", {"checkpointing": True, "sharded": True}, 57_250_243_072, id="fsdp"),
        pytest.param("qwen-2.5-7b", {"checkpointing": True, "lora_rank": 8}, 38_766_109_184, id="lora"),
    ],
)
def test_the_memory_formula_gives_back_what_an_h100_took(name: str, asked: dict[str, object], measured: int):
    cost = training(CATALOGUE.models[name], 1, 1, 1, gpus=1, hardware=machine("h100-80gb"), **asked)
    assert cost.memory_bytes_per_gpu == pytest.approx(measured, rel=0.06)


@pytest.mark.parametrize("name", ["llama-3.1-70b-instruct", "qwen-2-72b-instruct", "qwen-2.5-72b-instruct"])
def test_the_large_models_fit_eight_gpus_and_not_one(name: str):
    model, a100 = CATALOGUE.models[name], machine("a100-80gb")
    # 2 x 80 layers x 8 heads x 128 numbers x 2 bytes = 327,680 bytes a token; 256 rows of 4,096 tokens = 343.6 GB
    assert cache_bytes_per_token(model, "bfloat16") == 327_680
    cost = generation(model, 50_000, 2048, 2048, gpus=8, hardware=a100)
    assert cost.memory_bytes_per_gpu * 8 == pytest.approx(2 * model.parameters + 256 * 4096 * 327_680, abs=8)
    assert cost.fits(a100)
    assert not generation(model, 50_000, 2048, 2048, gpus=1, hardware=a100).fits(a100)


def test_72b_by_hand():
    model = CATALOGUE.models["qwen-2.5-72b-instruct"]
    assert weight_bytes(model, "bfloat16") == 145_412_407_296
    # (145.4 + 343.6) GB / 8
    cost = generation(model, 50_000, 2048, 2048, gpus=8, hardware=machine("a100-80gb"))
    assert cost.memory_bytes_per_gpu / GB == pytest.approx(61.1, abs=0.1)


@pytest.mark.parametrize(
    ("scale", "hardware"),
    [("paper", "a100-80gb"), ("one-80gb", "h100-80gb"), ("one-gpu", "rtx-4090"), ("mini", "cpu-2-cores")],
)
def test_every_base_of_a_scale_can_be_trained_on_its_machine(scale: str, hardware: str):
    room = MEMORY_SHARE * machine(hardware).memory_bytes
    tuned = [job for job in plan_tables(["all"], scale).jobs.values() if job.stage == "sft"]
    needs = {job.id: job.resources["memory_bytes_per_device"] for job in tuned}
    assert len(needs) == len(tuned) > 50
    assert {id: need for id, need in needs.items() if need > room} == {}


def test_the_cpu_formulas_give_back_what_was_measured():
    cpu, model = machine("cpu-2-cores"), CATALOGUE.models["smollm2-135m-instruct"]
    assert 64 * 100 / generation(model, 64, 0, 100, gpus=1, hardware=cpu).wall_s == pytest.approx(140, rel=0.05)
    assert 345 / generation(model, 1, 345, 0, gpus=1, hardware=cpu).wall_s == pytest.approx(345, rel=0.05)
    trained = training(model, 8, 256, 1, gpus=1, checkpointing=False, hardware=cpu)
    assert 8 * 256 / trained.wall_s == pytest.approx(115, rel=0.05)


def test_an_unknown_machine_is_named():
    with pytest.raises(RequestError) as error:
        machine("a100-80g")
    assert str(error.value) == "hardware.toml: no machine named 'a100-80g'; did you mean 'a100-80gb'?"
