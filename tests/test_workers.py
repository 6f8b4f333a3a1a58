"""The kinds of worker: a stage's file names one, and an untrusted kind is closed whatever its stage is called."""

import json
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import kit.stages
from kit import registry
from kit.catalogue.served import Served
from kit.containers import Containers, Image
from kit.errors import KitError, RequestError
from kit.judges.settings import ServerSettings
from kit.plan.adhoc import Workbench
from kit.run import batches, launch, processes
from kit.run import execute as run
from kit.run.launch import Options, Shape, command_in_container
from kit.run.worker import JobContext
from kit.store import Job, Store
from kit.workers import KINDS, kind_of, kind_of_stage

IMAGE = Image(name="kit-grade", digest="sha256:" + "1" * 64, revision="", lock="2" * 64)
UNTRUSTED = [kind.name for kind in KINDS.values() if kind.untrusted]
STAGE = """
from kit.stages import Summary

VERSION = 1
{worker}


def run(params, inputs, out, context):
    (out / "rows.jsonl").write_text("{{}}")
    return Summary(rows=1, facts={{}})
"""
NewStage = Callable[..., str]
SERVER = ServerSettings(name="mine", entry=Served(model="m", base_url="http://127.0.0.1:9/v1"))
SOURCE = {"resources": {"source": SERVER.to_source()}}
"""Fields of a job whose stage asks a server."""


def job(stage: str, **fields: Any) -> Job:
    values: dict[str, Any] = {"version": f"{stage}-1", "environment": "grade", "lock": "", "params": {}, "inputs": {}}
    return Job(**({"id": stage, "stage": stage} | values | fields))


@pytest.fixture
def new_stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NewStage:
    """Write a stage's file into a folder of its own, where the kit finds it beside its own stages."""
    folder = tmp_path / "stages"
    folder.mkdir()
    known, loaded = registry.names, set(sys.modules)
    monkeypatch.setattr(kit.stages, "__path__", [*kit.stages.__path__, str(folder)])
    monkeypatch.setattr(
        registry,
        "names",
        lambda kind: known(kind) + (sorted(path.stem for path in folder.glob("*.py")) if kind == "stages" else []),
    )

    def write(name: str, worker: str) -> str:
        monkeypatch.delitem(sys.modules, f"kit.stages.{name}", raising=False)
        (folder / f"{name}.py").write_text(STAGE.format(worker=worker), encoding="utf-8")
        return name

    yield write
    for name in set(sys.modules) - loaded:
        if name.startswith("kit.stages."):
            del sys.modules[name]


FAULTS = {
    "of no kind": ('WORKER = "sandbx"', "found 'sandbx', wanted a kind of worker: "),
    "of another case": ('WORKER = "Sandbox"', "found 'Sandbox', wanted a kind of worker: "),
    "no text": ("WORKER = 7", "found 7, wanted a kind of worker: "),
    # a stage that no list had ran model-written code as any other, without caps and in silence
    "none": ("", "found None, wanted a kind of worker: "),
}


@pytest.mark.parametrize("worker, message", FAULTS.values(), ids=list(FAULTS))
def test_a_stage_of_an_unknown_kind_is_refused_before_any_work(
    worker: str, message: str, new_stage: NewStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(processes, "command", lambda *_, **__: pytest.fail("a worker was started"))
    stage, store = new_stage("cross_check_faulty", worker), Store.open(tmp_path / "store")
    whole = f"stages/{stage}.py: WORKER: {message}{', '.join(KINDS)}"
    with pytest.raises(RequestError) as caught:
        Workbench("smoke").planner.job(stage, "x", {}, {})
    assert str(caught.value) == whole
    first, second = job("fetch", params={"kind": "file"}), job(stage)
    with pytest.raises(RequestError) as caught:
        run.execute({one.key: one for one in (first, second)}, store, Options(store=store.root), lambda *_: None)
    assert str(caught.value) == whole
    assert list(store.root.joinpath("jobs").iterdir()) == []


def test_every_stage_of_the_kit_has_a_kind():
    assert {name: kind_of_stage(name).name for name in registry.names("stages")} == {
        "answer": "text",
        "compare": "cpu",
        "convert": "convert",
        "evolve": "text",
        "fetch": "fetch",
        "grade": "sandbox",
        "judge": "text",
        "probe": "text",
        "respond": "text",
        "score": "text",
        "select": "cpu",
        "sft": "train",
    }


def test_a_stage_that_runs_model_written_code_is_of_an_untrusted_kind():
    # `context.sandbox()` is the way to it
    folder = Path(registry.PACKAGE) / "stages"
    found = {path.stem for path in folder.glob("*.py") if "context.sandbox(" in path.read_text(encoding="utf-8")}
    found = {"evolve" if name == "_evolving" else name for name in found}  # the tools of its steps
    assert {"grade", "evolve"} <= found
    # evolve has a kind for each step; in a worker of any other kind it is refused the sandbox, as the next test shows
    several = {name for name in found if hasattr(registry.load("stages", name), "worker")}
    assert several <= {"evolve"}
    assert all(kind_of_stage(name).untrusted for name in found - several)


@pytest.mark.parametrize("name", list(KINDS))
def test_a_sandbox_is_opened_in_untrusted_workers_alone(
    name: str, new_stage: NewStage, monkeypatch: pytest.MonkeyPatch
):
    opened = object()
    monkeypatch.setattr("kit.sandbox.open_sandbox", lambda *, unsafe: opened)
    context = JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *_, **__: None)
    for kind in (name, "text"):  # the job that runs counts, and no earlier one of the process
        context.begin(job(new_stage(f"asks_{kind}", f'WORKER = "{kind}"')))
        if KINDS[kind].untrusted:
            assert context.sandbox() is opened
        else:
            with pytest.raises(KitError, match=r"^the sandbox is for jobs whose kind of worker is untrusted; this"):
                context.sandbox()


def test_an_untrusted_kind_has_no_network_and_no_gpu():
    assert UNTRUSTED == ["sandbox"]
    for name in UNTRUSTED:
        kind = KINDS[name]
        assert (kind.network, kind.fetches, kind.accelerated) == (False, False, False)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stop where the process of a worker in a container would start; return its command and environment."""
    seen: dict[str, Any] = {}

    @contextmanager
    def exchange(store: Store, keys: list[str], **given: Any) -> Any:
        seen.update(given)
        folder = store.root / "exchange"
        yield SimpleNamespace(
            name="c", folder=folder, out=folder / "o", refusals=folder / "r", workdir=folder / "w", store=store
        )

    def start(shape: Shape, keys: list[str], options: Options, folders: Any) -> Any:
        assert options.containers is not None
        seen["words"] = command_in_container(shape, keys, options, options.containers, folders, cpu=True)
        raise KitError("stopped")

    monkeypatch.setattr(processes, "exchange", exchange)
    monkeypatch.setattr(run, "start_process", start)
    monkeypatch.setattr(run, "end_leftover_containers", lambda *_: [])
    return seen


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"])
@pytest.mark.parametrize("name", list(KINDS))
def test_access_of_each_kind_of_worker(
    name: str, runtime: str, new_stage: NewStage, started: dict[str, Any], tmp_path: Path
):
    kind, stage = KINDS[name], new_stage(f"cross_check_{name}", f'WORKER = "{name}"')
    store = Store.open(tmp_path / "store")
    containers = Containers(runtime=runtime, images={"grade": IMAGE}, memory_cap="3g")
    made = job(stage, **SOURCE if kind.asks else {})
    with pytest.raises(KitError, match="stopped"):
        run.execute({made.key: made}, store, Options(store=store.root, containers=containers), lambda *_: None)
    words = started["words"]
    assert started["copies"] is kind.untrusted
    capped = [word.lower() for word in words if word.startswith(("--memory=", "--pids-limit="))]
    assert len(capped) == (2 if kind.untrusted else 0)
    assert ("--memory=3g" in capped) == kind.untrusted
    assert ("--network=none" in words) == (not kind.network)
    limits = processes.Limits.for_worker(
        Shape.of(made), [made], Options(store=store.root, containers=containers), store
    )
    assert (limits.wall_s > 0) == kind.untrusted


def test_a_jobs_kind_is_in_the_plan_and_not_in_its_key():
    bench = Workbench("smoke")
    key = bench.problems("gsm8k", None)
    made = bench.plan.jobs[key]
    assert made.worker == "fetch"
    assert job("grade", worker="sandbox").key == job("grade").key
    assert job("grade", worker="sandbox").to_json()["worker"] == "sandbox"


def test_a_job_file_of_an_earlier_kit_is_read():
    written = job("grade", worker="sandbox").to_json()
    del written["worker"]
    read = Job.from_json(json.loads(json.dumps(written)))
    assert (read.worker, kind_of(read).name) == ("", "sandbox")


def test_a_record_of_another_kind_than_its_stages_is_refused():
    with pytest.raises(RequestError) as caught:
        kind_of(job("grade", worker="text"))
    assert str(caught.value).endswith(
        "worker: found 'text', wanted 'sandbox' as stages/grade.py has it; plan it again: kit plan TABLE --write"
    )
    with pytest.raises(KitError, match=r"^worker: found a whole number, wanted a text$"):
        Job.from_json(job("grade").to_json() | {"worker": 1})


def test_workers_start_in_the_order_of_their_kinds(new_stage: NewStage, tmp_path: Path):
    store = Store.open(tmp_path / "store")
    jobs = {}
    for name in reversed(KINDS):
        made = job(new_stage(f"in_order_{name}", f'WORKER = "{name}"'), **SOURCE if KINDS[name].asks else {})
        jobs[made.key] = made
    order, pending = [], dict(jobs)
    while batch := batches.next_batch(pending, jobs, store):
        order.append(batch[0].kind.name)
        for key in batch[1]:
            del pending[key]
    assert order == list(KINDS)


def test_only_kinds_with_a_network_may_ask_the_hub():
    for name, kind in KINDS.items():
        given = launch.settings(Shape(kind=kind, environment="grade", world=1), cpu=True)
        assert ("HF_HUB_OFFLINE" not in given) == (name == "fetch")
