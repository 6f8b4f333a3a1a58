"""Other readings of a number that no count gives: another n, other rounding, a slip, a mean of several runs."""

from collections.abc import Iterator
from itertools import islice, pairwise

from kit.audit.counts import Number, as_printed, counts, fit_share, number, power
from kit.audit.rows import Rows
from kit.audit.sheets import Column

MOST_BY_CHANCE = 0.2
"""Largest share of all numbers that another n may give; a larger one explains everything, and so nothing."""
MOST_RUNS = 5
MOST_COPIES = 3
"""Most other cells with the same number that are named."""
MOST_SLIPS = 6
"""Most numbers one digit away that are listed."""


def nearest(printed: Number, n: int) -> str:
    """Return the two counts around a number, with what they are printed as: ``210 of 541 is 38.82, 211 is 39.00``."""
    k = min(max(printed.digits * n // (100 * printed.unit), 0), n - 1)
    low, high = (as_printed(one, n, printed.decimals).text for one in (k, k + 1))
    return f"{k} of {n} is {low}, {k + 1} is {high}"


def other_readings(printed: Number, column: Column, rows: Rows) -> list[str]:
    """Return every reading of a number that would make it possible, the plainest first."""
    if not column.n:
        return []
    return [
        *_other_rules(printed, column.n),
        *_other_sizes(printed, column, rows),
        *_elsewhere(printed, column, rows),
        *_slips(printed, column.n),
        *_several_runs(printed, column.n),
    ]


def _other_rules(printed: Number, n: int) -> Iterator[str]:
    """Yield the counts that give the number when digits are cut off, or always rounded up."""
    for rule, how in (("cut", "cut off instead of rounded"), ("raised", "rounded up instead of to the nearest")):
        for k in counts(printed, n, "cut" if rule == "cut" else "raised"):
            yield f"{k} of {n} = {as_printed(k, n, printed.decimals + 2).text}, {how}"


def _other_sizes(printed: Number, column: Column, rows: Rows) -> Iterator[str]:
    """Yield other sizes of the benchmark, and other columns of the table, whose counts give the number."""
    known = rows.facts.of(column.benchmark)
    named = {n: f"{what} ({column.benchmark})" for what, n in known.sizes.items()} if known else {}
    for other in rows.sheet.columns:
        if other.n and other.id != column.id:
            named.setdefault(other.n, f"column {other.id}")
    for n, what in named.items():
        share = fit_share(n, printed.decimals)
        if n != column.n and share <= MOST_BY_CHANCE and (found := counts(printed, n)):
            yield f"{found[0]} of {n}, {what}; {100 * share:.1f} % of all numbers fit {n}"


def _elsewhere(printed: Number, column: Column, rows: Rows) -> Iterator[str]:
    """Yield the cells of other columns that print the same number, and can."""
    others = ((line, other) for line, other in rows.places.get(printed, ()) if other.id != column.id)
    for line, other in islice(others, MOST_COPIES):
        yield f"a cell copied: {printed.text} stands at {line}, {other.id} too"


def _slips(printed: Number, n: int) -> Iterator[str]:
    """Yield the possible numbers that differ in one digit, or by two neighbouring digits exchanged."""
    if slips := one_digit_away(printed, n):
        more = f" and {len(slips) - MOST_SLIPS} more" if len(slips) > MOST_SLIPS else ""
        yield f"one digit away: {', '.join(slips[:MOST_SLIPS])}{more}"
    if exchanged := neighbours_exchanged(printed, n):
        yield f"two digits exchanged: {', '.join(exchanged)}"


def _fitting(texts: Iterator[str], decimals: int, n: int) -> list[str]:
    """Return those texts that some count of n is printed as, the nearest to each other first."""
    found = {text: number(float(text), decimals) for text in texts}
    return [text for text, one in found.items() if one.digits <= 100 * power(decimals) and counts(one, n)]


def one_digit_away(printed: Number, n: int) -> list[str]:
    """Return the possible numbers that differ in one digit; those that differ least come first."""
    text = printed.text
    changed = (
        text[:place] + digit + text[place + 1 :]
        for place, old in enumerate(text)
        if old.isdigit()
        for digit in "0123456789"
        if digit != old and (digit != "0" or place or text[1:2] == ".")
    )
    return sorted(_fitting(changed, printed.decimals, n), key=lambda one: abs(float(one) - printed.value))


def neighbours_exchanged(printed: Number, n: int) -> list[str]:
    """Return the possible numbers in which two neighbouring digits stand the other way round."""
    text = printed.text
    places = [place for place, sign in enumerate(text) if sign.isdigit()]
    changed = []
    for left, right in pairwise(places):
        signs = list(text)
        signs[left], signs[right] = signs[right], signs[left]
        changed.append("".join(signs))
    return _fitting(iter(one for one in changed if one != text and not one.startswith("0")), printed.decimals, n)


def _several_runs(printed: Number, n: int) -> Iterator[str]:
    """Yield the smallest number of runs whose mean can be printed so, where few numbers can."""
    for runs in range(2, MOST_RUNS + 1):
        share = fit_share(runs * n, printed.decimals)
        if share <= MOST_BY_CHANCE and (found := counts(printed, runs * n)):
            yield f"the mean of {runs} runs ({found[0]} of {runs} x {n}); {100 * share:.1f} % of all numbers fit that"
            return
