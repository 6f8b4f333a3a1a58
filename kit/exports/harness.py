"""Results and samples as lm-evaluation-harness 0.4 writes them with ``--output_path`` and ``--log_samples``.

    FOLDER/<model>/results_<time>.json           one for each model that answered
    FOLDER/<model>/samples_<task>_<time>.jsonl   one for each of its gradings, a line an item

Written after ``EvaluationTracker`` and ``evaluate``:
https://github.com/EleutherAI/lm-evaluation-harness/blob/v0.4.13/lm_eval/loggers/evaluation_tracker.py
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kit
from kit import registry
from kit.exports import (
    UNKNOWN_TIME,
    Grading,
    Written,
    commit_of,
    ended,
    example_count,
    expected,
    gradings_of,
    item_values,
    judge_replies,
    results_of,
    seconds,
    started,
    write_text,
)
from kit.exports.texts import dump, file_name, sha256_text, whole
from kit.items import Graded, Item, graded_items
from kit.measures import Measure
from kit.plan import Plan
from kit.records import Result
from kit.stages import data_path
from kit.store import Artifact, Store

FILTER = "none"
"""Name of the filter: the whole text was graded."""
LONGEST_FOLDER = 200
"""Characters of a folder's name; file systems take 255 bytes."""
AGGREGATIONS = {"share": "mean", "mean": "mean", "mean over groups": "mean over groups", "count": "sum"}
"""Kind of a measure -> the name of its aggregation in a task's configuration."""

DIRECTIONS: Mapping[str, bool | None] = {"alpacafarm_lose": False, "alpacafarm_tie": None}
"""Metric -> whether more is better; None where neither is. Of all others more is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One grading as a task of the harness."""

    name: str
    graded: Graded
    results: Mapping[str, Result]
    grading: Grading
    original: int
    """Problems in the benchmark's file, of which a scale may take the first."""
    hash: str
    """sha256 over the samples' hashes, as the harness counts it."""


def write(plan: Plan, store: Store, out: Path, command: str) -> Written:
    """Write the gradings behind the tables of a plan into a folder.

    Args:
        plan: the tables, with their jobs.
        store: has the artifacts.
        out: the folder, made if it is not there.
        command: runs the jobs of the plan.

    Raises:
        KitError: a grading is not done, or something behind it is missing or was changed.
    """
    gradings, others = gradings_of(plan, store, command)
    models: dict[str, list[Grading]] = {}
    for one in gradings:
        models.setdefault(one.model, []).append(one)
    samples = sum(_write_model(plan, store, out, found) for found in models.values())
    lines = [f"{len(models):,} models, {len(gradings):,} tasks, {samples:,} samples"]
    lines += [f"{others:,} scorings of instruction sets left out: the format has no place for them"] if others else []
    undated = sum(started(store.get(one.key)) == UNKNOWN_TIME for one in gradings)
    lines += [f"{undated:,} gradings do not say when they ran: dated 1970"] if undated else []
    return Written(files=len(models) + len(gradings), lines=tuple(lines))


def sanitized(model: str) -> str:
    """Return a model's name as the harness makes a folder's name of it; a long one ends with its hash."""
    name = re.sub(r"[\"<>:/|\\?*\[\]]+", "__", whole(model))
    return name if len(name) <= LONGEST_FOLDER else f"{name[: LONGEST_FOLDER - 9]}-{sha256_text(model)[:8]}"


def time_name(time: datetime) -> str:
    """Return a time as it stands in names of files, UTC: ``2026-01-31T12-00-00.000000``."""
    return time.replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")


def _write_model(plan: Plan, store: Store, out: Path, gradings: Sequence[Grading]) -> int:
    """Write the files of one model and return the number of its samples."""
    heads = [store.get(one.key) for one in gradings]
    when = time_name(max(map(ended, heads)))
    folder = out / sanitized(gradings[0].model)
    tasks = []
    for name, grading in _task_names(gradings):
        graded = graded_items(store, grading.key)
        samples = [_sample(number, item, grading) for number, item in enumerate(graded.items)]
        write_text(folder, f"samples_{name}_{when}.jsonl", "".join(dump(one) + "\n" for one in samples))
        tasks.append(
            Task(
                name=name,
                graded=graded,
                results=results_of(store, graded),
                grading=grading,
                original=_problem_count(store, graded),
                hash=sha256_text("".join(one["doc_hash"] + one["prompt_hash"] + one["target_hash"] for one in samples)),
            )
        )
    write_text(folder, f"results_{when}.json", dump(_results(plan, store, tasks, heads), indent=2))
    return sum(len(task.graded.items) for task in tasks)


def _task_names(gradings: Sequence[Grading]) -> list[tuple[str, Grading]]:
    """Return the name of each grading's task: its benchmark, with a part of the key where the model has several."""
    names = [str(one.job.params["benchmark"]) for one in gradings]
    return [
        (file_name(name if names.count(name) == 1 else f"{name}-{one.key[:8]}"), one)
        for name, one in zip(names, gradings, strict=True)
    ]


def _problem_count(store: Store, graded: Graded) -> int:
    """Return the number of problems in the benchmark's file."""
    benchmark = registry.load("benchmarks", graded.benchmark)
    return len(benchmark.read(data_path(store.input_folder(graded.job.inputs["data"]))))


def _sample(number: int, item: Item, grading: Grading) -> dict[str, Any]:
    """Return an item as a line of the samples' file."""
    prompt = dump([{"role": turn.role, "content": turn.content} for turn in item.prompt]) if item.prompt else ""
    values, target, doc = item_values(item), whole(expected(item)), whole(dict(item.problem))
    return {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": _generation(grading)}},
        "resps": [[item.text]],
        "filtered_resps": [item.text],
        "filter": FILTER,
        "metrics": list(values),
        "doc_hash": sha256_text(dump(doc, indent=2)),
        "prompt_hash": sha256_text(prompt),
        "target_hash": sha256_text(target),
        **values,
        "kit": {
            "id": item.id,
            "state": item.state,
            "answer": item.answer,
            "reason": item.reason,
            "scores": {name: list(units) for name, units in item.scores.items()},
            "finish_reason": item.finish_reason,
            "prompt_tokens": item.prompt_tokens,
            "tokens": item.tokens,
            "verdicts": judge_replies(item),
        },
    }


def _generation(grading: Grading) -> dict[str, Any]:
    """Return the settings by which the texts were generated, in the harness's words."""
    sampling = dict(grading.asked.params.get("sampling") or {})
    if "max_tokens" in sampling:
        sampling["max_gen_toks"] = sampling.pop("max_tokens")
    return {"until": [], "do_sample": bool(sampling.get("temperature")), **sampling}


def _results(plan: Plan, store: Store, tasks: Sequence[Task], heads: Sequence[Artifact]) -> dict[str, Any]:
    """Return the document of one model's results."""
    first = tasks[0].grading
    answers = {task.grading.asked.key: store.get(task.grading.asked.key) for task in tasks}
    latest = max(heads, key=ended)
    shots = {task.name: example_count(task.graded) for task in tasks}
    packages = next(iter(answers.values())).provenance.get("packages") or {}
    return {
        "results": {task.name: _numbers(task) for task in tasks},
        "group_subtasks": {},
        "configs": {task.name: _config(task, shots[task.name]) for task in sorted(tasks, key=lambda one: one.name)},
        "versions": {task.name: task.grading.job.version for task in sorted(tasks, key=lambda one: one.name)},
        "n-shot": dict(sorted(shots.items())),
        "higher_is_better": {task.name: {name: DIRECTIONS.get(name, True) for name in task.results} for task in tasks},
        "n-samples": {task.name: {"original": task.original, "effective": len(task.graded.items)} for task in tasks},
        "config": _model_config(first),
        "git_hash": commit_of(latest) or None,
        "date": min(started(one) for one in answers.values()).timestamp(),
        "pretty_env_info": dump(latest.provenance.get("machine") or {}),
        "transformers_version": str(packages.get("transformers", "N/A")),
        "lm_eval_version": "N/A",
        "upper_git_hash": None,
        "task_hashes": {task.name: task.hash for task in tasks},
        "model_source": "evolkit",
        "model_name": first.model,
        "model_name_sanitized": sanitized(first.model),
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": any(shots.values()),
        "chat_template": None,
        "chat_template_sha": None,
        "total_evaluation_time_seconds": f"{sum(map(seconds, (*answers.values(), *heads))):.3f}",
        "kit": {
            "version": kit.__version__,
            "scale": plan.scale,
            "cast": plan.cast,
            "model_key": first.model_key,
            "gradings": {
                task.name: {
                    "key": task.grading.key,
                    "job": task.grading.job.id,
                    "units": {name: {"n": one.n, "of": one.unit} for name, one in task.results.items()},
                    "cells": list(task.grading.cells),
                    "note": task.graded.note,
                }
                for task in tasks
            },
        },
    }


def _numbers(task: Task) -> dict[str, Any]:
    """Return a task's values and standard errors, as stored: a share is 0 to 1."""
    found: dict[str, Any] = {"name": task.name, "alias": task.name, "sample_len": len(task.graded.items)}
    for name, result in task.results.items():
        found[f"{name},{FILTER}"] = result.value
        found[f"{name}_stderr,{FILTER}"] = result.stderr
    return found


def _config(task: Task, shots: int) -> dict[str, Any]:
    """Return a task's configuration, in the harness's words where it has some."""
    job, asked = task.grading.job, task.grading.asked
    return {
        "task": task.name,
        "dataset_path": task.graded.benchmark,
        "output_type": "generate_until",
        "num_fewshot": shots,
        "generation_kwargs": _generation(task.grading),
        "repeats": 1,
        "metric_list": [_metric(name, task.graded.metrics[name]) for name in task.results],
        "metadata": {
            "version": job.version,
            "protocol": job.params.get("protocol"),
            "prompts": asked.params.get("prompts"),
            "rows": job.params.get("rows"),
            "data": job.inputs["data"],
        },
    }


def _metric(name: str, measure: Measure) -> dict[str, Any]:
    """Return a metric as a task's configuration has it."""
    return {"metric": name, "aggregation": AGGREGATIONS[measure.kind], "higher_is_better": DIRECTIONS.get(name, True)}


def _model_config(grading: Grading) -> dict[str, Any]:
    """Return how the model was run, in the harness's words."""
    params = grading.asked.params
    engine = dict(params.get("engine") or {})
    seed = params.get("seed")
    return {
        "model": str(engine.get("name") or "unknown"),
        "model_args": {"pretrained": grading.model, **{name: one for name, one in engine.items() if name != "name"}},
        "model_dtype": engine.get("dtype"),
        "model_sha": grading.model_key,
        "batch_size": None,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": grading.job.params.get("rows"),
        "bootstrap_iters": 0,
        "gen_kwargs": _generation(grading),
        "random_seed": seed,
        "numpy_seed": seed,
        "torch_seed": seed,
        "fewshot_seed": seed,
    }
