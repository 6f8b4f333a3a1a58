"""LoRA in a plan: the base answers with the adapter beside it, and the jobs of a base stand in a row."""

from pathlib import Path
from typing import Any

import pytest

from kit.catalogue import Catalogue, manifests_folder
from kit.catalogue.manifest import Experiment, Lora
from kit.engines import EngineSettings, fake
from kit.errors import RequestError
from kit.plan import Plan
from kit.plan.planner import Planner
from kit.plan.planning import locks
from kit.run import execute as run
from kit.run.worker import JobContext

CATALOGUE = Catalogue(manifests_folder())


def experiment(**changes: Any) -> Experiment:
    """The experiment of Table 2 with one seed set, its tuning changed."""
    found = next(one for one in CATALOGUE.experiments.values() if one.seeds == "gsm8k-train")
    return found.model_copy(update={"sft": found.sft.model_copy(update=changes)})


def planned(changed: Experiment) -> Plan:
    planner = Planner(CATALOGUE, CATALOGUE.scale("paper"), "paper", locks())
    for evolver in changed.evolver:
        for base in changed.base:
            for benchmark in changed.benchmarks:
                planner.grade(changed, evolver, base, benchmark)
    return planner.plan


LORA = experiment(tuning="lora", lora=Lora(rank=4, alpha=8))


def test_the_base_answers_with_the_adapter_beside_it():
    plan = planned(LORA)
    answers = [job for job in plan.jobs.values() if job.stage == "answer"]
    assert len(answers) == len(LORA.evolver) * len(LORA.base) * len(LORA.benchmarks)
    for job in answers:
        tuning = plan.jobs[job.inputs["adapter"]]
        assert (tuning.stage, tuning.params["save"]) == ("sft", "adapter")
        assert job.inputs["model"] == tuning.inputs["base"]
        assert job.params["engine"]["lora_rank"] == 8  # ranks 2 to 8 share a start


def test_a_base_is_opened_once():
    plan = planned(LORA)
    answers = [key for key, job in plan.jobs.items() if job.stage == "answer"]
    order = [plan.jobs[key].inputs["model"] for key in run.by_model(answers, plan.jobs)]
    starts = [model for number, model in enumerate(order) if number == 0 or order[number - 1] != model]
    assert len(starts) == len(set(order)) == len(LORA.base)


def test_full_tuning_plans_as_before():
    for job in planned(experiment()).jobs.values():
        assert "adapter" not in job.inputs
        assert "save" not in job.params
        assert "lora_rank" not in job.params.get("engine", {})


def test_an_adapter_takes_its_own_room_on_disk():
    full, lora = (next(job for job in planned(one).jobs.values() if job.stage == "sft") for one in (experiment(), LORA))
    assert 0 < lora.resources["disk_bytes"] < full.resources["disk_bytes"] / 50


def test_a_rank_that_no_engine_takes_is_refused_before_anything_runs():
    with pytest.raises(
        RequestError, match=r"^experiment '.*-gsm8k-train': sft.lora.rank: an adapter of rank 1,000, and"
    ):
        planned(experiment(tuning="lora", lora=Lora(rank=1000, alpha=8)))


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
