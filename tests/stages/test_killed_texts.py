"""Stages in which a model writes: a killed job goes on from its last part, with the bytes of a run without parts."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit.files.parts import PART_ROWS
from kit.run.worker import JobContext, run_job
from kit.stages import answer, evolve, judge, probe, respond
from kit.store import Job, Store, sha256_file
from tests.dying import run_driver
from tests.stages import killed_texts as driver
from tests.word_chat import WordChat

ROWS, KILLS = 600, 4
TEXT: dict[str, Any] = {
    "seed": 42,
    "sampling": {"max_tokens": 64},
    "prompts": "kit",
    "engine": {"name": "fake", "max_model_len": 400, "max_num_seqs": 8},
}
SEEDS = {"seeds": "s", "format": "alpaca", "rows": None}
EVOLVE = {"scenario": "evol_instruct", "round": 1, "breadth": True}
JUDGE = {"benchmark": "alpacafarm", "protocol": "paper", "rows": None, "prompts": "kit", "engine": TEXT["engine"]}
SAMPLING = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 64}
STAGES: dict[str, tuple[Any, dict[str, Any], str]] = {
    # stage, parameters, what it reads
    "evolve": (evolve, TEXT | SEEDS | EVOLVE, "seeds"),
    "respond": (respond, TEXT | SEEDS, "seeds"),
    "answer": (answer, TEXT | {"benchmark": "gsm8k", "rows": None}, "problems"),
    "judge by replies": (judge, JUDGE | {"judge_by": "text", "sampling": SAMPLING}, "answers"),
    "judge by labels": (judge, JUDGE | {"judge_by": "labels"}, "answers"),
    "probe": (probe, TEXT | SEEDS | EVOLVE | {"first": None}, "seeds"),
}


def words(number: int) -> str:
    """Return a text of many lengths; one in a hundred leaves the model no room."""
    return f"Say {number}." + " please" * (500 if number % 100 == 7 else number % 13)


def rows_of(kind: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each input of a kind of job, by the role."""
    every = range(ROWS)
    if kind == "seeds":
        return {"seeds": [{"instruction": words(n), "input": "", "output": ""} for n in every]}
    if kind == "problems":
        return {"data": [{"question": words(n), "answer": "#### 1"} for n in every]}
    return {
        "data": [{"instruction": words(n), "output": f"No {n}."} for n in every],
        "completions": [{"id": str(n), "text": f"Yes {n}."} for n in every],
    }


def job(stage: str, name: str, params: dict[str, Any], inputs: dict[str, str]) -> Job:
    return Job(
        id=f"{stage}/{name}", stage=stage, version="1", environment="grade", lock="",
        params=params or {"name": name}, inputs=inputs,
    )  # fmt: skip


def job_of(store: Store, name: str) -> Job:
    """Commit what a job reads, and return the job."""
    stage, params, reads = STAGES[name]
    inputs: dict[str, str] = {}
    for role, rows in ({"model": []} | rows_of(reads)).items():
        fetch = job("fetch", f"{name}-{role}", {}, {})
        store.plan(fetch)
        with store.scratch(fetch.key) as folder:
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (folder / f"{role}.jsonl").write_text(text if role != "seeds" else json.dumps(rows))
            store.commit(fetch, folder, rows=ROWS, facts={}, provenance={})
        inputs[role] = fetch.key
    found = job(stage.__name__.rpartition(".")[2], name, params, inputs)
    store.plan(found)
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, dict[str, tuple[Job, dict[str, Any]]]]:
    """A store in which a job of each stage was killed some times and then ended, with what the driver counted."""
    store = Store.open(tmp_path_factory.mktemp("runs") / "store")
    made = {name: job_of(store, name) for name in STAGES}
    words = [str(store.root), "14", str(KILLS), *(job.key for job in made.values())]
    counts = [json.loads(line) for line in run_driver(driver, *words).splitlines() if line.startswith("{")]
    return store, dict(zip(STAGES, zip(made.values(), counts, strict=True), strict=True))


@pytest.mark.parametrize("name", STAGES)
def test_killed_at_random_moments_it_ends_with_the_bytes_of_a_run_without_parts(
    name: str, runs: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    store, (made, found) = runs[0], runs[1][name]
    assert found["code"] == 0, (store.root / "failed" / f"{made.key}.json").read_text()
    assert found["killed"] >= KILLS // 2
    # each kill costs a part at most: nothing of a part that was kept is computed again
    calls = ROWS if name != "judge by labels" else -(-ROWS // 32)
    assert calls <= found["rows"] < calls + found["killed"] * PART_ROWS
    assert not list((store.root / "parts").iterdir())
    monkeypatch.setattr("kit.judges.local.open_chat", lambda *_: WordChat())
    context = JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *_, **__: None)
    stage, params, _ = STAGES[name]
    (tmp_path / "whole").mkdir()
    inputs = {role: store.input_folder(key) for role, key in made.inputs.items()}
    stage.run(params, inputs, tmp_path / "whole", context)
    whole = {file.name: sha256_file(file) for file in (tmp_path / "whole").iterdir()}
    assert whole == {name: file["sha256"] for name, file in store.get(made.key).files.items()}
    assert len(whole) == 1


def test_what_an_attempt_left_that_was_killed_right_after_its_commit_goes_with_the_next(runs: Any):
    store, (made, _) = runs[0], runs[1]["evolve"]
    (store.root / "parts" / f"{made.key}-{'0' * 16}-000000-1-{'0' * 64}.jsonl").write_text("{}\n")
    context = JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *_, **__: None)
    assert run_job(store, made.key, context)
    assert not list((store.root / "parts").iterdir())
