"""Items behind a number: what a model was asked, what it answered, what the grader and the judge read in it."""

import os
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from kit import prompts, registry
from kit.benchmarks import UNREADABLE
from kit.errors import KitError, shown
from kit.measures import Measure
from kit.records import Completion, Grade, Problem, Row, Turn, Verdict, read_rows
from kit.stages import VERDICTS, data_path
from kit.store import Artifact, Job, Store

State: TypeAlias = Literal["right", "partly", "wrong", "unread"]
"""Outcome of an item by the first metric of its benchmark: ``unread`` where no judge's verdict could be read."""
COMPLETIONS = "completions.jsonl"
GRADES = "grades.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One problem of a benchmark with a model's answer to it, and what was read in that answer."""

    id: str
    """Id of the problem."""
    prompt: tuple[Turn, ...]
    """The chat that asked it, before the model's own template; empty where it is not known (see ``Graded.note``)."""
    problem: Mapping[str, Any]
    """The problem's own fields, as the benchmark's file has them."""
    text: str
    """The model's answer."""
    finish_reason: str
    """Reason why the answer ended, as in :class:`~kit.records.Completion`."""
    prompt_tokens: int
    """Length of the prompt, tokens."""
    tokens: int
    """Length of the answer, tokens."""
    scores: Mapping[str, Sequence[float]]
    """metric -> [units right, units judged], as in :class:`~kit.records.Grade`."""
    answer: str
    """The answer that the grader read in the text."""
    reason: str
    """Reason why it is wrong, where the grader gives one."""
    verdicts: tuple[Verdict, ...] = ()
    """The judge's replies about this answer; none where rules decide."""
    state: State
    """Outcome by the benchmark's first metric."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """The items of one grading, with what they were graded by."""

    key: str
    """Key of the grading."""
    job: Job
    benchmark: str
    """Name of the benchmark."""
    metrics: Mapping[str, Measure]
    """Metrics of the benchmark, in the order of its tables."""
    items: tuple[Item, ...]
    """Items in the order of the problems."""
    note: str = ""
    """Sentence on what is not known of the items; empty where all of it is."""


def graded_items(store: Store, key: str) -> Graded:
    """Return the items of a grading, out of its artifact and those that it was made from.

    Args:
        store: where the artifacts are.
        key: key of a job of stage ``grade``.

    Raises:
        KitError: the job is none of that stage; an artifact is missing, was changed, or has given its files back.
    """
    artifact = store.get(key)
    job = artifact.job
    if job.stage != "grade":
        raise KitError(f"{job.id}: found a job of stage {job.stage}, wanted one of stage grade; only those have items")
    benchmark = registry.load("benchmarks", str(job.params["benchmark"]))
    grades: list[Grade] = checked_rows(store, artifact, GRADES, Grade)
    completions: list[Completion] = checked_rows(store, store.get(job.inputs["completions"]), COMPLETIONS, Completion)
    problems = benchmark.read(data_path(store.input_folder(job.inputs["data"])))[: job.params["rows"]]
    if not [one.id for one in grades] == [one.id for one in completions] == [one.id for one in problems]:
        raise KitError(f"{artifact.folder}: its grades are those of other completions; remove it and run again")
    chats, note = _chats(benchmark, problems, store, store.get(job.inputs["completions"]).job)
    replies = verdicts_by_row(store, job, {problem.id for problem in problems})
    items = [
        Item(
            id=problem.id,
            prompt=chat,
            problem=problem.data,
            text=completion.text,
            finish_reason=completion.finish_reason,
            prompt_tokens=completion.prompt_tokens,
            tokens=completion.tokens,
            scores=grade.scores,
            answer=grade.answer,
            reason=grade.reason,
            verdicts=tuple(replies.get(problem.id, ())),
            state=state_of(grade, benchmark.METRICS),
        )
        for problem, chat, completion, grade in zip(problems, chats, completions, grades, strict=True)
    ]
    return Graded(
        key=key, job=job, benchmark=job.params["benchmark"], metrics=benchmark.METRICS, items=tuple(items), note=note
    )


def state_of(grade: Grade, metrics: Mapping[str, Measure]) -> State:
    """Return the outcome of a grade by the first of a benchmark's metrics that it has units of.

    Counts come after other metrics: where wins, ties and losses are counted, the win rate decides, and a tie is
    ``partly``.
    """
    if grade.reason == UNREADABLE:
        return "unread"
    order = sorted(metrics, key=lambda name: metrics[name].kind == "count")
    right, judged = next((grade.scores[name] for name in order if grade.scores.get(name, (0, 0))[1]), (0, 0))
    if not judged:
        return "unread"
    return "right" if right >= judged else "partly" if right > 0 else "wrong"


def checked_rows(store: Store, artifact: Artifact, name: str, kind: type[Row]) -> list[Any]:
    """Return the rows of an artifact's file, whose bytes still hash to what its head says.

    Raises:
        KitError: it is missing or was changed, a row is of another kind, or its files were given back.
    """
    if name not in artifact.files:
        raise KitError(f"{artifact.job.id}: no {name} in its artifact; a job of stage {artifact.job.stage} made it")
    os.close(store.open_file(artifact, name, checked=True))
    return read_rows(artifact.folder / name, kind)


def model_of(store: Store, job: Job) -> str:
    """Return the name of the model at work in a job; empty where none is known.

    A tuned model is named by what it was tuned on: ``alpaca/qwen-2-7b-instruct/llama-3-8b/round-1``.
    """
    key = job.inputs.get("adapter", job.inputs.get("model"))
    return store.get(key).job.id.partition("/")[2] if key and store.has(key) else ""


def _chats(benchmark: Any, problems: Sequence[Problem], store: Store, asked: Job) -> tuple[list[tuple[Turn, ...]], str]:
    """Return the chat that asked each problem, and a sentence on why none is known where that is so."""
    unknown: list[tuple[Turn, ...]] = [() for _ in problems]
    if asked.stage != "answer":
        return unknown, "The answers came from a file: what exactly was asked is not known."
    name, folder = str(asked.params["prompts"]), _prompts_folder(store, asked)
    if folder is None and "prompts" in asked.inputs:
        return unknown, f"The files of the prompt pack {shown(name)} were given back; `kit reproduce` fetches them."
    if prompts.fingerprint(name, benchmark.PROMPTS) != asked.params.get("prompts_hash"):
        return unknown, f"The prompt pack {shown(name)} has other words now than when it was asked."
    pack = prompts.load(name, folder)
    return [benchmark.turns(problem, pack) for problem in problems], ""


def _prompts_folder(store: Store, asked: Job) -> Path | None:
    """Return the folder with a fetched prompt pack; None if there is none, or it was given back."""
    key = asked.inputs.get("prompts")
    return store.input_folder(key) if key and store.holds(key) else None


def verdicts_by_row(store: Store, job: Job, ids: Container[str]) -> dict[str, list[Verdict]]:
    """Return the judge's verdicts that a grading or scoring read, by problem or row; empty where no judge was asked.

    Args:
        store: where the artifacts are.
        job: the grading or scoring.
        ids: ids of its problems or rows; the id of a question is one of them, or one with ``#`` and a part after it.
    """
    if "verdicts" not in job.inputs:
        return {}
    found: dict[str, list[Verdict]] = {}
    for verdict in checked_rows(store, store.get(job.inputs["verdicts"]), VERDICTS, Verdict):
        id = verdict.id if verdict.id in ids else verdict.id.rpartition("#")[0]
        found.setdefault(id, []).append(verdict)
    return found
