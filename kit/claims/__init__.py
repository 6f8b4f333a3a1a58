"""The paper's findings as named checks: on the numbers that the paper prints, and on the kit's own results."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kit.catalogue.claims import Claim, read_claims
from kit.claims import printed, results
from kit.claims.evidence import FAILS, HOLDS, UNKNOWN, Evidence, Verdict, decide, p_text
from kit.comparing.families import holm
from kit.comparing.intervals import Interval
from kit.report import Grid
from kit.store import Store

__all__ = ["Judgement", "claims_of", "on_printed", "on_results"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The verdict on one claim, on printed numbers or on the kit's own."""

    claim: Claim
    on: Literal["printed", "results"]
    verdict: Verdict
    evidence: Evidence
    family_p: float | None = None
    """The p value after Holm's correction over the tests of the claim's family; None where nothing was tested."""
    family_tests: int = 0
    """Tests of the family that the correction is over."""
    all_p: float | None = None
    """The p value after Holm's correction over every test of every family, as a stricter reading."""

    @property
    def value(self) -> float | None:
        """The number that decides the claim, in the evidence's unit."""
        return self.evidence.value

    @property
    def interval(self) -> Interval | None:
        """The 95 % interval of the number that decides the claim."""
        return self.evidence.interval

    @property
    def why(self) -> str:
        """Sentences on what was found, with the p values where a test decides."""
        parts = [self.evidence.why]
        if self.evidence.p is not None and self.family_p is not None:
            tests = self.family_tests
            over = f", {p_text(self.family_p)} after Holm over {tests}" if tests > 1 else ""
            parts.append(f"{self.evidence.test} {p_text(self.evidence.p)}{over}")
        return "; ".join(filter(None, parts))


def claims_of(tables: Sequence[str] | None = None, path: Path | None = None) -> list[Claim]:
    """Return the claims that some tables decide, with those that are made of such; all claims without tables.

    Args:
        tables: names of tables, figures or views: ``table-2``.
        path: the file of claims; ``manifests/claims.toml`` by default.

    Raises:
        RequestError: the file can't be read, or names what is not there.
    """
    claims = read_claims(path).claim
    if tables is None:
        return claims
    chosen = {claim.id for claim in claims if set(claim.tables()) & set(tables)}
    return [claim for claim in claims if claim.id in chosen or set(claim.all_of or ()) & chosen]


def on_printed(claims: Sequence[Claim], among: Sequence[Claim] | None = None) -> list[Judgement]:
    """Return the verdict on each claim out of the numbers that the paper prints.

    Args:
        claims: the claims.
        among: all claims, whose families p values are corrected over; those of ``manifests/claims.toml`` by default.

    Raises:
        RequestError: a claim names a column or a point that its table does not have.
    """
    tables = printed.Printed()
    return _judge(claims, among, "printed", lambda claim: printed.evidence(claim, tables))


def on_results(
    claims: Sequence[Claim], grids: Sequence[Grid], store: Store, among: Sequence[Claim] | None = None
) -> list[Judgement]:
    """Return the verdict on each claim out of the kit's own results.

    Args:
        claims: the claims.
        grids: the tables that they are about; a claim on another table can't be told.
        store: where the per-item grades and scores behind the tables are.
        among: as in :func:`on_printed`; a claim that can't be tested yet counts in no family.

    Raises:
        KitError: the items behind a number can't be read.
    """
    found = results.Results.of(grids, store)
    return _judge(claims, among, "results", lambda claim: results.evidence(claim, found))


def _judge(
    claims: Sequence[Claim],
    among: Sequence[Claim] | None,
    on: Literal["printed", "results"],
    find: Callable[[Claim], Evidence],
) -> list[Judgement]:
    """Return the verdicts: all evidence first, then Holm's correction, then claims that are made of others."""
    every = {claim.id: claim for claim in [*(claims_of() if among is None else among), *claims]}
    evidence = {claim.id: find(claim) for claim in every.values() if not claim.all_of}
    p_values = {id: own.p for id, own in evidence.items() if own.p is not None}
    families = Counter(every[id].family for id in p_values)
    corrected: dict[str, float] = {}
    for family in families:
        corrected |= holm({id: p for id, p in p_values.items() if every[id].family == family})
    over_all = holm(p_values)
    found: dict[str, Judgement] = {}
    for id, own in evidence.items():
        found[id] = Judgement(
            claim=every[id],
            on=on,
            verdict=decide(own, corrected.get(id)),
            evidence=own,
            family_p=corrected.get(id),
            family_tests=families[every[id].family],
            all_p=over_all.get(id),
        )
    return [_joint(claim, on, found) if claim.all_of else found[claim.id] for claim in claims]


def _joint(claim: Claim, on: Literal["printed", "results"], found: Mapping[str, Judgement]) -> Judgement:
    """Return the verdict on a claim that holds where all of its parts do, and does not where one of them does not."""
    verdicts = {id: found[id].verdict if id in found else UNKNOWN for id in claim.all_of or ()}
    each = list(verdicts.values())
    verdict: Verdict = FAILS if FAILS in each else UNKNOWN if UNKNOWN in each else HOLDS
    texts = "; ".join(f"{id}: {one}" for id, one in verdicts.items())
    own = Evidence(n=len(each), of="claims", verdict=verdict, why=texts)
    return Judgement(claim=claim, on=on, verdict=verdict, evidence=own)
