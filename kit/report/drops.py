"""Rows that the steps of evolution behind a table left out, and rows that could not be scored, counted by reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from kit.errors import KitError, shown
from kit.plan import Plan
from kit.store import Artifact, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Drops:
    """Rows that one job left out."""

    job: str
    """Id of the job, without its stage: ``alpaca/qwen-2-7b-instruct/round-1/extract``."""
    key: str
    """Key of the job."""
    read: int
    """Number of rows that the job read."""
    reasons: Mapping[str, int]
    """Reason -> number of rows that were left out for it, the largest number first."""

    @property
    def total(self) -> int:
        """The number of rows that were left out."""
        return sum(self.reasons.values())

    def text(self) -> str:
        """Return a sentence: the job, how many rows it left out of how many, and why."""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.reasons.items())
        return f"{self.job} left out {self.total:,} of {self.read:,} rows: {reasons}"

    def to_json(self) -> dict[str, Any]:
        """Return the counts as a JSON object."""
        return {"job": self.job, "key": self.key, "rows_read": self.read, "dropped": dict(self.reasons)}


def drops_behind(keys: Iterable[str], plan: Plan, store: Store) -> tuple[Drops, ...]:
    """Return what the steps of evolution and the scores behind some jobs left out, in the plan's order.

    Of those that the store has.

    Args:
        keys: keys of the jobs, which are a table's.
        plan: the plan.
        store: the store.

    Raises:
        KitError: an artifact's counts are none.
    """
    needed = plan.needs(keys)
    stages = ("evolve", "score")
    steps = [key for key, job in plan.jobs.items() if key in needed and job.stage in stages and store.has(key)]
    found = [drops_of(store.get(key), plan.jobs[key].id) for key in steps]
    return tuple(one for one in found if one is not None)


def drops_of(artifact: Artifact, id: str) -> Drops | None:
    """Return what a job left out; None if it kept, or scored, every row.

    Args:
        artifact: the job's.
        id: the job's id in the plan.

    Raises:
        KitError: its counts are none; a head may have been written by others.
    """
    scored = artifact.job.stage == "score"
    reasons = artifact.facts.get("skipped" if scored else "dropped")
    if reasons is None:
        return None
    read = artifact.rows if scored else artifact.facts.get("rows_read")
    if not (isinstance(reasons, dict) and all(map(is_count, [*reasons.values(), read]))):
        raise KitError(
            f"{artifact.folder}: found {shown(reasons)} left out of {shown(read)} rows, wanted a count for each reason"
            "; `kit store check` finds what was changed, and what is removed from the store is computed anew"
        )
    ordered = dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0])))
    return Drops(
        job=id.removeprefix("evolve/").removeprefix("score/"), key=artifact.key, read=int(str(read)), reasons=ordered
    )


def is_count(value: object) -> bool:
    """Return whether a value is a whole number from 0."""
    return type(value) is int and value >= 0
