"""Stage ``judge``: a judge answers questions about completions, or about instructions; it writes verdicts.

What is asked is a benchmark's business (:class:`kit.benchmarks.Judged`), or a metric's, which asks about the rows of an
instruction set (:class:`kit.metrics.JudgedMetric`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kit import metrics, registry
from kit.benchmarks import Estimated, judge_prompts
from kit.catalogue.points import Point
from kit.engines import EngineSettings, Sampling
from kit.errors import KitError, shown
from kit.files.parts import in_parts
from kit.files.texts import HALF
from kit.judges import local
from kit.judges.settings import ServerSettings
from kit.judges.thoughts import RULE
from kit.judges.verdicts import ReadLabel, check_questions, counts, money, request, unanswered, verdict
from kit.machine.ranks import spread
from kit.metrics import judged_metric
from kit.records import Completion, Problem, Question, Verdict, read_rows, write_rows
from kit.stages import VERDICTS, Context, Planning, Summary, data_path
from kit.stages._metric_rows import planned_rows, read_metric_rows

VERSION = 1
WORKER = "text"
LABEL_TOKENS = 3
"""Tokens that count for a question by labels, for estimates: its prompt is read once for each label."""


def worker(params: Mapping[str, Any]) -> str:
    """Return the kind of worker that asks the judge: one that asks a server, or one that runs a model."""
    return "ask" if "served" in params else WORKER


def plan(point: Point, planner: Planning) -> str:
    """Plan the verdicts on the answers of the point's model, or on its instructions where a metric asks about them."""
    if point.benchmark in registry.names("metrics"):
        return _plan_metric(point, planner)
    problems, judge = planner.problems(point), planner.judge(point)
    assert judge is not None, f"{point.benchmark} decides about its answers itself"
    benchmark = registry.load("benchmarks", point.benchmark)
    answers = planner.need("answer", point)
    rows = planner.expected_rows(answers)
    inputs = {"completions": answers, "data": planner.data(problems.dataset)}
    if point.setting.against:
        inputs["against"] = planner.need("answer", point.compared_with())
    asking = _Asking(
        judge=judge,
        by=problems.judge_by,
        max_tokens=problems.judge_max_tokens,
        expected_tokens=problems.judge_max_tokens,
        questions=benchmark.question_count(rows, problems.protocol) if isinstance(benchmark, Estimated) else rows,
        pack=problems.prompts,
        templates=judge_prompts(benchmark, problems.prompts),
        params={"benchmark": point.benchmark, "protocol": problems.protocol, "rows": problems.rows},
        inputs=inputs,
        plugins={point.benchmark: benchmark.JUDGE_ASKS},
    )
    fields = ("benchmark", "seeds", "evolver", "base", "round", "selection", "against")
    return _plan_asking(asking, planner.job_name(point, *fields), planner)


def _plan_metric(point: Point, planner: Planning) -> str:
    """Plan the verdicts on the rows of the point's instruction set."""
    name, spec, judge = point.benchmark, planner.metric(point), planner.judge(point)
    assert judge is not None, f"{name} scores its rows itself"
    metric = judged_metric(name)
    options = metrics.options_with(name, spec.options, f"metrics.{name}.options")
    templates = metrics.judge_prompts(metric, options)
    rows = planned_rows(metrics.load(name), point, spec.rows, planner)
    asking = _Asking(
        judge=judge,
        by=spec.judge_by,
        max_tokens=spec.max_tokens,
        expected_tokens=metric.reply_tokens(options) if isinstance(metric, metrics.Estimated) else spec.max_tokens,
        questions=rows.count * (metric.QUESTIONS_A_ROW if isinstance(metric, metrics.AsksSeveral) else 1),
        pack=spec.prompts or planner.scale.prompts,
        templates=templates,
        params={"metric": name, "options": options, **rows.params},
        inputs=rows.inputs,
        plugins={name: metric.JUDGE_ASKS},
    )
    return _plan_asking(asking, f"{name}/{planner.job_name(point, 'seeds', 'evolver', 'round')}", planner)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asking:
    """Judge of a job, with what it is asked and the way in which it is asked."""

    judge: str
    """Name of the model that plays the judge."""
    by: str
    """``text`` or ``labels``."""
    max_tokens: int
    """A reply is cut after so many tokens."""
    expected_tokens: int
    """Tokens of a reply, for estimates."""
    questions: int
    pack: str
    """Name of the prompt pack with the words of the questions."""
    templates: Sequence[str]
    """Ids of the templates that the questions may use."""
    params: Mapping[str, Any]
    """Parameters that tell what is asked."""
    inputs: Mapping[str, str]
    """Artifacts with what is asked about: role -> key."""
    plugins: Mapping[str, int]
    """Name of the plug-in that asks -> the version of its questions."""


def _plan_asking(asking: _Asking, name: str, planner: Planning) -> str:
    """Plan the job that asks a judge, after its model, if it has weights; and return the job's key.

    Args:
        asking: who is asked, what and how.
        name: part of the job's id after the stage.
        planner: adds jobs to the plan.
    """
    params, inputs, plugins = {**asking.params, "judge_by": asking.by}, dict(asking.inputs), dict(asking.plugins)
    if asking.by == "text":
        params["sampling"] = {"temperature": 0.0, "top_p": 1.0, "max_tokens": asking.max_tokens}
        params["thoughts"] = RULE
    else:
        params["labels"] = local.RULE
    count, written = asking.questions, min(asking.expected_tokens, asking.max_tokens)
    resources: dict[str, Any] = {"judge": asking.judge, "questions": count}
    if server := planner.server(asking.judge):
        params["served"] = server.key_params()
        resources |= {"source": server.to_source(), **planner.asking_cost(server, count, written)}
    else:
        params |= planner.engine_params(asking.judge)
        inputs["model"] = planner.model(asking.judge, chat=True)
        plugins |= planner.engine_version()
        tokens = written if asking.by == "text" else LABEL_TOKENS
        resources |= {"shape": asking.judge, **planner.generation_cost(asking.judge, count, tokens)}
    prompt_params, prompt_inputs = planner.prompts(asking.pack, asking.templates)
    return planner.job(
        "judge",
        name,
        params | prompt_params,
        inputs | prompt_inputs,
        plugins=plugins,
        resources=resources,
        rows=count,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``verdicts.jsonl``: one :class:`~kit.records.Verdict` for each question, in order.

    Raises:
        KitError: the completions are not those of the problems, there are no rows, the questions are not whole, or a
            server or its budget ends the job.
    """
    questions = _questions(params, inputs, context)
    ask = _ask_server if "served" in params else _ask_model
    verdicts, facts = ask(questions, params, inputs, context) if questions else ([], {})
    if context.rank == 0:
        write_rows(out / VERDICTS, verdicts)
    return Summary(rows=len(verdicts), facts=counts(verdicts) | facts)


def _questions(params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context) -> list[Question]:
    """Return the questions of the job's benchmark about completions, or of its metric about instructions."""
    if "metric" in params:
        return _questions_about_rows(params, inputs, context)
    benchmark = registry.load("benchmarks", params["benchmark"])
    problems = benchmark.read(data_path(inputs["data"]))[: params["rows"]]
    texts = _texts(inputs["completions"], problems, params["benchmark"])
    if "against" in inputs:
        problems = benchmark.against(problems, _texts(inputs["against"], problems, params["benchmark"]))
    ids = judge_prompts(benchmark, params["prompts"])
    pack = context.pack(params["prompts"], ids, inputs.get("prompts"))
    asked = benchmark.questions(problems, texts, pack, params["protocol"])
    return check_questions(asked, f"benchmarks/{params['benchmark']}.py")


def _questions_about_rows(params: Mapping[str, Any], inputs: Mapping[str, Path], context: Context) -> list[Question]:
    """Return the questions of the job's metric about the rows of an instruction set, whose texts are fit for a model.

    Raises:
        KitError: there are no rows.
    """
    name, options = params["metric"], params["options"]
    metric, rows = judged_metric(name), read_metric_rows(metrics.load(name), params, inputs)
    if not rows:
        raise KitError(f"{name}: there are no rows to ask a judge about")
    pack = context.pack(params["prompts"], metrics.judge_prompts(metric, options), inputs.get("prompts"))
    return check_questions(metric.questions(rows, pack, options), f"metrics/{name}.py")


def _label_reader(params: Mapping[str, Any]) -> ReadLabel:
    """Return the function that reads a label off a reply: the job's benchmark's, or its metric's."""
    if "metric" in params:
        return judged_metric(params["metric"]).label
    found: ReadLabel = registry.load("benchmarks", params["benchmark"]).label
    return found


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

        def compute(first: int, part: Sequence[Question]) -> list[local.Scored]:
            def progress(done: int, _: int) -> None:
                context.progress(first + min(done * context.world, len(part)), len(questions))

            return spread(part, context.world, lambda share: local.score_labels(share, engine, chat, progress))

        scored = in_parts(questions, local.Scored, context.parts, compute, writes=context.rank == 0)
        return local.by_labels(questions, scored), facts
    replies = context.generate([request(one) for one in questions], engine, Sampling(**params["sampling"]))
    read = _label_reader(params)
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
    read = _label_reader(params)
    verdicts = [verdict(question, reply, read, reply.model) for question, reply in zip(questions, replies, strict=True)]
    return verdicts, {"server": settings.name, **unanswered(replies), **money(verdicts, settings.entry)}
