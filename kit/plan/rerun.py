"""Plans of ``kit selftest``: a model answers a benchmark's first problems in their order, and again in another."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from kit import registry
from kit.benchmarks import HasItems
from kit.catalogue.points import Point
from kit.errors import RequestError
from kit.plan.adhoc import Workbench
from kit.plan.options import point_of_options

DEFAULTS: Mapping[str, Any] = {"prompts": "kit", "protocol": "default", "max_tokens": 512, "rows": None}
"""Settings of a benchmark that the scale does not have: those of ``kit answer`` and ``kit grade``."""
TAKEN = ("dataset", "prompts", "protocol", "max_tokens", "rows")
"""Settings that are the scale's where it has the benchmark, so that what is measured is what its tables have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rerun:
    """The keys of a self-test's jobs."""

    answers: str
    """Answers in the problems' own order, a job as any other command has it."""
    answers_again: str
    grades: str
    grades_again: str
    compared: str
    """Counts of what turned."""


def settings(bench: Workbench, benchmark: str, given: Mapping[str, Any], *, own_data: bool) -> dict[str, Any]:
    """Return the settings of a benchmark's problems: those that are given, else the scale's, else the defaults.

    Args:
        bench: the workbench, whose scale counts.
        benchmark: name of the benchmark.
        given: values of options, None where one was left out.
        own_data: whether the problems are those of a file of the user's: then the scale's file and rows don't count.
    """
    entry = bench.catalogue.scale(bench.plan.scale).benchmarks.get(benchmark)
    taken = [name for name in TAKEN if not (own_data and name in ("dataset", "rows"))] if entry else []
    found = {**DEFAULTS, **{name: getattr(entry, name) for name in taken}}
    return {**found, **{name: value for name, value in given.items() if value is not None}}


def row_count(benchmark: str, items: int, there: int, source: str) -> int:
    """Return how many problems are answered twice: ``items``, or all if there are fewer.

    Where a benchmark scores several problems together, the last of such items is whole.

    Raises:
        RequestError: there are fewer than two problems, which have no other order.
    """
    found, module = min(items, there), registry.load("benchmarks", benchmark)
    if isinstance(module, HasItems):
        found = max(module.ITEM_ROWS, found - found % module.ITEM_ROWS)
    if found < 2:
        raise RequestError(
            f"{source}: {found} problem to answer, which has no other order; wanted 2 or more (--items, --data)"
        )
    return found


def plan_rerun(bench: Workbench, benchmark: str, point: Point, order: int) -> Rerun:
    """Plan both runs over the workbench's problems, and their comparison.

    The first run's jobs are those that any command plans, with their keys. The second's have the parameter ``order``
    in the key of the answers, and so other keys from there on.

    Args:
        bench: the workbench, with the problems and, where one is needed, the judge.
        benchmark: name of the benchmark.
        point: says which model answers.
        order: seed of the second order.
    """
    planner, plan = bench.planner, bench.plan
    answers, grades = planner.need("answer", point), planner.need("grade", point)
    again, needed = dict[str, str](), plan.needs([grades])
    for key, job in list(plan.jobs.items()):
        if key == answers:
            made = replace(job, params={**job.params, "order": order})
        elif key in needed and any(one in again for one in job.inputs.values()):
            made = replace(job, inputs={role: again.get(one, one) for role, one in job.inputs.items()})
        else:
            continue
        again[key] = made.key
        plan.jobs.setdefault(made.key, replace(made, id=f"{job.id}/order-{order}"))
    inputs = {"completions": answers, "completions_again": again[answers]}
    inputs |= {"grades": grades, "grades_again": again[grades]}
    version = {benchmark: registry.load("benchmarks", benchmark).VERSION}
    compared = planner.job("compare", f"{benchmark}/order-{order}", {"benchmark": benchmark}, inputs, plugins=version)
    return Rerun(
        answers=answers,
        answers_again=again[answers],
        grades=grades,
        grades_again=again[grades],
        compared=compared,
    )


def answering_point(bench: Workbench, benchmark: str, model: str, base: str, seed: int) -> Point:
    """Return the point at which a model answers a benchmark; model and base as in :meth:`Workbench.use_as_tuned`."""
    return point_of_options(seed=seed, **bench.use_as_tuned(model, base)).with_benchmark(benchmark)
