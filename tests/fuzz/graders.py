"""Made texts against every grader: each benchmark of the registry that the kit has problems of, in both protocols.

A case is a batch of texts, one a problem, as a run grades them: what a batch shares (a process that compares answers,
a sandbox) must outlive every text in it. An empty text stands first and last in each batch, and is wrong.
"""

import functools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

from kit import registry
from kit.benchmarks import Grouped
from kit.benchmarks._results import results
from kit.catalogue import Catalogue, manifests_folder
from kit.records import Grade, Problem, read_rows, write_rows
from kit.sandbox import Sandbox, open_sandbox
from tests.fuzz import outcomes, texts
from tests.fuzz.outcomes import FaultError

NAME = "texts"
CPU_S = 120.0
"""CPU seconds for a batch, and for one of its texts alone if the batch took longer: a text takes milliseconds, and what
is not read or compared in time is given up after some seconds."""
ASLEEP_S = 180.0
"""Seconds without any CPU time used: a program in the sandbox may sleep 40."""
TEXTS = 24
"""Texts in one batch."""
IN_A_ROW = 10
"""Cases in turns of a long session."""
PROTOCOLS = ("paper", "default")


class Clocked(list[str]):
    """Texts that note the CPU time at which each is taken, where a grader goes through them one by one."""

    taken: list[float]

    def __iter__(self) -> Iterator[str]:
        self.taken = []
        for one in super().__iter__():
            self.taken.append(spent_s())
            yield one
        self.taken.append(spent_s())

    def slowest(self) -> tuple[int, float]:
        """Return the index of the text that took longest, and its CPU seconds."""
        spans = [after - before for before, after in zip(self.taken, self.taken[1:], strict=False)]
        longest = max(spans, default=0.0)
        return (spans.index(longest) if spans else 0), longest


def spent_s() -> float:
    """Return the CPU seconds of this process and of those that it started, the ended and the living."""
    total = sum(os.times()[:4])
    for path in Path("/proc/self/task").glob("*/children"):
        for pid in path.read_text(encoding="ascii").split():
            try:
                fields = (
                    Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
                )
            except OSError:  # it has just ended
                continue
            total += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return total


def names() -> list[str]:
    """Return every benchmark that the kit has."""
    return registry.names("benchmarks")


@functools.cache
def problems(benchmark: str) -> tuple[Problem, ...]:
    """Return the bundled problems of a benchmark.

    Raises:
        LookupError: the kit brings none along: a new benchmark needs some to be tried with.
    """
    catalogue = Catalogue(manifests_folder())
    found = [one for one in catalogue.datasets.values() if one.format == benchmark and one.bundled]
    # Seeds may be of a benchmark's format too; the test set is the one that its reader is tried on.
    for one in found:
        path = Path(registry.PACKAGE) / "bundled" / str(one.bundled)
        if "train" not in path.name:
            return tuple(module(benchmark).read(path))
    raise LookupError(f"{benchmark}: datasets.toml has no bundled file of this format; bundle a few problems")


def module(benchmark: str) -> ModuleType:
    """Return the module of a benchmark's file."""
    return registry.load("benchmarks", benchmark)


@functools.cache
def sandbox() -> Sandbox:
    """Return the sandbox, which is opened once."""
    return open_sandbox()


def pairs() -> list[tuple[str, str]]:
    """Return every benchmark with every protocol, in the order in which they take turns."""
    return [(benchmark, protocol) for benchmark in names() for protocol in PROTOCOLS]


def spec(rng: Random, number: int) -> dict[str, Any]:
    """Return one batch; all benchmarks and protocols take turns."""
    benchmark, protocol = pairs()[number % len(pairs())]
    known = problems(benchmark)
    rows = [rng.randrange(len(known)) for _ in range(TEXTS)]
    fields = [[name for name, value in known[row].data.items() if isinstance(value, str)] for row in rows]
    made = [texts.recipe(rng, some) for some in fields]
    return {"benchmark": benchmark, "protocol": protocol, "rows": rows, "texts": made}


def group(case: dict[str, Any]) -> str:
    """Return what a batch is counted under."""
    return f"{case['benchmark']} {case['protocol']}"


def parts(whole: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the batch's texts, each in a batch of its own: which of them was it?"""
    if len(whole["texts"]) < 2:
        return []
    return [whole | {"rows": [row], "texts": [one]} for row, one in zip(whole["rows"], whole["texts"], strict=True)]


def run(case: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Grade one batch of texts, and check its grades.

    Raises:
        FaultError: a traceback, a refusal, a text that is not a grade's fault, a grade that can't be.
    """
    known, grader = problems(case["benchmark"]), module(case["benchmark"])
    asked = [known[row] for row in case["rows"]]
    written = [texts.text(one, problem.data) for one, problem in zip(case["texts"], asked, strict=True)]
    asked, clocked = [known[0], *asked, known[0]], Clocked(["", *written, ""])
    ended = outcomes.call(
        lambda: grader.grade(asked, clocked, case["protocol"], sandbox() if grader.RUNS_CODE else None)
    )
    if ended.refused:
        raise FaultError("a text ends the run", ended.output)
    if ended.output:
        raise FaultError("printed", ended.output[:500])
    check(ended.value, asked, grader, folder)
    slowest, longest_s = clocked.slowest()
    seen = {"texts": len(written), "characters": sum(map(len, written)), **_unread(ended.value)}
    return {
        "end": outcomes.ACCEPTED,
        "seen": seen,
        "slowest_ms": round(1_000 * longest_s),
        "slowest": (["", *case["texts"], ""])[slowest],
    }


def _unread(grades: list[Grade]) -> dict[str, int]:
    """Count the texts that were given up: not read in their time, or too large to compare."""
    unread = sum("in time" in grade.reason or "could not be read" in grade.reason for grade in grades)
    return {"not read": unread, "too large": sum("too large" in grade.reason for grade in grades)}


def check(grades: list[Grade], asked: list[Problem], grader: ModuleType, folder: Path) -> None:
    """Check that grades are grades: one a problem in order, counts that can be, rows that can be written and summed up.

    Raises:
        FaultError: they are not.
    """
    if [grade.id for grade in grades] != [problem.id for problem in asked]:
        raise FaultError("wrong grade", f"{len(grades)} grades for {len(asked)} problems, or in another order")
    for grade in grades:
        sound = set(grade.scores) == set(grader.METRICS) and all(
            len(pair) == 2 and 0 <= pair[0] <= pair[1] and pair[1] > 0 and all(type(n) is int for n in pair)
            for pair in grade.scores.values()
        )
        if not sound:
            raise FaultError("wrong grade", f"{grade.id}: {grade.scores}")
    first, last = grades[0], grades[-1]
    if any(pair[0] for pair in first.scores.values()) or first.to_json() != last.to_json():
        raise FaultError("wrong grade", f"an empty text: {first.to_json()}, and after the others {last.to_json()}")
    write_rows(folder / "grades.jsonl", grades)
    if [grade.to_json() for grade in read_rows(folder / "grades.jsonl", Grade)] != [
        json.loads(json.dumps(grade.to_json())) for grade in grades
    ]:
        raise FaultError("wrong grade", "rows that were written come back as others")
    groups = {one.id: grader.group(one) for one in asked} if isinstance(grader, Grouped) else {}
    results(grades, grader.METRICS, groups)
