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
        size, released = size_of(artifact), artifact.released is not None
        if json:
            line = {"key": artifact.key, "id": artifact.job.id, "rows": artifact.rows, "size_bytes": size}
            say_json({**line, "released": released}, indent=None)
        else:
            head = f"{artifact.key[:10]}  {artifact.rows:>7,} rows {size / 1e6:>9,.1f} MB"
            say(
                f"{head}  {artifact.provenance.get('started_at', 'no time')}  {artifact.job.id}"
                + "  (files given back)" * released
            )


@store_app.command()
def show(
    key: Annotated[str, typer.Argument(help="A key, or the start of it")],
    store: StoreDir = DEFAULT_STORE,
    rows: Annotated[int, typer.Option(help="Show so many rows of each JSONL file", min=0)] = 0,
    json: Annotated[bool, typer.Option("--json", help="The head as its file has it, one JSON document")] = False,
) -> None:
    """Show the head of one artifact: its job, files and facts, and where and how it ran."""
    from kit.report.heads import head_lines
    from kit.store import Store

    opened = Store.existing(store)
    artifact = opened.get(opened.find(key))
    if json:
        released = {"released": artifact.released.to_json()} if artifact.released else {}
        say_json(dict(sorted({**artifact.to_json(), **released}.items())))
    else:
        say("\n".join(head_lines(artifact)))
    faults = 0
    for name in artifact.files:
        if not rows or not name.endswith(".jsonl") or artifact.released:
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
    """Hash every file again and compare with the heads; look whether each head tells where and how its job ran."""
    from kit.store import Store

    opened = Store.existing(store)
    wanted = [opened.find(key) for key in keys] if keys else opened.committed()
    faults = 0
    for key in wanted:
        for fault in [*opened.check(key), *head_faults(opened, key)]:
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
    """Remove what dead runs left behind; with --keep also every artifact that those tables don't need.

    Parts and checkpoints of a job that is not done go where no plan knows the job, or no table of --keep needs it.
    """
    from kit.store import Store
    from kit.store.clearing import left_behind
    from kit.store.unneeded import DONE, UNKNOWN, kept_parts, remove_parts, unneeded_parts

    opened = Store.existing(store)
    needed = needed_keys(keep, scale) if keep else None
    unneeded = not_needed(opened, needed) if needed is not None else []
    parts = unneeded_parts(opened, needed)
    verb = "would remove" if dry_run else "removed"
    faults: list[str] = []
    leftovers = opened.half_written(remove=not dry_run, copies=True, faults=faults)
    for key, size in leftovers.items():
        say(f"{verb} a half-written {key[:10]}  {megabytes(size)}")
    for key, (size, why) in parts.items():
        if why in (DONE, UNKNOWN):
            say(f"{verb} parts of {key[:10]}  {megabytes(size)}: {why}")
            faults += [] if dry_run else remove_parts(opened, key)
    for key, size in left_behind(opened, remove=not dry_run, faults=faults).items():
        leftovers[key] = size
        say(f"{verb} what was left of files that {key[:10]} gave back  {megabytes(size)}")
    if unknown := opened.unknown():
        say(
            f"left alone, as no name that the kit gives: {', '.join(map(repr, unknown[:MOST_NAMES]))}{more(unknown)}",
            err=True,
        )
    asked = {key: size for key, (size, why) in parts.items() if why not in (DONE, UNKNOWN)}
    if unneeded or asked:
        faults += remove_unneeded(opened, unneeded, asked, dry_run=dry_run, yes=yes)
    elif keep:
        say("no artifact to remove: the tables need all that are there")
    elif not leftovers and not parts:
        say("nothing to remove")
    if not keep and (left := {key: size for key, size in kept_parts(opened).items() if key not in parts}):
        say(
            f"kept parts of {len(left)} unfinished jobs, {megabytes(sum(left.values()))}: the run that goes on needs "
            "them; with --keep, those go that its tables don't need"
        )
    for fault in faults:
        say(fault, err=True)
    if faults:
        sys.exit(1)


def remove_unneeded(
    store: "Store", artifacts: list["Artifact"], parts: dict[str, int], *, dry_run: bool, yes: bool
) -> list[str]:
    """List artifacts and parts, ask for confirmation, and remove those of jobs that no run is working on.

    Args:
        store: the store that has them.
        artifacts: the artifacts to remove.
        parts: key of each unfinished job whose parts are to be removed -> their bytes.
        dry_run: whether they are listed and not removed.
        yes: whether they are removed without asking.

    Returns:
        A sentence for each artifact or part that could not be removed.

    Raises:
        RequestError: ``yes`` is not given, and there is no terminal on which to ask.
    """
    from kit.store.unneeded import UNNEEDED, remove_parts

    unfinished = f" and parts of {len(parts)} unfinished jobs, {megabytes(sum(parts.values()))}" * bool(parts)
    total = f"{len(artifacts)} artifacts, {megabytes(sum(map(size_of, artifacts)))}{unfinished}"
    verb = "would remove" if dry_run else "to remove"
    for artifact in artifacts:
        say(f"{verb} {artifact.key[:10]}  {megabytes(size_of(artifact)):>12}  {artifact.job.id}")
    for key, size in parts.items():
        say(f"{verb} {key[:10]}  {megabytes(size):>12}  parts: {UNNEEDED}")
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
    left = [fault for key in parts for fault in remove_parts(store, key)]
    done = f" and parts of unfinished jobs{', but for some' * bool(left)}" * bool(parts)
    say(f"removed {len(removed)} artifacts, {megabytes(sum(map(size_of, removed)))}{done}")
    return faults + left


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


def not_needed(store: "Store", needed: set[str]) -> list["Artifact"]:
    """Return the artifacts of the jobs that are not needed; damaged ones are only printed."""
    return list(readable(store, [key for key in store.committed() if key not in needed]))


def needed_keys(tables: list[str], scale: str | None) -> set[str]:
    """Return the keys of the jobs that these tables need, at one scale or at any.

    Raises:
        RequestError: there is no such table or scale, or a table can't be planned at it.
    """
    from kit.catalogue import Catalogue, manifests_folder
    from kit.plan.planning import plan_tables

    own = any(name.endswith(".toml") for name in tables)  # a manifest names its scale
    scales = [scale] if scale else ["auto"] if own else Catalogue(manifests_folder()).names("scales")
    return {key for name in scales for key in plan_tables(tables, name).jobs}


def head_faults(store: "Store", key: str) -> list[str]:
    """List the fields of a head's provenance that are missing or wrong; of a head that can't be read, nothing."""
    from kit.store.provenance import provenance_faults

    try:
        artifact = store.get(key)
    except KitError:
        return []
    return [f"artifact.json: {fault}" for fault in provenance_faults(artifact.provenance, artifact.job)]


def name_of(store: "Store", key: str) -> str:
    """Return an artifact's job id and a colon, ``grade/gsm8k: ``; empty where its head can't be read."""
    try:
        return f"{store.get(key).job.id}: "
    except KitError:
        return ""


def size_of(artifact: "Artifact") -> int:
    """Return the bytes that an artifact's files take; none where they were given back."""
    return 0 if artifact.released else artifact.size_bytes


def megabytes(size: int) -> str:
    """Return a size as text, in MB or in bytes."""
    return f"{size / 1e6:,.1f} MB" if size >= 1e5 else f"{size:,} bytes"
