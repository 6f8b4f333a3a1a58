"""The command line: what each command prints, and the exit codes that scripts go by."""

import io
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from kit.cli import main
from kit.planning import plan_tables
from kit.store import Job, Store

Kit = Callable[..., tuple[int, str, str]]
COMMANDS = [
    "reproduce",
    "run",
    "plan",
    "report",
    "fetch",
    "verify",
    "evolve",
    "respond",
    "sft",
    "answer",
    "grade",
    "job",
    "doctor",
    "store",
]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """Run the command line in an empty folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KIT_STORE", raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_help_names_every_command(kit: Kit):
    code, out, _ = kit("--help")
    assert code == 0
    assert {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line.strip()} >= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str, kit: Kit):
    code, out, _ = kit(command, "--help")
    assert (code, out.startswith("Usage: "), f" {command} [OPTIONS]" in out) == (0, True, True)


USAGE = {
    "no such command": (("reprodue",), "No such command 'reprodue'"),
    "no such option": (("plan", "2", "--sclae", "smoke"), "No such option"),
    "nothing to plan": (("plan",), "Missing argument"),
}


@pytest.mark.parametrize("words, part", USAGE.values(), ids=list(USAGE))
def test_a_request_that_is_no_command_line(words: tuple[str, ...], part: str, kit: Kit):
    code, _, err = kit(*words)
    assert (code, part in err) == (2, True)


def test_plan_is_one_json_document(kit: Kit, tmp_path: Path):
    code, out, err = kit("plan", "2", "--scale", "paper", "--json")
    document = json.loads(out)
    assert (code, err, document["schema"], document["scale"]) == (0, "", 1, "paper")
    counts = Counter(job["stage"] for job in document["jobs"])
    assert (counts["evolve"], counts["respond"], counts["sft"]) == (6, 6, 36)
    assert {name: document["totals"][name] for name in counts} == counts
    assert document["totals"]["gpu_hours"] > 100
    assert "formula" in document
    fields = {"id", "key", "stage", "version", "environment", "lock", "params", "inputs", "resources", "cached"}
    assert all(set(job) == fields and not job["cached"] for job in document["jobs"])
    sft = next(job for job in document["jobs"] if job["stage"] == "sft")
    assert {"gpu_hours", "disk_bytes", "memory_bytes_per_device"} <= set(sft["resources"])
    assert list(tmp_path.iterdir()) == []  # a plan leaves nothing behind


def test_plan_and_dry_run_show_one_line_a_job(kit: Kit):
    for words in (("plan", "2"), ("reproduce", "2", "--dry-run")):
        code, out, _ = kit(*words, "--scale", "smoke")
        jobs = plan_tables(["2"], "smoke").jobs.values()
        lines = [line for line in out.splitlines() if line.startswith("to do")]
        assert (code, [line.split()[3] for line in lines]) == (0, [job.id for job in jobs])
        assert f"{len(jobs)} jobs: " in out


def test_more_than_a_gpu_hour_is_asked_for(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    from kit import run

    monkeypatch.setattr(run, "command", lambda *_, **__: pytest.fail("a worker was started"))
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**15}))
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    code, _, err = kit("reproduce", "2", "--scale", "paper")
    assert code == 2
    assert err.startswith("error: this needs about ")
    assert err.endswith(" GPU-hours at scale paper; say --yes (make: YES=1) to begin\n")


def test_too_little_disk_is_told_before(kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10**9}))
    code, _, err = kit("reproduce", "2", "--scale", "paper", "--yes")
    assert code == 2
    assert "GB of disk, 1.0 GB are free; make room, or name another --store" in err


def committed(root: Path, name: str) -> Job:
    """An artifact of one file, as a run leaves it."""
    store = Store.open(root)
    job = Job(
        id=f"fetch/{name}",
        stage="fetch",
        version="fetch-1",
        environment="grade",
        lock="",
        params={"n": name},
        inputs={},
    )
    store.plan(job)
    with store.scratch(job.key) as out:
        (out / "rows.jsonl").write_text('{"text":"\\u001b[31m"}\n{"text":"\x1b[31m"}\n')
        store.commit(job, out, rows=2, facts={}, provenance={"started_at": "2026-01-01T00:00:00+00:00"})
    return job


def test_store_list_show_check_gc(kit: Kit, tmp_path: Path):
    first, second = committed(tmp_path / "store", "a"), committed(tmp_path / "store", "b\x1b[5m")
    code, out, _ = kit("store", "list")
    assert code == 0
    assert {line.split("  ")[-1] for line in out.splitlines()} == {"fetch/a", "fetch/b\\x1b[5m"}
    code, out, _ = kit("store", "list", "--json")
    assert {json.loads(line)["key"] for line in out.splitlines()} == {first.key, second.key}
    code, out, _ = kit("store", "show", first.key[:16], "--rows", "2")
    assert (code, json.loads(out.partition("--- rows.jsonl")[0])["key"]) == (0, first.key)
    assert out.endswith('--- rows.jsonl\n{"text":"\\u001b[31m"}\n{"text":"\\x1b[31m"}\n')
    assert kit("store", "check") == (0, "2 artifacts checked, 0 faults\n", "")
    (tmp_path / "store" / "artifacts" / second.key / "rows.jsonl").write_text("")
    # the job's name went to the terminal as it was
    assert kit("store", "check") == (
        1,
        f"{second.key[:10]}  fetch/b\\x1b[5m: rows.jsonl: changed (sha256 differs from the head's)\n"
        "2 artifacts checked, 1 faults\n",
        "",
    )
    (tmp_path / "store" / "tmp" / f"{first.key}.x").mkdir()
    assert kit("store", "gc") == (0, f"removed a half-written {first.key[:10]}\n", "")
    assert len(list(Store(tmp_path / "store").artifacts())) == 2
    code, out, _ = kit("store", "gc", "--keep", "2", "--scale", "smoke", "--dry-run")
    assert (code, out.splitlines()[-1], len(list(Store(tmp_path / "store").artifacts()))) == (
        0,
        "2 artifacts, 0.0 MB",
        2,
    )
    assert kit("store", "gc", "--keep", "2", "--scale", "smoke")[0] == 0
    assert list(Store(tmp_path / "store").artifacts()) == []


def test_a_job_whose_inputs_are_not_made(kit: Kit, tmp_path: Path):
    # ended in a KeyError: the inputs are no part of a run of one job
    store = Store.open(tmp_path / "store")
    made = Job(
        id="grade/x", stage="grade", version="1", environment="grade", lock="", params={}, inputs={"data": "d" * 64}
    )
    store.plan(made)
    code, out, _ = kit("job", made.key[:12])
    assert code == 1
    assert out.endswith("grade/x: its inputs are not made yet: data\n")


def test_a_damaged_file_of_the_mirror_fails_its_job(kit: Kit, tmp_path: Path):
    (tmp_path / "mirror" / "gsm8k").mkdir(parents=True)
    (tmp_path / "mirror" / "gsm8k" / "test.jsonl").write_text("damaged")
    (tmp_path / "c.jsonl").write_text('{"id": 0, "output": "1"}\n')
    code, _, err = kit("grade", "gsm8k", "--completions", "c.jsonl", "--mirror", "mirror")
    assert code == 1
    pinned = "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14"
    assert f"the manifest pins {pinned}; the file is damaged or is not the pinned revision\n" in err
    assert list(Store(tmp_path / "store").artifacts()) == []


def test_reports_of_a_store_with_nothing_in_it(kit: Kit, tmp_path: Path):
    # an empty record stood at the end
    code, out, _ = kit("report", "2", "--scale", "smoke", "--format", "csv")
    assert code == 0
    assert len(out.splitlines()) == 1 + len(plan_tables(["2"], "smoke").cells["table-2"])
    assert kit("report", "2", "--scale", "smoke", "--format", "markdown")[1].count("missing") == 32
    assert kit("verify", "2", "--scale", "smoke")[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_control_c_ends_with_a_sentence_and_130():
    # ended with 130 and not a word
    driver = Path(__file__).resolve().parent / "interrupted.py"
    process = subprocess.Popen([sys.executable, str(driver)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (
        130,
        "error: stopped; what is committed stays, and the same command goes on from there\n",
    )
