"""The judge of ``kit grade``: who decides about the answers to benchmarks that have no rule for all of them."""

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import model_option, path_option, say
from kit.errors import RequestError, one_line
from kit.reading.values import MOST_TOKENS

if TYPE_CHECKING:
    from kit.plan.adhoc import Workbench
    from kit.records import Problem
    from kit.report.judging import Judging
    from kit.store import Artifact, Job, Store

JudgeName = Annotated[
    str,
    model_option(
        "--judge", "Who judges, where a benchmark needs it: a name of manifests/models.toml or --servers, or a folder"
    ),
]
Servers = Annotated[
    Path | None,
    path_option("--servers", "Your file with [served.NAME] tables, alone or in a manifest, whose names --judge takes"),
]
JudgeBy = Annotated[
    str,
    typer.Option("--judge-by", help="text: its reply is read; labels: its likeliest label is taken (small models)"),
]
JudgeMaxTokens = Annotated[int, typer.Option("--judge-max-tokens", help="A judge's reply is cut after so many tokens")]
JudgePrompts = Annotated[str, typer.Option("--prompts", help="Whose words ask the judge: kit, paper or followbench")]
Verdicts = Annotated[
    Path | None,
    path_option("--verdicts", "Verdicts that are there already, in place of a judge: alpaca_eval's annotations.json"),
]
WAYS = ("text", "labels")
"""Ways of asking a judge."""
NAME_ONE = (
    "name one with --judge (a model of manifests/models.toml, with weights or served; a server of --servers FILE; or a "
    "model folder)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """The options of ``kit grade`` that say who judges, and how."""

    judge: str
    """Name or folder of the judge; empty without one."""
    by: str
    max_tokens: int
    prompts: str
    """The pack whose words ask the judge."""
    servers: Path | None
    """A file that names servers of the user's."""
    verdicts: Path | None
    """A file that holds the verdicts already."""

    def check(self, benchmark: str, module: Any) -> None:
        """Check that a benchmark gets a judge if, and only if, it needs one, before anything is fetched.

        Of one where rules decide some problems, :meth:`plan` checks the problems that are graded.

        Raises:
            RequestError: an option is missing, has nothing to do, or has a wrong value.
        """
        from kit.benchmarks import Annotated as TakesAnnotations
        from kit.benchmarks import Judged, PartlyJudged, judge_prompts
        from kit.cli.files import BENCHMARK_PACKS
        from kit.plan.options import check_choice, check_count

        check_choice("--judge-by", self.by, WAYS)
        check_choice("--prompts", self.prompts, BENCHMARK_PACKS)
        check_count("--judge-max-tokens", self.max_tokens, MOST_TOKENS)
        given = f"--judge {one_line(self.judge)}" if self.judge else f"--verdicts {one_line(str(self.verdicts))}"
        if self.servers and not self.judge:
            raise RequestError(f"--servers {one_line(str(self.servers))}: no --judge of it is named; name one")
        if not isinstance(module, Judged):
            if self.judge or self.verdicts:
                raise RequestError(f"{given}: {benchmark} decides about its answers by rule; leave it out")
            return
        if self.judge and self.verdicts:
            raise RequestError(f"{given}: --verdicts holds what a judge has said already; give one of the two")
        if not self.judge and not self.verdicts and not isinstance(module, PartlyJudged):
            raise RequestError(f"{benchmark}: a judge decides about its answers; {NAME_ONE}")
        if self.verdicts and not isinstance(module, TakesAnnotations):
            raise RequestError(f"{given}: {benchmark} reads no verdicts of other tools; name a --judge")
        judge_prompts(module, self.prompts)

    def fields(self) -> dict[str, Any]:
        """Return the fields of a scale's entry for the benchmark."""
        if not self.judge:
            return {}
        names = {"judge": self.judge, "judge_by": self.by, "judge_max_tokens": self.max_tokens}
        return {**names, "prompts": self.prompts}

    def plan(
        self, bench: "Workbench", module: Any, problems: "Sequence[Problem]", texts: Sequence[str], stack: ExitStack
    ) -> None:
        """Plan the judge, or the file of verdicts in its place: of none, where rules decide all of the problems.

        Args:
            bench: the workbench, whose plan gets it.
            module: the benchmark.
            problems: the problems that are graded.
            texts: the answers to them.
            stack: removes the file of verdicts afterwards.

        Raises:
            RequestError: no judge is named and a problem needs one, or the file of verdicts will not do.
        """
        from kit.benchmarks import PartlyJudged
        from kit.records import Verdict, write_rows

        rows: list[Verdict] = []
        if self.judge:
            bench.judge(self.judge, self.by)
            return
        if self.verdicts:
            rows = module.read_annotations(self.verdicts, problems, texts)
        elif isinstance(module, PartlyJudged):
            check_ruled(module, problems)
        else:
            return
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kit-")))
        write_rows(path := folder / "verdicts.jsonl", rows)
        bench.verdicts(path, len(rows))


def check_ruled(module: Any, problems: "Sequence[Problem]") -> None:
    """Check that rules decide all problems that are graded: no judge is named.

    Raises:
        RequestError: some need a judge; the message says how many, and of which groups.
    """
    judged = Counter(module.group(problem) for problem in problems if module.is_judged(problem))
    if not judged:
        return
    all_of = Counter(map(module.group, problems))
    groups = ", ".join(f"{group} {count:,} of {all_of[group]:,}" for group, count in judged.items())
    benchmark = module.__name__.rpartition(".")[2]
    raise RequestError(
        f"{benchmark}: a judge decides about {judged.total():,} of these {len(problems):,} answers ({groups}); "
        f"{NAME_ONE}"
    )


def say_estimate(missing: "Iterable[Job]") -> None:
    """Print what servers are about to be asked, before anything is; nothing where no server is asked."""
    from kit.cli.listing import price
    from kit.workers import kind_of

    if asking := [job for job in missing if kind_of(job).asks]:
        say(f"to be asked: about {price(asking)}", err=True)


def judges_of(artifact: "Artifact", store: "Store", jobs: Any) -> "list[Judging]":
    """Return who judged the answers of a grading, and how many verdicts could not be read; nothing without a judge."""
    from kit.report.judging import judgings

    return judgings([artifact.key], jobs, store)
