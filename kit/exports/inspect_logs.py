"""Logs of Inspect (inspect_ai), version 2 of their format, as JSON: one for each grading.

    FOLDER/<time>_<benchmark>_<key>.json

Fields are those of ``EvalLog``: https://inspect.aisi.org.uk/reference/inspect_ai.log.html
"""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import kit
from kit.exports import (
    UNKNOWN_TIME,
    Grading,
    Written,
    commit_of,
    ended,
    expected,
    gradings_of,
    item_values,
    judge_replies,
    results_of,
    started,
    write_text,
)
from kit.exports.texts import dump, file_name, sha256_text
from kit.items import Graded, Item, graded_items
from kit.measures import Measure
from kit.plan import Plan
from kit.records import Result
from kit.store import Store

VERSION = 2
"""Version of the format of logs."""
ID_LETTERS = 22
"""Characters of an id, as Inspect's own have."""
STOPS: Mapping[str, str] = {"stop": "stop", "length": "max_tokens", "too_long": "model_length"}
"""Reason why a completion ended -> its name in a log; any other is ``unknown``."""
METRICS: Mapping[str, str] = {"share": "accuracy", "mean": "mean", "mean over groups": "mean", "count": "count"}
"""Kind of a measure -> name of its number in a log."""
NO_SCORES = {"unread": "grader_failed"}
"""State of an item -> Inspect's reason for a score that is none."""


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
    samples = sum(_write_log(plan, store, out, one) for one in gradings)
    lines = [f"{len(gradings):,} logs, {samples:,} samples"]
    lines += [f"{others:,} scorings of instruction sets left out: the format has no place for them"] if others else []
    undated = sum(started(store.get(one.key)) == UNKNOWN_TIME for one in gradings)
    lines += [f"{undated:,} gradings do not say when they ran: dated 1970"] if undated else []
    return Written(files=len(gradings), lines=tuple(lines))


def _write_log(plan: Plan, store: Store, out: Path, grading: Grading) -> int:
    """Write the log of one grading and return the number of its samples."""
    graded = graded_items(store, grading.key)
    began = started(store.get(grading.asked.key))
    task = file_name(graded.benchmark).replace("_", "-")
    name = f"{_time(began).replace(':', '-')}_{task}_{grading.key[:ID_LETTERS]}.json"
    write_text(out, name, dump(_log(plan, store, grading, graded), indent=1) + "\n")
    return len(graded.items)


def _log(plan: Plan, store: Store, grading: Grading, graded: Graded) -> dict[str, Any]:
    """Return a grading as a log, in the order in which Inspect writes one, so that its head can be read alone."""
    results = results_of(store, graded)
    return {
        "version": VERSION,
        "status": "success",
        "eval": _spec(plan, store, grading, graded, results),
        "plan": {"name": "kit", "steps": [{"solver": "generate", "params": {}}], "config": _generation(grading)},
        "results": {
            "total_samples": len(graded.items),
            "completed_samples": len(graded.items),
            "scores": [_score_of_all(name, result, graded) for name, result in results.items()],
        },
        "stats": {
            "started_at": _time(started(store.get(grading.asked.key))),
            "completed_at": _time(ended(store.get(grading.key))),
            "model_usage": {grading.model: _usage(*graded.items)},
        },
        "samples": [_sample(item, grading) for item in graded.items],
    }


def _spec(plan: Plan, store: Store, grading: Grading, graded: Graded, results: Mapping[str, Result]) -> dict[str, Any]:
    """Return what was evaluated and how: the task, the model, the data, the kit's commit."""
    job, asked, head = grading.job, grading.asked, store.get(grading.key)
    packages = store.get(asked.key).provenance.get("packages")
    spec = {
        "eval_id": grading.key[:ID_LETTERS],
        "run_id": grading.model_key[:ID_LETTERS],
        "created": _time(started(store.get(asked.key))),
        "task": graded.benchmark,
        "task_id": grading.key[:ID_LETTERS],
        "task_version": job.version,
        "task_args": {name: job.params[name] for name in ("protocol", "rows") if name in job.params},
        "dataset": {
            "name": graded.benchmark,
            "location": plan.jobs[job.inputs["data"]].id,
            "samples": len(graded.items),
            "sample_ids": [item.id for item in graded.items],
            "shuffled": False,
        },
        "model": grading.model,
        "model_generate_config": _generation(grading),
        "model_args": dict(asked.params.get("engine") or {}),
        "config": {"epochs": 1},
        "packages": {**(packages if isinstance(packages, dict) else {}), "evolkit": kit.__version__},
        "metadata": {
            "scale": plan.scale,
            "cast": plan.cast,
            "job": job.id,
            "key": grading.key,
            "model_key": grading.model_key,
            "prompts": asked.params.get("prompts"),
            "cells": list(grading.cells),
            "units": {name: {"n": one.n, "of": one.unit} for name, one in results.items()},
            "note": graded.note,
        },
        "scorers": [
            {"name": name, "metrics": [{"name": _metric(graded.metrics[name])}, {"name": "stderr"}]} for name in results
        ],
    }
    if commit := commit_of(head):
        dirty = head.provenance.get("dirty")
        spec["revision"] = {"type": "git", "origin": "", "commit": commit, "dirty": dirty}
    return spec


def _score_of_all(name: str, result: Result, graded: Graded) -> dict[str, Any]:
    """Return a metric's value and standard error as stored, and how many items it has a score for."""
    scored = sum(name in item_values(item) for item in graded.items)
    numbers = {_metric(graded.metrics[name]): result.value, "stderr": result.stderr}
    return {
        "name": name,
        "scorer": name,
        "scored_samples": scored,
        "unscored_samples": len(graded.items) - scored,
        "params": {},
        "metrics": {title: {"name": title, "value": value, "params": {}} for title, value in numbers.items()},
        "metadata": {"n": result.n, "unit": result.unit, "failures": dict(result.failures)},
    }


def _metric(measure: Measure) -> str:
    """Return the name of a measure's number in a log."""
    return METRICS[measure.kind]


def _sample(item: Item, grading: Grading) -> dict[str, Any]:
    """Return an item as a sample: what was asked, expected, answered and scored, and what the judge replied."""
    turns = [{"role": turn.role, "content": turn.content, "source": "input"} for turn in item.prompt]
    answer = {"role": "assistant", "content": item.text, "source": "generate", "model": grading.model}
    choice = {"message": answer, "stop_reason": STOPS.get(item.finish_reason, "unknown")}
    usage = _usage(item)
    return {
        "id": item.id,
        "epoch": 1,
        "input": turns or "",
        "target": expected(item),
        "messages": [*turns, answer],
        "output": {"model": grading.model, "choices": [choice], "completion": item.text, "usage": usage},
        "scores": {name: _score(name, value, item) for name, value in item_values(item).items()},
        "metadata": {
            "problem": dict(item.problem),
            "state": item.state,
            "finish_reason": item.finish_reason,
            "verdicts": judge_replies(item),
        },
        "model_usage": {grading.model: usage},
        "uuid": sha256_text(f"{grading.key} {item.id}")[:ID_LETTERS],
    }


def _score(name: str, value: float, item: Item) -> dict[str, Any]:
    """Return an item's score by one metric."""
    right, judged = item.scores[name]
    return {
        "value": value,
        "answer": item.answer,
        "explanation": item.reason,
        "reason": NO_SCORES.get(item.state),
        "metadata": {"right": right, "judged": judged},
    }


def _usage(*items: Item) -> dict[str, int]:
    """Return how many tokens items took."""
    read, written = sum(item.prompt_tokens for item in items), sum(item.tokens for item in items)
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def _generation(grading: Grading) -> dict[str, Any]:
    """Return the settings by which the texts were generated, those that Inspect has a name for."""
    params = grading.asked.params
    sampling = dict(params.get("sampling") or {})
    found = {name: sampling[name] for name in ("max_tokens", "temperature", "top_p", "top_k") if name in sampling}
    return {**found, "seed": params["seed"]} if isinstance(params.get("seed"), int) else found


def _time(time: datetime) -> str:
    """Return a time as logs have it, UTC: ``2026-01-31T12:00:00+00:00``."""
    return time.isoformat(timespec="seconds")
