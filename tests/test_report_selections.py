"""Below a table stands what its selections kept, where they were cut, and which rows could not be scored."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from kit.catalogue.views import Column, Table
from kit.errors import KitError
from kit.measures import Measure
from kit.records import Result
from kit.report import Grid, result_of, terminal
from kit.report.drops import drops_of
from kit.report.formats import as_json, markdown
from kit.report.selections import Selected, selected, selections_behind
from kit.store import Artifact, Job, Store
from tests.test_plan import planned

FACTS = {
    "rows_read": 9,
    "by": "ic_ifd",
    "kept_fraction": 0.25,
    "keeps": "highest",
    "cut": 0.3456789,
    "equal_left_out": 0,
    "without_score": {},
}


def artifact(facts: dict[str, Any], rows: int = 2, stage: str = "select") -> Artifact:
    job = Job(id=f"{stage}/x", stage=stage, version="1", environment="grade", lock="", params={}, inputs={})
    folder = Path("store/artifacts/k")
    return Artifact(folder=folder, key="k" * 64, job=job, files={}, rows=rows, facts=facts, provenance={})


TEXTS: dict[str, tuple[dict[str, Any], str]] = {
    "rounded": ({}, "s/m kept 2 of 9 rows (25 %, rounded from 2.25), highest ic_ifd first, cut at 0.34568"),
    "exact": (
        {"rows_read": 8, "keeps": "lowest", "by": "instruction_length", "cut": 12.0},
        "s/m kept 2 of 8 rows (25 %), lowest instruction_length first, cut at 12",
    ),
    # "rounded from 7": floats have 7.000000000000001
    "digits": (
        {"rows_read": 100, "kept_fraction": 0.07, "by": "ifd", "cut": 1.0},
        "s/m kept 7 of 100 rows (7 %), highest ifd first, cut at 1",
    ),
    "equal scores and none": (
        {"equal_left_out": 3, "without_score": {"too long": 2, "no answer": 1}},
        "s/m kept 2 of 9 rows (25 %, rounded from 2.25), highest ic_ifd first, cut at 0.34568, 3 later rows of this "
        "very score left out, 2 without a score: too long, 1 without a score: no answer",
    ),
}


@pytest.mark.parametrize(("facts", "text"), TEXTS.values(), ids=list(TEXTS))
def test_the_line_of_a_selection(facts: dict[str, Any], text: str):
    kept = 7 if facts.get("rows_read") == 100 else 2
    assert selected(artifact(FACTS | facts, kept), "select/s/m").text() == text


def test_the_line_of_a_random_part():
    found = selected(artifact({"rows_read": 9, "by": "random", "kept_fraction": 0.25}), "select/s/m")
    assert found.text() == "s/m kept 2 of 9 rows (25 %, rounded from 2.25), drawn at random"


BAD: dict[str, dict[str, Any]] = {
    "rows that are none": {"rows_read": "9"},
    "a number of no text": {"by": 3},
    "a fraction that is none": {"kept_fraction": "all"},
    "a cut that is none": {"cut": "high"},
    "a cut that is no number": {"cut": float("nan")},
    "counts below 0": {"equal_left_out": -1},
    "reasons that are none": {"without_score": ["too long"]},
    "counts of reasons that are none": {"without_score": {"too long": "2"}},
}


@pytest.mark.parametrize("facts", BAD.values(), ids=list(BAD))
def test_facts_that_are_no_selections(facts: dict[str, Any]):
    with pytest.raises(KitError) as caught:
        selected(artifact(FACTS | facts), "select/s/m")
    assert str(caught.value) == (
        "store/artifacts/k: its facts are no selection's; `kit store check` finds what was changed, and what is "
        "removed from the store is computed anew"
    )


def test_rows_that_could_not_be_scored_are_told_by_reason():
    found = drops_of(artifact({"skipped": {"too long": 3, "no answer": 1}}, rows=900, stage="score"), "score/ifd/s/m")
    assert found is not None
    assert found.text() == "ifd/s/m left out 4 of 900 rows: 3 too long, 1 no answer"
    assert drops_of(artifact({}, stage="score"), "score/ifd/s/m") is None


def test_a_tables_selections_are_those_that_the_store_has(tmp_path: Path):
    plan, store = planned("5", "smoke"), Store.open(tmp_path / "store")
    keys = [key for cell in plan.cells["table-5"] for key in cell.keys]
    assert selections_behind(keys, plan, store) == ()
    key = next(key for key, job in plan.jobs.items() if job.params.get("by") == "ifd")
    with store.lock(key, wait=True), store.scratch(key) as out:
        (out / "pairs.jsonl").write_text("{}\n", encoding="utf-8")
        store.commit(plan.jobs[key], out, rows=2, facts=FACTS, provenance={})
    (found,) = selections_behind(keys, plan, store)
    assert (found.key, found.job) == (key, "alpaca/smollm2-135m-instruct/smollm2-31l/round-3/ifd-0.25")
    assert selections_behind(plan.cells["table-5"][0].keys, plan, store) == ()  # `none` stands on no selection


def test_it_stands_below_the_table():
    found = Selected(job="s/[bold]x\x1b[31m", key="k", by="ifd", fraction=0.5, kept=1, read=2, keeps="highest", cut=0.5)
    table = Table(title="t", paper=None, axes=(), rows=(), columns=())
    plain = Grid(name="t", table=table, scale="smoke", cast={}, lines=())
    shown = dataclasses.replace(plain, selections=(found,))
    line = "s/[bold]x\\x1b[31m kept 1 of 2 rows (50 %), highest ifd first, cut at 0.5"
    out = io.StringIO()
    Console(file=out, width=200).print(terminal.grid_table(shown, 200))
    assert f"{line}." in out.getvalue()
    assert "kept 1 of 2 rows" in markdown(shown) and "\x1b" not in markdown(shown)
    assert as_json([shown])["tables"][0]["selections"] == [found.to_json()]
    assert found.to_json() == {
        "job": found.job,
        "key": "k",
        "by": "ifd",
        "fraction": 0.5,
        "kept": 1,
        "read": 2,
        "keeps": "highest",
        "cut": 0.5,
        "equal_left_out": 0,
        "without_score": {},
    }
    assert "selections" not in as_json([plain])["tables"][0] and "kept" not in markdown(plain)


# a column that is a mean

PARTS = {
    "a": Result(metric="a", value=0.2, stderr=0.01, n=10, unit="prompts", failures={"x": 1}),
    "b": Result(metric="b", value=0.6, stderr=0.03, n=20, unit="prompts"),
}
MEAN = Column(id="m", name="m", benchmark="ifeval", measure=Measure(), mean_of=("a", "b"))


def test_a_mean_of_two_numbers():
    found = result_of(MEAN, PARTS)
    assert found is not None
    assert (found.metric, found.value, found.stderr, found.n) == pytest.approx(("m", 0.4, 0.02, 10))
    assert (found.step, found.failures, found.groups) == (pytest.approx((0.1 + 0.05) / 2), {}, None)
    assert found.is_sound(Measure())


def test_a_mean_waits_for_all_of_its_numbers():
    assert result_of(MEAN, {"a": PARTS["a"]}) is None
    assert result_of(MEAN, {}) is None
    assert result_of(Column(id="a", name="a", benchmark="ifeval"), PARTS) is PARTS["a"]
