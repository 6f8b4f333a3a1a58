"""What one NVIDIA card does with our trainer and engine: its speed, its memory, and the same numbers as a CPU.

    python perf/gpu.py                       every part, half an hour on an H100
    python perf/gpu.py curves engine         some of them; 7 minutes for all but vllm and table
    python perf/gpu.py --device cpu          tiny shapes on a CPU, to see that every part works

Needs torch, transformers, accelerate, peft and pydantic, no network; vLLM for its part and for the table, which are
left out aloud without it. Weights are random, shapes those of manifests/models.toml; the table's are SmolLM2's. Every
measurement is a process of its own (perf/gpu_tasks.py). Prints Markdown, for docs/gpu.md, and exits with 1 where a
check does not hold.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this script's folder is no place to import from

from kit.catalogue import Catalogue, manifests_folder  # noqa: E402
from kit.catalogue.entries import Model  # noqa: E402
from kit.plan import estimate  # noqa: E402
from perf import speed  # noqa: E402
from perf.gpu_bench import (  # noqa: E402
    ONE_RANK,
    SMALL,
    TINY,
    Bench,
    MeasurementError,
    Report,
    check_contract,
    hardware_of,
    name_of,
)
from perf.gpu_vllm import table, vllm  # noqa: E402

MEMORY_WITHIN = 0.15
"""How far a measured peak may be from the estimate, as a share of the estimate."""
SAME_CURVE = {"float32": 1e-3, "bfloat16": 2e-2}
"""Largest relative difference of a step's loss from the CPU's in float32."""
SIDES = ("kit", "authors")
"""Ways to compute the losses behind IFD."""

# parts


def card(bench: Bench, report: Report) -> None:
    """The card, its software, and what a large product and a large copy reach on it."""
    report.table("The machine", ["what", "value"], list(bench.card().items()))


def curves(bench: Bench, report: Report) -> None:
    """One loss curve, whatever packs, pads, recomputes, adapts or shards; in float32 it is the CPU's."""
    base = bench.model("small", SMALL if bench.on_gpu else TINY, family="llama", dtype="float32")
    lora = {"tuning": "lora", "learning_rate": 1e-3, "lora": {"rank": 8, "alpha": 16}}
    runs: list[tuple[str, dict[str, Any]]] = [
        ("packed", {}),
        ("padded", {"packing": False, "per_device_batch_size": 4}),
        ("checkpointing", {"gradient_checkpointing": True}),
        ("LoRA", lora),
        ("packed, bf16", {"dtype": "bfloat16"}),
    ]
    if bench.on_gpu:
        runs += [("FSDP on one rank", {"sharding": "fsdp"})]
        runs += [("FSDP on one rank, bf16", {"sharding": "fsdp", "dtype": "bfloat16", "gradient_checkpointing": True})]
    else:
        print("\nleft out on a CPU: FSDP (tests/training/test_ranks.py shards over gloo)")
    cpu = dict(zip(("full", "lora"), bench.measure("curves", device="cpu", base=base, changes=[{}, lora]), strict=True))
    alone = [change for _, change in runs if "sharding" not in change]
    losses = bench.measure("curves", base=base, changes=alone)
    for _, change in runs[len(alone) :]:
        losses += bench.measure("curves", variables=ONE_RANK, base=base, changes=[change])
    table = []
    for (name, change), found in zip(runs, losses, strict=True):
        wanted = cpu[change.get("tuning", "full")]
        apart = max(abs(a - b) / b for a, b in zip(found, wanted, strict=True))
        limit = SAME_CURVE[change.get("dtype", "float32")]
        table.append([name, len(wanted), f"{wanted[-1]:.5f}", f"{found[-1]:.5f}", f"{apart:.1e}", limit])
        report.check(f"the loss of {name} is within {limit} of the CPU's at every step", apart <= limit)
        report.check(f"{name} learns: the last loss is below the first", found[-1] < found[0])
    columns = ["run", "steps", "CPU, float32: last loss", "here", "largest relative difference", "allowed"]
    report.table("Loss curves against the CPU's", columns, table)


def training(bench: Bench, report: Report) -> None:
    """Tokens a second, share of the card's bf16 peak and memory, at the paper's settings where a model fits."""
    memory = 0.97 * 2**30 * bench.card()["memory, GiB"] if bench.on_gpu else 2.0**40
    table, losses = [], {}
    for name, shape, family, change in _training_runs(bench):
        wanted = _training_bytes(bench, shape, change)
        if wanted > memory:
            table.append([name, "", "", f"{wanted / 1e9:.1f}", "", f"does not fit {memory / 1e9:.0f} GB"])
            continue
        base = bench.model(name_of(shape), shape, family=family, dtype="bfloat16" if bench.on_gpu else "float32")
        asked = {"base": base, "rows": 5 * 64 if bench.on_gpu else 24, "save": name.startswith("full, packed:")}
        ranks = ONE_RANK if "sharding" in change else {}
        try:
            found = bench.measure("training", variables=ranks, change=change, **asked)
        except MeasurementError as error:  # out of memory, say: the other runs are still worth having
            report.check(f"{name} runs: {error}", False)
            continue
        losses[name] = found["losses"]
        row = _training_row(bench, report, name=name, shape=shape, change=change, found=found, wanted=wanted)
        table.append([name, *row])
    columns = ["run", "tokens/s", "TFLOP/s (6 P a token, LoRA 4 P), of the measured product"]
    report.table("Training", [*columns, "memory estimated, GB", "peak, GB", "peak / estimate"], table)
    _check_same_losses(report, {name: values for name, values in losses.items() if name.startswith("full")})


def _training_bytes(bench: Bench, shape: Model, change: dict[str, Any]) -> int:
    """Return the estimated peak of a run, bytes."""
    return estimate.training(
        shape, 1, 1, 1, gpus=1, checkpointing=change["gradient_checkpointing"], hardware=hardware_of(bench),
        lora_rank=change.get("lora", {}).get("rank"), sharded="sharding" in change,
    ).memory_bytes_per_gpu  # fmt: skip


def _training_row(
    bench: Bench, report: Report, *, name: str, shape: Model, change: dict[str, Any], found: dict[str, Any], wanted: int
) -> list[str]:
    """Return the measured cells of a run; its memory is checked on a card, where rows are packed as estimated."""
    cells = [f"{found['tokens_per_s']:,.0f}", "", "", f"{found['peak_bytes'] / 1e9:.1f}", ""]
    if not bench.on_gpu:
        return cells
    reached = (4 if "lora" in change else 6) * shape.parameters * found["tokens_per_s"] / 1e12
    cells[1] = f"{reached:.0f} = {reached / bench.card()['bf16 product, TFLOP/s']:.0%}"
    if change.get("packing", True):
        ratio = found["peak_bytes"] / wanted
        cells[2], cells[4] = f"{wanted / 1e9:.1f}", f"{ratio:.2f}"
        report.check(f"{name}: peak memory within {MEMORY_WITHIN:.0%} of the estimate", abs(ratio - 1) <= MEMORY_WITHIN)
    return cells


def _check_same_losses(report: Report, losses: dict[str, list[float]]) -> None:
    """Check that runs which differ in packing, recomputing and sharding alone have the first one's losses."""
    first = next(iter(losses.values()), [])
    allowed = SAME_CURVE["bfloat16"]
    for name, values in list(losses.items())[1:]:
        apart = max(abs(a - b) / b for a, b in zip(values, first, strict=True))
        report.check(f"{name}: losses within {allowed} of the first run's ({apart:.1e})", apart <= allowed)


def _training_runs(bench: Bench) -> list[tuple[str, Model, str, dict[str, Any]]]:
    """Runs of :func:`training`: name, shape, family, and what differs from the paper's settings."""
    plain: dict[str, Any] = {"dtype": "bfloat16", "gradient_checkpointing": True}
    lora = {"tuning": "lora", "learning_rate": 1e-4, "lora": {"rank": 8, "alpha": 16}}
    if not bench.on_gpu:
        plain |= {"dtype": "float32", "global_batch_size": 8, "tokens_per_micro_batch": 2048}
        return [("full, packed", TINY, "llama", plain), ("LoRA, packed", TINY, "llama", plain | lora)]
    catalogue = Catalogue(manifests_folder())
    llama, qwen = (catalogue.model(name, "perf/gpu.py") for name in ("llama-3.2-3b", "qwen-2.5-7b"))
    return [
        ("full, packed: Llama-3.2-3B", llama, "llama", plain),
        ("full, padded by 4: Llama-3.2-3B", llama, "llama", plain | {"packing": False, "per_device_batch_size": 4}),
        ("full, packed, no recomputing: Llama-3.2-3B", llama, "llama", plain | {"gradient_checkpointing": False}),
        ("full, packed, FSDP on one rank: Llama-3.2-3B", llama, "llama", plain | {"sharding": "fsdp"}),
        ("full, packed: Qwen2.5-7B", qwen, "qwen2", plain),
        ("LoRA, packed: Qwen2.5-7B", qwen, "qwen2", plain | lora),
    ]


def engine(bench: Bench, report: Report) -> None:
    """The transformers engine: its contract, the CPU's texts and likelihoods, its speed and memory."""
    tiny = bench.model("tiny", TINY, family="llama", dtype="float32")
    here = bench.measure("observe", engine="transformers", model=tiny)
    cpu = bench.measure("observe", device="cpu", engine="transformers", model=tiny)
    check_contract(report, "transformers", here)
    report.check(
        "greedy texts are the CPU's", [row["text"] for row in here["greedy"]] == [r["text"] for r in cpu["greedy"]]
    )
    apart = max(
        abs(a - b)
        for ours, theirs in zip(here["loglikelihood"], cpu["loglikelihood"], strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    report.check(f"log-likelihoods are the CPU's within 1e-3 nats a token (found {apart:.1e})", apart <= 1e-3)
    shape, dtype = (
        (Catalogue(manifests_folder()).model("llama-3.2-3b", ""), "bfloat16") if bench.on_gpu else (TINY, "float32")
    )
    model = bench.model(name_of(shape), shape, family="llama", dtype=dtype)
    rows, prompt, text = (64, 200, 128) if bench.on_gpu else (4, 50, 8)
    found = bench.measure("speed", model=model, dtype=dtype, rows=rows, prompt=prompt, text=text)
    cost = estimate.generation(shape, rows, found["prompt_tokens"] / rows, text, gpus=1, hardware=hardware_of(bench))
    ratio = found["peak_bytes"] / cost.memory_bytes_per_gpu
    columns = [
        "model",
        "rows",
        "written, tokens/s",
        "scored, tokens/s",
        "memory estimated, GB",
        "peak, GB",
        "peak / estimate",
    ]
    sizes = [f"{cost.memory_bytes_per_gpu / 1e9:.2f}", f"{found['peak_bytes'] / 1e9:.2f}", f"{ratio:.2f}"]
    speeds = [f"{found['tokens_per_s']:,.0f}", f"{found['scored_per_s']:,.0f}"]
    report.table("The transformers engine", columns, [[name_of(shape), rows, *speeds, *sizes]])
    if bench.on_gpu:
        report.check(
            f"generation's peak memory within {MEMORY_WITHIN:.0%} of the estimate", abs(ratio - 1) <= MEMORY_WITHIN
        )


def scoring(bench: Bench, report: Report) -> None:
    """Losses behind IFD, ours and the authors' way in turns: the same numbers in float32, and the speed in bf16."""
    tiny = bench.model("tiny-long", TINY, family="llama", dtype="float32")
    ours, theirs = (bench.measure("score", side=side, model=tiny, dtype="float32", rows=8) for side in SIDES)
    apart = max(
        abs(a - b) / b
        for one, other in zip(ours["losses"], theirs["losses"], strict=True)
        for a, b in zip(one, other, strict=True)
    )
    report.check(f"losses are those of the authors' way within 1e-3 (found {apart:.1e})", apart < 1e-3)
    shape, dtype = (
        (Catalogue(manifests_folder()).model("llama-3.2-3b", ""), "bfloat16") if bench.on_gpu else (TINY, "float32")
    )
    model, rows = bench.model(name_of(shape), shape, family="llama", dtype=dtype), 400 if bench.on_gpu else 16
    found = {side: bench.measure("score", side=side, model=model, dtype=dtype, rows=rows) for side in SIDES}
    cells = [
        [f"{name_of(shape)}, {side}", rows, f"{rows / one['seconds']:.1f}", f"{one['tokens'] / rows:.0f}",
         f"{one['gflops'] / 1e3:.2f}", f"{one['peak_bytes'] / 1e9:.1f}"]
        for side, one in found.items()
    ]  # fmt: skip
    columns = ["model, way", "rows", "rows/s", "tokens a row", "products with weights, TFLOP/s", "peak, GB"]
    report.table("Losses behind IFD", columns, cells)
    times = found["authors"]["seconds"] / found["kit"]["seconds"]
    if bench.on_gpu:
        report.check(f"at least ten times the rows a second of the authors' way (found {times:.1f})", times >= 10)


PARTS: dict[str, Callable[[Bench, Report], None]] = {
    part.__name__: part for part in (card, curves, training, engine, scoring, vllm, table)
}


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART", help=f"any of: {', '.join(PARTS)}")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    arguments = parser.parse_args()
    if arguments.device == "cuda":
        speed.need_card()
    report, started = Report(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kit-gpu-") as folder:
        bench = Bench(arguments.device, Path(folder))
        for name in arguments.parts or PARTS:
            try:
                PARTS[name](bench, report)
            except MeasurementError as error:
                report.check(f"part {name} runs: {error}", False)
    print(f"\n{time.perf_counter() - started:.0f} s in all; checks that did not hold: {len(report.failed)}")
    sys.exit(bool(report.failed))


if __name__ == "__main__":
    speed.run(main)
