"""Workers over the nodes of a Slurm job: which nodes there are, the step over them, and each node's rank."""

import os
from pathlib import Path

import pytest

from kit.containers import Containers
from kit.errors import KitError, RequestError
from kit.run.launch import Options, Shape, command
from kit.run.nodes import ATTEMPTS, PAUSE_S, Nodes, find_nodes, main, without_slurm
from kit.workers import KINDS

NODES = Nodes(job="4711", names=("a1", "a2"), head="10.0.0.1", cores=32, gpus=4)
TRAINING = Shape(kind=KINDS["train"], environment="cuda", world=8)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put stand-ins for Slurm's programs on the path; they print the file ``queue``, and two names."""
    scontrol = 'case "$*" in *hostnames*) echo a1; echo a2;; *) echo "NodeName=$4 NodeAddr=10.0.0.1 Port=6818";; esac'
    for name, body in {"squeue": f"cat {tmp_path}/queue", "scontrol": scontrol}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path / "queue"


QUEUES = {
    "two nodes with GPUs": ("2|64|gres/gpu:4|a[1-2]\n", NODES),
    "of a type": ("2|64|gres/gpu:a100:4|a[1-2]\n", NODES),
    "as older versions print them": ("2|64|gres:gpu:4|a[1-2]\n", NODES),
    "without GPUs": ("2|8|N/A|a[1-2]\n", Nodes(job="4711", names=("a1", "a2"), head="10.0.0.1", cores=4, gpus=0)),
    "one node": ("1|32|gres/gpu:8|a1\n", None),
}


@pytest.mark.parametrize("listing, wanted", QUEUES.values(), ids=list(QUEUES))
def test_the_nodes_of_a_job(listing: str, wanted: Nodes | None, slurm: Path):
    slurm.write_text(listing)
    assert find_nodes({"SLURM_JOB_ID": "4711"}) == wanted


def test_a_controller_that_is_starting_again_is_asked_again(slurm: Path):
    pauses: list[float] = []

    def it_is_there(seconds: float) -> None:
        pauses.append(seconds)
        slurm.write_text("1|32|gres/gpu:8|a1\n")

    assert find_nodes({"SLURM_JOB_ID": "4711"}, it_is_there) is None  # until then there was no answer
    assert pauses == [PAUSE_S]


def test_a_controller_that_never_answers_is_named_after_some_minutes(slurm: Path):
    pauses: list[float] = []
    with pytest.raises(KitError) as error:
        find_nodes({"SLURM_JOB_ID": "4711"}, pauses.append)
    assert str(error.value) == f"squeue: cat: {slurm}: No such file or directory"
    assert pauses == [PAUSE_S] * (ATTEMPTS - 1)


def test_outside_slurm_nobody_is_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_nodes({}) is None
    assert find_nodes({"SLURM_JOB_ID": "x; y"}) is None


NO_ANSWER = {
    "nonsense": ("hello\n", "squeue --jobs=4711: found 'hello', wanted the job's nodes and cores"),
    "another number of names": ("3|6|N/A|a[1-3]\n", "scontrol show hostnames a[1-3]: found 2 names, wanted 3"),
}


@pytest.mark.parametrize("listing, message", NO_ANSWER.values(), ids=list(NO_ANSWER))
def test_an_answer_that_says_no_nodes(listing: str, message: str, slurm: Path):
    slurm.write_text(listing)
    with pytest.raises(KitError) as error:
        find_nodes({"SLURM_JOB_ID": "4711"})
    assert str(error.value) == message


def test_a_training_is_started_on_every_node_with_the_same_options():
    line = command(TRAINING, ["k"], Options(store=Path("/s"), nodes=NODES), cpu=False)
    assert line[:8] == [
        "srun",
        "--jobid=4711",
        "--overlap",
        "--nodes=2",
        "--ntasks=2",
        "--ntasks-per-node=1",
        "--cpus-per-task=32",
        "--kill-on-bad-exit=1",
    ]
    assert line[8] == "--gres=gpu:4"
    there = ["-u", "-m", "kit.run.nodes", "--machines", "2", "--head", "10.0.0.1", "--port", "24711", "--"]
    assert line[10:20] == there
    assert line[20:24] == ["--num_processes", "8", "--dynamo_backend", "no"]
    assert "--num_machines" not in line


def test_grading_stays_on_one_node():
    shape = Shape(kind=KINDS["sandbox"], environment="grade", world=1)
    line = command(shape, ["k"], Options(store=Path("/s"), nodes=NODES), cpu=True)
    assert line[1:4] == ["-u", "-m", "kit.run.worker"]


def test_each_nodes_rank_is_slurms(monkeypatch: pytest.MonkeyPatch):
    lines: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, line: lines.append(line))
    monkeypatch.setenv("SLURM_NODEID", "1")
    main(["--machines", "2", "--head", "a1", "--port", "24711", "--", "--num_processes", "8", "-m", "kit.run.worker"])
    assert lines[0][1:] == [
        *("-u", "-m", "accelerate.commands.launch", "--num_machines", "2", "--machine_rank", "1"),
        *("--main_process_ip", "a1", "--main_process_port", "24711"),
        *("--num_processes", "8", "-m", "kit.run.worker"),
    ]


@pytest.mark.parametrize("number", ["", "2", "x"])
def test_a_node_without_a_number_is_refused(number: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SLURM_NODEID", number)
    with pytest.raises(SystemExit) as ended:
        main(["--machines", "2", "--head", "a1", "--port", "24711", "--", "x"])
    assert str(ended.value) == f"SLURM_NODEID: found {number!r}, wanted the number of this node, below 2"


def test_processes_that_nodes_cannot_share_are_refused():
    three = Nodes(job="4711", names=("a1", "a2", "a3"), head="a1", cores=1, gpus=1)
    with pytest.raises(RequestError) as error:
        Options(store=Path("/s"), nodes=three).spread(TRAINING)
    assert str(error.value) == (
        "Slurm job 4711: the plan asks for 8 processes, which its 3 nodes can't share evenly; wanted nodes that "
        "--gpus-per-node tells of"
    )


def test_podman_cannot_start_containers_on_other_nodes():
    options = Options(store=Path("/s"), nodes=NODES, containers=Containers(runtime="podman", images={}))
    with pytest.raises(RequestError) as error:
        options.spread(TRAINING)
    assert str(error.value) == (
        "--runtime podman: a job over 2 nodes starts a container on each, which takes apptainer; take --runtime "
        "apptainer, or local"
    )


def test_a_container_gets_its_nodes_number_by_its_own_variable():
    assert NODES.step(["apptainer", "exec", "x.sif"], container=True)[-7:] == [
        *("sh", "-c", 'APPTAINERENV_SLURM_NODEID=$SLURM_NODEID exec "$@"', "sh"),
        *("apptainer", "exec", "x.sif"),
    ]


def test_variables_of_the_step_are_left_out():
    own = {"SLURM_NNODES": "1", "SRUN_DEBUG": "3", "PATH": "/bin", "OMP_NUM_THREADS": "2"}
    assert without_slurm(own) == {"PATH": "/bin", "OMP_NUM_THREADS": "2"}
