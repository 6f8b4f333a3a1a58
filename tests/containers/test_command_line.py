"""The command lines of containers, and what is said before any starts: no runtime is needed for these."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit import cgroups, containers
from kit.containers import Containers, Image, Request, client, command_line, preparing
from kit.errors import RequestError
from kit.handover import exchange
from kit.launch import Options, Shape, command_in_container
from kit.store import Job, Store

IMAGE = Image(
    name="localhost/kit-cpu", digest="sha256:" + "1" * 64, revision="", lock="2" * 64, id="sha256:" + "4" * 64
)


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
    return command_line.command(runtime, request)


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
    assert words[-4:] == [
        "--entrypoint=/opt/venv/bin/python",
        IMAGE.id,
        "-u",
        "x",
    ]  # not its name, which may mean another by now


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


def test_rootless_dockers_root_is_who_started_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # as any other user it could not write to /out
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    assert "--user=0:0" in line("docker", "text", rootless=True)
    assert "--cap-drop=all" in line("docker", "text", rootless=True)


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_a_container_has_a_name_to_be_ended_by(runtime: str) -> None:
    words = line(runtime, "text", name="kit-1", labels={"b": "2", "a": "1"})
    assert [word for word in words if word.startswith(("--name", "--label="))] == [
        "--name=kit-1",
        "--label=a=1",
        "--label=b=2",
    ]


def test_proxies_go_to_fetch_alone_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # podman gave each container the host's proxy variables, passwords included
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy:1")
    assert "--http-proxy=false" in line("podman", "text")
    assert "--env=https_proxy" in line("podman", "fetch")
    assert not any("proxy" in word for word in line("docker", "text"))
    assert not any("secret" in word for word in line("podman", "fetch") + line("docker", "fetch"))


@pytest.mark.parametrize(("cores", "cap"), [(1, "3g"), (2, "4g"), (64, "66g"), (512, "251g")])
def test_the_memory_of_grade_grows_with_the_cores(cores: int, cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # 4g on each machine: on one of 64 cores the kernel killed programs of 1 GiB each
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 65_800_000}[name])
    assert containers.memory_cap(cores) == cap


CGROUPS = {
    "v2, in a container": (
        "0::/\n",
        {"memory.max": "4294967296\n", "memory.events": "oom 1\noom_kill 2\n"},
        4 << 30,
        2,
    ),
    "v2, on a host": ("0::/a/b\n", {"a/b/memory.max": "max\n", "a/b/memory.events": "oom_kill 2\n"}, None, 0),
    "v2, capped": ("0::/a/b\n", {"a/b/memory.max": "1073741824", "a/b/memory.events": "oom_kill 1\n"}, 1 << 30, 1),
    "v1, in a container": (
        "9:cpu:/x\n8:memory:/libpod/x\n0::/x\n",
        {"memory/memory.limit_in_bytes": "268435456\n", "memory/memory.oom_control": "under_oom 0\noom_kill 3\n"},
        256 << 20,
        3,
    ),
    "v1, on a host": ("8:memory:/\n", {"memory/memory.limit_in_bytes": "9223372036854771712\n"}, None, 0),
    "none": ("", {}, None, 0),
}


@pytest.mark.parametrize(("own", "files", "limit", "kills"), CGROUPS.values(), ids=list(CGROUPS))
def test_what_a_control_group_says_of_memory(
    own: str, files: dict[str, str], limit: int | None, kills: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    real = cgroups._read
    monkeypatch.setattr(cgroups, "CGROUPS", tmp_path)
    monkeypatch.setattr(cgroups, "_read", lambda path: own if str(path) == "/proc/self/cgroup" else real(path))
    assert (cgroups.memory_limit(), cgroups.memory_kills()) == (limit, kills)


ROOT_ITSELF, HELD_ROOT = "Name:\tx\nCapEff:\t000001ffffffffff\n", "Name:\tx\nCapEff:\t000001fffeffffff\n"


def test_podman_is_told_of_limits_only_where_it_can_not_raise_them(monkeypatch: pytest.MonkeyPatch) -> None:
    # a healthy machine's hard limit of 524,288 files was reason enough
    monkeypatch.setattr("resource.getrlimit", lambda kind: (1024, 4096))
    limits = {"default_ulimits": ["nofile=4096:4096", "nproc=4096:4096"]}
    one_tree = {"runtime": "crun", "cgroup_manager": "cgroupfs", "events_logger": "none"}
    assert client.configuration(ROOT_ITSELF, hybrid=False) == {}
    assert client.configuration(ROOT_ITSELF, hybrid=True) == {"engine": one_tree}
    assert client.configuration(HELD_ROOT, hybrid=False) == {
        "containers": limits,
        "engine": {"events_logger": "none"},
    }
    assert client.configuration(HELD_ROOT, hybrid=True) == {"containers": limits, "engine": one_tree}


def test_a_token_goes_to_fetch_alone_and_its_value_stands_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    assert "--env=HF_TOKEN" in line("docker", "fetch")
    assert not any("HF_TOKEN" in word for word in line("docker", "text"))
    assert not any("very-secret" in word for word in line("docker", "fetch") + line("apptainer", "fetch"))


def test_apptainer_is_closed_too() -> None:
    words = line("apptainer", "grade", workdir="/s/tmp/1/workdir")
    assert "--workdir=/s/tmp/1/workdir" in words  # /tmp was 64 MB in memory
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
    'case "$*" in *inspect*) echo \'[{"Id": "5", "Digest": "sha256:1", "Config": {"Labels": '
    '{"org.evolkit.lock": "%s", "org.opencontainers.image.revision": ""}}}]\';; '
    '*info*) echo \'{"ServerVersion": "1", "SecurityOptions": ["name=seccomp", "name=rootless"]}\';; esac'
)


def test_local_looks_at_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
        "another is",
        "no engine",
        "no right to it",
        "podman ails",
        "no image",
        "stale image",
    ],
)
def test_what_is_missing_is_said_at_once_with_the_cure(
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
def test_a_gpu_that_can_not_be_had_is_said_at_once(
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


def test_rootless_docker_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, docker=INSPECT % ("2" * 64))
    found = preparing.prepare("docker", [job()])
    assert found is not None
    assert found.rootless


def test_fetch_takes_the_image_with_the_hubs_client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    programs(tmp_path / "bin", monkeypatch, podman=INSPECT % ("2" * 64))
    monkeypatch.setattr(preparing, "lock_hash", lambda name: "2" * 64)
    found = preparing.prepare("podman", [job("grade", "grade"), job("grade", "fetch")])
    assert found is not None
    assert found.image("fetch", "grade").name == "localhost/kit-cpu"
    assert found.image("grade", "grade").name == "localhost/kit-grade"
    # where only cuda was built, cpu was asked for
    only_cuda = 'case "$*" in *inspect*kit-cpu*) exit 125;; esac; ' + INSPECT % ("2" * 64)
    programs(tmp_path / "bin", monkeypatch, podman=only_cuda)
    found = preparing.prepare("podman", [job("grade", "fetch")])
    assert found is not None
    assert found.image("fetch", "grade").name == "localhost/kit-cuda"


def test_an_image_that_only_fetches_is_checked_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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
    ],
    ids=["it differs", "unknown", "not ours"],
)
def test_an_image_of_another_commit(git: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # each was said to differ
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(preparing, "ROOT", tmp_path)
    of_abc = (INSPECT % ("2" * 64)).replace('revision": ""', 'revision": "abc"')
    programs(tmp_path / "bin", monkeypatch, podman=of_abc, git=git)
    with pytest.raises(RequestError) as caught:
        preparing.prepare("podman", [job()])
    assert str(caught.value) == message.replace("ROOT", str(tmp_path))


def test_apptainers_image_is_made_and_read_or_its_cure_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
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


def test_apptainer_can_cap_where_groups_are_handed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(RequestError, match=r"^--runtime apptainer: this user can't cap memory and pids of a container"):
        preparing.check_delegation(tmp_path)
    handed = tmp_path / "user.slice/user-1234.slice/user@1234.service/cgroup.controllers"
    handed.parent.mkdir(parents=True)
    handed.write_text("cpu memory pids\n")
    preparing.check_delegation(tmp_path)


LEFT = """
echo "$*" >> "$CALLS"
case "$*" in
ps*) echo kit-1;;
*inspect*) echo '[{"Config": {"Labels": {"org.evolkit.key": "k1"}}}]';;
esac
"""


def test_what_a_dead_run_left_is_ended_and_a_live_one_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # after kill -9 of the kit its containers went on, for ever
    store = Store.open(tmp_path / "store")
    calls = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    programs(tmp_path / "bin", monkeypatch, docker=LEFT)
    with store.lock("k1"):
        assert client.end_left_over("docker", store) == []
    assert client.end_left_over("docker", store) == ["kit-1"]
    mark = client.store_mark(store)
    assert calls.read_text().splitlines()[-4:] == [
        f"ps --all --filter=label=org.evolkit.store={mark} --format={{{{.Names}}}}",
        "container inspect kit-1",
        "kill kit-1",
        "rm --force kit-1",
    ]


def test_the_command_line_says_it_with_exit_code_2(tmp_path: Path) -> None:
    words = ["reproduce", "2", "--scale", "smoke", "--store", str(tmp_path), "--runtime", "dokcer"]
    code = f"from kit.cli import main; import sys; sys.argv = ['kit', *{words!r}]; main()"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert (done.returncode, "known: local, docker, podman, apptainer" in done.stderr) == (2, True)


def test_a_worker_in_a_container_sees_the_store_and_writes_to_its_own_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    shape = Shape(group="text", environment="cpu", world=1)
    where = Containers(runtime="docker", images={"cpu": IMAGE})
    with exchange(store, ["k1", "k2"], other_user=False) as hand:
        options = Options(store=store.root, mirror=tmp_path / "mirror")
        words = command_in_container(shape, ["k1", "k2"], options, where, hand, cpu=True)
        volumes = [word.removeprefix("--volume=") for word in words if word.startswith("--volume=")]
        assert volumes == [
            f"{store.root}/artifacts:/store/artifacts:ro",
            f"{store.root}/jobs:/store/jobs:ro",
            f"{hand.said}:/said:ro",
            f"{hand.out}:/out:rw",
        ]
        assert {f"--name={hand.name}", "--label=org.evolkit.key=k1"} <= set(words)
        assert hand.name.startswith("kit-k1.")
    inside = words[words.index(IMAGE.id) + 1 :]
    assert inside[:3] == ["-u", "-m", "accelerate.commands.launch"]
    places = ["--store", "/store", "--out", "/out", "--said", "/said", "--world", "1", "--lifeline", "k1", "k2"]
    assert inside[inside.index("kit.worker") :] == ["kit.worker", *places]
    variables = {word.removeprefix("--env=") for word in words if word.startswith("--env=")}
    assert {f"KIT_IMAGE_DIGEST={IMAGE.digest}", "HF_HUB_OFFLINE=1", "PYTHONHASHSEED=0"} <= variables
