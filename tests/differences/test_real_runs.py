"""``kit diff`` of real runs: a manifest with two training seeds, trained, answered by the fake engine and graded."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.test_points import folder, reported

Kit = Callable[..., tuple[int, str, str]]
__all__ = ["folder"]  # the fixture: a model of random weights


@pytest.mark.real
def test_stores_that_differ_in_one_seed(kit: Kit, folder: Path):
    for seed in ("42", "43"):
        reported(folder, "own", seed=seed)
        shutil.move(folder / "store", folder / f"store-{seed}")
    code, out, _ = kit("diff", str(folder / "store-42"), str(folder / "store-43"))
    lines = out.splitlines()
    assert (code, lines[2]) == (0, "1 grading compared, 0 of them the same, byte for byte")
    first = lines.index("First stage that differs:") + 1
    assert lines[first].startswith("  evolve: params.seed 42 -> 43 (1 job: evolve/alpaca/tiny/round-1")
    assert any(line.startswith("  sft: params.seed 42 -> 43 (1 job: sft/") for line in lines[first:])
