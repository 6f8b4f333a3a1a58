"""Our SFT against TRL's SFTTrainer: same rows, tokens, batch and model; full fine-tuning in fp32, tokens a second.

    python perf/sft_vs_trl.py [--model DIR] [--pairs FILE] [--rows 16] [--repeats 2]

Pairs are Self-Instruct's seed tasks, or those of an Alpaca file that is named. Each run is a process of its own, and
the two trainers take turns. Counted are the tokens trained on, without padding, over the wall time of ``train()``:
loading and saving are left out. TRL packs on a CPU too: without flash-attn its rows keep apart by position ids and a
block-diagonal mask. Wanted: at least 1.0 for padded against padded, more for packed.
"""

import argparse
import json
import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.errors import RequestError  # noqa: E402
from kit.files.parts import Parts  # noqa: E402
from kit.records import Pair, write_rows  # noqa: E402
from perf import speed  # noqa: E402

PAIRS = speed.SAMPLE / "self_instruct" / "seed_tasks.jsonl"
RUNS = [("trl", False), ("kit", False), ("trl", True), ("kit", True)]


def parameters(model: Path, rows: int, batch: int, length: int, packing: bool) -> dict[str, Any]:
    """One epoch over the rows."""
    return {
        "tuning": "full",
        "learning_rate": 2e-5,
        "epochs": 1,
        "global_batch_size": batch,
        "per_device_batch_size": batch,
        "max_length_tokens": length,
        "seed": 42,
        "dtype": "float32",
        "chat_template": (model / "chat_template.jinja").read_text(encoding="utf-8"),
        "end_of_turn": "<|im_end|>",
        "packing": packing,
        "tokens_per_micro_batch": length,
        "rows": rows,
    }


def train_kit(params: dict[str, Any], pairs: Path, model: Path, out: Path) -> tuple[int, float]:
    """Tokens and seconds of ours."""
    from kit.stages import sft

    context: Any = SimpleNamespace(rank=0, world=1, parts=Parts(None, ""), progress=lambda *_numbers: None)
    facts = sft.run(params, {"pairs": pairs, "base": model}, out, context).facts
    return facts["tokens"], facts["train_s"]


def train_trl(params: dict[str, Any], pairs: Path, model: Path, out: Path) -> tuple[int, float]:
    """Tokens and seconds of TRL's, on the tokens that ours makes of the pairs."""
    import datasets
    import torch
    from transformers import AutoModelForCausalLM
    from trl import SFTConfig, SFTTrainer

    from kit.records import read_rows
    from kit.training.examples import chat_tokenizer, encode

    tokenizer, _ = chat_tokenizer(model, params["chat_template"], params["end_of_turn"])
    examples = encode(
        read_rows(pairs / "pairs.jsonl", Pair)[: params["rows"]],
        tokenizer,
        end_of_turn=params["end_of_turn"],
        max_length_tokens=params["max_length_tokens"],
    ).examples
    rows = [
        {
            "input_ids": list(e.tokens),
            "completion_mask": [0] * e.prompt_tokens + [1] * e.response_tokens,
        }
        for e in examples
    ]
    config = SFTConfig(
        output_dir=str(out),
        num_train_epochs=1,
        # TRL's packed row is as long as our packed micro-batch, and a step takes one: as many examples, on average.
        per_device_train_batch_size=1 if params["packing"] else params["global_batch_size"],
        learning_rate=params["learning_rate"],
        lr_scheduler_type="cosine",
        max_length=params["max_length_tokens"],
        packing=params["packing"],
        completion_only_loss=True,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=not torch.cuda.is_available(),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataset_num_proc=None,
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, trust_remote_code=False),
        args=config,
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=tokenizer,
    )
    started = time.perf_counter()
    trainer.train()
    return sum(len(e.tokens) for e in examples), time.perf_counter() - started


def child(arguments: argparse.Namespace) -> None:
    """One run; its last line is what it measured."""
    logging.disable(logging.WARNING)
    params = json.loads(arguments.child)
    trainer = train_kit if params.pop("trainer") == "kit" else train_trl
    tokens, seconds = trainer(params, arguments.pairs, arguments.model, arguments.out)
    print(json.dumps({"tokens": tokens, "seconds": seconds}))


def measure(arguments: argparse.Namespace, folder: Path, trainer: str, packing: bool) -> tuple[int, float]:
    """One run in a process of its own."""
    params = parameters(arguments.model, arguments.rows, arguments.batch, arguments.length, packing)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, __file__, "--child", json.dumps(params | {"trainer": trainer})]
        command += ["--pairs", str(folder), "--model", str(arguments.model), "--out", out]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{trainer}: the run failed\n{done.stderr}")
    result = json.loads(done.stdout.splitlines()[-1])
    return result["tokens"], result["seconds"]


def read_pairs(path: Path, rows: int) -> list[Pair]:
    """Return the first pairs of an Alpaca file, or of seed tasks: JSONL with ``instances`` of input and output.

    Raises:
        RequestError: the file is not there, or has another form.
    """
    text = speed.need_file(path, "--pairs").read_text(encoding="utf-8")
    try:
        found = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]
        found = [row | row.get("instances", [{}])[0] for row in found[:rows]]
        fields = ("instruction", "input", "output")
        return [Pair(id=f"row/{i}", **{name: row.get(name, "") for name in fields}) for i, row in enumerate(found)]
    except (ValueError, AttributeError, TypeError) as error:
        wanted = "wanted an Alpaca file or seed tasks; name another with --pairs"
        raise RequestError(f"{path}: {type(error).__name__}: {error}; {wanted}") from error


def compare(arguments: argparse.Namespace, folder: Path) -> dict[tuple[str, bool], list[float]]:
    """Tokens a second of every way to train, in turns."""
    rates: dict[tuple[str, bool], list[float]] = {run: [] for run in RUNS}
    for _ in range(arguments.repeats):
        for trainer, packing in RUNS:
            tokens, seconds = measure(arguments, folder, trainer, packing)
            rates[trainer, packing].append(tokens / seconds)
            way = "packed" if packing else "padded"
            print(f"{trainer} {way}: {tokens:,} tokens in {seconds:.1f} s = {tokens / seconds:.0f} tok/s", flush=True)
    return rates


def main() -> None:
    """Print tokens a second of every way to train, and ours over TRL's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a model folder; without it, SmolLM2 in .cache/")
    parser.add_argument("--pairs", type=Path, default=PAIRS, help="an Alpaca file; without it, carried seed tasks")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--batch", type=int, default=8, help="rows of a step")
    parser.add_argument("--length", type=int, default=1024, help="most tokens of an example, and of a packed row")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments)
        return
    speed.need_packages("trl", "datasets", "torch", "transformers")
    pairs = read_pairs(arguments.pairs, arguments.rows)
    arguments.model = speed.model(arguments.model)
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "pairs.jsonl", pairs)
        rates = compare(arguments, Path(folder))
    print(f"ours packed against TRL padded: {speed.ratio(rates['kit', True], rates['trl', False]):.2f}")
    for packing, what, peer in (
        (False, "SFT, padded, `perf/sft_vs_trl.py`", "TRL's SFTTrainer"),
        (True, "SFT, packed", "TRL, packed"),
    ):
        ours, peers = rates["kit", packing], rates["trl", packing]
        here, there = f"{speed.spread(ours)} tokens/s", f"{peer}: {speed.spread(peers)}"
        speed.add_row(speed.Row(what=what, here=here, peer=there, ratio=f"{speed.ratio(ours, peers):.2f}"))


if __name__ == "__main__":
    speed.run(main)
