"""Evolution of one's own files by one evolver or by several, for ``kit evolve``."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kit.cli import say
from kit.cli.outcomes import as_records, cut, written
from kit.cli.placing import check_out, place
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.plan.adhoc import Workbench


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Files and models that the command's options name."""

    seeds: Path
    queries: Path | None
    """Questions of users, for a scenario that joins something with them."""
    evolvers: Sequence[str]
    outs: Sequence[Path]
    """Files to write, one for each evolver."""
    rows: int | None
    """Number of seeds to use, counted from the first; all if None."""
    format: str = "auto"
    """Format of the seeds, see :data:`kit.files.formats.FORMATS`."""


def evolve_files(given: Given, setting: Mapping[str, Any], rounds: int, scale: str, store: Path) -> None:
    """Evolve a file by each evolver, and write a file for each.

    Args:
        given: files and models.
        setting: scenario, its options, breadth, seed and sampling.
        rounds: number of rounds.
        scale: name of the scale whose engine is used.
        store: folder of the store.

    Raises:
        RequestError: files or models can't be used; told before a model is loaded.
    """
    from kit.cli.files import run_bench
    from kit.files.formats import open_rows
    from kit.files.seeds import instructions_of
    from kit.files.writing import write_back
    from kit.plan.adhoc import Workbench
    from kit.records import Instruction, read_rows
    from kit.scenarios import check_round

    check_round(setting["scenario"], rounds, "--rounds")
    check_sides(given)
    origin = open_rows(given.seeds, given.format)
    count = len(instructions_of(origin, origin.stem, given.rows))
    bench = Workbench(scale)
    plan_queries(bench, given.queries, setting)
    sides = bench.evolve_together(
        given.seeds, setting, given.evolvers, rounds, rows=given.rows, count=count, format=origin.format
    )
    found = iter(run_bench(bench, [key for keys in sides for key in keys], store))
    for keys, out in zip(sides, given.outs, strict=True):
        artifacts = [next(found) for _ in keys]
        rows = read_rows(artifacts[-1].folder / "instructions.jsonl", Instruction)
        place(out, partial(write_back, rows, origin))
        after = f" after {rounds} rounds" if rounds > 1 else ""
        counts = cut(artifacts, setting["evolve"].max_tokens) + written(artifacts, count, given.rows)
        say(f"{len(rows):,} instructions{after}{counts}{as_records(origin.container)}: {out}")


def check_sides(given: Given) -> None:
    """Check that each evolver has a file of its own to write, which can be made.

    Raises:
        RequestError: there are more of the one than of the other, or one stands twice.
    """
    if len(given.evolvers) != len(given.outs):
        raise RequestError(
            f"--evolver is given {_times(given.evolvers)} and --out {_times(given.outs)}; wanted a file for each "
            "evolver, in the same order"
        )
    if repeated := next((name for name in given.evolvers if given.evolvers.count(name) > 1), None):
        raise RequestError(f"--evolver {one_line(repeated)}: given twice; wanted models that differ")
    paths = [os.path.realpath(out) for out in given.outs]
    if repeated := next((path for path in paths if paths.count(path) > 1), None):
        raise RequestError(f"--out {one_line(repeated)}: given twice; wanted a file for each evolver")
    for out in given.outs:
        check_out(out)


def _times(values: Sequence[object]) -> str:
    """Return how often an option was given, in words."""
    return f"{len(values)} time{'s' * (len(values) != 1)}"


def plan_queries(bench: "Workbench", queries: Path | None, setting: Mapping[str, Any]) -> None:
    """Plan a file of queries for the step that reads them, after a look into it.

    Raises:
        RequestError: the scenario needs one and none is given, or the other way round; or it holds too few.
    """
    from kit.files.formats import query_format
    from kit.files.seeds import read_instructions
    from kit.scenarios import check_data, data_of

    scenario, options = setting["scenario"], setting["options"]
    (name,) = data_of(scenario) or ("",)
    if queries is None:
        if name:
            raise RequestError(
                f"--queries: missing, and {scenario} joins what it writes with them; name a file of questions: a text "
                "on each line (.txt), ShareGPT's JSON or Alpaca's"
            )
        return
    if not name:
        raise RequestError(f"--queries {one_line(str(queries))}: {scenario} reads none; leave it out")
    format = query_format(queries)
    found = read_instructions(queries, format, name)
    check_data(scenario, {name: found}, options.given() if options else {})
    bench.seeds(queries, None, len(found), format=format, name=name)
