"""The disk that a plan takes: peaks worked out by hand, waves that fit, and what `--keep` keeps."""

from collections.abc import Iterable
from typing import Any

import pytest

from kit.errors import RequestError
from kit.plan.planning import plan_tables
from kit.run.disk import Shelf, Waves, least_bytes, next_wave, peak_bytes, task_of
from kit.run.needs import Needs
from kit.stages._keeping import check_rule, gives_back, model_in
from kit.store import Job


def job(stage: str, name: str, inputs: Iterable[Job] = (), size: int = 0, **params: Any) -> Job:
    return Job(
        id=f"{stage}/{name}",
        stage=stage,
        version="1",
        environment="cpu",
        lock="",
        params={"name": name, **params},
        inputs={str(number): one.key for number, one in enumerate(inputs)},
        resources={"disk_bytes": size},
    )


def chains(count: int = 3) -> dict[str, Job]:
    """Return a base of 10 bytes, and for each name pairs of 1, a tuned model of 10, answers of 1 and a grade of 0."""
    base = job("fetch", "base", size=10, kind="hub")
    found = [base]
    for name in "abcdefgh"[:count]:
        pairs = job("fetch", f"pairs-{name}", size=1, kind="file")
        tuned = job("sft", name, [pairs, base], size=10)
        answers = job("answer", name, [tuned], size=1)
        found += [pairs, tuned, answers, job("grade", name, [answers])]
    return {one.key: one for one in found}


# Three chains, all kinds together: base 10 and three pairs 3, then three tuned models 30, then three answers 3.
# `weights` gives the base back once all are tuned: 10 + 3 + 30 is the peak, and 33 + 3 stay, which is less.
# `results`, all kinds together: the same 43. One chain after the other: base 10, pairs 1, tuned 10, answers 1: 22; its
# tuned model goes, 12 stay; second chain 12 + 1 + 10 + 1 = 24, 14 stay; third 14 + 1 + 10 = 25, where the base goes; 15
# and answers 1: 16.
PEAKS = {
    "everything stays": ("all", 46, 46),
    "tuned models stay": ("weights", 43, 43),
    "rows stay alone": ("results", 43, 25),
}


@pytest.mark.parametrize("rule, peak, least", PEAKS.values(), ids=list(PEAKS))
def test_peaks_of_three_chains(rule: str, peak: int, least: int):
    task = task_of(chains(), None, rule)
    assert (peak_bytes(task), least_bytes(task)) == (peak, least)


# With room for 34 bytes two chains go together: 10 + 2 + 20 + (its answer while both tuned models are there) 1 = 33.
# A third would take 43. With 32 one goes alone; with less than one takes, one is tried.
ROOMS = {"all fit": (43, 3), "two fit": (34, 2), "not even two": (32, 1), "nothing fits": (5, 1)}


@pytest.mark.parametrize("room, chains_in_wave", ROOMS.values(), ids=list(ROOMS))
def test_a_wave_has_as_many_results_as_the_disk_has_room_for(room: int, chains_in_wave: int):
    jobs = chains()
    task = task_of(jobs, None, "results")
    wave = next_wave(task, room)
    assert sum(jobs[key].stage == "grade" for key in wave) == chains_in_wave
    assert sum(jobs[key].stage == "sft" for key in wave) == chains_in_wave
    assert wave == [key for key in jobs if key in set(wave)]  # each after its inputs


def test_the_waves_together_are_all_jobs_once():
    jobs = plan_tables(["2"], "paper").jobs
    waves = list(Waves(task_of(jobs, None, "results")).in_order())
    keys = [key for wave in waves for key in wave]
    assert (len(waves) > 10, sorted(keys)) == (True, sorted(jobs))
    done = set[str]()
    for wave in waves:
        for key in wave:
            assert done.issuperset(jobs[key].inputs.values())
            done.add(key)


def test_a_shelf_runs_every_job_and_ends_with_what_the_rule_keeps():
    jobs = plan_tables(["2"], "smoke").jobs
    for rule in ("all", "weights", "results"):
        shelf = Shelf(task_of(jobs, None, rule))
        shelf.run(jobs)
        goes = gives_back(rule)
        assert shelf.held == {key for key, made in jobs.items() if not goes(made)}
        assert shelf.used == sum(int(jobs[key].resources.get("disk_bytes", 0)) for key in shelf.held)


@pytest.mark.parametrize("scale", ["smoke", "one-gpu", "paper"])
def test_rules_order_the_peaks_of_real_plans(scale: str):
    jobs = plan_tables(["2"], scale).jobs
    tasks = [task_of(jobs, None, rule) for rule in ("results", "weights", "all")]
    peaks = [peak_bytes(task) for task in tasks]
    assert peaks == sorted(peaks)
    assert peaks[-1] == sum(int(made.resources.get("disk_bytes", 0)) for made in jobs.values())
    assert all(least_bytes(task) <= peak for task, peak in zip(tasks, peaks, strict=True))
    assert least_bytes(tasks[0]) >= max(int(made.resources.get("disk_bytes", 0)) for made in jobs.values())


def test_what_is_needed_while_jobs_end():
    jobs = chains(1)
    base, pairs, tuned, answers, grade = jobs
    needs = Needs(jobs, jobs, (), gives_back("results"))
    assert needs.unneeded() == []
    assert needs.finish(base) == []  # the training reads it
    assert needs.finish(pairs) == []
    assert needs.finish(tuned) == [base]  # pairs are rows
    assert needs.finish(answers) == [tuned]
    assert (needs.finish(grade), needs.finish(grade)) == ([], [])
    assert needs.unneeded() == [base, tuned]
    assert Needs(jobs, [answers], (), gives_back("results")).unneeded() == [base]
    assert Needs(jobs, [], [tuned], gives_back("results")).unneeded() == [base]  # the caller reads the tuned model


MODELS = {
    "a published model": (job("fetch", "x", kind="hub"), "published"),
    "one in a package": (job("fetch", "x", kind="package"), "published"),
    "one that was converted": (job("convert", "x"), "published"),
    "the user's own folder": (job("fetch", "x", kind="folder"), "own"),
    "a tuned one": (job("sft", "x"), "own"),
    "a file of data": (job("fetch", "x", kind="file"), ""),
    "prompts": (job("fetch", "x", kind="prompts"), ""),
    "instructions": (job("evolve", "x"), ""),
    "answers": (job("answer", "x"), ""),
    "grades": (job("grade", "x"), ""),
}


@pytest.mark.parametrize("made, whose", MODELS.values(), ids=list(MODELS))
def test_whose_model_a_job_writes(made: Job, whose: str):
    assert model_in(made) == whose
    kept = {"": (), "own": ("results",), "published": ("results", "weights")}[whose]
    assert [rule for rule in ("results", "weights", "all") if gives_back(rule)(made)] == list(kept)


def test_a_rule_that_is_not_known_is_refused():
    with pytest.raises(RequestError) as caught:
        check_rule("--keep", "result")
    assert str(caught.value) == "--keep 'result': wanted results, weights, all; did you mean 'results'?"
