"""perf/batch_effect.py: how rows are put into batches, and which of their texts count as other ones."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from kit.engines import EngineSettings, Request, Sampling, fake
from kit.records import Completion
from tests.perf.test_scripts import load


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("batch_effect", monkeypatch)


@pytest.mark.parametrize("count", [1, 4, 7])
def test_each_row_is_in_one_batch_of_every_arrangement(script: ModuleType, count: int):
    found = script.arrangements(count)
    assert list(found) == ["alone", "together", "backwards", "mixed", "in fours", "in halves"]
    for batches in found.values():
        assert sorted(row for batch in batches for row in batch) == list(range(count))
        assert all(batches)


def test_arrangements_by_hand(script: ModuleType):
    found = script.arrangements(5)
    assert found["alone"] == [[0], [1], [2], [3], [4]]
    assert found["backwards"] == [[4, 3, 2, 1, 0]]
    assert found["in fours"] == [[0, 1, 2, 3], [4]]
    assert found["in halves"] == [[0, 1, 2], [3, 4]]


class Dependent:
    """An engine whose text shows how many rows are in the batch, for every second row."""

    def generate(self, requests: Sequence[Request], sampling: Sampling) -> list[Completion]:
        return [
            Completion(id=one.id, text=f"{len(requests) if int(one.id.rpartition('/')[2]) % 2 else ''}")
            for one in requests
        ]


def shares(script: ModuleType, engine: Any, rows: int) -> dict[tuple[str, str], dict[str, int]]:
    found = script.measure(engine, lambda scenario: script.requests_of(scenario, rows), 16)
    return {(scenario, sampling): counts for scenario, sampling, counts, count in found if count == rows}


def test_rows_that_depend_on_their_batch_are_counted(script: ModuleType):
    settings = EngineSettings(name="fake", max_model_len=512)
    steady = shares(script, fake.open(Path("m"), settings), 6)
    assert list(steady) == [
        (scenario, sampling)
        for scenario in ("evol_instruct", "auto_evol_instruct")
        for sampling in ("sampled", "greedy")
    ]
    assert {count for counts in steady.values() for count in counts.values()} == {0}
    turned = {"together": 3, "backwards": 3, "mixed": 3, "in fours": 3, "in halves": 3}
    assert set(map(str, shares(script, Dependent(), 6).values())) == {str(turned)}


def test_shares_are_printed(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    script.report("vllm", "evol_instruct", "greedy", {"together": 3, "mixed": 0}, 12)
    first, row = capsys.readouterr().out.splitlines()
    assert first == (
        "vllm, evol_instruct, greedy: rows that differ from those asked for alone: together 25.0% (3 of 12), mixed "
        "0.0% (0 of 12)"
    )
    assert row.startswith("speed: ")
    assert '"here": "3 of 12 at most"' in row


def test_a_cpu_has_no_batch_invariant_mode(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert script.sides_here(["vllm", "transformers"]) == ["vllm", "transformers"]
    assert capsys.readouterr().out == (
        "left out on a CPU: vLLM's batch-invariant mode, which takes a card of compute capability 8.0 or more\n"
    )
    assert script.sides_here(["transformers"]) == ["transformers"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    assert script.sides_here(["vllm"]) == ["vllm", "vllm batch-invariant"]
