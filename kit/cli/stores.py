"""``kit store``: look at artifacts, check them, throw away what nobody needs."""

import json as json_module
import sys
from typing import Annotated

import typer

from kit.cli import DEFAULT_STORE, AsJson, ScaleName, StoreDir, app

store_app = typer.Typer(no_args_is_help=True, help="Look at artifacts, check them, throw away what nobody needs.")
app.add_typer(store_app, name="store")


@store_app.command("list")
def list_artifacts(store: StoreDir = DEFAULT_STORE, json: AsJson = False) -> None:
    """One line an artifact: key, rows, bytes, when, what."""
    from kit.report import plain
    from kit.store import Store

    for artifact in Store.existing(store).artifacts():
        size = sum(int(file["size_bytes"]) for file in artifact.files.values())
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
    wanted = [opened.find(key) for key in keys] if keys else [artifact.key for artifact in opened.artifacts()]
    faults = 0
    for key in wanted:
        for fault in opened.check(key):
            faults += 1
            typer.echo(plain(f"{key[:10]}  {opened.get(key).job.id}: {fault}"))
    typer.echo(f"{len(wanted)} artifacts checked, {faults} faults")
    sys.exit(1 if faults else 0)


@store_app.command()
def gc(
    store: StoreDir = DEFAULT_STORE,
    keep: Annotated[
        list[str] | None, typer.Option(help="Tables whose artifacts stay; without it all artifacts stay")
    ] = None,
    scale: ScaleName = "auto",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go")] = False,
) -> None:
    """Remove what dead runs left behind; with --keep also every artifact that those tables don't need."""
    from kit.planning import plan_tables
    from kit.report import plain
    from kit.store import Store

    opened = Store.existing(store)
    for key in opened.interrupted():
        typer.echo(f"removed a half-written {key[:10]}")
    if not keep:
        return
    needed = set(plan_tables(keep, scale).jobs)
    doomed = [artifact for artifact in opened.artifacts() if artifact.key not in needed]
    freed = 0
    for artifact in doomed:
        size = sum(int(file["size_bytes"]) for file in artifact.files.values())
        freed += size if dry_run else opened.remove(artifact.key)
        typer.echo(plain(f"{'would remove' if dry_run else 'removed'} {artifact.key[:10]}  {artifact.job.id}"))
    typer.echo(f"{len(doomed)} artifacts, {freed / 1e6:,.1f} MB")
