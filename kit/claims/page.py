"""Verdicts on claims as texts: one line for each number, Markdown, JSON, and sentences that count them."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from kit.claims import Judgement
from kit.claims.evidence import CONFIDENCE, FAILS, HOLDS, UNKNOWN, p_text

KNOWN_FROM: Mapping[str, str] = {
    "abstract": "abstract",
    "text": "number in the text",
    "figure": "figure",
    "table": "layout of the table",
    "summary": "public summary",
}
"""Value of ``known_from`` -> how it is shown."""


def number_text(judgement: Judgement) -> str:
    """Return a claim's number with its interval: ``+2.24 points [0.75, 3.73]``; empty where there is none."""
    found = judgement.evidence
    if found.value is None:
        return ""
    sign = "+" if found.interval is not None or found.p is not None else ""
    text = f"{found.value:{sign},.{found.digits}f} {found.unit}".rstrip()
    if found.interval is None:
        return text
    low, high = (f"{end:,.{found.digits}f}" for end in (found.interval.low, found.interval.high))
    return f"{text} [{low}, {high}]"


def count_text(judgement: Judgement) -> str:
    """Return how many replicates, cells or prompts are behind a claim's number: ``6 bases``; empty where none are."""
    found = judgement.evidence
    return f"{found.n:,} {found.of}" if found.n and found.of else ""


def by_family(judgements: Sequence[Judgement]) -> Iterator[tuple[str, list[Judgement]]]:
    """Yield each family with its judgements, in the order of the claims."""
    for family in dict.fromkeys(one.claim.family for one in judgements):
        yield family, [one for one in judgements if one.claim.family == family]


def markdown(judgements: Sequence[Judgement], families: Mapping[str, str]) -> str:
    """Return the judgements as Markdown: one table for each family, below the question that it answers.

    Args:
        judgements: those on the printed numbers.
        families: family -> its question.
    """
    lines: list[str] = []
    for family, found in by_family(judgements):
        lines += [f"### {families[family]}", ""]
        lines += ["| claim | where | known from | verdict | value, 95 % interval | n | found |"]
        lines += ["| --- | --- | --- | --- | --- | --- | --- |"]
        for one in found:
            claim = one.claim
            texts = (f"{claim.says} `{claim.id}`", claim.where, KNOWN_FROM[claim.known_from], f"**{one.verdict}**")
            note = f"{one.why}. {claim.note}".rstrip() if claim.note else one.why
            lines.append(f"| {' | '.join((*texts, number_text(one), count_text(one), note))} |")
        lines.append("")
    return "\n".join([*lines, *summary(judgements), ""])


def summary(judgements: Sequence[Judgement]) -> list[str]:
    """Return sentences that count the verdicts, and say what a stricter correction would leave of them."""
    counts = Counter(one.verdict for one in judgements)
    parts = [f"{counts[HOLDS]} hold", f"{counts[FAILS]} do not", f"{counts[UNKNOWN]} can't be told"]
    whole = f"{len(judgements)} claims: {', '.join(parts)}."
    tested = [one for one in judgements if one.family_p is not None and one.verdict != UNKNOWN]
    left = [one.claim.id for one in tested if one.all_p is not None and one.all_p <= 1 - CONFIDENCE]
    lost = [f"{one.claim.id} ({p_text(one.all_p or 0.0)})" for one in tested if one.claim.id not in left]
    if not lost:
        return [whole]
    stricter = f"Corrected over all tests of all families at once, {len(left)} of {len(tested)} tested verdicts stay"
    return [whole, f"{stricter}; these become cannot tell: {', '.join(lost)}."]


def as_json(
    printed: Sequence[Judgement], own: Sequence[Judgement], families: Mapping[str, str], scale: str | None
) -> dict[str, Any]:
    """Return the judgements as one JSON document: each claim with its verdict on the printed and on our numbers.

    Args:
        printed: the judgements on the printed numbers.
        own: those on the kit's results, in the same order; empty where there are none.
        families: family -> its question.
        scale: the scale of our results; None where there are none.
    """
    results = {one.claim.id: _one_as_json(one) for one in own}
    claims = [
        {
            "id": one.claim.id,
            "says": one.claim.says,
            "where": one.claim.where,
            "known_from": one.claim.known_from,
            "family": one.claim.family,
            "note": one.claim.note,
            "printed": _one_as_json(one),
            "results": results.get(one.claim.id),
        }
        for one in printed
    ]
    return {"schema": 1, "scale": scale, "families": dict(families), "claims": claims}


def _one_as_json(judgement: Judgement) -> dict[str, Any]:
    """Return one judgement as a JSON object."""
    found = judgement.evidence
    return {
        "verdict": judgement.verdict,
        "value": found.value,
        "unit": found.unit,
        "interval": None if found.interval is None else asdict(found.interval),
        "n": found.n,
        "of": found.of,
        "test": found.test,
        "p": found.p,
        "p_family": judgement.family_p,
        "p_all": judgement.all_p,
        "family_tests": judgement.family_tests,
        "why": judgement.why,
    }
