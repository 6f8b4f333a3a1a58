"""Containers that attack the host's side of a run, and runs that are killed: in the images that ``make images`` built.

The code under test is this tree's, mounted over the image's; ``misbehaving_stage.py`` replaces the stage.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import kit.run.processes
from kit import containers
from kit.catalogue import lock_hash
from kit.containers import Containers, Request, client, command_line, preparing
from kit.errors import RequestError
from kit.run.execute import Outcome, execute
from kit.run.launch import Options
from kit.store import Job, Store
from kit.workers import KINDS

pytestmark = pytest.mark.images
KIT = Path(__file__).resolve().parents[2] / "kit"
STAGE_FILE = Path(__file__).parent / "misbehaving_stage.py"
RUNTIME_VARIABLE = "KIT_TEST_RUNTIME"
"""Variable that names the runtime to test with, docker or podman; if it is set, a test that can't run fails."""


@pytest.fixture(scope="module")
def runtime() -> str:
    """Return the runtime that the variable names, or the first that has the image."""
    chosen = os.environ.get(RUNTIME_VARIABLE)
    reasons = []
    for name in (chosen,) if chosen else ("podman", "docker"):
        try:
            preparing.check_runtime(name)
            preparing.find_image(name, "grade")
        except RequestError as error:
            reasons.append(str(error))
            continue
        return name
    reason = f"nothing was tested in an image: {'; '.join(reasons)}"
    if chosen:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="module")
def grade(runtime: str) -> containers.Image:
    return preparing.find_image(runtime, "grade")


def grade_job(action: str, **inputs: str) -> Job:
    """Return a job whose stage does this action of ``misbehaving_stage.py``."""
    return Job(
        id=action,
        stage="grade",
        version="grade-1",
        environment="grade",
        lock=lock_hash("grade"),
        params={"action": action},
        inputs=inputs,
    )


def with_stage_file(request: Request) -> Request:
    mounts = [f"--volume={KIT}:/opt/kit/kit:ro"]
    mounts += [f"--volume={STAGE_FILE}:/opt/kit/kit/stages/{stage}.py:ro" for stage in ("grade", "convert")]
    return dataclasses.replace(request, extra=[*request.extra, *mounts])


@pytest.fixture
def grade_containers(runtime: str, grade: containers.Image, monkeypatch: pytest.MonkeyPatch) -> Containers:
    real = command_line.command
    monkeypatch.setattr("kit.run.launch.container_command", lambda name, request: real(name, with_stage_file(request)))
    return Containers(runtime=runtime, images={"grade": grade}, memory_cap="512m")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def run_all(jobs: list[Job], store: Store, grade_containers: Containers) -> Outcome:
    options = Options(store=store.root.resolve(), containers=grade_containers)
    return execute({job.key: job for job in jobs}, store, options, lambda *_: None)


def running(runtime: str, store: Store) -> list[str]:
    """Return the names of the containers that work on a store."""
    return client._output_lines(
        runtime,
        "ps",
        "--all",
        f"--filter=label={client.STORE_LABEL}={client.store_id(store)}",
        "--format={{.Names}}",
    )


def wait_for(check: Callable[[], object], seconds: float = 600.0) -> None:
    limit = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < limit, "it never happened"
        time.sleep(0.05)


def test_a_committed_artifact_can_not_be_changed(grade_containers: Containers, store: Store) -> None:
    # a hard link, a held descriptor and a held folder rewrote the artifact after the commit
    outcome = run_all(
        [first := grade_job("keep a file open"), second := grade_job("write to the open file")], store, grade_containers
    )
    assert sorted(outcome.done) == sorted([first.key, second.key])
    written = (store.get(second.key).folder / "rows.jsonl").read_text()
    assert "rewritten" in written  # the attack ran
    assert (store.get(first.key).folder / "rows.jsonl").read_text() == "{}\n"
    assert [store.check(key) for key in outcome.done] == [[], []]
    paths = list((store.root / "artifacts").rglob("*"))
    assert {path.stat().st_uid for path in paths} == {os.geteuid()}


def test_output_with_links_or_pipes_is_refused(grade_containers: Containers, store: Store) -> None:
    plain = "is no plain file with one name; an artifact holds nothing else"
    wanted = {
        "leave a hard link": f"leave a hard link: rows.jsonl {plain}",
        "leave a pipe": f"leave a pipe: pipe {plain}",
        "become a link": "become a link: its container left no output folder",
    }
    outcome = run_all([grade_job(name) for name in wanted], store, grade_containers)
    assert sorted(outcome.failed.values()) == sorted(wanted.values())


def test_files_of_trusted_stages_are_moved_and_belong_to_the_host(grade_containers: Containers, store: Store) -> None:
    good, bad = (dataclasses.replace(grade_job(what), stage="convert") for what in ("behave", "leave a hard link"))
    outcome = run_all([good, bad], store, grade_containers)
    assert (outcome.done, list(outcome.failed)) == ([good.key], [bad.key])
    assert store.check(good.key) == []
    folder = store.get(good.key).folder
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in folder.iterdir()} == {(os.geteuid(), 0o644)}


def test_invalid_events_of_a_container_are_log_text(grade_containers: Containers, store: Store, tmp_path: Path) -> None:
    # each of them ended the run, or was believed
    outcome = run_all(
        [sender := grade_job("send invalid events"), other := grade_job("behave")], store, grade_containers
    )
    assert outcome.done == [sender.key, other.key]
    assert not list(tmp_path.glob("outside*"))
    found = store.get(sender.key).provenance
    assert (found["image"], found["environment"]) == (grade_containers.images["grade"].digest, "grade")
    assert "sabotage" in store.log_path(sender.key).read_text()


def test_done_without_an_artifact_is_a_failure(grade_containers: Containers, store: Store) -> None:
    outcome = run_all([made := grade_job("send done")], store, grade_containers)
    assert outcome.done == []
    assert outcome.failed[made.key].startswith("the worker ended with exit code 0")


def test_a_job_fails_if_one_of_its_processes_was_killed_for_memory(grade_containers: Containers, store: Store) -> None:
    # the worker lived, and committed a verdict on the program that was killed
    outcome = run_all(
        [large := grade_job("fill the memory in a child"), small := grade_job("behave")], store, grade_containers
    )
    assert outcome.failed[large.key].startswith("fill the memory in a child: the kernel killed 1 of its processes: ")
    assert outcome.done == [small.key]


def test_a_container_is_killed_at_its_time_limit(
    grade_containers: Containers, store: Store, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.run.processes, "START_S", 6.0)
    outcome = run_all([stuck := grade_job("hold the interpreter")], store, grade_containers)
    assert outcome.failed[stuck.key].startswith(
        "the worker was killed: its container is held to 6 s, the most that grading 0 rows may take (log: "
    )
    wait_for(lambda: not running(runtime, store))


def test_a_container_ends_with_its_client(grade_containers: Containers, store: Store, runtime: str) -> None:
    # PID 1 holds the interpreter's lock in one long match, so that it notices neither its closed input nor SIGTERM
    stuck, after = grade_job("hold the interpreter"), grade_job("behave")

    def kill_client() -> None:
        wait_for(lambda: running(runtime, store) and "matching" in log(store, stuck))
        time.sleep(1)
        (name,) = running(runtime, store)
        for process in clients(name):
            os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill_client)
    killer.start()
    outcome = run_all([stuck, after], store, grade_containers)
    killer.join()
    assert outcome.failed[stuck.key].startswith("the worker was killed (signal 9): ")
    assert outcome.done == [after.key]
    wait_for(lambda: not running(runtime, store))


def log(store: Store, job: Job) -> str:
    path = store.log_path(job.key)
    return path.read_text() if path.exists() else ""


def clients(name: str) -> list[int]:
    """Return the processes whose command line starts the container of that name."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if f"--name={name}".encode() in words and b"run" in words:
                found.append(int(folder.name))
    return found


def start_run(job: Job, store: Store, grade: containers.Image, runtime: str) -> subprocess.Popen[bytes]:
    """Start a run of one job in a process of its own, and wait until its container works."""
    code = textwrap.dedent(
        """
        import json, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
        sys.path.insert(0, sys.argv[1])
        from pathlib import Path
        from kit import containers
        from kit.run import launch
        from kit.containers import command_line
        from kit.run.execute import execute
        from kit.store import Job, Store
        from tests.containers.test_hostile import with_stage_file
        real = command_line.command
        launch.container_command = lambda name, request: real(name, with_stage_file(request))
        job = Job.from_json(json.loads(sys.argv[3]))
        image = containers.Image(**json.loads(sys.argv[4]))
        chosen = containers.Containers(runtime=sys.argv[5], images={"grade": image}, memory_cap="512m")
        options = launch.Options(store=Path(sys.argv[2]), containers=chosen)
        execute({job.key: job}, Store(Path(sys.argv[2])), options, lambda *_: None)
        """
    )
    words = [str(KIT.parent), str(store.root), json.dumps(job.to_json()), json.dumps(dataclasses.asdict(grade))]
    run = subprocess.Popen([sys.executable, "-c", code, *words, runtime])
    wait_for(lambda: run.poll() is not None or (running(runtime, store) and "matching" in log(store, job)))
    assert run.poll() is None, "the run ended by itself"
    return run


def test_the_next_run_kills_the_containers_of_a_killed_run(
    grade_containers: Containers, store: Store, runtime: str, grade: containers.Image
) -> None:
    # it went on for ever, and wrote into a folder that was being cleared away
    run = start_run(grade_job("hold the interpreter"), store, grade, runtime)
    try:
        other = grade_job("behave")
        assert run_all([other], store, grade_containers).done == [other.key]
        assert len(running(runtime, store)) == 1  # the container of a live run is left alone
    finally:
        run.kill()
        run.wait()
    assert len(running(runtime, store)) == 1
    outcome = run_all([grade_job("keep a file open")], store, grade_containers)
    assert len(outcome.done) == 1
    wait_for(lambda: not running(runtime, store))
    assert list((store.root / "tmp").iterdir()) == []


def test_an_interrupted_run_ends_its_container(store: Store, runtime: str, grade: containers.Image) -> None:
    run = start_run(grade_job("hold the interpreter"), store, grade, runtime)
    run.send_signal(signal.SIGINT)
    run.wait()
    wait_for(lambda: not running(runtime, store))
    assert list((store.root / "tmp").iterdir()) == []


def test_a_container_can_read_its_job_under_any_umask(grade_containers: Containers, store: Store) -> None:
    # with 077 the container could read neither its job nor its input nor the reason of a refusal
    before = os.umask(0o077)
    try:
        first = grade_job("behave")
        second, third = grade_job("read an input", before=first.key), grade_job("leave a link")
        outcome = run_all([first, second, third], Store.open(store.root.parent / "private"), grade_containers)
    finally:
        os.umask(before)
    assert outcome.done == [first.key, second.key]
    assert outcome.failed == {third.key: "leave a link: link is a link; an artifact holds plain files"}


def test_no_proxy_variable_is_set_in_a_container(
    runtime: str, grade: containers.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://user:secret@192.0.2.1:1")
    request = Request(
        kind=KINDS["sandbox"],
        image=grade,
        command=[containers.PYTHON, "-c", "import os; print(dict(os.environ))"],
        readable=[],
        writable=[],
    )
    done = subprocess.run(
        command_line.command(runtime, request),
        env=client.client_environment(runtime, KINDS["sandbox"]),
        stdin=subprocess.DEVNULL,
        text=True,
        capture_output=True,
        check=False,
    )
    assert ("PATH" in done.stdout, "proxy" in done.stdout.lower()) == (True, False), done.stderr
