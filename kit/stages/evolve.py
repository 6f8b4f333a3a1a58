"""Seeds, or the last round's instructions -> one round of evolved instructions, a job for each step of the scenario."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling
from kit.errors import KitError, RequestError
from kit.files.seeds import Reading
from kit.files.texts import broken
from kit.prompts import Pack
from kit.records import Completion, Instruction, write_rows
from kit.registry import load
from kit.sandbox import Sandbox
from kit.scenarios import Made, Step, Work, step_name, steps_of
from kit.stages import INSTRUCTIONS, Context, Origin, Planning, Summary, decided, incoming
from kit.workers import find_kind

VERSION = 1
WORKER = "text"


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that a job's step wants.

    Raises:
        RequestError: its parameters name no step of a scenario.
    """
    scenario = params.get("scenario")
    if not isinstance(scenario, str):
        return WORKER  # such a job fails as soon as it is run
    return steps_of(scenario)[step_name(scenario, params)].worker


def plan(at: Point, kit: Planning) -> str:
    """Plan the last step of the point's round, after all that it is made from; each step is an artifact of its own."""
    return plan_step(at, kit, len(steps_of(at.setting.scenario)) - 1)


def plan_step(at: Point, kit: Planning, number: int) -> str:
    """Plan one step of the point's round, and what it reads.

    Args:
        at: the point.
        kit: what the jobs of a plan share.
        number: the step's place in its scenario.
    """
    scenario, steps = at.setting.scenario, steps_of(at.setting.scenario)
    name, step = list(steps.items())[number]
    params, inputs, plugins = _asking(at, kit, step) if _writes(step, name) else ({}, {}, {})
    sides = sides_of(at, step)
    origins = [_origin(side, kit, number) for side in sides]
    own, counts = [side.at for side in sides].index(at.at), [origin.rows for origin in origins]
    params |= {"scenario": scenario, "round": at.setting.round, "seed": at.setting.seed, **origins[own].params}
    plugins |= {scenario: load("scenarios", scenario).VERSION}
    if step.sides == "all":
        params["side"] = own
        inputs |= {f"side-{place}": origin.key for place, origin in enumerate(origins)}
    else:
        inputs[origins[own].role] = origins[own].key
    if step.data:
        sets = {seeds: kit.seeds(seeds) for seeds in step.data}
        params["data"] = {seeds: dict(origin.params) for seeds, origin in sets.items()}
        inputs |= {f"data-{seeds}": origin.key for seeds, origin in sets.items()}
    if several := len(steps) > 1:
        params["step"] = name
        plugins[f"{scenario}/{name}"] = step.version
    return kit.job(
        "evolve",
        kit.name(at, "seeds", "evolver", "round") + (f"/{name}" if several else ""),
        params,
        inputs,
        plugins=plugins,
        resources=_cost(at, kit, counts[own], params),
        rows=step.expects(counts) if step.expects else counts[own],
    )


def _writes(step: Step, name: str) -> bool:
    """Return whether the evolver writes texts in a step."""
    return find_kind(step.worker, f"step {name}: worker").accelerated


def _asking(at: Point, kit: Planning, step: Step) -> tuple[dict[str, Any], dict[str, str], dict[str, int]]:
    """Return parameters, inputs and plug-ins of a step in which the evolver writes."""
    name, sampling = kit.player(at.setting.evolver), decided(at.setting.evolve)
    longest = kit.capped("evolve.max_tokens", sampling.max_tokens, kit.scale.limits.evolve_max_tokens)
    model = kit.model(name, chat=True)
    asked, prompts = kit.wording(kit.scale.prompts, step.prompts)
    params = {
        "breadth": at.setting.breadth,
        "sampling": {**sampling.model_dump(), "max_tokens": longest},
        **asked,
        **kit.engine(name),
    }
    return params, {"model": model, **prompts}, kit.engine_version()


def _cost(at: Point, kit: Planning, rows: int, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cost of a step: that of its texts, where a model writes a text a row."""
    if "sampling" not in params:
        return {}
    return kit.writing(kit.player(at.setting.evolver), rows, params["sampling"]["max_tokens"])


def sides_of(at: Point, step: Step) -> list[Point]:
    """Return the points whose rows a step reads: the point itself, or one for each evolver of its experiment.

    Raises:
        RequestError: an evolver goes by another scenario.
    """
    if step.sides == "own":
        return [at]
    sides = [side.with_round(at.setting.round) for side in at.along("evolver")]
    for side in sides:
        if side.setting.scenario != at.setting.scenario:
            raise RequestError(
                f"{at.name}: scenario: {side.setting.evolver} evolves by {side.setting.scenario}, and a step of "
                f"{at.setting.scenario} reads the rows of every evolver; wanted one scenario"
            )
    return sides


def _origin(at: Point, kit: Planning, number: int) -> Origin:
    """Return the rows that a step reads: what the step before it wrote, or the last round, or the seeds."""
    if number == 0:
        return kit.instructions(at.with_round(at.setting.round - 1))
    key = plan_step(at, kit, number - 1)
    return Origin(key=key, params={}, rows=kit.rows(key))


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``instructions.jsonl`` (:class:`~kit.records.Instruction`), the rows that the job's step makes.

    What goes with an instruction, input, system prompt and history, goes on to the responder as it is.
    """
    scenario = params["scenario"]
    steps, name = steps_of(scenario), step_name(scenario, params)
    step, place = steps[name], list(steps).index(name)
    kind = list(steps.values())[place - 1].makes if place else Instruction
    side, sides = params.get("side", 0), read_sides(params, inputs, kind)
    work = Work(
        rows=sides[side].rows,
        params=params,
        sides=[came.rows for came in sides] if step.sides == "all" else (),
        side=side,
        data={
            seeds: incoming(how, {"seeds": inputs[f"data-{seeds}"]}).rows
            for seeds, how in params.get("data", {}).items()
        },
    )
    tools = StepTools(name, step, params, inputs, context)
    made = step.run(work, tools)
    if context.rank == 0:
        write_rows(out / INSTRUCTIONS, made.rows)
    return Summary(rows=len(made.rows), facts=tools.facts(made) | _counts(sides[side], made))


def read_sides(
    params: Mapping[str, Any], inputs: Mapping[str, Path], kind: type[Instruction]
) -> list[Reading[Instruction]]:
    """Return the rows of each side that a job reads, its own alone where it reads no other.

    Args:
        params: the job's.
        inputs: the job's.
        kind: type of the rows where an earlier step wrote them.
    """
    folders = [inputs[f"side-{place}"] for place in range(len(inputs)) if f"side-{place}" in inputs]
    role = "seeds" if "format" in params else "instructions"
    return [incoming(params, {role: folder}, kind) for folder in folders] or [incoming(params, inputs, kind)]


def _counts(came: Reading[Instruction], made: Made) -> dict[str, Any]:
    """Return what was read, and what of it was left out for which reason."""
    dropped = {"dropped": dict(made.dropped), "rows_read": len(came.rows)} if made.dropped else {}
    return {**came.facts(), "outputs_left_out": sum(bool(row.output.strip()) for row in came.rows), **dropped}


class StepTools:
    """Tools of one step, see :class:`kit.scenarios.Tools`: each is there for the kind of worker that has it."""

    def __init__(
        self, name: str, step: Step, params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context
    ) -> None:
        self._name, self._step, self._params, self._inputs, self._context = name, step, params, inputs, context
        self._engine = (
            context.engine(inputs["model"], EngineSettings(**params["engine"])) if "engine" in params else None
        )
        self._tokens = 0

    @cached_property
    def pack(self) -> Pack:
        """Return those templates that the step names."""
        if "prompts" not in self._params:
            raise KitError(self._missing("prompt"))
        return self._context.pack(self._params["prompts"], self._step.prompts, self._inputs.get("prompts"))

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        """Ask the evolver, with the sampling of the job; one completion a request, in order."""
        if self._engine is None:
            raise KitError(self._missing("model"))
        found = self._context.generate(requests, self._engine, Sampling(**self._params["sampling"]))
        self._tokens += sum(completion.tokens for completion in found)
        return found

    def sandbox(self) -> Sandbox:
        """Return the sandbox; a worker that is not held to its limits has none."""
        return self._context.sandbox()

    def facts(self, made: Made) -> dict[str, Any]:
        """Return the counts of the texts that the evolver wrote; none where it wrote no text."""
        if self._engine is None:
            return {}
        return {
            "tokens": self._tokens,
            "cut_at_limit": sum(row.finish_reason == "length" for row in made.rows),
            "too_long": sum(row.finish_reason == TOO_LONG for row in made.rows),
            "broken_characters": sum(broken(row.instruction) for row in made.rows),
            "engine": self._engine.fingerprint,
        }

    def _missing(self, what: str) -> str:
        """Return the message of a step that asks for what its kind of worker does not have."""
        return f"step {self._name}: a worker of the kind {self._step.worker!r} has no {what}; wanted one that has"
