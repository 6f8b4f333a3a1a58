"""Metrics of instruction sets. A metric is a file of this folder that satisfies :class:`Metric`.

A benchmark tests a tuned model; a metric scores the rows that a model was, or is to be, tuned on. Each row has a score.
Their mean or share stands in a table, rows can be selected by them, and they can be drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

from kit import registry
from kit.catalogue.experiments import Setting
from kit.errors import RequestError, did_you_mean, shown
from kit.measures import CurveMeasure, Measure
from kit.prompts import Pack
from kit.records import Curve, Instruction, Question, Score, Verdict

Reads: TypeAlias = Literal["instructions", "pairs", "rewrites", "probes"]
"""Rows that a metric scores: :class:`~kit.records.Instruction`, :class:`~kit.records.Pair`, :class:`Rewrite`, or
:class:`~kit.records.Probe`, what the evolver writes when it is asked to evolve the rows before the round."""
Role: TypeAlias = Literal["", "scorer", "embedder", "rewarder"]
"""Field of a setting that names the model which scores; empty for a metric that opens no model itself."""
Keeps: TypeAlias = Literal["highest", "lowest"]
"""End of the order of scores that a selection keeps."""
Option: TypeAlias = str | float | bool
"""Value of an option."""
Progress: TypeAlias = Callable[[int], None]
"""Called with the number of rows that are scored so far, of those that were handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """An instruction before and after one round of evolution."""

    id: str
    before: Instruction
    after: Instruction


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreSettings:
    """Settings with which a metric is opened; all can change a score, so all are in the job's key."""

    dtype: str = "float32"
    """``float32`` or ``bfloat16``: the type in which the model computes."""
    max_tokens: int = 2048
    """Most tokens of a row; a longer row is left out, with its reason."""
    options: Mapping[str, Option] = field(default_factory=dict)
    """Name -> value, for each of the metric's :attr:`Metric.OPTIONS`."""
    pack: Pack | None = None
    """The templates that the metric names in its :attr:`PromptedMetric.PROMPTS`; None for one that names none."""


class Scorer(Protocol):
    """A metric that is ready to score rows, with its model loaded if it has one."""

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """Return the packages, device and dtype that compute; they are recorded beside the scores."""
        ...

    def score(self, rows: Sequence[Any], progress: Progress) -> list[Score]:
        """Return one score a row, in the order of the rows; a row that can't be scored has a reason in its place.

        Args:
            rows: as the metric's ``READS`` says; a part of the set, or all of it for a metric with ``WHOLE``.
            progress: is told how many of these rows are done.
        """
        ...


class Metric(Protocol):
    """Interface of a file in ``kit/metrics``: the names that its module must define.

    A metric that no judge is asked for (:class:`JudgedMetric`) has also :func:`open`.
    """

    VERSION: int
    """Raised when the same row gets another score."""
    READS: Reads
    ROLE: Role
    WHOLE: bool
    """Whether a row's score depends on the other rows of its set, so that all are scored at once by one process."""
    METRICS: Mapping[str, Measure]
    """Id of a number -> its measure. A row's score has a value for each, or a reason why not."""
    KEEPS: Mapping[str, Keeps]
    """Id of a number by which rows can be selected -> the end of the order that is kept."""
    OPTIONS: Mapping[str, Option]
    """Name of an option -> its default; a scale or a command may set another value of the same type."""

    def open(self, model: Path | None, settings: ScoreSettings) -> Scorer:
        """Load the model of a folder, which is None for a metric without a role.

        Raises:
            RequestError: the folder's model can't give these scores, or an option has a value that is not known.
        """
        ...


@runtime_checkable
class CurvedMetric(Protocol):
    """Interface of a metric that gives curves beside its numbers, for instance the density of its scores."""

    CURVES: Mapping[str, CurveMeasure]
    """curve -> its title and the quantities along its axes."""

    def curves(self, rows: Sequence[Any], scores: Sequence[Score], options: Mapping[str, Option]) -> list[Curve]:
        """Return the lines of its curves; none where the scores draw none.

        Args:
            rows: those that were scored, for curves that show more of them than their scores.
            scores: a score a row, in the order of the rows.
            options: the metric's.
        """
        ...


@runtime_checkable
class PromptedMetric(Protocol):
    """Interface of a metric that shows its model texts in the words of templates: those of the scale's prompt pack."""

    PROMPTS: Sequence[str]
    """Ids of the templates; their hash is in the job's key."""


@runtime_checkable
class FinishedMetric(Protocol):
    """Interface of a metric whose scores depend on the other rows in a last step that takes no model."""

    def finish(self, scores: Sequence[Score], options: Mapping[str, Option]) -> list[Score]:
        """Return the scores of all rows as they are kept, by those of every process."""
        ...


@runtime_checkable
class Probed(Protocol):
    """Interface of a metric that reads probes: how an evolver is asked where no experiment says so, as by a command."""

    SCENARIO: str
    """Name of the scenario as whose first step the evolver is asked."""
    TEMPERATURE: float
    TOP_P: float


@runtime_checkable
class JudgedMetric(Protocol):
    """Interface of a metric whose scores a judge gives: a question a row, whose verdict becomes the score."""

    JUDGE_ASKS: int
    """Raised when the same row gets another verdict: what ``questions`` gives or ``label`` reads has changed."""
    JUDGE_PROMPTS: Sequence[str]
    """Ids of the templates that ``questions`` may use; see :class:`Worded`."""

    def questions(self, rows: Sequence[Any], pack: Pack, options: Mapping[str, Option]) -> list[Question]:
        """Return what the judge is asked about the rows."""
        ...

    def label(self, question: Question, reply: str) -> str:
        """Return the label that a judge's reply gives; empty where none can be read.

        Args:
            question: what was asked; if it is open, the label may be none of its own.
            reply: the judge's text, without its thoughts.
        """
        ...

    def judged(
        self, rows: Sequence[Any], verdicts: Mapping[str, Verdict], options: Mapping[str, Option]
    ) -> list[Score]:
        """Return one score a row, from the verdicts on the questions about it."""
        ...


@runtime_checkable
class Worded(Protocol):
    """Interface of a judged metric whose options choose the templates that ask."""

    def judge_prompts(self, options: Mapping[str, Option]) -> Sequence[str]:
        """Return those of ``JUDGE_PROMPTS`` that ``questions`` uses with these options.

        Raises:
            RequestError: an option has a value that is not known.
        """
        ...


@runtime_checkable
class Estimated(Protocol):
    """Interface of a judged metric whose replies are short, so that its cost is less than the longest replies'."""

    def reply_tokens(self, options: Mapping[str, Option]) -> int:
        """Return about how many tokens a judge writes for one question."""
        ...


@runtime_checkable
class AsksSeveral(Protocol):
    """Interface of a judged metric that asks several questions about a row."""

    QUESTIONS_A_ROW: int
    """Number of questions about one row, about; for estimates."""


def load(name: str) -> Metric:
    """Return the module of a metric.

    Raises:
        RequestError: there is no such metric.
    """
    found: Metric = registry.load("metrics", name)
    return found


def selecting_numbers() -> dict[str, str]:
    """Return id of each number by which rows can be selected -> the metric that gives it."""
    return {id: name for name in registry.names("metrics") for id in load(name).KEEPS}


def judged_metric(name: str) -> JudgedMetric:
    """Return the module of a metric whose scores a judge gives.

    Raises:
        RequestError: there is no such metric, or no judge is asked for it.
    """
    found = load(name)
    if not isinstance(found, JudgedMetric):
        raise RequestError(f"metric {name}: no judge gives its scores")
    return found


def judge_prompts(metric: JudgedMetric, options: Mapping[str, Option]) -> Sequence[str]:
    """Return the ids of the templates in which a metric asks with these options.

    Raises:
        RequestError: an option has a value that is not known.
    """
    return metric.judge_prompts(options) if isinstance(metric, Worded) else metric.JUDGE_PROMPTS


def metric_with(number: str, where: str) -> str:
    """Return the metric that gives a number by which rows can be selected.

    Args:
        number: id of the number, ``ic_ifd`` for instance.
        where: what names it, for the message.

    Raises:
        RequestError: no metric gives it, or nobody selects by it.
    """
    known = selecting_numbers()
    if number not in known:
        raise RequestError(f"{where}: no score named {shown(number)} to select by{did_you_mean(number, known)}")
    return known[number]


def model_of(metric: str, setting: Setting, where: str) -> str:
    """Return the paper's model that scores for a metric: the setting's for its role; empty where it opens none.

    Where no scorer is named, the base scores: the model that is to be tuned on the rows.

    Args:
        metric: name of the metric.
        setting: the setting at a point.
        where: what gives the setting, for the message.

    Raises:
        RequestError: the setting names no model for the metric's role.
    """
    role = load(metric).ROLE
    found = str(getattr(setting, role)) if role else ""
    if role == "scorer":
        found = found or setting.base
    if role and not found:
        raise RequestError(f"{where}: {role}: missing, and {metric} needs one; wanted a model's name")
    return found


def options_with(metric: str, given: Mapping[str, Option], where: str) -> dict[str, Option]:
    """Return a value for each option of a metric: those that are given, or the metric's own.

    Args:
        metric: name of the metric.
        given: name -> value.
        where: what gives them, for messages.

    Raises:
        RequestError: the metric has no such option, or it has values of another type.
    """
    known = load(metric).OPTIONS
    for name, value in given.items():
        if name not in known:
            close = did_you_mean(name, known) if known else "; it takes none"
            raise RequestError(f"{where}: {metric} takes no option {shown(name)}{close}")
        if type(value) is not type(known[name]):
            kind = {str: "a text", float: "a number", bool: "true or false"}[type(known[name])]
            raise RequestError(f"{where}.{name}: found {shown(value)}, wanted {kind}, such as {shown(known[name])}")
    return {**known, **given}
