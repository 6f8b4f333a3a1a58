"""Not a test: validates a GPU scale's engines and training runs without a GPU; test_gpu_scales.py starts it.

    python gpu_scales.py FOLDER SCALE...

Prints one JSON line: for each scale the settings that vLLM and transformers derive from each configuration, or their
errors; and the same for one engine of the last scale, split over three GPUs.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}

from kit.catalogue.entries import Model
from kit.engines import EngineSettings
from kit.engines.vllm import arguments
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.training import params as sft_params
from kit.training.trainer import training_arguments


def config(name: str, model: Model) -> dict[str, Any]:
    """Return a config.json with the model's sizes; InternLM-2, Mistral and DeepSeek have Llama's layout."""
    qwen = name.startswith("qwen")
    packed: dict[str, Any] = {}
    if model.quantised:
        form = {"bits": model.quantised.bits, "group_size": model.quantised.group_size, "desc_act": False, "sym": True}
        packed = {"quantization_config": {"quant_method": model.quantised.method, **form}}
    return {
        **packed,
        "architectures": ["Qwen2ForCausalLM" if qwen else "LlamaForCausalLM"],
        "model_type": "qwen2" if qwen else "llama",
        "hidden_size": model.hidden,
        "intermediate_size": model.intermediate,
        "num_hidden_layers": model.layers,
        "num_attention_heads": model.heads,
        "num_key_value_heads": model.kv_heads,
        "vocab_size": model.vocab,
        "max_position_embeddings": model.context,
        "tie_word_embeddings": model.tied_embeddings,
        "dtype": "bfloat16",
    }


def engine(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that vLLM's own classes derive from the engine's arguments."""
    from vllm.config import ParallelConfig
    from vllm.engine.arg_utils import EngineArgs

    chosen = EngineSettings(**settings)
    parsed = EngineArgs(**arguments(folder, chosen), gpu_memory_utilization=chosen.gpu_memory_share)
    model = parsed.create_model_config()
    parallel = ParallelConfig(tensor_parallel_size=chosen.tensor_parallel, distributed_executor_backend="mp")
    model.verify_with_parallel_config(parallel)
    return {
        "max_model_len": model.max_model_len,
        "dtype": str(model.dtype),
        "quantization": str(model.quantization),
        "heads": model.get_num_attention_heads(parallel),
        "kv_heads": model.get_num_kv_heads(parallel),
    }


def training(folder: Path, params: dict[str, Any]) -> dict[str, Any]:
    """Return facts of a training in transformers: the model on the meta device, the Trainer's arguments."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    world = params.pop("world", 1)  # the launcher's
    parsed = sft_params.parse(params)
    made = training_arguments(parsed, world, folder, steps=10, cuda=False)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(
            AutoConfig.from_pretrained(folder, trust_remote_code=False), trust_remote_code=False
        )
    return {"parameters": model.num_parameters(), "bf16": made.bf16, "fsdp": bool(made.fsdp), "optim": str(made.optim)}


def main(scratch: Path, *scales: str) -> None:
    """Print what vLLM and transformers make of each scale."""
    found: dict[str, Any] = {}
    for scale in scales:
        plan, folder = plan_tables(["2"], scale), scratch / scale
        for name, model in plan.models.items():
            (folder / name).mkdir(parents=True)
            (folder / name / "config.json").write_text(json.dumps(config(name, model)))
        found[scale] = derived(plan, folder)
    job = next(job for job in plan.jobs.values() if "engine" in job.params)
    folder /= model_name(plan.jobs[job.inputs["model"]].id)
    found["split by three"] = attempt(engine, folder, job.params["engine"] | {"tensor_parallel": 3})
    print(json.dumps(found))


def derived(plan: Plan, scratch: Path) -> dict[str, Any]:
    """Return the settings of every engine and training of a plan."""
    found: dict[str, Any] = {"engines": {}, "training": {}}
    for job in plan.jobs.values():
        if "engine" in job.params:
            name = model_name(plan.jobs[job.inputs["model"]].id)
            key = f"{name} tp={job.params['engine']['tensor_parallel']}"
            if key not in found["engines"]:
                found["engines"][key] = attempt(engine, scratch / name, job.params["engine"])
        elif job.stage == "sft":
            name = model_name(plan.jobs[job.inputs["base"]].id)
            if name not in found["training"]:
                found["training"][name] = attempt(training, scratch / name, dict(job.params))
    return found


def model_name(job_id: str) -> str:
    """Return the model of a job's id: ``convert/NAME``, ``fetch/NAME``, or BASE of ``sft/SEEDS/EVOLVER/BASE/ROUND``."""
    parts = job_id.split("/")
    return parts[3] if parts[0] == "sft" else parts[1]


def attempt(check: Any, folder: Path, value: dict[str, Any]) -> dict[str, Any]:
    try:
        return check(folder, value)
    except Exception as error:
        return {"refused": f"{type(error).__name__}: {str(error)[:600]}"}


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
