"""Seeds, or the last round's instructions -> one round of evolved instructions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling
from kit.ranks import spread
from kit.records import Completion, Instruction, read_rows, write_rows
from kit.seeds import read_instructions
from kit.stages import Context, Summary, only_file

VERSION = 1


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``instructions.jsonl`` (:class:`~kit.records.Instruction`), as many rows as came in."""
    rows = incoming(params, inputs)
    scenario = registry.load("scenarios", params["scenario"])
    pack = context.pack(params["prompts"], scenario.PROMPTS, inputs.get("prompts"))
    engine = context.engine(inputs["model"], EngineSettings(**params["engine"]))
    sampling = Sampling(**params["sampling"])
    tokens = 0

    def generate(requests: Sequence[Request]) -> list[Completion]:
        def compute(part: Sequence[Request]) -> list[Completion]:
            context.progress(0, len(part))
            return engine.generate(part, sampling, lambda done, new: context.progress(done, len(part), new))

        nonlocal tokens
        found = spread(requests, context.world, compute)
        tokens += sum(completion.tokens for completion in found)
        return found

    evolved = scenario.evolve(rows, params, pack, generate)
    if context.rank == 0:
        write_rows(out / "instructions.jsonl", evolved)
    return Summary(
        rows=len(evolved),
        facts={
            "tokens": tokens,
            "cut_at_limit": sum(row.finish_reason == "length" for row in evolved),
            "too_long": sum(row.finish_reason == TOO_LONG for row in evolved),
            "engine": engine.fingerprint,
        },
    )


def incoming(params: Mapping[str, Any], inputs: Mapping[str, Path]) -> list[Instruction]:
    """The rows to be evolved: the seed file's first ``rows``, or the last round's."""
    if "instructions" in inputs:
        return read_rows(inputs["instructions"] / "instructions.jsonl", Instruction)
    return read_instructions(only_file(inputs["seeds"]), params["format"], params["seeds"], params["rows"])
