"""The report of an audit for a terminal, as Markdown and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from kit.audit.findings import MEANING, ORDER, Finding, Report, Sureness
from kit.report.escapes import plain

if TYPE_CHECKING:
    from rich.console import Console

STYLES: dict[Sureness, str] = {"certain": "bold red", "likely": "yellow", "possible": "cyan"}
CHECKS = {
    "counts": "cells against counts of their n",
    "ifeval": "rows against IFEval's bounds",
    "shared": "cells that are printed twice by design",
    "repeated": "pairs of rows of different runs",
    "means": "means",
    "sums": "rows of counts",
    "ticks": "axes of figures",
    "text": "statements",
}
"""Check -> what it compared, for the last line."""


def show(console: "Console", report: Report) -> None:
    """Print an audit on a terminal: findings by table, then notes, then what was compared."""
    from rich.text import Text

    table = ""
    for finding in (*report.findings, *report.notes):
        if finding.table != table:
            table = finding.table
            console.print(Text(f"\n{plain(table)}", style="bold"))
        console.print(
            Text.assemble((finding.sure, STYLES[finding.sure]), f"  {plain(heading(finding))}"), soft_wrap=True
        )
        for label, text in details(finding):
            console.print(Text.assemble("    ", (label, "dim"), f" {plain(text)}"), soft_wrap=True)
    console.print()
    for line in closing(report):
        console.print(Text(plain(line)), soft_wrap=True)


def heading(finding: Finding) -> str:
    """Return the check, the place and the printed numbers of a finding in one line."""
    rows, columns, printed = finding.rows, ", ".join(finding.columns), ", ".join(finding.printed)
    place = "; ".join(filter(None, (" and ".join(rows), columns)))
    if finding.check == "shared":
        return f"{finding.check}: {columns}"
    return f"{finding.check}: {place}: {printed}" if place else f"{finding.check}: {printed}"


def details(finding: Finding) -> Iterator[tuple[str, str]]:
    """Yield the reason, the chance, the other readings and the other places of a finding, each with a label."""
    yield "why", finding.why
    if finding.check == "shared":
        yield from (("   ", one) for one in finding.printed)
    if finding.chance:
        yield "chance", finding.chance
    yield from (("could be", one) for one in finding.could_be)
    if finding.also:
        yield "also in", ", ".join(finding.also)


def closing(report: Report) -> Iterator[str]:
    """Yield what was compared, what was not, and how many findings there are."""
    compared = ", ".join(f"{count:,} {CHECKS[check]}" for check, count in report.compared.items() if count)
    yield f"Compared: {compared or 'nothing'}."
    reasons: dict[str, list[str]] = {}
    for one in report.untested:
        reasons.setdefault(one.reason, []).append(one.table + (f" {', '.join(one.columns)}" if one.columns else ""))
    for reason, places in reasons.items():
        yield f"Not tested ({reason}): {'; '.join(places)}."
    counts = {sure: sum(one.sure == sure for one in report.findings) for sure in ORDER[:2]}
    yield (
        f"{_count(len(report.findings), 'finding')}: {counts['certain']} certain, {counts['likely']} likely; "
        f"{_count(len(report.notes), 'note')}. Nothing is corrected."
    )


def _count(number: int, word: str) -> str:
    """Return a number with its noun: ``1 finding``, ``2 findings``."""
    return f"{number:,} {word}{'s' * (number != 1)}"


def markdown(report: Report) -> str:
    """Return an audit as a page of Markdown."""
    lines = ["# Audit", ""]
    for title, found in (("Findings", report.findings), ("Notes", report.notes)):
        lines += [f"## {title}", "", *_items(found)] if found else []
    lines += ["## Compared", "", *(f"- {_escaped(line)}" for line in closing(report)), ""]
    lines += [f"- *{sure}*: {MEANING[sure]}." for sure in ORDER]
    return plain("\n".join(lines) + "\n")


def _items(found: Sequence[Finding]) -> Iterator[str]:
    """Yield the lines of a list of findings."""
    for finding in found:
        yield f"- **{_escaped(finding.table)}**, {finding.sure}, {_escaped(heading(finding))}"
        yield from (f"  - {label.strip() or 'cell'}: {_escaped(text)}" for label, text in details(finding))
    yield ""


def _escaped(text: str) -> str:
    """Return text without Markdown's own signs, as names and numbers may hold them, on one line."""
    return " ".join(text.split()).translate({ord(sign): f"\\{sign}" for sign in "\\`*_[]<>|"})


def document(report: Report) -> dict[str, Any]:
    """Return an audit as a JSON document."""
    return {
        "schema": 1,
        "tables": list(report.tables),
        "passed": not report.findings,
        "findings": [asdict(one) for one in report.findings],
        "notes": [asdict(one) for one in report.notes],
        "compared": dict(report.compared),
        "untested": [asdict(one) for one in report.untested],
    }
