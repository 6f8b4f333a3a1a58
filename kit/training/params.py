"""Parameters of an SFT job, parsed strictly: one line of the paper's table 6 or 7."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kit.errors import RequestError, did_you_mean

Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, lt=1.0)]


class LoraParams(BaseModel):
    """The adapter of a LoRA run."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    rank: Positive
    """Rank of the two factors."""
    alpha: Positive
    """The update is scaled by ``alpha / rank``."""
    dropout: Share = 0.0
    """Dropout on the adapter's input."""
    targets: Literal["all-linear"] = "all-linear"
    """Layers that get an adapter: every linear layer but the output head."""


class SftParams(BaseModel):
    """The parameters of one SFT job."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    tuning: Literal["full", "lora"]
    """Train every weight, or an adapter beside them."""
    learning_rate: Annotated[float, Field(gt=0.0)]
    """The peak, reached after the warm-up."""
    epochs: Positive
    """Passes over the rows."""
    global_batch_size: Positive
    """Rows of one optimiser step, over all ranks; the last step of an epoch takes what is left."""
    per_device_batch_size: Positive = 1
    """Rows of one micro-batch when not packed."""
    lr_scheduler: Literal["cosine"] = "cosine"
    """The decay after the warm-up, down to 0 at the last step."""
    warmup_ratio: Share = 0.03
    """Share of all steps, rounded up, over which the rate rises from 0 (the first step's rate)."""
    weight_decay: Annotated[float, Field(ge=0.0)] = 0.0
    """AdamW's, on everything but norms and biases."""
    max_length_tokens: Annotated[int, Field(ge=2)]
    """Longest example, prompt and response together."""
    seed: Annotated[int, Field(ge=0, lt=2**32)]
    """Draws the order of the rows, and the adapter's first weights."""
    dtype: Literal["float32", "bfloat16"]
    """Type of the saved weights and of the arithmetic; ``bfloat16`` keeps fp32 master weights and autocasts."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, a third more work."""
    sharding: Literal["none", "fsdp"] = "none"
    """``fsdp``: weights, gradients and optimiser split over the ranks (what ZeRO stage 3 does)."""
    lora: LoraParams | None = None
    """Wanted by ``tuning = "lora"``, refused otherwise."""
    save: Literal["model", "adapter"] = "model"
    """``adapter``, after LoRA: the adapter alone, for its base; ``model``: all weights, an adapter added to them."""
    chat_template: Annotated[str, Field(min_length=1)]
    """Jinja text; saved with the tokenizer, so that asking uses the words that training used."""
    end_of_turn: Annotated[str, Field(min_length=1)] | None = None
    """The token that closes the assistant's turn, for instance ``<|im_end|>``; the base's end-of-text when absent."""
    packing: bool = True
    """Lay the examples of a step end to end, without padding and without attention from one to another."""
    tokens_per_micro_batch: Positive = 2048
    """Most tokens of one packed micro-batch; a longer example gets one of its own. Sets the memory and the order of
    sums: a step's loss and gradient stay what they are but for rounding, bf16's under ``dtype = "bfloat16"``."""
    rows: Positive | None = None
    """Train on the first so many pairs; all when absent."""
    format: str | None = None
    """Format of a seed file whose own answers are trained on (``alpaca``, ``gsm8k``); absent for a model's pairs."""
    seeds: str | None = None
    """The name of that seed set, for the ids of its rows."""

    @model_validator(mode="after")
    def _lora_where_asked(self) -> Self:
        if (self.tuning == "lora") != (self.lora is not None):
            raise ValueError(f"tuning is {self.tuning!r} and lora is {'absent' if self.lora is None else 'given'}")
        if self.save == "adapter" and self.lora is None:
            raise ValueError("save is 'adapter' and lora is absent")
        return self


def parse(params: Mapping[str, Any]) -> SftParams:
    """Check the job's parameters and return them.

    Raises:
        RequestError: a key is unknown, missing or of the wrong type or range; the message names each one.
    """
    try:
        return SftParams.model_validate(dict(params))
    except ValidationError as error:
        raise RequestError("\n".join(_sentence(dict(item)) for item in error.errors())) from error


def _sentence(item: Mapping[str, Any]) -> str:
    """Return one finding of pydantic's as ``sft.key: what is wrong``."""
    where = ".".join(["sft", *(str(part) for part in item["loc"])])
    if item["type"] == "extra_forbidden":
        known = LoraParams.model_fields if len(item["loc"]) > 1 else SftParams.model_fields
        return f"{where}: no such parameter{did_you_mean(str(item['loc'][-1]), known)}"
    if item["type"] == "missing":
        return f"{where}: missing; it has no default"
    if item["type"] == "value_error":
        return f"{where}: {item['ctx']['error']}; LoRA wants both, full fine-tuning neither"
    return f"{where}: found {item['input']!r}: {item['msg']}"
