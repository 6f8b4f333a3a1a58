"""``kit store push`` and ``pull``: copy artifacts between stores on this host, or with another host."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, StoreDir, own_path, say
from kit.cli.completing import complete_keep, complete_scale, complete_table
from kit.cli.stores import megabytes, store_app
from kit.errors import RequestError, shown

if TYPE_CHECKING:
    from kit.store import Artifact, Store
    from kit.transfers import Move, Place, Source, Target

Keys = Annotated[list[str] | None, typer.Argument(help="Keys, or their starts; all artifacts by default")]
OfTables = Annotated[
    list[str] | None,
    typer.Option("--table", help="The artifacts of this table instead", autocompletion=complete_table),
]
AtScale = Annotated[
    str | None, typer.Option("--scale", help="The scale of the tables of --table", autocompletion=complete_scale)
]
Files = Annotated[
    str,
    typer.Option(
        "--files",
        help="Models whose files come along: results (none: their heads alone), weights (tuned ones), all",
        autocompletion=complete_keep,
    ),
]
OnlyList = Annotated[bool, typer.Option("--dry-run", help="Say what would be copied, and copy nothing")]
PLACE = "The other store: a folder, [user@]host:folder, or ssh://[user@]host[:port]/folder"


@store_app.command()
def push(
    to: Annotated[str, typer.Argument(help=PLACE)],
    keys: Keys = None,
    table: OfTables = None,
    scale: AtScale = None,
    files: Files = "all",
    store: StoreDir = DEFAULT_STORE,
    dry_run: OnlyList = False,
) -> None:
    """Copy artifacts of this store to another, which takes each whole and by its hashes; made if it is not there."""
    from kit.store import Store
    from kit.transfers.folders import FolderSource

    place = checked(to, files)
    source = Store.existing(store)
    with target_at(place, files, source, dry_run=dry_run) as target:
        wanted = named(keys, table, scale)
        transfer(FolderSource(source, tell), target, wanted, files, place, dry_run=dry_run, verb="push")


@store_app.command()
def pull(
    source: Annotated[str, typer.Argument(metavar="FROM", help=PLACE)],
    keys: Keys = None,
    table: OfTables = None,
    scale: AtScale = None,
    files: Files = "all",
    store: StoreDir = DEFAULT_STORE,
    dry_run: OnlyList = False,
) -> None:
    """Copy artifacts of another store to this one, which takes each whole and by its hashes."""
    from kit.cli import store_to_plan
    from kit.store import Store
    from kit.transfers.folders import FolderTarget

    place = checked(source, files)
    with source_at(place, files) as found:
        opened = store_to_plan(store) if dry_run else Store.open(store)
        check_not_same(found, opened)
        target = FolderTarget(opened, files, tell)
        transfer(found, target, named(keys, table, scale), files, place, dry_run=dry_run, verb="pull")


def checked(place: str, files: str) -> "Place":
    """Return the place of the other store, after a check of the rule.

    Raises:
        RequestError: the place is none, or there is no such rule.
    """
    from dataclasses import replace

    from kit.stages._keeping import check_rule
    from kit.transfers import place_of

    check_rule("--files", files)
    found = place_of(place)
    return found if found.host else replace(found, path=str(own_path(found.path, "folder").resolve()))


def tell(text: str) -> None:
    """Print a sentence on standard error."""
    say(text, err=True)


@contextmanager
def source_at(place: "Place", files: str) -> "Iterator[Source]":
    """Open the store that artifacts come from.

    Raises:
        RequestError: there is none, or its host can't be reached for want of a program.
    """
    from kit.store import Store
    from kit.transfers.folders import FolderSource
    from kit.transfers.ssh import RemoteStore, connected

    if not place.host:
        yield FolderSource(Store.existing(Path(place.path)), tell)
        return
    with connected(place) as host:
        remote = RemoteStore(host, files, tell)
        remote.check("read")
        yield remote


@contextmanager
def target_at(place: "Place", files: str, source: "Store", *, dry_run: bool) -> "Iterator[Target]":
    """Open the store that artifacts go to, which is made if it is not there, but not in a dry run.

    Raises:
        RequestError: something else is there, it can't be written, or it is the same store.
    """
    from kit.cli import store_to_plan
    from kit.store import Store
    from kit.transfers.folders import FolderTarget
    from kit.transfers.ssh import RemoteStore, connected

    if not place.host:
        path = Path(place.path)
        opened = store_to_plan(path) if dry_run else Store.open(path)
        target = FolderTarget(opened, files, tell)
        check_not_same(target, source)
        yield target
        return
    with connected(place) as host:
        remote = RemoteStore(host, files, tell)
        remote.check("ask" if dry_run else "make")
        yield remote


def check_not_same(other: "Source | Target", store: "Store") -> None:
    """Check that the other store is not this one.

    Raises:
        RequestError: it is.
    """
    from kit.transfers import check_both
    from kit.transfers.folders import FolderSource, FolderTarget

    if isinstance(other, FolderSource | FolderTarget):
        check_both(other.store, store)


def named(keys: list[str] | None, tables: list[str] | None, scale: str | None) -> list[str] | set[str] | None:
    """Return the keys' starts, or the keys of all jobs of some tables; None where all artifacts are meant.

    Raises:
        RequestError: both are given, a scale without a table, or there is no such table or scale.
    """
    from kit.plan.planning import plan_tables

    if keys and tables:
        raise RequestError(f"--table {tables[0]}: goes without keys; name tables or keys")
    if scale and not tables:
        raise RequestError(f"--scale {shown(scale)}: goes with --table; without, every artifact of any scale is copied")
    return set(plan_tables(tables, scale or "auto").jobs) if tables else keys or None


def chosen(heads: "dict[str, Artifact]", wanted: list[str] | set[str] | None) -> "dict[str, Artifact]":
    """Return the heads that were named, out of all that a store has.

    Raises:
        RequestError: a start of a key fits no artifact, or several.
    """
    if wanted is None:
        return heads
    if isinstance(wanted, set):
        return {key: artifact for key, artifact in heads.items() if key in wanted}
    found = {}
    for start in wanted:
        fits = [key for key in heads if key.startswith(start)]
        if len(fits) != 1:
            fault = f"is the start of {len(fits)} keys; give more of it" if fits else "no artifact there has this key"
            raise RequestError(f"{shown(start)}: {fault}; `kit store list` prints them")
        found[fits[0]] = heads[fits[0]]
    return found


def transfer(
    source: "Source",
    target: "Target",
    wanted: list[str] | set[str] | None,
    files: str,
    place: "Place",
    *,
    dry_run: bool,
    verb: str,
) -> None:
    """Copy what the target lacks, print a line for each artifact and one that counts; exit 1 if one was not taken.

    Args:
        source: where the artifacts come from.
        target: where they go.
        wanted: see :func:`chosen`.
        files: value of ``--files``.
        place: the other store, for messages.
        dry_run: whether nothing is copied.
        verb: ``push`` or ``pull``.

    Raises:
        RequestError: the target's disk has less room than the files take.
    """
    from kit.stages._keeping import gives_back
    from kit.transfers import batches, check_room, moves

    there = chosen(source.heads(), wanted)
    found, faults = moves(there, target.heads(), gives_back(files))
    for fault in faults:
        tell(fault)
    cached, failed, taken = len(there) - len(found) - len(faults), len(faults), list["Move"]()
    if dry_run:
        for move in found:
            say(line_of(f"would {verb}", move))
        taken = found
    else:
        check_room(found, target, place if verb == "push" else "here")
        for batch in batches(found):
            for move, reason in target.take(batch, source):
                if reason:
                    failed += 1
                    tell(f"{move.artifact.key[:10]}  {move.artifact.job.id} was not taken: {reason}")
                else:
                    taken.append(move)
                    say(line_of(f"{verb}ed", move))
    size = megabytes(sum(move.size_bytes for move in taken))
    done = f"would {verb}" if dry_run else f"{verb}ed"
    say(f"{done} {len(taken)} artifacts, {size}; {cached} were there already, {failed} faults")
    if failed:
        sys.exit(1)


def line_of(done: str, move: "Move") -> str:
    """Return the line of one artifact that was copied, or would be."""
    size = "its head alone" if move.bare else megabytes(move.size_bytes)
    return f"{done} {move.artifact.key[:10]}  {size:>14}  {move.artifact.job.id}"
