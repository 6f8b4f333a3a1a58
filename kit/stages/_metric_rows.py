"""Rows of an instruction set that a metric scores, or a judge is asked about: planned, and read when the job runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.errors import KitError
from kit.metrics import Metric, Rewrite
from kit.records import Instruction, Probe, read_rows
from kit.stages import PROBES, Origin, Planning, input_instructions, input_pairs


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRows:
    """Inputs with the rows that a metric reads, the parameters to read them, and their expected number."""

    inputs: Mapping[str, str]
    """role -> key."""
    params: Mapping[str, Any]
    count: int


def planned_rows(metric: Metric, point: Point, rows: int | None, planner: Planning) -> PlannedRows:
    """Plan the rows of the point's instruction set that a metric reads.

    Args:
        metric: the metric, which says whether it reads instructions, pairs, rewrites or probes.
        point: the point.
        rows: number of rows that are taken, counted from the first; None for all.
        planner: adds the jobs that make them.
    """
    if metric.READS == "probes":  # its rows are counted off where they are asked about
        key = planner.need("probe", point)
        return PlannedRows(inputs={"probes": key}, params={}, count=planner.expected_rows(key))
    if metric.READS == "pairs":
        origin = planner.pairs(point)
        inputs = {"pairs": origin.key}
    else:
        origin = planner.instructions(point)
        inputs = {origin.role: origin.key}
    params: dict[str, Any] = dict(origin.params)  # which may have "rows" of their own: those of a seed set
    if rows is not None:
        params["first"] = rows
    if metric.READS == "rewrites":
        before = planner.instructions(point.with_round(point.setting.round - 1))
        inputs["before"] = before.key
        params["before"] = dict(before.params)
    return PlannedRows(inputs=inputs, params=params, count=min(origin.rows, rows or origin.rows))


def read_metric_rows(metric: Metric, params: Mapping[str, Any], inputs: Mapping[str, Path]) -> list[Any]:
    """Return the rows that a metric reads, as its ``READS`` says: all, or the first of them.

    Raises:
        KitError: a rewrite's instruction is not among those before its round.
    """
    if metric.READS == "probes":
        return read_rows(inputs["probes"] / PROBES, Probe)
    first = params.get("first")
    if metric.READS == "pairs":
        return input_pairs(params, inputs["pairs"], "score").rows[:first]
    rows = input_instructions(params, inputs).rows[:first]
    if metric.READS == "instructions":
        return list(rows)
    before = _before(params["before"], inputs["before"])
    if missing := [row.id for row in rows if row.id not in before]:
        raise KitError(f"score: row {missing[0]} is not among those before the round")
    return [Rewrite(id=row.id, before=before[row.id], after=row) for row in rows]


def _before(params: Mapping[str, Any], folder: Path) -> dict[str, Instruction]:
    """Return the instructions before the round, by id."""
    role = Origin(key="", params=params, rows=0).role
    return {row.id: row for row in input_instructions(params, {role: folder}).rows}
