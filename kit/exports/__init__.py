"""Results of a run as other tools read them: lm-evaluation-harness, Inspect, RO-Crate.

A file of this room writes one format. Here is what they share: the gradings behind the numbers of tables, the names of
the models that answered, and the times of artifacts. No clock is read: one store always gives the same bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kit.errors import KitError, RequestError, listed
from kit.items import Graded, Item
from kit.plan import CellAddress, Plan
from kit.records import Result
from kit.report import stored_results
from kit.store import Artifact, Job, Store

UNKNOWN_TIME = datetime(1970, 1, 1, tzinfo=UTC)
"""Time of an artifact whose head has none."""
EXPECTED = ("answer", "solution", "canonical_solution", "code", "output", "target")
"""Fields of benchmarks' files that hold what is expected; of several in one problem, the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """A job of stage ``grade`` behind numbers of tables, and the model whose answers it graded."""

    key: str
    job: Job
    asked: Job
    """The job that has the completions."""
    model_key: str
    """Key of the model that answered; where the completions came from a file, of that file's job."""
    model: str
    """Name of that model: seeds, evolver, base, round, as in the ids of jobs; no two models of an export share one."""
    cells: tuple[Mapping[str, Any], ...]
    """Table, column and coordinates of each number that is counted from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Account of an export, for whoever asked for it."""

    files: int
    lines: tuple[str, ...]
    """Sentences on what was written and what was left out."""


def numbers(plan: Plan) -> dict[str, list[tuple[str, CellAddress]]]:
    """Return the key of each measuring job of a plan -> the tables and places in them that its numbers fill."""
    found: dict[str, list[tuple[str, CellAddress]]] = {}
    for table, cells in plan.cells.items():
        for address in cells:
            for key in address.keys:
                found.setdefault(key, []).append((table, address))
    return found


def check_done(plan: Plan, store: Store, keys: Iterable[str], command: str) -> None:
    """Check that the store has some jobs of a plan.

    Args:
        plan: has the jobs.
        store: the store.
        keys: keys of the jobs.
        command: runs them.

    Raises:
        KitError: one is missing; the message says what to run.
    """
    wanted = list(keys)
    missing = [key for key in wanted if not store.has(key)]
    if missing:
        raise KitError(
            f"store {store.root}: {len(missing):,} of {len(wanted):,} jobs behind {listed(plan.tables)} are not done, "
            f"the first is {plan.jobs[missing[0]].id}; run: {command}"
        )


def gradings_of(plan: Plan, store: Store, command: str) -> tuple[list[Grading], int]:
    """Return the gradings behind the tables of a plan, and the number of other measuring jobs, which have no answers.

    Raises:
        RequestError: there is none.
        KitError: one is not done.
    """
    places = numbers(plan)
    keys = [key for key in places if plan.jobs[key].stage == "grade"]
    if not keys:
        raise RequestError(
            f"{listed(plan.tables)}: no number of it is a grading of answers, and this format holds no others; "
            "kit export ro-crate takes it"
        )
    check_done(plan, store, keys, command)
    return _named([_grading(plan, key, places[key]) for key in keys]), len(places) - len(keys)


def _grading(plan: Plan, key: str, places: Sequence[tuple[str, CellAddress]]) -> Grading:
    """Return a grading of a plan, its model named as in the ids of jobs."""
    job = plan.jobs[key]
    made = job.inputs["completions"]
    asked = plan.jobs[made]
    model_key = asked.inputs.get("adapter") or asked.inputs.get("model") or made
    return Grading(
        key=key,
        job=job,
        asked=asked,
        model_key=model_key,
        model=plan.jobs[model_key].id.partition("/")[2],
        cells=tuple({"table": table, "column": one.column, "at": dict(one.at)} for table, one in places),
    )


def _named(gradings: Sequence[Grading]) -> list[Grading]:
    """Return gradings of which no two models share a name: a part of the key stands behind one that others have."""
    keys: dict[str, set[str]] = {}
    for one in gradings:
        keys.setdefault(one.model, set()).add(one.model_key)
    return [
        replace(one, model=f"{one.model}-{one.model_key[:8]}") if len(keys[one.model]) > 1 else one for one in gradings
    ]


def results_of(store: Store, graded: Graded) -> dict[str, Result]:
    """Return the results of a grading by metric, in the order of the benchmark's metrics.

    Raises:
        KitError: they are missing or were changed.
    """
    found = stored_results(store, graded.key, graded.metrics)
    return {name: found[name] for name in graded.metrics if name in found}


def item_values(item: Item) -> dict[str, float]:
    """Return the score of an item by metric: units right of units judged; a metric that has no units of it is left out.

    For a mean that is the item's own mean.
    """
    return {name: right / judged for name, (right, judged) in item.scores.items() if judged}


def expected(item: Item) -> str:
    """Return what a benchmark's file says is expected, as text; empty where it says nothing (IFEval)."""
    for name in EXPECTED:
        if (found := item.problem.get(name)) is not None:
            return found if isinstance(found, str) else str(found)
    return ""


def judge_replies(item: Item) -> list[dict[str, Any]]:
    """Return what the judge replied about an answer, for the part of a format that takes any field."""
    return [
        {
            "id": one.id,
            "label": one.label,
            "text": one.text,
            "model": one.model,
            "tokens": one.tokens,
            "finish_reason": one.finish_reason,
        }
        for one in item.verdicts
    ]


def example_count(graded: Graded) -> int:
    """Return the number of worked examples that stand as turns before each question; 0 where prompts are not known."""
    counts = {sum(turn.role == "assistant" for turn in item.prompt) for item in graded.items}
    return min(counts, default=0)


def started(artifact: Artifact) -> datetime:
    """Return when the job of an artifact began, UTC; :data:`UNKNOWN_TIME` where its head does not say."""
    text = artifact.provenance.get("started_at")
    if not isinstance(text, str):
        return UNKNOWN_TIME
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return UNKNOWN_TIME
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def seconds(artifact: Artifact) -> float:
    """Return how long the job of an artifact took, s; 0 where its head does not say."""
    found = artifact.provenance.get("wall_s")
    return float(found) if isinstance(found, int | float) and 0 <= found < 1e9 else 0.0


def ended(artifact: Artifact) -> datetime:
    """Return when the job of an artifact was done, UTC."""
    return started(artifact) + timedelta(seconds=seconds(artifact))


def commit_of(artifact: Artifact) -> str:
    """Return the kit's commit that ran a job; empty where it is not known."""
    found = artifact.provenance.get("commit")
    return found if isinstance(found, str) else ""


def write_text(folder: Path, name: str, text: str) -> None:
    """Write a text file below a folder, with the folders that it stands in."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")
