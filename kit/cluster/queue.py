"""Jobs of a store that an earlier hand-over, or another user's, left waiting or running on a cluster."""

import re
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from kit.cluster.folder import PLAN
from kit.errors import KitError, RequestError
from kit.reading.jsonfiles import read_object
from kit.run.nodes import ask
from kit.store import Store

RUNS = "cluster"
"""Folder of the store in which each hand-over has a folder of its own, in which its jobs on the cluster start."""
UNIT = re.compile(r"rule_[a-z]+_wildcards_([a-z]+-[0-9a-f]{12})")
"""A unit's name in the comment that Snakemake's plugin gives a Slurm job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """One job in Slurm's queue that stands for a unit of this store."""

    number: str
    state: str
    unit: str
    folder: Path
    """The folder of its hand-over."""

    def keys(self) -> list[str]:
        """Return the keys of the unit's jobs; none where the plan is gone."""
        try:
            units = read_object(self.folder / PLAN).get("units", {})
        except RequestError:
            return []
        return list(units.get(self.unit, {}).get("keys", []))


def parse(listing: str, store: Path) -> list[Queued]:
    """Return the jobs of a store from what ``squeue --format=%i|%T|%Z|%k`` printed."""
    found = []
    for line in listing.splitlines():
        number, state, folder, comment = (line.split("|", 3) + [""] * 4)[:4]
        unit = UNIT.fullmatch(comment.strip())
        if unit and Path(folder).parent == store / RUNS:
            found.append(Queued(number=number, state=state, unit=unit[1], folder=Path(folder)))
    return found


def slurm_queue(store: Path, sleep: Callable[[float], None] = time.sleep) -> list[Queued]:
    """Return the jobs of a store that are in Slurm's queue, whoever submitted them.

    Raises:
        KitError: Slurm does not answer for some minutes.
    """
    try:
        return parse(ask(["squeue", "--noheader", "--format=%i|%T|%Z|%k"], sleep), store)
    except KitError as error:
        raise KitError(
            f"{error}; without it nobody can tell which jobs an earlier run left in the queue; run this on a host that "
            "can submit Slurm jobs"
        ) from error


def leased(keys: Iterable[str], store: Store) -> set[str]:
    """Return the keys of jobs that a process is at work on, on whatever host."""
    with store.inside("locks") as folder:
        names = set(folder.names())
    return {key for key in keys if f"{key}.lease" in names and store.holder(key) is not None}
