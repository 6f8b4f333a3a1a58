"""Provenance of artifacts: who writes which field, what is checked of it, and how it is shown."""

import copy
import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.plan.planning import plan_manifest, plan_tables
from kit.report.heads import provenance_texts
from kit.run import provenance
from kit.run.measuring import Measurement
from kit.store import Job, Store, sha256_file
from kit.store.provenance import FIELDS, LATER, MEMORY, provenance_faults
from tests.conftest import Kit

KEY = "0123456789abcdef" * 4
JOB = Job(
    id="answer/x",
    stage="answer",
    version="answer-1",
    environment="cuda",
    lock="",
    params={"seed": 42, "world": 2, "engine": {"tensor_parallel": 4}},
    inputs={},
)
SOUND: dict[str, Any] = {
    "schema": 2,
    "started_at": "2026-11-28T04:00:00+00:00",
    "wall_s": 61.25,
    "cpu_s": 100.5,
    "gpus_held": 8,
    "gpu_held_s": 490.0,
    "memory": {
        "worker_peak_bytes": 3 << 20,
        "worker_peak_since": "job",
        "others_peak_bytes": 0,
        "ended_child_peak_bytes": 1 << 20,
        "gpu_peak_bytes": None,
    },
    "seed": 42,
    "environment": "cuda",
    "image": None,
    "commit": "a" * 40,
    "dirty": False,
    "python": "3.12.3",
    "packages": {"torch": "2.9.0", "vllm": "0.11.0"},
    "machine": {
        "system": "Linux 6.1",
        "cpu": "a CPU",
        "cores": 16,
        "memory_bytes": 128 << 30,
        "gpus": ["H100"],
        "cuda": "12.8",
        "driver": "570",
    },
    "request": {"tables": ["table-2"], "scale": "paper", "manifests": {"models.toml": KEY}},
}
SHOWN = {
    "code": f"commit {'a' * 40}, clean tree",
    "asked for": "table-2; scale paper; manifests models.toml 0123456789ab",
    "seed": "42",
    "started": "2026-11-28T04:00:00+00:00",
    "wall time": "61.25 s",
    "CPU time": "100.50 s (user and system, of the worker and its children)",
    "GPU time": "490.00 s held (8 GPUs for the wall time, at work or not)",
    "peak memory": "3.0 MiB worker in this job, 1.0 MiB largest child that had ended (worker's life)",
    "machine": "a CPU, 16 cores, 128.0 GiB, GPUs H100 (driver 570, CUDA 12.8), Linux 6.1",
    "image": "none: it ran on the host",
    "environment": "cuda, Python 3.12.3",
    "packages": "torch 2.9.0, vllm 0.11.0",
}


def test_a_sound_provenance_has_no_fault_and_is_shown_in_words():
    assert provenance_faults(SOUND, JOB) == []
    assert provenance_texts(SOUND) == SHOWN
    assert set(SOUND["memory"]) == set(MEMORY)
    assert set(SOUND) == {"schema", *FIELDS}


OLD = {"started_at": "2026-01-01T00:00:00+00:00", "wall_s": 1.5, "commit": "b" * 40, "dirty": True}


def test_an_older_head_is_valid_and_what_it_lacks_is_not_recorded():
    assert provenance_faults(OLD, JOB) == provenance_faults({}, JOB) == []
    found = provenance_texts(OLD)
    assert (found["code"], found["wall time"]) == (f"commit {'b' * 40}, and the tree differed from it", "1.50 s")
    rest = {name: text for name, text in found.items() if name not in ("code", "started", "wall time")}
    assert set(rest.values()) == {"not recorded", "not recorded, Python not recorded"}


FAULTS: dict[str, tuple[tuple[str, ...], Any, str]] = {
    "no CPU time": (("cpu_s",), ..., "provenance.cpu_s: missing; wanted seconds or null"),
    "a negative time": (("wall_s",), -1, "provenance.wall_s: found -1, wanted seconds"),
    "no start": (("started_at",), "today", "provenance.started_at: found 'today', wanted a time"),
    "a truth for GPUs": (("gpus_held",), True, "provenance.gpus_held: found True, wanted a count"),
    "a tree in words": (("dirty",), "no", "provenance.dirty: found 'no', wanted a truth or null"),
    "packages in a list": (("packages",), [], "provenance.packages: found [], wanted an object of versions"),
    "no machine": (("machine",), None, "provenance.machine: found None, wanted an object"),
    "memory of nobody": (
        ("memory", "worker_peak_since"),
        "noon",
        "provenance.memory: found {'worker_peak_bytes': 3145728, 'worker_peak_since': 'noon', , wanted an object of "
        "worker_peak_bytes, worker_peak_since, others_peak_bytes, ended_child_peak_bytes, gpu_peak_bytes or null",
    ),
    "a manifest without a hash": (
        ("request", "manifests", "models.toml"),
        "new",
        "provenance.request: found {'tables': ['table-2'], 'scale': 'paper', 'manifests': {'mod, wanted an object of "
        "tables, scale and manifests with their sha256",
    ),
    "another seed": (("seed",), 43, "provenance.seed: found 43, its job has 42"),
    "another environment": (("environment",), "cpu", "provenance.environment: found 'cpu', its job has 'cuda'"),
    "no such version": (
        ("schema",),
        "2",
        "provenance.schema: found '2', wanted 2, or none in a head of an earlier kit",
    ),
}


@pytest.mark.parametrize(("place", "value", "fault"), FAULTS.values(), ids=list(FAULTS))
def test_a_field_that_a_head_must_have(place: tuple[str, ...], value: Any, fault: str):
    found = copy.deepcopy(SOUND)
    inner = found
    for name in place[:-1]:
        inner = inner[name]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    assert provenance_faults(found, JOB) == [fault]
    assert all(isinstance(text, str) for text in provenance_texts(found).values())


ODD: list[Any] = [None, True, -1, 1e308, 10**400, "", "\x1b[2J", [], [[1], None], {}, {"a": {"b": [None]}}]


def test_odd_values_are_faults_or_texts_and_no_traceback() -> None:
    # a head may come from anybody who writes the store
    places = [(name,) for name in SOUND] + [
        (name, inner) for name in ("memory", "machine", "request", "packages") for inner in SOUND[name]
    ]
    refused = 0
    for place in places:
        for value in ODD:
            found = copy.deepcopy(SOUND)
            inner = found if len(place) == 1 else found[place[0]]
            inner[place[-1]] = value
            refused += bool(provenance_faults(found, JOB))
            assert all(isinstance(text, str) for text in provenance_texts(found).values())
    assert refused > len(places) * 5


def test_what_a_worker_records_has_no_fault(monkeypatch: pytest.MonkeyPatch):
    request = {"scale": "smoke", "manifests": {"models.toml": KEY}}
    for name, value in provenance.request_variable(request).items():
        monkeypatch.setenv(name, value)
    job = dataclasses.replace(JOB, environment="grade", params={})
    recorded = provenance.record(job, provenance.begin(), 0.5)
    assert provenance_faults(recorded, job) == []
    assert (recorded["request"], recorded["seed"], recorded["gpu_held_s"]) == (request, None, 0.0)
    assert json.loads(json.dumps(recorded, allow_nan=False)) == recorded


@pytest.mark.parametrize("text", ["", "[1]", "{", "3"], ids=["empty", "a list", "cut off", "a number"])
def test_a_request_that_is_none_is_not_recorded(text: str):
    assert provenance.request_of({provenance.REQUEST_VARIABLE: text}) == {}


@pytest.mark.parametrize(
    ("changes", "gpus"),
    [
        ({}, 8),
        ({"environment": "cpu"}, 0),
        ({"stage": "grade"}, 0),
        ({"params": {}}, 1),
        ({"params": {"world": 4, "engine": "odd"}}, 4),
    ],
    ids=["ranks times tensor parallel", "a CPU", "no model", "one", "no engine"],
)
def test_gpus_that_a_job_holds(changes: dict[str, Any], gpus: int):
    job = dataclasses.replace(JOB, **changes)
    assert provenance.gpus_held(job) == gpus
    assert provenance.facts_of(job, 2.5, {})["gpu_held_s"] == 2.5 * gpus


def test_a_plugin_that_git_does_not_know_makes_a_tree_dirty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # a new file of kit/ counted as clean, though it is a plug-in
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]

    def run(*words: str) -> None:
        assert os.spawnvp(os.P_WAIT, "git", [*git, *words]) == 0

    run("init", "-q")
    (tmp_path / ".gitignore").write_text("*.pyc\n")
    run("add", ".")
    run("commit", "-qm", "first")
    monkeypatch.setattr(provenance, "ROOT", tmp_path)

    def dirty() -> bool:
        provenance.commit.cache_clear()
        return bool(provenance.commit()["dirty"])

    try:
        (tmp_path / "notes.txt").write_text("")
        (tmp_path / "kit").mkdir()
        (tmp_path / "kit" / "a.pyc").write_text("")
        assert not dirty()
        (tmp_path / "kit" / "a.py").write_text("")
        assert dirty()
        (tmp_path / "kit" / "a.py").unlink()
        (tmp_path / ".gitignore").write_text("")
        assert dirty()
    finally:
        provenance.commit.cache_clear()


def test_a_plan_tells_its_manifests():
    plan = plan_tables(["2"], "smoke")
    found = plan.request()
    assert (found["tables"], found["scale"]) == (["table-2"], "smoke")
    folder = manifests_folder()
    assert {"models.toml", "datasets.toml", "scales/smoke.toml", "tables/table-2.toml"} <= set(found["manifests"])
    assert {name for name in found["manifests"] if name.startswith("experiments/")}
    assert all(sha256_file(folder / name) == found["manifests"][name] for name in found["manifests"])
    assert provenance_faults({**SOUND, "request": found}, JOB) == []


def test_a_manifest_of_ones_own_is_told_by_its_name(tmp_path: Path):
    data = Path(__file__).parent / "data" / "mine.toml"
    (tmp_path / "mine.toml").write_bytes(data.read_bytes())
    (tmp_path / "seeds.json").write_text(json.dumps([{"instruction": "Task"}]))
    assert plan_manifest(tmp_path / "mine.toml").manifests["mine.toml"] == sha256_file(data)
    catalogue = Catalogue(manifests_folder())
    os.mkfifo(tmp_path / "pipe.toml")
    catalogue.note(tmp_path / "pipe.toml")  # it would wait for a writer
    assert catalogue.manifests == {}


# the commands


def stored(root: Path, found: dict[str, Any], name: str = "x") -> Job:
    """Commit an artifact with this provenance, and return its job."""
    store, job = Store.open(root), dataclasses.replace(JOB, params={**JOB.params, "name": name})
    store.plan(job)
    with store.scratch(job.key) as out:
        (out / "rows.jsonl").write_text("{}\n")
        store.commit(job, out, rows=1, facts={"tokens": 3}, provenance=found)
    return job


def test_show_prints_a_head_in_words(kit: Kit, tmp_path: Path):
    job = stored(tmp_path / "store", SOUND)
    code, printed, _ = kit("store", "show", job.key[:12])
    lines = [" ".join(line.split()) for line in printed.splitlines()]
    assert (code, lines[0], lines[1]) == (0, "answer/x", f"key {job.key}")
    assert 'engine {"tensor_parallel": 4}' in lines
    assert "tokens 3" in lines
    assert [f"{name} {text}" for name, text in SHOWN.items()] == lines[lines.index("provenance") + 1 :]
    code, printed, _ = kit("store", "show", job.key, "--json")
    assert (code, json.loads(printed)["provenance"]) == (0, SOUND)


def test_check_looks_at_heads(kit: Kit, tmp_path: Path):
    stored(tmp_path / "store", SOUND)
    stored(tmp_path / "store", {}, "of an earlier kit")
    assert kit("store", "check") == (0, "2 artifacts checked, 0 faults\n", "")
    lacking = stored(tmp_path / "store", {name: SOUND[name] for name in SOUND if name != "seed"}, "lacking")
    fault = "artifact.json: provenance.seed: missing; wanted a whole number or null"
    assert kit("store", "check") == (1, f"{lacking.key[:10]}  answer/x: {fault}\n3 artifacts checked, 1 faults\n", "")


def test_a_worker_records_what_the_command_was_asked_for(kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(provenance.REQUEST_VARIABLE, '{"scale": "of another run"}')
    Path("p.jsonl").write_text('{"question": "1 + 1?", "answer": "#### 2"}\n')
    Path("c.jsonl").write_text('{"id": 0, "output": "2"}\n')
    assert kit("grade", "gsm8k", "--completions", "c.jsonl", "--data", "p.jsonl")[0] == 0
    store = Store(tmp_path / "store")
    (grade,) = [artifact for artifact in store.artifacts() if artifact.job.stage == "grade"]
    found = grade.provenance
    assert provenance_faults(found, grade.job) == []
    assert (found["request"]["scale"], "scales/smoke.toml" in found["request"]["manifests"]) == ("smoke", True)
    assert (found["seed"], found["gpus_held"]) == (None, 0)
    assert found["cpu_s"] is None or found["cpu_s"] >= 0
    assert found["memory"]["worker_peak_bytes"] > 1 << 20
    assert kit("store", "check")[0] == 0


def test_measuring_changes_no_byte_of_what_a_job_wrote(tmp_path: Path):
    folders = []
    for number, found in enumerate((SOUND, {**SOUND, **Measurement.begin().end(), "wall_s": 1.0})):
        job = stored(tmp_path / str(number), found)
        folders.append(Store(tmp_path / str(number)).get(job.key))
    assert (folders[0].key, folders[0].files) == (folders[1].key, folders[1].files)


RESUMED = {
    # field -> wall time in words, faults
    "an earlier kit's": ({}, "61.25 s", []),
    "one attempt": ({"resumed": False}, "61.25 s", []),
    "stopped and gone on": (
        {"resumed": True},
        "61.25 s (of its last attempt, which went on from what an earlier one had kept)",
        [],
    ),
    "no truth": ({"resumed": 1}, "61.25 s", ["provenance.resumed: found 1, wanted a truth"]),
}


@pytest.mark.parametrize(("added", "text", "faults"), RESUMED.values(), ids=list(RESUMED))
def test_a_job_that_went_on_says_so(added: dict[str, Any], text: str, faults: list[str]):
    assert provenance_texts({**SOUND, **added})["wall time"] == text
    assert provenance_faults({**SOUND, **added}, JOB) == faults


def test_the_page_tells_every_field() -> None:
    page = (Path(__file__).parents[1] / "docs" / "provenance.md").read_text(encoding="utf-8")
    assert [name for name in (*FIELDS, *LATER, *MEMORY) if f"`{name}`" not in page] == []
