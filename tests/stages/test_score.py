"""Stage ``score``: a killed job goes on from its last part, and ends with the bytes of an unbroken one."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.errors import KitError
from kit.files.parts import PART_ROWS, Parts
from kit.records import Pair, Score, write_rows
from kit.stages import score
from kit.store import Job, Store
from tests.stages import killed_scores as driver

KILLS = 20


def job_of(store: Store, rows: int = driver.ROWS) -> Job:
    """Commit some pairs, and return the job that scores them."""
    fetch = Job(id="fetch/x", stage="fetch", version="1", environment="grade", lock="", params={}, inputs={})
    store.plan(fetch)
    pairs = [Pair(id=f"x/{n}", instruction=f"Count to {n}.", output="1" * (n % 97)) for n in range(rows)]
    with store.scratch(fetch.key) as folder:
        write_rows(folder / "pairs.jsonl", pairs)
        store.commit(fetch, folder, rows=rows, facts={}, provenance={})
    params = {"metric": driver.NAME, "rows": None, "options": {}}
    found = Job(
        id="score/x", stage="score", version="1", environment="grade", lock="", params=params,
        inputs={"pairs": fetch.key},
    )  # fmt: skip
    store.plan(found)
    return found


def run_driver(store: Store, key: str, times: int) -> dict[str, Any]:
    words = [sys.executable, driver.__file__, str(store.root), key, "7", str(times)]
    done = subprocess.run(words, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_killed_at_random_moments_it_ends_with_the_bytes_of_an_unbroken_run(tmp_path: Path):
    whole, broken = Store.open(tmp_path / "whole"), Store.open(tmp_path / "broken")
    key = job_of(whole).key
    assert job_of(broken).key == key
    assert run_driver(whole, key, 0) == {"killed": 0, "code": 0, "rows": driver.ROWS}
    found = run_driver(broken, key, KILLS)
    assert (found["killed"], found["code"]) == (KILLS, 0)
    # each kill costs less than a part and what was read of it; nothing of a part that was kept is computed again
    assert driver.ROWS < found["rows"] < driver.ROWS + KILLS * PART_ROWS
    assert broken.get(key).files == whole.get(key).files
    assert not list((broken.root / "parts").iterdir())


def context_of(folder: Path) -> Any:
    return SimpleNamespace(rank=0, world=1, parts=Parts(folder, "k1"), progress=lambda *_: None)


BAD: dict[str, tuple[list[Score], str]] = {
    "another row's": ([Score(id="b", values={"ratio": 1.0})], "made_up: 1 scores don't go with 1 rows in order"),
    "one too few": ([], "1 rows went out over 1 ranks, 0 came back"),
    "no number": (
        [Score(id="a", values={"ratio": float("nan")})],
        "made_up: row a: ratio: found nan, wanted a finite number",
    ),
}


@pytest.mark.parametrize("scores, message", BAD.values(), ids=list(BAD))
def test_scores_that_are_not_those_of_the_rows_are_refused(
    scores: list[Score], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = driver.made_up(lambda: None)
    vars(module)["open"] = lambda *_: SimpleNamespace(score=lambda *_: scores, fingerprint={})
    monkeypatch.setitem(sys.modules, f"kit.metrics.{driver.NAME}", module)
    write_rows(tmp_path / "pairs.jsonl", [Pair(id="a", instruction="b", output="c")])
    params = {"metric": driver.NAME, "rows": None, "options": {}}
    with pytest.raises(KitError) as caught:
        score.run(params, {"pairs": tmp_path}, tmp_path, context_of(tmp_path / "parts"))
    assert str(caught.value) == message
    assert not (tmp_path / "parts").exists()
