"""LoRA in a plan: the base answers with the adapter beside it, and the jobs of a base stand in a row."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.experiments import Lora
from kit.catalogue.points import Point, make_point, product_of
from kit.engines import EngineSettings, fake
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import Planner
from kit.plan.planning import locks
from kit.run import batches
from kit.run.worker import JobContext

CATALOGUE = Catalogue(manifests_folder())


def points(**changes: Any) -> list[Point]:
    """Return Table 2's points on one seed set, with another tuning."""
    experiment = CATALOGUE.experiments["qwen-2"]
    axes = {axis: experiment.values(axis) for axis in experiment.axes()} | {"seeds": ["gsm8k-train"]}
    found = [make_point(experiment, at) for at in product_of(axes)]
    return [
        replace(one, setting=one.setting.model_copy(update={"sft": one.setting.sft.model_copy(update=changes)}))
        for one in found
    ]


def planned(where: list[Point]) -> Plan:
    planner = Planner(CATALOGUE, CATALOGUE.scale("paper"), "paper", locks())
    for point in where:
        for benchmark in BENCHMARKS:
            planner.need("grade", point.with_benchmark(benchmark))
    return planner.plan


BENCHMARKS = ("gsm8k", "hendrycks_math")
LORA = points(tuning="lora", lora=Lora(rank=4, alpha=8))


def test_the_base_answers_with_the_adapter_beside_it():
    plan = planned(LORA)
    answers = [job for job in plan.jobs.values() if job.stage == "answer"]
    assert len(answers) == len(LORA) * len(BENCHMARKS)
    for job in answers:
        tuning = plan.jobs[job.inputs["adapter"]]
        assert (tuning.stage, tuning.params["save"]) == ("sft", "adapter")
        assert job.inputs["model"] == tuning.inputs["base"]
        assert job.params["engine"]["lora_rank"] == 8  # ranks 2 to 8 share a start


def test_a_base_is_opened_once():
    plan = planned(LORA)
    answers = [key for key, job in plan.jobs.items() if job.stage == "answer"]
    order = [plan.jobs[key].inputs["model"] for key in batches.order_by_model(answers, plan.jobs)]
    starts = [model for number, model in enumerate(order) if number == 0 or order[number - 1] != model]
    assert len(starts) == len(set(order)) == len({point.setting.base for point in LORA})


def test_full_tuning_has_the_same_plan_as_before():
    for job in planned(points()).jobs.values():
        assert "adapter" not in job.inputs
        assert "save" not in job.params
        assert "lora_rank" not in job.params.get("engine", {})


def test_an_adapters_disk_space_is_estimated():
    full, lora = (next(job for job in planned(one).jobs.values() if job.stage == "sft") for one in (points(), LORA))
    assert 0 < lora.resources["disk_bytes"] < full.resources["disk_bytes"] / 50


def test_a_rank_that_no_engine_accepts_is_refused_before_the_run():
    with pytest.raises(RequestError, match=r"^experiment 'qwen-2': sft.lora.rank: an adapter of rank 1,000, and"):
        planned(points(tuning="lora", lora=Lora(rank=1000, alpha=8)))


def test_a_worker_opens_one_engine_for_all_adapters_of_a_base(monkeypatch: pytest.MonkeyPatch):
    opened: list[Path] = []

    def open_engine(model: Path, settings: EngineSettings) -> Any:
        opened.append(model)
        return fake.FakeEngine(model.name, settings)

    monkeypatch.setattr(fake, "open", open_engine)
    context = JobContext(rank=0, world=1, mirror=None, unsafe_exec=False, emit=lambda *_, **__: None)
    settings = EngineSettings(name="fake", lora_rank=8)
    for name in ("one", "two", "three"):
        context.engine(Path("base"), settings).with_adapter(Path(name))
    assert opened == [Path("base")]
