"""Runs that are ended in any way: the next run continues, sees no half-written output and repeats no finished job."""

import ctypes
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit import cli
from kit.store import Store
from tests import kills

DRIVER = Path(__file__).resolve().parent / "faults_driver.py"
JOBS = 13
PYTHON = [sys.executable, str(DRIVER), "run"]


def start(store: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PYTHON, str(store)],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(store: Path, **variables: str) -> tuple[int, list[str]]:
    """Wait for the end of a run; return its exit code and the lines that it printed."""
    with start(store, **variables) as process:
        lines, _ = process.communicate()
    return process.returncode, lines.splitlines()


def kinds(lines: list[str]) -> dict[str, int]:
    return Counter(line.split()[0] for line in lines if not line.startswith("progress"))


def computed(store: Path) -> Counter[str]:
    """Return how often each job was computed to its end."""
    lines = (store / "computed").read_text().splitlines()
    return Counter(line.split()[0] for line in lines)


def hashes(store: Path) -> dict[str, str]:
    """Return id -> hash of its rows; check that every artifact is whole and nothing else is in the store."""
    opened = Store(store)
    found = list(opened.artifacts())
    assert [fault for artifact in found for fault in opened.check(artifact.key)] == []
    assert len(found) == len(list((store / "artifacts").iterdir()))
    return {artifact.job.id: artifact.files["rows.jsonl"]["sha256"] for artifact in found}


def ended(pid: int) -> bool:
    """Return whether a process has ended (a zombie has, too)."""
    try:
        return "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True


def workers(store: Path) -> list[int]:
    """Return the workers on a store, by the command lines of all processes."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if "worker" in words and str(store.resolve()) in words and not ended(int(folder.name)):
                found.append(int(folder.name))
    return found


def wait_for(check: object, seconds: float = 600.0) -> None:
    limit = time.monotonic() + seconds
    while not check():  # type: ignore[operator]
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    store = tmp_path_factory.mktemp("reference") / "store"
    code, lines = finish(store)
    assert (code, kinds(lines)) == (0, {"start": JOBS, "done": JOBS})
    assert (finish(store)[0], kinds(finish(store)[1])) == (0, {"cached": JOBS})
    assert len(hashes(store)) == JOBS
    return hashes(store)


def test_kills_at_random_moments(tmp_path: Path, undisturbed: dict[str, str]):
    store, dice = tmp_path / "store", random.Random(7)
    lived = 0
    for attempt in range(12):
        run = start(store, FAULTS_PAUSE_S="0.02")
        assert run.stdout is not None
        for _ in range(dice.randrange(1, 40)):  # in lines, not in seconds: a busy machine has not begun after one
            run.stdout.readline()
        if attempt % 2 and (found := workers(store)):
            os.kill(found[0], signal.SIGKILL)
            run.communicate()
        else:
            run.kill()
            run.communicate()
        done = len(hashes(store)) if (store / "artifacts").exists() else 0
        assert done >= lived  # what was committed stays
        lived = done
    wait_for(lambda: not workers(store))
    code, _ = finish(store)
    assert code == 0
    assert hashes(store) == undisturbed
    assert list((store / "tmp").iterdir()) == []
    assert list((store / "failed").iterdir()) == []


def test_a_campaign_of_kills_tells_a_store_with_other_bytes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert finish(tmp_path / "reference")[0] == 0
    words = ["--kills", "3", "--longest", "1", "--folder", str(tmp_path), "--reference", str(tmp_path / "reference")]
    assert kills.main(words) == 0
    assert capsys.readouterr().out.splitlines()[-2].startswith("3 kills over 1 runs of 13 jobs: 0 lost or half")
    wrong = {key: {"rows.jsonl": "0" * 64} for key in kills.hashes(tmp_path / "reference")}
    campaign = kills.Campaign(command=[], folder=tmp_path, longest_s=1, dice=random.Random(1), reference=wrong)
    with pytest.raises(SystemExit, match="other bytes than the undisturbed run"):
        campaign.compare(tmp_path / "reference")


@pytest.mark.parametrize("job", ["fetch/a", "convert/c", "grade/all"])
def test_an_interrupted_job_is_named_and_finished_jobs_are_not_run_again(
    job: str, tmp_path: Path, undisturbed: dict[str, str]
):
    store = tmp_path / "store"
    run = start(store, FAULTS_HOLD=job)
    assert run.stdout is not None
    for line in run.stdout:
        if line.strip() == f"start {job}":
            break
    wait_for(lambda: any((store / "tmp").glob("*/rows.jsonl")))
    before = {path.name: path.stat().st_mtime_ns for path in (store / "artifacts").iterdir()}
    (worker,) = workers(store)
    run.kill()
    run.communicate()
    wait_for(lambda: ended(worker))  # its standard input closed: no orphan goes on computing
    code, lines = finish(store)
    assert (code, lines[-1]) == (0, f"interrupted {job}")
    assert kinds(lines)["cached"] == len(before)
    assert {name: (store / "artifacts" / name).stat().st_mtime_ns for name in before} == before
    assert set(computed(store).values()) <= {1, 3}  # a stage's three jobs of one letter, each once
    assert hashes(store) == undisturbed


def test_a_killed_worker_fails_its_job_alone(tmp_path: Path):
    store = tmp_path / "store"
    process = start(store, FAULTS_HOLD="convert/b")
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == "start convert/b":
            break
    wait_for(lambda: any((store / "tmp").iterdir()))  # "start" is said before there is a folder
    os.kill(workers(store)[0], signal.SIGKILL)
    lines = process.communicate()[0].splitlines()
    assert process.returncode == 1
    assert "failed convert/b the worker was killed (signal 9): out of memory, or by hand" in lines
    assert [line for line in lines if line.startswith("blocked")] == [
        "blocked grade/b convert/b",
        "blocked grade/all convert/b",
    ]
    assert set(hashes(store)) >= {"grade/a", "grade/c", "grade/d"}
    code, lines = finish(store)
    assert (code, kinds(lines)) == (0, {"cached": JOBS - 3, "start": 3, "done": 3, "interrupted": 1})


def test_a_failed_job_stops_only_what_needs_it(tmp_path: Path):
    # the jobs behind it in the same worker were reported as failed too ("its input was not made")
    store = tmp_path / "store"
    code, lines = finish(store, FAULTS_FAIL="grade/b")
    assert (code, kinds(lines)) == (1, {"start": JOBS - 1, "done": JOBS - 2, "failed": 1, "blocked": 1})
    assert "failed grade/b ValueError: this one fails" in lines
    assert lines[-1] == "blocked grade/all grade/b"
    assert len(hashes(store)) == JOBS - 2
    failures = [path.stem for path in (store / "failed").iterdir()]
    assert [Store(store).failure(key) for key in failures] == ["ValueError: this one fails"]


def test_two_runs_at_once_compute_each_job_once(tmp_path: Path, undisturbed: dict[str, str]):
    store = tmp_path / "store"
    runs = [start(store, FAULTS_PAUSE_S="0.02") for _ in range(2)]
    lines = [process.communicate()[0] for process in runs]
    assert [process.returncode for process in runs] == [0, 0], lines
    assert computed(store) == {**dict.fromkeys("abcd", 3), "all": 1}
    assert hashes(store) == undisturbed


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 400 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs root, and a kernel that lets it mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(tiny_disk: Path, undisturbed: dict[str, str]):
    store = tiny_disk / "store"
    code, lines = finish(store, FAULTS_BYTES="60000")
    assert code == 1
    assert any("No space left on device" in line for line in lines)
    hashes(store)  # what is there is whole
    assert list((store / "tmp").iterdir()) == []
    subprocess.run(["mount", "-o", "remount,size=4m", str(tiny_disk)], check=True)
    code, lines = finish(store, FAULTS_BYTES="60000")
    assert (code, len(hashes(store))) == (0, JOBS)
    assert kinds(lines).get("failed", 0) == 0
    assert undisturbed.keys() == hashes(store).keys()


def heed_permissions() -> None:
    """Drop root's right to ignore permissions, for this process and its children."""
    if os.getuid() == 0:
        cap_dac_override, pr_capbset_drop = 1, 24
        assert ctypes.CDLL(None).prctl(pr_capbset_drop, cap_dac_override, 0, 0, 0) == 0


@pytest.mark.parametrize("lost", ["artifacts", "tmp", "locks", "jobs"])
def test_a_lost_permission(lost: str, tmp_path: Path, undisturbed: dict[str, str]):
    store = tmp_path / "store"
    assert finish(store, FAULTS_FAIL="convert/a")[0] == 1
    there = hashes(store)
    for key in (path.name for path in (store / "artifacts").iterdir()) if lost == "jobs" else ():
        (store / "jobs" / f"{key}.json").unlink()
    (store / lost).chmod(0o500)
    ran = subprocess.run(
        [*PYTHON, str(store)], preexec_fn=heed_permissions, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert "permission" in (ran.stdout + ran.stderr).lower()
    assert hashes(store) == there
    (store / lost).chmod(0o700)
    assert finish(store)[0] == 0
    assert hashes(store) == undisturbed


def test_a_full_disk_or_a_lost_permission_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    # an error of the system ended in a trace of Python's
    def fail(**_: str) -> None:
        raise OSError(28, "No space left on device", "store/jobs/x")

    monkeypatch.setattr(sys, "argv", ["kit", "--version"])
    with pytest.raises(SystemExit):  # the commands, before the app is put out of the way
        cli.main()
    capsys.readouterr()
    monkeypatch.setattr(cli, "app", fail)
    with pytest.raises(SystemExit) as ended_with:
        cli.main()
    assert ended_with.value.code == 1
    assert capsys.readouterr().err == (
        "error: store/jobs/x: No space left on device; what is committed stays, and the same command goes on from "
        "there\n"
    )
