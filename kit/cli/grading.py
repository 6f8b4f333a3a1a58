"""``kit grade``: completions of any tool become grades; prints a line for each metric, or one JSON document."""

import contextlib
import functools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import (
    DEFAULT_STORE,
    AsJson,
    MirrorDir,
    StoreDir,
    UnsafeExec,
    app,
    check_mirror,
    path_option,
    say,
    say_json,
)
from kit.cli.completing import complete_benchmark
from kit.cli.files import BENCHMARKS, Hardware, Rows, run_bench
from kit.cli.judging import (
    JudgeBy,
    JudgeMaxTokens,
    JudgeName,
    JudgeOptions,
    JudgePrompts,
    Servers,
    Verdicts,
    judges_of,
)
from kit.cli.outcomes import unread
from kit.cli.placing import check_out, place
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.files.completions import Completions, Records
    from kit.measures import Measure
    from kit.plan.adhoc import Workbench
    from kit.records import Problem, Result
    from kit.report.judging import Judging
    from kit.store import Artifact


PROTOCOLS = ("paper", "default")
"""Ways of grading: as the authors' tools grade, and the kit's own."""


@app.command()
def grade(
    benchmark: Annotated[str, typer.Argument(help=BENCHMARKS, autocompletion=complete_benchmark)],
    completions: Annotated[
        Path,
        path_option(
            "--completions",
            "What a tool wrote (a file, .gz, .eval, .zip or a folder): lm-eval samples, OpenCompass predictions, "
            "bigcode generations, EvalPlus samples, Inspect logs, or any JSON with ids or prompts and texts",
        ),
    ],
    data: Annotated[Path | None, path_option("--data", "The benchmark's file; the pinned one by default")] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="paper: as the authors' tools grade; default: ours")
    ] = "default",
    field: Annotated[
        str | None,
        typer.Option("--field", help=r"Where the text is: dots for nested records and lists, \. for a dot of a name"),
    ] = None,
    rows: Rows = None,
    judge: JudgeName = "",
    judge_by: JudgeBy = "text",
    judge_max_tokens: JudgeMaxTokens = 2048,
    prompts: JudgePrompts = "kit",
    servers: Servers = None,
    verdicts: Verdicts = None,
    scale: Hardware = "auto",
    out: Annotated[Path | None, path_option("--out", "JSONL file of grades to write; it must not be there")] = None,
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
    unsafe_exec: UnsafeExec = False,
) -> None:
    """Completions of any tool -> grades and results; code only in the sandbox, no GPU unless a model here judges."""
    from kit import registry
    from kit.files.completions import one_text_each
    from kit.plan.adhoc import Workbench
    from kit.plan.options import benchmark_name, check_choice
    from kit.report import stored_results
    from kit.store import Store

    check_choice("--protocol", protocol, PROTOCOLS)
    name = benchmark_name(benchmark)
    if out is not None:
        check_out(out)
    check_mirror(mirror)
    module = registry.load("benchmarks", name)
    judging = JudgeOptions(
        judge=judge, by=judge_by, max_tokens=judge_max_tokens, prompts=prompts, servers=servers, verdicts=verdicts
    )
    judging.check(name, module)
    records = some_records(completions, name)
    bench = Workbench(scale if judge else "smoke", servers)  # no setting of a scale is in the key of a grading by rule
    run = functools.partial(run_bench, bench, store_path=store, mirror=mirror, quiet=json, unsafe_exec=unsafe_exec)
    problems = all_problems(bench, module, data, run, rows=rows, protocol=protocol, **judging.fields())
    found = one_text_each(records, problems, field, rows, name)
    with contextlib.ExitStack() as stack:
        texts = stack.enter_context(matched_file(name, problems[:rows], found.texts))
        judging.plan(bench, module, problems[:rows], found.texts, stack)
        (artifact,) = run([bench.grade(name, texts, len(found.texts))])
    graded = Graded(
        benchmark=name,
        version=module.VERSION,
        protocol=protocol,
        completions=found,
        tier=artifact.facts.get("sandbox"),
        results=list(stored_results(Store(store), artifact.key, module.METRICS).values()),
        measures=module.METRICS,
        judges=judges_of(artifact, Store(store), bench.plan.jobs),
    )
    for line in (*unread(artifact), *(one.line() for one in graded.judges)):
        say(line, err=True)
    if json:
        say_json(graded.to_json())
    else:
        say("\n".join(graded.lines()))
    if out is not None:  # last: a full disk takes the file, not the numbers
        place(out, lambda path: shutil.copyfile(artifact.folder / "grades.jsonl", path))


def some_records(path: Path, benchmark: str) -> "Records":
    """Return the records of a completions file; they are read before anything is fetched.

    Raises:
        RequestError: it can't be read, or has no record.
    """
    from kit.files.completions import read_records

    found = read_records(path, benchmark)
    if not found.records:
        raise RequestError(f"{one_line(str(path))}: no record; wanted one completion a problem")
    return found


def all_problems(
    bench: "Workbench",
    module: Any,
    data: Path | None,
    run: "Callable[[list[str]], list[Artifact]]",
    **fields: Any,
) -> "list[Problem]":
    """Plan a benchmark's problems, and return all that its file has.

    Args:
        bench: the workbench, whose plan gets them.
        module: the benchmark.
        data: the user's own file; the pinned file, which is fetched first, by default.
        run: function that runs jobs of the workbench, and returns their artifacts.
        fields: rows that are graded, protocol and judge, see :class:`~kit.catalogue.scales.BenchmarkRows`.
    """
    from kit.stages import data_path

    name = module.__name__.rpartition(".")[2]
    if data is None:
        key = bench.problems(name, None, **fields)
        return list(module.read(data_path(run([key])[0].folder)))
    found = list(module.read(data))
    bench.problems(name, data, len(found), **fields)
    return found


@contextlib.contextmanager
def matched_file(benchmark: str, problems: "Sequence[Problem]", texts: Sequence[str]) -> Iterator[Path]:
    """Yield a file of the texts as the kit writes completions, one a problem in their order; it is removed afterwards.

    Its bytes say alone which job grades it, wherever it lies: the same texts are graded once.
    """
    from kit.records import Completion, write_rows

    with tempfile.TemporaryDirectory(prefix="kit-") as folder:
        path = Path(folder) / f"{benchmark}-completions.jsonl"
        rows = zip(problems, texts, strict=True)
        write_rows(path, [Completion(id=problem.id, text=text) for problem, text in rows])
        yield path


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """The results of one completions file, with the facts of their grading."""

    benchmark: str
    """Name of the benchmark's module."""
    version: int
    """Version of the benchmark's grader."""
    protocol: str
    completions: "Completions"
    """The texts that were graded, and how they were found in the file."""
    tier: str | None
    """The sandbox's kind of isolation; None where no code ran."""
    results: "list[Result]"
    """One result for each metric, in the benchmark's order."""
    measures: "Mapping[str, Measure]"
    """metric -> its unit and digits."""
    judges: "Sequence[Judging]" = ()
    """Judges of the answers, with their counts; none where a rule decides."""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document that ``--json`` prints."""
        return {
            "schema": 1,
            "benchmark": self.benchmark,
            "protocol": self.protocol,
            "version": self.version,
            "field": self.completions.field,
            "layout": self.completions.layout,
            "matched_by": self.completions.matched_by,
            "matched_loosely": self.completions.loosely,
            "left_out": self.completions.left_out,
            "sandbox": self.tier,
            **({"judges": [judging.to_json() for judging in self.judges]} if self.judges else {}),
            "results": [result.to_json() for result in self.results],
        }

    def lines(self) -> Iterator[str]:
        """Yield the printed lines: each number in its unit with its standard error, then one on the grading."""
        for result in self.results:
            measure = self.measures[result.metric]
            units = f"{round(result.value * result.n):>6,} of {result.n:,}"
            if measure.kind != "share":
                units = f"{'over':>6} {result.n:,}"
            value, error = (measure.text(measure.in_unit(number)) for number in (result.value, result.stderr))
            yield f"{result.metric:28} {units} {result.unit:13} {value:>6} {measure.symbol} ±{error}"
        how = f"protocol {self.protocol}, {self.benchmark} v{self.version}" + (
            f", sandbox {self.tier}" * bool(self.tier)
        )
        yield f"{how}, {self.completions.summary()}"
