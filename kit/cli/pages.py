"""The report as one HTML file, or served on this machine: ``kit report --html`` and ``--serve``."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit.cli import say, store_to_read
from kit.errors import RequestError, one_line

if TYPE_CHECKING:
    from kit.page import Contents
    from kit.store import Store

MEBIBYTE = 2**20


def write_page(tables: Sequence[str], scale: str, store: Path, beside: Sequence[Path], out: Path) -> None:
    """Write the page of some tables into a file, in the place of one that is there.

    Args:
        tables: numbers or names; none for all tables that the store has.
        scale: name of the scale.
        store: folder of the store.
        beside: folders of other stores, whose rows can be set beside these.
        out: the file.

    Raises:
        RequestError: the file can't be written; told before anything is read.
    """
    from kit.page import make_page
    from kit.page.writing import html

    _check_file(out)
    page = make_page(_contents(tables, scale, store_to_read(store), beside))
    text = html(page).encode()
    partial = out.with_name(f".{out.name}.partial")
    try:
        partial.write_bytes(text)
        partial.replace(out)
    except OSError as error:
        raise RequestError(f"--out {one_line(str(out))}: {error.strerror}; name a file that can be written") from error
    rows = sum(int(one["count"]) for one in page.head["sets"])
    say(f"wrote {out}: {len(page.tables)} tables and figures, {rows:,} rows, {len(text) / MEBIBYTE:,.1f} MiB")


def serve_page(tables: Sequence[str], scale: str, store: Path, beside: Sequence[Path], port: int) -> None:
    """Serve the page of some tables to browsers on this machine, until it is stopped."""
    from kit.page import make_page
    from kit.page.serving import make_server

    page = make_page(_contents(tables, scale, store_to_read(store), beside), served=True)
    with make_server(page, port) as server:
        host, used = server.server_address[:2]
        say(f"http://{host!s}:{used}/ shows {len(page.tables)} tables and figures; stop with Ctrl-C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it
            say("it is shown no longer", err=True)


def _contents(tables: Sequence[str], scale: str, store: "Store", beside: Sequence[Path]) -> "Contents":
    """Return all that the page shows: tables of results with their verdicts, settings, claims, the audit."""
    from kit.audit.checking import audit_paper
    from kit.catalogue.claims import read_claims
    from kit.check import settings, verify
    from kit.claims import on_printed, on_results
    from kit.cli.tables import stored_tables
    from kit.page import Contents
    from kit.plan.planning import plan_tables
    from kit.report import make_grid
    from kit.report.overlaps import with_overlaps

    others = {_name_of(folder): store_to_read(folder) for folder in beside}
    printed, computed = settings.split(tables)
    plan = plan_tables(computed or stored_tables(store, scale), scale)
    grids = with_overlaps([make_grid(name, plan, store) for name in plan.tables], plan, store)
    file = read_claims()
    shown = set(plan.tables)
    chosen = [claim for claim in file.claim if set(claim.tables()) & shown] or file.claim
    return Contents(
        scale=plan.scale,
        store=store,
        grids=grids,
        findings=verify.judged({grid.name: grid for grid in grids}, store),
        settings=settings.check(printed),
        printed_claims=on_printed(chosen, file.claim),
        own_claims=on_results(chosen, grids, store, file.claim),
        families=file.families,
        audit=audit_paper([]),
        beside=others,
    )


def _name_of(folder: Path) -> str:
    """Return a name for another store: the last parts of its path that tell what it is."""
    return "/".join(folder.resolve().parts[-2:])


def _check_file(out: Path) -> None:
    """Check that a file can be written, before anything is read.

    Raises:
        RequestError: it is a folder, or lies in none, or in one that can't be written.
    """
    name, folder = one_line(str(out)), out.absolute().parent
    if out.is_dir():
        raise RequestError(f"--out {name}: a folder; name a file, for instance {name}/report.html")
    if not folder.is_dir():
        raise RequestError(f"--out {name}: no folder {one_line(str(folder))}; make it first")
    if not os.access(folder, os.W_OK):
        raise RequestError(f"--out {name}: the folder can't be written; name a file elsewhere")
