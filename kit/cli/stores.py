"""``kit store``: look at artifacts, check them, throw away what nobody needs."""

import json as json_module
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import DEFAULT_STORE, StoreDir, app
from kit.errors import KitError, RequestError

if TYPE_CHECKING:
    from kit.store import Artifact, Store

store_app = typer.Typer(no_args_is_help=True, help="Look at artifacts, check them, throw away what nobody needs.")
app.add_typer(store_app, name="store")


@store_app.command("list")
def list_artifacts(
    store: StoreDir = DEFAULT_STORE,
    json: Annotated[bool, typer.Option("--json", help="JSONL: one JSON object an artifact")] = False,
) -> None:
    """One line an artifact: key, rows, bytes, when, what."""
    from kit.report import plain
    from kit.store import Store

    opened = Store.existing(store)
    for key in opened.committed():
        try:
            artifact = opened.get(key)
        except KitError as error:
            typer.echo(plain(f"{key[:10]}  damaged: {error}"), err=True)
            continue
        size = size_of(artifact)
        if json:
            line = {"key": artifact.key, "id": artifact.job.id, "rows": artifact.rows, "size_bytes": size}
            typer.echo(json_module.dumps(line))
        else:
            head = f"{artifact.key[:10]}  {artifact.rows:>7,} rows {size / 1e6:>9,.1f} MB"
            typer.echo(f"{head}  {artifact.provenance['started_at']}  {plain(artifact.job.id)}")


@store_app.command()
def show(
    key: Annotated[str, typer.Argument(help="A key, or the start of it")],
    store: StoreDir = DEFAULT_STORE,
    rows: Annotated[int, typer.Option(help="Show so many rows of each JSONL file")] = 0,
) -> None:
    """The head of one artifact: its job, files, facts and provenance."""
    from kit.report import plain
    from kit.store import HEAD, Store

    opened = Store.existing(store)
    artifact = opened.get(opened.find(key))
    typer.echo(plain((artifact.folder / HEAD).read_text(encoding="utf-8")))
    for name in artifact.files:
        if rows and name.endswith(".jsonl"):
            lines = (artifact.folder / name).read_text(encoding="utf-8").splitlines()[:rows]
            typer.echo(f"--- {name}\n" + "\n".join(plain(line) for line in lines))


@store_app.command()
def check(
    keys: Annotated[list[str] | None, typer.Argument(help="Keys; all artifacts by default")] = None,
    store: StoreDir = DEFAULT_STORE,
) -> None:
    """Hash every file again and compare with the heads."""
    from kit.report import plain
    from kit.store import Store

    opened = Store.existing(store)
    wanted = [opened.find(key) for key in keys] if keys else opened.committed()
    faults = 0
    for key in wanted:
        for fault in opened.check(key):
            faults += 1
            typer.echo(plain(f"{key[:10]}  {name_of(opened, key)}{fault}"))
    typer.echo(f"{len(wanted)} artifacts checked, {faults} faults")
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
    from kit.report import plain
    from kit.store import Store

    opened = Store.existing(store)
    doomed = not_needed(opened, keep, scale) if keep else []
    verb = "would remove" if dry_run else "removed"
    leftovers = opened.half_written(remove=not dry_run)
    for key, size in leftovers.items():
        typer.echo(f"{verb} a half-written {key[:10]}  {megabytes(size)}")
    if not doomed:
        if keep:
            typer.echo("no artifact to remove: the tables need all that are there")
        elif not leftovers:
            typer.echo("nothing to remove")
        return
    total = f"{len(doomed)} artifacts, {megabytes(sum(map(size_of, doomed)))}"
    for artifact in doomed:
        line = f"{artifact.key[:10]}  {megabytes(size_of(artifact)):>12}  {artifact.job.id}"
        typer.echo(plain(f"{'would remove' if dry_run else 'to remove'} {line}"))
    if dry_run:
        typer.echo(f"would remove {total}")
        return
    if not yes:
        if not sys.stdin.isatty():
            raise RequestError(f"store {store}: {total} to remove, for good; say --yes to do it")
        typer.confirm(f"Remove {total}, for good?", abort=True)
    for artifact in doomed:
        opened.remove(artifact.key)
    typer.echo(f"removed {total}")


def not_needed(store: "Store", tables: list[str], scale: str | None) -> list["Artifact"]:
    """The artifacts that these tables don't need, at one scale or at any.

    Raises:
        RequestError: no such table or scale; or a table that can't be planned at it.
    """
    from kit.catalogue import Catalogue, manifests_folder
    from kit.planning import plan_tables

    own = any(name.endswith(".toml") for name in tables)  # a manifest names its scale
    scales = [scale] if scale else ["auto"] if own else Catalogue(manifests_folder()).names("scales")
    needed = {key for name in scales for key in plan_tables(tables, name).jobs}
    return [artifact for artifact in store.artifacts() if artifact.key not in needed]


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
