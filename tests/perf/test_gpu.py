"""Every part of perf/gpu.py with tiny shapes on a CPU: what ``nox -s gpu`` runs on the day a card is there."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("card", "curves", "training", "engine", "scoring", "vllm", "table")


def run(*words: str) -> str:
    command = [sys.executable, str(ROOT / "perf/gpu.py"), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1800)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", PARTS)
def test_every_part_works_on_a_cpu(part: str) -> None:
    said = run("--device", "cpu", part)
    assert "checks that did not hold: 0" in said
    assert "### " in said


@pytest.mark.real
@pytest.mark.timeout(1800)
def test_the_curves_are_compared_on_a_cpu() -> None:
    said = run("--device", "cpu", "curves")
    # 5 runs, each within its limit and learning; what a CPU can't do is said
    assert said.count("\nok: ") == 10
    assert "left out on a CPU: FSDP" in said
