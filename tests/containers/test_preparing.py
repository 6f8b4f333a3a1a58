"""Checks before the first container starts: each missing thing is named, with the command that installs it."""

import os
from pathlib import Path

import pytest

from kit.containers import Image, client, preparing
from kit.errors import RequestError
from kit.store import Job, Store
from kit.workers import KINDS

IMAGE = Image(
    name="localhost/kit-cpu", digest="sha256:" + "1" * 64, revision="", lock="2" * 64, id="sha256:" + "4" * 64
)


def programs(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> None:
    """Set a PATH that has nothing but these scripts."""
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
    'case "$*" in *inspect*) echo \'[{"Id": "5", "Digest": "sha256:1", "Config": {"Labels": '
    '{"org.evolkit.lock": "%s", "org.opencontainers.image.revision": ""}}}]\';; '
    '*info*) echo \'{"ServerVersion": "1", "SecurityOptions": ["name=seccomp", "name=rootless"]}\';; esac'
)


def test_local_needs_no_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch)
    assert preparing.prepare("local", [job()]) is None


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
            {"docker": "echo '{}'; echo Cannot connect to the daemon. >&2; exit 1"},
            "docker: the client is here, no engine answers (Cannot connect to the daemon.); "
            "mend it with: systemctl start docker",
        ),
        (
            "docker",
            # older clients say so on the way and end with 0
            {"docker": """echo '{"ServerErrors": ["permission denied while trying to connect"]}'"""},
            "docker: the client is here, no engine answers (permission denied while trying to connect); "
            "mend it with: sudo usermod -aG docker $USER, then log in again; or take --runtime podman",
        ),
        (
            "podman",
            {"podman": "printf 'one\\nno subuid ranges\\n' >&2; exit 125"},
            "--runtime podman: it doesn't work here: no subuid ranges; what it needs is said by: podman info",
        ),
        (
            "podman",
            {"podman": 'case "$*" in *inspect*) exit 125;; esac'},
            "--runtime podman: no image localhost/kit-cpu; build it with: make images",
        ),
        (
            "podman",
            {"podman": INSPECT % ("3" * 64)},
            "localhost/kit-cpu: built from another lock (333333333333) than requirements/cpu.txt (222222222222); "
            "build it again with: make images",
        ),
    ],
    ids=[
        "unknown",
        "not installed",
        "another is installed",
        "no engine",
        "no permission",
        "podman fails",
        "no image",
        "stale image",
    ],
)
def test_a_missing_runtime_or_image_is_named_with_its_cure(
    runtime: str, scripts: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    programs(tmp_path / "bin", monkeypatch, **scripts)
    with pytest.raises(RequestError) as caught:
        preparing.prepare(runtime, [job()])
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
def test_a_missing_gpu_or_driver_is_named_with_its_cure(
    runtime: str, scripts: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(preparing, "CDI_FOLDERS", (tmp_path / "none",))
    programs(tmp_path / "bin", monkeypatch, **{runtime: INSPECT % ("2" * 64)}, **scripts)
    with pytest.raises(RequestError) as caught:
        preparing.prepare(runtime, [job("cuda")])
    assert str(caught.value).startswith(message)


def test_a_made_up_cdi_spec_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cdi").mkdir()
    (tmp_path / "cdi" / "nvidia.yaml").write_text("cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices: []\n")
    monkeypatch.setattr(preparing, "CDI_FOLDERS", (tmp_path / "none", tmp_path / "cdi"))
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64), **SMI)
    found = preparing.prepare("podman", [job("cuda")])
    assert found is not None
    assert (found.images["cuda"].digest, found.images["cuda"].id, found.rootless) == ("sha256:1", "5", False)


def test_rootless_docker_is_recognised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, docker=INSPECT % ("2" * 64))
    found = preparing.prepare("docker", [job()])
    assert found is not None
    assert found.rootless


def test_fetch_runs_in_the_image_with_the_hubs_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64))
    monkeypatch.setattr(preparing, "lock_hash", lambda name: "2" * 64)
    found = preparing.prepare("podman", [job("grade", "grade"), job("grade", "fetch")])
    assert found is not None
    assert found.image(KINDS["fetch"], "grade").name == "localhost/kit-cpu"
    assert found.image(KINDS["sandbox"], "grade").name == "localhost/kit-grade"
    # where only cuda was built, cpu was asked for
    only_cuda = 'case "$*" in *inspect*kit-cpu*) exit 125;; esac; ' + INSPECT % ("2" * 64)
    programs(tmp_path / "bin", monkeypatch, podman=only_cuda)
    found = preparing.prepare("podman", [job("grade", "fetch")])
    assert found is not None
    assert found.image(KINDS["fetch"], "grade").name == "localhost/kit-cuda"


def test_the_image_for_fetching_is_checked_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64))
    monkeypatch.setattr(preparing, "lock_hash", lambda name: "3" * 64)
    with pytest.raises(RequestError, match=r"^localhost/kit-cpu: built from another lock \(222222222222\)"):
        preparing.prepare("podman", [job("grade", "fetch")])


@pytest.mark.parametrize(
    ("git", "message"),
    [
        (
            "exit 1",
            "localhost/kit-cpu: built from commit abc, and kit/ or manifests/ differ here; commit what is to run and "
            "build it again with: make images",
        ),
        (
            "echo fatal: bad object abc >&2; exit 128",
            "localhost/kit-cpu: git can't compare its commit abc with this checkout (fatal: bad object abc); "
            "git fetch --all, or build it again with: make images",
        ),
        (
            "echo 'fatal: detected dubious ownership in repository' >&2; exit 128",
            "localhost/kit-cpu: git can't compare its commit abc with this checkout "
            "(fatal: detected dubious ownership in repository); git config --global --add safe.directory ROOT",
        ),
        (
            # an image has committed files alone: a stage of one's own was missing when its job began
            'case "$*" in *ls-files*) echo kit/stages/mine.py;; esac',
            "localhost/kit-cpu: built from commit abc, which lacks kit/stages/mine.py; commit it and build it again "
            "with: make images",
        ),
    ],
    ids=["it differs", "unknown commit", "another owner", "a file that is not committed"],
)
def test_an_image_of_another_commit_is_refused(
    git: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # each was said to differ
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(preparing, "ROOT", tmp_path)
    of_abc = (INSPECT % ("2" * 64)).replace('revision": ""', 'revision": "abc"')
    programs(tmp_path / "bin", monkeypatch, podman=of_abc, git=git)
    with pytest.raises(RequestError) as caught:
        preparing.prepare("podman", [job()])
    assert str(caught.value) == message.replace("ROOT", str(tmp_path))


def test_a_missing_or_broken_sif_file_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # a folder that was not there failed the cure, a broken file ended in a traceback
    monkeypatch.setattr(preparing, "ROOT", tmp_path)
    programs(tmp_path / "bin", monkeypatch, apptainer="echo FATAL: no SIF >&2; exit 255")
    path = tmp_path / "images" / "cpu.sif"
    with pytest.raises(RequestError) as caught:
        preparing.prepare("apptainer", [job()])
    assert f"&& mkdir -p {path.parent} && apptainer build {path} docker-archive:kit.tar" in str(caught.value)
    path.parent.mkdir()
    path.write_text("no image")
    with pytest.raises(RequestError) as caught:
        preparing.prepare("apptainer", [job()])
    assert str(caught.value) == (
        f"--runtime apptainer: {path} can't be read (FATAL: no SIF); remove it and make it again"
    )


def test_apptainer_can_set_limits_where_control_groups_are_delegated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(RequestError, match=r"^--runtime apptainer: this user can't cap memory and pids of a container"):
        preparing.check_delegation(tmp_path)
    controllers = tmp_path / "user.slice/user-1234.slice/user@1234.service/cgroup.controllers"
    controllers.parent.mkdir(parents=True)
    controllers.write_text("cpu memory pids\n")
    preparing.check_delegation(tmp_path)


def fetch_job(source: dict[str, str], **params: object) -> Job:
    return Job(
        id="fetch/x",
        stage="fetch",
        version="fetch-1",
        environment="grade",
        lock="",
        params=dict(params),
        inputs={},
        resources={"source": source},
    )


def test_the_targets_of_a_hub_snapshots_links_are_mounted(tmp_path: Path) -> None:
    # Its files are links to ../../blobs: a container that saw the folder alone found none of them.
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "abc"
    for folder in (blobs, snapshot, tmp_path / "elsewhere"):
        folder.mkdir(parents=True)
    (blobs / "1").write_text("{}")
    (tmp_path / "elsewhere" / "weights").write_text("weights")
    (blobs / "2").symlink_to(tmp_path / "elsewhere" / "weights")  # a blob that was moved to another disk
    (snapshot / "config.json").symlink_to("../../blobs/1")
    (snapshot / "model.safetensors").symlink_to("../../blobs/2")
    (snapshot / "merges.txt").write_text("plain")
    (snapshot / "vocab.json").symlink_to("merges.txt")
    (snapshot / "gone.json").symlink_to("../../blobs/3")
    names = ("config.json", "model.safetensors", "merges.txt", "vocab.json", "gone.json")
    job = fetch_job({"path": str(snapshot)}, kind="folder", files=dict.fromkeys(names, "0"))
    assert preparing.source_mounts([job]) == [
        (str(blobs / "1"), str(blobs / "1")),
        (str(tmp_path / "elsewhere" / "weights"), str(blobs / "2")),
        (str(snapshot), str(snapshot)),
    ]


def test_the_targets_of_a_mirrors_links_are_mounted(tmp_path: Path) -> None:
    mirror, data = tmp_path / "mirror", tmp_path / "data"
    for folder in (mirror / "gsm8k", data / "mbpp", data / "prompts"):
        folder.mkdir(parents=True)
    for name in ("test.jsonl", "mbpp/mbpp.jsonl", "prompts/a.py"):
        (data / name).write_text(name)
    (mirror / "gsm8k" / "test.jsonl").symlink_to(data / "test.jsonl")  # an absolute path
    (mirror / "gsm8k" / "train.jsonl").symlink_to("../../data/test.jsonl")  # a relative path to a file
    (mirror / "mbpp").symlink_to("../data/mbpp")  # a relative path to a folder
    (mirror / "prompts").symlink_to(data / "prompts")
    (mirror / "plain.jsonl").write_text("plain")
    (mirror / "twice.jsonl").symlink_to("plain.jsonl")  # inside: the mirror's own mount has it
    wanted = ("gsm8k/test.jsonl", "gsm8k/train.jsonl", "mbpp/mbpp.jsonl", "plain.jsonl", "twice.jsonl", "none.jsonl")
    jobs = [fetch_job({"url": "x", "mirror": name}, kind="file", name="x") for name in wanted]
    jobs += [fetch_job({"url": "x", "mirror": "prompts"}, kind="prompts", files={"a.py": "0"})]
    jobs += [fetch_job({"path": "/x"}, kind="file", name="x"), fetch_job({"gated": ""}, kind="hub", files=["*.json"])]
    assert preparing.mirror_mounts(jobs, mirror) == [
        (str(data / "mbpp"), "/data/mbpp"),
        (str(data / "prompts"), str(data / "prompts")),
        (str(data / "test.jsonl"), "/data/test.jsonl"),
        (str(data / "test.jsonl"), str(data / "test.jsonl")),
    ]


def test_prepare_mounts_the_targets_of_a_mirrors_links(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64))
    monkeypatch.setattr(preparing, "lock_hash", lambda name: "2" * 64)
    (tmp_path / "mirror").mkdir()
    (tmp_path / "data").write_text("data")
    (tmp_path / "mirror" / "x.jsonl").symlink_to(tmp_path / "data")
    jobs = [fetch_job({"url": "x", "mirror": "x.jsonl"}, kind="file", name="x")]
    found = preparing.prepare("podman", jobs, tmp_path / "mirror")
    assert found is not None
    assert (str(tmp_path / "data"), str(tmp_path / "data")) in found.mounts


CLIENT = """
echo "$*" >> "$CALLS"
case "$*" in
ps*) echo kit-1;;
*inspect*) echo '[{"Config": {"Labels": {"org.evolkit.key": "k1"}}}]';;
esac
"""


def test_containers_of_dead_runs_are_killed_and_those_of_live_runs_are_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # after kill -9 of the kit its containers went on, for ever
    store = Store.open(tmp_path / "store")
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    programs(tmp_path / "bin", monkeypatch, docker=CLIENT)
    with store.lock("k1"):
        assert client.end_leftover_containers("docker", store) == []
    assert client.end_leftover_containers("docker", store) == ["kit-1"]
    store_id = client.store_id(store)
    assert calls.read_text().splitlines()[-4:] == [
        f"ps --all --filter=label=org.evolkit.store={store_id} --format={{{{.Names}}}}",
        "container inspect kit-1",
        "kill kit-1",
        "rm --force kit-1",
    ]
