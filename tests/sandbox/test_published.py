"""Items of the benchmarks on which the sandbox used to differ from the official graders."""

from pathlib import Path

import pytest

from kit.benchmarks import mbpp
from kit.sandbox import Sandbox


@pytest.mark.parametrize("protocol", ["paper", "default"])
def test_mbpp_341_is_wrong_with_the_order_of_the_set(protocol: str, reference_data: Path, sandbox: Sandbox) -> None:
    # It was right: the one item on which `paper` differed from OpenCompass 0.3.3.
    problems = [p for p in mbpp.read(reference_data / "data" / "mbpp" / "mbpp.jsonl") if p.id == "341"] * 2
    texts = [f"def set_to_tuple(s):\n    return tuple({s})" for s in ("s", "sorted(s)")]
    grades = mbpp.grade(problems, texts, protocol, sandbox)
    assert [(grade.scores["mbpp"], grade.reason) for grade in grades] == [
        ([0, 1], "failed: AssertionError"),
        ([1, 1], ""),
    ]
