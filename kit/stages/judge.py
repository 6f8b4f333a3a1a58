"""Stage ``judge``: a judge answers the questions that a benchmark has about completions; it writes verdicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit import registry
from kit.benchmarks import Estimated, judge_prompts
from kit.catalogue.points import Point
from kit.engines import EngineSettings, Sampling
from kit.errors import KitError, shown
from kit.files.texts import HALF
from kit.judges import local
from kit.judges.settings import ServerSettings
from kit.judges.thoughts import RULE
from kit.judges.verdicts import check_questions, counts, money, request, unanswered, verdict
from kit.machine.ranks import spread
from kit.records import Completion, Problem, Question, Verdict, read_rows, write_rows
from kit.stages import VERDICTS, Context, Planning, Summary, data_path

VERSION = 1
WORKER = "text"
LABEL_TOKENS = 3
"""Tokens that count for a question by labels, for estimates: its prompt is read once for each label."""


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that asks the judge: one that asks a server, or one that runs a model."""
    return "ask" if "served" in params else WORKER


def plan(point: Point, planner: Planning) -> str:
    """Plan the verdicts on the answers of the point's model."""
    problems, judge = planner.problems(point), planner.judge(point)
    assert judge is not None, f"{point.benchmark} decides about its answers itself"
    benchmark = registry.load("benchmarks", point.benchmark)
    answers = planner.need("answer", point)
    rows = planner.expected_rows(answers)
    count = benchmark.question_count(rows, problems.protocol) if isinstance(benchmark, Estimated) else rows
    params: dict[str, Any] = {"benchmark": point.benchmark, "protocol": problems.protocol, "rows": problems.rows}
    params["judge_by"] = problems.judge_by
    if problems.judge_by == "text":
        params["sampling"] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": problems.judge_max_tokens}
        params["thoughts"] = RULE
    else:
        params["labels"] = local.RULE
    inputs = {"completions": answers, "data": planner.data(problems.dataset)}
    if point.setting.against:
        inputs["against"] = planner.need("answer", point.compared_with())
    plugins = {point.benchmark: benchmark.JUDGE_ASKS}
    resources: dict[str, Any] = {"judge": judge, "questions": count}
    if server := planner.server(judge):
        params["served"] = server.key_params()
        resources |= {"source": server.to_source(), **planner.asking_cost(server, count, problems.judge_max_tokens)}
    else:
        params |= planner.engine_params(judge)
        inputs["model"] = planner.model(judge, chat=True)
        plugins |= planner.engine_version()
        written = problems.judge_max_tokens if problems.judge_by == "text" else LABEL_TOKENS
        resources |= {"shape": judge, **planner.generation_cost(judge, count, written)}
    prompt_params, prompt_inputs = planner.prompts(problems.prompts, judge_prompts(benchmark, problems.prompts))
    return planner.job(
        "judge",
        planner.job_name(point, "benchmark", "seeds", "evolver", "base", "round", "selection", "against"),
        params | prompt_params,
        inputs | prompt_inputs,
        plugins=plugins,
        resources=resources,
        rows=count,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``verdicts.jsonl``: one :class:`~kit.records.Verdict` for each of the benchmark's questions, in order.

    Raises:
        KitError: the completions are not those of the problems, the benchmark's questions are not whole, or a server
            or its budget ends the job.
    """
    questions = _questions(params, inputs, context)
    ask = _ask_server if "served" in params else _ask_model
    verdicts, facts = ask(questions, params, inputs, context) if questions else ([], {})
    if context.rank == 0:
        write_rows(out / VERDICTS, verdicts)
    return Summary(rows=len(verdicts), facts=counts(verdicts) | facts)


def _questions(params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context) -> list[Question]:
    """Return what the benchmark asks about the completions."""
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(data_path(inputs["data"]))[: params["rows"]]
    texts = _texts(inputs["completions"], problems, params["benchmark"])
    if "against" in inputs:
        problems = benchmark.against(problems, _texts(inputs["against"], problems, params["benchmark"]))
    ids = judge_prompts(benchmark, params["prompts"])
    pack = context.pack(params["prompts"], ids, inputs.get("prompts"))
    return check_questions(benchmark.questions(problems, texts, pack, params["protocol"]), params["benchmark"])


def _texts(folder: Path, problems: Sequence[Problem], benchmark: str) -> list[str]:
    """Return a model's answers, one for each problem.

    Raises:
        KitError: they are not those of the problems.
    """
    completions = read_rows(folder / "completions.jsonl", Completion)
    if [problem.id for problem in problems] != [completion.id for completion in completions]:
        raise KitError(
            f"{benchmark}: {len(completions):,} completions don't go with {len(problems):,} problems in order"
        )
    # a judge's tokenizer takes no half of a character, which a model can write
    return [HALF.sub("\N{REPLACEMENT CHARACTER}", completion.text) for completion in completions]


Asked = tuple[list[Verdict], dict[str, Any]]
"""Verdicts in the order of the questions, and facts beside them."""


def _ask_model(
    questions: Sequence[Question], params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context
) -> Asked:
    """Return a local judge's verdicts, with the engine's name and version."""
    settings = EngineSettings(**params["engine"])
    engine = context.engine(inputs["model"], settings)
    facts = {"engine": engine.fingerprint}
    if params["judge_by"] == "labels":
        chat = local.open_chat(inputs["model"], settings)

        def compute(part: Sequence[Question]) -> list[local.Scored]:
            return local.score_labels(part, engine, chat, context.progress)

        return local.by_labels(questions, spread(questions, context.world, compute)), facts
    replies = context.generate([request(one) for one in questions], engine, Sampling(**params["sampling"]))
    read = registry.load("benchmarks", params["benchmark"]).label
    return [verdict(question, reply, read) for question, reply in zip(questions, replies, strict=True)], facts


def _ask_server(
    questions: Sequence[Question], params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context
) -> Asked:
    """Return the verdicts of a judge that a server answers for, with what they cost and how many are unanswered."""
    from kit.judges import server

    settings = ServerSettings.from_source(context.source)
    if settings.key_params() != params["served"]:
        raise KitError(
            f"served.{settings.name}: found the model {shown(settings.entry.model)}, the job wants "
            f"{shown(params['served'].get('model'))}; plan it again"
        )
    sampling = Sampling(**params["sampling"])
    asked = [request(one) for one in questions]
    replies = server.ask(asked, sampling, settings, context.replies, context.progress, phase=context.phase)
    read = registry.load("benchmarks", params["benchmark"]).label
    verdicts = [verdict(question, reply, read, reply.model) for question, reply in zip(questions, replies, strict=True)]
    return verdicts, {"server": settings.name, **unanswered(replies), **money(verdicts, settings.entry)}
