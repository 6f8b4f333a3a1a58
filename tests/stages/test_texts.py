"""Stages in which a model writes text, with the fake engine: a row that is too long is counted and stops no other."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit import prompts
from kit.engines import fake
from kit.records import read_objects
from kit.stages import answer, evolve, respond

TEXT: dict[str, Any] = {
    "seed": 42,
    "sampling": {"max_tokens": 64},
    "prompts": "kit",
    "engine": {"name": "fake", "max_model_len": 512},
}
ROWS = {"seeds": "s", "format": "alpaca", "rows": None}


class Context:
    rank, world, source, mirror = 0, 1, {}, None
    engine = staticmethod(fake.open)

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Any:
        return prompts.only(prompts.load(name, folder), ids)

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        pass


@pytest.mark.parametrize(
    ("stage", "params", "file"),
    [
        pytest.param(
            evolve,
            ROWS | {"scenario": "evol_instruct", "round": 1, "breadth": True},
            "instructions.jsonl",
            id="evolve",
        ),
        pytest.param(respond, ROWS, "pairs.jsonl", id="respond"),
        pytest.param(answer, {"benchmark": "gsm8k", "rows": None}, "completions.jsonl", id="answer"),
    ],
)
def test_a_row_that_is_too_long_is_counted(stage: Any, params: dict[str, Any], file: str, tmp_path: Path) -> None:
    # One evolved row of more than 4,095 tokens ended the job that was to answer 52,002, on every rerun.
    long = "word " * 600
    (tmp_path / "in").mkdir()
    if stage is answer:
        problems = [{"question": text, "answer": "#### 1"} for text in ("One?", long, "Two?")]
        (tmp_path / "in" / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    else:
        seeds = [{"instruction": text, "input": "", "output": ""} for text in ("One.", long, "Two.")]
        (tmp_path / "in" / "seeds.json").write_text(json.dumps(seeds))
    inputs = dict.fromkeys(("seeds", "data"), tmp_path / "in") | {"model": tmp_path / "m"}
    summary = stage.run(TEXT | params, inputs, tmp_path, Context())
    reasons = [row["finish_reason"] for _, row in read_objects(tmp_path / file)]
    assert (len(reasons), reasons[1], summary.facts["too_long"]) == (3, "too_long", 1)
    assert "too_long" not in (reasons[0], reasons[2])
