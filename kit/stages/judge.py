"""Stage ``judge``: a judge answers the questions that a benchmark has about completions; it writes verdicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.benchmarks import Estimated, judge_prompts
from kit.catalogue.points import Point
from kit.engines import EngineSettings, Sampling
from kit.errors import KitError
from kit.files.texts import HALF
from kit.judges import check_questions, counts, local, request, verdict
from kit.machine.ranks import spread
from kit.records import Completion, Question, Verdict, read_rows, write_rows
from kit.stages import VERDICTS, Context, Planning, Summary, data_path

VERSION = 1
WORKER = "text"


def plan(point: Point, planner: Planning) -> str:
    """Plan the verdicts on the answers of the point's model."""
    problems = planner.problems(point)
    benchmark = registry.load("benchmarks", point.benchmark)
    judge = planner.judge(point)
    assert judge is not None, f"{point.benchmark} decides about its answers itself"
    prompt_params, prompt_inputs = planner.prompts(problems.prompts, judge_prompts(benchmark, problems.prompts))
    answers = planner.need("answer", point)
    params = {
        "benchmark": point.benchmark,
        "protocol": problems.protocol,
        "rows": problems.rows,
        "judge_by": problems.judge_by,
        **prompt_params,
        **planner.engine_params(judge),
    }
    if problems.judge_by == "text":
        params["sampling"] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": problems.judge_max_tokens}
    inputs = {"completions": answers, "data": planner.data(problems.dataset), "model": planner.model(judge, chat=True)}
    rows = planner.expected_rows(answers)
    count = benchmark.question_count(rows, problems.protocol) if isinstance(benchmark, Estimated) else rows
    written = problems.judge_max_tokens if problems.judge_by == "text" else len(("a", "label"))
    return planner.job(
        "judge",
        planner.job_name(point, "benchmark", "seeds", "evolver", "base", "round"),
        params,
        inputs | prompt_inputs,
        plugins={point.benchmark: benchmark.JUDGE_ASKS, **planner.engine_version()},
        resources={**planner.generation_cost(judge, count, written), "shape": judge, "judge": judge},
        rows=count,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``verdicts.jsonl``: one :class:`~kit.records.Verdict` for each of the benchmark's questions, in order.

    Raises:
        KitError: the completions are not those of the problems, or the benchmark's questions are not whole.
    """
    questions = _questions(params, inputs, context)
    verdicts, facts = _ask(questions, params, inputs, context) if questions else ([], {})
    if context.rank == 0:
        write_rows(out / VERDICTS, verdicts)
    return Summary(rows=len(verdicts), facts=counts(verdicts) | facts)


def _questions(params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context) -> list[Question]:
    """Return what the benchmark asks about the completions."""
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(data_path(inputs["data"]))[: params["rows"]]
    completions = read_rows(inputs["completions"] / "completions.jsonl", Completion)
    if [problem.id for problem in problems] != [completion.id for completion in completions]:
        raise KitError(
            f"{params['benchmark']}: {len(completions):,} completions don't go with {len(problems):,} problems in order"
        )
    # a judge's tokenizer takes no half of a character, which a model can write
    texts = [HALF.sub("\N{REPLACEMENT CHARACTER}", completion.text) for completion in completions]
    ids = judge_prompts(benchmark, params["prompts"])
    pack = context.pack(params["prompts"], ids, inputs.get("prompts"))
    return check_questions(benchmark.questions(problems, texts, pack, params["protocol"]), params["benchmark"])


def _ask(
    questions: Sequence[Question], params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context
) -> tuple[list[Verdict], dict[str, Any]]:
    """Return a local judge's verdicts, with the engine's name and version."""
    settings = EngineSettings(**params["engine"])
    engine = context.engine(inputs["model"], settings)
    facts = {"engine": engine.fingerprint}
    if params["judge_by"] == "labels":
        chat = local.open_chat(inputs["model"], settings)

        def compute(part: Sequence[Question]) -> list[Verdict]:
            return local.by_labels(part, engine, chat, context.progress)

        return spread(questions, context.world, compute), facts
    replies = context.generate([request(one) for one in questions], engine, Sampling(**params["sampling"]))
    read = registry.load("benchmarks", params["benchmark"]).label
    return [verdict(question, reply, read) for question, reply in zip(questions, replies, strict=True)], facts
