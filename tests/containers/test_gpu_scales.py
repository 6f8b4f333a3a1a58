"""Scales that need GPUs, checked without one: by vLLM, transformers and the formulas of kit.plan.estimate."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.plan import estimate
from kit.plan.planning import plan_tables

DRIVER = Path(__file__).parent / "gpu_scales.py"
SCALES = ("one-gpu", "one-80gb", "paper")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Output of ``gpu_scales.py``, in one process of its own: vLLM reads its environment when it is imported."""
    folder = tmp_path_factory.mktemp("scales")
    command = [sys.executable, str(DRIVER), str(folder), *SCALES]
    done = subprocess.run(command, text=True, capture_output=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.real
@pytest.mark.parametrize("scale", SCALES)
def test_vllm_and_transformers_accept_every_configuration(scale: str, found: dict[str, Any]) -> None:
    plan, hardware = plan_tables(["2"], scale), Catalogue(manifests_folder()).scale(scale).hardware
    output = found[scale]
    assert output["engines"]
    for key, engine in output["engines"].items():
        assert "refused" not in engine, f"{key}: {engine}"
        name, _, shared = key.partition(" tp=")
        model, gpus = plan.models[name], int(shared)
        assert (engine["heads"], engine["kv_heads"]) == (model.heads // gpus, model.kv_heads // gpus)
        assert (model.heads % gpus, model.kv_heads % gpus, hardware.gpus % gpus) == (0, 0, 0)
        assert engine["max_model_len"] <= model.context
        assert engine["dtype"] == "torch.bfloat16"
        assert ("gptq" in engine["quantization"]) == (model.quantised is not None)
    assert output["training"]
    for name, run in output["training"].items():
        assert "refused" not in run, f"{name}: {run}"
        assert run["bf16"] is True
        assert run["fsdp"] == (hardware.gpus > 1)
        # The matrices that transformers makes of our sizes are those that the price was worked out for.
        assert run["parameters"] == pytest.approx(plan.models[name].parameters, rel=1e-4)


@pytest.mark.real
def test_vllm_refuses_a_model_that_can_not_be_split(found: dict[str, Any]) -> None:
    """Check that vLLM refuses one configuration: else its accepting the others would prove nothing."""
    assert "must be divisible by tensor parallel size" in found["split by three"]["refused"]


@pytest.mark.parametrize("scale", SCALES)
def test_weights_and_cache_fit_the_cards(scale: str) -> None:
    """Check ``(weights + cache of one text of max_model_len) / tensor_parallel`` against the engine's memory share."""
    plan, hardware = plan_tables(["2"], scale), Catalogue(manifests_folder()).scale(scale).hardware
    card = estimate.machine(hardware.machine)
    checked = 0
    for job in plan.jobs.values():
        if "memory_bytes_per_device" in job.resources:
            assert job.resources["memory_bytes_per_device"] <= estimate.MEMORY_SHARE * card.memory_bytes, job.id
        source = plan.jobs[job.inputs["model"]] if "engine" in job.params else None
        if source is None or source.stage == "sft":
            continue
        settings, model = job.params["engine"], plan.models[source.id.partition("/")[2]]
        cache = estimate.cache_bytes_per_token(model, settings["dtype"]) * settings["max_model_len"]
        needed = (estimate.weight_bytes(model, settings["dtype"]) + cache) / settings["tensor_parallel"]
        assert needed <= settings["gpu_memory_share"] * card.memory_bytes, job.id
        checked += 1
    assert checked
