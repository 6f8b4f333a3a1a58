"""What the parts of perf/gpu.py share: the measuring processes, models with random weights, the report."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kit.catalogue.entries import Model
from kit.plan import estimate

ROOT = Path(__file__).resolve().parents[1]
ONE_RANK = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517"}
"""The variables that ``accelerate launch`` would set for one sharded rank."""
LONGEST_S = 300
"""Seconds that one measurement may take."""
TINY = Model(
    folder="tiny", parameters=1, layers=2, hidden=128, intermediate=256, heads=2, kv_heads=1, vocab=512, context=2048,
    tied_embeddings=True, licence="none",
)  # fmt: skip
SMALL = TINY.model_copy(
    update={"layers": 4, "hidden": 256, "intermediate": 704, "heads": 4, "kv_heads": 2, "vocab": 4096}
)


class Report:
    """Markdown of what was measured, printed as it comes, and the checks that did not hold."""

    def __init__(self) -> None:
        self.failed: list[str] = []

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Print a titled table."""
        cells = [columns, ["---"] * len(columns), *rows]
        lines = ("| " + " | ".join(map(str, row)) + " |" for row in cells)
        print(f"\n### {title}\n", *lines, sep="\n", flush=True)

    def check(self, text: str, holds: bool) -> None:
        """Print whether a check holds, and remember it if it does not."""
        print(f"\n{'ok' if holds else 'FAILED'}: {text}", flush=True)
        if not holds:
            self.failed.append(text)


class MeasurementError(Exception):
    """A measuring process ended before it had measured; holds what it printed."""


class Bench:
    """Where measurements run: the device, a folder for models, and the processes."""

    def __init__(self, device: str, folder: Path) -> None:
        self.device = device
        self.folder = folder
        self.on_gpu = device == "cuda"
        self._card: dict[str, Any] = {}

    def measure(self, task: str, *, device: str = "", variables: dict[str, str] | None = None, **asked: Any) -> Any:
        """Run one task of perf/gpu_tasks.py in a process of its own and return what it found."""
        started = time.perf_counter()
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"} | (variables or {})
        if (device or self.device) == "cpu":
            environment |= {"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
        words = [sys.executable, str(ROOT / "perf/gpu_tasks.py"), task, json.dumps(asked)]
        try:
            done = subprocess.run(
                words, env=environment, capture_output=True, text=True, check=False, timeout=LONGEST_S
            )
        except subprocess.TimeoutExpired as error:
            said = (error.stderr or b"")[-4000:]
            raise MeasurementError(f"{task} {asked}: not done after {LONGEST_S} s\n{said!r}") from error
        if done.returncode:
            raise MeasurementError(f"{task} {asked}\n{done.stdout[-1000:]}\n{done.stderr[-4000:]}")
        print(f"<!-- {task}: {time.perf_counter() - started:.0f} s -->", flush=True)
        return json.loads(done.stdout.splitlines()[-1])

    def card(self) -> dict[str, Any]:
        """Return the card's name, software, memory and measured peaks."""
        self._card = self._card or self.measure("card")
        return self._card

    def model(self, name: str, shape: Model, *, family: str, dtype: str, seed: int = 0) -> str:
        """Return the folder of a model with random weights, made at the first call."""
        folder = self.folder / f"{name}-{dtype}"
        if not folder.exists():
            asked = {"folder": str(folder), "shape": shape.model_dump(), "family": family, "dtype": dtype}
            self.measure("make", **asked, seed=seed)
        return str(folder)


def check_contract(report: Report, name: str, seen: dict[str, Any]) -> None:
    """Check what tests/engines/test_contract.py asks of every engine and any model, random weights too."""
    texts = [row["text"] for row in seen["greedy"]]
    other = [row["text"] for row in seen["drawn_other_seed"]]
    long = seen["too_long"][1]
    checks = {
        "results come in input order": [row["id"] for row in seen["greedy"]] == [f"row/{i}" for i in range(8)],
        "the same prompt gives the same greedy text": texts[:4] == texts[4:],
        "a greedy text is the same alone": seen["alone"] == [seen["greedy"][2]],
        "the seed decides a drawn text, whatever the order": seen["drawn"] == seen["drawn_again"],
        "another seed gives another text": other != [seen["drawn"][0]["text"], seen["drawn"][2]["text"]],
        "a prompt without room gets an empty text": (long["text"], long["finish_reason"]) == ("", "too_long"),
        "log-likelihoods are at most 0": all(value <= 0 for row in seen["loglikelihood"] for value in row),
        "an engine opens after another was closed": seen["second_engine"] == seen["greedy"],
    }
    for text, holds in checks.items():
        report.check(f"{name}: {text}", holds)


def name_of(shape: Model) -> str:
    """Return the last part of a model's repository, or its folder's name."""
    return shape.hub.repo.rpartition("/")[2] if shape.hub else str(shape.folder)


def hardware_of(bench: Bench) -> estimate.Machine:
    """Return the machine whose number types an estimate is made for."""
    return estimate.machine("h100-80gb" if bench.on_gpu else "cpu-2-cores")
