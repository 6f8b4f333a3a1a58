"""Plans the scores of a user's own rows: the same job as a manifest's, decided by a command's options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kit import metrics
from kit.catalogue.scales import MetricRows
from kit.errors import RequestError, one_line, shown
from kit.metrics import JudgedMetric, Metric, Option, options_with
from kit.plan.adhoc import Workbench
from kit.plan.options import point_of_options
from kit.records import Instruction, Row, write_rows
from kit.stages import INSTRUCTIONS, PAIRS

BEFORE = "before"
"""Name of the seed set of the instructions before a rewrite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedScores:
    """The options of ``kit score`` that decide its job."""

    metric: str
    """Name of a file of ``kit/metrics``."""
    model: str = ""
    """Name or folder of the model that scores; empty without one."""
    judge: str = ""
    """Name or folder of the judge; empty without one."""
    judge_by: Literal["text", "labels"] = "text"
    prompts: Literal["kit", "paper"] = "kit"
    """The pack whose words ask the judge."""
    max_tokens: int = 2048
    """Longest row that is scored, or longest reply of a judge."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Options of the metric, in the place of its defaults."""

    @property
    def module(self) -> Metric:
        """Return the module that computes the scores."""
        return metrics.load(self.metric)

    @property
    def is_judged(self) -> bool:
        """Return whether a judge gives the scores."""
        return isinstance(self.module, JudgedMetric)

    def check(self) -> None:
        """Check that the metric gets a model, a judge and options if, and only if, it takes them.

        Raises:
            RequestError: one is missing, or has nothing to do.
        """
        role = self.module.ROLE
        if role and not self.model:
            raise RequestError(
                f"{self.metric}: a model scores; name it with --model (a model of manifests/models.toml, or a model "
                "folder)"
            )
        if self.model and not role:
            raise RequestError(f"--model {one_line(self.model)}: {self.metric} opens none; leave it out")
        if self.is_judged and not self.judge:
            raise RequestError(
                f"{self.metric}: a judge scores; name it with --judge (a model of manifests/models.toml, with weights "
                "or served; a server of --servers FILE; or a model folder)"
            )
        if self.judge and not self.is_judged:
            raise RequestError(f"--judge {one_line(self.judge)}: no judge is asked for {self.metric}; leave it out")
        options_with(self.metric, self.options, "--set")


def parsed_options(texts: Sequence[str], metric: str) -> dict[str, Option]:
    """Return the options of a metric that ``--set NAME=VALUE`` gives, each of the type of its default.

    Raises:
        RequestError: the metric takes no such option, or not this value, or one is given twice.
    """
    known, found = metrics.load(metric).OPTIONS, dict[str, Option]()
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign:
            raise RequestError(f"--set {one_line(text, 60)}: wanted NAME=VALUE")
        if name in found:
            raise RequestError(f"--set {one_line(name, 60)}: given twice, and it takes one value; leave the other out")
        found[name] = _value(value, known[name], name) if name in known else value
    return options_with(metric, found, "--set")


def _value(text: str, default: Option, name: str) -> Option:
    """Return a text as a value of the type of an option's default."""
    if isinstance(default, bool):
        if text in ("true", "false"):
            return text == "true"
        raise RequestError(f"--set {name}: found {shown(text)}, wanted true or false")
    if isinstance(default, str):
        return text
    try:
        return float(text)
    except ValueError:
        raise RequestError(f"--set {name}: found {shown(text)}, wanted a number, such as {default}") from None


def plan_scores(
    bench: Workbench,
    asked: AskedScores,
    rows: Sequence[Row],
    *,
    folder: Path,
    name: str,
    before: Sequence[Instruction] = (),
) -> str:
    """Plan the scores of some rows, and return their key.

    Args:
        bench: the workbench.
        asked: what is computed.
        rows: what is scored, as the metric reads it; their bytes and the options alone decide the job.
        folder: an empty folder for files of the rows, which is there until the jobs have run.
        name: name of the rows, for ids of jobs.
        before: the instructions before the rewrite, one a row, for a metric that reads rewrites.
    """
    metric = asked.module
    stage, file = ("respond", PAIRS) if metric.READS == "pairs" else ("evolve", INSTRUCTIONS)
    write_rows(folder / file, rows)
    bench.given.stages[stage] = bench.file(folder / file, stage, rows=len(rows))
    if before:
        write_rows(folder / f"{BEFORE}.jsonl", before)
        bench.seeds(folder / f"{BEFORE}.jsonl", None, len(before), name=BEFORE)
    setting: dict[str, Any] = {"seeds": BEFORE if before else name, "round": 1}
    if metric.ROLE:
        bench.model(asked.model)
        setting[metric.ROLE] = asked.model
    if asked.judge:
        bench.judge(asked.judge, asked.judge_by)
        setting["judge"] = asked.judge
    spec = MetricRows(
        max_tokens=asked.max_tokens, prompts=asked.prompts, judge_by=asked.judge_by, options=dict(asked.options)
    )
    bench.planner.scale = bench.scale.model_copy(update={"metrics": {asked.metric: spec}})
    return bench.planner.need("score", point_of_options(**setting).with_benchmark(asked.metric))
