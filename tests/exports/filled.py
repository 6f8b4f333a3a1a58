"""A store with every job of a small plan, filled with texts of the test's own: no model, no engine, no sandbox."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.benchmarks import Grouped
from kit.benchmarks._results import results
from kit.plan import Plan
from kit.plan.planning import plan_manifest
from kit.records import Completion, Grade, Problem, Verdict, write_rows
from kit.stages import data_path
from kit.store import Job, Store

BENCHMARKS = ("gsm8k", "ifeval", "humaneval", "mmlu", "ceval", "hendrycks_math", "mbpp", "followbench", "alpacafarm")
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PROVENANCE = {
    "started_at": "2026-01-31T12:00:00+01:00",
    "wall_s": 90.5,
    "commit": COMMIT,
    "dirty": False,
    "packages": {"evolkit": "0.1.0", "transformers": "5.19.0"},
    "machine": {"cores": 2},
}
HOSTILE = (
    "</script><script>alert(1)</script>",
    "nul \x00, bell \x07, escape \x1b[31m, next line \x85, separators \u2028\u2029",
    "half of a character \ud83d and the other \ude00",
    "x" * 100_000,
    "attachment://0123456789abcdef",
    "\u202eturned around",
    "",
    "{{ template }} %s {0} \\ \" ' \r\n\t",
)
"""Answers of a model that make trouble somewhere."""
MANIFEST = """
schema = 1
scale = "smoke"
title = "Own"

[seeds]
tiny = { dataset = "mini-alpaca", rows = 2 }

[[experiment]]
id = "own"
scenario = "evol_instruct"
seeds = "tiny"
evolver = ["smollm2-135m-instruct"]
responder = "smollm2-135m-instruct"
base = ["smollm2-29l", "smollm2-31l"]
round = 1
seed = 42
evolve = { temperature = 0.7, max_tokens = 16 }
respond = { temperature = 0.0, max_tokens = 16 }
benchmarks = [BENCHMARKS]

[experiment.sft]
learning_rate = 2e-5
epochs = 1
global_batch_size = 2
warmup_ratio = 0.03
max_length_tokens = 128
"""


def own_plan(folder: Path, benchmarks: Sequence[str] = BENCHMARKS) -> Plan:
    """Plan two models that are tuned on one set and answer some benchmarks."""
    names = ", ".join(f'"{name}"' for name in benchmarks)
    (folder / "own.toml").write_text(MANIFEST.replace("BENCHMARKS", names), encoding="utf-8")
    return plan_manifest(folder / "own.toml")


def filled(root: Path, plan: Plan, provenance: Mapping[str, Any] = PROVENANCE) -> Store:
    """Return a store with every job of a plan."""
    store = Store.open(root)
    for job in plan.jobs.values():
        commit(store, job, provenance)
    return store


def commit(store: Store, job: Job, provenance: Mapping[str, Any] = PROVENANCE) -> None:
    """Commit a job with rows as its stage writes them."""
    store.plan(job)
    with store.lock(job.key), store.scratch(job.key) as out:
        rows = {"fetch": _fetch, "answer": _answer, "judge": _judge, "grade": _grade}.get(job.stage, _other)(
            store, job, out
        )
        store.commit(job, out, rows=rows, facts={}, provenance=provenance)


def problems_of(store: Store, job: Job) -> list[Problem]:
    """Return the problems that a job asks or grades."""
    benchmark = registry.load("benchmarks", str(job.params["benchmark"]))
    return benchmark.read(data_path(store.input_folder(job.inputs["data"])))[: job.params["rows"]]


def _fetch(store: Store, job: Job, out: Path) -> int:
    source = Path(str(job.resources.get("source", {}).get("path", "")))
    if source.is_file():
        shutil.copy(source, out / source.name)
    elif source.is_dir() and source.parent.name == "bundled":
        shutil.copytree(source, out, dirs_exist_ok=True)
    else:
        (out / "model.bin").write_text(job.id, encoding="utf-8")
    return 0


def _answer(store: Store, job: Job, out: Path) -> int:
    rows = [
        Completion(
            id=problem.id,
            text=HOSTILE[number % len(HOSTILE)] if number < len(HOSTILE) else f"Answer {number}.\n#### {number}",
            prompt_tokens=10 + number,
            tokens=number,
            finish_reason=("stop", "length", "too_long")[number % 3],
        )
        for number, problem in enumerate(problems_of(store, job))
    ]
    return write_rows(out / "completions.jsonl", rows)


def _judge(store: Store, job: Job, out: Path) -> int:
    rows = []
    for number, problem in enumerate(problems_of(store, job)):
        rows += [
            Verdict(id=f"{problem.id}{part}", label="yes" if number % 2 else "", text=f"I say: {HOSTILE[number % 8]}")
            for part in ("#1", "#2")
        ]
    return write_rows(out / "verdicts.jsonl", rows)


def _grade(store: Store, job: Job, out: Path) -> int:
    benchmark = registry.load("benchmarks", str(job.params["benchmark"]))
    problems = problems_of(store, job)
    grades = [
        Grade(
            id=problem.id,
            scores=_scores(benchmark.METRICS, number),
            answer=f"read \ud83d {number}" if number % 4 else "",
            reason="" if number % 3 == 0 else "another \x00 number",
        )
        for number, problem in enumerate(problems)
    ]
    groups = {one.id: benchmark.group(one) for one in problems} if isinstance(benchmark, Grouped) else None
    write_rows(out / "grades.jsonl", grades)
    write_rows(out / "results.jsonl", results(grades, benchmark.METRICS, groups))
    return len(grades)


def _scores(metrics: Mapping[str, Any], number: int) -> dict[str, list[float]]:
    """Return scores of an item: two units of every second metric, and none of the last of several for some items."""
    found: dict[str, list[float]] = {}
    for place, name in enumerate(metrics):
        units = 1 + place % 2
        found[name] = [float(number % (units + 1)), float(units)]
    if len(found) > 1 and number % 5 == 4:
        del found[name]
    return found


def _other(store: Store, job: Job, out: Path) -> int:
    (out / "rows.jsonl").write_text('{"id":"0"}\n', encoding="utf-8")
    return 1
