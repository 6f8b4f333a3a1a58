"""The transformers Trainer, set up so that its steps are the ones planned in ``packing``."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError
from kit.training.examples import Example
from kit.training.packing import MicroBatch, Step, collate
from kit.training.params import SftParams

Report = Callable[[dict[str, Any]], None]
"""Takes what one step came to: step, loss, lr, tokens, rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Plan and data that one rank trains on."""

    steps: Sequence[Step]
    """The plan, the same on every rank."""
    examples: Sequence[Example]
    """Examples that the plan's positions point at."""
    kernel: str | None
    """The attention implementation that micro-batches are packed for; None when they are padded."""
    rank: int
    """Rank of this process."""
    world: int
    """Number of ranks that share a step."""
    done: int = 0
    """Number of steps that an earlier run of the job took."""

    def micro_batches(self, step: Step, device: Any) -> list[MicroBatch]:
        """This rank's share of a step, laid out."""
        filler = min((self.examples[row] for row in step.rows), key=lambda example: len(example.tokens))
        return [
            collate([self.examples[row] for row in rows], kernel=self.kernel, filler=filler, device=device)
            for rows in step.micro_batches[self.rank]
        ]


def training_arguments(params: SftParams, world: int, out: Path, *, steps: int = 1, cuda: bool | None = None) -> Any:
    """Return the Trainer's arguments for a job; making them validates them, and needs neither model nor GPU.

    The accumulation is ours (:func:`accumulate`): the Trainer sees one batch a step. AdamW's betas and epsilon and the
    gradient's clip are LLaMA-Factory's defaults. ``bfloat16`` means fp32 weights and optimiser, and layers in bf16: by
    autocast, under FSDP by :func:`_fsdp_precision`. The paper's DeepSpeed keeps fp32 master weights and optimiser under
    its bf16 too.

    Args:
        params: the job's.
        world: ranks that the job is planned for.
        out: where the model goes; the Trainer itself saves nothing.
        steps: optimiser steps of the whole job.
        cuda: whether to train on GPUs; None to see.

    Raises:
        RequestError: transformers refuses a value.
    """
    import torch
    from transformers import TrainingArguments

    on_gpu = torch.cuda.is_available() if cuda is None else cuda
    fsdp = params.sharding == "fsdp"
    try:
        arguments = TrainingArguments(
            output_dir=str(out),
            max_steps=steps,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=1,
            learning_rate=params.learning_rate,
            lr_scheduler_type=params.lr_scheduler,
            warmup_steps=params.warmup_ratio,
            weight_decay=params.weight_decay,
            optim="adamw_torch_fused",
            adam_beta1=0.9,
            adam_beta2=0.999,
            adam_epsilon=1e-8,
            max_grad_norm=1.0,
            seed=params.seed,
            bf16=params.dtype == "bfloat16",
            use_cpu=not on_gpu,
            # Under FSDP the wrapper recomputes; the Trainer refuses both at once.
            gradient_checkpointing=params.gradient_checkpointing and not fsdp,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            fsdp=fsdp or None,
            fsdp_config=_fsdp_config(params) if fsdp else None,
            ddp_find_unused_parameters=False if world > 1 else None,
            save_strategy="no",
            eval_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
            remove_unused_columns=False,
        )
    except (ValueError, ImportError) as error:
        raise RequestError(f"sft: transformers refuses the arguments: {error}") from error
    if fsdp and arguments.bf16:
        arguments.fsdp_plugin_args["mixed_precision_policy"] = _fsdp_precision()
    return arguments


def _fsdp_config(params: SftParams) -> dict[str, Any]:
    """FULL_SHARD, the counterpart of ZeRO stage 3, one unit a transformer layer; the first rank's weights for all."""
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "state_dict_type": "FULL_STATE_DICT",
        "cpu_ram_efficient_loading": True,
        "activation_checkpointing": params.gradient_checkpointing,
    }


def _fsdp_precision() -> Any:
    """Compute layers in bf16, and sum gradients over the ranks in fp32; accelerate's own choice is bf16 for both."""
    import torch
    from torch.distributed.fsdp import MixedPrecisionPolicy

    half = torch.bfloat16
    return MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32, output_dtype=half)


def response_loss(model: Any, batch: MicroBatch) -> Any:
    """Summed cross-entropy over the response tokens of a micro-batch, nats, in fp32.

    Logits are made where a response token is predicted and nowhere else: the head is a quarter of SmolLM2's arithmetic.
    The call is the model's own ``forward``, so wrappers for ranks and shards see it.
    """
    import torch

    logits = model(**batch.inputs, use_cache=False).logits.flatten(0, 1)
    if not len(batch.targets):
        return logits.sum(dtype=torch.float32) * 0.0  # the other ranks' is fp32, and the two are added
    chosen = logits if len(logits) == len(batch.rows) else logits[batch.rows]
    return torch.nn.functional.cross_entropy(chosen.float(), batch.targets, reduction="sum")


def accumulate(
    model: Any,
    batches: Sequence[MicroBatch],
    *,
    response_tokens: int,
    world: int,
    backward: Callable[[Any], None],
    unsynced: Callable[[], AbstractContextManager[Any]] = nullcontext,
) -> Any:
    """Run forward and backward over a rank's share of one step.

    Args:
        model: wrapped for its ranks or not.
        batches: this rank's micro-batches; as many on every rank.
        response_tokens: of the step over all ranks; the loss is the mean over them.
        world: ranks; their gradients are averaged, so each loss is multiplied by it.
        backward: what to do with a loss.
        unsynced: entered for all micro-batches but the last, to exchange gradients once a step.

    Returns:
        This rank's part of the step's loss; the parts add up.
    """
    total: Any = 0.0
    for number, batch in enumerate(batches, 1):
        with nullcontext() if number == len(batches) else unsynced():
            loss = response_loss(model, batch) / response_tokens
            backward(loss * world)
        total = total + loss.detach()
    return total


def make_trainer(model: Any, args: Any, work: Work, report: Report) -> Any:
    """Return a Trainer that takes the planned steps that are left, one batch a step, and reports each."""
    import torch
    from transformers import PrinterCallback, Trainer

    class PlannedTrainer(Trainer):  # type: ignore[misc]
        """transformers' loop, optimiser, schedule and wrappers around our steps."""

        def get_train_dataloader(self) -> Any:
            """Return every step that is left of the job in order; each rank picks its share itself."""
            steps: Any = list(work.steps[work.done :])  # a list will do, whatever the annotation says
            return torch.utils.data.DataLoader(steps, batch_size=None, collate_fn=lambda step: {"step": step})

        def floating_point_ops(self, inputs: Any) -> int:  # noqa: ARG002
            """Return 0: the Trainer would count padded tokens."""
            return 0

        def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:  # noqa: ARG002
            """Compute one optimiser step's gradients, over as many micro-batches as were planned."""
            model.train()
            step: Step = inputs["step"]
            # Sharded gradients are reduced after each micro-batch, as ZeRO-3 does: whole ones would not fit.
            sharded = self.accelerator.distributed_type == "FSDP"
            part = accumulate(
                model,
                work.micro_batches(step, self.accelerator.device),
                response_tokens=step.response_tokens,
                world=work.world,
                backward=self.accelerator.backward,
                unsynced=nullcontext if sharded else lambda: self.accelerator.no_sync(model),
            )
            loss = self.accelerator.reduce(part, reduction="sum")
            number = self.state.global_step + 1
            if not torch.isfinite(loss):
                raise KitError(f"sft: the loss of step {number} is {loss.item()}; is the learning rate too high?")
            rate = self.optimizer.param_groups[0]["lr"]
            report({"step": number, "loss": loss.item(), "lr": rate, "tokens": step.tokens, "rows": list(step.rows)})
            return loss

    trainer = PlannedTrainer(model=model, args=args, train_dataset=work.steps)
    trainer.remove_callback(PrinterCallback)
    return trainer


@contextmanager
def quiet() -> Iterator[None]:
    """Hide transformers' progress bars, and remove the variables that accelerate leaves behind for the next job."""
    from transformers.utils import logging

    kept, bars = dict(os.environ), logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if bars:
            logging.enable_progress_bar()
        for name in set(os.environ) - set(kept):
            del os.environ[name]
        os.environ.update(kept)
