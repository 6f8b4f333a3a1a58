"""The ids of jobs: what sets a job apart stands in its id and in those of all that is made from it."""

from typing import Any

import pytest

from kit.plan.ids import JobIds
from kit.plan.planning import plan_tables
from kit.store import Job


def job(id: str, inputs: dict[str, str] | None = None, **params: Any) -> Job:
    return Job(
        id=id,
        stage=id.partition("/")[0],
        version="1",
        environment="cpu",
        lock="",
        params=params,
        inputs=inputs or {},
        resources={},
        worker="text",
    )


def ids_of(*jobs: Job) -> list[str]:
    ids = JobIds()
    return [ids.unique_id(one, one.key) for one in jobs]


FIRST = job("evolve/a/round-1", seed=42, sampling={"temperature": 0.7, "top_p": 1.0})
SECOND = job("evolve/a/round-1", seed=42, sampling={"temperature": 0.9, "top_p": 1.0})
DIFFERENT = {
    "a setting in a table": ([FIRST, SECOND], "evolve/a/round-1~evolve.temperature=0.9"),
    "two settings": (
        [job("sft/a", seed=1, epochs=2), job("sft/a", seed=2, epochs=3)],
        "sft/a~sft.seed=2~sft.epochs=3",
    ),
    "more than an id can say": ([job("sft/a", a=1, b=1, c=1), job("sft/a", a=2, b=2, c=2)], "sft/a~2"),
    "a third alike": (
        [job("sft/a", a=1, b=1, c=1), job("sft/a", a=2, b=2, c=2), job("sft/a", a=3, b=3, c=3)],
        "sft/a~3",
    ),
    "a setting that the first lacks": ([job("sft/a"), job("sft/a", lora_rank=8)], "sft/a~sft.lora_rank=8"),
    "a setting that it lacks": ([job("sft/a", lora_rank=8), job("sft/a")], "sft/a~sft.lora_rank=none"),
    "what is made from it": (
        [
            FIRST,
            SECOND,
            job("respond/a/round-1", {"instructions": FIRST.key}),
            job("respond/a/round-1", {"instructions": SECOND.key}),
        ],
        "respond/a/round-1~evolve.temperature=0.9",
    ),
    # it was called by the last step: respond.instructions=draw
    "another scenario": (
        [
            one := job("evolve/a/round-1", scenario="evol_instruct"),
            drawn := job("evolve/a/round-1/draw", scenario="auto_evol_instruct", step="draw"),
            job("respond/a/round-1", {"instructions": one.key}),
            job("respond/a/round-1", {"instructions": drawn.key}),
        ],
        "respond/a/round-1~respond.instructions=auto_evol_instruct",
    ),
    "another model": (
        [
            small := job("fetch/small", repo="small"),
            large := job("fetch/large", repo="large"),
            job("respond/a", {"model": small.key}),
            job("respond/a", {"model": large.key}),
        ],
        "respond/a~respond.model=large",
    ),
}


@pytest.mark.parametrize(("jobs", "last"), DIFFERENT.values(), ids=list(DIFFERENT))
def test_what_sets_a_job_apart_is_in_its_id(jobs: list[Job], last: str):
    ids = ids_of(*jobs)
    assert ids[-1] == last
    assert len(set(ids)) == len(ids)
    assert ids[0] == jobs[0].id


def test_what_is_made_of_the_second_alone_says_so():
    assert ids_of(FIRST, SECOND, job("respond/a", {"instructions": SECOND.key}))[-1].endswith("~evolve.temperature=0.9")


@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_no_id_of_all_tables_needs_a_number(scale: str):
    ids = [one.id for one in plan_tables(["all"], scale).jobs.values()]
    assert len(set(ids)) == len(ids)
    apart = {part for id in ids for part in id.split("~")[1:]}
    assert {"evolve.temperature=0.9", "evolve.temperature=0.0"} <= apart
    assert all("=" in part for part in apart)
