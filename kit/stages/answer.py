"""Stage ``answer``: a model, or a base and its adapter, answers a benchmark's problems; it writes completions."""

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit import registry
from kit.catalogue.points import Point
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling, adapter_room, request_seed
from kit.records import write_rows
from kit.stages import Context, Planning, Summary, data_path

VERSION = 1
WORKER = "text"


def plan(point: Point, planner: Planning) -> str:
    """Plan the answers of the point's tuned model; with an adapter, those of its base, whose jobs share an engine."""
    problems = planner.problems(point)
    benchmark = registry.load("benchmarks", point.benchmark)
    base, sft = planner.player(point.setting.base), point.setting.sft
    lora = None if sft.merge else sft.lora
    prompt_params, prompt_inputs = planner.prompts(problems.prompts, benchmark.PROMPTS)
    params = {
        "benchmark": point.benchmark,
        "rows": problems.rows,
        "seed": point.setting.seed,
        "sampling": {"temperature": 0.0, "top_p": 1.0, "max_tokens": problems.max_tokens},
        **prompt_params,
        **planner.engine_params(base, adapter_room(lora.rank, f"{point.name}: sft.lora.rank") if lora else None),
    }
    tuned = planner.need("sft", point)
    inputs = {"model": planner.model(base), "adapter": tuned} if lora else {"model": tuned}
    inputs |= {"data": planner.data(problems.dataset), **prompt_inputs}
    rows = planner.row_count(problems.dataset, problems.rows)
    return planner.job(
        "answer",
        planner.job_name(point, "benchmark", "seeds", "evolver", "base", "round", "selection"),
        params,
        inputs,
        plugins={point.benchmark: benchmark.ASKS, **planner.engine_version()},
        resources={**planner.generation_cost(base, rows, problems.max_tokens), "shape": base},
        rows=rows,
    )


def batch_order(count: int, order: int | None) -> list[int]:
    """Return the places of the problems in the order in which they are asked.

    Args:
        count: number of problems.
        order: seed of a random order that is never the problems' own where there are two or more; None for their own.
    """
    own = list(range(count))
    if order is None:
        return own
    places = random.Random(order).sample(own, count)
    return places if places != own else [*own[1:], *own[:1]]


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``completions.jsonl``: one greedy completion (:class:`~kit.records.Completion`) for each problem.

    The rows stand in the problems' order, in whatever order the parameter ``order`` of a self-test has them asked.
    """
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(data_path(inputs["data"]))[: params["rows"]]
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
    places = batch_order(len(requests), params.get("order"))
    asked = context.generate([requests[place] for place in places], engine, Sampling(**params["sampling"]))
    completions = [completion for _, completion in sorted(zip(places, asked, strict=True), key=lambda pair: pair[0])]
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
