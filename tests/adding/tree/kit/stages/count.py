"""A stage in one file: rows -> how many there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.stages import Context, Planning, Summary

VERSION = 1
WORKER = "cpu"


def plan(at: Point, kit: Planning) -> str:
    return kit.job("count", kit.name(at, "seeds", "evolver"), {}, {"rows": kit.need("evolve", at)}, rows=1)


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    lines = (inputs["rows"] / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    (out / "count.txt").write_text(f"{len(lines)}\n", encoding="utf-8")
    return Summary(rows=len(lines), facts={})
