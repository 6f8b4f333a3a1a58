"""Ids of jobs: the words that a reader sees for a job; they are no part of its key, and no two jobs share one."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from kit.store import Job

MOST_DIFFERENCES = 2
"""Parameters that an id names at most; jobs that differ in more are numbered."""


class JobIds:
    """Gives each job of a plan an id of its own; what sets it apart stands after a ``~``, for all that is made of it.

    Two experiments that differ in a temperature have jobs with equal names: the second is called
    ``evolve/alpaca/qwen-2-7b/round-1~evolve.temperature=0.7``, and so are the pairs and models that are made from it.
    """

    def __init__(self) -> None:
        self.first: dict[str, Job] = {}
        """Id -> the first job that asked for it."""
        self.counts: Counter[str] = Counter()
        """Id -> number of jobs that asked for it."""
        self.names: dict[str, str] = {}
        """Key of a job -> name in the ids of jobs that read it: a step's scenario, else the last part of its own id,
        which is a model's name where it is a model's folder."""
        self.suffixes: dict[str, tuple[str, ...]] = {}
        """Key of a job -> what sets it and its inputs apart: ``evolve.temperature=0.7``."""

    def unique_id(self, job: Job, key: str) -> str:
        """Return the id of a job that is new to the plan; its inputs have theirs already."""
        suffix = tuple(dict.fromkeys(part for made in job.inputs.values() for part in self.suffixes.get(made, ())))
        first = self.first.setdefault(named(job.id, suffix), job)
        if first is not job:
            found = (f"{job.stage}.{part}" for part in differences(self.told(first), self.told(job)))
            suffix += tuple(part for part in found if part not in suffix)
        self.suffixes[key] = suffix
        self.names[key] = str(job.params.get("scenario") or job.id.rpartition("/")[2])
        id = named(job.id, suffix)
        self.first.setdefault(id, job)
        self.counts[id] += 1
        return named(id, (str(self.counts[id]),)) if self.counts[id] > 1 else id

    def told(self, job: Job) -> dict[str, Any]:
        """Return what an id can tell of a job: its parameters, and the names of the models and data that it reads."""
        return {**job.params, **{name: self.names.get(key, key[:10]) for name, key in job.inputs.items()}}


def named(id: str, suffix: tuple[str, ...]) -> str:
    """Return an id with what sets its job apart."""
    return "~".join((id, *suffix))


def differences(first: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return the parameters of ``other`` that ``first`` has otherwise; none if they are too many for an id."""
    known, found = dict(flat(first)), dict(flat(other))
    names = [name for name in {**found, **known} if known.get(name) != found.get(name)]
    if len(names) > MOST_DIFFERENCES:
        return []
    return [f"{name.rpartition('.')[2]}={found.get(name, 'none')}" for name in names]


def flat(params: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield each parameter's name, with those of the tables that it stands in, and its value as text."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)
