"""``kit store``: look at artifacts, check them, throw away what nobody needs."""

import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, StoreDir, app, say, say_json
from kit.errors import KitError, RequestError

if TYPE_CHECKING:
    from kit.store import Artifact, Store

NAMED = 6
"""Names that one line names."""
LONGEST_LINE = 1 << 20
"""Bytes of a row that are shown."""

store_app = typer.Typer(no_args_is_help=True, help="Look at artifacts, check them, throw away what nobody needs.")
app.add_typer(store_app, name="store")


@store_app.command("list")
def list_artifacts(
    store: StoreDir = DEFAULT_STORE,
    json: Annotated[bool, typer.Option("--json", help="JSONL: one JSON object an artifact")] = False,
) -> None:
    """One line an artifact: key, rows, bytes, when, what."""
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
    """The head of one artifact: its job, files, facts and provenance."""
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
        list[str] | None, typer.Option(help="Tables whose artifacts stay; without it all artifacts stay")
    ] = None,
    scale: Annotated[
        str | None, typer.Option(help="Keep the tables' artifacts of this scale alone; of every scale by default")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and remove nothing")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask before artifacts are removed")] = False,
) -> None:
    """Remove what dead runs left behind; with --keep also every artifact that those tables don't need."""
    from kit.store import Store

    opened = Store.existing(store)
    doomed = not_needed(opened, keep, scale) if keep else []
    verb = "would remove" if dry_run else "removed"
    faults: list[str] = []
    leftovers = opened.half_written(remove=not dry_run, faults=faults)
    for key, size in leftovers.items():
        say(f"{verb} a half-written {key[:10]}  {megabytes(size)}")
    if unknown := opened.unknown():
        say(
            f"left alone, as no name that the kit gives: {', '.join(map(repr, unknown[:NAMED]))}{more(unknown)}",
            err=True,
        )
    if not doomed:
        if keep:
            say("no artifact to remove: the tables need all that are there")
        elif not leftovers:
            say("nothing to remove")
    else:
        remove_artifacts(opened, doomed, faults, dry_run=dry_run, yes=yes)
    for fault in faults:
        say(fault, err=True)
    if faults:
        sys.exit(1)


def remove_artifacts(store: "Store", doomed: list["Artifact"], faults: list[str], *, dry_run: bool, yes: bool) -> None:
    """Name artifacts, ask, and remove those on which no run works.

    Args:
        store: which has them.
        doomed: the artifacts.
        faults: takes a sentence for each that stays.
        dry_run: whether they are named alone.
        yes: whether nobody is asked.

    Raises:
        RequestError: nobody said yes, and nobody can be asked.
    """
    total = f"{len(doomed)} artifacts, {megabytes(sum(map(size_of, doomed)))}"
    for artifact in doomed:
        line = f"{artifact.key[:10]}  {megabytes(size_of(artifact)):>12}  {artifact.job.id}"
        say(f"{'would remove' if dry_run else 'to remove'} {line}")
    if dry_run:
        say(f"would remove {total}")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise RequestError(f"store {store.root}: {total} to remove, for good; say --yes to do it")
        typer.confirm(f"Remove {total}, for good?", abort=True)
    gone = []
    for artifact in doomed:
        try:
            store.remove(artifact.key)
            gone.append(artifact)
        except KitError as error:
            faults.append(f"{artifact.key[:10]}  is left: {error}")
    say(f"removed {len(gone)} artifacts, {megabytes(sum(map(size_of, gone)))}")


def more(names: list[str]) -> str:
    """Return how many names are not named."""
    return f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""


def readable(store: "Store", keys: list[str]) -> Iterator["Artifact"]:
    """The artifacts whose heads can be read; of each other one a line on standard error."""
    for key in keys:
        try:
            artifact = store.get(key)
        except KitError as error:
            say(f"{key[:10]}  damaged: {error}", err=True)
            continue
        yield artifact


def not_needed(store: "Store", tables: list[str], scale: str | None) -> list["Artifact"]:
    """The artifacts that these tables don't need, at one scale or at any; a damaged one is named, and none of them.

    Raises:
        RequestError: no such table or scale; or a table that can't be planned at it.
    """
    from kit.catalogue import Catalogue, manifests_folder
    from kit.plan.planning import plan_tables

    own = any(name.endswith(".toml") for name in tables)  # a manifest names its scale
    scales = [scale] if scale else ["auto"] if own else Catalogue(manifests_folder()).names("scales")
    needed = {key for name in scales for key in plan_tables(tables, name).jobs}
    return list(readable(store, [key for key in store.committed() if key not in needed]))


def name_of(store: "Store", key: str) -> str:
    """``grade/gsm8k: ``; empty where the head can't be read, which is a fault of its own."""
    try:
        return f"{store.get(key).job.id}: "
    except KitError:
        return ""


def size_of(artifact: "Artifact") -> int:
    """Bytes of an artifact's files."""
    return sum(int(file["size_bytes"]) for file in artifact.files.values())


def megabytes(size: int) -> str:
    """Bytes as they are read."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"
