"""A plan: jobs in an order in which each job's inputs come before it, and the cells of tables that they fill."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kit.catalogue.axes import Coordinates
from kit.catalogue.entries import Model
from kit.catalogue.scales import Hardware
from kit.catalogue.views import Table
from kit.store import Job

MOST_TABLES = 100
"""Most tables that a provenance names; the paper has 22, a manifest of the user's may have thousands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAddress:
    """One cell of a table: its coordinates, and the jobs that its number comes from."""

    at: Coordinates
    """axis -> value, for every axis that the view names for the cell."""
    column: str
    """Id of the metric."""
    keys: tuple[str, ...]
    """Key of the job that measures, or a key for each seed; none where no experiment gives the cell."""
    printed: str = ""
    """Id of the paper's column, where that is not the column's own."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """The jobs of some tables at one scale."""

    scale: str
    hardware: Hardware
    """Hardware that a machine must have to run the plan."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """key -> job; each job comes after its inputs."""
    cells: dict[str, list[CellAddress]] = field(default_factory=dict)
    """Name of a table -> its cells, row by row."""
    tables: dict[str, Table] = field(default_factory=dict)
    """Name of a table -> its rows and columns."""
    cast: dict[str, str] = field(default_factory=dict)
    """The paper's name of a model -> the model that plays it in this plan."""
    models: dict[str, Model] = field(default_factory=dict)
    """Every model of the plan by name, with its source and sizes."""
    notes: list[str] = field(default_factory=list)
    """Sentences for the reader of the plan: rows that are left out, pins that are not known."""
    manifests: dict[str, str] = field(default_factory=dict)
    """Each manifest that was read for it, by its path below ``manifests/`` -> its sha256."""

    def request(self) -> dict[str, Any]:
        """Return what was asked for, as the provenance of each artifact that a run of this plan makes records it.

        Another command may find the artifact and use it for another table: its job says alone what it depends on.
        """
        found: dict[str, Any] = {"scale": self.scale, "manifests": dict(sorted(self.manifests.items()))}
        if self.tables:
            found["tables"] = list(self.tables)[:MOST_TABLES]
        return found

    def needs(self, keys: Iterable[str]) -> set[str]:
        """Return these keys and the keys of all jobs that their inputs come from, at any distance."""
        found: set[str] = set()
        waiting = list(keys)
        while waiting:
            key = waiting.pop()
            if key not in found:
                found.add(key)
                waiting.extend(self.jobs[key].inputs.values())
        return found


def digest(plan: Plan) -> str:
    """Return one hash of all keys of a plan: two machines with the same digest run the same jobs."""
    return hashlib.sha256("\n".join(sorted(plan.jobs)).encode()).hexdigest()
