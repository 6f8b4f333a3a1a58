"""A model, alone or with an adapter beside it, and a benchmark's problems -> completions."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue.points import Point
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling, adapter_room, request_seed
from kit.records import write_rows
from kit.stages import Context, Planning, Summary, only_file

VERSION = 1
WORKER = "text"


def plan(at: Point, kit: Planning) -> str:
    """Plan the answers of the point's tuned model, or of its base with an adapter: a base's jobs share a start."""
    problems = kit.problems(at)
    benchmark = registry.load("benchmarks", at.benchmark)
    base, spec = kit.player(at.setting.base), at.setting.sft
    lora = None if spec.merge else spec.lora
    asked, prompts = kit.wording(problems.prompts, benchmark.PROMPTS)
    params = {
        "benchmark": at.benchmark,
        "rows": problems.rows,
        "seed": at.setting.seed,
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": problems.max_tokens},
        **asked,
        **kit.engine(base, adapter_room(lora.rank, f"{at.name}: sft.lora.rank") if lora else None),
    }
    tuned = kit.need("sft", at)
    inputs = {"model": kit.model(base), "adapter": tuned} if lora else {"model": tuned}
    inputs |= {"data": kit.data(problems.dataset), **prompts}
    rows = kit.count(problems.dataset, problems.rows)
    return kit.job(
        "answer",
        kit.name(at, "benchmark", "seeds", "evolver", "base", "round"),
        params,
        inputs,
        plugins={at.benchmark: benchmark.ASKS, **kit.engine_version()},
        resources={**kit.writing(base, rows, problems.max_tokens), "shape": base},
        rows=rows,
    )


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
    completions = context.generate(requests, engine, Sampling(**params["sampling"]))
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
