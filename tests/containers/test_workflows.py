"""CI's workflows: actions by commit, no right that is not used, stale runs cancelled, only commands that are here."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from kit.store import Job, Store

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"), key=str)


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_there_is_a_workflow_for_each_kind_of_runner() -> None:
    assert [path.name for path in WORKFLOWS] == ["cpu.yml", "gpu.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []
    commented = re.findall(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commented) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_permissions_and_time_are_limited(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert all("timeout-minutes" in job and "permissions" not in job for job in workflow["jobs"].values())
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_existing_targets_and_sessions(path: Path) -> None:
    commands = " ; ".join(step["run"] for step in steps(path) if "run" in step)
    makefile, noxfile = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "noxfile.py"))
    for target in re.findall(r"\bmake ([a-z]+)", commands):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for session in re.findall(r"nox -s (\w+)", commands):
        assert re.search(rf"^def {session}\(", noxfile, re.MULTILINE), session


def test_the_gpu_runner_runs_table_2_in_containers_and_verifies_it() -> None:
    commands = [step["run"] for step in steps(ROOT / ".github" / "workflows" / "gpu.yml") if "run" in step]
    assert "make reproduce TABLE=2 SCALE=one-gpu RUNTIME=docker YES=1" in commands
    assert any(".venv/bin/nox -s verify -- 2 --scale one-gpu " in command for command in commands)


def test_the_gpu_runners_store_outlives_the_checkout() -> None:
    # It was the workspace's store/, which the next run's checkout cleans away: everything was computed anew each week.
    path = ROOT / ".github" / "workflows" / "gpu.yml"
    commands = [step["run"] for step in steps(path) if "run" in step]
    setting = 'echo "KIT_STORE=$HOME/kit-store" >>"$GITHUB_ENV"'
    using = [
        index for index, line in enumerate(commands) if re.search(r"make reproduce|nox -s verify|kit report", line)
    ]
    assert len(using) == 3 and commands.index(setting) < min(using)
    assert not any("--store" in line or "STORE=" in line for line in commands if line != setting)
    uploads = {step["with"]["name"]: step for step in steps(path) if "upload-artifact" in step.get("uses", "")}
    results = uploads["results"]["with"]["path"]
    assert all(line.startswith("${{ env.KIT_STORE }}/") for line in results.splitlines())
    assert all(step["if"] == "always()" for step in uploads.values())
    assert (len(uploads), uploads["verified"]["with"]["path"]) == (2, "verified")


FIRST = "::warning title=kit verify%3A first values of one-gpu::Nothing is recorded for one-gpu: "
VERIFIED = {
    # exit code of `kit verify`, whether values are recorded -> whether the first ones are handed over
    "go": (0, True, False),
    "no": (1, True, False),
    "a wrong request": (2, False, False),
    "a first run": (3, False, True),
    "recorded in part": (3, True, False),
}


@pytest.mark.parametrize("code, recorded, handed_over", VERIFIED.values(), ids=list(VERIFIED))
def test_the_gpu_runner_hands_over_the_first_values(
    code: int, recorded: bool, handed_over: bool, tmp_path: Path
) -> None:
    # a scale without recorded values was green, and nothing ever recorded any
    (script,) = [
        step["run"] for step in steps(ROOT / ".github" / "workflows" / "gpu.yml") if "mkdir" in step.get("run", "")
    ]
    place = tmp_path / "manifests" / "expected" / "one-gpu" / "table-2.toml"
    place.parent.mkdir(parents=True)
    if recorded:
        place.write_text("before")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, does in (("nox", f'echo "$@"; exit {code}'), ("kit", f'echo "$@"; echo first >{place}')):
        (programs / name).write_text(f"#!/bin/sh\n{does}\n")
        (programs / name).chmod(0o755)
    environment = {**os.environ, "GITHUB_STEP_SUMMARY": str(tmp_path / "summary")}
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]  # as GitHub runs it
    done = subprocess.run(words, cwd=tmp_path, env=environment, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"-s verify -- 2 --scale one-gpu --annotations --junit {tmp_path}/verified/table-2.xml"
    assert [line[: len(FIRST)] for line in lines[1:]] == (
        ["verify 2 --scale one-gpu --record", FIRST] if handed_over else []
    )
    copy = tmp_path / "verified" / place.relative_to(tmp_path)
    assert copy.exists() == handed_over
    assert not handed_over or copy.read_text() == "first\n"
    assert (tmp_path / "summary").exists() == handed_over


def test_the_images_are_tested_with_the_engine_that_built_them() -> None:
    # The tests took podman where both are, found no image there, and skipped nearly all: green, and nothing was tested.
    found = steps(ROOT / ".github" / "workflows" / "cpu.yml")
    (tests,) = [step for step in found if "nox -s images" in step.get("run", "")]
    assert tests["env"] == {"KIT_TEST_RUNTIME": "docker"}
    assert "make images BUILDER=docker" in [step.get("run") for step in found]
    assert not any("setup-buildx" in step.get("uses", "") for step in found)  # `make images` brings its own


def test_the_smoke_scale_in_containers_is_compared_with_the_local_run() -> None:
    found = steps(ROOT / ".github" / "workflows" / "cpu.yml")
    stores = {step["env"]["KIT_STORE"]: step["run"] for step in found if "KIT_STORE" in step.get("env", {})}
    assert stores == {
        "in-containers": "make reproduce TABLE=2 SCALE=smoke RUNTIME=docker YES=1",
        "here": "make reproduce TABLE=2 SCALE=smoke YES=1",
    }
    assert any(step.get("run", "").endswith("compare_stores.py in-containers here") for step in found)


def store(root: Path, **files: str) -> Path:
    """A store with one artifact, or none."""
    made = Store.open(root)
    job = Job(id="one", stage="fetch", version="fetch-1", environment="grade", lock="", params={}, inputs={})
    if files:
        with made.lock(job.key), made.scratch(job.key) as out:
            for name, text in files.items():
                (out / name).write_text(text)
            made.commit(job, out, rows=1, facts={}, provenance={"started_at": str(root)})
    return root


@pytest.mark.parametrize(
    ("other", "code", "end"),
    [
        ({"a": "1", "b": "2"}, 0, "1 artifacts, 2 files, the same in both"),
        ({"a": "1", "b": "3"}, 1, "one: b differs"),
        ({"a": "1"}, 1, "one: b differs"),
        ({}, 1, " alone"),
    ],
    ids=["the same", "another content", "a file less", "an artifact less"],
)
def test_stores_are_compared_key_by_key_and_file_by_file(
    other: dict[str, str], code: int, end: str, tmp_path: Path
) -> None:
    stores = [store(tmp_path / "left", a="1", b="2"), store(tmp_path / "right", **other)]
    script = ROOT / "tests" / "containers" / "compare_stores.py"
    done = subprocess.run([sys.executable, str(script), *stores], text=True, capture_output=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout.strip().endswith(end)) == (code, True), done.stdout + done.stderr


def test_empty_and_damaged_stores_do_not_compare_as_equal(tmp_path: Path) -> None:
    script = str(ROOT / "tests" / "containers" / "compare_stores.py")
    empty, full = store(tmp_path / "empty"), store(tmp_path / "full", a="1")
    assert subprocess.run([sys.executable, script, empty, empty], capture_output=True, check=False).returncode == 1
    next(full.glob("artifacts/*/a")).write_text("2")
    done = subprocess.run([sys.executable, script, full, full], text=True, capture_output=True, check=False)
    assert (done.returncode, "a: changed (sha256 differs" in done.stderr) == (1, True)


@pytest.mark.parametrize("code, ends", [(0, 0), (1, 1), (2, 2), (3, 3)])
def test_nox_ends_with_the_exit_code_of_verify(code: int, ends: int, tmp_path: Path) -> None:
    # nox calls every failure 1: a scale without recorded values could not be told from a number that is off
    (tmp_path / "noxfile.py").write_bytes((ROOT / "noxfile.py").read_bytes())
    program = tmp_path / ".venv" / "bin" / "kit"
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\necho "kit $@"\nexit {code}\n')
    program.chmod(0o755)
    words = [sys.executable, "-m", "nox", "-f", str(tmp_path / "noxfile.py"), "-s", "verify", "--", "2", "--scale", "x"]
    done = subprocess.run(words, text=True, capture_output=True, check=False, cwd=tmp_path)
    assert (done.returncode, "kit verify 2 --scale x\n" in done.stdout) == (ends, True), done.stdout + done.stderr
