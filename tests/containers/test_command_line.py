"""The command lines of containers, and what is said before any starts: no runtime is needed for these."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit import containers
from kit.containers import Containers, Image, Request
from kit.errors import RequestError
from kit.handover import exchange
from kit.launch import Options, Shape, command_in_container
from kit.store import Job, Store

IMAGE = Image(name="localhost/kit-cpu", digest="sha256:" + "1" * 64, revision="", lock="2" * 64)


def line(runtime: str, group: str, **fields: Any) -> list[str]:
    request = Request(
        group=group,
        image=IMAGE,
        words=["/opt/venv/bin/python", "-u", "x"],
        readable=[("/s/artifacts", "/store/artifacts")],
        writable=[("/s/tmp/1/out", "/out")],
        environment={"A": "1"},
        **fields,
    )
    return containers.command(runtime, request)


@pytest.mark.parametrize("runtime", ["docker", "podman"])
@pytest.mark.parametrize("group", ["convert", "text", "train", "grade", "fetch"])
def test_everything_is_closed_but_what_the_job_needs(runtime: str, group: str) -> None:
    words = line(runtime, group)
    assert {"--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--pull=never"} <= set(words)
    assert ("--network=none" in words) == (group != "fetch")
    assert [word for word in words if word.startswith("--volume")] == [
        "--volume=/s/artifacts:/store/artifacts:ro",
        "--volume=/s/tmp/1/out:/out:rw",
    ]
    assert any(word.startswith("--memory=") for word in words) == (group == "grade")
    assert any(word.startswith("--pids-limit=") for word in words) == (group == "grade")
    assert not any(word.startswith(("--gpus", "--device", "--privileged")) for word in words)
    assert words[-4:] == ["--entrypoint=/opt/venv/bin/python", IMAGE.name, "-u", "x"]


@pytest.mark.parametrize(
    ("runtime", "wanted"),
    [("docker", "--gpus=all"), ("podman", "--device=nvidia.com/gpu=all"), ("apptainer", "--nv")],
)
def test_gpus_are_handed_over_in_the_runtimes_own_way(runtime: str, wanted: str) -> None:
    assert wanted in line(runtime, "text", gpu=True)
    assert wanted not in line(runtime, "text")


def test_root_takes_the_images_user_and_others_stay_who_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--user=10001:10001" in line("docker", "text")
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 5678)
    assert "--user=1234:5678" in line("docker", "text")
    assert {"--userns=keep-id", "--user=1234:5678"} <= set(line("podman", "text"))


def test_a_token_goes_to_fetch_alone_and_its_value_stands_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    assert "--env=HF_TOKEN" in line("docker", "fetch")
    assert not any("HF_TOKEN" in word for word in line("docker", "text"))
    assert not any("very-secret" in word for word in line("docker", "fetch") + line("apptainer", "fetch"))


def test_apptainer_is_closed_too() -> None:
    words = line("apptainer", "grade")
    assert {"--containall", "--no-home", "--cleanenv", "--no-privs", "--network=none"} <= set(words)
    assert "--bind=/s/artifacts:/store/artifacts:ro" in words


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """A PATH of made-up programs."""
    folder.mkdir(exist_ok=True)
    for name, script in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def job(environment: str = "cpu", stage: str = "answer") -> Job:
    return Job(
        id="x", stage=stage, version="x-1", environment=environment, lock="2" * 64, params={}, inputs={}, resources={}
    )


INSPECT = (
    'case "$*" in *inspect*) echo \'[{"Digest": "sha256:1", "Config": {"Labels": {"org.evolkit.lock": "%s"}}}]\';; '
    '*info*) echo "Server Version: 1";; esac'
)


def test_local_looks_at_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch)
    assert containers.prepare("local", [job()]) is None


@pytest.mark.parametrize(
    ("runtime", "scripts", "message"),
    [
        ("pod", {}, "--runtime pod: known: local, docker, podman, apptainer"),
        (
            "podman",
            {},
            "--runtime podman: it is not installed; install podman, or take --runtime local",
        ),
        (
            "podman",
            {"docker": "true"},
            "--runtime podman: it is not installed; install podman, or take --runtime docker (make: RUNTIME=docker)",
        ),
        (
            "docker",
            {"docker": "echo Client; exit 1"},
            "--runtime docker: the client is here, no engine answers; start it with: systemctl start docker",
        ),
        (
            "podman",
            {"podman": "exit 125"},
            "--runtime podman: no image localhost/kit-cpu; build it with: make images",
        ),
        (
            "podman",
            {"podman": INSPECT % ("3" * 64)},
            "localhost/kit-cpu: built from another lock (333333333333) than requirements/cpu.txt (222222222222); "
            "build it again with: make images",
        ),
    ],
    ids=["unknown", "not installed", "another is", "no engine", "no image", "stale image"],
)
def test_what_is_missing_is_said_at_once_with_the_cure(
    runtime: str, scripts: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs(tmp_path / "bin", monkeypatch, **scripts)
    with pytest.raises(RequestError) as caught:
        containers.prepare(runtime, [job()])
    assert str(caught.value) == message


SMI = {"nvidia-smi": "echo 580.65.06"}


@pytest.mark.parametrize(
    ("runtime", "scripts", "message"),
    [
        ("podman", {}, "this scale needs an NVIDIA GPU, and nvidia-smi names none"),
        ("podman", {"nvidia-smi": "echo 570.1"}, "driver 570.1: the cuda image holds CUDA 13 and wants 580 or newer"),
        ("podman", SMI, "--runtime podman: no CDI spec of nvidia.com/gpu in"),
        ("docker", SMI, "--runtime docker: it can't hand over GPUs here"),
    ],
    ids=["no GPU", "old driver", "no CDI spec", "no toolkit"],
)
def test_a_gpu_that_can_not_be_had_is_said_at_once(
    runtime: str, scripts: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(containers, "CDI_FOLDERS", (tmp_path / "none",))
    programs(tmp_path / "bin", monkeypatch, **{runtime: INSPECT % ("2" * 64)}, **scripts)
    with pytest.raises(RequestError) as caught:
        containers.prepare(runtime, [job("cuda")])
    assert str(caught.value).startswith(message)


def test_a_made_up_cdi_spec_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / "nvidia.yaml").write_text("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: []\n")
    monkeypatch.setattr(containers, "CDI_FOLDERS", (tmp_path / "none", tmp_path / "cdi"))
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64), **SMI)
    found = containers.prepare("podman", [job("cuda")])
    assert found is not None
    assert found.images["cuda"].digest == "sha256:1"


def test_fetch_takes_the_image_with_the_hubs_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64))
    found = containers.prepare("podman", [job("grade", "grade"), job("grade", "fetch")])
    assert found is not None
    assert found.image("fetch", "grade").name == "localhost/kit-cpu"
    assert found.image("grade", "grade").name == "localhost/kit-grade"


def test_the_command_line_says_it_with_exit_code_2(tmp_path: Path) -> None:
    words = ["reproduce", "2", "--scale", "smoke", "--store", str(tmp_path), "--runtime", "dokcer"]
    code = f"from kit.cli import main; import sys; sys.argv = ['kit', *{words!r}]; main()"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert (done.returncode, "known: local, docker, podman, apptainer" in done.stderr) == (2, True)


def test_a_worker_in_a_container_sees_the_store_and_writes_to_its_own_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    shape = Shape(group="text", environment="cpu", world=1)
    where = Containers(runtime="docker", images={"cpu": IMAGE})
    with exchange(store, ["k1", "k2"], as_root=False) as hand:
        options = Options(store=store.root, mirror=tmp_path / "mirror")
        words = command_in_container(shape, ["k1", "k2"], options, where, hand, cpu=True)
        volumes = [word.removeprefix("--volume=") for word in words if word.startswith("--volume=")]
        assert volumes == [
            f"{store.root}/artifacts:/store/artifacts:ro",
            f"{store.root}/jobs:/store/jobs:ro",
            f"{hand.said}:/said:ro",
            f"{hand.out}:/out:rw",
        ]
    inside = words[words.index(IMAGE.name) + 1 :]
    assert inside[:3] == ["-u", "-m", "accelerate.commands.launch"]
    places = ["--store", "/store", "--out", "/out", "--said", "/said", "--world", "1", "--lifeline", "k1", "k2"]
    assert inside[inside.index("kit.worker") :] == ["kit.worker", *places]
    variables = {word.removeprefix("--env=") for word in words if word.startswith("--env=")}
    assert {f"KIT_IMAGE_DIGEST={IMAGE.digest}", "HF_HUB_OFFLINE=1", "PYTHONHASHSEED=0"} <= variables
