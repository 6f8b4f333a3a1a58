"""Findings of the audit: where, what, why it can't be, how sure, and what it could be instead."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Sureness = Literal["certain", "likely", "possible"]
ORDER: tuple[Sureness, ...] = ("certain", "likely", "possible")
MEANING: dict[Sureness, str] = {
    "certain": "arithmetic: it can't be as printed, with the benchmark's public size as n",
    "likely": "it can be by an unusual rounding or by chance, and both are improbable",
    "possible": "a note: chance does it now and then; not counted as a finding",
}
"""Degrees of sureness, and what each one means."""
MOST_BY_CHANCE = {"likely": 0.01, "possible": 1.0}
"""Most coincidences of a kind that chance makes in all that is compared, for each degree; rarer ones are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that does not fit, or a note on one that is improbable."""

    check: str
    """``counts``, ``ifeval``, ``swapped``, ``repeated``, ``shared``, ``ticks``, ``means``, ``sums`` or ``text``."""
    table: str
    rows: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    """The numbers as they are printed."""
    why: str
    """Reason why it can't be, or why it is improbable."""
    sure: Sureness
    chance: str = ""
    """Likelihood that it comes about by chance, where that can be said."""
    could_be: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    """Other tables and series that print the same numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Untested:
    """A column or a check that nothing could be said about, and the reason."""

    table: str
    columns: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The outcome of an audit: findings, notes, and how much was compared."""

    tables: tuple[str, ...]
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...]
    compared: dict[str, int]
    """Check -> number of comparisons."""
    untested: tuple[Untested, ...] = ()


def sureness(expected: float) -> Sureness | None:
    """Return how sure a coincidence is that chance brings about so many times; None where chance explains it."""
    if expected <= MOST_BY_CHANCE["likely"]:
        return "likely"
    return "possible" if expected <= MOST_BY_CHANCE["possible"] else None


def once(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings without repeats: those of the same numbers in another table name it beside the first.

    Two rows of one table that print the same number are two findings.
    """
    kept: list[Finding] = []
    alike: dict[tuple[object, ...], list[int]] = {}
    for finding in findings:
        places = alike.setdefault((finding.check, finding.columns, finding.printed, finding.why), [])
        elsewhere = [at for at in places if finding.table not in (kept[at].table, *kept[at].also)]
        if elsewhere and finding.printed and finding.check != "sums":
            first = kept[elsewhere[0]]
            kept[elsewhere[0]] = replace(first, also=(*first.also, finding.table))
        else:
            places.append(len(kept))
            kept.append(finding)
    return kept


def in_order(findings: Iterable[Finding], tables: Sequence[str]) -> list[Finding]:
    """Return findings in the order of the tables, the surest of each first."""
    place = {name: index for index, name in enumerate(tables)}

    def key(finding: Finding) -> tuple[int, int]:
        label = finding.table if finding.table in place else finding.table.partition(" (")[0]
        return place.get(label, 0), ORDER.index(finding.sure)

    return sorted(findings, key=key)
