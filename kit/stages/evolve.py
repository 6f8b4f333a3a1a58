"""Seeds, or the last round's instructions -> one round of evolved instructions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue.points import Point
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling
from kit.files.texts import broken
from kit.records import Completion, write_rows
from kit.stages import INSTRUCTIONS, Context, Planning, Summary, decided, incoming

VERSION = 1
WORKER = "text"


def plan(at: Point, kit: Planning) -> str:
    """Plan the point's round of evolution, after the rounds before it; each is an artifact of its own."""
    setting, limits = at.setting, kit.scale.limits
    scenario = registry.load("scenarios", setting.scenario)
    name, sampling = kit.player(setting.evolver), decided(setting.evolve)
    longest = kit.capped("evolve.max_tokens", sampling.max_tokens, limits.evolve_max_tokens)
    model = kit.model(name, chat=True)
    asked, prompts = kit.wording(kit.scale.prompts, scenario.PROMPTS)
    origin = kit.instructions(at.after_round(setting.round - 1))
    params = {
        "scenario": setting.scenario,
        "round": setting.round,
        "breadth": setting.breadth,
        "seed": setting.seed,
        "sampling": {**sampling.model_dump(), "max_tokens": longest},
        **origin.params,
        **asked,
        **kit.engine(name),
    }
    return kit.job(
        "evolve",
        kit.name(at, "seeds", "evolver", "round"),
        params,
        {"model": model, **prompts, origin.role: origin.key},
        plugins={setting.scenario: scenario.VERSION, **kit.engine_version()},
        resources=kit.writing(name, origin.rows, longest),
        rows=origin.rows,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``instructions.jsonl`` (:class:`~kit.records.Instruction`), as many rows as came in.

    The evolver sees the instruction alone; input, system prompt and history go on to the responder as they are.
    """
    came = incoming(params, inputs)
    scenario = registry.load("scenarios", params["scenario"])
    pack = context.pack(params["prompts"], scenario.PROMPTS, inputs.get("prompts"))
    engine = context.engine(inputs["model"], EngineSettings(**params["engine"]))
    sampling = Sampling(**params["sampling"])
    tokens = 0

    def generate(requests: Sequence[Request]) -> list[Completion]:
        nonlocal tokens
        found = context.generate(requests, engine, sampling)
        tokens += sum(completion.tokens for completion in found)
        return found

    evolved = scenario.evolve(came.rows, params, pack, generate)
    if context.rank == 0:
        write_rows(out / INSTRUCTIONS, evolved)
    return Summary(
        rows=len(evolved),
        facts={
            "tokens": tokens,
            "cut_at_limit": sum(row.finish_reason == "length" for row in evolved),
            "too_long": sum(row.finish_reason == TOO_LONG for row in evolved),
            "broken_characters": sum(broken(row.instruction) for row in evolved),
            **came.facts(),
            "outputs_left_out": sum(bool(row.output.strip()) for row in came.rows),
            "engine": engine.fingerprint,
        },
    )
