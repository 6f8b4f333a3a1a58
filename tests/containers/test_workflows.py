"""CI's workflows: actions by commit, no right that is not used, stale runs cancelled, only commands that are here."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"), key=str)


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [step for job in jobs for step in job["steps"]]


def test_there_is_one_for_each_kind_of_runner() -> None:
    assert [path.name for path in WORKFLOWS] == ["cpu.yml", "gpu.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    used = [step["uses"] for step in steps(path) if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", name)] == []
    commented = re.findall(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(commented) == len(used)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_rights_and_time_are_bounded(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    assert all("timeout-minutes" in job and "permissions" not in job for job in workflow["jobs"].values())
    checkouts = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)
    assert "secrets." not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_it_calls_targets_and_sessions_that_are_there(path: Path) -> None:
    commands = " ; ".join(step["run"] for step in steps(path) if "run" in step)
    makefile, noxfile = ((ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", "noxfile.py"))
    for target in re.findall(r"\bmake ([a-z]+)", commands):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for session in re.findall(r"nox -s (\w+)", commands):
        assert re.search(rf"^def {session}\(", noxfile, re.MULTILINE), session


def test_the_gpu_runner_runs_table_2_in_containers_and_verifies_it() -> None:
    commands = [step["run"] for step in steps(ROOT / ".github" / "workflows" / "gpu.yml") if "run" in step]
    assert "make reproduce TABLE=2 SCALE=one-gpu RUNTIME=docker YES=1" in commands
    assert any(command.startswith(".venv/bin/nox -s verify") for command in commands)
