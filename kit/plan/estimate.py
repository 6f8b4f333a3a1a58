"""Estimates of GPU-hours, disk and memory before a run starts, from a model's sizes and a machine's figures.

They tell the price of a run and whether it fits a machine; no number of a result comes from here. Every function is
pure except :func:`machine`, which reads ``manifests/hardware.toml``, where machines have their figures and sources.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from kit.catalogue import look_up, manifests_folder
from kit.catalogue.entries import Model
from kit.reading.documents import Strict, read

SECONDS_PER_HOUR = 3600.0
BYTES_PER_NUMBER = {"bfloat16": 2, "float32": 4}
WEIGHT_BYTES = 4
"""Bytes of a weight while a model is trained, in fp32, whether it is trained or frozen."""
TRAINED_BYTES = 12
"""Further bytes of a trained weight: gradient 4, AdamW's two moments 8, in fp32: Rajbhandari et al. 2020 (arXiv
1910.02054), section 3.1."""
SCALE_BITS = 16
"""Bits of the scale of a group of quantised weights: GPTQ and AWQ keep it in fp16."""
MEMORY_SHARE = 0.9
"""Part of a device's memory that a job may use; driver and framework need the rest."""
TEXT_BYTES_PER_TOKEN = 5
"""Assumed bytes of a token of English or code in UTF-8, with its share of a JSON row."""


class Machine(Strict):
    """One kind of device: its speed and memory, and the parts of its speed that a run is assumed to reach."""

    flops: float = Field(gt=0)
    """Floating-point operations per second in dense matrix products of ``dtype``."""
    bandwidth: float = Field(gt=0)
    """Memory bandwidth, bytes per second."""
    memory_bytes: int = Field(gt=0)
    """Memory of one device, bytes."""
    dtype: Literal["bfloat16", "float32"]
    """Number format of weights and cache while text is computed."""
    training_utilisation: float = Field(gt=0, le=1)
    """Part of ``flops`` that training reaches."""
    prefill_utilisation: float = Field(gt=0, le=1)
    """Part of ``flops`` that reading prompts reaches."""
    decode_utilisation: float = Field(gt=0, le=1)
    """Part of ``bandwidth``, and of ``flops``, that writing tokens reaches."""
    batch: int = Field(gt=0)
    """Number of rows for which text is written at the same time."""
    source: str
    """Source of the figures."""


class MachinesFile(Strict):
    """The file ``manifests/hardware.toml``: every machine by name."""

    schema_: int = Field(alias="schema")
    machines: dict[str, Machine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Estimated cost of one job: time, disk and memory."""

    gpu_hours: float
    """Devices times hours; a CPU counts as one device."""
    wall_s: float
    disk_bytes: int
    """Bytes that the job's artifact takes in the store."""
    memory_bytes_per_gpu: int
    """Largest use of one device's memory, bytes."""

    def fits(self, hardware: Machine) -> bool:
        """Return whether the job's memory fits into nine tenths of one device's memory."""
        return self.memory_bytes_per_gpu <= MEMORY_SHARE * hardware.memory_bytes


def machine(name: str, folder: Path | None = None) -> Machine:
    """Return a machine of ``manifests/hardware.toml`` by name.

    Raises:
        RequestError: no machine has this name, or the file does not have the right form.
    """
    path = (folder or manifests_folder()) / "hardware.toml"
    return look_up(read(MachinesFile, path).machines, name, path.name, "machine")


def parameters(model: Model, *, qkv_bias: bool = False) -> int:
    """Return the number of weights of a decoder in the Llama layout, from its sizes; each matrix counts once.

    With head = hidden / heads and kv = kv_heads * head, one layer has ``2 * hidden^2 + 2 * hidden * kv`` (attention)
    ``+ 3 * hidden * intermediate`` (gated feed-forward) ``+ 2 * hidden`` (norms), and ``hidden + 2 * kv`` more where
    queries, keys and values have biases (Qwen). Added to the layers are ``vocab * hidden`` twice (once where the
    embeddings are tied) and the last norm, ``hidden``. A reward model has ``hidden`` weights in the place of the
    output matrix; an embedder, see :func:`encoder_parameters`.
    """
    if model.kind == "embedder":
        return encoder_parameters(model)
    hidden, kv = model.hidden, model.kv_heads * (model.hidden // model.heads)
    layer = 2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * model.intermediate + 2 * hidden
    if qkv_bias:
        layer += hidden + 2 * kv
    embeddings = model.vocab * hidden * (1 if model.tied_embeddings else 2)
    if model.kind == "reward model":
        embeddings = model.vocab * hidden + hidden
    return model.layers * layer + embeddings + hidden


def encoder_parameters(model: Model) -> int:
    """Return the number of weights of an encoder in MPNet's layout.

    One layer has ``4 * (hidden^2 + hidden)`` (attention) ``+ 2 * hidden * intermediate + intermediate + hidden``
    (feed-forward) ``+ 4 * hidden`` (norms). Added are ``(vocab + context + 2) * hidden`` (tokens and positions),
    ``2 * hidden`` (a norm), ``32 * heads`` (relative positions), and ``hidden^2 + hidden`` for a layer behind the last
    hidden states.
    """
    hidden, intermediate = model.hidden, model.intermediate
    square = hidden * hidden + hidden
    layer = 4 * square + 2 * hidden * intermediate + intermediate + hidden + 4 * hidden
    first = (model.vocab + model.context + 2) * hidden + 2 * hidden + 32 * model.heads
    return model.layers * layer + first + square


def adapter_parameters(model: Model, rank: int) -> int:
    """Return the number of weights of a LoRA adapter: ``rank * (inputs + outputs)`` of each matrix, seven a layer."""
    hidden, kv = model.hidden, model.kv_heads * (model.hidden // model.heads)
    attention = 2 * (hidden + hidden) + 2 * (hidden + kv)
    return model.layers * rank * (attention + 3 * (hidden + model.intermediate))


def weight_bytes(model: Model, dtype: str) -> int:
    """Return the size of the weights on disk or in memory: ``parameters * bytes of one number``.

    Quantised are the matrices of the layers alone, ``2 * hidden^2 + 2 * hidden * kv + 3 * hidden * intermediate`` in
    each. A weight of them takes its bits, and a group of ``group_size`` weights a scale of 16 bits and a zero point of
    a weight's bits: of 4 bits in groups of 128, 0.52 bytes a weight. All others take two bytes, whatever ``dtype`` is.
    """
    if model.quantised is None:
        return model.parameters * BYTES_PER_NUMBER[dtype]
    bits, group = model.quantised.bits, model.quantised.group_size
    matrices = layer_matrices(model)
    return math.ceil(matrices * (bits + (SCALE_BITS + bits) / group) / 8) + 2 * (model.parameters - matrices)


def layer_matrices(model: Model) -> int:
    """Return the number of weights in the matrices of all layers, without biases and norms."""
    hidden, kv = model.hidden, model.kv_heads * (model.hidden // model.heads)
    return model.layers * (2 * hidden * hidden + 2 * hidden * kv + 3 * hidden * model.intermediate)


def cache_bytes_per_token(model: Model, dtype: str) -> int:
    """Return the bytes of one token's keys and values: ``2 * layers * kv_heads * head * bytes of one number``."""
    return 2 * model.layers * model.kv_heads * (model.hidden // model.heads) * BYTES_PER_NUMBER[dtype]


def generation(
    model: Model, rows: int, prompt_tokens: float, new_tokens: float, *, gpus: int, hardware: Machine
) -> Cost:
    """Estimate the cost of text: one model on ``gpus`` devices reads ``rows`` prompts and writes a text to each.

    With P weights in W bytes, and B rows at the same time (``batch``, or fewer if there are fewer rows or if nine
    tenths of the memory hold fewer):

    - reading takes ``2 * P * rows * prompt_tokens / (gpus * flops * prefill_utilisation)``;
    - writing takes ``ceil(rows / B) * new_tokens`` steps. A step reads every weight and the cache of B half-written
      rows, ``W + B * cache * (prompt_tokens + new_tokens / 2)`` bytes at ``gpus * bandwidth * decode_utilisation``, and
      computes ``2 * P * B`` at ``gpus * flops * decode_utilisation``; the slower of the two counts;
    - memory per device is ``(W + B * cache * (prompt_tokens + new_tokens)) / gpus``, for B full rows (at least one row,
      so a model that is too large is seen not to fit);
    - disk is five bytes a token written.

    Quantised weights are read in their own size, and computed with as others are: the time that it takes to widen them
    is left out, as are the start of an engine and communication between devices. Copies of the model that share the
    rows (data parallel) cost the same GPU-hours: call this with ``rows / copies`` and multiply.

    Args:
        model: the model that writes.
        rows: number of texts.
        prompt_tokens: mean length of a prompt, tokens.
        new_tokens: mean length of a text, tokens.
        gpus: number of devices over which one copy of the model is split.
        hardware: the kind of device.
    """
    weights = weight_bytes(model, hardware.dtype)
    cache = cache_bytes_per_token(model, hardware.dtype)
    cache_memory = MEMORY_SHARE * gpus * hardware.memory_bytes - weights
    batch = max(1, min(hardware.batch, rows, int(cache_memory // (cache * (prompt_tokens + new_tokens)))))
    read_s = 2 * model.parameters * rows * prompt_tokens / (gpus * hardware.flops * hardware.prefill_utilisation)
    step_bytes = weights + batch * cache * (prompt_tokens + new_tokens / 2)
    step_s = max(step_bytes / hardware.bandwidth, 2 * model.parameters * batch / hardware.flops)
    steps = math.ceil(rows / batch) * new_tokens
    wall_s = read_s + steps * step_s / (gpus * hardware.decode_utilisation)
    return Cost(
        gpu_hours=gpus * wall_s / SECONDS_PER_HOUR,
        wall_s=wall_s,
        disk_bytes=round(rows * new_tokens * TEXT_BYTES_PER_TOKEN),
        memory_bytes_per_gpu=math.ceil((weights + batch * cache * (prompt_tokens + new_tokens)) / gpus),
    )


def training(
    model: Model,
    rows: int,
    tokens_per_row: float,
    epochs: int,
    *,
    gpus: int,
    checkpointing: bool,
    hardware: Machine,
    tokens_per_micro_batch: int = 4096,
    lora_rank: int | None = None,
    sharded: bool | None = None,
) -> Cost:
    """Estimate the cost of fine-tuning with AdamW: full or LoRA, on one device or sharded (FSDP, ZeRO stage 3).

    With P weights, A of them trained (all, or the adapter's), and T = tokens_per_micro_batch:

    - time is ``6 * P * tokens / (gpus * flops * training_utilisation)`` for ``rows * tokens_per_row * epochs`` tokens:
      2 forward, 2 back to the inputs, 2 to the weights. An adapter leaves out the last 2, ``checkpointing`` adds a
      second 2 forward;
    - memory per device is ``(4 * P + 12 * A) / gpus`` (fp32 weights; gradients and two moments of what is trained),
      plus bf16 copies, plus activations, plus ``8 * T * vocab`` for the fp32 logits and their gradient;
    - bf16 copies are, where the model is sharded, those of the largest piece that is gathered whole (a layer or the
      embeddings); where autocast makes and keeps them, those of every weight, ``2 * P``: this is not the case for the
      frozen weights of an adapter's base with checkpointing;
    - activations are, with checkpointing, a layer's input for each layer, ``layers * T * hidden``, and one layer in
      full; without it, every layer in full. A layer in full is ``T * (10 * hidden + 4 * intermediate)`` numbers; under
      autocast, which keeps fp32 beside bf16, ``T * (16 * hidden + 4 * intermediate)``;
    - disk is the tuned model in the machine's dtype, ``P * bytes of one number``; an adapter is saved alone, in fp32.

    The peaks of five runs on an H100 were 0.95 to 1.00 of this (docs/gpu.md).

    Args:
        model: the base model.
        rows: number of pairs to train on.
        tokens_per_row: mean length of prompt and response together, tokens.
        epochs: number of times that each row is trained on.
        gpus: number of devices that share the job.
        checkpointing: whether activations are dropped and computed again.
        hardware: the kind of device.
        tokens_per_micro_batch: tokens that one device processes at once.
        lora_rank: rank of the adapter that is trained; None for full fine-tuning.
        sharded: whether weights, gradients and moments are split over the devices; None: if there are several.
    """
    number = BYTES_PER_NUMBER[hardware.dtype]
    sharded = gpus > 1 if sharded is None else sharded
    passes = 2 + (lora_rank is None) + checkpointing
    flops = 2 * passes * model.parameters * rows * tokens_per_row * epochs
    wall_s = flops / (gpus * hardware.flops * hardware.training_utilisation)
    trained = model.parameters if lora_rank is None else adapter_parameters(model, lora_rank)
    autocast = hardware.dtype == "bfloat16" and not sharded
    copied = autocast and (lora_rank is None or not checkpointing)
    memory = (WEIGHT_BYTES * model.parameters + TRAINED_BYTES * trained) / (gpus if sharded else 1)
    memory += number * (model.parameters if copied else _largest_piece(model))
    memory += number * _activations(model, tokens_per_micro_batch, checkpointing, autocast)
    memory += 8 * tokens_per_micro_batch * model.vocab
    return Cost(
        gpu_hours=gpus * wall_s / SECONDS_PER_HOUR,
        wall_s=wall_s,
        disk_bytes=weight_bytes(model, hardware.dtype) if lora_rank is None else WEIGHT_BYTES * trained,
        memory_bytes_per_gpu=math.ceil(memory),
    )


def _largest_piece(model: Model) -> int:
    """Return the number of weights of the largest part that is gathered whole: the embeddings or one layer."""
    embeddings = model.vocab * model.hidden
    return max(embeddings, (model.parameters - embeddings * (1 if model.tied_embeddings else 2)) // model.layers)


def _activations(model: Model, tokens: int, checkpointing: bool, autocast: bool) -> int:
    """Return how many numbers are kept for the backward pass."""
    one_layer = tokens * ((16 if autocast else 10) * model.hidden + 4 * model.intermediate)
    return model.layers * tokens * model.hidden + one_layer if checkpointing else model.layers * one_layer
