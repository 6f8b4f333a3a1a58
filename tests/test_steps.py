"""Scenarios of several steps: planned, run with the fake engine, and what their drops do to later stages."""

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import kit.scenarios
from kit import registry
from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.experiments import ExperimentsFile
from kit.catalogue.manifest import ColumnGroup, View
from kit.errors import KitError, RequestError
from kit.plan import Plan, costs
from kit.plan.planner import make_plan
from kit.plan.planning import locks
from kit.reading.documents import parse
from kit.records import Instruction, write_rows
from kit.run.jobfiles import check_versions
from kit.run.worker import JobContext, run_job
from kit.scenarios import Made, Step
from kit.stages import evolve
from kit.store import Job, Store
from kit.workers import KINDS, kind_of

SCENARIO = '''
"""Each row is rewritten, and goes to the evolver that wrote most of it: the other loses it."""

from dataclasses import replace

from kit.engines import Request, request_seed
from kit.prompts import fill
from kit.scenarios import Made, Step

VERSION = 7


def rewrite(work, tools):
    requests = [
        Request(
            id=row.id,
            turns=fill(tools.pack.chat("evol_instruct.deepen"), {"instruction": row.instruction}),
            seed=request_seed(work.params["seed"], row.id),
        )
        for row in work.rows
    ]
    return Made(rows=[replace(row, instruction=one.text) for row, one in zip(work.rows, tools.generate(requests))])


def share(work, tools):
    texts = [{row.id: row.instruction for row in side} for side in work.sides]
    rows, lost = [], {}
    for row in work.rows:
        lengths = [len(side.get(row.id, "")) for side in texts]
        if lengths.index(max(lengths)) == work.side:
            rows.append(row)
        else:
            lost["another is longer"] = lost.get("another is longer", 0) + 1
    return Made(rows=rows, dropped=lost)


STEPS = {
    "rewrite": Step(run=rewrite, version=2, prompts=("evol_instruct.deepen",)),
    "share": Step(run=share, version=3, worker="cpu", sides="all", expects=lambda counts: min(counts) // len(counts)),
}
'''
EXPERIMENT = """schema = 1
[[experiment]]
id = "steps"
scenario = "longest"
seeds = "alpaca"
evolver = ["qwen-2-7b-instruct", "qwen-2-72b-instruct"]
responder = "qwen-2.5-72b-instruct"
base = "llama-3.2-3b"
round = [1, 2]
seed = 42
evolve = { temperature = 0.7, max_tokens = 16 }
respond = { temperature = 0.0, max_tokens = 8 }
sft = { learning_rate = 1e-5, epochs = 1, global_batch_size = 4, warmup_ratio = 0.0, max_length_tokens = 64 }
"""
BOTH = ["qwen-2-7b-instruct", "qwen-2-72b-instruct"]
ROWS = 8
"""Rows of the seed set at this scale."""


@pytest.fixture(autouse=True)
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Write the scenario's file into a folder of its own, where the kit finds it beside its own scenarios."""
    folder, known = tmp_path / "scenarios", registry.names
    folder.mkdir()
    (folder / "longest.py").write_text(SCENARIO, encoding="utf-8")
    monkeypatch.setattr(kit.scenarios, "__path__", [*kit.scenarios.__path__, str(folder)])
    monkeypatch.setattr(registry, "names", lambda kind: known(kind) + ["longest"] * (kind == "scenarios"))
    yield registry.load("scenarios", "longest")
    del sys.modules["kit.scenarios.longest"]


def planned(evolvers: list[str] = BOTH, rounds: list[int] | None = None) -> Plan:
    catalogue = Catalogue(manifests_folder())
    scale = catalogue.scale("smoke")
    scale = scale.model_copy(update={"engine": scale.engine.model_copy(update={"name": "fake"})})
    (experiment,) = parse(ExperimentsFile, EXPERIMENT, "x.toml").experiment
    catalogue.__dict__["experiments"] = {"steps": experiment}
    rows: dict[str, Any] = {"evolver": evolvers, "round": rounds or [1]}
    view = View(experiment="steps", rows=rows, columns=[ColumnGroup(measures=["gsm8k"])])
    return make_plan(catalogue, {"t": view}, scale, "smoke", locks())


def steps(plan: Plan, name: str, round: int = 1) -> list[Job]:
    return [job for job in plan.jobs.values() if (job.params.get("step"), job.params.get("round")) == (name, round)]


def test_each_step_is_a_job_of_its_own_kind():
    plan = planned()
    written, shared = steps(plan, "rewrite"), steps(plan, "share")
    assert sorted(job.id for job in (*written, *shared)) == [
        f"evolve/alpaca/{model}/round-1/{step}"
        for model in ("smollm2-135m-instruct", "smollm2-36l")
        for step in ("rewrite", "share")
    ]
    assert [(job.worker, job.environment, kind_of(job).name) for job in shared] == [("cpu", "grade", "cpu")] * 2
    assert {job.worker for job in written} == {"text"}
    assert {job.version for job in written} == {"evolve-1.fake-1.longest-7.longest/rewrite-2"}
    assert {job.version for job in shared} == {"evolve-1.longest-7.longest/share-3"}
    for job in plan.jobs.values():
        assert job.lock == "" or job.lock == locks()[job.environment]
        check_versions(job)
    # each side's job reads both sides in the experiment's order, and nothing that its work does not depend on
    keys = [job.key for job in written]
    assert [job.inputs for job in shared] == [{"side-0": keys[0], "side-1": keys[1]}] * 2
    assert [sorted(job.params) for job in shared] == [["round", "scenario", "seed", "side", "step"]] * 2
    assert [job.params["side"] for job in shared] == [0, 1]
    responding = [job for job in plan.jobs.values() if job.stage == "respond"]
    assert [job.inputs["instructions"] for job in responding] == [job.key for job in shared]


def test_a_part_of_a_table_does_not_change_what_a_step_reads():
    whole, part = planned(), planned(BOTH[1:])
    assert len(steps(part, "share")) == 1
    assert len(steps(part, "rewrite")) == 2
    assert part.jobs.keys() < whole.jobs.keys()


def test_a_round_reads_the_last_step_of_the_round_before():
    plan = planned(rounds=[2])
    assert [job.inputs["instructions"] for job in steps(plan, "rewrite", 2)] == [
        job.key for job in steps(plan, "share", 1)
    ]
    assert [job.resources["rows"] for job in steps(plan, "share", 2)] == [2, 2]


def test_a_new_version_of_a_step_leaves_those_before_it_alone(scenario: Any, monkeypatch: pytest.MonkeyPatch):
    before = planned()
    monkeypatch.setitem(scenario.STEPS, "share", replace(scenario.STEPS["share"], version=4))
    after = planned()
    kept = {
        job.id.rpartition("/")[2] for key, job in before.jobs.items() if key in after.jobs and job.stage == "evolve"
    }
    assert kept == {"rewrite"}
    with pytest.raises(RequestError, match="planned for longest/share-3, which this kit does not run"):
        check_versions(steps(before, "share")[0])


def test_later_stages_are_planned_with_the_rows_that_are_expected():
    plan = planned()
    assert [job.resources["rows"] for job in steps(plan, "rewrite")] == [ROWS] * 2
    left = ROWS // 2
    assert [job.resources["rows"] for job in plan.jobs.values() if job.stage == "respond"] == [left] * 2
    catalogue = Catalogue(manifests_folder())
    scale = catalogue.scale("smoke")
    for job in plan.jobs.values():
        if job.stage == "sft":
            assert job.resources["wall_s"] == costs.tuning(catalogue, scale, "smollm2-29l", left, job.params)["wall_s"]


def test_steps_run_and_count_what_they_leave_out(tmp_path: Path):
    plan, store = planned(), Store.open(tmp_path / "store")
    said: list[dict[str, Any]] = []
    context = JobContext(
        rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda kind, **fields: said.append(fields)
    )
    for job in plan.jobs.values():
        store.plan(job)
        if job.stage == "convert" or job.params.get("kind") == "package":  # the fake engine reads no weights
            with store.scratch(job.key) as out:
                (out / "weights").write_text("none\n", encoding="utf-8")
                store.commit(job, out, rows=1, facts={}, provenance={})
        elif job.stage in ("fetch", "evolve", "respond"):
            assert run_job(store, job.key, context), said[-1]
    context.close()

    def rows(job: Job, file: str = "instructions.jsonl") -> dict[str, str]:
        lines = (store.get(job.key).folder / file).read_text(encoding="utf-8").splitlines()
        return {row["id"]: row["instruction"] for row in map(json.loads, lines)}

    written = [rows(job) for job in steps(plan, "rewrite")]
    assert [len(texts) for texts in written] == [ROWS] * 2
    longer = {id for id in written[0] if len(written[1][id]) > len(written[0][id])}
    assert 0 < len(longer) < ROWS  # so that each side loses some
    wanted = [{id: text for id, text in written[0].items() if id not in longer}, {id: written[1][id] for id in longer}]
    shared = steps(plan, "share")
    assert [rows(job) for job in shared] == wanted
    for job, kept in zip(shared, wanted, strict=True):
        artifact = store.get(job.key)
        assert (artifact.rows, artifact.facts["rows_read"]) == (len(kept), ROWS)
        assert artifact.facts["dropped"] == {"another is longer": ROWS - len(kept)}
        assert not {"tokens", "engine", "cut_at_limit"} & set(artifact.facts)
    responses = [job for job in plan.jobs.values() if job.stage == "respond"]
    assert [rows(job, "pairs.jsonl") for job in responses] == wanted


def test_a_step_reads_the_seed_sets_that_it_names(tmp_path: Path, scenario: Any, monkeypatch: pytest.MonkeyPatch):
    seen: list[Any] = []

    def look(work: Any, tools: Any) -> Made:
        seen.append(work)
        return Made(rows=work.rows)

    step = Step(run=look, worker="cpu", sides="all", data=("gsm8k-train",))
    monkeypatch.setitem(scenario.STEPS, "share", step)
    plan = planned()
    job = steps(plan, "share")[1]
    (data,) = [plan.jobs[key] for role, key in job.inputs.items() if role == "data-gsm8k-train"]
    assert (data.id, data.params["name"]) == ("fetch/mini-gsm8k-train", "mini-gsm8k-train.jsonl")
    folders = {role: tmp_path / role for role in job.inputs}
    for place, folder in enumerate(folders.values()):
        folder.mkdir()
        write_rows(folder / "instructions.jsonl", [Instruction(id="s/0", instruction=f"by {place}")])
    data_folder = folders["data-gsm8k-train"]
    (data_folder / "instructions.jsonl").unlink()
    shutil.copy(registry.PACKAGE / "bundled" / data.params["name"], data_folder)
    (out := tmp_path / "out").mkdir()
    context: Any = SimpleNamespace(rank=0)
    assert evolve.run(job.params, folders, out, context).rows == 1
    (work,) = seen
    assert [[row.instruction for row in side] for side in work.sides] == [["by 0"], ["by 1"]]
    assert (work.side, work.rows[0].instruction, len(work.data["gsm8k-train"])) == (1, "by 1", ROWS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked(Instruction):
    """An instruction with a field of the scenario's own."""

    checks: list[str]


def test_rows_of_a_scenarios_own_type_go_from_step_to_step(
    tmp_path: Path, scenario: Any, monkeypatch: pytest.MonkeyPatch
):
    rows = [Checked(id="s/0", instruction="a", checks=["b"], history=(("c", "d"),))]
    read: list[Any] = []

    def finish(work: Any, tools: Any) -> Made:
        read.extend(work.rows)
        return Made(rows=[Instruction(id=row.id, instruction=row.checks[0]) for row in work.rows])

    monkeypatch.setitem(scenario.STEPS, "rewrite", Step(run=lambda *_: Made(rows=rows), worker="cpu", makes=Checked))
    monkeypatch.setitem(scenario.STEPS, "share", Step(run=finish, worker="cpu"))
    context: Any = SimpleNamespace(rank=0)
    folders = [tmp_path / name for name in ("seeds", "rewrite", "share")]
    for folder in folders:
        folder.mkdir()
    write_rows(folders[0] / "instructions.jsonl", [Instruction(id="s/0", instruction="a")])
    for before, after in pairwise(folders):
        params = {"scenario": "longest", "step": after.name}
        assert evolve.run(params, {"instructions": before}, after, context).rows == 1
    assert read == rows


def test_no_step_has_more_than_its_kind_of_worker(tmp_path: Path):
    def ask(tools: Any) -> Any:
        return tools.generate([])

    for use, message in (
        (ask, "step s: a worker of the kind 'cpu' has no model; wanted one that has"),
        (lambda tools: tools.pack, "step s: a worker of the kind 'cpu' has no prompt; wanted one that has"),
    ):
        context: Any = object()
        with pytest.raises(KitError) as caught:
            use(evolve.StepTools("s", Step(run=lambda *_: Made(rows=[]), worker="cpu"), {}, {}, context))
        assert str(caught.value) == message


FAULTS: dict[str, tuple[dict[Any, Any], str]] = {
    "none": ({}, "no step; wanted one at least"),
    "a name": ({"a-b": {}}, "'a-b' is no name of a step; wanted letters, digits and underscores"),
    "a number": ({1: {}}, "1 is no name of a step; wanted letters, digits and underscores"),
    "a kind that fetches": (
        {"a": {"worker": "fetch"}, "b": {}},
        "a: worker: found 'fetch', which computes nothing; wanted another kind",
    ),
    "a seed set": (
        {"a": {"worker": "cpu", "data": ("nobody",)}, "b": {}},
        "a: data: smoke.toml: seeds: no seed set named 'nobody'; known: "
        "alpaca, alpaca-picks, code-alpaca, constraints, gsm8k-train, queries",
    ),
    "a version": ({"a": {"version": 2}}, "a version of the only step; raise the scenario's VERSION"),
    "rows of its own": (
        {"a": {}, "b": {"makes": type("Checked", (Instruction,), {})}},
        "b is the last step and makes Checked; wanted Instruction",
    ),
}


@pytest.mark.parametrize("fields, message", FAULTS.values(), ids=list(FAULTS))
def test_steps_that_are_none(fields: dict[Any, Any], message: str, scenario: Any, monkeypatch: pytest.MonkeyPatch):
    found = {name: Step(run=lambda *_: Made(rows=[]), **more) for name, more in fields.items()}
    monkeypatch.setattr(scenario, "STEPS", found)
    with pytest.raises(RequestError) as caught:
        planned()
    assert str(caught.value) == f"scenarios/longest.py: STEPS: {message}"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        # each ended the plan in a trace of Python's
        ("VERSION", None, "VERSION: found None, wanted a whole number"),
        ("STEPS", None, "STEPS: found None, wanted a Step for each name"),
        ("STEPS", [1], "STEPS: found [1], wanted a Step for each name"),
        ("STEPS", {"a": 1}, "STEPS: found {'a': 1}, wanted a Step for each name"),
    ],
)
def test_a_file_that_is_no_scenario(
    name: str, value: Any, message: str, scenario: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(scenario, name, value)
    with pytest.raises(RequestError) as caught:
        planned()
    assert str(caught.value) == f"scenarios/longest.py: {message}"
    monkeypatch.delattr(scenario, name)
    with pytest.raises(RequestError, match=f"^scenarios/longest.py: {name}: found None, wanted "):
        planned()


def test_a_step_of_an_unknown_kind_or_name_is_refused(scenario: Any, monkeypatch: pytest.MonkeyPatch):
    job = steps(planned(), "share")[0]
    with pytest.raises(RequestError, match="no step named 'shar'; did you mean 'share'"):
        kind_of(replace(job, params={**job.params, "step": "shar"}))
    with pytest.raises(RequestError, match="no step named None; known: rewrite, share"):
        kind_of(replace(job, params={"scenario": "longest"}))
    # a job's own record can't open what its step's kind closes
    with pytest.raises(RequestError, match="found 'text', wanted 'cpu'"):
        kind_of(replace(job, worker="text"))
    monkeypatch.setitem(scenario.STEPS, "share", replace(scenario.STEPS["share"], worker="cpux"))
    with pytest.raises(RequestError) as caught:
        planned()
    assert str(caught.value) == (
        f"scenarios/longest.py: STEPS: share: worker: found 'cpux', wanted a kind of worker: {', '.join(KINDS)}"
    )
    with pytest.raises(RequestError, match="share: worker: found 'cpux', wanted a kind of worker: "):
        kind_of(job)


@pytest.mark.parametrize(
    ("brought", "fault", "wanted"),
    [
        ('scenario = "evol_instruct"', "scenario: qwen-2-72b-instruct evolves by evol_instruct", "one scenario"),
        # the other side's seed file was read as if it had this one's format
        ('seeds = "gsm8k-train"', "seeds: qwen-2-72b-instruct starts from gsm8k-train, not alpaca", "one seed set"),
    ],
)
def test_sides_that_differ_are_refused(brought: str, fault: str, wanted: str, monkeypatch: pytest.MonkeyPatch):
    changed = f'{EXPERIMENT}by.evolver."{BOTH[1]}".{brought}\n'
    monkeypatch.setattr(sys.modules[__name__], "EXPERIMENT", changed)
    with pytest.raises(RequestError) as caught:
        planned()
    assert str(caught.value) == (
        f"experiment 'steps': {fault}, and a step of longest reads the rows of every evolver; wanted {wanted}"
    )


@pytest.mark.parametrize("found", [-1, 2.5, True, None])
def test_an_expectation_that_is_no_number_of_rows(found: Any, scenario: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(scenario.STEPS, "share", replace(scenario.STEPS["share"], expects=lambda _: found))
    with pytest.raises(RequestError) as caught:
        planned()
    assert str(caught.value) == (
        f"scenarios/longest.py: STEPS: share: expects: found {found} for 8, 8 rows, wanted a whole number from 0"
    )


def test_of_a_step_that_expects_nothing_nothing_costs_anything(scenario: Any, monkeypatch: pytest.MonkeyPatch):
    def expects(counts: Any) -> int:
        assert all(counts)  # it is not asked about rows of which nothing is known
        return 0

    monkeypatch.setitem(scenario.STEPS, "share", replace(scenario.STEPS["share"], expects=expects))
    plan = planned(rounds=[2])
    for job in (*steps(plan, "rewrite", 2), *(job for job in plan.jobs.values() if job.stage in ("respond", "sft"))):
        assert (job.resources.get("rows", 0), job.resources["wall_s"], job.resources["gpu_hours"]) == (0, 0, 0)
