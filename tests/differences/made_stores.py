"""Stores of a small made-up run: the chain from seeds to a grading, each job committed with texts of the test's own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.store import Job, Store

RIGHT = (1, 0, 1, 1, 0, 0, 1, 0)
"""Items that are right, 1, and wrong, 0, where a test does not say."""


def jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as the kit writes them, one a line."""
    return "".join(json.dumps(row, sort_keys=True, separators=(",", ":")) + "\n" for row in rows)


def commit(
    store: Store,
    job: Job,
    files: Mapping[str, str],
    started: str = "2026-01-01T00:00:00+00:00",
    ran_on: Mapping[str, Any] | None = None,
) -> str:
    """Commit an artifact of some text files, and return its key; one that is there stays."""
    store.plan(job)
    if store.has(job.key):
        return job.key
    with store.scratch(job.key) as out:
        for name, text in files.items():
            (out / name).write_text(text, encoding="utf-8")
        store.commit(job, out, rows=0, facts={}, provenance={"started_at": started, **(ran_on or {})})
    return job.key


def grades(right: Sequence[float], metric: str = "gsm8k", first: int = 0) -> list[dict[str, Any]]:
    """Return a grade for each item."""
    return [
        {"id": str(first + n), "scores": {metric: [one, 1]}, "answer": str(n), "reason": ""}
        for n, one in enumerate(right)
    ]


def texts(words: Sequence[str]) -> list[dict[str, Any]]:
    """Return a completion for each text."""
    return [{"id": str(n), "text": word} for n, word in enumerate(words)]


def make_run(
    root: Path,
    *,
    name: str = "small",
    seeds: Mapping[str, int] | None = None,
    versions: Mapping[str, str] | None = None,
    params: Mapping[str, Mapping[str, Any]] | None = None,
    locks: Mapping[str, str] | None = None,
    model: str = "",
    rows: Sequence[Mapping[str, Any]] | None = None,
    words: Sequence[str] = tuple(f"text {n}" for n in range(8)),
    pairs: str = '{"id":"0"}\n',
    started: str = "2026-01-01T00:00:00+00:00",
    ran_on: Mapping[str, Any] | None = None,
) -> dict[str, str]:
    """Commit a run of six stages to a store, and return the key of each stage's job.

    Args:
        root: folder of the store, made if it is not there.
        name: the evolver's name, which stands in ids.
        seeds: stage -> its seed where it is not 42.
        versions: stage -> its version where it is not the usual one.
        params: stage -> parameters beside the usual ones.
        locks: stage -> its lock where it is not the usual one.
        model: name of the model that evolves; the evolver's own name by default.
        rows: the grades; those of :data:`RIGHT` by default.
        words: the completions.
        pairs: the bytes that ``respond`` wrote.
        started: when the jobs ran.
        ran_on: the rest of their provenance.
    """
    store, keys = Store.open(root), dict[str, str]()

    def made(stage: str, id: str, own: Mapping[str, Any], inputs: Mapping[str, str], files: dict[str, str]) -> str:
        job = Job(
            id=f"{stage}/{id}",
            stage=stage,
            version=(versions or {}).get(stage, f"{stage}-1"),
            environment="cpu",
            lock=(locks or {}).get(stage, "a" * 64),
            params={**own, **(params or {}).get(stage, {})},
            inputs=dict(inputs),
        )
        return commit(store, job, files, started, ran_on)

    def seed(stage: str) -> dict[str, int]:
        return {"seed": (seeds or {}).get(stage, 42)}

    keys["fetch"] = made("fetch", "seeds", {"name": "seeds"}, {}, {"seeds.json": "[]\n"})
    model = model or name
    keys["model"] = made("fetch", model, {"name": model}, {}, {"model.bin": model})
    inputs = {"seeds": keys["fetch"], "model": keys["model"]}
    keys["evolve"] = made("evolve", f"{name}/round-1", seed("evolve"), inputs, {"instructions.jsonl": '{"id":"0"}\n'})
    keys["respond"] = made("respond", f"{name}/round-1", {}, {"instructions": keys["evolve"]}, {"pairs.jsonl": pairs})
    keys["sft"] = made("sft", name, seed("sft"), {"pairs": keys["respond"]}, {"model.bin": str(seed("sft"))})
    inputs = {"model": keys["sft"], "data": keys["fetch"]}
    keys["answer"] = made(
        "answer", f"gsm8k/{name}", {"benchmark": "gsm8k"}, inputs, {"completions.jsonl": jsonl(texts(words))}
    )
    inputs = {"completions": keys["answer"], "data": keys["fetch"]}
    own = {"benchmark": "gsm8k", "protocol": "default"}
    keys["grade"] = made("grade", f"gsm8k/{name}", own, inputs, {"grades.jsonl": jsonl(rows or grades(RIGHT))})
    return keys
