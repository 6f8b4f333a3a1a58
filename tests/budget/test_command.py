"""``kit verify --budget``: the path that it prints, its exit codes, what it refuses, and a run of real workers."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kit.budget import study as studies
from kit.budget.evidence import Observed
from kit.budget.steps import Step
from kit.claims.items import Items
from kit.run.execute import Outcome
from kit.run.launch import Options
from kit.store import Job, Store
from tests.conftest import Kit

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = ROOT / "tests" / "commands" / "stand_ins.py"
CLAIM = "evol-instruct-qwen"
DECIDE = ("verify", "--claim", CLAIM, "--scale", "smoke")


@pytest.fixture
def kit(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> Kit:
    """Run the command line on a wide terminal."""
    monkeypatch.setenv("COLUMNS", "300")
    return kit


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let jobs be committed without any work, and return the ids of those of each block."""
    found: list[list[str]] = []

    def execute(jobs: Mapping[str, Job], store: Store, options: Options, _: Any) -> Outcome:
        for job in jobs.values():
            with store.lock(job.key), store.scratch(job.key) as out:
                (out / "rows.jsonl").write_text("", encoding="utf-8")
                store.commit(job, out, rows=0, facts={}, provenance={"request": options.request})
        found.append([job.id for job in jobs.values()])
        return Outcome(done=list(jobs))

    monkeypatch.setattr(studies, "execute", execute)
    monkeypatch.setattr("kit.run.disk.free_bytes", lambda _: 10**12)  # no job writes its files here
    return found


def give(monkeypatch: pytest.MonkeyPatch, difference: float) -> None:
    """Let each step give a difference, of one item in ten that turned."""

    def observe(step: Step, _: Items) -> Observed:
        items = {f"i{number}": (1.0 if difference > 0 else -1.0) * (number % 10 == 0) for number in range(100)}
        return Observed(replicate=step.replicate, weight=len(step.cells), difference=difference, items={"gsm8k": items})

    monkeypatch.setattr(studies, "observe", observe)


def rows_of(out: str) -> list[list[str]]:
    """Return the cells of the first line of each block in a printed table."""
    return [line.split() for line in out.splitlines() if line.strip()[:1].isdigit() and "table-2," in line]


VERDICTS = {
    "it holds": (99.0, 0, "holds", "holds, after 5 blocks and 0.64 of 0.75 CPU-hours that all blocks cost"),
    "it does not": (-99.0, 1, "not", "does not hold, after 5 blocks and 0.64 of 0.75 CPU-hours that all blocks cost"),
}


@pytest.mark.parametrize("difference, code, end, line", VERDICTS.values(), ids=list(VERDICTS))
def test_a_path_to_a_verdict(
    difference: float, code: int, end: str, line: str, kit: Kit, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch
):
    give(monkeypatch, difference)
    found, out, err = kit(*DECIDE, "--budget", "1", "--yes")
    assert (found, err) == (code, "")
    assert line in out
    assert len(ran) == 5
    # no job runs twice, and of the further seed only what the third block needs
    ids = [id for block in ran for id in block]
    assert len(set(ids)) == len(ids)
    assert {"~evolve.seed=43" in id for id in ran[0] + ran[1]} == {False}
    assert any("~evolve.seed=43" in id for id in ran[2])
    table = rows_of(out)
    assert [row[0] for row in table] == ["1", "2", "3", "4", "5"]
    assert end in table[-1]
    assert "on" in table[0]  # "go on"
    assert "The verdict is about further training runs of these settings." in out
    assert "Other models play the paper's at this scale: the verdict is about the players." in out


def test_artifacts_record_what_was_asked_for(
    kit: Kit, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    give(monkeypatch, 0.0)
    kit(*DECIDE, "--budget", "0.2", "--seeds", "1")
    store = Store.existing(tmp_path / "store")
    requests = [store.get(path.name).provenance["request"] for path in (store.root / "artifacts").iterdir()]
    assert {(one["scale"], *one["tables"]) for one in requests} == {("smoke", "table-2")}
    assert {"tables/table-2.toml", "scales/smoke.toml", "models.toml"} <= set(requests[0]["manifests"])


def test_a_path_that_ends_with_the_budget_goes_on_from_there(
    kit: Kit, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    give(monkeypatch, 0.0)
    code, out, _ = kit(*DECIDE, "--budget", "0.2", "--seeds", "2")
    assert code == 3
    assert "cannot tell, after 1 block and 0.14 of 0.50 CPU-hours that all blocks cost" in out
    assert "Left: 3 blocks, 0.36 CPU-hours; the next costs 0.11." in out
    assert "They are expected not to decide it, if runs differ by what the paper prints; more --seeds may." in out
    code, out, _ = kit(*DECIDE, "--budget", "0.12", "--seeds", "2")
    assert code == 3
    assert [row[0] for row in rows_of(out)] == ["1", "2"]
    assert len(ran) == 2  # the first block was done
    assert "cannot tell, after 2 blocks and 0.11 of 0.36 CPU-hours that all blocks cost" in out
    # what is done costs nothing, and the order stays the first one
    code, out, _ = kit(*DECIDE, "--budget", "0", "--seeds", "2", "--json")
    document = json.loads(out)
    kept = json.loads((tmp_path / "store" / "budgets" / f"{CLAIM}.smoke.json").read_text(encoding="utf-8"))
    assert (code, document["verdict"], len(document["path"]), len(kept["blocks"])) == (3, "cannot tell", 2, 4)
    assert [block["hours"] for block in document["blocks"]][:2] == [0.0, 0.0]
    assert document["path"][1]["differences"] == [0.0] * 3


def test_a_decision_about_the_models_at_hand(kit: Kit, ran: list[list[str]], monkeypatch: pytest.MonkeyPatch):
    give(monkeypatch, 1.0)
    code, out, _ = kit(*DECIDE, "--budget", "1", "--seeds", "1", "--about", "models", "--json")
    document = json.loads(out)
    # ten items of a hundred, all one way: bets 0, 1/5, 2/6, ... 9/13 give 39.38 a step, and six steps are planned
    first = (3 * 39.38 + 3) / 6
    assert document["path"][0]["models"]["holds"] == pytest.approx(first, abs=0.01)
    assert (code, document["verdict"], len(document["path"])) == (0, "holds", 1)
    assert document["path"][0]["runs"]["holds"] < 20
    _, out, _ = kit(*DECIDE, "--budget", "1", "--seeds", "1", "--about", "models")
    assert "The verdict is about the models at hand: for one pair of them at least, the claimed side is higher." in out


def test_what_would_be_run(kit: Kit, tmp_path: Path):
    code, out, err = kit(*DECIDE[:-1], "paper", "--budget", "120", "--dry-run")
    assert (code, err) == (0, "")
    table = rows_of(out)
    assert len(table) == 18  # six bases, three seeds
    assert [row[-1] for row in table[:4]] == ["fits", "fits", "fits", "beyond"]
    assert "Budget: 120 GPU-hours, as estimated." in out
    assert "If runs differ by what the paper prints (+2.03 points on average), about 8 of them, " in out
    assert not (tmp_path / "store").exists()


def test_simulated_paths(kit: Kit, tmp_path: Path):
    code, out, _ = kit(*DECIDE[:-1], "paper", "--budget", "1000", "--simulate", "50")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "evol-instruct-qwen, scale paper, 50 paths within 1,000 GPU-hours"
    assert lines[1].startswith("as the paper prints: holds ")
    assert lines[2].startswith("no difference: holds ")
    assert not (tmp_path / "store").exists()


REFUSED = {
    "no claim": (
        ("verify", "--budget", "1"),
        "--budget: wanted --claim ID as well; `kit claims` lists the claims",
    ),
    "no budget": (
        ("verify", "--claim", CLAIM),
        "--claim: wanted --budget HOURS as well; `kit claims` lists the claims",
    ),
    "neither": (
        ("verify", "2", "--dry-run"),
        "--dry-run, --yes, --simulate, --seeds and the like: wanted --budget HOURS and --claim ID as well; "
        "`kit claims` lists the claims",
    ),
    "a table": (
        ("verify", "2", "--budget", "1", "--claim", CLAIM, "--record"),
        "--budget: decides one claim, whose tables it knows; leave out 2, --record, or call `kit verify` without "
        "--budget",
    ),
    "a budget below 0": (
        (*DECIDE, "--budget", "-1"),
        "--budget: found -1.0, wanted hours, 0 or more; 0 uses what the store has",
    ),
    "alpha": (
        (*DECIDE, "--budget", "1", "--alpha", "5"),
        "--alpha: found 5.0, wanted the probability of a wrong stop, as 0.05; 0.5 at most",
    ),
    "about": (
        (*DECIDE, "--budget", "1", "--about", "model"),
        "--about model: known: runs, models",
    ),
    "paths": (
        (*DECIDE, "--budget", "1", "--simulate", "-1"),
        "--simulate: found -1, wanted a number of paths, 1,000,000 at most",
    ),
    "paths as a document": (
        (*DECIDE, "--budget", "1", "--simulate", "9", "--json"),
        "--simulate: prints lines on paths that are drawn; leave out --json",
    ),
    "paths of items": (
        (*DECIDE, "--budget", "1", "--simulate", "9", "--about", "models"),
        "--simulate: draws no items, which --about models is decided by; take --about runs",
    ),
    "nobody confirmed": (
        (*DECIDE[:-1], "paper", "--budget", "100", "--runtime", "local"),
        None,
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_requests_that_are_refused(words: tuple[str, ...], message: str | None, kit: Kit, tmp_path: Path):
    code, out, err = kit(*words)
    assert (code, out) == (2, "")
    if message is None:  # this machine has no such GPUs
        assert err.startswith("error: scale paper wants 8 GPUs of 80 GB, this machine has ")
    else:
        assert err == f"error: {message}\n"
    assert not (tmp_path / "store").exists()


def test_a_failed_job_ends_the_path(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    def execute(jobs: Mapping[str, Job], *_: Any) -> Outcome:
        first = next(iter(jobs))
        return Outcome(failed={first: "no room"}, blocked=dict.fromkeys(list(jobs)[1:], first))

    monkeypatch.setattr(studies, "execute", execute)
    monkeypatch.setattr("kit.run.disk.free_bytes", lambda _: 10**12)
    code, _, err = kit(*DECIDE, "--budget", "1")
    assert code == 1
    assert err.startswith("error: block 1: failed: fetch/")
    assert err.endswith(": no room; what is done stays, and the same command goes on from there\n")


@pytest.mark.real
def test_real_workers_with_a_made_up_engine(tmp_path: Path):
    pytest.importorskip("torch")
    words = [sys.executable, str(ROOT / "tests" / "tiny_model.py"), "save", str(tmp_path / "model")]
    subprocess.run(words, check=True, capture_output=True)
    typed = ["verify", "--claim", "evol-instruct-mathematics", "--scale", "smoke", "--seeds", "1", "--yes"]
    found = subprocess.run(
        [sys.executable, str(STAND_INS), "kit", *typed, "--budget", "0.06", "--store", str(tmp_path / "store")],
        env={**os.environ, "STAND_INS": str(tmp_path), "PYTHONPATH": str(ROOT), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 3, found.stderr[-3000:]
    assert "cannot tell, after 1 block and 0.05 of 0.09 CPU-hours that all blocks cost" in found.stdout
    assert "Left: 1 block, 0.04 CPU-hours; the next costs 0.04." in found.stdout
    store = Store.existing(tmp_path / "store")
    stages = [store.get(path.name).job.stage for path in (store.root / "artifacts").iterdir()]
    assert (stages.count("sft"), stages.count("grade")) == (2, 4)
