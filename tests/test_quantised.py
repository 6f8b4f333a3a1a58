"""Models of quantised weights: their size, what they may play, and the scale that one card of 80 GB holds with them."""

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.scales import Scale
from kit.engines import EngineSettings, vllm
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.estimate import generation, machine, weight_bytes
from kit.plan.planner import make_plan
from kit.plan.planning import locks, plan_manifest, plan_tables
from tests.test_estimate import plain, tiny

CATALOGUE = Catalogue(manifests_folder())
FOUR_BITS = {"method": "gptq", "bits": 4, "group_size": 8}
GB = 10**9


def test_the_size_of_quantised_weights_by_hand():
    # The matrices of a layer: 2 x 8 x 8 + 2 x 8 x 4 + 3 x 8 x 16 = 576; 2 layers: 1,152, of the model's 1,300 weights.
    # Each weight 4 bits, each group of 8 a scale of 16 and a zero point of 4: 6.5 bits a weight, 936 bytes
    model = tiny(parameters=1300, quantised=FOUR_BITS)
    assert weight_bytes(model, "bfloat16") == 936 + 2 * 148
    assert weight_bytes(model, "float32") == 936 + 2 * 148
    # 8 bits: 8 + (16 + 8) / 8 = 11 bits
    assert weight_bytes(tiny(parameters=1300, quantised=FOUR_BITS | {"bits": 8}), "bfloat16") == 1584 + 2 * 148


# name -> GB of the files of weights, as the hub's pages list them
PUBLISHED = {
    # Qwen/Qwen2-72B-Instruct-GPTQ-Int4: eleven files; the last one's size is that of a copy (Enfint's)
    "qwen-2-72b-instruct-gptq-int4": 3.94 + 3.92 + 4 + 4 + 3.92 + 4 + 4 + 3.92 + 4 + 3.46 + 2.49,
    # the same layout in one file: shuyuej/Meta-Llama-3.1-70B-GPTQ
    "llama-3.1-70b-instruct-gptq-int4": 39.8,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_size_is_that_of_the_published_files(name: str):
    assert weight_bytes(CATALOGUE.models[name], "bfloat16") / GB == pytest.approx(PUBLISHED[name], rel=0.003)


def test_texts_of_a_quantised_model_by_hand():
    model = tiny(parameters=1300, quantised=FOUR_BITS)
    cost = generation(model, 4, 0, 10, gpus=1, hardware=plain(batch=4))
    # 1,232 bytes of weights and 4 x 32 x 5 of cache at 1e5 x 0.5 a second, ten steps;
    # computing takes less, 2 x 1300 x 4 / 1e6
    assert cost.wall_s == pytest.approx(10 * (1232 + 640) / 1e5 / 0.5)
    assert cost.memory_bytes_per_gpu == 1232 + 4 * 32 * 10


@pytest.mark.parametrize("name", ["qwen-2-72b-instruct-gptq-int4", "llama-3.1-70b-instruct-gptq-int4"])
def test_a_72b_of_4_bits_fits_one_card_with_texts_beside_it(name: str):
    card = machine("h100-80gb")
    assert generation(CATALOGUE.models[name], 10_000, 512, 512, gpus=1, hardware=card).fits(card)
    plain_name = name.removesuffix("-gptq-int4")
    assert not generation(CATALOGUE.models[plain_name], 1, 512, 512, gpus=1, hardware=card).fits(card)


REFUSED_MODELS: dict[str, tuple[dict[str, Any], str]] = {
    "of a stack": (
        {"folder": None, "stack": {"model": "a", "layers": ["0-1"]}},
        "quantised goes with hub or folder; weights of other sources are made plain",
    ),
    "an embedder": (
        {"kind": "embedder"},
        "quantised goes with kind = 'generator', found 'embedder'; vLLM alone reads such weights",
    ),
    "sizes that no group fits": (
        {"quantised": FOUR_BITS | {"group_size": 3}},
        "quantised.group_size = 3: wanted a divisor of hidden = 8 and of intermediate = 16; config.json has the padded "
        "size",
    ),
}


@pytest.mark.parametrize("changes, message", REFUSED_MODELS.values(), ids=list(REFUSED_MODELS))
def test_entries_that_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValidationError) as error:
        tiny(**({"quantised": FOUR_BITS} | changes))
    assert error.value.errors()[0]["msg"] == f"Value error, {message}"


def planned(table: str, **changes: Any) -> Plan:
    scale = CATALOGUE.scale("one-80gb")
    document = scale.model_dump(by_alias=True, exclude_unset=True)
    for name, value in changes.items():
        document[name] = {**document[name], **value}
    found = Scale.model_validate(document)
    return make_plan(CATALOGUE, {table: CATALOGUE.table(table)}, found, "one-80gb", locks())


LARGE = "qwen-2-72b-instruct-gptq-int4"
FORM = "gptq, 4 bits in groups of 128"
REFUSED_PLANS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a base that is quantised": (
        "table-2",
        {"cast": {"llama-3.2-3b": LARGE}},
        f"one-80gb.toml: {LARGE} is to be tuned, and its weights are quantised ({FORM}); wanted a model of 16- "
        "or 32-bit floats: let another one play the base",
    ),
    "another engine": (
        "table-2",
        {"engine": {"name": "transformers"}},
        f"one-80gb.toml: {LARGE}'s weights are quantised ({FORM}), and the engine is 'transformers'; wanted "
        "engine.name = 'vllm', which alone reads them",
    ),
    "in fp32": (
        "table-2",
        {"engine": {"dtype": "float32"}},
        f"one-80gb.toml: {LARGE}'s weights are quantised ({FORM}), and the engine computes in float32; wanted "
        "engine.dtype = 'bfloat16': vLLM multiplies such weights by 16-bit numbers",
    ),
    "tuning without an adapter's sizes": (
        "table-2",
        {"tuning": {"llama-3-8b": {"tuning": "lora"}}},
        "one-80gb.toml: tuning.llama-3-8b: tuning = 'lora' and the table lora belong together",
    ),
    "tuning of a base that nobody plays": (
        "table-2",
        {"tuning": {"llama-3-8": {"epochs": 1}}},
        "one-80gb.toml: tuning: no player for the model named 'llama-3-8'; did you mean 'llama-3-8b'?",
    ),
}


@pytest.mark.parametrize("table, changes, message", REFUSED_PLANS.values(), ids=list(REFUSED_PLANS))
def test_plans_that_are_refused(table: str, changes: dict[str, Any], message: str):
    with pytest.raises(RequestError) as error:
        planned(table, **changes)
    assert str(error.value) == message


def test_a_quantised_model_scores_no_rows():
    changes = {"cast": {"llama-3.2-3b": LARGE, "llama-3-8b": LARGE, "llama-3.1-8b": LARGE}}
    with pytest.raises(RequestError) as error:
        planned("table-15", **changes)
    assert str(error.value) == (
        f"one-80gb.toml: {LARGE} is to score rows, which transformers does, and its weights are quantised ({FORM}); "
        "wanted a model of 16- or 32-bit floats: let another one play the scorer"
    )


def test_table_2_is_the_papers_but_for_adapters_and_4_bits():
    plan, paper = plan_tables(["2"], "one-80gb"), plan_tables(["2"], "paper")
    tuned = {job.id.split("/")[3]: job for job in plan.jobs.values() if job.stage == "sft"}
    assert {name for name, job in tuned.items() if job.params["tuning"] == "full"} == {"llama-3.2-3b"}
    assert tuned["llama-3.2-3b"].params["epochs"] == 3
    for name in ("mistral-7b-v0.3", "deepseek-7b", "llama-3-8b", "llama-3.1-8b", "internlm-2-7b"):
        found = tuned[name].params
        chosen = (found["lora"], found["learning_rate"], found["epochs"], found["save"], found["global_batch_size"])
        assert chosen == ({"rank": 8, "alpha": 8, "dropout": 0.0}, 5e-5, 1, "adapter", 64)
    answers = [job for job in plan.jobs.values() if job.stage == "answer"]
    assert sum("adapter" in job.inputs for job in answers) == 5 * 2 * 5  # bases, evolvers, benchmarks
    # what is evolved and asked is the paper's: as many rows, the same prompts, sampling and benchmarks
    names = ("rows", "prompts", "prompts_hash", "sampling", "round", "breadth", "benchmark", "protocol")
    for stage in ("evolve", "respond", "answer", "grade"):
        ours, theirs = (
            sorted(str([job.params.get(name) for name in names]) for job in one.jobs.values() if job.stage == stage)
            for one in (plan, paper)
        )
        assert ours == theirs
    assert [len(one.cells["table-2"]) for one in (plan, paper)] == [2 * 6 * 8] * 2


@pytest.mark.parametrize("packing, swapped", [({}, True), ({"quantization_config": {"quant_method": "gptq"}}, False)])
def test_an_open_engine_takes_no_quantised_weights(
    packing: dict[str, Any], swapped: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # Qwen-2 and Qwen-2.5 72B have one shape: the second's packed weights would be read into the first's, rearranged
    calls = []
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"hidden_size": 8, **packing}), encoding="utf-8")
    llm = SimpleNamespace(collective_rpc=lambda name, **_: calls.append(name))
    settings = EngineSettings(dtype="bfloat16", max_model_len=64)
    monkeypatch.setattr(vllm, "load_chat", lambda model, *_, **__: SimpleNamespace(model=model, max_model_len=64))
    chat: Any = SimpleNamespace(model=folders[0], max_model_len=64)
    engine = vllm.VllmEngine(chat=chat, llm=llm, settings=settings, fingerprint={"device": "cuda"}, had_group=False)
    assert engine.swap(folders[1]) is swapped
    assert calls == ["reload_weights"] * swapped


def test_other_scales_tune_as_the_experiments_say():
    full = [job.params["tuning"] for job in plan_tables(["2"], "paper").jobs.values() if job.stage == "sft"]
    assert full == ["full"] * 36


def test_the_price_is_that_of_the_manifests_first_lines():
    text = (manifests_folder() / "scales" / "one-80gb.toml").read_text(encoding="utf-8")
    found = re.search(r"about (\d+) H100 GPU-hours on 1 x 80 GB \((\d+) on an A100\), (\d+) GB of disk", text)
    assert found is not None
    hours, a100_hours, disk_gb = map(int, found.groups())
    jobs = planned("table-2").jobs.values()
    assert sum(job.resources.get("gpu_hours", 0) for job in jobs) == pytest.approx(hours, abs=1)
    assert sum(job.resources.get("disk_bytes", 0) for job in jobs) / GB == pytest.approx(disk_gb, rel=0.05)
    jobs = planned("table-2", hardware={"machine": "a100-80gb"}).jobs.values()
    assert sum(job.resources.get("gpu_hours", 0) for job in jobs) == pytest.approx(a100_hours, abs=1)


def test_a_users_experiment_is_told_what_the_scale_changes(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE, encoding="utf-8")
    plan = plan_manifest(path)
    (tuned,) = (job for job in plan.jobs.values() if job.stage == "sft")
    found = tuned.params
    assert (found["tuning"], found["learning_rate"], found["warmup_ratio"]) == ("lora", 5e-5, 0.5)
    changed = "tuning, learning_rate, epochs, lora"
    assert f"sft of llama-3-8b: scale one-80gb has its own {changed}, whatever the experiment says" in plan.notes


MINE = """
schema = 1
title = "mine"
scale = "one-80gb"

[[experiment]]
id = "one"
seeds = "gsm8k-train"
base = "llama-3-8b"
round = 0
seed = 42
benchmarks = ["gsm8k"]

[experiment.sft]
learning_rate = 2e-5
epochs = 2
global_batch_size = 4
warmup_ratio = 0.5
max_length_tokens = 256
"""
