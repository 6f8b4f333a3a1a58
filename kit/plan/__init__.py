"""What a plan is: jobs in an order in which each finds its inputs done, and the cells of tables that they fill."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from kit.catalogue.axes import Coordinates
from kit.catalogue.manifest import Hardware, Model
from kit.catalogue.views import Table
from kit.store import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class CellAddress:
    """Where a number of a table comes from."""

    at: Coordinates
    """axis -> value, all that the view says of the cell."""
    column: str
    """The metric's id."""
    keys: tuple[str, ...]
    """The grade job's, or one for each seed; none where no experiment gives the cell."""


@dataclass(slots=True, kw_only=True)
class Plan:
    """The jobs of some tables at one scale."""

    scale: str
    hardware: Hardware
    """What a machine must have to run it."""
    jobs: dict[str, Job] = field(default_factory=dict)
    """key -> job; each stands after its inputs."""
    cells: dict[str, list[CellAddress]] = field(default_factory=dict)
    """table -> its cells, row by row."""
    tables: dict[str, Table] = field(default_factory=dict)
    cast: dict[str, str] = field(default_factory=dict)
    """The paper's name -> the model that plays it here."""
    models: dict[str, Model] = field(default_factory=dict)
    """Every model of the plan by name, with its source and sizes."""
    notes: list[str] = field(default_factory=list)
    """What a reader must know: roles nobody plays, pins that are not known."""

    def needs(self, keys: Iterable[str]) -> set[str]:
        """The keys, and everything they are made from."""
        found: set[str] = set()
        open_keys = list(keys)
        while open_keys:
            key = open_keys.pop()
            if key not in found:
                found.add(key)
                open_keys.extend(self.jobs[key].inputs.values())
        return found


def digest(plan: Plan) -> str:
    """One hash over all keys of a plan: two machines with the same digest run the same jobs."""
    return hashlib.sha256("\n".join(sorted(plan.jobs)).encode()).hexdigest()
