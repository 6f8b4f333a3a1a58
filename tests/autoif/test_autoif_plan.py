"""AutoIF as jobs: what each step's key holds, options of experiments and of scales, rows from one rank and from two."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.experiments import Experiment, ExperimentsFile
from kit.catalogue.manifest import ColumnGroup, View
from kit.catalogue.scales import Scale
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.planning import locks
from kit.reading.documents import parse
from kit.run.execute import execute
from kit.run.launch import Options
from kit.scenarios import autoif
from kit.stages import evolve
from kit.store import Job, Store, sha256_file

STEPS = list(autoif.STEPS)
BASE = "llama-3.2-3b"
EVOLVERS: list[str | float] = ["llama-3.1-8b-instruct", "llama-3.1-70b-instruct"]


def planned(
    options: dict[str, Any] | None = None,
    at_scale: dict[str, Any] | None = None,
    rows: dict[str, list[str | float]] | None = None,
    **changes: Any,
) -> Plan:
    """Return the plan of both evolvers at the smoke scale with the fake engine.

    Args:
        options: options of the experiment in the place of its own.
        at_scale: options of the scale in the place of its own.
        rows: rows of the table; both evolvers by default.
        changes: other fields of the experiment.
    """
    catalogue = Catalogue(manifests_folder())
    scale = catalogue.scale("smoke")
    engine = scale.engine.model_copy(update={"name": "fake"})
    document = catalogue.experiments["autoif"].model_dump(exclude_unset=True) | changes
    if options is not None:
        document["options"] = options
    catalogue.__dict__["experiments"] = {"autoif": Experiment.model_validate(document)}
    own = {} if at_scale is None else {"scenarios": {"autoif": scale.scenarios["autoif"].model_validate(at_scale)}}
    rows = rows or {"evolver": EVOLVERS}
    view = View(experiment="autoif", rows=rows, at={"base": BASE}, columns=[ColumnGroup(measures=["gsm8k"])])
    return make_plan(catalogue, {"t": view}, scale.model_copy(update={"engine": engine, **own}), "smoke", locks())


def jobs_of(plan: Plan, step: str) -> list[Job]:
    return [job for job in plan.jobs.values() if job.params.get("step") == step]


def keys_of(plan: Plan) -> dict[str, list[str]]:
    return {step: sorted(job.key for job in jobs_of(plan, step)) for step in STEPS}


def test_each_step_is_a_job_with_its_own_options() -> None:
    plan = planned({}, {})
    assert [len(jobs_of(plan, step)) for step in STEPS] == [2] * 5
    assert [jobs_of(plan, step)[0].params["options"] for step in STEPS] == [
        {"times": 100},
        {"samples": 8},
        {"threshold": 0.8, "minimum_functions": 1, "minimum_cases": 1},
        {"equal_size": "constraints"},
        {"queries": 16, "equal_size": "constraints"},
    ]
    assert [jobs_of(plan, step)[0].worker for step in STEPS] == ["text", "text", "sandbox", "cpu", "cpu"]
    (responding, _) = [job for job in plan.jobs.values() if job.stage == "respond"]
    assert responding.params["template"] == "autoif.respond"


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "queries": ({"queries": 3}, ["join"]),
    "equal_size": ({"equal_size": "records"}, ["draw", "join"]),
    "threshold": ({"threshold": 0.5}, ["cross_check", "draw", "join"]),
    "minimum_cases": ({"minimum_cases": 10}, ["cross_check", "draw", "join"]),
    "samples": ({"samples": 3}, ["checks", "cross_check", "draw", "join"]),
    "times": ({"times": 3}, STEPS),
}


@pytest.mark.parametrize(("options", "moved"), CHANGES.values(), ids=list(CHANGES))
def test_an_option_moves_the_jobs_that_depend_on_it(options: dict[str, Any], moved: list[str]) -> None:
    # a new join asks no model again
    before, after = keys_of(planned({}, {})), keys_of(planned(options, {}))
    assert [step for step in STEPS if before[step] != after[step]] == moved
    assert keys_of(planned({}, options)) == after  # the scale's option is the experiment's in its place


def test_other_queries_ask_no_model_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = keys_of(planned())
    monkeypatch.setattr(evolve, "_seed_set", lambda _, planner, where: planner.seeds("alpaca"))
    after = keys_of(planned())
    assert [step for step in STEPS if before[step] != after[step]] == ["join"]


def test_the_scale_has_the_last_word() -> None:
    plan = planned({"samples": 5, "threshold": 0.9}, {"samples": 2, "evolve_max_tokens": 77, "evolve_temperature": 0.1})
    assert jobs_of(plan, "checks")[0].params["options"] == {"samples": 2}
    assert jobs_of(plan, "cross_check")[0].params["options"]["threshold"] == 0.9
    assert jobs_of(plan, "checks")[0].params["sampling"] == {"temperature": 0.1, "top_p": 0.95, "max_tokens": 77}
    assert jobs_of(planned({}, {}), "checks")[0].params["sampling"]["max_tokens"] == 64  # the scale's general limit


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a second round": (
        {"round": 2},
        "experiment 'autoif': autoif goes through 1 round; found round 2, wanted 1 at most",
    ),
    "another's option": (
        {"scenario": "evol_instruct", "options": {"samples": 3}, "seeds": "alpaca"},
        "experiment 'autoif': options: evol_instruct takes no option 'samples'; it takes none",
    ),
}


def test_a_scale_has_options_of_scenarios_that_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Catalogue.scale

    def misspelt(catalogue: Catalogue, name: str) -> Scale:
        scale = read(catalogue, name)
        return scale.model_copy(update={"scenarios": {**scale.scenarios, "autof": scale.scenarios["autoif"]}})

    monkeypatch.setattr(Catalogue, "scale", misspelt)
    with pytest.raises(RequestError) as caught:
        planned()
    assert str(caught.value) == "no scenario named 'autof'; did you mean 'autoif'?"


def test_an_option_can_be_an_axis() -> None:
    # a table of thresholds: what the evolver writes is written once
    options = {"threshold": [0.5, 0.8], "samples": 2}
    rows: dict[str, list[str | float]] = {"evolver": EVOLVERS, "threshold": [0.5, 0.8]}
    plan = planned(options, {}, rows=rows)
    assert [len(jobs_of(plan, step)) for step in STEPS] == [2, 2, 4, 4, 4]
    for job in jobs_of(plan, "draw"):
        sides = [plan.jobs[key].params["options"]["threshold"] for key in job.inputs.values()]
        assert sides in ([0.5, 0.5], [0.8, 0.8])


BAD: dict[str, tuple[str, str]] = {
    "an unknown option": ("sample = 3", "experiment[0].options.sample: no such key; did you mean 'samples'?"),
    "no text at all": ("times = 0", "experiment[0].options.times: input should be greater than 0, found 0"),
    "more than all": (
        "threshold = 1.5",
        "experiment[0].options.threshold: input should be less than or equal to 1, found 1.5",
    ),
    "a part of a sample": (
        "samples = 2.5",
        "experiment[0].options.samples: input should be a valid integer, found 2.5",
    ),
    "another rule": (
        'equal_size = "rows"',
        "experiment[0].options.equal_size: input should be 'constraints' or 'records', found 'rows'",
    ),
    "twice the same": ("queries = [4, 4]", "experiment[0]: queries: 4 stands twice"),
}


@pytest.mark.parametrize(("line", "message"), BAD.values(), ids=list(BAD))
def test_options_that_no_experiment_can_have(line: str, message: str) -> None:
    text = (manifests_folder() / "experiments" / "autoif.toml").read_text(encoding="utf-8")
    name = line.partition(" ")[0]
    changed = "".join(
        f"{line}\n" if each.partition(" ")[0] in (name, f"{name}s") else each for each in text.splitlines(keepends=True)
    )
    with pytest.raises(RequestError) as caught:
        parse(ExperimentsFile, changed, "my.toml")
    assert str(caught.value) == f"my.toml: {message}"


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=list(REFUSED))
def test_what_the_scenario_does_not_take(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        planned(at_scale={}, **changes)
    assert str(caught.value) == message


def add_job(job: Job, plan: Plan, jobs: dict[str, Job], world: int, model: Path) -> str:
    """Add a job after its inputs, and return its key; a file stands for the model, which the fake engine does not read.

    Args:
        job: a job of the plan.
        plan: the plan.
        jobs: jobs so far, by key.
        world: processes that share each job with an engine.
        model: the file.
    """
    if job.stage == "convert":
        source = {"source": {"path": str(model)}}
        params = {"kind": "file", "name": model.name, "sha256": sha256_file(model)}
        job = replace(job, id="fetch/model", stage="fetch", version="fetch-1", worker="fetch", params=params)
        job = replace(job, environment="grade", lock="", inputs={}, resources=source)
    inputs = {role: add_job(plan.jobs[key], plan, jobs, world, model) for role, key in job.inputs.items()}
    params = job.params | ({"world": world} if "world" in job.params else {})
    made = replace(job, params=params, inputs=inputs)
    jobs[made.key] = made
    return made.key


@pytest.mark.real
def test_rows_come_back_in_order_from_one_rank_and_from_two(tmp_path: Path) -> None:
    checks = jobs_of(planned({"times": 3, "samples": 3}, {"evolve_max_tokens": 24}), "checks")[0]
    (model := tmp_path / "model.json").write_text("{}", encoding="utf-8")
    found = []
    for world in (1, 2):
        store, jobs = Store.open(tmp_path / f"store-{world}"), dict[str, Job]()
        key = add_job(checks, planned({"times": 3, "samples": 3}, {"evolve_max_tokens": 24}), jobs, world, model)
        outcome = execute(jobs, store, Options(store=store.root), lambda *_: None)
        assert outcome.failed == {}
        found.append((store.get(key).folder / "instructions.jsonl").read_text(encoding="utf-8"))
    assert found[0] == found[1]
    ids = [json.loads(line)["id"] for line in found[0].splitlines()]
    assert ids[:2] == ["reply-0/0", "reply-1/0"]
    assert ids[-1] == "constraints/7"
