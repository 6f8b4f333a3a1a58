"""The command line on stores: list, show, check, gc, and the paths by which a store is named."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from kit.plan.planning import plan_tables
from kit.store import Job, Store
from tests.conftest import Kit


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
    code, out, _ = kit("store", "show", first.key[:16], "--rows", "2", "--json")
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
    # a dry run removed it
    for _ in range(2):
        line = f"would remove a half-written {first.key[:10]}  0 bytes\n"
        assert kit("store", "gc", "--dry-run") == (0, line, "")
    assert kit("store", "gc") == (0, f"removed a half-written {first.key[:10]}  0 bytes\n", "")
    assert kit("store", "gc") == (0, "nothing to remove\n", "")
    assert len(list(Store(tmp_path / "store").artifacts())) == 2


def test_a_damaged_head_is_one_fault_among_others(kit: Kit, tmp_path: Path):
    first, second = committed(tmp_path / "store", "a"), committed(tmp_path / "store", "b")
    (tmp_path / "store" / "artifacts" / first.key / "artifact.json").write_text("{}")
    (tmp_path / "store" / "artifacts" / second.key / "rows.jsonl").write_text("harmed")
    code, out, err = kit("store", "list")
    assert (code, [line.split("  ")[-1] for line in out.splitlines()]) == (0, ["fetch/b"])
    assert err.startswith(f"{first.key[:10]}  damaged: store ")
    code, out, err = kit("store", "check")
    lines = sorted(out.splitlines())
    assert (code, err, lines[0]) == (1, "", "2 artifacts checked, 2 faults")
    assert f"{second.key[:10]}  fetch/b: rows.jsonl: changed (sha256 differs from the head's)" in lines
    assert any(line.startswith(f"{first.key[:10]}  store ") for line in lines)


def test_gc_keeps_what_tables_need_at_any_scale(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # `--keep 2` took the scale of this machine, smoke, and removed what paper had cost days for
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    store = Store.open(tmp_path / "store")
    needed = next(job for job in plan_tables(["2"], "paper").jobs.values() if job.stage == "sft")
    for job in (needed, committed(tmp_path / "store", "a")):
        if not store.has(job.key):
            with store.scratch(job.key) as out:
                store.commit(job, out, rows=0, facts={}, provenance={})
    code, out, _ = kit("store", "gc", "--keep", "2", "--dry-run")
    size = len(b'{"text":"\\u001b[31m"}\n{"text":"\x1b[31m"}\n')
    assert (code, out.splitlines()[-1]) == (0, f"would remove 1 artifacts, {size} bytes")
    code, out, err = kit("store", "gc", "--keep", "2")
    assert (code, err) == (
        2,
        f"error: store {store.root}: 1 artifacts, {size} bytes to remove, for good; say --yes to do it\n",
    )
    assert len(list(store.artifacts())) == 2
    assert kit("store", "gc", "--keep", "2", "--yes")[0] == 0
    assert [artifact.key for artifact in store.artifacts()] == [needed.key]
    assert kit("store", "gc", "--keep", "2") == (0, "no artifact to remove: the tables need all that are there\n", "")
    code, out, _ = kit("store", "gc", "--keep", "2", "--scale", "smoke", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "would remove 1 artifacts, 0 bytes")


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
    # "which failed", and nothing had failed
    assert f"needs job {'d' * 10}, which is not made yet" in out


def test_reports_of_a_store_with_nothing_in_it(kit: Kit, tmp_path: Path):
    # an empty record stood at the end
    code, out, _ = kit("report", "2", "--scale", "smoke", "--format", "csv")
    assert code == 0
    assert len(out.splitlines()) == 1 + len(plan_tables(["2"], "smoke").cells["table-2"])
    both = kit("report", "1", "2", "--scale", "smoke", "--format", "csv")[1]
    assert both.count("table,scale,seeds") == 1
    assert both.endswith(out.partition("\n")[2])
    assert kit("report", "2", "--scale", "smoke", "--format", "markdown")[1].count("missing") == 32
    assert kit("verify", "2", "--scale", "smoke")[0] == 1
    assert list(tmp_path.iterdir()) == []


def test_control_c_ends_with_a_sentence_and_130():
    # ended with 130 and not a word; and this test failed on a busy machine, which took more than its 30 seconds
    driver = Path(__file__).resolve().parent / "interrupted.py"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, str(driver)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (
        130,
        "error: stopped; what is committed stays, and the same command goes on from there\n",
    )


FOLDERS = {
    "relative": ("x", "{here}/x"),
    "a dot": ("./x/", "{here}/x"),
    "the folder itself": (".", "{here}"),
    "up": ("../x", "{here}/../x"),
    "down and up": ("folder/../x", "{here}/x"),
    "home": ("~", "{here}/home"),
    "at home": ("~/x", "{here}/home/x"),
    "a folder of that name": ("./~", "{here}/~"),
    "a link": ("link", "{here}/folder/inner"),
    "below a link": ("link/x", "{here}/folder/inner/x"),
    "up from a link": ("link/../x", "{here}/folder/x"),
    "whole": ("/x/../y", "/y"),
}


@pytest.mark.parametrize(("written", "meant"), FOLDERS.values(), ids=list(FOLDERS))
@pytest.mark.parametrize("how", ["--store", "--store=", "KIT_STORE"])
def test_every_spelling_of_a_stores_path_is_found(
    how: str, written: str, meant: str, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # A relative one was a volume's name to podman; `~` of a variable was a folder of that name.
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to("folder/inner")
    if how == "KIT_STORE":
        monkeypatch.setenv("KIT_STORE", written)
    words = {"--store": ["--store", written], "--store=": [f"--store={written}"], "KIT_STORE": []}[how]
    folder = os.path.normpath(meant.format(here=tmp_path))
    assert kit("store", "list", *words) == (
        2, "", f"error: store {folder}: no store there; name the folder that a run wrote with --store\n"
    )  # fmt: skip


NO_FOLDERS = {
    "no store": ("plan 2 --store=", "--store' (env var: 'KIT_STORE'): the path is empty; name a folder"),
    "no mirror": ("fetch 2 --mirror=", "--mirror': the path is empty; name a folder"),
    "nobody's home": (
        "plan 2 --store=~nobody9/x",
        "--store' (env var: 'KIT_STORE'): ~nobody9/x: no such user; a folder of that name is ./~nobody9/x",
    ),
    "a store in a circle": (
        "plan 2 --store loop/x",
        "--store' (env var: 'KIT_STORE'): loop/x: its links lead in a circle; name the folder itself",
    ),
    "a mirror in a circle": (
        "run my.toml --mirror loop",
        "--mirror': loop: its links lead in a circle; name the folder itself",
    ),
}


@pytest.mark.parametrize(("words", "message"), NO_FOLDERS.values(), ids=list(NO_FOLDERS))
def test_a_path_that_can_not_be_a_folder_is_refused(words: str, message: str, kit: Kit, tmp_path: Path):
    (tmp_path / "loop").symlink_to("loop")
    code, _, err = kit(*words.split())
    assert (code, err.splitlines()[-1]) == (2, f"Error: Invalid value for '{message}")


def test_a_stores_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    opened = Store.open(Path("store"))
    monkeypatch.chdir("/")
    assert opened.root == tmp_path / "store"
    assert opened.committed() == []
