"""Four tuned models answer: as adapters beside one base in one engine, or merged, each in an engine of its own.

    python perf/answer_adapters.py [--model DIR] [--repeats 3]

Three sides, each in a process of its own, in turns, several times: four adapters of one engine start; four merged
models with an engine start each; and the same four put one after another into an open engine, which takes weights of
one shape without a new start. Measured from the first start to the last text, with 16 rows and 32 tokens a model. Ends
with 1 where adapters take longer than four starts, or write other texts than the merged models. The base is the kit's
own SmolLM2 unless another is named; the adapters have rank 8 and random weights.
"""

import argparse
import json
import operator
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from perf import speed  # noqa: E402

MODELS, RANK, ROWS, MAX_TOKENS = 4, 8, 16, 32
SAME = 0.95
"""Share of texts that must be the same: sums in another order may turn a tie."""


def make(model: Path, folder: Path) -> None:
    """Write the adapters, and the base with each of them added to it."""
    import peft
    import torch
    from transformers.utils import logging

    from kit.models import load_causal_lm
    from kit.models.folder import copy_small_files

    logging.disable_progress_bar()
    for number in range(MODELS):
        torch.manual_seed(number)
        config = peft.LoraConfig(
            r=RANK, lora_alpha=1, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        tuned = peft.get_peft_model(load_causal_lm(model, dtype=torch.float32), config)
        tuned.save_pretrained(folder / f"adapter-{number}")
        merged = folder / f"merged-{number}"
        tuned.merge_and_unload().save_pretrained(merged)
        copy_small_files(model, merged)


def ask(engine: Any) -> list[str]:
    """Return the greedy texts to all rows."""
    from kit.engines import Request, Sampling
    from kit.records import Turn

    rows = [
        Request(id=str(i), turns=(Turn(role="user", content=f"Name {i + 2} things that are green."),), seed=1)
        for i in range(ROWS)
    ]
    return [row.text for row in engine.generate(rows, Sampling(max_tokens=MAX_TOKENS))]


def adapters(model: Path, folder: Path) -> Iterator[list[str]]:
    """Answer with adapters of one engine."""
    from kit.engines import EngineSettings, vllm

    settings = EngineSettings(dtype="float32", max_model_len=512, max_num_seqs=ROWS, lora_rank=RANK)
    engine = vllm.open(model, settings)
    for number in range(MODELS):
        yield ask(engine.with_adapter(folder / f"adapter-{number}"))
    engine.close()


def starts(_: Path, folder: Path) -> Iterator[list[str]]:
    """Answer with merged models, an engine start each."""
    from kit.engines import EngineSettings, vllm

    settings = EngineSettings(dtype="float32", max_model_len=512, max_num_seqs=ROWS)
    for number in range(MODELS):
        engine = vllm.open(folder / f"merged-{number}", settings)
        yield ask(engine)
        engine.close()


def swaps(_: Path, folder: Path) -> Iterator[list[str]]:
    """Answer with merged models whose weights an open engine takes."""
    from kit.engines import EngineSettings, vllm

    settings = EngineSettings(dtype="float32", max_model_len=512, max_num_seqs=ROWS)
    engine = vllm.open(folder / "merged-0", settings)
    for number in range(MODELS):
        if number and not engine.swap(folder / f"merged-{number}"):
            raise TypeError("the engine refused weights of its own shape")
        yield ask(engine)
    engine.close()


SIDES: dict[str, Callable[[Path, Path], Iterator[list[str]]]] = {"adapters": adapters, "starts": starts, "swaps": swaps}


def measure(side: str, model: Path, folder: Path) -> tuple[float, list[list[str]]]:
    """Return a side's seconds and texts, from a process of its own."""
    command = [sys.executable, __file__, "--model", str(model), "--side", side, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{side}: the run failed\n{done.stderr}")
    seconds, texts = json.loads(done.stdout.splitlines()[-1])
    print(f"{side:8}  {MODELS} models, {ROWS} rows each  {seconds:6.1f} s", flush=True)
    return seconds, texts


def compare(model: Path, folder: Path, repeats: int) -> None:
    """Run all sides in turns; end with 1 where adapters are slower or other."""
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    texts: dict[str, list[list[str]]] = {}
    for number in range(repeats):
        for side in list(SIDES) if number % 2 == 0 else list(reversed(SIDES)):
            taken, texts[side] = measure(side, model, folder)
            seconds[side].append(taken)
    ours, merged = (list(chain.from_iterable(texts[side])) for side in ("adapters", "starts"))
    same = sum(map(operator.eq, ours, merged)) / len(merged)
    print(f"{same:.0%} of {len(merged)} texts are those of the merged models (wanted {SAME:.0%} at least)")
    for side, peer in (("starts", "four merged models, an engine start each"), ("swaps", "their weights put into one")):
        faster = speed.ratio(seconds[side], seconds["adapters"])
        print(f"{side} / adapters: {faster:.2f} (medians of {repeats})")
        speed.add_row(
            speed.Row(
                what="four adapters answer from one engine start, `perf/answer_adapters.py`",
                here=f"{speed.spread(seconds['adapters'], 1)} s",
                peer=f"{peer}: {speed.spread(seconds[side], 1)} s",
                ratio=f"{faster:.1f} times as fast",
            )
        )
    sys.exit(speed.ratio(seconds["starts"], seconds["adapters"]) < 1 or same < SAME)


def main() -> None:
    """Run one side where it is named, else all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a base's folder; without it, SmolLM2 in .cache/")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.side:
        start = time.perf_counter()
        texts = list(SIDES[options.side](options.model, options.folder))
        print(json.dumps([time.perf_counter() - start, texts]))
        return
    speed.need_packages("vllm", "transformers", "peft")
    base = speed.model(options.model)
    with tempfile.TemporaryDirectory() as folder:
        make(base, Path(folder))
        compare(base, Path(folder), options.repeats)


if __name__ == "__main__":
    speed.run(main)
