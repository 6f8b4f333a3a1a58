"""Containers that attack the host's side of a run, and runs that are killed: in the images that ``make images`` built.

The code under test is this tree's, mounted over the image's; the stage is a stand-in that does as it is told.
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

import kit.run.execute
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
STAND_IN = Path(__file__).parent / "misbehaving_stage.py"
ASKED = "KIT_TEST_RUNTIME"
"""docker or podman: the runtime to test with. Where it is set, what can't be tested is an error and no skip."""


@pytest.fixture(scope="module")
def runtime() -> str:
    """The runtime that was asked for, or the first that has the image."""
    asked = os.environ.get(ASKED)
    reasons = []
    for name in (asked,) if asked else ("podman", "docker"):
        try:
            preparing.check_runtime(name)
            preparing.find_image(name, "grade")
        except RequestError as error:
            reasons.append(str(error))
            continue
        return name
    why = f"nothing was tested in an image: {'; '.join(reasons)}"
    if asked:
        pytest.fail(why)
    pytest.skip(why)


@pytest.fixture(scope="module")
def grade(runtime: str) -> containers.Image:
    return preparing.find_image(runtime, "grade")


def deed(what: str, **inputs: str) -> Job:
    return Job(
        id=what,
        stage="grade",
        version="grade-1",
        environment="grade",
        lock=lock_hash("grade"),
        params={"deed": what},
        inputs=inputs,
    )


def with_stand_in(request: Request) -> Request:
    mounts = [f"--volume={KIT}:/opt/kit/kit:ro"]
    mounts += [f"--volume={STAND_IN}:/opt/kit/kit/stages/{stage}.py:ro" for stage in ("grade", "convert")]
    return dataclasses.replace(request, extra=[*request.extra, *mounts])


@pytest.fixture
def closed(runtime: str, grade: containers.Image, monkeypatch: pytest.MonkeyPatch) -> Containers:
    real = command_line.command
    monkeypatch.setattr("kit.run.launch.container_command", lambda name, request: real(name, with_stand_in(request)))
    return Containers(runtime=runtime, images={"grade": grade}, memory_cap="512m")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def run_all(jobs: list[Job], store: Store, closed: Containers) -> Outcome:
    options = Options(store=store.root.resolve(), containers=closed)
    return execute({job.key: job for job in jobs}, store, options, lambda *_: None)


def alive(runtime: str, store: Store) -> list[str]:
    """The containers on a store."""
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


def test_what_is_committed_stays_as_it_was(closed: Containers, store: Store) -> None:
    # a hard link, a held descriptor and a held folder rewrote the artifact after the commit
    outcome = run_all([keeps := deed("keep a file open"), after := deed("write to it now")], store, closed)
    assert sorted(outcome.done) == sorted([keeps.key, after.key])
    said = (store.get(after.key).folder / "rows.jsonl").read_text()
    assert "rewritten" in said  # the attack ran
    assert (store.get(keeps.key).folder / "rows.jsonl").read_text() == "{}\n"
    assert [store.check(key) for key in outcome.done] == [[], []]
    paths = list((store.root / "artifacts").rglob("*"))
    assert {path.stat().st_uid for path in paths} == {os.geteuid()}


def test_nothing_but_plain_files_with_one_name_is_taken(closed: Containers, store: Store) -> None:
    plain = "is no plain file with one name; an artifact holds nothing else"
    wanted = {
        "leave a hard link": f"leave a hard link: rows.jsonl {plain}",
        "leave a pipe": f"leave a pipe: pipe {plain}",
        "be a link": "be a link: its container left no output folder",
    }
    outcome = run_all([deed(name) for name in wanted], store, closed)
    assert sorted(outcome.failed.values()) == sorted(wanted.values())


def test_files_of_trusted_stages_are_moved_and_ours(closed: Containers, store: Store) -> None:
    good, bad = (dataclasses.replace(deed(what), stage="convert") for what in ("behave", "leave a hard link"))
    outcome = run_all([good, bad], store, closed)
    assert (outcome.done, list(outcome.failed)) == ([good.key], [bad.key])
    assert store.check(good.key) == []
    folder = store.get(good.key).folder
    assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in folder.iterdir()} == {(os.geteuid(), 0o644)}


def test_words_of_a_container_are_text(closed: Containers, store: Store, tmp_path: Path) -> None:
    # each of them ended the run, or was believed
    outcome = run_all([talks := deed("say anything"), other := deed("behave")], store, closed)
    assert outcome.done == [talks.key, other.key]
    assert not list(tmp_path.glob("outside*"))
    found = store.get(talks.key).provenance
    assert (found["image"], found["environment"]) == (closed.images["grade"].digest, "grade")
    assert "sabotage" in store.log_path(talks.key).read_text()


def test_a_container_that_says_done_and_is_not(closed: Containers, store: Store) -> None:
    outcome = run_all([says := deed("say done")], store, closed)
    assert outcome.done == []
    assert outcome.failed[says.key].startswith("the worker ended with exit code 0")


def test_a_job_fails_if_one_of_its_processes_was_killed_for_memory(closed: Containers, store: Store) -> None:
    # the worker lived and committed what it thought of that
    outcome = run_all([fat := deed("have a child eat memory"), fit := deed("behave")], store, closed)
    assert outcome.failed[fat.key].startswith("have a child eat memory: the kernel killed 1 of its processes: ")
    assert outcome.done == [fit.key]


def test_a_container_that_never_ends_is_ended(
    closed: Containers, store: Store, runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit.run.execute, "START_S", 6.0)
    outcome = run_all([stuck := deed("hold the interpreter")], store, closed)
    assert outcome.failed[stuck.key].startswith(
        "the worker was killed: its container is held to 6 s, the most that grading 0 rows may take (log: "
    )
    wait_for(lambda: not alive(runtime, store))


def test_a_container_ends_with_its_client(closed: Containers, store: Store, runtime: str) -> None:
    # PID 1 holds the interpreter's lock in one long match, so that it hears neither of its closed input nor of SIGTERM
    stuck, after = deed("hold the interpreter"), deed("behave")

    def kill_client() -> None:
        wait_for(lambda: alive(runtime, store) and "matching" in log(store, stuck))
        time.sleep(1)
        (name,) = alive(runtime, store)
        for process in clients(name):
            os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill_client)
    killer.start()
    outcome = run_all([stuck, after], store, closed)
    killer.join()
    assert outcome.failed[stuck.key].startswith("the worker was killed (signal 9): ")
    assert outcome.done == [after.key]
    wait_for(lambda: not alive(runtime, store))


def log(store: Store, job: Job) -> str:
    path = store.log_path(job.key)
    return path.read_text() if path.exists() else ""


def clients(name: str) -> list[int]:
    """The processes whose command line starts the container of that name."""
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
    """A run of one job in a process of its own, as far as its container."""
    code = textwrap.dedent(
        """
        import json, signal, sys
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background is started deaf to it
        sys.path.insert(0, sys.argv[1])
        from pathlib import Path
        from kit import containers
        from kit.run import launch
        from kit.containers import command_line
        from kit.run.execute import execute
        from kit.store import Job, Store
        from tests.containers.test_hostile import with_stand_in
        real = command_line.command
        launch.container_command = lambda name, request: real(name, with_stand_in(request))
        job = Job.from_json(json.loads(sys.argv[3]))
        image = containers.Image(**json.loads(sys.argv[4]))
        closed = containers.Containers(runtime=sys.argv[5], images={"grade": image}, memory_cap="512m")
        options = launch.Options(store=Path(sys.argv[2]), containers=closed)
        execute({job.key: job}, Store(Path(sys.argv[2])), options, lambda *_: None)
        """
    )
    words = [str(KIT.parent), str(store.root), json.dumps(job.to_json()), json.dumps(dataclasses.asdict(grade))]
    run = subprocess.Popen([sys.executable, "-c", code, *words, runtime], stderr=subprocess.DEVNULL)
    wait_for(lambda: alive(runtime, store) and "matching" in log(store, job))
    return run


def test_the_next_run_ends_what_a_killed_one_left(
    closed: Containers, store: Store, runtime: str, grade: containers.Image
) -> None:
    # it went on for ever, and wrote into a folder that was being cleared away
    run = start_run(deed("hold the interpreter"), store, grade, runtime)
    try:
        other = deed("behave")
        assert run_all([other], store, closed).done == [other.key]
        assert len(alive(runtime, store)) == 1  # a live run's is let be
    finally:
        run.kill()
        run.wait()
    assert len(alive(runtime, store)) == 1
    outcome = run_all([deed("keep a file open")], store, closed)
    assert len(outcome.done) == 1
    wait_for(lambda: not alive(runtime, store))
    assert list((store.root / "tmp").iterdir()) == []


def test_a_run_that_is_interrupted_takes_its_container_along(
    store: Store, runtime: str, grade: containers.Image
) -> None:
    run = start_run(deed("hold the interpreter"), store, grade, runtime)
    run.send_signal(signal.SIGINT)
    run.wait()
    wait_for(lambda: not alive(runtime, store))
    assert list((store.root / "tmp").iterdir()) == []


def test_whatever_the_umask(closed: Containers, store: Store) -> None:
    # with 077 the container could read neither its job nor its input nor why it was refused
    before = os.umask(0o077)
    try:
        first = deed("behave")
        second, third = deed("read an input", before=first.key), deed("leave a link")
        outcome = run_all([first, second, third], Store.open(store.root.parent / "private"), closed)
    finally:
        os.umask(before)
    assert outcome.done == [first.key, second.key]
    assert outcome.failed == {third.key: "leave a link: link is a link; an artifact holds plain files"}


def test_no_proxy_variable_gets_in(runtime: str, grade: containers.Image, monkeypatch: pytest.MonkeyPatch) -> None:
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
