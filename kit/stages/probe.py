"""Stage ``probe``: an evolver is asked as in a round of evolution, and the probability of each token is kept.

Nothing is made of the texts: evolution has a stage of its own. The requests are those of the scenario's first step.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.engines import Engine, Request, Sampling, ScoredCompletion
from kit.errors import RequestError
from kit.records import Completion, Probe, write_rows
from kit.registry import load
from kit.scenarios import Step, Work, check_round, step_name, steps_of
from kit.stages import PROBES, Context, Planning, Summary, input_instructions
from kit.stages._evolving import StepTools, cost, generation
from kit.stages._options import step_options
from kit.workers import KINDS

VERSION = 1
WORKER = "text"
DIGITS = 7
"""Digits after the point with which a probability is written."""


def plan(point: Point, planner: Planning) -> str:
    """Plan the texts that the point's evolver writes in the first step of the point's round.

    Raises:
        RequestError: there is no evolver, or the scenario's first step asks it about more than its own rows.
    """
    setting = point.setting
    if not setting.round:
        raise RequestError(f"{point.name}: {point.benchmark}: round: found 0, the seed data, which nobody evolves")
    check_round(setting.scenario, setting.round, point.name)
    steps = steps_of(setting.scenario)
    name, step = next(iter(steps.items()))
    _check_step(step, f"{point.name}: {point.benchmark}: scenarios/{setting.scenario}.py: {name}")
    origin = planner.instructions(point.with_round(setting.round - 1))
    params, inputs, plugins = generation(point, planner, step)
    params |= {"scenario": setting.scenario, "round": setting.round, "seed": setting.seed, **origin.params}
    params["first"] = planner.metric(point).rows
    inputs[origin.role] = origin.key
    plugins[setting.scenario] = load("scenarios", setting.scenario).VERSION
    if len(steps) > 1:
        params["step"] = name
        plugins[f"{setting.scenario}/{name}"] = step.version
    if options := step_options(point, planner, step):
        params["options"] = options
    rows = min(origin.rows, params["first"] or origin.rows)
    return planner.job(
        "probe",
        f"{point.setting.scenario}/{planner.job_name(point, 'seeds', 'evolver', 'round')}",
        params,
        inputs,
        plugins=plugins,
        resources=cost(point, planner, rows, params),
        rows=rows,
    )


def _check_step(step: Step, where: str) -> None:
    """Check that a step asks the evolver about its own rows alone.

    Raises:
        RequestError: it does not.
    """
    if not KINDS[step.worker].accelerated:
        raise RequestError(f"{where}: no evolver writes in it; wanted a scenario whose first step asks one")
    if step.sides != "own" or step.data or step.amount:
        raise RequestError(f"{where}: it does not ask one question a row; wanted a scenario whose first step does")


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``probes.jsonl``: one :class:`~kit.records.Probe` for each of the first rows, in order."""
    name = step_name(params["scenario"], params)
    step = steps_of(params["scenario"])[name]
    rows = input_instructions(params, inputs).rows[: params["first"]]
    tools = ProbingTools(name, step, params, inputs, context)
    step.run(Work(rows=rows, params=params), tools)
    probes = [probe(scored, params["prompts"]) for scored in tools.scored]
    if context.rank == 0:
        write_rows(out / PROBES, probes)
    return Summary(rows=len(probes), facts=tools.facts())


class ProbingTools(StepTools):
    """Tools of a step, which keep the probability of each token of the evolver's texts."""

    scored: Sequence[ScoredCompletion] = ()

    def complete(self, requests: Sequence[Request], engine: Engine, sampling: Sampling) -> list[Completion]:
        """Return the engine's completions, and keep them with their probabilities."""
        found = self.context.generate_with_probabilities(requests, engine, sampling)
        self.scored = [*self.scored, *found]
        return [row.completion for row in found]


def probe(scored: ScoredCompletion, prompts: str) -> Probe:
    """Return the row of one completion."""
    text = scored.completion
    return Probe(
        id=text.id,
        text=text.text,
        probabilities=tuple(round(value, DIGITS) for value in scored.probabilities),
        finish_reason=text.finish_reason,
        prompts=prompts,
    )
