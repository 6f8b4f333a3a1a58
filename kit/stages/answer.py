"""A model, alone or with an adapter beside it, and a benchmark's problems -> completions."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling, request_seed
from kit.machine.ranks import spread
from kit.records import Completion, write_rows
from kit.stages import Context, Summary, only_file

VERSION = 1
WORKER = "text"


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``completions.jsonl`` (:class:`~kit.records.Completion`), one a problem; greedy."""
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(only_file(inputs["data"]))[: params["rows"]]
    pack = context.pack(params["prompts"], benchmark.PROMPTS, inputs.get("prompts"))
    requests = [
        Request(
            id=problem.id,
            turns=benchmark.turns(problem, pack),
            seed=request_seed(params["seed"], "answer", problem.id),
        )
        for problem in problems
    ]
    engine = context.engine(inputs["model"], EngineSettings(**params["engine"]))
    if "adapter" in inputs:
        engine = engine.with_adapter(inputs["adapter"])
    sampling = Sampling(**params["sampling"])

    def compute(part: Sequence[Request]) -> list[Completion]:
        context.progress(0, len(part))
        return engine.generate(part, sampling, lambda done, new: context.progress(done, len(part), new))

    completions = spread(requests, context.world, compute)
    if context.rank == 0:
        write_rows(out / "completions.jsonl", completions)
    return Summary(
        rows=len(completions),
        facts={
            "tokens": sum(completion.tokens for completion in completions),
            "prompt_tokens": sum(completion.prompt_tokens for completion in completions),
            "cut_at_limit": sum(completion.finish_reason == "length" for completion in completions),
            "too_long": sum(completion.finish_reason == TOO_LONG for completion in completions),
            "engine": engine.fingerprint,
        },
    )
