"""Units of a plan: jobs that one cluster job does in a row, because they share a model or wait for the same units.

A unit of jobs that share a model opens it once. Its jobs are those of one wave: a job's wave is above those of its
inputs, unless they share its model. So no unit waits for itself, however scenarios go from model to model and back.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.catalogue.scales import Hardware
from kit.cluster import Settings
from kit.cluster.needs import Needs, needs
from kit.run.launch import Shape
from kit.store import Job, canonical
from kit.workers import kind_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Jobs that one cluster job does, in order, and what it asks the cluster for."""

    name: str
    """``answer-1f0c9a3be27d``: stage of its first job, and a hash of its keys."""
    kind: str
    """The kind of worker of its jobs, after which its rule in the Snakefile is called."""
    here: bool
    """Whether it needs a network, which the cluster's nodes may not have: it runs where Snakemake does."""
    keys: tuple[str, ...]
    after: tuple[str, ...]
    """Names of the units that it waits for."""
    needs: Needs

    def to_json(self) -> dict[str, Any]:
        """Return the unit as ``plan.json`` has it."""
        return {"kind": self.kind, "keys": list(self.keys), "after": list(self.after), **self.needs.to_json()}


@dataclass(slots=True)
class _Draft:
    """A unit while jobs are added to it."""

    wave: int
    keys: list[str] = field(default_factory=list)
    hours: float = 0.0


def make_units(jobs: Mapping[str, Job], hardware: Hardware, settings: Settings) -> list[Unit]:
    """Return the units of jobs that are to be done; each comes after those that it waits for.

    Args:
        jobs: key -> job, each after its inputs; inputs that are not among them are done.
        hardware: hardware of the plan's scale.
        settings: properties of the cluster.

    Raises:
        RequestError: a job can't be spread over the cluster's nodes.
    """
    drafts = _drafts(jobs, settings)
    of_key = {key: number for number, draft in enumerate(drafts) for key in draft.keys}
    names = [unit_name(jobs[draft.keys[0]], draft.keys) for draft in drafts]
    units: list[Unit] = []
    for number in sorted(range(len(drafts)), key=lambda number: (drafts[number].wave, number)):
        members = [jobs[key] for key in drafts[number].keys]
        kind = kind_of(members[0])
        units.append(
            Unit(
                name=names[number],
                kind=kind.name,
                here=kind.network,
                keys=tuple(drafts[number].keys),
                after=tuple(names[other] for other in sorted(_inputs(members, of_key) - {number})),
                needs=needs(members, hardware, settings),
            )
        )
    return units


def unit_name(first: Job, keys: Sequence[str]) -> str:
    """Return the name of a unit, the same wherever its jobs make one."""
    return f"{first.stage}-{hashlib.sha256(' '.join(keys).encode()).hexdigest()[:12]}"


def _drafts(jobs: Mapping[str, Job], settings: Settings) -> list[_Draft]:
    """Return the jobs of each unit, in the plan's order."""
    drafts: list[_Draft] = []
    open_drafts: dict[Any, int] = {}
    of_key: dict[str, int] = {}
    waves: dict[str, int] = {}
    for key, job in jobs.items():
        model = shared_model(job)
        inputs = [needed for needed in job.inputs.values() if needed in of_key]
        waves[key] = max(
            (waves[needed] + (model is None or model != shared_model(jobs[needed])) for needed in inputs), default=0
        )
        after = frozenset(of_key[needed] for needed in inputs if not kind_of(jobs[needed]).fetches)
        place = _place(job, model, waves[key], after)
        hours = float(job.resources.get("wall_s", 0)) / 3600
        number = open_drafts.get(place) if place else None
        if number is None or drafts[number].hours + hours > settings.group_hours:
            number = len(drafts)
            drafts.append(_Draft(waves[key]))
            if place:
                open_drafts[place] = number
        drafts[number].keys.append(key)
        drafts[number].hours += hours
        of_key[key] = number
    return drafts


def shared_model(job: Job) -> Any:
    """Return the model that a job's worker opens, with its settings, by which jobs share it; None where it shares none.

    A tuning reads a base and changes it, so that no other job can go on with it.
    """
    kind = kind_of(job)
    opened = job.inputs.get("model")
    return (Shape.of(job), opened, canonical(job.params.get("engine"))) if kind.accelerated and opened else None


def _place(job: Job, model: Any, wave: int, after: frozenset[int]) -> Any:
    """Return what jobs of one unit have in common; None for a job that is a unit alone."""
    if model is not None:
        return model, wave
    kind = kind_of(job)
    if kind.accelerated or kind.network or not after:
        return None
    return Shape.of(job), after  # seconds of work each: they start when the same units are done, so together


def _inputs(members: Sequence[Job], of_key: Mapping[str, int]) -> set[int]:
    """Return the numbers of the units that jobs read from."""
    return {of_key[needed] for job in members for needed in job.inputs.values() if needed in of_key}
