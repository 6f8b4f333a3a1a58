"""The command lines of containers, and what is said before any starts: no runtime is needed for these."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit import containers
from kit.containers import Containers, Image, Request, client, command_line
from kit.errors import RequestError
from kit.machine import cgroups
from kit.run.handover import exchange
from kit.run.launch import Options, Shape, check_folders, command_in_container
from kit.store import Store
from kit.workers import KINDS

IMAGE = Image(
    name="localhost/kit-cpu", digest="sha256:" + "1" * 64, revision="", lock="2" * 64, id="sha256:" + "4" * 64
)


def line(runtime: str, kind: str, **fields: Any) -> list[str]:
    request = Request(
        kind=KINDS[kind],
        image=IMAGE,
        command=["/opt/venv/bin/python", "-u", "x"],
        readable=[("/s/artifacts", "/store/artifacts")],
        writable=[("/s/tmp/1/out", "/out")],
        environment={"A": "1"},
        **fields,
    )
    return command_line.command(runtime, request)


@pytest.mark.parametrize("runtime", ["docker", "podman"])
@pytest.mark.parametrize("kind", ["convert", "cpu", "text", "train", "sandbox", "fetch"])
def test_everything_is_closed_but_what_the_job_needs(runtime: str, kind: str) -> None:
    words = line(runtime, kind)
    assert {"--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--pull=never"} <= set(words)
    assert ("--network=none" in words) == (kind != "fetch")
    assert [word for word in words if word.startswith("--volume")] == [
        "--volume=/s/artifacts:/store/artifacts:ro",
        "--volume=/s/tmp/1/out:/out:rw",
    ]
    assert any(word.startswith("--memory=") for word in words) == (kind == "sandbox")
    assert any(word.startswith("--pids-limit=") for word in words) == (kind == "sandbox")
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
def test_each_runtime_has_its_own_option_for_gpus(runtime: str, wanted: str) -> None:
    assert wanted in line(runtime, "text", gpu=True)
    assert wanted not in line(runtime, "text")


def test_root_runs_as_the_images_user_and_others_as_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert "--user=10001:10001" in line("docker", "text")
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    monkeypatch.setattr(os, "getegid", lambda: 5678)
    assert "--user=1234:5678" in line("docker", "text")
    assert {"--userns=keep-id", "--user=1234:5678"} <= set(line("podman", "text"))


def test_root_of_rootless_docker_is_the_calling_user(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_only_fetch_containers_get_proxies_and_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # podman gave each container the host's proxy variables, passwords included
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy:1")
    assert "--http-proxy=false" in line("podman", "text")
    assert "--env=https_proxy" in line("podman", "fetch")
    assert not any("proxy" in word for word in line("docker", "text"))
    assert not any("secret" in word for word in line("podman", "fetch") + line("docker", "fetch"))


@pytest.mark.parametrize(("cores", "cap"), [(1, "3g"), (2, "4g"), (64, "97g"), (512, "251g")])
def test_the_memory_of_grade_grows_with_the_cores(cores: int, cap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # 4g on each machine: on one of 64 cores the kernel killed programs of 1 GiB each. Then 1 GiB a program, whose
    # tester may hold memory too.
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
def test_memory_limits_are_read_from_control_groups(
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


def test_podman_gets_limits_only_where_it_can_not_raise_them(monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_only_fetch_containers_get_the_token_and_its_value_is_on_no_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    assert "--env=HF_TOKEN" in line("docker", "fetch")
    assert not any("HF_TOKEN" in word for word in line("docker", "text"))
    assert not any("very-secret" in word for word in line("docker", "fetch") + line("apptainer", "fetch"))


def test_apptainer_containers_are_closed_too() -> None:
    words = line("apptainer", "sandbox", workdir="/s/tmp/1/workdir")
    assert "--workdir=/s/tmp/1/workdir" in words  # /tmp was 64 MB in memory
    assert {"--containall", "--no-home", "--cleanenv", "--no-privs", "--network=none"} <= set(words)
    assert "--bind=/s/artifacts:/store/artifacts:ro" in words


def test_an_unknown_runtime_ends_with_exit_code_2(tmp_path: Path) -> None:
    words = ["reproduce", "2", "--scale", "smoke", "--store", str(tmp_path), "--runtime", "dokcer"]
    code = f"from kit.cli import main; import sys; sys.argv = ['kit', *{words!r}]; main()"
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=False)
    assert (done.returncode, "known: local, docker, podman, apptainer" in done.stderr) == (2, True)


def test_a_worker_in_a_container_reads_the_store_and_writes_to_its_own_folder(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    shape = Shape(kind=KINDS["text"], environment="cpu", world=1)
    chosen = Containers(runtime="docker", images={"cpu": IMAGE})
    with exchange(store, ["k1", "k2"], other_user=False) as folders:
        options = Options(store=store.root, mirror=tmp_path / "mirror")
        words = command_in_container(shape, ["k1", "k2"], options, chosen, folders, cpu=True)
        volumes = [word.removeprefix("--volume=") for word in words if word.startswith("--volume=")]
        assert volumes == [
            f"{store.root}/artifacts:/store/artifacts:ro",
            f"{store.root}/jobs:/store/jobs:ro",
            f"{folders.refusals}:/refusals:ro",
            f"{folders.out}:/out:rw",
            f"{store.root}/parts:/parts:rw",
        ]
        assert {f"--name={folders.name}", "--label=org.evolkit.key=k1"} <= set(words)
        assert folders.name.startswith("kit-k1.")
    inside = words[words.index(IMAGE.id) + 1 :]
    assert inside[:3] == ["-u", "-m", "accelerate.commands.launch"]
    places = ["--store", "/store", "--out", "/out", "--parts", "/parts", "--refusals", "/refusals"]
    places += ["--world", "1", "--lifeline", "k1", "k2"]
    found = inside[inside.index("kit.run.worker") :]
    assert sorted(found) == sorted(["kit.run.worker", *places])
    assert found[:7] == ["kit.run.worker", *places[:4], "--refusals", "/refusals"]
    variables = {word.removeprefix("--env=") for word in words if word.startswith("--env=")}
    assert {f"KIT_IMAGE_DIGEST={IMAGE.digest}", "HF_HUB_OFFLINE=1", "PYTHONHASHSEED=0"} <= variables


@pytest.mark.parametrize("option", ["store", "mirror", "mount"])
@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"])
def test_a_relative_path_is_refused_before_the_first_container(runtime: str, option: str, tmp_path: Path) -> None:
    # podman: `creating named volume "store/tmp/.../said"`, in every job
    chosen = Containers(runtime=runtime, images={}, mounts=(("a/b", "/b"),) if option == "mount" else ())
    mirror = Path("a/b") if option == "mirror" else None
    options = Options(store=Path("a/b") if option == "store" else tmp_path, mirror=mirror, containers=chosen)
    with pytest.raises(RequestError) as caught:
        check_folders(options)
    assert str(caught.value) == (
        f"--runtime {runtime}: a/b: to it a relative path is the name of a volume; give the whole path"
    )
