"""Curves of a table: read from the artifacts of its jobs, and listed as points."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.catalogue.views import Column
from kit.measures import CurveMeasure
from kit.plan import CellAddress
from kit.records import Curve, read_rows
from kit.store import Store

FILE = "curves.jsonl"
"""The file of an artifact that holds its curves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveRun:
    """The curves of one job, and where they lie."""

    key: str
    path: Path
    """Their file in the store."""
    lines: tuple[Curve, ...]
    """One line for each group; none where the job gave no such curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveCell:
    """A cell whose value is a curve: one run, or one for each seed."""

    address: CellAddress
    column: Column
    measure: CurveMeasure
    runs: tuple[CurveRun, ...]
    """The runs that are done."""

    def points(self) -> Iterator[dict[str, Any]]:
        """Yield each point of each line as a record: key of the run, group, x, y."""
        for run in self.runs:
            for line in run.lines:
                for x, y in zip(line.x, line.y, strict=True):
                    yield {"keys": run.key, "group": line.group, "x": x, "y": y}

    def summary(self) -> list[str]:
        """Return a line for each run: how many lines and points there are, and the file that they lie in."""
        if not self.address.keys:
            return []
        if len(self.runs) < len(self.address.keys):
            return ["missing"]
        return [
            f"{len(run.lines)} {'line' if len(run.lines) == 1 else 'lines'} of "
            f"{sum(len(line.x) for line in run.lines):,} points in {run.path}"
            for run in self.runs
        ]


def make_curve_cell(
    address: CellAddress, column: Column, measure: CurveMeasure, store: Store, known: dict[str, CurveRun]
) -> CurveCell:
    """Return a cell with the curves that the store has; ``known`` keeps what was read, by key.

    Raises:
        KitError: a file of curves is missing, was changed, or holds something else.
    """
    for key in address.keys:
        if key not in known and store.has(key):
            known[key] = stored_curves(store, key)
    return CurveCell(address=address, column=column, measure=measure, runs=tuple(_only(known, address.keys, column.id)))


def _only(known: Mapping[str, CurveRun], keys: tuple[str, ...], id: str) -> Iterator[CurveRun]:
    """Yield the runs with the lines of one curve."""
    for key in keys:
        if run := known.get(key):
            yield CurveRun(key=key, path=run.path, lines=tuple(line for line in run.lines if line.curve == id))


def stored_curves(store: Store, key: str) -> CurveRun:
    """Return a job's curves, of a file that is still as its head says.

    Raises:
        KitError: it is missing, was changed, or holds something else than curves.
    """
    artifact = store.get(key)
    os.close(store.open_file(artifact, FILE, checked=True))
    path = artifact.folder / FILE
    return CurveRun(key=key, path=path, lines=tuple(read_rows(path, Curve)))
