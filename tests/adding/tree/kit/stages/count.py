"""A stage in one file: rows -> how many there are."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.stages import Context, Summary

VERSION = 1
WORKER = "cpu"


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    lines = (inputs["rows"] / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    (out / "count.txt").write_text(f"{len(lines)}\n", encoding="utf-8")
    return Summary(rows=len(lines), facts={})
