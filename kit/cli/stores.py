"""``kit store``: look at artifacts, check them, throw away what nobody needs."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, StoreDir, app, say, say_json
from kit.cli.completing import complete_scale, complete_table
from kit.cli.repeats import CommandGroup
from kit.errors import KitError, RequestError

if TYPE_CHECKING:
    from kit.store import Artifact, Store

MOST_NAMES = 6
"""Most names that one line lists."""
LONGEST_LINE = 1 << 20
"""Most bytes that are shown of a row."""

store_app = typer.Typer(
    cls=CommandGroup, no_args_is_help=True, help="Look at artifacts, check them, throw away what nobody needs."
)
app.add_typer(store_app, name="store")


@store_app.command("list")
def list_artifacts(
    store: StoreDir = DEFAULT_STORE,
    json: Annotated[bool, typer.Option("--json", help="JSONL: one JSON object an artifact")] = False,
) -> None:
    """List artifacts, one a line: key, rows, bytes, time, job."""
    from kit.store import Store

    opened = Store.existing(store)
    for artifact in readable(opened, opened.committed()):
        size = size_of(artifact)
        if json:
            line = {"key": artifact.key, "id": artifact.job.id, "rows": artifact.rows, "size_bytes": size}
            say_json(line, indent=None)
        else:
            head = f"{artifact.key[:10]}  {artifact.rows:>7,} rows {size / 1e6:>9,.1f} MB"
            say(f"{head}  {artifact.provenance.get('started_at', 'no time')}  {artifact.job.id}")


@store_app.command()
def show(
    key: Annotated[str, typer.Argument(help="A key, or the start of it")],
    store: StoreDir = DEFAULT_STORE,
    rows: Annotated[int, typer.Option(help="Show so many rows of each JSONL file", min=0)] = 0,
) -> None:
    """Show the head of one artifact: its job, files, facts and provenance."""
    from kit.store import Store

    opened = Store.existing(store)
    artifact = opened.get(opened.find(key))
    say_json(dict(sorted(artifact.to_json().items())))
    faults = 0
    for name in artifact.files:
        if not rows or not name.endswith(".jsonl"):
            continue
        try:
            lines = first_lines(opened.open_file(artifact, name), rows)
        except KitError as error:
            faults += 1
            say(str(error), err=True)
            continue
        say("\n".join([f"--- {name}", *lines]))
    sys.exit(1 if faults else 0)


def first_lines(descriptor: int, count: int) -> list[str]:
    """Return the first lines of an open file, each cut at :data:`LONGEST_LINE` bytes, and close it."""
    lines = []
    with os.fdopen(descriptor, "rb") as file:
        for _ in range(count):
            line = file.readline(LONGEST_LINE + 1)
            if not line:
                break
            more = " ..." if len(line) > LONGEST_LINE and not line.endswith(b"\n") else ""
            lines.append(line[:LONGEST_LINE].rstrip(b"\r\n").decode(errors="backslashreplace") + more)
            if more:
                break  # a line of gigabytes is not read to find where the next begins
    return lines


@store_app.command()
def check(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys; all artifacts by default")] = None,
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """Hash every file again and compare with the heads."""
    from kit.store import Store

    opened = Store.existing(store)
    wanted = [opened.find(key) for key in keys] if keys else opened.committed()
    faults = 0
    for key in wanted:
        for fault in opened.check(key):
            faults += 1
            say(f"{key[:10]}  {name_of(opened, key)}{fault}")
    for key in [] if keys else opened.headless():
        faults += 1
        say(f"{key[:10]}  no artifact.json there; remove {opened.root / 'artifacts' / key} and run again")
    say(f"{len(wanted)} artifacts checked, {faults} faults")
    sys.exit(1 if faults else 0)


@store_app.command()
def gc(
    store: StoreDir = DEFAULT_STORE,
    keep: Annotated[
        list[str] | None,
        typer.Option(help="Tables whose artifacts stay; without it all artifacts stay", autocompletion=complete_table),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Keep the tables' artifacts of this scale alone; of every scale by default",
            autocompletion=complete_scale,
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before artifacts are removed")] = False,
) -> None:
    """Remove what dead runs left behind; with --keep also every artifact that those tables don't need."""
    from kit.store import Store

    opened = Store.existing(store)
    unneeded = not_needed(opened, keep, scale) if keep else []
    verb = "would remove" if dry_run else "removed"
    faults: list[str] = []
    leftovers = opened.half_written(remove=not dry_run, faults=faults)
    for key, size in leftovers.items():
        say(f"{verb} a half-written {key[:10]}  {megabytes(size)}")
    if unknown := opened.unknown():
        say(
            f"left alone, as no name that the kit gives: {', '.join(map(repr, unknown[:MOST_NAMES]))}{more(unknown)}",
            err=True,
        )
    if not unneeded:
        if keep:
            say("no artifact to remove: the tables need all that are there")
        elif not leftovers:
            say("nothing to remove")
    else:
        faults += remove_artifacts(opened, unneeded, dry_run=dry_run, yes=yes)
    for fault in faults:
        say(fault, err=True)
    if faults:
        sys.exit(1)


def remove_artifacts(store: "Store", artifacts: list["Artifact"], *, dry_run: bool, yes: bool) -> list[str]:
    """List artifacts, ask for confirmation, and remove those that no run is working on.

    Args:
        store: the store that has them.
        artifacts: the artifacts to remove.
        dry_run: whether they are listed and not removed.
        yes: whether they are removed without asking.

    Returns:
        A sentence for each artifact that could not be removed.

    Raises:
        RequestError: ``yes`` is not given, and there is no terminal on which to ask.
    """
    total = f"{len(artifacts)} artifacts, {megabytes(sum(map(size_of, artifacts)))}"
    for artifact in artifacts:
        line = f"{artifact.key[:10]}  {megabytes(size_of(artifact)):>12}  {artifact.job.id}"
        say(f"{'would remove' if dry_run else 'to remove'} {line}")
    if dry_run:
        say(f"would remove {total}")
        return []
    if not yes:
        if not sys.stdin.isatty():
            raise RequestError(f"store {store.root}: {total} to remove, for good; say --yes to do it")
        typer.confirm(f"Remove {total}, for good?", abort=True)
    removed, faults = [], []
    for artifact in artifacts:
        try:
            store.remove(artifact.key)
            removed.append(artifact)
        except KitError as error:
            faults.append(f"{artifact.key[:10]}  is left: {error}")
    say(f"removed {len(removed)} artifacts, {megabytes(sum(map(size_of, removed)))}")
    return faults


def more(names: list[str]) -> str:
    """Return a phrase that counts the names beyond those that a line lists; empty if there are none."""
    return f" and {len(names) - MOST_NAMES:,} more" if len(names) > MOST_NAMES else ""


def readable(store: "Store", keys: list[str]) -> Iterator["Artifact"]:
    """Yield the artifacts whose heads can be read; print a line on standard error for each other."""
    for key in keys:
        try:
            artifact = store.get(key)
        except KitError as error:
            say(f"{key[:10]}  damaged: {error}", err=True)
            continue
        yield artifact


def not_needed(store: "Store", tables: list[str], scale: str | None) -> list["Artifact"]:
    """Return the artifacts that these tables don't need, at one scale or at any; damaged ones are only printed.

    Raises:
        RequestError: there is no such table or scale, or a table can't be planned at it.
    """
    from kit.catalogue import Catalogue, manifests_folder
    from kit.plan.planning import plan_tables

    own = any(name.endswith(".toml") for name in tables)  # a manifest names its scale
    scales = [scale] if scale else ["auto"] if own else Catalogue(manifests_folder()).names("scales")
    needed = {key for name in scales for key in plan_tables(tables, name).jobs}
    return list(readable(store, [key for key in store.committed() if key not in needed]))


def name_of(store: "Store", key: str) -> str:
    """Return an artifact's job id and a colon, ``grade/gsm8k: ``; empty where its head can't be read."""
    try:
        return f"{store.get(key).job.id}: "
    except KitError:
        return ""


def size_of(artifact: "Artifact") -> int:
    """Return the total size of an artifact's files in bytes."""
    return sum(int(file["size_bytes"]) for file in artifact.files.values())


def megabytes(size: int) -> str:
    """Return a size as text, in MB or in bytes."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"
