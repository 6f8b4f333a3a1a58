"""Units of a plan: jobs of one model go together, nothing waits for itself, and each asks for what its plan says."""

import itertools
import random
from collections.abc import Iterable

import pytest

from kit.catalogue.scales import Hardware
from kit.cluster import Settings
from kit.cluster.needs import Needs, needs
from kit.cluster.units import Unit, make_units
from kit.errors import RequestError
from kit.plan.planning import plan_tables
from kit.store import Job
from tests.cluster.stand_in import HARDWARE, make_job

PAPER = Hardware(gpus=8, gpu_memory_gib=80, memory_gib=512, machine="a100-80gb")
SETTINGS = Settings()


def job(name: str, stage: str, hours: float = 0.5, world: int = 2, **inputs: Job) -> Job:
    """Return a job that takes so many hours and reads other jobs' artifacts."""
    made = make_job(name, stage, {role: other.key for role, other in inputs.items()}, world=world)
    made.resources["wall_s"] = hours * 3600
    return made


def units_of(jobs: Iterable[Job], settings: Settings = SETTINGS) -> list[Unit]:
    return make_units({one.key: one for one in jobs}, HARDWARE, settings)


def names(units: Iterable[Unit], jobs: Iterable[Job]) -> list[list[str]]:
    ids = {one.key: one.params["name"] for one in jobs}
    return [[ids[key] for key in unit.keys] for unit in units]


MODEL = job("model", "convert")
OTHER = job("other", "convert")


def chain() -> list[Job]:
    """Rounds 1 to 3 of one evolver, each answered by another model."""
    evolved, jobs = None, [MODEL, OTHER]
    for number in (1, 2, 3):
        inputs = {"model": MODEL, **({"instructions": evolved} if evolved else {})}
        evolved = job(f"evolve-{number}", "evolve", **inputs)
        jobs += [evolved, job(f"respond-{number}", "respond", model=OTHER, instructions=evolved)]
    return jobs


def test_jobs_of_one_model_are_one_unit_however_they_depend_on_each_other():
    jobs = chain()
    units = units_of(jobs)
    assert names(units, jobs) == [
        ["model"],
        ["other"],
        ["evolve-1", "evolve-2", "evolve-3"],
        ["respond-1", "respond-2", "respond-3"],
    ]
    assert [unit.kind for unit in units] == ["convert", "convert", "text", "text"]
    assert units[3].after == (units[1].name, units[2].name)


def test_a_model_that_waits_for_another_and_back_is_opened_again_instead_of_waiting_for_itself():
    first = job("first", "evolve", model=MODEL)
    judged = job("judged", "respond", model=OTHER, instructions=first)
    second = job("second", "evolve", model=MODEL, instructions=judged)
    jobs = [MODEL, OTHER, first, judged, second]
    assert names(units_of(jobs), jobs) == [["model"], ["other"], ["first"], ["judged"], ["second"]]


def test_a_unit_takes_no_more_hours_than_it_may():
    jobs = [MODEL, *(job(f"a{number}", "answer", hours=0.75, model=MODEL) for number in range(5))]
    assert names(units_of(jobs), jobs) == [["model"], ["a0", "a1"], ["a2", "a3"], ["a4"]]
    assert names(units_of(jobs, Settings(group_hours=0)), jobs) == [["model"], ["a0"], ["a1"], ["a2"], ["a3"], ["a4"]]


def test_short_jobs_that_wait_for_the_same_units_are_one_and_the_others_are_not():
    answers = [job(f"answer-{number}", "answer", model=model) for number, model in enumerate([MODEL, MODEL, OTHER])]
    data = job("data", "fetch")
    grades = [job(f"grade-{number}", "grade", completions=one) for number, one in enumerate(answers)]
    grades[1] = job("grade-1", "grade", completions=answers[1], data=data)  # what is fetched is there early
    jobs = [MODEL, OTHER, data, *answers, *grades]
    assert names(units_of(jobs), jobs)[-2:] == [["grade-0", "grade-1"], ["grade-2"]]


def test_trainings_of_one_base_are_a_unit_each():
    jobs = [MODEL, *(job(f"sft-{number}", "sft", base=MODEL) for number in range(3))]
    assert names(units_of(jobs), jobs) == [["model"], ["sft-0"], ["sft-1"], ["sft-2"]]


def test_jobs_with_a_network_run_where_snakemake_does_and_each_alone():
    jobs = [job("a", "fetch"), job("b", "fetch"), MODEL]
    assert [(unit.kind, unit.here, len(unit.keys)) for unit in units_of(jobs)] == [
        ("fetch", True, 1),
        ("fetch", True, 1),
        ("convert", False, 1),
    ]


@pytest.mark.parametrize("seed", range(20))
def test_every_unit_comes_after_those_that_it_waits_for(seed: int):
    rng = random.Random(seed)
    jobs = [MODEL, OTHER]
    for number in range(60):
        stage, inputs = rng.choice(["evolve", "respond", "sft", "grade", "select"]), {}
        for role in ("instructions", "pairs"):
            if rng.random() < 0.6:
                inputs[role] = rng.choice(jobs)
        model = {"model": rng.choice([MODEL, OTHER])} if stage in ("evolve", "respond") else {}
        jobs.append(job(f"{stage}-{number}", stage, hours=rng.random(), **inputs, **model))
    check_order(units_of(jobs), {one.key: one for one in jobs})


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_units_of_every_table(scale: str):
    plan = plan_tables(["all"], scale)
    units = make_units(plan.jobs, plan.hardware, SETTINGS)
    check_order(units, plan.jobs)
    assert len(units) < len(plan.jobs)
    assert len({unit.name for unit in units}) == len(units)


def check_order(units: list[Unit], jobs: dict[str, Job]) -> None:
    """Check that each job is in one unit, and that a unit comes after those of its inputs and waits for no other."""
    unit_of = {key: unit.name for unit in units for key in unit.keys}
    assert sorted(unit_of) == sorted(jobs)
    assert sum(len(unit.keys) for unit in units) == len(jobs)
    seen: set[str] = set()
    for unit in units:
        inputs = itertools.chain.from_iterable(jobs[key].inputs.values() for key in unit.keys)
        assert set(unit.after) == {unit_of[key] for key in inputs if key in unit_of} - {unit.name}
        assert set(unit.after) <= seen
        seen.add(unit.name)


# Worked out by hand: 512 GiB are 524,288 MiB; half an hour, three times, and half an hour more are 120 minutes.
NEEDS = {
    "a training on a whole machine": (
        job("a", "sft", world=8),
        8,
        Needs(gpus=8, nodes=1, cores=32, mem_mb=524288, runtime_min=120),
    ),
    "the same over two nodes": (
        job("a", "sft", world=8),
        4,
        Needs(gpus=4, nodes=2, cores=16, mem_mb=262144, runtime_min=120),
    ),
    "a model on two of eight GPUs": (
        job("a", "evolve", world=2),
        8,
        Needs(gpus=2, nodes=1, cores=8, mem_mb=131072, runtime_min=120),
    ),
    "grading, without a GPU": (
        job("a", "grade"),
        8,
        Needs(gpus=0, nodes=1, cores=4, mem_mb=7168, runtime_min=90),
    ),
    "a conversion": (
        job("a", "convert"),
        8,
        Needs(gpus=0, nodes=1, cores=1, mem_mb=4096, runtime_min=90),
    ),
    "a model whose time nobody knows": (
        job("a", "sft", hours=0, world=8),
        8,
        Needs(gpus=8, nodes=1, cores=32, mem_mb=524288, runtime_min=510),
    ),
}


@pytest.mark.parametrize("one, gpus_per_node, wanted", NEEDS.values(), ids=list(NEEDS))
def test_resources(one: Job, gpus_per_node: int, wanted: Needs):
    assert needs([one], PAPER, Settings(gpus_per_node=gpus_per_node)) == wanted


def test_a_scale_without_gpus_asks_for_none_and_for_all_of_its_memory():
    cpu = Hardware(gpus=0, gpu_memory_gib=0, memory_gib=12, machine="cpu-2-cores")
    found = needs([job("a", "sft", world=1)], cpu, SETTINGS)
    assert found == Needs(gpus=0, nodes=1, cores=4, mem_mb=12288, runtime_min=120)


def test_a_job_that_nodes_cannot_share_is_refused():
    with pytest.raises(RequestError) as error:
        needs([job("a", "sft", world=8)], PAPER, Settings(gpus_per_node=3))
    assert str(error.value) == (
        "--gpus-per-node: sft/a runs as 8 processes on 8 GPUs, which 3 nodes can't share evenly; wanted nodes of 8 "
        "GPUs, or a number that divides both"
    )
