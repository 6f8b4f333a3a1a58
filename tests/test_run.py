"""Runs of a plan with a worker in this process: skipped jobs, events and logs."""

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from kit import registry
from kit.engines import EngineSettings
from kit.errors import KitError
from kit.run import batches, events, processes
from kit.run import execute as run
from kit.run.launch import Options
from kit.run.worker import JobContext, run_job
from kit.stages import Summary
from kit.store import Job, Store


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


class SentEvents:
    """A list of the events that a worker sends."""

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
def sent() -> SentEvents:
    return SentEvents()


@pytest.fixture
def context(sent: SentEvents) -> JobContext:
    return JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=sent)


class Stage:
    """A replacement for a stage's module that writes one file or raises an error."""

    VERSION = 1

    def __init__(self, error: Exception | None = None, worker: str = "cpu") -> None:
        self.error, self.runs, self.WORKER = error, 0, worker

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
    store: Store, sent: SentEvents, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    stage = use(Stage(), monkeypatch)
    store.plan(made := job("fetch", "x", world=1))
    assert run_job(store, made.key, context)
    assert run_job(store, made.key, context)
    assert (stage.runs, sent.kinds()) == (1, ["start", "progress", "done", "done"])
    assert sent.lines[-1][1]["shared"]
    found = store.get(made.key)
    assert found.facts == {"tokens": 3, "params": {"name": "x"}, "inputs": []}  # world is the launcher's
    assert (found.provenance["environment"], store.check(made.key)) == ("grade", [])


ERRORS = {
    "a fault that was foreseen": (KitError("the disk is gone; mount it"), "the disk is gone; mount it"),
    "one that was not": (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
}


@pytest.mark.parametrize("error, reason", ERRORS.values(), ids=list(ERRORS))
def test_a_failure_leaves_its_reason_and_nothing_else(
    error: Exception, reason: str, store: Store, sent: SentEvents, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    use(Stage(error), monkeypatch)
    store.plan(made := job("fetch", "x"))
    assert not run_job(store, made.key, context)
    assert sent.lines[-1] == ("failed", {"key": made.key, "reason": reason})
    assert (store.has(made.key), store.failure(made.key)) == (False, reason)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_job_without_its_inputs_is_blocked_not_failed(
    store: Store, sent: SentEvents, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    # was reported and recorded as a failure of its own
    stage = use(Stage(), monkeypatch)
    store.plan(made := job("grade", "x", {"data": "d" * 64}))
    assert not run_job(store, made.key, context)
    assert (sent.lines, stage.runs, store.failure(made.key)) == ([("blocked", {"key": made.key})], 0, None)


def test_a_start_and_the_first_count_after_it_are_reported(context: JobContext, sent: SentEvents):
    # 0/1 was all that was seen while an engine started
    context.key = "k"
    settings = EngineSettings(name="fake")
    context.engine(Path("a"), settings)
    context.progress(0, 9)
    context.progress(1, 9)  # less than a fifth of a second later
    context.engine(Path("a"), settings)  # it is open
    context.engine(Path("b"), settings)
    context.progress(0, 4)
    starts, at_work = [
        ("progress", {"key": "k", "done": 0, "total": 0, "tokens": 0, "phase": text})
        for text in ("starting the engine fake", "at work")
    ]
    counts = [("progress", {"key": "k", "done": 0, "total": total, "tokens": 0}) for total in (9, 4)]
    assert sent.lines == [starts, at_work, counts[0], starts, at_work, counts[1]]
    assert all(events.parse(marked({"event": kind, **fields})) for kind, fields in sent.lines)


def test_ranks_other_than_0_report_nothing(sent: SentEvents):
    silent = JobContext(rank=1, world=2, mirror=None, unsafe_exec=False, emit=sent)
    silent.engine(Path("a"), EngineSettings(name="fake"))
    silent.progress(1, 1)
    assert sent.lines == []


def test_the_start_of_a_trainer_is_reported(
    store: Store, sent: SentEvents, context: JobContext, monkeypatch: pytest.MonkeyPatch
):
    for worker in ("train", "convert"):
        use(Stage(worker=worker), monkeypatch)
        store.plan(made := job("a stage", worker))
        assert run_job(store, made.key, context)
    phases = [fields.get("phase") for kind, fields in sent.lines if kind == "progress"]
    assert phases == ["starting the trainer", None, None]


def test_the_start_of_a_worker_is_reported_before_its_first_event(store: Store, monkeypatch: pytest.MonkeyPatch):
    reports: list[tuple[str, str, Any]] = []
    first, second = job("fetch", "x"), job("grade", "y")
    text = marked({"event": "start", "key": first.key})
    run_printed(text, [first, second], store, monkeypatch, lambda e, j, f: reports.append((e, j.id, f.get("phase"))))
    assert reports == [
        ("progress", "fetch/x", "starting a worker"),
        ("start", "fetch/x", None),
        ("failed", "fetch/x", None),
        ("progress", "grade/y", "starting a worker"),
        ("failed", "grade/y", None),
    ]


DONE = {"event": "done", "key": "k", "rows": 1, "seconds": 0.5}
PROGRESS = {"event": "progress", "key": "k", "done": 1, "total": 2, "tokens": 3}


def marked(value: Any) -> str:
    return f"\x1ekit {json.dumps(value)}\n"


LINES = {
    "event": (marked(DONE), DONE),
    "event behind an unfinished line": ("50%" + marked(DONE), DONE),
    "event with more": (marked(DONE | {"tokens": 1, "shared": True}), DONE | {"tokens": 1, "shared": True}),
    "progress": (marked(PROGRESS), PROGRESS),
    "progress with a phase": (marked(PROGRESS | {"phase": "x" * 100}), PROGRESS | {"phase": "x" * 100}),
    "a phase that is no text": (marked(PROGRESS | {"phase": 1}), None),
    "a phase of two lines": (marked(PROGRESS | {"phase": "a\nb"}), None),
    "a phase that rings": (marked(PROGRESS | {"phase": "\x07"}), None),
    "a phase without an end": (marked(PROGRESS | {"phase": "x" * 101}), None),
    "log": ("done k\n", None),
    "JSON without the mark": ('{"event": "done", "key": "k"}\n', None),
    "half an event": ('\x1ekit {"event": "do', None),
    "unknown kind": ('\x1ekit {"event": "reboot", "key": "k"}\n', None),
    # each ended the run: in a KeyError
    "no key": ('\x1ekit {"event": "done"}\n', None),
    "no object": ("\x1ekit [1]\n", None),
    "no reason": (marked({"event": "failed", "key": "k"}), None),
    "no rows": (marked({"event": "done", "key": "k"}), None),
    "a kind that is a list": (marked({"event": [], "key": "k"}), None),
    # in a RecursionError
    "brackets": ("\x1ekit " + "[" * 200_000 + "\n", None),
    "deep facts": (
        marked(
            {
                "event": "computed",
                "key": "k",
                "rows": 1,
                "facts": {"a": json.loads("[" * 99 + "]" * 99)},
                "provenance": {},
            }
        ),
        None,
    ),
    # in a ValueError
    "endless number": ('\x1ekit {"event": "done", "key": "k", "rows": ' + "9" * 5000 + ', "seconds": 1}\n', None),
    "rows that are no number": (marked(DONE | {"rows": "many"}), None),
    "rows that are true": (marked(DONE | {"rows": True}), None),
    "rows below none": (marked(DONE | {"rows": -1}), None),
    "no time at all": ('\x1ekit {"event": "done", "key": "k", "rows": 1, "seconds": NaN}\n', None),
    "endless time": ('\x1ekit {"event": "done", "key": "k", "rows": 1, "seconds": Infinity}\n', None),
    "a share that is a text": (marked(DONE | {"tokens": "x"}), None),
}


@pytest.mark.parametrize("line, event", LINES.values(), ids=list(LINES))
def test_events_are_distinguished_from_log_lines(line: str, event: dict[str, Any] | None):
    assert events.parse(line) == event


def test_a_sent_event_is_parsed_back():
    stream = io.StringIO()
    events.sender(stream)("failed", key="k", reason="two\nlines \x1b[0m \ud800")
    assert stream.getvalue().count("\n") == 1
    assert events.parse(stream.getvalue()) == {"event": "failed", "key": "k", "reason": "two\nlines \x1b[0m \ud800"}


def test_a_plan_with_everything_cached_starts_no_worker(store: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    made = job("fetch", "x")
    with store.scratch(made.key) as out:
        store.commit(made, out, rows=5, facts={}, provenance={})
    reports: list[tuple[str, str, Any]] = []
    outcome = run.execute(
        {made.key: made}, store, Options(store=store.root), lambda e, j, f: reports.append((e, j.id, f["rows"]))
    )
    assert (outcome.cached, outcome.done, outcome.failed) == ([made.key], [], {})
    assert reports == [("cached", "fetch/x", 5)]


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 2, 0), (2, 3, 0, 1)])
def test_jobs_of_one_model_stand_together(order: tuple[int, ...]):
    made = [job("evolve", str(n), {"model": "ab"[n % 2]}) for n in range(4)]
    jobs = {made[n].key: made[n] for n in order}
    models = [jobs[key].inputs["model"] for key in batches.order_by_model(list(jobs), jobs)]
    assert models in (["a", "a", "b", "b"], ["b", "b", "a", "a"])


def test_jobs_of_one_model_with_the_same_settings_stand_together():
    # adapters of rank 4 and 16 of one base took turns, and each turn was an engine start
    made = [job("answer", str(n), {"model": "ab"[n % 2]}, engine={"lora_rank": (8, 16)[n // 2 % 2]}) for n in range(8)]
    jobs = {one.key: one for one in made}
    order = batches.order_by_model(list(jobs), jobs)
    engines = [(jobs[key].inputs["model"], jobs[key].params["engine"]["lora_rank"]) for key in order]
    starts = [one for number, one in enumerate(engines) if number == 0 or engines[number - 1] != one]
    assert len(starts) == len(set(engines)) == 4


def test_a_model_that_waits_for_another_comes_after_it():
    first = job("evolve", "1", {"model": "a"})
    second = job("respond", "2", {"model": "b", "instructions": first.key})
    third = job("respond", "3", {"model": "b"})
    jobs = {made.key: made for made in (third, second, first)}
    assert [jobs[key].id for key in batches.order_by_model(list(jobs), jobs)] == ["evolve/1", "respond/3", "respond/2"]


def run_printed(
    text: str,
    jobs: list[Job],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    listen: run.Listener = lambda *_: None,
) -> run.Outcome:
    """Run jobs with workers that print this text and end."""
    (store.root / "text").write_text(text, errors="surrogateescape")
    script = "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read())"
    monkeypatch.setattr(processes, "command", lambda *_, **__: [sys.executable, "-c", script, str(store.root / "text")])
    monkeypatch.setattr(run, "check_installed", lambda *_: None)
    return run.execute({made.key: made for made in jobs}, store, Options(store=store.root), listen)


def test_done_counts_only_if_the_store_has_the_artifact(store: Store, monkeypatch: pytest.MonkeyPatch):
    # the run ended well without an artifact
    made = job("grade", "x")
    outcome = run_printed(marked(DONE | {"key": made.key}), [made], store, monkeypatch)
    assert outcome.done == []
    assert outcome.failed[made.key].startswith("the worker ended with exit code 0: it printed nothing")


def test_events_on_other_workers_jobs_are_ignored(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    # its log went to whatever file a key named; and it failed, or finished, jobs that others were to do
    first, second = job("fetch", "x"), job("grade", "y")
    outside = tmp_path / "outside"
    text = marked({"event": "start", "key": str(outside)}) + "a line\n"
    text += marked({"event": "failed", "key": second.key, "reason": "sabotage"})
    text += marked({"event": "start", "key": "a\0b"})
    outcome = run_printed(text, [first, second], store, monkeypatch)
    assert not outside.with_suffix(".log").exists()
    assert "a line" in store.log_path(first.key).read_text()
    assert list(outcome.failed) == [first.key, second.key]  # the second by its own worker
    assert outcome.failed[first.key].startswith("the worker ended with exit code 0: ")


def test_a_reason_that_can_not_be_encoded_does_not_end_the_run(store: Store, monkeypatch: pytest.MonkeyPatch):
    made = job("grade", "x")
    text = marked({"event": "failed", "key": made.key, "reason": "half a \ud800" + "x" * 9000})
    outcome = run_printed(text, [made], store, monkeypatch)
    assert outcome.failed[made.key].startswith("half a \\ud800xxx")
    assert len(outcome.failed[made.key]) < 4100
