"""Our IFD scores against the authors' way: the same rows, model and texts; rows a second, memory, differences.

    python perf/scoring.py [--data ../shared/data] [--model DIR] [--rows 200] [--repeats 3] [--many 10000]

The authors' way is written down here from what their script does: one row at a time, three calls of the model, all
logits. Each measurement is a process of its own, and the two ways take turns; loading is left out, tokenising is not.
The machine's rate is that of a large product of the same type, measured between parts of the rows in the processes
that score; beside it, how much of it the products with this model's own matrices reach alone, of as many tokens as a
batch has.
Beside that: rows a second by length, and many short rows through two layers of the model, whose memory must not grow.
On a GPU (torch and transformers alone) the body is in bf16. Ends with 1 where a loss differs by 1e-3 or more in fp32,
or memory grows.
"""

import argparse
import json
import math
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.errors import RequestError  # noqa: E402
from kit.records import Pair  # noqa: E402
from perf import speed  # noqa: E402

DATA = ROOT.parent / "shared" / "data"
ALPACA = "alpaca/random_9k.json"
SIZE = 2048
"""Rows and columns of the product that the machine's rate is measured with."""
PARTS = 4
"""Parts that the rows are scored in; the machine's rate, which other work moves, is measured before and after each."""
QUARTERS = 4
STEP = 1000
"""Short rows between two looks at the memory."""
HEAD_BLOCK = 4096
"""Rows of a matrix in one of the model's own products: its head is taken in blocks."""
WITHIN = 1e-3
"""The most that a loss may differ, relatively, in fp32."""
GROWTH = 1.02
"""The most that the memory of the last rows may be, of that of the second thousand."""


def read_pairs(data: Path, rows: int) -> list[Pair]:
    """Return the first rows of the Alpaca sample.

    Raises:
        RequestError: it is not there.
    """
    found = json.loads(speed.need_file(data / ALPACA, "--data").read_text(encoding="utf-8"))[:rows]
    fields = ("instruction", "input", "output")
    return [Pair(id=f"alpaca/{number}", **{name: row[name] for name in fields}) for number, row in enumerate(found)]


# one process


def open_kit(folder: Path, dtype: str) -> Any:
    """Return our model, ready to score."""
    from kit.scoring.pairs import ScoringSettings, open_model

    return open_model(folder, ScoringSettings(dtype=dtype))


def kit_losses(model: Any, pairs: Sequence[Pair]) -> list[tuple[float, float, float]]:
    """Return L(Q), L(A|Q) and L(A) of each row, ours; NaN where the row is left out."""
    from kit.scoring.pairs import ScoringSettings, score_pairs

    found = score_pairs(model, pairs, ScoringSettings())
    return [(one.question, one.answer_given_question, one.answer) for one in found]


def authors_losses(model: Any, tokenizer: Any, pairs: Sequence[Pair]) -> list[tuple[float, ...]]:
    """Return the same three losses as the authors' script computes them."""
    import torch

    found = []
    for row in pairs:
        question = f"{row.instruction}\n{row.input}" if row.input else row.instruction
        joint = tokenizer(f"{question}\n{row.output}", return_tensors="pt").input_ids.long().to(model.device)
        response = tokenizer(row.output, return_tensors="pt").input_ids.long().to(model.device)
        length = len(tokenizer(question).input_ids)
        asked, answered = joint.clone(), joint.clone()
        asked[0, length:] = answered[0, :length] = -100
        calls = [(joint, asked), (joint, answered), (response, response)]
        with torch.no_grad():
            found.append(
                tuple(
                    model(input_ids=ids, labels=labels).loss.item() if ids.numel() else math.nan
                    for ids, labels in calls
                )
            )
    return found


def product_rates(device: str, dtype: str, repeats: int = 7) -> list[float]:
    """Return the rate of a large product, measured several times, in GFLOP/s."""
    import torch

    size = SIZE if device == "cpu" else 4 * SIZE
    a, b = (torch.randn(size, size, device=device, dtype=getattr(torch, dtype)) for _ in range(2))
    rates = []
    for _ in range(repeats + 1):
        _, seconds = timed(device, lambda: torch.nn.functional.linear(a, b))
        rates.append(2 * size**3 / seconds / 1e9)
    return rates[1:]


def own_rates(losses: Any, repeats: int = 2) -> list[float]:
    """Return the rate of products with the model's own matrices, one after another and nothing between, in GFLOP/s."""
    import torch

    inner = losses._model
    device, dtype = inner.device.type, inner.dtype
    weights = [module.weight for module in inner.modules() if isinstance(module, torch.nn.Linear)]
    inputs = {
        size: torch.randn(losses._budget, size, device=device, dtype=dtype)
        for size in {one.shape[1] for one in weights}
    }
    work = 2 * losses._budget * sum(one.numel() for one in weights)

    def multiply() -> None:
        for weight in weights:
            for part in weight.split(HEAD_BLOCK):
                torch.nn.functional.linear(inputs[part.shape[1]], part)

    with torch.inference_mode():
        return [work / timed(device, multiply)[1] / 1e9 for _ in range(repeats + 1)][1:]


def timed(device: str, work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work gives, and its seconds."""
    import torch

    wait: Callable[[], Any] = torch.cuda.synchronize if device == "cuda" else lambda: None
    wait()
    started = time.perf_counter()
    found = work()
    wait()
    return found, time.perf_counter() - started


def flops(model: Any, lengths: Sequence[int]) -> float:
    """Return the operations in products with weights for rows of these lengths; attention's own are left out."""
    import torch

    head = model.get_output_embeddings()
    body = sum(m.weight.numel() for m in model.base_model.modules() if isinstance(m, torch.nn.Linear) and m is not head)
    return 2.0 * (body * sum(lengths) + head.weight.numel() * sum(length - 1 for length in lengths))


def peak_bytes(device: str) -> int:
    """Return the most memory that this process had, on the card where there is one."""
    import torch

    if device == "cuda":
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """Return the memory that this process has now."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize()


def score_once(*, side: str, model: str, dtype: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Score the rows in one of the two ways, after a short warm-up."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    ours = open_kit(Path(model), dtype)
    inner, tokenizer = ours.losses._model, ours.tokenizer
    run = (
        (lambda part: kit_losses(ours, part)) if side == "kit" else lambda part: authors_losses(inner, tokenizer, part)
    )
    run(pairs[:2])
    losses, seconds, worked, rates, own = [], 0.0, 0.0, [], []
    size = -(-len(pairs) // PARTS)
    for start in range(0, len(pairs), size):
        rates += product_rates(device, dtype)
        own += own_rates(ours.losses)
        before = time.process_time()
        found, part_s = timed(device, lambda part=pairs[start : start + size]: run(part))
        losses += found
        seconds += part_s
        worked += time.process_time() - before
    rates += product_rates(device, dtype)
    texts = [(f"{row.instruction}\n{row.input}" if row.input else row.instruction, row.output) for row in pairs]
    asked = [text for question, response in texts for text in (f"{question}\n{response}", response) if response]
    lengths = [len(ids) for ids in tokenizer(asked).input_ids]
    return {
        "seconds": seconds, "losses": losses, "peak_bytes": peak_bytes(device), "products": rates, "own": own,
        "device": device, "gflops": flops(inner, lengths) / seconds / 1e9, "tokens": sum(lengths), "cpu_s": worked,
    }  # fmt: skip


def score_by_length(*, model: str, dtype: str, pairs: Sequence[Pair]) -> list[dict[str, float]]:
    """Score the rows in quarters, the shortest first: rows and tokens a second of each."""
    ours = open_kit(Path(model), dtype)
    device = ours.losses._model.device.type
    sized = sorted(pairs, key=lambda row: len(row.instruction) + len(row.input) + 2 * len(row.output))
    count = max(1, len(sized) // QUARTERS)
    found = []
    for start in range(0, count * QUARTERS, count):
        part = sized[start : start + count]
        _, seconds = timed(device, lambda part=part: kit_losses(ours, part))
        texts = [text for row in part for text in (f"{row.instruction}\n{row.input}\n{row.output}", row.output)]
        tokens = sum(len(ids) for ids in ours.tokenizer(texts).input_ids)
        found.append({"tokens a row": tokens / len(part), "rows/s": len(part) / seconds, "tokens/s": tokens / seconds})
    return found


def score_many(*, model: str, dtype: str, pairs: Sequence[Pair], many: int) -> list[int]:
    """Score many short rows with two layers of the model; the memory after each thousand."""
    ours = open_kit(Path(model), dtype)
    body = ours.losses._body
    body.layers = body.layers[:2]
    short = [
        Pair(id=str(number), instruction=f"{row.instruction[:12]} {number}", output=f"{row.output[:16]}, {number}.")
        for number, row in ((number, pairs[number % len(pairs)]) for number in range(many))
    ]
    found = []
    for start in range(0, many, STEP):
        kit_losses(ours, short[start : start + STEP])
        found.append(resident_bytes())
    return found


# all of them


def measure(options: argparse.Namespace, task: str, **asked: Any) -> Any:
    """Run one measurement in a process of its own and return what it found."""
    words = {"task": task, "model": str(options.model), "dtype": options.dtype, **asked}
    command = [sys.executable, __file__, "--child", json.dumps(words), "--rows", str(options.rows)]
    done = subprocess.run(
        [*command, "--data", str(options.data)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode:
        sys.exit(f"{task}: the measurement failed\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def child(options: argparse.Namespace) -> None:
    """Measure one thing; the last line is what was found."""
    asked = json.loads(options.child)
    task = {"once": score_once, "lengths": score_by_length, "many": score_many}[asked.pop("task")]
    print("\n" + json.dumps(task(**asked, pairs=read_pairs(options.data, options.rows))))


def worst(pairs: Sequence[Pair], ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> float:
    """Print the row whose losses differ most and return by how much, relatively; rows we leave out don't count."""
    apart = [
        max(abs(a - b) / b for a, b in zip(one, other, strict=True)) if math.isfinite(one[0]) else -1.0
        for one, other in zip(ours, theirs, strict=True)
    ]
    place = apart.index(max(apart))
    left_out = sum(not math.isfinite(one[0]) for one in ours)
    print(
        f"worst row {pairs[place].id}: ours {', '.join(f'{x:.6f}' for x in ours[place])}, the authors' "
        f"{', '.join(f'{x:.6f}' for x in theirs[place])} (L(Q), L(A|Q), L(A)), apart by {apart[place]:.1e}; "
        f"{left_out} of {len(pairs)} rows left out",
        flush=True,
    )
    return apart[place]


def compare(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Score in both ways in turns."""
    found: dict[str, list[dict[str, Any]]] = {"kit": [], "authors": []}
    for _ in range(options.repeats):
        for side, runs in found.items():
            one = measure(options, "once", side=side)
            runs.append(one)
            spent = f"{one['seconds']:.1f} s, {one['cpu_s']:.1f} CPU s, peak {one['peak_bytes'] / 1e9:.2f} GB"
            product = f"a large product {speed.spread(one['products'])} GFLOP/s"
            print(f"{side}: {options.rows / one['seconds']:.2f} rows/s, {spent}, {product}", flush=True)
    return found


def report(options: argparse.Namespace, found: dict[str, list[dict[str, Any]]], pairs: Sequence[Pair]) -> bool:
    """Print medians, the share of the machine's rate and the worst row; return whether the losses agree."""
    rates = {side: [options.rows / one["seconds"] for one in runs] for side, runs in found.items()}
    peaks = {side: max(one["peak_bytes"] for one in runs) / 1e9 for side, runs in found.items()}
    shares = [one["gflops"] / statistics.median(one["products"]) for one in found["kit"]]
    times = speed.ratio(rates["kit"], rates["authors"])
    goal = 10 if found["kit"][0]["device"] == "cuda" else 2
    print(f"rows/s, ours over the authors': {times:.2f} (wanted: {goal} at least)")
    spent = {side: [one["cpu_s"] for one in runs] for side, runs in found.items()}
    by_cpu = speed.ratio(spent["authors"], spent["kit"])
    print(f"CPU seconds, the authors' over ours, which a busy machine moves less: {by_cpu:.2f}")
    print(f"products with weights, share of a large product's rate: {speed.spread(shares, 2)} (wanted: 0.8 at least)")
    alone = [statistics.median(one["own"]) / statistics.median(one["products"]) for one in found["kit"]]
    print(f"the model's products alone, nothing between them: {speed.spread(alone, 2)} of that rate")
    print(f"peak memory: ours {peaks['kit']:.2f} GB, the authors' {peaks['authors']:.2f} GB")
    apart = worst(pairs, found["kit"][0]["losses"], found["authors"][0]["losses"])
    speed.add_row(
        speed.Row(
            what=f"IFD of {options.rows} Alpaca rows, `perf/scoring.py`",
            here=f"{speed.spread(rates['kit'], 2)} rows/s",
            peer=f"the authors' way: {speed.spread(rates['authors'], 2)}",
            ratio=f"{times:.2f}",
        )
    )
    return apart < WITHIN or options.dtype != "float32"


def main() -> None:
    """Print both ways side by side, our rows a second by length, and the memory of many rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help=f"folder that holds {ALPACA}")
    parser.add_argument("--model", type=Path, help="a model folder; without it, SmolLM2 in .cache/")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", type=int, default=10_000, help="short rows whose memory is watched; 0 for none")
    parser.add_argument(
        "--dtype", choices=["float32", "bfloat16"], help="of the body; by default what suits the device"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    speed.need_packages("torch", "transformers")
    pairs = read_pairs(options.data, options.rows)
    if not pairs:
        raise RequestError(f"--rows: found {options.rows}, wanted at least one")
    import torch

    options.model = speed.model(options.model)
    options.dtype = options.dtype or ("bfloat16" if torch.cuda.is_available() else "float32")
    holds = report(options, compare(options), pairs)
    for one in measure(options, "lengths"):
        print(", ".join(f"{name} {value:,.1f}" for name, value in one.items()), flush=True)
    if options.many:
        memory = measure(options, "many", many=options.many)
        settled = memory[min(1, len(memory) - 1)]
        print(f"memory after each {STEP:,} short rows, GB: {', '.join(f'{size / 1e9:.3f}' for size in memory)}")
        holds &= memory[-1] <= GROWTH * settled
    sys.exit(not holds)


if __name__ == "__main__":
    speed.run(main)
