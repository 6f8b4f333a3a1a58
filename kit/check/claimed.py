"""The paper's claims on our own results, for tables that are compared with the paper: do they hold here as well?"""

from collections.abc import Iterator, Mapping

from kit.check.findings import CANNOT_TELL, MATCH, OFF, Finding
from kit.claims import Judgement, claims_of, on_printed, on_results
from kit.claims.evidence import FAILS, HOLDS, UNKNOWN
from kit.claims.page import count_text, number_text
from kit.errors import KitError
from kit.report import Grid
from kit.store import Store

BY_CHANCE = ("average", "outcomes", "counts", "same_order")
"""Kinds of claims that a test decides. The others count cells, and one cell that chance turned would say no."""
VERDICTS = {HOLDS: MATCH, FAILS: OFF, UNKNOWN: CANNOT_TELL}
"""Verdict on a claim -> the verdict of its finding."""


def claimed(grids: Mapping[str, Grid], store: Store) -> Iterator[Finding]:
    """Judge the claims that these tables alone decide, that a test decides, and that hold on the printed numbers.

    What the paper's own numbers do not show need not show here; `kit claims` has all of them.

    Args:
        grids: the tables that are compared with the paper, by name.
        store: where the items behind their numbers are.
    """
    decided = [
        claim
        for claim in claims_of(list(grids))
        if claim.kind in BY_CHANCE and claim.tables() and set(claim.tables()) <= set(grids)
    ]
    shown = {one.claim.id: one for one in on_printed(decided) if one.verdict == HOLDS}
    if not shown:
        return
    try:
        own = on_results([one.claim for one in shown.values()], list(grids.values()), store)
    except KitError as error:
        name = next(iter(shown.values())).claim.tables()[0]
        yield Finding(
            check="claim", table=name, what=f"{name}, claims", passed=False, detail=str(error), verdict=CANNOT_TELL
        )
        return
    yield from (_finding(one, shown[one.claim.id]) for one in own)


def _finding(own: Judgement, printed: Judgement) -> Finding:
    """Return the finding on one claim: ours with its reason, and the number that the paper's cells give."""
    table, verdict = own.claim.tables()[0], VERDICTS[own.verdict]
    reasons = "; ".join(filter(None, (number_text(own), count_text(own), own.why)))
    return Finding(
        check="claim",
        table=table,
        what=f"{table}, {own.claim.id}",
        passed=verdict == MATCH,
        detail=f"{own.verdict}: {own.claim.says} {reasons}; the paper's numbers: {number_text(printed)}",
        verdict=verdict,
    )
