"""Evidence for claims out of the numbers that the paper prints: no item, no run and no store is read."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kit.catalogue import paper
from kit.catalogue.axes import value_text
from kit.catalogue.claims import Average, Claim, Counts, Everywhere, Outcomes
from kit.claims import arithmetic
from kit.claims.evidence import (
    FAILS,
    FEWEST_FOR_T,
    HOLDS,
    UNKNOWN,
    Evidence,
    nothing,
    over_items,
    over_replicates,
    p_text,
    sign_test,
)
from kit.claims.numbers import (
    RANGES,
    Number,
    Pair,
    at_point,
    grouped,
    measure_of,
    pairs_of,
    printed_numbers,
    units_of,
)
from kit.comparing.exact import mcnemar
from kit.errors import RequestError
from kit.measures import PERCENT


@dataclass(slots=True)
class Printed:
    """The printed tables that claims read, each read once."""

    tables: dict[str, list[Number]] = field(default_factory=dict)

    def of(self, claim: Claim) -> Mapping[str, Sequence[Number]]:
        """Return the numbers of a claim's tables, by table."""
        for name in claim.tables():
            if name not in self.tables:
                self.tables[name] = printed_numbers(name)
        return {name: self.tables[name] for name in claim.tables()}


TUNED = "base"
"""Axis of numbers that come from a tuned model, so that another training run gives another number."""
ONE_RUN = "one training run on each side, and nothing shows the spread between runs"
MOST_NAMED = 3
"""Most cells that one sentence names."""


def evidence(claim: Claim, printed: Printed) -> Evidence:
    """Return the evidence of one claim out of the printed numbers; of one that is made of others, none yet.

    Raises:
        RequestError: the claim names a column or a point that the printed table does not have.
    """
    numbers = printed.of(claim)
    empty = [name for name, found in numbers.items() if not found]
    if claim.not_printed:
        found = nothing(claim.not_printed.reason)
    elif claim.counts:
        found = counts(claim.counts)
    elif claim.quoted and not (claim.quoted.share or claim.quoted.gap):
        found = arithmetic.quoted(claim.quoted, numbers)
    elif empty:
        found = nothing(no_numbers(empty[0]))
    elif claim.average:
        found = average(claim.average, pairs_of_claim(claim, numbers))
    elif claim.everywhere:
        found = everywhere(claim.everywhere, pairs_of_claim(claim, numbers))
    elif claim.outcomes:
        found = outcomes(claim.outcomes, numbers[claim.outcomes.table])
    else:
        found = arithmetic.evidence(claim, numbers)
    return found


def no_numbers(table: str) -> str:
    """Return a sentence that says why a table has no printed numbers."""
    if table not in paper.names():
        return f"the paper prints no numbers of {table}"
    return f"the paper draws {table} and releases none of its numbers"


def pairs_of_claim(claim: Claim, numbers: Mapping[str, Sequence[Number]]) -> list[Pair]:
    """Return the pairs of cells that a claim compares."""
    return [pair for side in claim.sides() for pair in pairs_of(side, numbers, claim.columns())]


def check_one_unit(pairs: Sequence[Pair]) -> None:
    """Check that the numbers of some pairs have one unit: a mean over several says nothing.

    Raises:
        RequestError: they have several.
    """
    units = list(units_of(pairs))
    if len(units) > 1:
        raise RequestError(
            f"claim: {pairs[0].better.table}: found numbers in {', '.join(units)}, wanted one unit; name columns of one"
        )


def average(check: Average, pairs: Sequence[Pair]) -> Evidence:
    """Return the evidence that cells are above others on average.

    ``sample``: the mean of the replicates' mean differences, with Student's interval. ``whole``: the mean of all
    differences, with the most that the choice of items can add (:func:`item_stderr`); of tuned models that is too
    little to decide by, as one run on each side leaves the spread between runs unknown.
    """
    check_one_unit(pairs)
    groups = grouped(pairs, check.over)
    means = [statistics.fmean(pair.difference for pair in group) for group in groups.values()]
    n, ahead = len(means), sum(pair.difference > 0 for pair in pairs)
    shown = Evidence(
        value=statistics.fmean(means),
        unit=measure_of(pairs[0].better).difference_unit,
        n=n,
        of=replicates_name(check.over, n) if check.over else "cells",
        why=f"{ahead} of {len(pairs)} cells are ahead",
    )
    return _of_sample(shown, means) if check.replicates == "sample" else _of_whole(shown, groups)


def _of_sample(shown: Evidence, means: Sequence[float]) -> Evidence:
    """Return evidence with the interval and the test over replicates."""
    interval, test, p = over_replicates(means)
    n, wins = len(means), sum(mean > 0 for mean in means)
    why = f"ahead on {wins} of {n} {shown.of} (exact sign test {p_text(sign_test(means))}); {shown.why}"
    if n < FEWEST_FOR_T:
        why += f"; {n} {shown.of} can't carry a p below {min(1.0, 2 * 0.5**n):.3f}, whatever their differences"
    return replace(shown, interval=interval, test=test, p=p, why=why)


def _of_whole(shown: Evidence, groups: Mapping[str, Sequence[Pair]]) -> Evidence:
    """Return evidence with the interval and the test that the choice of items leaves at most."""
    bound, value = item_stderr(groups), shown.value or 0.0
    if bound is None:
        return replace(shown, verdict=UNKNOWN, why=f"{shown.why}; no spread is known")
    interval, p = over_items(value, bound)
    why = f"{shown.why}; the choice of items alone leaves {interval.high - value:.2f} on each side at most"
    tuned = any(TUNED in pair.better.at for group in groups.values() for pair in group)
    verdict = UNKNOWN if tuned else None
    why += f"; {ONE_RUN}" if tuned else ""
    return replace(shown, interval=interval, test="item noise", p=p, verdict=verdict, why=why)


def replicates_name(over: Sequence[str], n: int) -> str:
    """Return what replicates are called: ``bases``, ``rounds``, ``combinations of round and seeds``."""
    if len(over) != 1:
        return f"combinations of {' and '.join(over)}"
    return over[0] if n == 1 or over[0].endswith("s") else f"{over[0]}s"


def item_stderr(groups: Mapping[str, Sequence[Pair]]) -> float | None:
    """Return the most that the choice of items adds to the error of the mean of groups' mean differences.

    The two sides of a pair answer the same items; no item is printed, so they count as if each had drawn its own, which
    is the most where their answers don't oppose each other. Numbers of one set of items may go up and down together:
    their errors are added. Sets of different benchmarks are independent: their squares are. Of a share p of n items
    the variance is ``p (100 - p) / n``; of another score between two ends at most ``(range / 2)^2 / n`` (Popoviciu).
    """
    sets: dict[str, float] = {}
    for group in groups.values():
        for pair in group:
            variances = [_variance(pair.better), _variance(pair.worse)]
            if None in variances:
                return None
            error = math.sqrt(math.fsum(variance for variance in variances if variance is not None))
            sets[pair.better.items] = sets.get(pair.better.items, 0.0) + error / (len(groups) * len(group))
    return math.sqrt(math.fsum(error * error for error in sets.values()))


def _variance(number: Number) -> float | None:
    """Return the largest variance that a printed number has by the choice of its items; None where it is not known."""
    assert number.value is not None
    if not number.n:
        return None
    if number.unit == PERCENT:
        return number.value * (100 - number.value) / number.n
    if number.unit in RANGES:
        return (RANGES[number.unit] / 2) ** 2 / number.n
    return None


def everywhere(check: Everywhere, pairs: Sequence[Pair]) -> Evidence:
    """Return whether every cell, or every mean over cells, is above the other: plain arithmetic."""
    check_one_unit(pairs)
    groups = grouped(pairs, check.over)
    means = {name: statistics.fmean(pair.difference for pair in group) for name, group in groups.items()}
    behind = [name for name, mean in means.items() if mean <= 0]
    of = replicates_name(check.over, len(means)) if check.over else "cells"
    why = f"{len(means) - len(behind)} of {len(means)} {of} are ahead"
    if behind:
        places = {name: name if check.over else _place(groups[name][0], pairs) for name in behind}
        worst = sorted(behind, key=means.__getitem__)[:MOST_NAMED]
        why += f"; furthest behind: {', '.join(f'{places[name]} ({means[name]:+.2f})' for name in worst)}"
    share = 100 * (len(means) - len(behind)) / len(means)
    return Evidence(value=share, unit="% ahead", n=len(means), of=of, verdict=FAILS if behind else HOLDS, why=why)


def _place(pair: Pair, pairs: Sequence[Pair]) -> str:
    """Return the place of a pair by what differs between the pairs: ``table-1 llama-3.2-3b mbpp``."""
    better = pair.better
    axes = [axis for axis in better.at if len({one.better.at.get(axis) for one in pairs}) > 1]
    names = [value_text(better.at[axis]) for axis in axes]
    tables = [better.table] if len({one.better.table for one in pairs}) > 1 else []
    return " ".join([*tables, *names, *([] if better.column in names else [better.column])])


def outcomes(check: Outcomes, numbers: Sequence[Number]) -> Evidence:
    """Return whether a model wins more prompts than it loses in each row: exact McNemar, the largest p of all rows.

    Wins and losses are the two kinds of prompts on which the models differ, so the printed counts are all that a paired
    test needs. All rows must show it: the largest p is that of the whole claim (an intersection-union test). Where one
    is behind, that row decides (:func:`outcome_evidence`).
    """
    wins = [one for one in numbers if one.column == check.win and at_point([one], check.at, check.win)]
    loses = [at_point(numbers, one.at, check.lose)[0] for one in wins]
    counts = [(win.value or 0.0, lose.value or 0.0, win.n or 0) for win, lose in zip(wins, loses, strict=True)]
    return outcome_evidence(counts)


def outcome_evidence(counts: Sequence[tuple[float, float, int]]) -> Evidence:
    """Return the evidence of wins, losses and prompts, one triple for each row.

    One row that is behind speaks against all, and is tested as the others are: its p is multiplied by the number of
    rows (Bonferroni), for it was chosen among them.
    """
    nets = [100 * (win - lose) / n for win, lose, n in counts]
    errors = [100 * math.sqrt(win + lose - (win - lose) ** 2 / n) / n for win, lose, n in counts]
    p_values = [mcnemar(round(win), round(lose)) for win, lose, _ in counts]
    lowest = min(range(len(nets)), key=nets.__getitem__)
    won = sum(net > 0 for net in nets)
    if won == len(nets):
        value, stderr, p = statistics.fmean(nets), statistics.fmean(errors), max(p_values)
    else:
        value, stderr, p = nets[lowest], errors[lowest], min(1.0, len(nets) * p_values[lowest])
    interval, _ = over_items(value, stderr)
    win, lose, n = counts[lowest]
    why = f"more wins than losses in {won} of {len(nets)} rows; the smallest lead is {win:.0f} to {lose:.0f} of {n:,}"
    return Evidence(
        value=value, unit="points", interval=interval, n=len(nets), of="rows", test="exact McNemar", p=p, why=why
    )


def counts(check: Counts) -> Evidence:
    """Return the evidence that one count of the running text is above another."""
    scalars = paper.scalars()
    more, fewer = scalars[check.more], scalars[check.fewer]
    return count_evidence(round(more.value), round(fewer.value), more.unit)


def count_evidence(more: int, fewer: int, unit: str) -> Evidence:
    """Return the evidence that one count is above another: an exact test of a fair coin over all that were counted."""
    n, value = more + fewer, more - fewer
    if not n:
        return nothing(f"both counts of {unit} are 0")
    interval, _ = over_items(value, math.sqrt(n - value * value / n))
    return Evidence(
        value=value,
        unit=unit,
        digits=0,
        interval=interval,
        n=n,
        of=unit,
        test="exact binomial",
        p=mcnemar(more, fewer),
        why=f"{more:,} against {fewer:,} {unit}",
    )
