"""Checks that plain arithmetic decides: numbers of the running text, orders, and columns that rise."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates, coordinates_text
from kit.catalogue.claims import Claim, Gap, Quoted, Rises, SameOrder, Setting, Share
from kit.catalogue.points import product_of
from kit.claims.evidence import FAILS, HOLDS, Evidence, Verdict, nothing, sign_test
from kit.claims.numbers import Number, at_point, check_columns, measure_of, pairs_of
from kit.comparing.distributions import binomial_upper
from kit.errors import RequestError, did_you_mean
from kit.measures import PERCENT

NEARLY = 0.1
"""Part of a number by which another may fall short of it and still be called nearly that much; it may not be above."""
MOST_NAMED = 3
"""Most places that one sentence names."""


def evidence(claim: Claim, numbers: Mapping[str, Sequence[Number]]) -> Evidence:
    """Return the evidence of a claim that arithmetic decides; of one that is made of others, none yet."""
    if claim.rises:
        return rises(claim.rises, numbers[claim.rises.table])
    if claim.same_order:
        return same_order(claim.same_order, numbers[claim.same_order.table])
    return quoted(claim.quoted, numbers) if claim.quoted else Evidence()


def quoted(check: Quoted, numbers: Mapping[str, Sequence[Number]]) -> Evidence:
    """Return whether a number of the running text follows from what else is known."""
    scalar = paper.scalars()[check.scalar] if check.scalar else None
    wanted = scalar.value if scalar else check.value
    qualifier = (scalar.qualifier if scalar else None) or check.qualifier
    assert wanted is not None
    if check.share:
        found, unit = [share(check.share, numbers)], "%"
    elif check.gap:
        found, unit = gaps(check.gap, numbers)
    elif check.setting:
        found, unit = [setting(check.setting)], scalar.unit if scalar else check.unit
    else:
        factors = [paper.scalars()[one].value if isinstance(one, str) else one for one in check.product]
        found, unit = [math.prod(factors)], scalar.unit if scalar else check.unit
    known = [value for value in found if value is not None]
    if len(known) < len(found) or not known:
        return nothing("not every number that it is computed from is there")
    unit = "%" if unit == PERCENT else unit
    evidence = quoted_evidence(known, wanted, qualifier, unit)
    if check.gap and not check.gap.relative and unit == "points":
        parts, _ = gaps(check.gap.model_copy(update={"relative": True}), numbers)
        texts = ", ".join(f"{part:.1f}" for part in parts if part is not None)
        return replace(evidence, why=f"{evidence.why}; in percent of the lower number {texts}")
    return evidence


def quoted_evidence(found: Sequence[float], wanted: float, qualifier: str, unit: str) -> Evidence:
    """Return whether each of some numbers agrees with the quoted one."""
    verdict: Verdict = HOLDS if all(agrees(value, wanted, qualifier) for value in found) else FAILS
    digits = 0 if all(value == round(value) for value in found) else 2
    texts = ", ".join(f"{value:,.{digits}f}" for value in found)
    word = {"nearly": "nearly ", "rounded": "about "}.get(qualifier, "")
    why = f"the text says {word}{wanted:,g} {unit}, the numbers give {texts}"
    why += " at most" * (qualifier == "at most")
    if qualifier == "nearly":
        why += f"; {wanted * (1 - NEARLY):g} to {wanted:g} counts as nearly {wanted:g}"
    value = math.fsum(found) / len(found)
    return Evidence(value=value, unit=unit, digits=digits, n=len(found), of="", verdict=verdict, why=why)


def agrees(value: float, wanted: float, qualifier: str) -> bool:
    """Return whether a number is what the text says: it, nearly it, it when rounded as it is, or no more than it."""
    if qualifier == "nearly":
        return wanted * (1 - NEARLY) <= value <= wanted
    if qualifier == "rounded":
        return rounded(value, significant_digits(wanted)) == wanted
    if qualifier == "at most":
        return wanted <= value
    return math.isclose(value, wanted, rel_tol=1e-9)


def band(wanted: float, qualifier: str) -> tuple[float, float]:
    """Return the lowest and the highest number that a quoted one stands for; without a word, half of its last digit."""
    if qualifier == "nearly":
        return wanted * (1 - NEARLY), wanted
    if qualifier == "rounded":
        half = 0.5 * 10.0 ** (len(str(round(wanted))) - significant_digits(wanted))
    else:
        half = 0.5 * 10.0 ** -len(f"{wanted:g}".partition(".")[2])
    return wanted - half, wanted + half


def significant_digits(value: float) -> int:
    """Return how many digits of a whole number come before the zeros at its end: 2 for 52,000."""
    return len(str(round(value)).rstrip("0")) or 1


def rounded(value: float, digits: int) -> float:
    """Return a number with so many significant digits."""
    return float(f"{value:.{digits - 1}e}")


def share(check: Share, numbers: Mapping[str, Sequence[Number]]) -> float | None:
    """Return a count as percent of the sum of others; None where one is missing.

    Raises:
        RequestError: the table lacks a column, or has not one number at the point.
    """
    counts = {column: _one(check.table, numbers[check.table], check.at, column) for column in check.whole}
    values = [one.value for one in counts.values()]
    part = _one(check.table, numbers[check.table], check.at, check.part).value
    if part is None or any(value is None for value in values):
        return None
    return 100 * part / math.fsum(value for value in values if value is not None)


def _one(table: str, numbers: Sequence[Number], at: Coordinates, column: str) -> Number:
    """Return the one number of a column at a point.

    Raises:
        RequestError: there is none, or there are several.
    """
    check_columns(table, numbers, [column])
    found = at_point(numbers, at, column)
    if len(found) != 1:
        raise RequestError(f"claim: {table}: {len(found)} cells of {column} at {coordinates_text(at)}; wanted one")
    return found[0]


def gaps(check: Gap, numbers: Mapping[str, Sequence[Number]]) -> tuple[list[float | None], str]:
    """Return the difference of each pair of cells of a column, and its unit."""
    pairs = [pair for side in check.of for pair in pairs_of(side, numbers, [check.column])]
    unit = "%" if check.relative else measure_of(pairs[0].better).difference_unit
    found: list[float | None] = []
    for pair in pairs:
        if not pair.is_known or (check.relative and not pair.worse.value):
            found.append(None)
            continue
        found.append(100 * pair.difference / (pair.worse.value or 1.0) if check.relative else pair.difference)
    return found, unit


def setting(check: Setting) -> float:
    """Return a size that a table states: of a seed set in its rows, or of a benchmark in its columns.

    Raises:
        RequestError: the table has no such field.
    """
    table = paper.table(check.table)
    field, _, key = check.field.partition(".")
    if field == "n_items":
        rows = {row.dataset: row.values.get("n_items") for row in table.row}
        found = value if isinstance(value := rows.get(key), int | float) else None
    elif field == "n":
        found = next((column.n for column in table.column if column.id == key), None)
    else:
        raise RequestError(f"claim: {check.table}: no field {field!r}{did_you_mean(field, ('n_items', 'n'))}")
    if found is None:
        raise RequestError(f"claim: {check.table}: it has no {check.field}; wanted a number there")
    return float(found)


def rises(check: Rises, numbers: Sequence[Number]) -> Evidence:
    """Return whether cells rise from each value of an axis to the next: plain arithmetic."""
    check_columns(check.table, numbers, check.columns)
    columns = check.columns or list(dict.fromkeys(one.column for one in numbers))
    steps, falls = 0, []
    for line in product_of(check.by):
        for column in columns:
            cells = [_one(check.table, numbers, {**line, check.along: value}, column) for value in check.values]
            if any(cell.value is None for cell in cells):
                return nothing(f"not every cell of {check.table} is computed")
            for before, after in pairwise(cells):
                steps += 1
                change = (after.value or 0.0) - (before.value or 0.0)
                if change <= 0:
                    names = [*map(str, line.values()), column]
                    place = f"{before.at[check.along]} to {after.at[check.along]}"
                    falls.append((change, f"{' '.join(names)}, {place} ({change:+.2f})"))
    why = f"{steps - len(falls)} of {steps} steps go up"
    if falls:
        why += "; furthest down: " + "; ".join(text for _, text in sorted(falls)[:MOST_NAMED])
    verdict: Verdict = FAILS if falls else HOLDS
    share_up = 100 * (steps - len(falls)) / steps
    return Evidence(value=share_up, unit="% rise", n=steps, of="steps", verdict=verdict, why=why)


def same_order(check: SameOrder, numbers: Sequence[Number]) -> Evidence:
    """Return how many pairs of rows two columns put into the claimed order, tested against a coin."""
    check_columns(check.table, numbers, [check.score, check.outcome])
    scores = [one for one in numbers if one.column == check.score]
    outcomes = [at_point(numbers, one.at, check.outcome)[0] for one in scores]
    if any(one.value is None for one in [*scores, *outcomes]):
        return nothing(f"not every cell of {check.table} is computed")
    wanted = 1 if check.order == "same" else -1
    rows = [(one.value or 0.0, other.value or 0.0) for one, other in zip(scores, outcomes, strict=True)]
    signs = [wanted * (a[0] - b[0]) * (a[1] - b[1]) for a, b in combinations(rows, 2)]
    agreeing = sum(sign > 0 for sign in signs)
    texts = "; ".join(f"{score:.2f} with {outcome:.2f}" for score, outcome in rows)
    what = f"{agreeing} of {len(signs)} pair{'s' * (len(signs) != 1)} of rows in the {check.order} order"
    chance = 100 * binomial_upper(agreeing, len(signs), 0.5)
    why = f"{what} ({texts}); a coin does as well in {chance:.0f} % of cases"
    p = sign_test(signs)
    net = agreeing - sum(sign < 0 for sign in signs)
    return Evidence(
        value=net, unit="pairs", digits=0, n=len(signs), of="pairs of rows", test="exact sign test", p=p, why=why
    )
