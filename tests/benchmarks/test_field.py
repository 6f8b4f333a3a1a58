"""Texts from public reports with their right verdicts: the rows of GSM8K and MATH."""

import json
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.records import Problem

FIELD = Path(__file__).resolve().parents[1] / "data/sample/field/graders.jsonl"
BENCHMARKS = ("gsm8k", "hendrycks_math")


def rows() -> list[dict[str, Any]]:
    found = [json.loads(line) for line in FIELD.read_text(encoding="utf-8").splitlines()]
    return [row for row in found if row["benchmark"] in BENCHMARKS]


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row['benchmark']}-{row['note']}-{len(row['text'])}")
def test_a_text_gets_its_right_verdict(row: dict[str, Any]) -> None:
    data = {"question": "?", "answer": f"#### {row['gold']}", "problem": "?", "solution": f"\\boxed{{{row['gold']}}}"}
    module = registry.load("benchmarks", row["benchmark"])
    for protocol in ("default", "paper"):
        if row[protocol] is not None:
            (grade,) = module.grade([Problem(id="0", data=data)], [row["text"]], protocol, None)
            (score,) = grade.scores.values()
            assert score == [int(row[protocol]), 1], (protocol, grade.answer)
