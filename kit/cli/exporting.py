"""``kit export lm-eval``, ``inspect`` and ``ro-crate``: results of tables as other tools read them."""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, ScaleName, StoreDir, Tables, path_option, say, store_to_read
from kit.cli.clustering import export
from kit.errors import KitError, RequestError, one_line

if TYPE_CHECKING:
    from kit.exports import Written
    from kit.plan import Plan
    from kit.store import Store

OutFolder = Annotated[Path, path_option("--out", "The folder to write: a new one, or an empty one")]


@export.command("lm-eval")
def lm_eval(tables: Tables, out: OutFolder, scale: ScaleName = "auto", store: StoreDir = DEFAULT_STORE) -> None:
    """Write results and samples as lm-evaluation-harness does, a folder for each model (docs/exports.md)."""
    from kit.exports.harness import write

    _export(tables, scale, store, out, write)


@export.command("inspect")
def inspect(tables: Tables, out: OutFolder, scale: ScaleName = "auto", store: StoreDir = DEFAULT_STORE) -> None:
    """Write a log of Inspect for each grading: questions, answers, scores, judge's replies (docs/exports.md)."""
    from kit.exports.inspect_logs import write

    _export(tables, scale, store, out, write)


@export.command("ro-crate")
def ro_crate(
    tables: Tables,
    out: OutFolder,
    scale: ScaleName = "auto",
    store: StoreDir = DEFAULT_STORE,
    data: Annotated[
        bool, typer.Option("--data", help="Copies of all rows too: instructions, pairs, completions, verdicts, scores")
    ] = False,
) -> None:
    """Write a run as an RO-Crate: tables, jobs, what each read and made, with hashes (docs/exports.md)."""
    from functools import partial

    from kit.exports.crate import write

    _export(tables, scale, store, out, partial(write, data=data))


def _export(
    tables: list[str],
    scale: str,
    store: Path,
    out: Path,
    write: "Callable[[Plan, Store, Path, str], Written]",
) -> None:
    """Plan the tables, write them into a folder that is there afterwards whole or not at all, and say what is in it."""
    from kit.cli.placing import place
    from kit.plan.planning import plan_tables

    _check_folder(out)
    plan, opened = plan_tables(tables, scale), store_to_read(store)
    command = (
        f"kit reproduce {' '.join(map(shlex.quote, tables))} --scale {plan.scale} --store {shlex.quote(str(store))}"
    )
    written: list[Written] = []

    def fill(folder: Path) -> None:
        folder.mkdir()
        try:
            written.append(write(plan, opened, folder, command))
        except KitError:
            shutil.rmtree(folder)
            raise
        if out.is_dir():  # an empty one: the full one takes its place
            out.rmdir()

    place(out, fill)
    for line in (f"{written[0].files:,} files", *written[0].lines):
        say(f"{one_line(str(out))}: {line}")


def _check_folder(out: Path) -> None:
    """Check that a folder to write is not there yet, or empty.

    Raises:
        RequestError: it has something in it, is a file or a link, or can't be made.
    """
    from kit.cli.placing import check_out

    if out.is_symlink() or not out.is_dir():
        check_out(out)
    elif any(out.iterdir()):
        raise RequestError(f"--out {one_line(str(out))}: the folder is not empty; name a new one, or empty it")
