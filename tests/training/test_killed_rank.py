"""One of two real ranks is killed: its job fails and says so, leaves nothing half, and goes on bit for bit."""

import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kit.errors import KitError
from kit.run import execute as run
from kit.run import worker
from kit.run.failed_ranks import first_failed, signal_of_only
from kit.run.launch import Options
from kit.store import Job, Store, kept
from kit.training import checkpoints
from tests.training.conftest import PARAMS
from tests.training.test_checkpoints import inputs_of

LONG = PARAMS | {"epochs": 10, "learning_rate": 1e-3, "world": 2}
KILL_AT = 8
"""Step after which the rank is killed, of thirty."""


def job(number: int, inputs: Mapping[str, str]) -> Job:
    return Job(
        id=f"sft/{number}", stage="sft", version=f"2.{number}", environment="cpu", lock="", params=LONG, inputs=inputs
    )


def pid_of(rank: int, key: str) -> int:
    """Return the process id of one rank of a job that is at work."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words, variables = ((folder / name).read_bytes().split(b"\0") for name in ("cmdline", "environ"))
        except OSError:
            continue
        if key.encode() in words and f"RANK={rank}".encode() in variables and b"WORLD_SIZE=2" in variables:
            return int(folder.name)
    raise AssertionError(f"rank {rank} is not there")


@pytest.mark.real
def test_a_killed_rank_fails_its_job_which_then_goes_on(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(checkpoints.VARIABLE, "1e-9")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(run, "check_installed", lambda _: None)  # a job of a test has no lock
    store = Store.open(tmp_path / "store")
    (tmp_path / "pairs").mkdir()
    inputs = inputs_of(store, base, tmp_path / "pairs")
    broken, whole = job(1, inputs), job(2, inputs)
    killed: list[int] = []

    def listen(kind: str, made: Job, fields: Mapping[str, Any]) -> None:
        if kind == "progress" and fields["done"] >= KILL_AT and not killed:
            killed.append(fields["done"])
            os.kill(pid_of(1, made.key), signal.SIGKILL)

    outcome = run.execute({broken.key: broken}, store, Options(store=store.root), listen)
    assert outcome.failed == {
        broken.key: (
            "rank 1 of 2 was killed (signal 9): out of memory, or by hand; the others were ended with it; what is kept "
            f"of the job stays, and the same command goes on from there (log: {store.log_path(broken.key)})"
        )
    }
    assert not store.has(broken.key)
    with store.inside("parts") as parts:
        names = kept.names_of(parts, broken.key)
    assert kept.half_written(names) == []
    assert len(names) >= 3  # a file of each rank, and the index
    outcome = run.execute({one.key: one for one in (broken, whole)}, store, Options(store=store.root), lambda *_: None)
    assert (outcome.failed, set(outcome.done)) == ({}, {broken.key, whole.key})
    log = store.log_path(broken.key).read_text()
    assert int(re.findall(r"sft: goes on after step (\d+) of 30", log)[0]) > 0
    assert store.get(broken.key).files == store.get(whole.key).files
    assert not list((store.root / "parts").iterdir())


SUMMARY = """
kit.run.worker FAILED
------------------------------------------------------------
Failures:
{others}
------------------------------------------------------------
Root Cause (first observed failure):
[0]:
  time      : 2026-11-28_11:00:00
  host      : node7
  rank      : {rank} (local_rank: 1)
  exitcode  : {code} (pid: 4711)
  error_file: <N/A>
  traceback : To enable traceback see: https://pytorch.org/docs/stable/elastic/errors.html
============================================================"""
OTHER = "[1]:\n  rank      : 3 (local_rank: 3)\n  exitcode  : -15 (pid: 4712)\n"
KILLED = "[1]:\n  rank      : 2 (local_rank: 2)\n  exitcode  : -9 (pid: 4712)\n"
LAST_WORDS = {
    "killed": (
        1,
        -9,
        "",
        "rank 1 of 8 was killed (signal 9): out of memory, or by hand; the others were ended with it",
    ),
    "beside others": (5, -11, OTHER, "rank 5 of 8 was ended by signal 11; the others were ended with it"),
    # seen in one second, whose first is called the root
    "beside one whose connection was closed": (
        0,
        1,
        OTHER + KILLED,
        "rank 2 of 8 was killed (signal 9): out of memory, or by hand; the others were ended with it",
    ),
    "ended by the launcher of another node": (
        3,
        -15,
        OTHER,
        "rank 3 of 8 was ended by signal 15; the others were ended with it",
    ),
    "an error": (0, 1, "  <NO_OTHER_FAILURES>", "rank 0 of 8 ended with exit code 1; the others were ended with it"),
}


@pytest.mark.parametrize("rank, code, others, wanted", LAST_WORDS.values(), ids=list(LAST_WORDS))
def test_the_rank_that_ended_first_is_named(rank: int, code: int, others: str, wanted: str):
    lines = [line.strip() for line in SUMMARY.format(rank=rank, code=code, others=others).splitlines()]
    assert first_failed(lines, 8) == wanted


def test_of_the_launchers_of_two_nodes_the_one_whose_rank_was_killed_counts():
    text = SUMMARY.format(rank=0, code=1, others="") + SUMMARY.format(rank=4, code=-9, others="")
    for lines in (text.splitlines(), text.splitlines() + 80 * ["slurmstepd: error: a line"]):
        assert first_failed(lines, 8).startswith("rank 4 of 8 was killed (signal 9)")


def test_without_a_summary_no_rank_is_named():
    assert first_failed(["Traceback (most recent call last):", "RuntimeError: exitcode : -9 (pid: 1)"], 2) == ""


def test_a_summary_of_many_ranks_is_kept_whole(tmp_path: Path):
    # 20 lines held the last three ranks
    text = SUMMARY.format(rank=0, code=1, others=KILLED + OTHER * 5) + "\n"
    store = Store.open(tmp_path)
    made = cast(Any, SimpleNamespace(store=store, jobs={}, pending={}))
    follower = run.Worker(made, ["a" * 64], None, cast(Any, None))
    assert list(follower.events(io.StringIO(text))) == []
    assert first_failed(follower.tail, 8).startswith("rank 2 of 8 was killed (signal 9)")


@pytest.mark.parametrize(
    "last, signal",
    [
        ("subprocess.CalledProcessError: Command '['python']' died with <Signals.SIGKILL: 9>.", 9),
        ("subprocess.CalledProcessError: Command '['python']' died with unknown signal 77.", 77),
        ("subprocess.CalledProcessError: Command '['python']' returned non-zero exit status 3.", None),
        ("the evolved instruction died with <Signals.SIGKILL: 9>.", None),
    ],
    ids=["a name", "no name", "an exit code", "another's words"],
)
def test_the_signal_that_ended_an_only_process(last: str, signal: int | None):
    assert signal_of_only(["Traceback (most recent call last):", last, ""]) == signal
    assert signal_of_only([last, "a later line"]) is None
    assert signal_of_only([]) is None


def test_a_killed_process_is_told_through_its_launcher(tmp_path: Path):
    # accelerate's exit code is 1, and its last words are a command line of thousands of characters
    script = tmp_path / "killed.py"
    script.write_text("import os\nos.kill(os.getpid(), 9)\n")
    words = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", str(script), *(60 * ["k" * 64])]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    store, made, failed = Store.open(tmp_path / "store"), job(1, {}), []
    limits = SimpleNamespace(timed_out=threading.Event(), memory="")
    ran = SimpleNamespace(
        store=store, pending={made.key: made}, jobs={made.key: made}, fail=lambda *of: failed.append(of)
    )
    run.Worker(cast(Any, ran), [made.key], None, cast(Any, limits)).follow(process)
    assert process.returncode == 1
    assert failed == [(made.key, "the worker was killed (signal 9): out of memory, or by hand")]


# the error of a rank -> the reason that it reports; None: it leaves the word to its launcher
ERRORS: dict[str, tuple[int, Exception, str | None]] = {
    "gloo": (0, RuntimeError("[pair.cc:537] Connection closed by peer [127.0.0.1]:4711"), None),
    "NCCL": (1, RuntimeError("ncclRemoteError: remote process exited or there was a network error"), None),
    "a socket": (0, ConnectionResetError(104, "Connection reset by peer"), None),
    "a pipe": (0, BrokenPipeError(32, "Broken pipe"), None),
    "its own": (1, RuntimeError("CUDA out of memory"), "rank 1: RuntimeError: CUDA out of memory"),
    "the kit's": (0, KitError("the server's connection was closed"), "the server's connection was closed"),
}


@pytest.mark.parametrize("rank, error, reason", ERRORS.values(), ids=list(ERRORS))
def test_a_closed_connection_is_no_reason(
    rank: int, error: Exception, reason: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # under load the rank spoke before its launcher, and was believed
    said: list[str] = []
    codes: list[int] = []
    context = worker.JobContext(
        rank=rank, world=2, mirror=None, unsafe_exec=False, emit=lambda _, **fields: said.append(fields["reason"])
    )
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("os._exit", codes.append)
    store, made = Store.open(tmp_path), job(1, {})
    worker._end_rank(store, made, error, context)
    assert (said, codes, store.failure(made.key)) == ([reason] if reason else [], [1], reason)
