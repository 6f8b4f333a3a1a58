"""A server's key reaches the worker that asks it, and no other: not by a command line, a file or an environment."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit import workers
from kit.catalogue import Catalogue, manifests_folder
from kit.containers import Containers, Image
from kit.containers.client import client_environment
from kit.errors import RequestError
from kit.judges.settings import ServerSettings
from kit.run import asking as asking_room
from kit.run import execute, launch
from kit.run.handover import exchange
from kit.run.jobfiles import check_fields
from kit.run.launch import Options, Shape, command_in_container
from kit.run.worker import JobContext
from kit.store import Job, Store
from kit.workers import KINDS
from tests.judges.conftest import KEY, settings

IMAGE = Image(name="kit-cpu", digest="sha256:" + "1" * 64, revision="", lock="2" * 64)
LOCAL = settings("http://127.0.0.1:8000/v1", key_from="TEST_KEY")
REMOTE = settings("https://api.example/v1", key_from="TEST_KEY", budget_tokens=10**6)
BY_NAME = settings("", base_url_from="JUDGE_URL", key_from="TEST_KEY", budget_tokens=10**6)


def shape(kind: str, server: ServerSettings = REMOTE) -> Shape:
    text = server.to_source()["server"] if KINDS[kind].asks else ""
    return Shape(kind=KINDS[kind], environment="cpu", world=1, server=text)


def job(server: ServerSettings | None, **fields: Any) -> Job:
    resources = {"resources": {"source": server.to_source()}} if server else {}
    values: dict[str, Any] = {"version": "grade-1", "environment": "grade", "lock": "", "params": {}, "inputs": {}}
    return Job(**({"id": "verdicts", "stage": "grade"} | values | resources | fields))


@pytest.fixture
def asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the stage ``grade`` be one that asks."""
    for room in (workers, asking_room, launch, execute):
        monkeypatch.setattr(room, "kind_of", lambda job: KINDS["ask"])
    monkeypatch.setattr("kit.run.jobfiles.kind_of", lambda job: KINDS["ask"])
    monkeypatch.setattr("kit.run.worker.kind_of", lambda job: KINDS["ask"])


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEST_KEY", "OPENAI_API_KEY", "AZURE_OPENAI_API_KEY"):
        monkeypatch.setenv(name, KEY if name == "TEST_KEY" else f"other-{KEY}")
    monkeypatch.setenv("OPENAI_ORG_ID", "org")
    monkeypatch.setenv("OPENAI_LOG", "debug")
    monkeypatch.setenv("JUDGE_URL", "http://127.0.0.1:8000/v1")
    monkeypatch.setenv("HF_TOKEN", "very-secret")


@pytest.mark.parametrize("name", list(KINDS))
def test_a_worker_gets_no_key_but_that_of_its_server(name: str):
    given = launch.environment(shape(name), cpu=True)
    assert {variable for variable in given if variable.endswith("_KEY")} == ({"TEST_KEY"} if name == "ask" else set())
    assert not any(f"other-{KEY}" in value for value in given.values())
    assert any(KEY in value for value in given.values()) == (name == "ask")
    if name == "ask":
        assert not [variable for variable in given if variable.startswith(("OPENAI_", "AZURE_"))]
        assert ServerSettings.from_source({"server": given["KIT_SERVER"]}) == REMOTE
    else:
        assert "KIT_SERVER" not in given


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"])
@pytest.mark.parametrize("name", list(KINDS))
def test_a_containers_command_line_has_names_alone(name: str, runtime: str, tmp_path: Path):
    store = Store.open(tmp_path / "store")
    chosen = Containers(runtime=runtime, images={"cpu": IMAGE}, fetcher=IMAGE, memory_cap="3g")
    with exchange(store, ["k1"], other_user=False) as folders:
        options = Options(store=store.root)
        words = command_in_container(shape(name), ["k1"], options, chosen, folders, cpu=True)
    assert not any(KEY in word for word in words)
    asks = name == "ask"
    assert ("--env=TEST_KEY" in words) == (asks and runtime != "apptainer")
    assert ("--env=HF_TOKEN" in words) == (name == "fetch" and runtime != "apptainer")
    assert not any("OPENAI" in word for word in words)
    assert any(word.endswith(("/replies:rw", "replies:/replies")) for word in words) == asks
    assert "--network=host" not in words
    passed = client_environment(runtime, shape(name).variables())
    assert ("APPTAINERENV_TEST_KEY" in passed) == (asks and runtime == "apptainer")


@pytest.mark.parametrize("server, local", [(LOCAL, True), (BY_NAME, True), (REMOTE, False)])
def test_a_container_is_in_this_machines_network_to_ask_a_server_there(
    server: ServerSettings, local: bool, tmp_path: Path
):
    store = Store.open(tmp_path / "store")
    chosen = Containers(runtime="podman", images={"cpu": IMAGE}, memory_cap="3g")
    with exchange(store, ["k1"], other_user=False) as folders:
        words = command_in_container(shape("ask", server), ["k1"], Options(store=store.root), chosen, folders, cpu=True)
    assert ("--network=host" in words) == local
    assert ("--env=JUDGE_URL" in words) == (server is BY_NAME)


def test_jobs_of_two_servers_share_no_worker(asks: None):
    shapes = {Shape.of(job(server)) for server in (LOCAL, REMOTE, BY_NAME)}
    assert len(shapes) == 3
    assert Shape.of(job(LOCAL)) == Shape.of(job(LOCAL, id="others"))


def test_the_process_list_shows_no_key():
    code = "import os, sys; print(open(f'/proc/{os.getpid()}/cmdline').read()); print(os.environ.get('TEST_KEY'))"
    worker = launch.command(shape("ask"), ["k"], Options(store=Path("/s")), cpu=True)
    assert not any(KEY in word for word in worker)
    found = subprocess.run(
        [sys.executable, "-c", code, *worker],
        env=launch.environment(shape("ask"), cpu=True),
        text=True,
        capture_output=True,
        check=True,
    )
    line, value = found.stdout.splitlines()
    assert (KEY in line, value) == (False, KEY)


def test_a_missing_key_is_told_before_any_job_runs(asks: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TEST_KEY")
    monkeypatch.setattr("kit.run.processes.command", lambda *_, **__: pytest.fail("a worker was started"))
    store, made = Store.open(tmp_path / "store"), job(REMOTE)
    with pytest.raises(RequestError) as caught:
        execute.execute({made.key: made}, store, Options(store=store.root), lambda *_: None)
    assert str(caught.value) == (
        "served.mine: key_from: the environment has no TEST_KEY; set it to the server's key, or leave key_from out "
        "where the server wants none"
    )


def test_a_worker_takes_the_server_of_the_plan_and_not_of_the_jobs_file(asks: None, monkeypatch: pytest.MonkeyPatch):
    # a stranger's address in a shared store's file would have got the key
    context = JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *_, **__: None)
    monkeypatch.setenv("KIT_SERVER", REMOTE.to_source()["server"])
    context.begin(job(settings("https://evil.example/v1", key_from="TEST_KEY", budget_tokens=1)))
    assert ServerSettings.from_source(context.source) == REMOTE


PLANTED: dict[str, tuple[Callable[[], Job], str]] = {
    "of another address": (
        lambda: job(settings("https://evil.example/v1", key_from="OPENAI_API_KEY", budget_tokens=1)),
        "it asks a server that models.toml does not have, and a key would be sent there; run the manifest that names "
        "it: kit run FILE",
    ),
    "without one": (lambda: job(None), "resources.source.server: found no server; plan it again"),
    "of no server": (
        lambda: job(None, resources={"source": {"server": '{"name": "gpt-4"}'}}),
        "resources.source.server: found no server; plan it again",
    ),
    "of no JSON": (
        lambda: job(None, resources={"source": {"server": "{"}}),
        "resources.source.server: found no server; plan it again",
    ),
}


@pytest.mark.parametrize("make, message", PLANTED.values(), ids=list(PLANTED))
def test_a_planted_job_is_refused(make: Callable[[], Job], message: str, asks: None):
    made = make()
    with pytest.raises(RequestError) as caught:
        check_fields(made)
    assert str(caught.value) == f"job {made.key[:12]} (verdicts): {message}"


def test_a_stored_job_of_the_kits_own_server_is_taken(asks: None):
    known = ServerSettings(name="gpt-4", entry=Catalogue(manifests_folder()).served["gpt-4"])
    check_fields(job(known))


def test_no_key_is_in_a_job(asks: None):
    text = json.dumps(job(REMOTE).to_json())
    assert "TEST_KEY" in text and KEY not in text
    assert job(REMOTE).key == job(LOCAL).key == job(None).key


def test_replies_are_written_by_a_containers_user_too(tmp_path: Path):
    if os.geteuid():
        pytest.skip("root alone starts containers as another user")
    store = Store.open(tmp_path / "store")
    with exchange(store, ["k1"], other_user=True, shares=["replies"]):
        found = (store.root / "replies").stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, 10001, 0o2775)
    Store.open(tmp_path / "store")
