"""A stage in one file: rows -> how many there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.stages import Context, Planning, Summary

VERSION = 1
WORKER = "cpu"


def plan(point: Point, planner: Planning) -> str:
    return planner.job(
        "count",
        planner.job_name(point, "seeds", "evolver"),
        {},
        {"rows": planner.need("evolve", point)},
        rows=1,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    lines = (inputs["rows"] / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    (out / "count.txt").write_text(f"{len(lines)}\n", encoding="utf-8")
    return Summary(rows=len(lines), facts={})
