"""perf/scoring.py: the authors' way gives our losses, and what is printed of their differences."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from kit.records import Pair
from tests.perf.test_scripts import load
from tests.tiny_model import save

ROWS = [
    {"instruction": "Count to three.", "input": "", "output": "1 2 3"},
    {"instruction": "Add.", "input": "1 and 2", "output": "3, of course"},
    {"instruction": "Say nothing.", "input": "", "output": ""},
]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = load("scoring", monkeypatch)
    monkeypatch.setattr(found, "SIZE", 8)
    return found


def test_both_ways_give_the_same_losses(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save(tmp_path / "model")
    (tmp_path / "alpaca").mkdir()
    (tmp_path / "alpaca" / "random_9k.json").write_text(json.dumps(ROWS))
    pairs = script.read_pairs(tmp_path, 3)
    asked = {"model": str(tmp_path / "model"), "dtype": "float32", "pairs": pairs}
    ours, theirs = (script.score_once(side=side, **asked) for side in ("kit", "authors"))
    assert script.worst(pairs, ours["losses"], theirs["losses"]) < 1e-5
    assert capsys.readouterr().out.strip().endswith("1 of 3 rows left out")
    # one token a byte: "Count to three." 15, the line break, "1 2 3" 5, and the response once more
    assert ours["tokens"] == theirs["tokens"] == (15 + 1 + 5 + 5) + (4 + 1 + 7 + 1 + 12 + 12)
    assert len(ours["products"]) == 7 * 4 and len(ours["own"]) == 2 * 3  # before each of three parts, and at the end


def test_the_worst_row_is_printed(script: ModuleType, capsys: pytest.CaptureFixture[str]):
    pairs = [Pair(id=f"alpaca/{number}", instruction="a", output="b") for number in range(3)]
    ours = [(1.0, 2.0, 4.0), (1.0, 2.0, 4.0), (float("nan"), 1.0, 1.0)]
    theirs = [(1.0, 2.0, 4.0), (1.0, 2.5, 4.0), (1.0, 9.0, 1.0)]
    assert script.worst(pairs, ours, theirs) == pytest.approx(0.2)
    assert capsys.readouterr().out == (
        "worst row alpaca/1: ours 1.000000, 2.000000, 4.000000, the authors' 1.000000, 2.500000, 4.000000 (L(Q), "
        "L(A|Q), L(A)), apart by 2.0e-01; 1 of 3 rows left out\n"
    )
