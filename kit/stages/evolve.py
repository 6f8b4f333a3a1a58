"""Stage ``evolve``: one round of evolution of seeds or of the last round's instructions, a job for each step."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.errors import KitError, RequestError, shown
from kit.files.seeds import Reading
from kit.records import Instruction, write_rows
from kit.registry import load
from kit.scenarios import Amount, Made, Step, Work, check_round, step_name, steps_of
from kit.stages import INSTRUCTIONS, Context, Origin, Planning, Summary, input_instructions
from kit.stages._evolving import StepTools, cost, generation
from kit.stages._options import step_options
from kit.workers import KINDS

VERSION = 1
WORKER = "text"


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that a job's step needs.

    Raises:
        RequestError: the parameters name no step of a scenario.
    """
    scenario = params.get("scenario")
    if not isinstance(scenario, str):
        return WORKER  # such a job fails as soon as it is run
    return steps_of(scenario)[step_name(scenario, params)].worker


def plan(point: Point, planner: Planning) -> str:
    """Plan the steps of the point's round, each of which is a job, and return the key of the last."""
    check_round(point.setting.scenario, point.setting.round, point.name)
    return plan_step(point, planner, len(steps_of(point.setting.scenario)) - 1)


def plan_step(point: Point, planner: Planning, number: int) -> str:
    """Plan one step of the point's round, and the jobs whose rows it reads.

    Args:
        point: the point.
        planner: adds jobs to the plan.
        number: position of the step in its scenario, from 0.
    """
    scenario, steps = point.setting.scenario, steps_of(point.setting.scenario)
    name, step = list(steps.items())[number]
    where = f"scenarios/{scenario}.py: STEPS: {name}"
    generates = KINDS[step.worker].accelerated
    params, inputs, plugins = generation(point, planner, step) if generates else ({}, {}, {})
    sides = sides_of(point, step)
    origins = [_origin(side, planner, number) for side in sides]
    own, counts = [side.at for side in sides].index(point.at), [origin.rows for origin in origins]
    params |= {"scenario": scenario, "round": point.setting.round, "seed": point.setting.seed, **origins[own].params}
    plugins |= {scenario: load("scenarios", scenario).VERSION}
    if options := step_options(point, planner, step):
        params["options"] = options
    if step.sides == "all":
        params["side"] = own
        inputs |= {f"side-{index}": origin.key for index, origin in enumerate(origins)}
    else:
        inputs[origins[own].role] = origins[own].key
    if step.data:
        seed_sets = {seeds: _seed_set(seeds, planner, where) for seeds in step.data}
        params["data"] = {seeds: dict(origin.params) for seeds, origin in seed_sets.items()}
        inputs |= {f"data-{seeds}": origin.key for seeds, origin in seed_sets.items()}
    if several := len(steps) > 1:
        params["step"] = name
        plugins[f"{scenario}/{name}"] = step.version
    sizes = {"max_tokens": params["sampling"]["max_tokens"]} if generates else {}
    amount = _amount(step, counts, own, options | sizes, where)
    return planner.job(
        "evolve",
        planner.job_name(point, "seeds", "evolver", "round") + (f"/{name}" if several else ""),
        params,
        inputs,
        plugins=plugins,
        resources=cost(point, planner, amount.texts, params),
        rows=amount.rows,
    )


def _seed_set(name: str, planner: Planning, where: str) -> Origin:
    """Return a seed set that a step names; where there is none, the error names the step."""
    try:
        return planner.seeds(name)
    except RequestError as error:
        raise RequestError(f"{where}: data: {error}") from error


def _amount(step: Step, counts: Sequence[int], own: int, options: Mapping[str, Any], where: str) -> Amount:
    """Return how many texts and rows a step is expected to write; 0 where this is not known.

    Args:
        step: the step.
        counts: expected number of rows of each side; 0 where this is not known.
        own: place of the evolver's own side.
        options: options of the step, and ``max_tokens`` of one where a model writes.
        where: place of the step, for messages.

    Raises:
        RequestError: the step expects something else than a number of rows.
    """
    if not all(counts):
        return Amount(texts=counts[own], rows=counts[own])
    if step.amount is not None:
        return step.amount(counts, own, options)
    if step.expects is None:
        return Amount(texts=counts[own], rows=counts[own])
    found = step.expects(counts)
    if type(found) is not int or found < 0:
        sides = ", ".join(map(str, counts))
        raise RequestError(f"{where}: expects: found {shown(found)} for {sides} rows, wanted a whole number from 0")
    return Amount(texts=counts[own], rows=found)


def sides_of(point: Point, step: Step) -> list[Point]:
    """Return the points whose rows a step reads: the point itself, or one for each evolver of its experiment.

    Raises:
        RequestError: an evolver uses another scenario or starts from another seed set.
    """
    if step.sides == "own":
        return [point]
    own, sides = point.setting, [side.with_round(point.setting.round) for side in point.along("evolver")]
    for other in (side.setting for side in sides):
        if other.scenario != own.scenario:
            fault, wanted = f"scenario: {other.evolver} evolves by {other.scenario}", "one scenario"
        elif other.seeds != own.seeds:
            fault, wanted = f"seeds: {other.evolver} starts from {other.seeds}, not {own.seeds}", "one seed set"
        else:
            continue
        raise RequestError(
            f"{point.name}: {fault}, and a step of {own.scenario} reads the rows of every evolver; wanted {wanted}"
        )
    return sides


def _origin(point: Point, planner: Planning, number: int) -> Origin:
    """Return the rows that a step reads: those of the step before it, of the last round, or of the seed set."""
    if number == 0:
        return planner.instructions(point.with_round(point.setting.round - 1))
    key = plan_step(point, planner, number - 1)
    return Origin(key=key, params={}, rows=planner.expected_rows(key))


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``instructions.jsonl`` (:class:`~kit.records.Instruction`), the rows that the job's step makes.

    The input, system prompt and history of an instruction are kept unchanged for the responder.
    """
    scenario = params["scenario"]
    steps, name = steps_of(scenario), step_name(scenario, params)
    step, number = steps[name], list(steps).index(name)
    row_type = list(steps.values())[number - 1].makes if number else Instruction
    side, sides = params.get("side", 0), read_sides(params, inputs, row_type)
    work = Work(
        rows=sides[side].rows,
        params=params,
        sides=[reading.rows for reading in sides] if step.sides == "all" else (),
        side=side,
        data={
            seeds: input_instructions(seed_params, {"seeds": inputs[f"data-{seeds}"]}).rows
            for seeds, seed_params in params.get("data", {}).items()
        },
    )
    tools = StepTools(name, step, params, inputs, context)
    made = step.run(work, tools)
    check_made(made, len(work.rows), step, f"scenarios/{scenario}.py: step {name}")
    if context.rank == 0:
        write_rows(out / INSTRUCTIONS, made.rows)
    return Summary(rows=len(made.rows), facts=tools.facts() | _counts(sides[side], made))


def check_made(made: Made, read: int, step: Step, where: str) -> None:
    """Check that a step wrote rows of its type, and gave a reason for each row that it left out.

    Rows of a step that says how many it expects (``expects``, ``amount``) may be other things than those that it read.

    Args:
        made: what the step returned.
        read: number of rows that it read.
        step: the step.
        where: place of the step, for messages.

    Raises:
        KitError: it did not.
    """
    for row in made.rows:
        if type(row) is not step.makes:
            raise KitError(f"{where}: wrote a row of type {type(row).__name__}, wanted {step.makes.__name__} (makes)")
    for reason, count in made.dropped.items():
        if not isinstance(reason, str) or type(count) is not int or count < 0:
            raise KitError(f"{where}: dropped: found {shown(reason)}: {shown(count)}, wanted a reason and a count")
    kept, left_out = len(made.rows), sum(made.dropped.values())
    if step.expects is None and step.amount is None and kept + left_out < read:
        raise KitError(
            f"{where}: of {read:,} rows {kept:,} were written and {left_out:,} left out for a reason; "
            "count the others in Made.dropped"
        )


def read_sides(
    params: Mapping[str, Any], inputs: Mapping[str, Path], row_type: type[Instruction]
) -> list[Reading[Instruction]]:
    """Return the rows of each side that a job reads; of one side, if it reads those of its own evolver only.

    Args:
        params: parameters of the job.
        inputs: inputs of the job.
        row_type: type of the rows, if an earlier step wrote them.
    """
    folders = [inputs[f"side-{index}"] for index in range(len(inputs)) if f"side-{index}" in inputs]
    if not folders:
        return [input_instructions(params, inputs, row_type)]
    role = "seeds" if "format" in params else "instructions"
    return [input_instructions(params, {role: folder}, row_type) for folder in folders]


def _counts(reading: Reading[Instruction], made: Made) -> dict[str, Any]:
    """Return the counts of rows that were read, and of rows that were left out, by reason."""
    reasons = {reason: count for reason, count in made.dropped.items() if count}
    dropped = {"dropped": reasons, "rows_read": len(reading.rows)} if reasons else {}
    return {**reading.facts(), "outputs_left_out": sum(bool(row.output.strip()) for row in reading.rows), **dropped}
