"""Pairs and a base to a tuned model: full or LoRA fine-tuning on the responses, under accelerate.

What LLaMA-Factory does in the paper, step for step: cosine schedule after a warm-up, AdamW, gradients clipped at 1, the
loss a mean over all response tokens of a step, the last checkpoint kept. Examples lie end to end without padding, which
changes the speed and not the numbers (``tests/training/test_curve.py``).
"""

import gc
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.errors import RequestError
from kit.files.seeds import Reading, read_stored, read_training
from kit.models import check_ids, embedding_rows
from kit.records import Pair, dump_line
from kit.stages import Context, Planning, Summary, only_file
from kit.training.examples import Encoded, chat_tokenizer, encode
from kit.training.packing import Step
from kit.training.packing import plan as plan_steps
from kit.training.params import SftParams, parse
from kit.training.sharding import check_after, check_before

VERSION = 2
WORKER = "train"

PAIRS = "pairs.jsonl"
"""The main file of the ``pairs`` input, where ``respond`` made it."""

LOG = "train_log.jsonl"
"""One line a step: step, loss (nats per response token), lr, tokens, rows (positions among the examples, as drawn)."""


def plan(at: Point, kit: Planning) -> str:
    """Plan the tuning of the point's base on its pairs; in round 0 these are the seed file's own."""
    name, spec, limits = kit.player(at.setting.base), at.setting.sft, kit.scale.limits
    params: dict[str, Any] = {
        **spec.model_dump(exclude={"lora", "merge"}),
        "lora": spec.lora.model_dump() if spec.lora else None,
        **({"save": "adapter"} if spec.lora and not spec.merge else {}),
        "epochs": kit.capped("sft.epochs", spec.epochs, limits.epochs),
        "global_batch_size": kit.capped("sft.global_batch_size", spec.global_batch_size, limits.global_batch_size),
        "max_length_tokens": kit.capped("sft.max_length_tokens", spec.max_length_tokens, limits.sft_max_length_tokens),
        "seed": at.setting.seed,
        **kit.training(),
    }
    if at.setting.round:
        pairs = kit.need("respond", at)
        rows = kit.rows(pairs)
    else:
        seeds = kit.instructions(at)
        pairs, rows, params = seeds.key, seeds.rows, {**params, **seeds.params}
    return kit.job(
        "sft",
        kit.name(at, "seeds", "evolver", "base", "round"),
        params,
        {"pairs": pairs, "base": kit.model(name)},
        resources=kit.tuning(name, rows, params),
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Tune the base on the pairs; see :class:`kit.stages.Stage`.

    Args:
        params: as :class:`kit.training.params.SftParams`.
        inputs: ``pairs``, a folder with ``pairs.jsonl``, and ``base``, a model's folder.
        out: becomes the tuned model's folder, with ``train_log.jsonl``, and ``adapter`` after LoRA; or with
            ``save = "adapter"`` the adapter's own folder.
        context: ranks and progress.

    Raises:
        RequestError: the parameters, the pairs or the base cannot be trained on as they are.
        KitError: accelerate made something else of the request, or the loss is not a number.
    """
    import torch

    from kit.training.trainer import Work, make_trainer, quiet, training_arguments
    from kit.training.weights import attention_for, load, save

    asked = parse(params)
    check_before(asked.sharding, context.world, torch.cuda.is_available())
    with quiet():
        attention = attention_for(inputs["base"], asked.packing)
        tokenizer, end_of_turn = chat_tokenizer(inputs["base"], asked.chat_template, asked.end_of_turn)
        came = _pairs(asked, inputs["pairs"])
        encoded = _examples(asked, came.rows, tokenizer, end_of_turn, embedding_rows(inputs["base"]))
        steps = _steps(asked, encoded, context.world)
        arguments = training_arguments(asked, context.world, out, steps=len(steps))
        work = Work(steps=steps, examples=encoded.examples, kernel=attention, rank=context.rank, world=context.world)
        log = _Log(steps, context)
        model = load(inputs["base"], asked, attention, context.rank)
        trainer = make_trainer(model, arguments, work, log.add)
        accelerator = trainer.accelerator
        check_after(asked.sharding, context.world, accelerator.distributed_type.value, accelerator.num_processes)
        started = time.perf_counter()
        trainer.train()
        wall_s = time.perf_counter() - started
        tensors = save(trainer, tokenizer, end_of_turn, base=inputs["base"], params=asked, out=out)
        if context.rank == 0:
            (out / LOG).write_text("".join(map(dump_line, log.lines)), encoding="utf-8", newline="\n")
        accelerator.wait_for_everyone()
        trainable = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
        # The Trainer is full of cycles; the next job of this process needs the memory.
        del model, trainer, accelerator
        gc.collect()
    facts = _facts(encoded, steps, log, wall_s) | came.facts()
    facts |= {"attention": attention or "padded", "trainable": trainable}
    return Summary(rows=tensors, facts=facts)


def _pairs(asked: SftParams, folder: Path) -> Reading[Pair]:
    """As many pairs as asked for: of what ``respond`` wrote, of a seed file, or of a user's own Alpaca file."""
    path = folder / PAIRS
    if not path.exists():
        path = only_file(folder)
    came = read_stored(path, Pair) if path.name == PAIRS else read_training(path, asked.format or "alpaca", asked.seeds)
    if asked.rows is not None and asked.rows > len(came.rows):
        raise RequestError(
            f"sft.rows: {asked.rows:,} asked for, {path} has {len(came.rows):,}; lower it or make more pairs"
        )
    return replace(came, rows=came.rows[: asked.rows])


def _examples(
    asked: SftParams, pairs: Sequence[Pair], tokenizer: Any, end_of_turn: str, embedded: int | None
) -> Encoded:
    """The pairs as examples, of tokens that the base knows."""
    encoded = encode(pairs, tokenizer, end_of_turn=end_of_turn, max_length_tokens=asked.max_length_tokens)
    for example in encoded.examples:
        check_ids(example.tokens, embedded, tokenizer, f"sft: pair {example.id}")
    return encoded


def _steps(asked: SftParams, encoded: Encoded, world: int) -> list[Step]:
    """The steps of the job."""
    return plan_steps(
        encoded.examples,
        epochs=asked.epochs,
        global_batch_size=asked.global_batch_size,
        world=world,
        rng=random.Random(asked.seed),
        batch_size=asked.per_device_batch_size,
        budget=asked.tokens_per_micro_batch if asked.packing else None,
    )


class _Log:
    """The training log as it grows."""

    def __init__(self, steps: list[Step], context: Context) -> None:
        self.lines: list[dict[str, Any]] = []
        self._steps = len(steps)
        self._context = context
        self._tokens = 0

    def add(self, line: dict[str, Any]) -> None:
        """Keep a step's line and say how far the job is; a step's tokens count once its gradients are there."""
        self.lines.append(line)
        self._tokens += line["tokens"]
        self._context.progress(len(self.lines), self._steps, self._tokens)


def _facts(encoded: Encoded, steps: list[Step], log: _Log, wall_s: float) -> dict[str, Any]:
    """What is worth knowing of a training run, beside its weights."""
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
