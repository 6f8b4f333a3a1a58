"""The report as one self-contained page: each number beside the paper's, its verdict, and the rows behind it.

The page needs no network and no other file. Its tables are plain HTML, made here; what lies behind a number is opened
by the page's own script, out of blocks of compressed rows. The template escapes every text, and the script shows texts
as text alone. A content-security policy allows the page's own style and script, by their sha256, and nothing else.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kit.audit.findings import Report as Audit
from kit.check.findings import VERDICTS, Finding, counts
from kit.check.settings import Setting
from kit.claims import Judgement
from kit.page.rows import Explorer
from kit.page.runs import Runs, again, job_json, runs_of
from kit.page.tables import TableView, by_number, table_view
from kit.page.texts import clean_all
from kit.report import Grid
from kit.store import Store

SCHEMA = 1
"""Version of the documents that the page's script reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """All that a page is made from."""

    scale: str
    store: Store
    grids: Sequence[Grid]
    """Tables and figures of results, in the order in which they are shown."""
    findings: Sequence[Finding] = ()
    """Verdicts on their numbers."""
    settings: Sequence[Setting] = ()
    """Verdicts on printed settings (Tables 6 to 8)."""
    printed_claims: Sequence[Judgement] = ()
    """Claims by the numbers that the paper prints."""
    own_claims: Sequence[Judgement] = ()
    """Claims by the store's numbers."""
    families: Mapping[str, str] = field(default_factory=dict)
    """Family of claims -> its question."""
    audit: Audit | None = None
    """Checks of the paper's printed numbers against themselves."""
    beside: Mapping[str, Store] = field(default_factory=dict)
    """Name -> another store, whose rows of the same numbers can be set beside ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page before it is written: what its template shows, and the blocks of rows that its script opens."""

    contents: Contents
    tables: Sequence[TableView]
    runs: Runs
    head: Mapping[str, Any]
    """The document that the page's script starts from."""
    blocks: Mapping[str, bytes]
    """Id -> JSON."""

    @property
    def groups(self) -> list[tuple[str, list[TableView]]]:
        """Tables and figures, each kind below its heading."""
        return by_number(self.tables)

    @property
    def counts(self) -> dict[str, int]:
        """Verdict -> number of cells and curves that have it."""
        found = counts(self.contents.findings)
        return {verdict: sum(count[verdict] for count in found.values()) for verdict in VERDICTS}

    @property
    def commands(self) -> tuple[str, ...]:
        """Commands that compute the page's tables again and check them."""
        return again([grid.name for grid in self.contents.grids], self.contents.scale)


def make_page(contents: Contents, *, served: bool = False) -> Page:
    """Return the page of some tables, with the rows behind every number that is done.

    Args:
        contents: tables, verdicts, claims and the store.
        served: whether its blocks are asked from a server, and do not stand in the page.

    Raises:
        KitError: a table's artifact was changed, or matplotlib is missing, which draws figures.
    """
    explorer = Explorer(contents.store)
    of_table: dict[str, list[Finding]] = {}
    for finding in contents.findings:
        of_table.setdefault(finding.table, []).append(finding)
    tables = [table_view(grid, of_table.get(grid.name, []), explorer) for grid in contents.grids]
    others = list(_others(contents))
    jobs = explorer.jobs()
    head = {
        "schema": SCHEMA,
        "served": served,
        "scale": contents.scale,
        "sets": [clean_all(one.to_json()) for gathered in (explorer, *others) for one in gathered.sets.values()],
    }
    documents = {key: job_json(job, contents.store.get(key)) for key, job in jobs.items()}
    for other in others:
        known = other.jobs().items()
        documents |= {key: job_json(job, other.store.get(key)) for key, job in known if key not in documents}
    blocks = {id: block for gathered in (explorer, *others) for id, block in gathered.blocks.items()}
    blocks["jobs"] = json.dumps({"jobs": documents}, ensure_ascii=False, separators=(",", ":")).encode()
    return Page(contents=contents, tables=tables, runs=runs_of(jobs, contents.store), head=head, blocks=blocks)


def _others(contents: Contents) -> Iterator[Explorer]:
    """Yield the rows of the same numbers in other stores."""
    for number, (name, store) in enumerate(contents.beside.items(), 1):
        explorer = Explorer(store, name=name, prefix=f"o{number}")
        for grid in contents.grids:
            for address in grid.addresses():
                for key in address.keys:
                    explorer.add(key, grid.name, address.column, address.at)
        yield explorer
