"""Benchmarks, the tests of a model. A benchmark is a file of this folder that satisfies :class:`Benchmark`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from kit.errors import RequestError
from kit.measures import CurveMeasure, Measure
from kit.prompts import Pack
from kit.records import Curve, Grade, Problem, Question, Turn, Verdict
from kit.sandbox import Sandbox


class Benchmark(Protocol):
    """Interface of a file in ``kit/benchmarks``: the names that its module must define."""

    VERSION: int
    """Raised when the same completion gets another grade; nothing has to be asked again."""
    ASKS: int
    """Raised when the same problem is asked in another way: what ``read`` or ``turns`` give has changed."""
    DATASET: str
    """The file that it asks where no other is named, of ``manifests/datasets.toml``."""
    PROMPTS: Sequence[str]
    """Ids of the templates that ``turns`` may use; none if the pack does not matter."""
    SOURCE: str
    """Permalink of the official grader."""
    METRICS: Mapping[str, Measure]
    """metric -> its title, unit and digits, and how grades become its number; in the order of the tables' columns."""
    RUNS_CODE: bool
    """Whether grading runs model-written code, so that a sandbox is needed."""

    def read(self, path: Path) -> list[Problem]:
        """Read the problems from the benchmark's own file.

        Raises:
            RequestError: not the benchmark's format, or an id stands twice.
        """
        ...

    def turns(self, problem: Problem, pack: Pack) -> tuple[Turn, ...]:
        """Return the chat that asks a problem, in the words of ``pack``."""
        ...

    def grade(
        self, problems: Sequence[Problem], texts: Sequence[str], protocol: str, sandbox: Sandbox | None
    ) -> list[Grade]:
        """Return one grade a text, in the order of the problems.

        A text may be hostile: it is read by :mod:`kit.benchmarks._reading_time`, within a limit of CPU time and memory.

        Args:
            problems: what was asked.
            texts: what was answered, one a problem.
            protocol: ``paper`` (evaluation as the authors' tools do it) or ``default``.
            sandbox: where model-written code runs; never ``None`` for a benchmark with ``RUNS_CODE``.
        """
        ...


@runtime_checkable
class Grouped(Protocol):
    """Interface of a benchmark that has a metric of the kind ``mean over groups``."""

    def group(self, problem: Problem) -> str:
        """Return the group of a problem, for instance its subject; no empty text."""
        ...


@runtime_checkable
class Curved(Protocol):
    """Interface of a benchmark that gives curves beside its numbers, for instance densities."""

    CURVES: Mapping[str, CurveMeasure]
    """curve -> its title and the quantities along its axes."""

    def curves(self, problems: Sequence[Problem], texts: Sequence[str], grades: Sequence[Grade]) -> list[Curve]:
        """Return the lines of its curves, one for each group; the three arguments have one order."""
        ...


UNREADABLE = "no verdict could be read"
"""The ``reason`` of a grade that lacks a label because the judge's reply has none."""


@runtime_checkable
class ReadsFolder(Protocol):
    """Interface of a benchmark whose problems stand in several files of one folder, which ``read`` takes."""

    FILES: Sequence[str]
    """Names of the files."""


@runtime_checkable
class Judged(Protocol):
    """Interface of a benchmark whose completions, or some of them, a judge decides; it has no ``grade`` of its own."""

    JUDGE_ASKS: int
    """Raised when the same completion gets another verdict: what ``questions`` gives or ``label`` reads has changed."""
    JUDGE_PROMPTS: Sequence[str] | Mapping[str, Sequence[str]]
    """Ids of the templates that ``questions`` may use; where packs differ in them, pack -> its ids."""

    def questions(self, problems: Sequence[Problem], texts: Sequence[str], pack: Pack, protocol: str) -> list[Question]:
        """Return what the judge is asked: any number of questions a problem, none where a rule decides.

        Args:
            problems: what was asked.
            texts: what was answered, one a problem.
            pack: the words of the questions.
            protocol: ``paper`` or ``default``.
        """
        ...

    def label(self, question: Question, reply: str) -> str:
        """Return the label that a judge's reply gives, one of the question's; empty where none can be read.

        Args:
            question: what was asked.
            reply: the judge's text, without its thoughts.
        """
        ...

    def grade_judged(
        self, problems: Sequence[Problem], texts: Sequence[str], verdicts: Mapping[str, Verdict], protocol: str
    ) -> list[Grade]:
        """Return one grade a text, in the order of the problems.

        Args:
            problems: what was asked.
            texts: what was answered, one a problem; they may be hostile, as in :meth:`Benchmark.grade`.
            verdicts: id of a question -> the judge's verdict; one for each of ``questions``.
            protocol: ``paper`` or ``default``.
        """
        ...


@runtime_checkable
class PartlyJudged(Judged, Protocol):
    """Interface of a judged benchmark where rules decide some problems, so that a part of them may need no judge."""

    def is_judged(self, problem: Problem) -> bool:
        """Return whether a judge decides the answers to a problem, and no rule."""
        ...

    def group(self, problem: Problem) -> str:
        """Return the group of a problem, as :class:`Grouped` has it."""
        ...


@runtime_checkable
class Estimated(Protocol):
    """Interface of a judged benchmark that has not one question for each problem: what its judge will cost."""

    def question_count(self, rows: int, protocol: str) -> int:
        """Return about how many questions so many problems give."""
        ...


@runtime_checkable
class HasItems(Protocol):
    """Interface of a benchmark that scores several problems together, so that a part of its rows ends with an item."""

    ITEM_ROWS: int
    """Problems of one item, which stand together."""


@runtime_checkable
class Pairwise(Protocol):
    """Interface of a judged benchmark that compares each answer with a text of its own file, or of another model."""

    def against(self, problems: Sequence[Problem], texts: Sequence[str]) -> list[Problem]:
        """Return the problems, each with one of these texts in the place of the text that its answer is compared with.

        Args:
            problems: what was asked.
            texts: what the other model answered, one a problem.
        """
        ...


@runtime_checkable
class Annotated(Protocol):
    """Interface of a judged benchmark that can take over verdicts which its own tool has written."""

    def read_annotations(self, path: Path, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
        """Return the verdicts of a file, for :meth:`Judged.grade_judged`.

        Raises:
            RequestError: not the tool's format, a problem has no verdict, or the verdict is on another text.
        """
        ...


def judge_prompts(benchmark: Judged, pack: str) -> Sequence[str]:
    """Return the ids of the templates of a pack that a benchmark's judge may be asked with.

    Raises:
        RequestError: the benchmark has no wording of this pack.
    """
    ids = benchmark.JUDGE_PROMPTS
    if not isinstance(ids, Mapping):
        return ids
    if pack not in ids:
        raise RequestError(f"prompt pack {pack!r} has no words for this benchmark's judge; known: {', '.join(ids)}")
    return ids[pack]
