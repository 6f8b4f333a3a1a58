"""``kit diff --benchmark``: completions of two files are graded before they are compared."""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.differences.report import Report
    from kit.differences.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Grading:
    """Options by which completions are read and graded."""

    benchmark: str
    data: Path | None
    """The benchmark's file; the pinned one by default."""
    protocol: str
    rows: int | None
    field: str | None
    """Place of the texts in their records; found by name by default."""
    score: str | None
    """Place of a score in the records, for completions that a tool has graded."""
    mirror: Path | None
    store: Path
    quiet: bool
    """Whether jobs are not shown."""
    unsafe_exec: bool

    def check(self, *, files: bool) -> None:
        """Check that the options have something to do.

        Raises:
            RequestError: one has nothing to do, has a wrong value, or excludes another.
        """
        from kit.cli.grading import PROTOCOLS
        from kit.plan.options import check_choice

        check_choice("--protocol", self.protocol, PROTOCOLS)
        given = {
            "--benchmark": self.benchmark,
            "--field": self.field,
            "--score": self.score,
            "--data": self.data,
            "--rows": self.rows,
            "--protocol": "" if self.protocol == "default" else self.protocol,
        }
        names = [f"{name} {one_line(str(value), 60)}" for name, value in given.items() if value]
        if names and not files:
            raise RequestError(f"{names[0]}: goes with two files of completions; leave it out")
        if self.benchmark and self.score:
            raise RequestError(
                f"--score {one_line(self.score, 60)}: --benchmark grades the texts anew; give one of the two"
            )
        needing = [name for name in names if name.startswith(("--data", "--rows", "--protocol"))]
        if needing and not self.benchmark:
            raise RequestError(f"{needing[0]}: goes with --benchmark, which grades the texts; name one")

    def compare(self, before: Path, after: Path) -> "Report":
        """Grade two files of completions, and compare the gradings.

        Raises:
            RequestError: one can't be read or does not go with the benchmark, or a judge would have to grade.
        """
        from kit import registry
        from kit.benchmarks import Judged
        from kit.differences.report import compare_runs
        from kit.differences.userfiles import has_grades
        from kit.plan.options import benchmark_name

        name = benchmark_name(self.benchmark)
        if isinstance(registry.load("benchmarks", name), Judged):
            raise RequestError(
                f"--benchmark {name}: a judge decides about its answers; grade both files with `kit grade {name} "
                "--judge ... --out`, and compare the grades"
            )
        for path in (before, after):
            if has_grades(path):
                raise RequestError(
                    f"--benchmark {name}: {one_line(str(path))} holds grades already; leave --benchmark out"
                )
        one = self._graded(name, before)
        return compare_runs(one, self._graded(name, after), stages=False)

    def _graded(self, name: str, path: Path) -> "Run":
        """Return the grading of one file; exit 3 if its job failed."""
        from kit import registry
        from kit.cli.files import run_bench
        from kit.cli.grading import all_problems, matched_file, some_records
        from kit.differences.runs import Measured, Run
        from kit.files.completions import one_text_each
        from kit.plan.adhoc import Workbench
        from kit.store import Store

        records, bench = some_records(path, name), Workbench("smoke")
        run = functools.partial(
            run_bench,
            bench,
            store_path=self.store,
            mirror=self.mirror,
            quiet=self.quiet,
            unsafe_exec=self.unsafe_exec,
        )
        try:
            module = registry.load("benchmarks", name)
            problems = all_problems(bench, module, self.data, run, rows=self.rows, protocol=self.protocol)
            found = one_text_each(records, problems, self.field, self.rows, name)
            with matched_file(name, problems[: self.rows], found.texts) as texts:
                (artifact,) = run([bench.grade(name, texts, len(found.texts))])
        except SystemExit:  # a job failed, and has said so; 1 would say that something moved
            sys.exit(3)
        one = Measured(id=artifact.job.id, artifact=artifact, store=Store(self.store))
        return Run(name=str(path), found={one.id: one}, named=True)
