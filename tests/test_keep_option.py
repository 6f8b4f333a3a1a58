"""The option `--keep` on the command line: peaks, what must be computed again, and disks that are too small."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.run import execute as run
from kit.run import processes
from kit.run.execute import Outcome
from kit.store import Store
from kit.store.clearing import release
from tests.conftest import Kit
from tests.test_cli import eight_gpus

__all__ = ["eight_gpus"]  # a fixture
PEAKS = {
    "nothing named": ("", "912.4 GB of disk at the peak"),
    "all": ("--keep all", "912.4 GB of disk at the peak"),
    "weights": ("--keep weights", "510.1 GB of disk at the peak (--keep weights)"),
    "results": ("--keep results", "510.1 GB of disk at the peak (--keep results; 388.2 GB where it has no more)"),
}


@pytest.mark.parametrize("words, text", PEAKS.values(), ids=list(PEAKS))
def test_a_plan_prints_the_peak(words: str, text: str, kit: Kit):
    code, out, _ = kit("plan", "2", "--scale", "paper", *words.split())
    assert (code, out.splitlines()[-1].rpartition(" GPU-h, ")[2]) == (0, text)


def test_the_plan_as_json_has_both_peaks(kit: Kit):
    document = json.loads(kit("plan", "2", "--scale", "paper", "--keep", "results", "--json")[1])
    totals = document["totals"]
    assert (document["keep"], totals["disk_bytes"] > totals["least_disk_bytes"] > 3e11) == ("results", True)
    assert {job["released"] for job in document["jobs"]} == {False}


@pytest.mark.parametrize("words", ["plan 2", "reproduce 2 --dry-run", "reproduce 2"])
def test_a_rule_that_is_not_known_is_refused(words: str, kit: Kit):
    code, _, err = kit(*words.split(), "--scale", "smoke", "--keep", "weight")
    assert (code, err) == (2, "error: --keep 'weight': wanted results, weights, all; did you mean 'weights'?\n")


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_tables(["2"], "smoke")


@pytest.fixture
def store(tmp_path: Path, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Yield a store that has every artifact of Table 2 at smoke, empty ones, and no worker to start."""
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    found = Store.open(tmp_path / "store")
    for made in plan.jobs.values():
        folder = found.make_scratch(made.key)
        (folder / "file").write_text("x")
        found.commit(made, folder, rows=1, facts={}, provenance={})
    yield found


def of_stage(plan: Plan, stage: str) -> list[str]:
    return [key for key, made in plan.jobs.items() if made.stage == stage]


def test_a_later_plan_says_what_must_be_computed_again(kit: Kit, store: Store, plan: Plan):
    for key in (*of_stage(plan, "sft"), *of_stage(plan, "convert")):
        release(store, key, "--keep results")
    code, out, _ = kit("plan", "2", "--scale", "smoke")
    assert (code, {line.split()[0] for line in out.splitlines() if "/" in line and "note" not in line}) == (
        0,
        {"cached"},
    )
    answer = of_stage(plan, "answer")[0]
    store.remove(answer)
    sft = plan.jobs[answer].inputs["model"]
    bases = [key for key in plan.jobs[sft].inputs.values() if plan.jobs[key].stage == "convert"]
    code, out, _ = kit("plan", "2", "--scale", "smoke")
    state_of = {key: line[:7].strip() for key in plan.jobs for line in out.splitlines() if line[7:17] == key[:10]}
    again = [key for key, state in state_of.items() if state == "again"]
    assert (state_of[answer], state_of.keys()) == ("to do", plan.jobs.keys())
    assert {sft, *bases} <= set(again)
    assert all(plan.jobs[key].stage in ("convert", "sft") for key in again)
    names = ", ".join(plan.jobs[key].id for key in again)
    last = out.splitlines()[-1]
    wanted = (
        f"{len(again)} artifacts gave the files back that jobs to do need, and must be computed again: {names}; about "
    )
    assert last.startswith(wanted)
    assert last.endswith(" min")
    assert f"; to do: {len(again) + 1}, about " in out.splitlines()[-2]


def test_a_run_with_nothing_to_do_gives_back_what_its_rule_does_not_keep(store: Store, plan: Plan):
    def nothing(*_: object) -> None:
        return

    outcome = run.execute(plan.jobs, store, run.Options(store=store.root), nothing, keep="weights")
    packed = [key for key, made in plan.jobs.items() if made.params.get("kind") == "package"]
    copies = {*packed, *of_stage(plan, "convert")}
    assert (set(outcome.freed), outcome.left, len(outcome.cached)) == (copies, {}, len(plan.jobs))
    outcome = run.execute(plan.jobs, store, run.Options(store=store.root), nothing, keep="results")
    assert (set(outcome.freed), outcome.done) == ({*of_stage(plan, "sft")}, [])


@pytest.mark.usefixtures("eight_gpus")
def test_too_little_disk_names_the_rule_that_gets_by(kit: Kit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 4 * 10**11}))
    code, _, err = kit("reproduce", "2", "--scale", "paper", "--yes")
    assert (code, err) == (
        2,
        f"error: store {tmp_path / 'store'}: the 188 jobs to do need about 912.4 GB of disk, 400.0 GB are free; make "
        "room, or name another --store; with --keep results (make: KEEP=results) they get by with 388.2 GB\n",
    )
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**9}))
    code, _, err = kit("reproduce", "2", "--scale", "paper", "--yes", "--keep", "results")
    assert (code, err) == (
        2,
        f"error: store {tmp_path / 'store'}: the 188 jobs to do need about 388.2 GB of disk at the least with --keep "
        "results, 1.0 GB are free; make room, or name another --store\n",
    )


def test_kit_job_makes_files_again_and_names_inputs_that_are_gone(kit: Kit, store: Store, plan: Plan):
    answer = of_stage(plan, "answer")[0]
    sft = plan.jobs[answer].inputs["model"]
    store.remove(answer)
    store.plan(plan.jobs[answer])
    release(store, sft, "--keep results")
    code, out, _ = kit("job", answer[:16])
    folder = store.root / "artifacts" / sft
    assert code == 1
    assert out.endswith(
        f"{plan.jobs[answer].id}: model: {folder}: its files were given back to the disk; `kit job {sft[:12]}` makes "
        "them again\n"
    )


def test_the_end_of_a_run_tells_what_went_what_stayed_and_what_changed(plan: Plan):
    from kit.cli.keeping import outcome_lines

    first, second = of_stage(plan, "sft")[:2]
    readers = sum(first in made.inputs.values() for made in plan.jobs.values())
    outcome = Outcome(freed={first: 2 * 10**9, second: 10**9}, left={second: "it is read"}, changed={first: ["a", "b"]})
    assert list(outcome_lines(plan, outcome, "results")) == [
        "--keep results: 2 models that no job to come needs gave back 3.0 GB; their heads stay",
        f"{plan.jobs[second].id} keeps its files: it is read",
        f"{plan.jobs[first].id} was made again, and differs from what it was in a, b; what the {readers} jobs that "
        "read it made before comes from the former files",
    ]
    assert list(outcome_lines(plan, Outcome(), "all")) == []
