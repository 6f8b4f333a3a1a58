"""Running a plan with a worker in this process: what is skipped, what is said, what goes into a log."""

import io
from pathlib import Path
from typing import Any

import pytest

from kit import events, registry, run
from kit.errors import KitError
from kit.stages import Summary
from kit.store import Job, Store
from kit.worker import JobContext, run_job


def job(stage: str, name: str, inputs: dict[str, str] | None = None, **params: Any) -> Job:
    return Job(
        id=f"{stage}/{name}",
        stage=stage,
        version="1",
        environment="grade",
        lock="",
        params={"name": name, **params},
        inputs=inputs or {},
    )


class Said:
    """What a worker emits."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def __call__(self, kind: str, **fields: Any) -> None:
        self.lines.append((kind, fields))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.lines]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def context(said: Said) -> JobContext:
    return JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=said)


class Stage:
    """In place of a stage's module: writes one file, or raises."""

    VERSION = 1

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.runs = error, 0

    def run(self, params: Any, inputs: dict[str, Path], out: Path, context: JobContext) -> Summary:
        self.runs += 1
        (out / "a.txt").write_text("a")
        context.progress(1, 2, 3)
        if self.error:
            raise self.error
        return Summary(rows=1, facts={"tokens": 3, "params": dict(params), "inputs": sorted(inputs)})


def use(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Stage:
    monkeypatch.setattr(registry, "load", lambda *_: stage)
    return stage


def test_a_job_is_run_once_and_committed(
    store: Store, said: Said, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    stage = use(Stage(), monkeypatch)
    store.plan(made := job("fetch", "x", world=1))
    assert run_job(store, made.key, context)
    assert run_job(store, made.key, context)
    assert (stage.runs, said.kinds()) == (1, ["start", "progress", "done", "done"])
    assert said.lines[-1][1]["shared"]
    found = store.get(made.key)
    assert found.facts == {"tokens": 3, "params": {"name": "x"}, "inputs": []}  # world is the launcher's
    assert (found.provenance["environment"], store.check(made.key)) == ("grade", [])


ERRORS = {
    "a fault that was foreseen": (KitError("the disk is gone; mount it"), "the disk is gone; mount it"),
    "one that was not": (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("error, reason", ERRORS.values(), ids=list(ERRORS))
def test_a_failure_leaves_its_reason_and_nothing_else(
    error: Exception, reason: str, store: Store, said: Said, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    use(Stage(error), monkeypatch)
    store.plan(made := job("fetch", "x"))
    assert not run_job(store, made.key, context)
    assert said.lines[-1] == ("failed", {"key": made.key, "reason": reason})
    assert (store.has(made.key), store.failure(made.key)) == (False, reason)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_job_without_its_inputs_is_blocked_not_failed(
    store: Store, said: Said, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    # was reported and recorded as a failure of its own
    stage = use(Stage(), monkeypatch)
    store.plan(made := job("grade", "x", {"data": "d" * 64}))
    assert not run_job(store, made.key, context)
    assert (said.lines, stage.runs, store.failure(made.key)) == ([("blocked", {"key": made.key})], 0, None)


LINES = {
    "event": ('\x1ekit {"event": "done", "key": "k"}\n', {"event": "done", "key": "k"}),
    "event behind an unfinished line": ('50%\x1ekit {"event": "done", "key": "k"}\n', {"event": "done", "key": "k"}),
    "log": ("done k\n", None),
    "JSON without the mark": ('{"event": "done", "key": "k"}\n', None),
    "half an event": ('\x1ekit {"event": "do', None),
    "unknown kind": ('\x1ekit {"event": "reboot", "key": "k"}\n', None),
    # ended the run in a KeyError
    "no key": ('\x1ekit {"event": "done"}\n', None),
    "no object": ("\x1ekit [1]\n", None),
}


@pytest.mark.parametrize("line, event", LINES.values(), ids=list(LINES))
def test_events_are_told_from_log_lines(line: str, event: dict[str, Any] | None):
    assert events.parse(line) == event


def test_what_is_sent_is_parsed_back():
    stream = io.StringIO()
    events.sender(stream)("failed", key="k", reason="two\nlines \x1b[0m \ud800")
    assert stream.getvalue().count("\n") == 1
    assert events.parse(stream.getvalue()) == {"event": "failed", "key": "k", "reason": "two\nlines \x1b[0m \ud800"}


def test_a_plan_with_everything_cached_starts_no_worker(store: Store, monkeypatch: pytest.MonkeyPatch):
    from kit.launch import Options

    monkeypatch.setattr(run, "command", lambda *_, **__: pytest.fail("a worker was started"))
    made = job("fetch", "x")
    with store.scratch(made.key) as out:
        store.commit(made, out, rows=5, facts={}, provenance={})
    heard: list[tuple[str, str, Any]] = []
    outcome = run.execute(
        {made.key: made}, store, Options(store=store.root), lambda e, j, f: heard.append((e, j.id, f["rows"]))
    )
    assert (outcome.cached, outcome.done, outcome.failed) == ([made.key], [], {})
    assert heard == [("cached", "fetch/x", 5)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 2, 0), (2, 3, 0, 1)])
def test_jobs_of_one_model_stand_together(order: tuple[int, ...]):
    made = [job("evolve", str(n), {"model": "ab"[n % 2]}) for n in range(4)]
    jobs = {made[n].key: made[n] for n in order}
    models = [jobs[key].inputs["model"] for key in run.by_model(list(jobs), jobs)]
    assert models in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_a_model_that_waits_for_another_comes_after_it():
    first = job("evolve", "1", {"model": "a"})
    second = job("respond", "2", {"model": "b", "instructions": first.key})
    third = job("respond", "3", {"model": "b"})
    jobs = {made.key: made for made in (third, second, first)}
    assert [jobs[key].id for key in run.by_model(list(jobs), jobs)] == ["evolve/1", "respond/3", "respond/2"]
