"""perf/published_selection.py: what it draws, and the two numbers by which a selection stands out."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from kit.errors import RequestError
from tests.perf.test_scripts import load


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load("published_selection", monkeypatch)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "alpaca").mkdir()
    rows = [{"instruction": f"Count to {number}.", "input": "", "output": "1"} for number in range(10)]
    (tmp_path / "alpaca" / "cherry_alpaca_5_percent.json").write_text(json.dumps(rows[:4]))
    (tmp_path / "alpaca" / "random_9k.json").write_text(json.dumps(rows[2:]))
    return tmp_path


def test_the_random_rows_are_none_of_the_published(script: ModuleType, data: Path):
    joint = script.joint_set(data, None, 42)
    drawn = {name: {row["instruction"] for row in joint if row["set"] == name} for name in ("published", "random")}
    assert drawn["published"] == {f"Count to {number}." for number in range(4)}
    assert len(drawn["random"]) == 4 and drawn["random"] <= {f"Count to {number}." for number in range(4, 10)}
    assert joint == script.joint_set(data, None, 42) != script.joint_set(data, None, 43)


@pytest.mark.parametrize("rows", [0, 5])
def test_more_rows_than_there_are(script: ModuleType, data: Path, rows: int):
    with pytest.raises(RequestError) as error:
        script.joint_set(data, rows, 42)
    assert str(error.value) == f"--rows: found {rows}, wanted 1 to 4"


@pytest.mark.parametrize(
    "published, drawn, half, higher",
    [
        ([3.0, 4.0], [1.0, 2.0], 1.0, 1.0),
        ([1.0, 2.0], [3.0, 4.0], 0.0, 0.0),
        ([1.0, 4.0], [2.0, 3.0], 0.5, 0.5),
        ([2.0, 2.0], [2.0, 1.0], 1.0, 0.75),  # of equal scores the first in the file; an equal pair counts half
    ],
    ids=["above", "below", "around", "equal"],
)
def test_how_far_a_selection_stands_out(
    script: ModuleType, published: list[float], drawn: list[float], half: float, higher: float
):
    rows = [{"set": "published", "ifd": value} for value in published]
    rows += [{"set": "random", "ifd": value} for value in drawn]
    assert script.share_in_top_half(rows, "ifd") == half
    assert script.share_higher(published, drawn) == higher


def test_a_folder_of_other_rows_is_left_as_it_is(script: ModuleType, tmp_path: Path):
    (tmp_path / "joint.json").write_text("[]")
    with pytest.raises(RequestError) as error:
        script.score([{"instruction": "Count."}], tmp_path / "model", tmp_path)
    assert str(error.value).startswith(f"--folder: {tmp_path / 'joint.json'} holds other rows")
    assert (tmp_path / "joint.json").read_text() == "[]"
