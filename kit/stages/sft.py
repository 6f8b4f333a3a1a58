"""Stage ``sft``: tunes a base model on pairs, by full or LoRA fine-tuning on the responses, under accelerate.

It trains as LLaMA-Factory does in the paper: cosine schedule after a warm-up, AdamW, gradients clipped at 1, the mean
over all response tokens of a step as loss, the last checkpoint kept. Examples are packed one after the other without
padding, which changes the speed and not the numbers (``tests/training/test_curve.py``).
"""

import gc
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.models import check_ids, embedding_rows
from kit.records import Pair, dump_line
from kit.stages import Context, Planning, Summary, input_pairs
from kit.training.checkpoints import Checkpoint, Checkpoints, make_keeper, minutes_between
from kit.training.examples import Encoded, chat_tokenizer, encode
from kit.training.packing import Step
from kit.training.packing import plan as plan_steps
from kit.training.params import SftParams, parse
from kit.training.sharding import check_after, check_before

VERSION = 2
WORKER = "train"
MODEL = "own"

LOG = "train_log.jsonl"
"""Name of the log, one line a step: step, loss (nats per response token), lr, tokens, rows (positions of examples)."""


def plan(point: Point, planner: Planning) -> str:
    """Plan the tuning of the point's base on its pairs; in round 0 these are the pairs of the seed file."""
    base, sft, limits = planner.player(point.setting.base), point.setting.sft, planner.scale.limits
    params: dict[str, Any] = {
        **sft.model_dump(exclude={"lora", "merge"}),
        "lora": sft.lora.model_dump() if sft.lora else None,
        **({"save": "adapter"} if sft.lora and not sft.merge else {}),
        "epochs": planner.capped("sft.epochs", sft.epochs, limits.epochs),
        "global_batch_size": planner.capped("sft.global_batch_size", sft.global_batch_size, limits.global_batch_size),
        "max_length_tokens": planner.capped(
            "sft.max_length_tokens", sft.max_length_tokens, limits.sft_max_length_tokens
        ),
        "seed": point.setting.seed,
        **planner.training_params(),
    }
    pairs = planner.pairs(point)
    params |= pairs.params
    return planner.job(
        "sft",
        planner.job_name(point, "seeds", "evolver", "base", "round", "selection"),
        params,
        {"pairs": pairs.key, "base": planner.model(base)},
        resources=planner.tuning_cost(base, pairs.rows, params),
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Tune the base model on the pairs; see :class:`kit.stages.Stage`.

    Args:
        params: as :class:`kit.training.params.SftParams`.
        inputs: ``pairs``, a folder with ``pairs.jsonl``, and ``base``, the folder of a model.
        out: becomes the tuned model's folder, with ``train_log.jsonl`` and, after LoRA, ``adapter``; or, with
            ``save = "adapter"``, the adapter's own folder.
        context: ranks and progress.

    Raises:
        RequestError: the parameters, the pairs or the base can't be used for training.
        KitError: accelerate did not start as requested, or the loss is not a number.
    """
    import torch

    from kit.training.trainer import Work, make_trainer, quiet, training_arguments
    from kit.training.weights import attention_for, load, save

    settings, minutes = parse(params), minutes_between(os.environ)
    check_before(settings.sharding, context.world, torch.cuda.is_available())
    with quiet():
        attention = attention_for(inputs["base"], settings.packing)
        tokenizer, end_of_turn = chat_tokenizer(inputs["base"], settings.chat_template, settings.end_of_turn)
        reading = input_pairs(params, inputs["pairs"], "sft")
        encoded = _examples(settings, reading.rows, tokenizer, end_of_turn, embedding_rows(inputs["base"]))
        steps = _steps(settings, encoded, context.world)
        arguments = training_arguments(settings, context.world, out, steps=len(steps))
        kept = Checkpoints(context.parts, rank=context.rank, world=context.world, sharded=settings.sharding == "fsdp")
        start = kept.newest(len(steps))
        log = _Log(steps, context, start)
        work = Work(
            steps=steps,
            examples=encoded.examples,
            kernel=attention,
            rank=context.rank,
            world=context.world,
            done=len(log.lines),
        )
        model = load(inputs["base"], settings, attention, context.rank)
        trainer = make_trainer(model, arguments, work, log.add)
        trainer.add_callback(make_keeper(kept, start, log.lines, minutes))
        accelerator = trainer.accelerator
        check_after(settings.sharding, context.world, accelerator.distributed_type.value, accelerator.num_processes)
        started = time.perf_counter()
        trainer.train()
        wall_s = time.perf_counter() - started + (start.seconds if start else 0.0)
        tensors = save(trainer, tokenizer, end_of_turn, base=inputs["base"], params=settings, out=out)
        if context.rank == 0:
            (out / LOG).write_text("".join(map(dump_line, log.lines)), encoding="utf-8", newline="\n")
        accelerator.wait_for_everyone()
        trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
        # The Trainer holds cycles of references; the next job of this process needs the memory.
        del model, trainer, accelerator
        gc.collect()
    facts = _facts(encoded, steps, log, wall_s) | reading.facts()
    facts |= {"attention": attention or "padded", "trainable": trainable}
    return Summary(rows=tensors, facts=facts)


def _examples(
    settings: SftParams, pairs: Sequence[Pair], tokenizer: Any, end_of_turn: str, embedded: int | None
) -> Encoded:
    """Return the pairs as examples, after a check that the base has an embedding for each token."""
    encoded = encode(pairs, tokenizer, end_of_turn=end_of_turn, max_length_tokens=settings.max_length_tokens)
    for example in encoded.examples:
        check_ids(example.tokens, embedded, tokenizer, f"sft: pair {example.id}")
    return encoded


def _steps(settings: SftParams, encoded: Encoded, world: int) -> list[Step]:
    """Return the training steps of the job, with the examples of each."""
    return plan_steps(
        encoded.examples,
        epochs=settings.epochs,
        global_batch_size=settings.global_batch_size,
        world=world,
        rng=random.Random(settings.seed),
        batch_size=settings.per_device_batch_size,
        budget=settings.tokens_per_micro_batch if settings.packing else None,
    )


class _Log:
    """The training log, to which each step adds a line."""

    def __init__(self, steps: list[Step], context: Context, start: Checkpoint | None) -> None:
        self.lines: list[dict[str, Any]] = [dict(line) for line in start.lines] if start else []
        self._steps = len(steps)
        self._context = context
        self._tokens = sum(step.tokens for step in steps[: len(self.lines)])
        if start and context.rank == 0:
            print(f"sft: goes on after step {start.step} of {len(steps)}", file=sys.stderr, flush=True)

    def add(self, line: dict[str, Any]) -> None:
        """Add the line of a step and report the job's progress; called when the step's gradients are computed."""
        self.lines.append(line)
        self._tokens += line["tokens"]
        self._context.progress(len(self.lines), self._steps, self._tokens)


def _facts(encoded: Encoded, steps: list[Step], log: _Log, wall_s: float) -> dict[str, Any]:
    """Return the facts of a training run: counts of examples and tokens, first and last loss, order and speed."""
    tokens = sum(step.tokens for step in steps)
    order = [row for step in steps for row in step.rows]
    return {
        "examples": len(encoded.examples),
        "truncated": encoded.truncated,
        "dropped": encoded.dropped,
        "empty_responses": encoded.empty_responses,
        "unanswered": encoded.unanswered,
        "steps": len(steps),
        "micro_batches": sum(len(step.micro_batches[0]) for step in steps),
        "tokens": tokens,
        "response_tokens": sum(step.response_tokens for step in steps),
        "loss_first": log.lines[0]["loss"],
        "loss_last": log.lines[-1]["loss"],
        "order_sha256": sha256(repr(order).encode()).hexdigest(),
        "train_s": wall_s,
        "tokens_per_s": tokens / wall_s,
    }
