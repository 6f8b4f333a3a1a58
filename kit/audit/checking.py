"""The audit as a whole: every check over every sheet, and the report on those that were asked for."""

from collections.abc import Iterable, Sequence

from kit.audit import counting, repeated, ticks, totals
from kit.audit.facts import CountsFile, facts
from kit.audit.findings import Finding, Report, Untested, in_order, once
from kit.audit.sheets import Sheet, sheets_of
from kit.catalogue import paper

ALL = "all"


def audit_paper(names: Sequence[str] = ()) -> Report:
    """Audit the paper's tables and figures; with names, report on what concerns these.

    Raises:
        RequestError: there is no table of a name, or a manifest can't be read.
    """
    known = paper.names()
    asked = [known_name(name) for name in names if name != ALL]
    tables = {name: paper.table(name) for name in known}
    fixed = facts()
    sheets = [sheet for name, table in tables.items() for sheet in sheets_of(name, table, fixed)]
    statements, stated = totals.text(tables)
    found, compared = check_sheets(sheets, fixed)
    wanted = [name for name in known if name in asked] if asked and ALL not in names else known
    unread = [
        Untested(table=name, columns=(), reason="settings and sizes: `kit verify` compares them with manifests/")
        if table.prints_settings
        else Untested(table=name, columns=(), reason="a figure whose numbers are not released")
        for name, table in tables.items()
        if not any(sheet.name == name for sheet in sheets)
    ]
    left = [*unread, *(one for sheet in sheets for one in counting.untested(sheet))]
    return _report([*found, *statements], {**compared, "text": stated}, wanted, left)


def audit_sheets(sheets: Sequence[Sheet], fixed: CountsFile | None = None) -> Report:
    """Audit tables of one's own, and report on all of them."""
    found, compared = check_sheets(sheets, fixed or facts())
    left = [one for sheet in sheets for one in counting.untested(sheet)]
    return _report(found, compared, [sheet.name for sheet in sheets], left)


def check_sheets(sheets: Sequence[Sheet], fixed: CountsFile) -> tuple[list[Finding], dict[str, int]]:
    """Return all findings and notes on sheets, and the number of comparisons by check."""
    found = [finding for sheet in sheets for finding in counting.row_findings(sheet, fixed)]
    rows, pairs = repeated.repeated_rows(sheets)
    shared, twice = repeated.shared_rows(sheets)
    drawn, panels = ticks.tick_findings(sheets)
    totalled, counted = totals.sums(sheets)
    averaged, means = totals.means(sheets)
    found += [*shared, *rows, *repeated.repeated_cells(sheets), *repeated.equal_levels(sheets)]
    found += [*drawn, *averaged, *totalled]
    compared = {
        "counts": sum(counting.compared(sheet) for sheet in sheets),
        "ifeval": sum(counting.compared_ifeval(sheet, fixed) for sheet in sheets),
        "repeated": pairs,
        "shared": twice,
        "ticks": panels,
        "means": means,
        "sums": counted,
    }
    return once(found), compared


def known_name(name: str) -> str:
    """Return the full name of a table or figure of the paper: ``2`` and ``table-2`` are ``table-2``.

    Raises:
        RequestError: there is none.
    """
    full = f"table-{name}" if name.isdigit() else name.removesuffix(".toml")
    if full not in paper.names():
        paper.table(full)  # refuses it with the nearest name
    return full


def _report(
    found: Iterable[Finding], compared: dict[str, int], wanted: Sequence[str], left: Iterable[Untested]
) -> Report:
    """Return a report on the tables that were asked for."""
    names = set(wanted)

    def concerned(label: str) -> bool:
        return label in names or label.partition(" (")[0] in names

    kept = in_order((one for one in found if any(map(concerned, (one.table, *one.also)))), wanted)
    return Report(
        tables=tuple(dict.fromkeys(wanted)),
        findings=tuple(one for one in kept if one.sure != "possible"),
        notes=tuple(one for one in kept if one.sure == "possible"),
        compared=compared,
        untested=tuple(dict.fromkeys(one for one in left if concerned(one.table))),
    )
