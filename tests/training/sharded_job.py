"""A job's steps under torch's ``fully_shard`` over gloo, a unit a layer: ``sharded_job.py params.json pairs base out``.

On a CPU accelerate ignores FSDP, so this drives the plan and the loss itself; only accelerate's wrapping stays untried.
"""

import json
import os
import random
import sys
from pathlib import Path

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM, get_cosine_schedule_with_warmup

from kit.records import Pair, read_rows
from kit.training.attention import VARLEN, register
from kit.training.examples import chat_tokenizer, encode
from kit.training.packing import plan
from kit.training.params import parse
from kit.training.trainer import Work, accumulate

if __name__ == "__main__":
    path, pairs, base, out = map(Path, sys.argv[1:])
    params = parse(json.loads(path.read_text()))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    mesh = init_device_mesh("cpu", (world,))
    register()
    tokenizer, end_of_turn = chat_tokenizer(base, params.chat_template, params.end_of_turn)
    examples = encode(
        read_rows(pairs / "pairs.jsonl", Pair)[: params.rows],
        tokenizer,
        end_of_turn=end_of_turn,
        max_length_tokens=params.max_length_tokens,
    ).examples
    steps = plan(
        examples,
        epochs=params.epochs,
        global_batch_size=params.global_batch_size,
        world=world,
        rng=random.Random(params.seed),
        batch_size=1,
        budget=params.tokens_per_micro_batch,
    )
    work = Work(steps=steps, examples=examples, kernel=VARLEN, rank=rank, world=world)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation=VARLEN)
    names = model._no_split_modules
    for module in [module for module in model.modules() if type(module).__name__ in names]:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
    fully_shard(model, mesh=mesh)
    optimizer = torch.optim.AdamW(model.parameters(), lr=params.learning_rate, weight_decay=0.0)
    schedule = get_cosine_schedule_with_warmup(optimizer, 1, len(steps))
    lines = []
    for step in steps:
        batches = work.micro_batches(step, "cpu")
        loss = accumulate(
            model, batches, response_tokens=step.response_tokens, world=world, backward=lambda loss: loss.backward()
        )
        torch.distributed.all_reduce(loss)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        lines.append(json.dumps({"loss": loss.item(), "sharded": type(next(model.parameters())).__name__}))
    if rank == 0:
        out.mkdir()
        (out / "train_log.jsonl").write_text("\n".join(lines))
    torch.distributed.destroy_process_group()
