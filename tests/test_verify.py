"""Checks on finished tables: tolerances worked out by hand, and "reproduced" said of the paper's scale alone."""

import itertools
import json
from pathlib import Path

import pytest

from kit import verify
from kit.errors import KitError
from kit.planning import plan_tables
from kit.records import Result, write_rows
from kit.store import Store

PAPER = {
    # 1.96 * sqrt((50 * 50 + 50 * 50) / 100) + 0.005
    "half of 100": (50.0, 50.0, 100, 13.864292911),
    # 1.96 * sqrt((20 * 80 + 30 * 70) / 1000) + 0.005
    "20 and 30 of 1,000": (20.0, 30.0, 1000, 3.775135276),
    # nothing spreads at 0; the rounding stays
    "none": (0.0, 0.0, 164, 0.005),
}


@pytest.mark.parametrize("reference, ours, n, tolerance", PAPER.values(), ids=list(PAPER))
def test_tolerance_to_the_paper(reference: float, ours: float, n: int, tolerance: float):
    assert verify.paper_tolerance(reference, ours, n) == pytest.approx(tolerance)


EXPECTED = {
    # sqrt(25 * 75 / 12) = 12.5 is more than the one flip of 12, 8.33
    "a quarter of 12": (25.0, 12, 12.5),
    # no spread at 0: one flip of 12
    "none of 12": (0.0, 12, 100 / 12),
    # 2 % of 100 are two flips, 2; sqrt(1 * 99 / 100) = 0.995
    "one of 100": (1.0, 100, 2.0),
}


@pytest.mark.parametrize("percent, n, tolerance", EXPECTED.values(), ids=list(EXPECTED))
def test_tolerance_to_what_was_recorded(percent: float, n: int, tolerance: float):
    assert verify.expected_tolerance(percent, n) == pytest.approx(tolerance, abs=1e-6)


SCALES = ["smoke", "mini", "one-gpu", "paper"]


@pytest.mark.parametrize("scale, failed", list(itertools.product(SCALES, (0, 1))))
def test_reproduced_is_said_of_the_papers_scale_alone(scale: str, failed: int):
    text = verify.verdict(plan_tables(["2"], scale), failed, recorded=True)
    assert ("reproduced" in text) == (scale == "paper")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Table 2 at smoke scale as a run leaves it, every metric at 3 of 12; nothing was computed."""
    from kit import registry

    store = Store.open(tmp_path / "store")
    for job in plan_tables(["2"], "smoke").jobs.values():
        store.plan(job)
        with store.scratch(job.key) as out:
            if job.stage == "grade":
                metrics = registry.load("benchmarks", job.params["benchmark"]).METRICS
                rows = [Result(metric=m, value=0.25, stderr=0.125, n=12, unit=unit) for m, unit in metrics.items()]
                write_rows(out / "results.jsonl", rows)
            store.commit(job, out, rows=1, facts={}, provenance={"started_at": "now"})
    return store


def failures(store: Store) -> list[str]:
    found = verify.check(plan_tables(["2"], "smoke"), store)
    return [f"{finding.check}: {finding.what}: {finding.detail}" for finding in found if not finding.passed]


@pytest.fixture
def manifests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of its own for recorded values."""
    monkeypatch.setattr(verify, "expected_path", lambda grid: tmp_path / "expected" / f"{grid.name}.toml")
    return tmp_path / "expected"


def test_what_was_recorded_is_met(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    assert verify.record(plan, store) == [manifests / "table-2.toml"]
    assert failures(store) == []
    document = json.loads(verify.as_json(plan, verify.check(plan, store)))
    assert (document["passed"], document["scale"], document["tables"]) == (True, "smoke", ["table-2"])
    assert "reproduced" not in json.dumps(document)


def test_a_number_off_its_tolerance(store: Store, manifests: Path):
    verify.record(plan_tables(["2"], "smoke"), store)
    path = manifests / "table-2.toml"
    name = '"qwen-2-7b-instruct/llama-3-8b/gsm8k" = { percent = '
    text = path.read_text(encoding="utf-8")
    assert name in text
    path.write_text(text.replace(f"{name}25.0000", f"{name}75.0000"), encoding="utf-8")
    assert failures(store) == [
        "expected: table-2, qwen-2-7b-instruct, llama-3-8b, GSM8K: 25.00, recorded 75.00, tolerance ±12.50"
    ]


def test_an_artifact_that_was_changed(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    verify.record(plan, store)
    job = next(job for job in plan.jobs.values() if job.stage == "grade")
    path = store.get(job.key).folder / "results.jsonl"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    assert failures(store) == [f"unharmed: table-2: {job.id}: results.jsonl: changed (sha256 differs from the head's)"]


def test_a_table_with_a_hole(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    verify.record(plan, store)
    job = next(job for job in plan.jobs.values() if job.stage == "grade")
    store.remove(job.key)
    assert failures(store) == [f"stored: table-2: not done: {job.id}; run `kit reproduce`"]
    with pytest.raises(KitError) as error:
        verify.record(plan, store)
    assert str(error.value).endswith(": not computed yet; only a whole table can be recorded")


def test_a_column_that_is_all_0_is_a_broken_pipeline(store: Store, manifests: Path):
    plan = plan_tables(["2"], "smoke")
    for job in plan.jobs.values():
        if job.stage == "grade" and job.params["benchmark"] == "gsm8k":
            store.remove(job.key)
            with store.scratch(job.key) as out:
                write_rows(out / "results.jsonl", [Result(metric="gsm8k", value=0.0, stderr=0.0, n=12, unit="items")])
                store.commit(job, out, rows=1, facts={}, provenance={"started_at": "now"})
    verify.record(plan, store)
    assert failures(store) == ["alive: table-2, GSM8K: 0.0, 0.0, 0.0, 0.0"]
