"""Expected cost of a job: the formulas of :mod:`kit.plan.estimate`, with the sizes of one plan.

Lengths of texts are not known before the texts are written. Assumed are a prompt of 200 tokens, a text of 350 tokens or
the limit if that is less, and a training row of 500 tokens or the longest length allowed if that is less. A question to
a judge that a server answers for has 900 tokens: it holds one or two texts, and says what to look for. A model that
scores rows reads 850 tokens of each: the row, and its answer once more.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from kit.catalogue import Catalogue
from kit.catalogue.entries import Model
from kit.catalogue.scales import Scale
from kit.catalogue.served import Served
from kit.plan import estimate

PROMPT_TOKENS = 200
TEXT_TOKENS = 350
ROW_TOKENS = 500
QUESTION_TOKENS = 900
FORMULA = f"{__doc__}\n{estimate.generation.__doc__}\n{estimate.training.__doc__}"
"""All formulas and assumptions as a text for people."""


def generation(
    catalogue: Catalogue, scale: Scale, name: str, rows: int, max_tokens: int, *, prompt_tokens: int = PROMPT_TOKENS
) -> dict[str, Any]:
    """Return the cost of a job in which a model writes one text a row, on as many copies as the devices hold.

    It is empty for a model of the user's whose sizes are not known.
    """
    if name not in catalogue.models:
        return {}
    model, share = catalogue.model(name, "cast"), scale.tensor_parallel.get(name, 1)
    machine = _machine(scale.hardware.machine)
    copies = max(1, scale.hardware.gpus // share)
    cost = estimate.generation(
        model, -(-rows // copies), prompt_tokens, min(TEXT_TOKENS, max_tokens), gpus=share, hardware=machine
    )
    return _resources(scale, cost, copies)


def scoring(catalogue: Catalogue, scale: Scale, name: str, rows: int) -> dict[str, Any]:
    """Return the cost of a job in which a model reads each row twice: the whole of it, and its answer alone."""
    return generation(catalogue, scale, name, rows, 1, prompt_tokens=ROW_TOKENS + TEXT_TOKENS)


def tuning(catalogue: Catalogue, scale: Scale, name: str, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cost of a job that tunes one base model on all of the scale's devices; empty as for generation."""
    if name not in catalogue.models:
        return {}
    cost = estimate.training(
        catalogue.model(name, "cast"),
        rows,
        min(ROW_TOKENS, params["max_length_tokens"]),
        params["epochs"],
        gpus=max(1, scale.hardware.gpus),
        checkpointing=params["gradient_checkpointing"],
        hardware=_machine(scale.hardware.machine),
        tokens_per_micro_batch=params["tokens_per_micro_batch"],
        lora_rank=params["lora"]["rank"] if params["lora"] else None,
        sharded=params["sharding"] == "fsdp",
    )
    return _resources(scale, cost, 1)


def asking(server: Served, rows: int, max_tokens: int) -> dict[str, Any]:
    """Return the cost of a job that asks a server so many questions: tokens, and money where the server has prices."""
    read, written = rows * QUESTION_TOKENS, rows * min(TEXT_TOKENS, max_tokens)
    found: dict[str, Any] = {"asked_tokens": read + written}
    if server.price_in is not None and server.price_out is not None:
        found["money"] = round((read * server.price_in + written * server.price_out) / 1e6, 4)
    return found


def storage(model: Model, scale: Scale) -> dict[str, Any]:
    """Return the disk space that a model's folder takes in the store."""
    return {"disk_bytes": estimate.weight_bytes(model, scale.engine.dtype)}


@lru_cache(maxsize=4)
def _machine(name: str) -> estimate.Machine:
    """Return the figures of a machine, which are read once."""
    return estimate.machine(name)


def _resources(scale: Scale, cost: estimate.Cost, copies: int) -> dict[str, Any]:
    """Return the cost as the ``resources`` of a job, for all copies of its model."""
    on_gpu = scale.hardware.gpus > 0
    return {
        "gpus": scale.hardware.gpus,
        "gpu_hours": round(cost.gpu_hours * copies, 4) if on_gpu else 0.0,
        "wall_s": round(cost.wall_s, 1),
        "disk_bytes": cost.disk_bytes * copies,
        "memory_bytes_per_device": cost.memory_bytes_per_gpu,
    }
