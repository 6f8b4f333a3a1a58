"""The folder that Snakemake runs, `kit job` on its plan, and what is refused before any job starts."""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.cli import main
from kit.cli.jobs import exported_jobs, run_jobs
from kit.cluster import program
from kit.cluster.folder import Handover, read_plan, write_folder
from kit.errors import RequestError
from kit.run.elsewhere import BUSY
from kit.run.execute import Outcome
from kit.run.launch import Options
from kit.store import Job, Store
from kit.store.clearing import release
from tests.cluster.stand_in import HARDWARE, make_job
from tests.cluster.test_leases import commit, lock_in_another_process

Kit = Callable[..., tuple[int, str, str]]


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Kit:
    """Run the command line in an empty folder: exit code, standard output, standard error on one line."""
    monkeypatch.chdir(tmp_path)
    for name in ("KIT_STORE", "KIT_SNAKEMAKE", "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["kit", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        found = capsys.readouterr()
        return int(ended.value.code or 0), found.out, found.err.replace("\n", "")

    return call


def test_the_folder_holds_a_plan_a_snakefile_and_three_profiles(kit: Kit, tmp_path: Path):
    code, out, _ = kit("export", "snakemake", "2", "--scale", "smoke", "--store", "shared", "--out", "cluster")
    assert code == 0
    assert out.splitlines()[-1].startswith("cd cluster && snakemake --profile profiles/slurm")
    files = sorted(str(path.relative_to(tmp_path / "cluster")) for path in (tmp_path / "cluster").rglob("*.*"))
    profiles = [f"profiles/{name}/config.yaml" for name in ("kubernetes", "local", "slurm")]
    assert files == ["plan.json", *profiles]
    assert (tmp_path / "cluster" / "Snakefile").is_file()
    plan = json.loads((tmp_path / "cluster" / "plan.json").read_text(encoding="utf-8"))
    assert (plan["store"], plan["here"]) == (str(tmp_path / "shared"), ["fetch", "ask"])
    assert sum(len(unit["keys"]) for unit in plan["units"].values()) == len(plan["jobs"]) == 77
    assert plan["request"]["scale"] == "smoke"
    assert not (tmp_path / "shared").exists()  # an export computes nothing and makes no store


def test_profiles_are_yaml_and_name_what_the_plan_knows(tmp_path: Path):
    yaml = pytest.importorskip("yaml")
    write_folder(tmp_path / "run", Handover(jobs={}, hardware=HARDWARE, store=tmp_path))
    found = {
        path.parent.name: yaml.safe_load(path.read_text(encoding="utf-8"))
        for path in sorted((tmp_path / "run" / "profiles").rglob("*.yaml"))
        if path.parent.name != "kubernetes"
    }
    assert {name: profile["executor"] for name, profile in found.items()} == {"local": "local", "slurm": "slurm"}
    assert found["local"]["resources"] == ["kit_gpus=2"]
    slurm = found["slurm"]
    assert (slurm["slurm-status-command"], slurm["slurm-no-requeue"], slurm["retries"]) == ("squeue", True, 2)
    kubernetes = (tmp_path / "run" / "profiles" / "kubernetes" / "config.yaml").read_text(encoding="utf-8")
    assert f"plan={tmp_path}/run/plan.json" in kubernetes
    assert "@IMAGE@" in kubernetes  # only the lab knows it


def test_a_folder_of_any_name_stands_in_the_profile_of_kubernetes(tmp_path: Path):
    yaml = pytest.importorskip("yaml")
    folder = tmp_path / 'a b, "é" [存]'
    write_folder(folder, Handover(jobs={}, hardware=HARDWARE, store=tmp_path))
    text = (folder / "profiles" / "kubernetes" / "config.yaml").read_text(encoding="utf-8")
    found = yaml.safe_load(text.replace("@IMAGE@", "kit").replace("@VOLUME@", "lab"))
    assert found["config"] == ["gpus_as=gpu", f"plan={folder}/plan.json"]
    assert found["default-storage-prefix"] == str(folder)


def test_the_options_of_the_command_reach_every_job(tmp_path: Path):
    made = Handover(jobs={}, hardware=HARDWARE, store=tmp_path, mirror=Path("/m"), runtime="apptainer", unsafe=True)
    assert made.options() == ["--wait", "60", "--mirror", "/m", "--runtime", "apptainer", "--unsafe-exec"]


REFUSED = {
    "a scale that this machine would choose": (
        ("export", "snakemake", "2"),
        "error: kit export snakemake: the scale auto is what this machine holds, and the jobs run on others; name it "
        "with --scale: {scales}",
    ),
    "the same for a run": (
        ("reproduce", "2", "--cluster", "slurm"),
        "error: --cluster slurm: the scale auto is what this machine holds, and the jobs run on others; name it with "
        "--scale: {scales}",
    ),
    "no such scheduler": (
        ("reproduce", "2", "--cluster", "slum"),
        "error: --cluster slum: no such way to start jobs; did you mean 'slurm'?",
    ),
    "a profile without a cluster": (
        ("reproduce", "2", "--profile", "lab"),
        "error: --profile lab: goes with --cluster; add --cluster slurm, or leave it out",
    ),
    "no such profile": (
        ("reproduce", "2", "--scale", "smoke", "--cluster", "slurm", "--profile", "lab"),
        "error: --profile lab: no profile of Snakemake; wanted a folder with a config.yaml, looked for lab, "
        "{home}/.config/snakemake/lab, /etc/xdg/snakemake/lab",
    ),
    "a folder that is there": (
        ("export", "snakemake", "2", "--scale", "smoke", "--out", "."),
        "error: --out .: is there already; name another, or remove it",
    ),
    "nodes that can't share a job": (
        ("export", "snakemake", "2", "--scale", "paper", "--gpus-per-node", "3"),
        "error: --gpus-per-node: evolve/alpaca/qwen-2-72b-instruct/round-1 runs as 1 process on 8 GPUs, which 3 nodes "
        "can't share evenly; wanted nodes of 8 GPUs, or a number that divides both",
    ),
    "no such runtime": (
        ("export", "snakemake", "2", "--scale", "smoke", "--runtime", "rocket"),
        "error: --runtime rocket: known: local, docker, podman, apptainer",
    ),
    "no such plan": (
        ("job", "a" * 64, "--plan", "plan.json"),
        "error: --plan: plan.json: No such file or directory",
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=list(REFUSED))
def test_what_is_refused(
    words: tuple[str, ...], message: str, kit: Kit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    scales = ", ".join(sorted(path.stem for path in (program.ROOT / "manifests" / "scales").glob("*.toml")))
    code, _, error = kit(*words)
    assert (code, error) == (2, message.format(scales=scales, home=tmp_path))


# The plan's file, which may come from somebody else.


def written(tmp_path: Path, change: Callable[[dict[str, Any]], Any] = lambda _: None) -> tuple[Path, Job]:
    """Write a plan of one job, changed; return its file and the job."""
    job = make_job("a")
    write_folder(tmp_path / "run", Handover(jobs={job.key: job}, hardware=HARDWARE, store=tmp_path / "store"))
    path = tmp_path / "run" / "plan.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    return path, job


OTHER_KEY = "b" * 64
DAMAGED = {
    "another schema": (
        lambda plan: plan.update(schema=2),
        "--plan {path}: found no plan of schema 1; wanted the plan.json that `kit export snakemake` wrote",
    ),
    "no jobs": (
        lambda plan: plan.pop("jobs"),
        "--plan {path}: found no plan of schema 1; wanted the plan.json that `kit export snakemake` wrote",
    ),
    "a job that was changed": (
        lambda plan: plan["jobs"][next(iter(plan["jobs"]))].update(params={"name": "other"}),
        "--plan {path}: jobs.{key}: its job hashes to {other}; export it again",
    ),
    "a job under another key": (
        lambda plan: plan.update(jobs={OTHER_KEY: next(iter(plan["jobs"].values()))}),
        "--plan {path}: jobs.bbbbbbbbbbbb: its job hashes to {key}; export it again",
    ),
    "readers that are no keys": (
        lambda plan: plan.update(again={"a": "b"}),
        "--plan {path}: again: wanted lists of keys; export it again",
    ),
    "a job without a stage": (
        lambda plan: plan["jobs"][next(iter(plan["jobs"]))].pop("stage"),
        "--plan {path}: jobs.{key}: stage: missing; wanted a text; export it again",
    ),
}


@pytest.mark.parametrize("change, message", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_plan(change: Any, message: str, tmp_path: Path):
    path, job = written(tmp_path, change)
    with pytest.raises(RequestError) as error:
        read_plan(path)
    other = make_job("other").key[:12]
    assert str(error.value) == message.format(path=path, key=job.key[:12], other=other)


def test_a_job_that_is_in_no_plan(tmp_path: Path, kit: Kit):
    path, _ = written(tmp_path)
    code, _, error = kit("job", OTHER_KEY, "--plan", str(path))
    wanted = f"error: --plan {path}: no job {OTHER_KEY} among its 1; give whole keys, or export the plan again"
    assert (code, error) == (2, wanted)


def test_a_refused_job_leaves_its_reason_in_the_store(tmp_path: Path, kit: Kit):
    path, job = written(tmp_path)  # of a lock that this checkout does not have
    code, _, error = kit("job", job.key, "--plan", str(path), "--store", str(tmp_path / "store"))
    assert (code, error) == (2, f"error: {Store(tmp_path / 'store').failure(job.key)}")
    assert error.startswith(f"error: job {job.key[:12]} (convert/a): planned for another requirements/cpu.txt (none)")


def test_a_refusal_after_all_checks_leaves_its_reason_too(tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kit.run.jobfiles.check_versions", lambda _: None)
    monkeypatch.setenv("KIT_CHECKPOINT_MINUTES", "often")
    path, job = written(tmp_path)
    code, _, error = kit("job", job.key, "--plan", str(path), "--store", str(tmp_path / "store"))
    assert (code, error) == (2, f"error: {Store(tmp_path / 'store').failure(job.key)}")
    assert error.startswith("error: KIT_CHECKPOINT_MINUTES: found 'often', wanted the minutes ")


def test_inputs_that_stay_away_are_the_reason_and_slurm_is_not_asked_for_the_nodes_of_one_process(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.run.nodes.ask", lambda *_: pytest.fail("Slurm was asked"))
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    read = make_job("a")
    reader = make_job("b", inputs={"x": read.key, "y": make_job("c").key})
    store = Store.open(tmp_path / "store")
    commit(store, read, "before")
    release(store, read.key, "--keep results")
    write_folder(tmp_path / "run", Handover(jobs={reader.key: reader}, hardware=HARDWARE, store=store.root))
    code, out, _ = kit("job", reader.key, "--plan", str(tmp_path / "run" / "plan.json"), "--store", str(store.root))
    texts = [
        "its inputs are not made yet: y",
        f"x: {store.root}/artifacts/{read.key}: its files were given back to the disk; `kit job {read.key[:12]}` makes "
        "them again",
    ]
    assert code == 1
    assert [text for text in texts if f"convert/b: {text}\n" in out] == texts
    assert store.failure(reader.key) == f"on {socket.gethostname()}: {'; '.join(texts)}"


def test_files_that_differ_when_they_are_made_again_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    job, store = make_job("a"), Store.open(tmp_path / "store")
    outcome = Outcome(done=[job.key], changed={job.key: ["config.json", "line.txt"]})
    monkeypatch.setattr("kit.run.execute.execute", lambda *_, **__: outcome)
    assert run_jobs({job.key: job}, store, Options(store=store.root))
    text = "convert/a was made again, and differs from what it was in config.json, line.txt\n"
    assert capsys.readouterr().out.endswith(text)


def test_what_the_cluster_runs_is_this_users_to_write_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        write_folder(tmp_path / "run", Handover(jobs={}, hardware=HARDWARE, store=tmp_path))
    finally:
        os.umask(before)
    paths = [tmp_path / "run", *(tmp_path / "run").rglob("*")]
    assert {(path.is_dir(), oct(path.stat().st_mode & 0o777)) for path in paths} == {(True, "0o755"), (False, "0o644")}


def test_a_store_whose_cluster_folder_is_a_link_is_refused(tmp_path: Path):
    store = Store.open(tmp_path / "store")
    (store.root / "cluster").rmdir()
    (store.root / "cluster").symlink_to(tmp_path)
    with pytest.raises(RequestError) as error:
        Store.open(store.root)
    where = f"{store.root}/cluster"
    assert str(error.value) == f"store {where}: a link, wanted a folder; remove it, or name another --store"


def test_a_job_that_another_process_is_at_work_on_ends_at_once(
    tmp_path: Path, kit: Kit, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("kit.run.jobfiles.check_versions", lambda _: None)
    path, job = written(tmp_path)
    store = Store.open(tmp_path / "store")
    with lock_in_another_process(store, job.key) as process:
        code, _, error = kit("job", job.key, "--plan", str(path), "--store", str(store.root))
    assert code == BUSY
    assert error.startswith(f"error: convert/a ({job.key[:10]}): another run is at work on it: ")
    assert error.endswith(f", process {process}")


def test_what_gave_its_files_back_runs_again_only_where_a_job_of_the_plan_still_reads_it(tmp_path: Path):
    read, reader, store = make_job("a"), make_job("b", inputs={"x": make_job("a").key}), Store.open(tmp_path / "store")
    plan = Handover(jobs={job.key: job for job in (read, reader)}, hardware=HARDWARE, store=store.root)
    write_folder(tmp_path / "run", plan)
    commit(store, read, "before")
    release(store, read.key, "--keep results")
    keys, path = [read.key, reader.key], tmp_path / "run" / "plan.json"
    assert list(exported_jobs(keys, path, store)[0]) == keys
    commit(store, reader, "before")
    assert list(exported_jobs(keys, path, store)[0]) == [reader.key]


# Snakemake as a program.


def snakemake_saying(folder: Path, text: str) -> dict[str, str]:
    """Return an environment with a program that prints a text as Snakemake does its version."""
    (folder / "bin").mkdir()
    (folder / "bin" / "snakemake").write_text(f"#!/bin/sh\necho {text}\n", encoding="utf-8")
    (folder / "bin" / "snakemake").chmod(0o755)
    return {"KIT_SNAKEMAKE": str(folder / "bin" / "snakemake")}


def test_an_old_snakemake_is_refused(tmp_path: Path):
    with pytest.raises(RequestError) as error:
        program.find_snakemake("slurm", "", snakemake_saying(tmp_path, "7.32.4"))
    assert str(error.value) == (
        f"{tmp_path}/bin/snakemake: found version 7.32.4, wanted Snakemake 9; install it: sh requirements/cluster.sh"
    )


def test_a_snakemake_without_its_plugin_is_refused(tmp_path: Path):
    environment = snakemake_saying(tmp_path, "9.27.1")
    (tmp_path / "lib").mkdir()
    with pytest.raises(RequestError) as error:
        program.find_snakemake("slurm", "", environment)
    assert str(error.value) == (
        f"--cluster slurm: {tmp_path}/bin/snakemake has no plugin snakemake-executor-plugin-slurm; install it beside: "
        f"{tmp_path}/bin/python -m pip install snakemake-executor-plugin-slurm"
    )
    assert program.find_snakemake("local", "", environment).scheduler == "local"  # it takes none


def test_without_snakemake_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(program, "ROOT", tmp_path)
    with pytest.raises(RequestError) as error:
        program.find_program({"PATH": str(tmp_path)})
    assert str(error.value) == (
        "--cluster: no snakemake on this machine; install Snakemake 9 for the kit: sh requirements/cluster.sh"
    )
    with pytest.raises(RequestError) as error:
        program.find_program({"KIT_SNAKEMAKE": "/nowhere"})
    assert str(error.value) == "KIT_SNAKEMAKE=/nowhere: no program there; name Snakemake's, or unset it"


def test_a_profile_is_a_path_or_a_name(tmp_path: Path):
    (tmp_path / "snakemake" / "lab").mkdir(parents=True)
    (tmp_path / "snakemake" / "lab" / "config.yaml").touch()
    named = program.find_profile("lab", {"XDG_CONFIG_HOME": str(tmp_path)})
    assert named == program.find_profile(str(tmp_path / "snakemake" / "lab"), {}) == tmp_path / "snakemake" / "lab"
    command = program.Snakemake(program=Path("/s"), scheduler="slurm", profile=named).command()
    assert command == ["/s", "--profile", "profiles/slurm", "--workflow-profile", str(named)]
