"""``kit decontaminate``: training rows that repeat test items are named, and left out on request."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import DEFAULT_STORE, AsJson, MirrorDir, StoreDir, app, check_mirror, path_option, say, say_json
from kit.cli.completing import complete_scale
from kit.cli.files import Format
from kit.cli.placing import check_out, place
from kit.errors import KitError, RequestError, did_you_mean, listed, one_line

if TYPE_CHECKING:
    from kit.files.rowfiles import RowFile
    from kit.overlap import Item, Match
    from kit.plan.adhoc import Workbench

ALL = "default"
"""The word for every benchmark that the scale has."""
MOST_SHOWN = 20
"""Rows that are printed with their texts; the JSON document has all."""
LONGEST_TEXT = 300
"""Characters of a text that are printed; the JSON document has all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Training rows and the test items that they were compared with."""

    data: Path
    origin: "RowFile"
    items: "list[Item]"
    matches: "list[Match]"
    absent: dict[str, str] = field(default_factory=dict)
    """Benchmark whose file could not be had -> the reason."""

    def repeating(self) -> set[int]:
        """Return the positions of the rows that repeat an item."""
        return {match.row for match in self.matches}

    def kept(self) -> list[int]:
        """Return the positions of the other rows.

        Raises:
            KitError: there is none.
        """
        repeating = self.repeating()
        if kept := [row for row in range(len(self.origin.records)) if row not in repeating]:
            return kept
        raise KitError(f"{one_line(str(self.data))}: every row repeats a test item, so none stays; is it a test set?")

    def row_text(self, row: int) -> str:
        """Return the texts of a training row."""
        from kit.overlap.words import texts_of

        return "\n".join(texts_of(self.origin.records[row][1]))

    def to_json(self, written: Path | None) -> dict[str, Any]:
        """Return the JSON document that ``--json`` prints."""
        tests = Counter(item.test for item in self.items)
        return {
            "schema": 1,
            "data": str(self.data),
            "rows": len(self.origin.records),
            "overlapping": len(self.repeating()),
            "against": dict(tests),
            "absent": self.absent,
            "written": None if written is None else str(written),
            "matches": [
                {
                    "row": match.row,
                    "where": self.origin.records[match.row][0],
                    "test": self.items[match.item].test,
                    "id": self.items[match.item].id,
                    "shared": match.shared,
                    "grams": match.grams,
                    "row_text": self.row_text(match.row),
                    "test_text": self.items[match.item].text,
                }
                for match in self.matches
            ],
        }

    def lines(self) -> Iterator[str]:
        """Yield the printed lines: how many rows repeat items, and the first of them with both texts."""
        from kit.overlap import GRAM
        from kit.overlap.words import excerpt, texts_of, words

        rows, repeating = len(self.origin.records), len(self.repeating())
        tests = Counter(item.test for item in self.items)
        against = ", ".join(f"{one_line(name)} ({count:,} items)" for name, count in tests.items())
        yield (
            f"{repeating:,} of {rows:,} rows ({repeating / rows:.2%}) repeat more than half of a test item; "
            f"compared with {against}"
        )
        for name, reason in self.absent.items():
            yield f"not compared with {name}: {reason}"
        for match in self.matches[:MOST_SHOWN]:
            item, (where, record) = self.items[match.item], self.origin.records[match.row]
            short = len(words(item.text)) < GRAM
            part = "the whole" if short else f"{match.shared} of the {match.grams} {GRAM}-grams"
            yield f"{where} has {part} of {one_line(item.test)} {one_line(item.id, 100)}"
            yield f"  row:  {one_line(excerpt(texts_of(record), item.text, LONGEST_TEXT), LONGEST_TEXT)}"
            yield f"  test: {one_line(item.text, LONGEST_TEXT)}"
        if len(self.matches) > MOST_SHOWN:
            yield f"{len(self.matches) - MOST_SHOWN:,} more of these; --json prints all of them"


@app.command()
def decontaminate(
    data: Annotated[Path, path_option("--data", "Training rows: JSON, JSONL, CSV, Parquet or lines; any fields")],
    against: Annotated[
        str,
        typer.Option(
            "--against",
            help="Benchmarks or files of test items, parted by commas; default: all benchmarks of the scale",
        ),
    ] = ALL,
    out: Annotated[
        Path | None, path_option("--out", "File to write without the rows that repeat test items, like --data")
    ] = None,
    format: Format = "auto",
    scale: Annotated[
        str,
        typer.Option("--scale", help="Whose benchmark files to compare with", autocompletion=complete_scale),
    ] = "paper",
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
) -> None:
    """Training rows that hold more than half of a test item's 8-grams: named, and left out on request."""
    from kit.files.formats import FORMATS, open_rows
    from kit.files.writing import write_back
    from kit.overlap.index import Index
    from kit.overlap.words import texts_of
    from kit.plan.options import check_choice

    check_numpy()
    check_choice("--format", format, FORMATS)
    if out is not None:
        check_out(out)
    check_mirror(mirror)
    names = named_tests(against, data)
    origin = open_rows(data, format)
    if not origin.records:
        raise RequestError(f"{one_line(str(data))}: no record; wanted training rows")
    items, absent = test_items(names, scale, store, mirror, quiet=json)
    found = Index([item.text for item in items]).find([texts_of(record) for _, record in origin.records])
    compared = Compared(data=data, origin=origin, items=items, matches=found, absent=absent)
    if out is not None:
        kept = compared.kept()
        whole = len(kept) == len(origin.records)
        place(out, lambda path: shutil.copyfile(data, path) if whole else write_back(kept, origin, path))
    if json:
        say_json(compared.to_json(out))
        return
    say("\n".join(compared.lines()))
    if out is not None:
        say(f"{len(kept):,} rows: {out}")


def check_numpy() -> None:
    """Check that numpy is installed, before anything is read.

    Raises:
        RequestError: it is not.
    """
    from importlib.util import find_spec

    if find_spec("numpy") is None:
        raise RequestError("numpy is not installed, with which rows are compared; install the extra 'grade' of the kit")


def named_tests(against: str, data: Path) -> list[str | Path]:
    """Return what ``--against`` names: benchmarks, by the names of their modules, files, and :data:`ALL`.

    Raises:
        RequestError: a name is neither, or a file is the training file itself.
    """
    from kit import registry
    from kit.plan.options import BENCHMARK_NAMES

    found: list[str | Path] = []
    for name in filter(None, map(str.strip, against.split(","))):
        module = BENCHMARK_NAMES.get(name, name)
        if name == ALL or module in registry.names("benchmarks"):
            found.append(module)
        elif "/" in name or "." in name:
            found.append(Path(name).expanduser())
        else:
            known = {*registry.names("benchmarks"), *BENCHMARK_NAMES}
            raise RequestError(f"--against {one_line(name)}: no benchmark of that name{did_you_mean(name, known)}")
    if not found:
        raise RequestError(
            f"--against: empty; wanted names of benchmarks or paths of files, or {ALL} for all of a scale"
        )
    for path in found:
        if isinstance(path, Path) and path.exists() and data.exists() and path.samefile(data):
            raise RequestError(
                f"--against {one_line(str(path))}: the file of --data itself, whose every row it repeats"
            )
    return list(dict.fromkeys(found))


def test_items(
    names: list[str | Path], scale: str, store: Path, mirror: Path | None, *, quiet: bool
) -> "tuple[list[Item], dict[str, str]]":
    """Return the items of tests, and why those that could not be had are left out; one that was named must be had.

    Args:
        names: names of benchmarks, paths of files, and :data:`ALL` for every benchmark of the scale.
        scale: name of the scale.
        store: folder of the store.
        mirror: a folder with copies of pinned files.
        quiet: whether jobs are not shown.

    Raises:
        RequestError: a file holds no items, or the scale lacks a benchmark that was named.
        KitError: no file can be had, or not that of a benchmark that was named.
    """
    from kit.overlap.items import items_of, read_items
    from kit.plan.adhoc import Workbench

    files = [name for name in names if isinstance(name, Path)]
    own = [item for path in files for item in read_items(path)]  # before anything is fetched
    bench = Workbench(scale)
    benchmarks = bench.catalogue.scale(scale).benchmarks
    named = [str(name) for name in names if name != ALL and not isinstance(name, Path)]
    wanted = list(dict.fromkeys([*named, *(benchmarks if ALL in names else ())]))
    if lacking := [name for name in named if name not in benchmarks]:
        raise RequestError(f"--against {lacking[0]}: scale {scale} has no such benchmark; it has {listed(benchmarks)}")
    keys = {name: bench.planner.data(benchmarks[name].dataset) for name in wanted}
    problems, absent = fetched_problems(bench, keys, store, mirror, quiet=quiet)
    missing = [name for name in absent if name in named or not problems]
    if missing:
        raise KitError(f"--against {missing[0]}: {absent[missing[0]]}")
    return [item for name, rows in problems.items() for item in items_of(name, rows)] + own, absent


def fetched_problems(
    bench: "Workbench", keys: dict[str, str], store: Path, mirror: Path | None, *, quiet: bool
) -> tuple[dict[str, list[Any]], dict[str, str]]:
    """Return the problems of benchmarks by name, and why those that are missing could not be had.

    Args:
        bench: the workbench, whose plan has the jobs that fetch.
        keys: name of a benchmark -> key of its file.
        store: folder of the store.
        mirror: a folder with copies of pinned files.
        quiet: whether jobs are not shown.
    """
    from rich.console import Console

    from kit import registry
    from kit.report import terminal
    from kit.run.execute import execute
    from kit.run.launch import Options
    from kit.stages import data_path
    from kit.store import Store

    if not keys:
        return {}, {}
    opened = Store.open(store)
    jobs = {key: bench.plan.jobs[key] for key in keys.values()}
    with terminal.Live(Console(stderr=True, quiet=quiet), len(jobs)) as live:
        options = Options(store=opened.root, mirror=mirror, request=bench.plan.request())
        outcome = execute(jobs, opened, options, live)
    absent = {name: outcome.failed[key] for name, key in keys.items() if key in outcome.failed}
    return {
        name: registry.load("benchmarks", name).read(data_path(opened.get(key).folder))
        for name, key in keys.items()
        if name not in absent
    }, absent
