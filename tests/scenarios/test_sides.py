"""Both evolvers' sides of an experiment: the same operator for the same item, whatever their order and the ranks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.experiments import ExperimentsFile
from kit.catalogue.manifest import ColumnGroup, View
from kit.engines import EngineSettings, Sampling
from kit.plan import Plan
from kit.plan.planner import make_plan
from kit.plan.planning import locks
from kit.prompts import fingerprint
from kit.reading.documents import parse
from kit.run.execute import execute
from kit.run.launch import Options
from kit.scenarios import evol_instruct, steps_of
from kit.store import Job, Store, sha256_file

EXPERIMENT = """schema = 1
[[experiment]]
id = "sides"
scenario = "SCENARIO"
seeds = "alpaca"
evolver = EVOLVERS
responder = "qwen-2.5-72b-instruct"
base = "llama-3.2-3b"
round = 1
seed = 42
evolve = { temperature = 0.7, max_tokens = 16 }
respond = { temperature = 0.0, max_tokens = 8 }
sft = { learning_rate = 1e-5, epochs = 1, global_batch_size = 4, warmup_ratio = 0.0, max_length_tokens = 64 }
"""
EVOLVERS = ["qwen-2-7b-instruct", "qwen-2-72b-instruct"]
ROWS = 7


def planned(scenario: str, evolvers: Sequence[str]) -> Plan:
    catalogue, view = Catalogue(manifests_folder()), View(experiment="sides", columns=[ColumnGroup(measures=["gsm8k"])])
    text = EXPERIMENT.replace("SCENARIO", scenario).replace("EVOLVERS", json.dumps(evolvers))
    (experiment,) = parse(ExperimentsFile, text, "x.toml").experiment
    catalogue.__dict__["experiments"] = {"sides": experiment}
    view = view.model_copy(update={"rows": {"evolver": list(evolvers)}})
    return make_plan(catalogue, {"t": view}, catalogue.scale("smoke"), "smoke", locks())


@pytest.mark.parametrize("scenario", ["evol_instruct", "auto_evol_instruct"])
def test_the_order_of_the_evolvers_changes_no_text(scenario: str):
    first, second = planned(scenario, EVOLVERS), planned(scenario, EVOLVERS[::-1])

    def asked(plan: Plan) -> dict[str, str]:
        return {job.id: key for key, job in plan.jobs.items() if job.stage == "evolve" and job.params.get("sampling")}

    assert asked(first) == asked(second)
    assert len(asked(first)) == 2


def test_a_draw_reads_both_sides_and_each_evolver_writes_its_own():
    for evolvers in (EVOLVERS, EVOLVERS[::-1]):
        plan = planned("auto_evol_instruct", evolvers)
        draws = [job for job in plan.jobs.values() if job.params.get("step") == "draw"]
        players = [plan.cast[evolver] for evolver in evolvers]
        assert [job.id for job in draws] == [f"evolve/alpaca/{player}/round-1/draw" for player in players]
        for place, job in enumerate(draws):
            sides = [plan.jobs[job.inputs[f"side-{side}"]].id for side in range(2)]
            assert sides == [f"evolve/alpaca/{player}/round-1/extract" for player in players]
            assert job.params == {
                "scenario": "auto_evol_instruct",
                "step": "draw",
                "round": 1,
                "seed": 42,
                "side": place,
            }


def job(stage: str, id: str, params: Mapping[str, Any], inputs: Mapping[str, str], resources: Any = None) -> Job:
    return Job(
        id=f"{stage}/{id}",
        stage=stage,
        version=f"{stage}-1",
        environment="cpu",
        lock="",
        params=dict(params),
        inputs=dict(inputs),
        resources=resources or {},
    )


def fetched(path: Path) -> Job:
    params = {"kind": "file", "name": path.name, "sha256": sha256_file(path)}
    return job("fetch", path.name, params, {}, {"source": {"path": str(path)}})


def evolving(scenario: str, data: Job, model: Job, world: int) -> Job:
    step = next(iter(steps_of(scenario)))
    prompts = steps_of(scenario)[step].prompts
    params = {
        "scenario": scenario,
        **({"step": step} if len(steps_of(scenario)) > 1 else {}),
        "round": 1,
        "breadth": True,
        "seeds": "s",
        "format": "alpaca",
        "rows": None,
        "seed": 42,
        "sampling": asdict(Sampling(temperature=0.7, max_tokens=8)),
        "prompts": "kit",
        "prompts_hash": fingerprint("kit", prompts),
        "engine": asdict(EngineSettings(name="fake", max_model_len=512)),
        "world": world,
    }
    return job("evolve", f"{scenario}/{model.id}", params, {"seeds": data.key, "model": model.key})


@pytest.mark.real
def test_two_processes_give_the_rows_of_one_and_both_sides_the_same_operators(tmp_path: Path):
    (tmp_path / "seeds.json").write_text(json.dumps([{"instruction": f"Name {n} rivers."} for n in range(ROWS)]))
    for name in ("first", "second"):
        (tmp_path / name).write_text(f'"{name}"', encoding="utf-8")
    data, *models = (fetched(tmp_path / name) for name in ("seeds.json", "first", "second"))
    found: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for world in (1, 2):
        store = Store.open(tmp_path / f"store-{world}")
        works = {
            (scenario, model.id): evolving(scenario, data, model, world)
            for scenario in ("evol_instruct", "auto_evol_instruct")
            for model in models
        }
        jobs = {one.key: one for one in (data, *models, *works.values())}
        assert execute(jobs, store, Options(store=store.root), lambda *_: None).failed == {}
        for (scenario, model), work in works.items():
            lines = (store.get(work.key).folder / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
            found[scenario, model, world] = [json.loads(line) for line in lines]
    for (scenario, model, world), rows in found.items():
        assert [row["id"] for row in rows] == [f"s/{n}" for n in range(ROWS)]  # in order
        assert rows == found[scenario, model, 1], world
    for scenario, wanted in (
        ("evol_instruct", [evol_instruct.assigned(n, 0, breadth=True) for n in range(ROWS)]),
        ("auto_evol_instruct", ["planned"] * ROWS),
    ):
        sides = [rows for (name, _, _), rows in found.items() if name == scenario]
        assert [[row["operator"] for row in rows] for rows in sides] == [wanted] * 4
    # two models, so their texts differ
    first, second = (found["evol_instruct", model.id, 1] for model in models)
    assert [row["instruction"] for row in first] != [row["instruction"] for row in second]
