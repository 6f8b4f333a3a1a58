"""``kit diff``: two runs, or two files of grades or completions: what moved, what turned, which stage differs first."""

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import (
    DEFAULT_STORE,
    AsJson,
    MirrorDir,
    StoreDir,
    UnsafeExec,
    app,
    own_path,
    path_option,
    say,
    say_error,
    say_json,
)
from kit.cli.completing import complete_benchmark, complete_scale, complete_table
from kit.cli.diffing_files import Grading
from kit.cli.files import Rows
from kit.errors import KitError, RequestError, one_line

if TYPE_CHECKING:
    from kit.differences.report import Report
    from kit.differences.runs import Run
    from kit.plan import Plan

KEY_START = re.compile(r"[0-9a-f]{6,64}")
"""The start of a key, which a grading is named by."""
WANTED = (
    "wanted a store, a manifest, a file of grades or completions, or the id or key of a grading (six digits of a key "
    "at least)"
)


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A store, a manifest, a grading's key or id, or a file", metavar="A")],
    after: Annotated[str, typer.Argument(help="The other one, which A is compared with", metavar="B")],
    tables: Annotated[
        list[str] | None,
        typer.Argument(help="With two stores: the cells of these tables alone", autocompletion=complete_table),
    ] = None,
    scale: Annotated[
        str, typer.Option("--scale", help="With tables: their scale", autocompletion=complete_scale)
    ] = "auto",
    items: Annotated[int, typer.Option("--items", help="Show so many items that turned", min=0)] = 10,
    benchmark: Annotated[
        str,
        typer.Option(
            "--benchmark",
            help="With completions: grade both first, as kit grade does",
            autocompletion=complete_benchmark,
        ),
    ] = "",
    data: Annotated[Path | None, path_option("--data", "With --benchmark: its file; the pinned one by default")] = None,
    protocol: Annotated[str, typer.Option("--protocol", help="With --benchmark: paper or default")] = "default",
    rows: Rows = None,
    field: Annotated[str | None, typer.Option("--field", help="With completions: where their texts are")] = None,
    score: Annotated[
        str | None,
        typer.Option(
            "--score", help="With completions: a field of theirs with a number or a truth that grades the text"
        ),
    ] = None,
    mirror: MirrorDir = None,
    store: StoreDir = DEFAULT_STORE,
    json: AsJson = False,
    unsafe_exec: UnsafeExec = False,
) -> None:
    """Compare two runs or two files: cells that moved, items that turned, the first stage whose inputs differ.

    A and B are two stores; two manifests of your own, or two gradings by key or id, in --store; or two files: grades of
    kit grade --out, or completions of any tool. Exit code 0: nothing moved beyond noise; 1: something did; 2: the
    request was wrong, or nothing can be compared; 3: cannot tell, because a part could not be compared.
    """
    from kit.differences.report import lines

    grading = Grading(
        benchmark=benchmark,
        data=data,
        protocol=protocol,
        rows=rows,
        field=field,
        score=score,
        mirror=mirror,
        store=store,
        quiet=json,
        unsafe_exec=unsafe_exec,
    )
    try:
        report = compared(before, after, tables or [], scale, grading)
    except RequestError:
        raise
    except (KitError, OSError) as error:  # 1 would say that something moved
        say_error(str(error))
        sys.exit(3)
    if json:
        say_json(report.to_json())
    else:
        for line in lines(report, items):
            say(line)
    sys.exit(report.exit_code)


def compared(before: str, after: str, tables: list[str], scale: str, grading: Grading) -> "Report":
    """Return the comparison of two sides.

    Raises:
        RequestError: a side is nothing that can be compared, or the two are of different kinds.
    """
    kinds = kind_of(before), kind_of(after)
    check_sides((before, after), kinds, tables, scale)
    grading.check(files=kinds == ("file", "file"))
    if "file" in kinds:
        from kit.differences.userfiles import Reading, compare_files

        paths = own_path(before), own_path(after)
        if grading.benchmark:
            return grading.compare(*paths)
        return compare_files(*paths, Reading(field=grading.field, score=grading.score))
    from kit.differences.report import compare_runs

    plan = None
    if tables:
        from kit.plan.planning import plan_tables

        plan = plan_tables(tables, scale)
    one = run_of(before, kinds[0], grading.store, plan)
    return compare_runs(one, run_of(after, kinds[1], grading.store, plan))


def kind_of(value: str) -> str:
    """Return what a side is: ``store``, ``manifest``, ``file`` or ``grading``.

    Raises:
        RequestError: it is none of them.
    """
    path = own_path(value)
    try:
        there, is_store = path.exists(), (path / "artifacts").is_dir()
    except OSError as error:  # a name that is too long
        raise RequestError(f"{one_line(value, 200)}: {error.strerror}; {WANTED}") from error
    if is_store:
        return "store"
    if path.suffix == ".toml":
        return "manifest"
    if there:
        return "file"
    if KEY_START.fullmatch(value) or value.startswith(("grade/", "score/")):
        return "grading"
    raise RequestError(f"{one_line(value, 200)}: no such file or folder; {WANTED}")


def check_sides(sides: tuple[str, str], kinds: tuple[str, str], tables: list[str], scale: str) -> None:
    """Check that two sides can be compared, and that tables and their scale go with stores.

    Raises:
        RequestError: they are one and the same, or of different kinds, or an option has nothing to do.
    """
    one, other = (one_line(side, 200) for side in sides)
    grading = "grading" in kinds
    if sides[0] == sides[1] or (not grading and own_path(sides[0]).resolve() == own_path(sides[1]).resolve()):
        raise RequestError(f"{one}: is given twice; wanted two different sides")
    if kinds.count("file") == 1 or kinds.count("grading") == 1:
        raise RequestError(
            f"{one} is a {kinds[0]}, {other} a {kinds[1]}; wanted two of one kind, or a store and a manifest"
        )
    if tables and kinds != ("store", "store"):
        raise RequestError(f"{', '.join(tables)}: tables go with two stores, found a {kinds[0]} and a {kinds[1]}")
    if scale != "auto" and not tables:
        raise RequestError(f"--scale {one_line(scale, 60)}: goes with tables; name some, or leave it out")


def run_of(value: str, kind: str, store: Path, plan: "Plan | None") -> "Run":
    """Return the gradings of one side.

    Raises:
        RequestError: it can't be read, or has no such grading.
    """
    from kit.differences.runs import run_of_key, run_of_plan, run_of_store
    from kit.plan.planning import plan_manifest
    from kit.store import Store

    if kind == "store":
        return run_of_store(Store.existing(own_path(value)), value, plan)
    opened = Store.existing(store)
    return (
        run_of_key(opened, value) if kind == "grading" else run_of_plan(plan_manifest(own_path(value)), opened, value)
    )
