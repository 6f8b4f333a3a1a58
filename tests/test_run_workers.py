"""Workers of a run: limits in containers, the end of a container, the handling of events, and failed jobs."""

import dataclasses
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kit.containers import Containers, Image
from kit.errors import RequestError
from kit.run import execute as run
from kit.run import processes
from kit.run.launch import Options, Shape
from kit.store import Job, Store
from kit.workers import KINDS
from tests.test_run import DONE, PROGRESS, job, marked, store

__all__ = ["store"]  # the fixture: an empty store


IMAGE = Image(name="localhost/kit-grade", digest="sha256:1", revision="", lock="")


@pytest.mark.parametrize(
    ("runtime", "name", "sign"),
    [("podman", "a:b", "colon"), ("docker", "a:b", "colon"), ("apptainer", "a,b", "colon or a comma")],
)
def test_a_folder_name_that_a_runtime_can_not_take_is_refused(runtime: str, name: str, sign: str, tmp_path: Path):
    store = Store.open(tmp_path / name)
    options = Options(store=store.root, containers=Containers(runtime=runtime, images={"grade": IMAGE}))
    with pytest.raises(RequestError) as error:
        run.execute({}, store, options, lambda *_: None)
    assert str(error.value) == (
        f"--runtime {runtime}: {store.root}: a path with a {sign} can't be given to a container; "
        "take another folder (--store, --mirror), or --runtime local"
    )


def test_a_container_ends_with_a_client_that_is_killed_or_hangs(monkeypatch: pytest.MonkeyPatch):
    # a container went on after kill -9 of its client, and after the ten seconds that a deaf one was given
    ended: list[str] = []
    monkeypatch.setattr(processes, "end_container", lambda runtime, name: ended.append(name))
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], text=True, start_new_session=True)
    process.kill()
    processes.end_process(process, "podman", "kit-1")
    assert (ended, process.returncode) == (["kit-1"], -9)
    process = subprocess.Popen([sys.executable, "-c", ""], text=True, start_new_session=True)
    process.wait()  # a busy machine may take more than the ten seconds to start and end a Python
    processes.end_process(process, "podman", "kit-2")
    assert ended == ["kit-1"]


def test_the_time_limit_of_grading_grows_with_its_rows(tmp_path: Path):
    shape = Shape(kind=KINDS["sandbox"], environment="grade", world=1)
    options = Options(store=Path("store"), containers=Containers(runtime="docker", images={"grade": IMAGE}))
    store = Store.open(tmp_path)
    jobs = []
    for count in (164, 500):
        made = job("answer", str(count))
        with store.scratch(made.key) as out:
            store.commit(made, out, rows=count, facts={}, provenance={})
        # "all rows" is None in a manifest: int(None) ended every run in containers at the scales that mean it
        jobs.append(dataclasses.replace(job("grade", str(count), rows=None), inputs={"completions": made.key}))
    limits = processes.Limits.for_worker(shape, jobs, options, store)
    assert (limits.wall_s, limits.rows) == (2 * 900 + 664 * 120, 664)
    assert processes.Limits.for_worker(shape, jobs, Options(store=Path("store")), store).wall_s == 0


# Kind, whether it runs in containers -> memory, seconds and rows that its worker is held to: 900 + 164 * 120 s.
CAPPED = {
    "grading in a container": ("sandbox", True, ("3g", 20_580.0, 164)),
    "grading here": ("sandbox", False, ("", 0.0, 0)),
    # one change in the line held every worker in containers to the time of a grading that has no rows
    "training in a container": ("train", True, ("", 0.0, 0)),
    "text in a container": ("text", True, ("", 0.0, 0)),
    "fetching in a container": ("fetch", True, ("", 0.0, 0)),
    "converting here": ("convert", False, ("", 0.0, 0)),
}


@pytest.mark.parametrize("kind, contained, wanted", CAPPED.values(), ids=list(CAPPED))
def test_limits_of_a_worker(kind: str, contained: bool, wanted: tuple[str, float, int], store: Store):
    answers = job("answer", "x")
    with store.scratch(answers.key) as out:
        store.commit(answers, out, rows=164, facts={}, provenance={})
    made = dataclasses.replace(job("grade", "x"), inputs={"completions": answers.key, "data": "d" * 64})
    containers = Containers(runtime="docker", images={"grade": IMAGE}, memory_cap="3g") if contained else None
    shape = Shape(kind=KINDS[kind], environment="grade", world=1)
    limits = processes.Limits.for_worker(shape, [made], Options(store=store.root, containers=containers), store)
    assert (limits.memory, limits.wall_s, limits.rows) == wanted


class Taken:
    """A replacement for the host's side of a container: commits each output, and keeps the keys."""

    def __init__(self, store: Store) -> None:
        self.store, self.keys = store, list[str]()

    def take(self, made: Job, event: dict[str, Any]) -> None:
        self.keys.append(made.key)
        with self.store.scratch(made.key) as out:
            self.store.commit(made, out, rows=event["rows"], facts={}, provenance={})


COMPUTED = {"event": "computed", "rows": 7, "facts": {}, "provenance": {}}
HEARD = {
    # event; whether a container says it -> taken over, settled, told to whoever listens
    "computed, by a container": (COMPUTED, True, (1, False, [])),
    "computed, by a worker here": (COMPUTED, False, (0, False, [])),
    "progress, by a container": (PROGRESS, True, (0, False, ["progress"])),
    "progress, by a worker here": (PROGRESS, False, (0, False, ["progress"])),
    "done without an artifact, by a container": (DONE, True, (0, False, [])),
    "failed, by a container": ({"event": "failed", "reason": "no"}, True, (0, True, ["failed"])),
    "blocked, by a container": ({"event": "blocked"}, True, (0, True, [])),
}


@pytest.mark.parametrize("event, contained, wanted", HEARD.values(), ids=list(HEARD))
def test_handling_of_an_event(
    event: dict[str, Any], contained: bool, wanted: tuple[int, bool, list[str]], store: Store
):
    made, reported = job("grade", "x"), list[str]()
    taken = Taken(store)
    whole = run.Run({made.key: made}, store, Options(store=store.root), lambda kind, *_: reported.append(kind))
    whole.pending[made.key] = made
    worker = run.Worker(whole, [made.key], taken if contained else None, processes.Limits())  # type: ignore[arg-type]
    worker.handle({**event, "key": made.key})
    assert (len(taken.keys), worker.ended_one, reported) == wanted
    assert store.has(made.key) == bool(wanted[0])


BLAMED = {
    # jobs that had begun, of these the ones that had ended -> the one that failed because the worker ended
    "before the first began": ([], [], "a"),
    "in the first": (["a"], [], "a"),
    "in the second": (["a", "b"], ["a"], "b"),
    "between two": (["a"], ["a"], None),
    "after the last": (["a", "b", "c"], ["a", "b", "c"], None),
}


@pytest.mark.parametrize("begun, ended, wanted", BLAMED.values(), ids=list(BLAMED))
def test_the_job_that_fails_when_its_worker_ends(begun: list[str], ended: list[str], wanted: str | None, store: Store):
    jobs = {name: job("fetch", name) for name in "abc"}
    keys = {name: made.key for name, made in jobs.items()}
    whole = run.Run({made.key: made for made in jobs.values()}, store, Options(store=store.root), lambda *_: None)
    whole.pending.update(whole.jobs)
    worker = run.Worker(whole, list(whole.jobs), None, processes.Limits())
    lines = [marked({"event": "start", "key": keys[name]}) for name in begun]
    list(worker.events(io.StringIO("".join(lines))))
    for name in ended:
        worker.handle({"event": "failed", "key": keys[name], "reason": "no"})
    assert worker.failed_key() == (keys[wanted] if wanted else None)
