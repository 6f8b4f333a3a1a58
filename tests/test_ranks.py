"""Rows spread over ranks: two processes under ``accelerate launch`` give the rows of one, in the same order."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kit.engines import EngineSettings, Sampling
from kit.machine.ranks import spread
from kit.metrics import ifd
from kit.prompts import fingerprint
from kit.records import Pair, Score, read_rows, write_rows
from kit.run.execute import Outcome, execute
from kit.run.launch import Options
from kit.stages.respond import PROMPTS
from kit.store import Job, Store, sha256_file
from tests.tiny_model import save

SEEDS = [{"instruction": f"Name {n} rivers.", "input": "", "output": ""} for n in range(5)]


def fetch(path: Path) -> Job:
    params = {"kind": "file", "name": path.name, "sha256": sha256_file(path)}
    return job("fetch", params, {}, resources={"source": {"path": str(path)}})


def job(stage: str, params: dict[str, Any], inputs: dict[str, str], resources: dict[str, Any] | None = None) -> Job:
    return Job(
        id=f"{stage}/test",
        stage=stage,
        version=f"{stage}-1",
        environment="cpu",
        lock="",
        params=params,
        inputs=inputs,
        resources=resources or {},
    )


def respond(data: Job, model: Job, world: int) -> Job:
    params = {
        "seeds": "s",
        "format": "alpaca",
        "rows": None,
        "seed": 42,
        "sampling": asdict(Sampling(max_tokens=8)),
        "prompts": "kit",
        "prompts_hash": fingerprint("kit", PROMPTS),
        "engine": asdict(EngineSettings(name="fake", max_model_len=256)),
        "world": world,
    }
    return job("respond", params, {"seeds": data.key, "model": model.key})


def run(tmp_path: Path, world: int) -> tuple[Store, Job, Outcome]:
    seeds = tmp_path / "seeds.json"
    seeds.write_text(json.dumps(SEEDS), encoding="utf-8")
    model = tmp_path / "model.json"
    model.write_text("{}", encoding="utf-8")
    data, weights = fetch(seeds), fetch(model)
    work = respond(data, weights, world)
    store = Store.open(tmp_path / f"store-{world}")
    jobs = {one.key: one for one in (data, weights, work)}
    return store, work, execute(jobs, store, Options(store=store.root), lambda *_: None)


def test_one_rank_computes_all_rows_itself() -> None:
    assert spread([1, 2, 3], 1, lambda part: [10 * n for n in part]) == [10, 20, 30]


@pytest.mark.real
def test_two_ranks_give_the_rows_of_one(tmp_path: Path) -> None:
    found = []
    for world in (1, 2):
        store, work, outcome = run(tmp_path, world)
        assert outcome.failed == {}
        found.append((store.get(work.key).folder / "pairs.jsonl").read_text(encoding="utf-8"))
    assert found[0] == found[1]
    assert len(found[0].splitlines()) == len(SEEDS)


@pytest.mark.real
def test_fewer_processes_than_planned_fail_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # `accelerate launch --cpu --num_processes 2` used to start one process and say nothing
    monkeypatch.setattr("kit.run.launch._accelerate_options", lambda shape, cpu: ["--num_processes", "1", "--cpu"])
    _, work, outcome = run(tmp_path, 2)
    assert outcome.failed == {work.key: "the plan asks for 2 processes, 1 were started"}


def committed(store: Store, name: str, write: Callable[[Path], object]) -> Job:
    """Commit what is written into a folder, as if a job had made it."""
    made = job("fetch", {"kind": "file", "name": name, "sha256": ""}, {})
    store.plan(made)
    with store.scratch(made.key) as folder:
        write(folder)
        store.commit(made, folder, rows=1, facts={}, provenance={})
    return made


def scores(tmp_path: Path, world: int, rows: list[Pair]) -> dict[str, dict[str, float]]:
    """Score pairs by IFD with so many processes: row -> its values."""
    store = Store.open(tmp_path / f"store-{world}")
    pairs = committed(store, "pairs", lambda folder: write_rows(folder / "pairs.jsonl", rows))
    model = committed(store, "model", save)
    params = {"metric": "ifd", "rows": None, "options": dict(ifd.OPTIONS), "dtype": "float32", "max_tokens": 0}
    work = job("score", {**params, "world": world}, {"pairs": pairs.key, "model": model.key})
    outcome = execute({one.key: one for one in (pairs, model, work)}, store, Options(store=store.root), lambda *_: None)
    assert outcome.failed == {}
    return {row.id: dict(row.values) for row in read_rows(store.get(work.key).folder / "scores.jsonl", Score)}


@pytest.mark.real
def test_two_ranks_give_the_scores_of_one(tmp_path: Path) -> None:
    # each rank batches its own rows: only rounding may differ
    rows = [
        Pair(id=str(n), instruction=f"Count to {n}.", output=" ".join(map(str, range(n + 1)))) for n in range(1, 10)
    ]
    alone, shared = (scores(tmp_path, world, rows) for world in (1, 2))
    assert list(alone) == list(shared) == [row.id for row in rows]
    for row, values in alone.items():
        assert values and shared[row] == pytest.approx(values, rel=1e-5), row
