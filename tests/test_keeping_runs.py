"""Runs that give files back: nothing that a job to come needs goes, and what goes is made again where it is needed."""

import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from kit.cli import running
from kit.run.execute import execute
from kit.run.launch import Options
from kit.store import Store
from kit.store.clearing import left_behind
from tests.faults_driver import NAMES, jobs
from tests.test_faults import JOBS, finish, hashes, kinds, start, tiny_disk, wait_for, workers

__all__ = ["tiny_disk"]  # the fixture
CONVERTS = [f"convert/{name}" for name in NAMES]
"""Ids of the jobs that count as models: fetched files are data here."""


def named(lines: list[str], event: str) -> list[str]:
    return sorted(line.split(maxsplit=1)[1] for line in lines if line.split()[0] == event)


def rows_of(store: Path) -> dict[str, str]:
    """Return id -> hash of each artifact, by its head, whether its files are there or not; check that all is whole."""
    opened = Store(store)
    assert [fault for key in opened.committed() for fault in opened.check(key)] == []
    return {artifact.job.id: artifact.files["rows.jsonl"]["sha256"] for artifact in opened.artifacts()}


def released(store: Path) -> list[str]:
    return sorted(artifact.job.id for artifact in Store(store).artifacts() if artifact.released)


def key_of(store: Path, name: str) -> str:
    return next(artifact.key for artifact in Store(store).artifacts() if artifact.job.id == name)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return id -> hash of the rows of a run that keeps everything and that nobody ends."""
    store = tmp_path_factory.mktemp("reference") / "store"
    assert finish(store)[0] == 0
    return hashes(store)


def test_models_go_and_come_again_where_a_job_needs_them(tmp_path: Path, undisturbed: dict[str, str]):
    store = tmp_path / "store"
    code, lines = finish(store, FAULTS_KEEP="results")
    assert (code, kinds(lines)) == (0, {"start": JOBS, "done": JOBS, "freed": 4})
    assert (named(lines, "freed"), released(store)) == (CONVERTS, CONVERTS)
    assert rows_of(store) == undisturbed
    for name in ("grade/b", "grade/all"):  # as a table that was never planned before
        shutil.rmtree(store / "artifacts" / key_of(store, name))
    code, lines = finish(store)
    assert (code, kinds(lines)) == (0, {"cached": JOBS - 3, "start": 3, "done": 3})
    assert named(lines, "done") == ["convert/b", "grade/all", "grade/b"]
    assert (rows_of(store), released(store)) == (undisturbed, ["convert/a", "convert/c", "convert/d"])
    code, lines = finish(store, FAULTS_KEEP="weights")
    assert (code, kinds(lines)) == (0, {"cached": JOBS, "freed": 1})  # a head counts as done
    assert released(store) == CONVERTS
    # a key should pin every byte; where a GPU does not keep to that, the reader has to know
    shutil.rmtree(store / "artifacts" / key_of(store, "grade/c"))
    code, lines = finish(store, FAULTS_KEEP="results", FAULTS_BYTES="5")
    assert (code, named(lines, "changed"), released(store)) == (0, ["convert/c rows.jsonl"], CONVERTS)


def test_a_re_making_that_failed_is_not_tried_again_in_its_run(tmp_path: Path):
    # it was tried three times more, and where one of them went well the run had failed all the same
    store = tmp_path / "store"
    assert finish(store, FAULTS_KEEP="results")[0] == 0
    shutil.rmtree(store / "artifacts" / key_of(store, "grade/b"))
    code, lines = finish(store, FAULTS_PAUSE_S="no number")
    assert (code, kinds(lines)) == (1, {"cached": JOBS - 2, "start": 1, "failed": 1, "blocked": 1})
    assert (named(lines, "start"), released(store)) == (["convert/b"], CONVERTS)


def test_inputs_of_a_failed_job_stay(tmp_path: Path):
    store = tmp_path / "store"
    code, lines = finish(store, FAULTS_KEEP="results", FAULTS_FAIL="grade/b")
    assert (code, named(lines, "freed")) == (1, ["convert/a", "convert/c", "convert/d"])
    opened = Store(store)
    assert all(opened.holds(key_of(store, name)) for name in ("convert/b", "fetch/a"))


def test_kills_at_random_moments_of_a_run_that_gives_back(tmp_path: Path, undisturbed: dict[str, str]):
    store, dice = tmp_path / "store", random.Random(11)
    for attempt in range(4):
        run = start(store, FAULTS_PAUSE_S="0.02", FAULTS_KEEP="results")
        assert run.stdout is not None
        for _ in range(dice.randrange(10, 60)):
            run.stdout.readline()
        if attempt % 2 and (found := workers(store)):
            os.kill(found[0], signal.SIGKILL)
        else:
            run.kill()
        run.communicate()
        if (store / "artifacts").exists():
            left_behind(Store(store), remove=True, faults=[])
            found_rows = rows_of(store)
            assert found_rows == {name: undisturbed[name] for name in found_rows}
    wait_for(lambda: not workers(store))
    code, _ = finish(store, FAULTS_KEEP="results")
    assert (code, rows_of(store), released(store)) == (0, undisturbed, CONVERTS)
    assert list((store / "tmp").iterdir()) == []


def test_two_runs_at_once_that_give_back(tmp_path: Path, undisturbed: dict[str, str]):
    store = tmp_path / "store"
    runs = [start(store, FAULTS_PAUSE_S="0.02", FAULTS_KEEP="results") for _ in range(2)]
    lines = [process.communicate()[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], lines
    assert (rows_of(store), released(store)) == (undisturbed, CONVERTS)


def test_a_store_that_turns_read_only_loses_nothing(tiny_disk: Path, undisturbed: dict[str, str]):
    subprocess.run(["mount", "-o", "remount,size=4m", str(tiny_disk)], check=True)
    store = tiny_disk / "store"
    run = start(store, FAULTS_HOLD="convert/b")
    assert run.stdout is not None
    for line in run.stdout:
        if line.strip() == "start convert/b":
            break
    wait_for(lambda: any((store / "tmp").glob("*/rows.jsonl")))
    os.kill(workers(store)[0], signal.SIGKILL)  # its files are open: a disk with open files does not turn read-only
    wait_for(lambda: not workers(store))
    run.kill()
    run.communicate()
    wait_for(lambda: not workers(store))
    there = hashes(store)
    read_only = ["mount", "-o", "remount,ro", str(tiny_disk)]
    wait_for(lambda: subprocess.run(read_only, capture_output=True, check=False).returncode == 0)
    code, lines = finish(store)
    subprocess.run(["mount", "-o", "remount,rw", str(tiny_disk)], check=True)
    wanted = f"store {store}: its disk is mounted read-only; mount its disk so that it can be written, or name another "
    assert (code, lines[-1]) == (1, f"kit.errors.RequestError: {wanted}store with --store")
    assert hashes(store) == there
    assert finish(store)[0] == 0
    assert hashes(store) == undisturbed
    wait_for(lambda: subprocess.run(read_only, capture_output=True, check=False).returncode == 0)
    opened, planned = running.writable_or_read(Store.existing(store)), jobs()  # where all is done it is read
    outcome = execute(planned, opened, Options(store=opened.root), lambda *_: None, keep="results")
    assert (outcome.cached, outcome.freed, sorted(outcome.left.values())[0].partition(": ")[2]) == (
        list(planned),
        {},
        "can't be opened: Read-only file system; mount its disk so that it can be written, or name another store with "
        "--store",
    )


def test_a_full_disk_says_what_helps_and_what_stays(tiny_disk: Path):
    code, lines = finish(tiny_disk / "store", FAULTS_BYTES="60000")
    assert code == 1
    ids = {made.id for made in jobs().values()}
    failed = [line.split(" ", 2) for line in lines if line.startswith("failed ")]
    cure = "make room (`kit store gc`, `--keep results`), or name a store on another disk with --store"
    kept = "nothing of this job is kept, what is committed stays, and the same command goes on from there"
    texts = {
        "{id}: the store's disk: No space left on device; " + f"{kept}: {cure}",
        "{id}: could not be stored in {root}: No space left on device; nothing was kept; " + cure,
    }
    root = tiny_disk / "store"
    assert failed
    for _, name, reason in failed:
        assert name in ids
        assert reason in {text.format(id=name, root=root) for text in texts}
    assert all(json.loads(path.read_text())["id"] in ids for path in (root / "failed").iterdir())
