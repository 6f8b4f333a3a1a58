"""Checkpoints of a training job: killed at any moment, it ends with the bytes of a run that was never stopped."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from kit.records import write_rows
from kit.stages import sft
from kit.store import Job, Store, sha256_file
from tests.dying import run_driver
from tests.training import killed_training as driver
from tests.training.conftest import PARAMS, make_pairs

pytestmark = pytest.mark.real

KILLS = 5
LONGER = PARAMS | {"epochs": 4, "learning_rate": 2e-3}
LORA = {"rank": 4, "alpha": 8, "dropout": 0.3, "targets": "all-linear"}
JOBS: dict[str, dict[str, Any]] = {
    "full": LONGER,
    # dropout draws random numbers at each step
    "an adapter in bfloat16": LONGER | {"tuning": "lora", "lora": LORA, "save": "adapter", "dtype": "bfloat16"},
}
STEPS = 12


def committed(store: Store, name: str, files: Path) -> str:
    """Commit a copy of a folder, and return its key."""
    job = Job(
        id=f"fetch/{name}", stage="fetch", version="1", environment="grade", lock="", params={"n": name}, inputs={}
    )
    store.plan(job)
    with store.scratch(job.key) as folder:
        shutil.copytree(files, folder, dirs_exist_ok=True)
        store.commit(job, folder, rows=1, facts={}, provenance={})
    return job.key


def inputs_of(store: Store, base: Path, folder: Path) -> dict[str, str]:
    """Commit pairs and a base, and return their keys by role."""
    write_rows(folder / "pairs.jsonl", make_pairs(11))
    return {"pairs": committed(store, "pairs", folder), "base": committed(store, "base", base)}


def jobs_of(store: Store, base: Path, folder: Path) -> dict[str, Job]:
    """Return the jobs, whose inputs are in the store."""
    inputs = inputs_of(store, base, folder)
    made = {
        name: Job(
            id=f"sft/{number}", stage="sft", version="2", environment="cpu", lock="", params=params, inputs=inputs
        )
        for number, (name, params) in enumerate(JOBS.items())
    }
    for job in made.values():
        store.plan(job)
    return made


@pytest.fixture(scope="module")
def runs(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, tuple[Job, dict[str, Any]]]]:
    """A store in which each job was killed some times and then ended, with what the driver counted."""
    store = Store.open(tmp_path_factory.mktemp("runs") / "store")
    made = jobs_of(store, base, tmp_path_factory.mktemp("pairs"))
    words = [str(store.root), "14", str(KILLS), *(job.key for job in made.values())]
    printed = run_driver(driver, *words, OMP_NUM_THREADS="1", ACCELERATE_USE_CPU="true")
    counts = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return store, dict(zip(JOBS, zip(made.values(), counts, strict=True), strict=True))


@pytest.mark.parametrize("name", JOBS)
def test_killed_at_random_moments_it_ends_with_the_bytes_of_an_unbroken_run(name: str, runs: Any):
    store, (made, found) = runs[0], runs[1][name]
    assert found["code"] == 0, (store.root / "failed" / f"{made.key}.json").read_text()
    assert found["killed"] >= 3
    assert STEPS <= found["steps"] <= STEPS + found["killed"]  # a kill costs the step that it came in
    assert not list((store.root / "parts").iterdir())
    folder = store.root / "whole" / made.key
    whole = {str(path.relative_to(folder)): sha256_file(path) for path in folder.rglob("*") if path.is_file()}
    assert whole == {name: file["sha256"] for name, file in store.get(made.key).files.items()}
    assert len((folder / sft.LOG).read_text().splitlines()) == STEPS
