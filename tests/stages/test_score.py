"""Stage ``score``: a killed job goes on from its last part, and ends with the bytes of an unbroken one."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.errors import KitError
from kit.files.parts import PART_ROWS, Parts
from kit.records import Pair, Score, write_rows
from kit.stages import score
from kit.store import Job, Store, kept
from kit.store.clearing import release
from tests.dying import run_driver
from tests.stages import killed_scores as driver

KILLS = 20


def rows_of(rows: int, digit: str = "1") -> list[Pair]:
    """Return pairs whose outputs are one digit, so many times."""
    return [Pair(id=f"x/{n}", instruction=f"Count to {n}.", output=digit * (n % 97)) for n in range(rows)]


def job_of(store: Store, rows: int = driver.ROWS) -> Job:
    """Commit some pairs, and return the job that scores them."""
    fetch = Job(id="fetch/x", stage="fetch", version="1", environment="grade", lock="", params={}, inputs={})
    store.plan(fetch)
    with store.scratch(fetch.key) as folder:
        write_rows(folder / "pairs.jsonl", rows_of(rows))
        store.commit(fetch, folder, rows=rows, facts={}, provenance={})
    params = {"metric": driver.NAME, "rows": None, "options": {}}
    found = Job(
        id="score/x", stage="score", version="1", environment="grade", lock="", params=params,
        inputs={"pairs": fetch.key},
    )  # fmt: skip
    store.plan(found)
    return found


def scored(store: Store, key: str, times: int) -> dict[str, Any]:
    return json.loads(run_driver(driver, str(store.root), key, "7", str(times)).splitlines()[-1])


def test_killed_at_random_moments_it_ends_with_the_bytes_of_an_unbroken_run(tmp_path: Path):
    whole, broken = Store.open(tmp_path / "whole"), Store.open(tmp_path / "broken")
    key = job_of(whole).key
    assert job_of(broken).key == key
    assert scored(whole, key, 0) == {"killed": 0, "code": 0, "rows": driver.ROWS}
    found = scored(broken, key, KILLS)
    assert (found["killed"], found["code"]) == (KILLS, 0)
    # each kill costs less than a part and what was read of it; nothing of a part that was kept is computed again
    assert driver.ROWS < found["rows"] < driver.ROWS + KILLS * PART_ROWS
    assert broken.get(key).files == whole.get(key).files
    assert not list((broken.root / "parts").iterdir())


# whether the pairs were made again, with other bytes under the same key; rows that are taken from the part
MADE_OF = {"the same bytes": (False, PART_ROWS), "other bytes": (True, 0)}


@pytest.mark.parametrize("again, taken", MADE_OF.values(), ids=list(MADE_OF))
def test_a_part_goes_with_the_bytes_that_it_was_made_of(again: bool, taken: int, tmp_path: Path):
    # pairs that gave their files back and were made again on another machine may have other bytes
    store = Store.open(tmp_path)
    made = job_of(store)
    pairs = store.get(made.inputs["pairs"])
    parts = Parts(store.root / "parts", f"{made.key}-{kept.inputs_hash({'pairs': pairs})}")
    parts.keep(0, [Score(id=f"x/{n}", values={"ratio": 0.5}) for n in range(PART_ROWS)])
    if again:
        release(store, pairs.key, "--keep results")
        with store.lock(pairs.key), store.scratch(pairs.key) as folder:
            write_rows(folder / "pairs.jsonl", rows_of(driver.ROWS, "2"))
            store.commit(pairs.job, folder, rows=driver.ROWS, facts={}, provenance={})
    assert driver.attempt(str(store.root), made.key, None, tmp_path / "rows") == 0
    found = store.get(made.key)
    assert (tmp_path / "rows").stat().st_size == driver.ROWS - taken
    assert found.provenance["resumed"] is bool(taken)
    assert (found.folder / "scores.jsonl").read_text().count('"ratio":0.5}') == taken
    assert not list((store.root / "parts").iterdir())


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
