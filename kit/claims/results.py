"""Evidence for claims out of the kit's own results: differences paired over items, then over runs and replicates."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from kit.catalogue import paper
from kit.catalogue.axes import Coordinates
from kit.catalogue.claims import Average, Claim, Counts, Quoted, Share
from kit.claims import arithmetic, printed
from kit.claims.evidence import (
    CONFIDENCE,
    FAILS,
    HOLDS,
    UNKNOWN,
    Evidence,
    Verdict,
    nothing,
    over_items,
    over_replicates,
    p_text,
)
from kit.claims.items import ItemError, Items, error_of
from kit.claims.numbers import Number, Pair, at_point, grid_numbers, grouped, measure_of, pairs_of
from kit.claims.steps import kept_rows
from kit.comparing.distributions import wilson
from kit.comparing.intervals import Interval, pooled_spread
from kit.errors import RequestError
from kit.measures import Measure
from kit.report import Grid
from kit.store import Store

TRAINED = "grade"
"""Stage of numbers that come from a tuned model, so that another training seed gives another number."""
NO_SPREAD = "no spread between training seeds is known: one on each side, or all agree"
ROUNDING = 1e-12
"""Variance at or below which seeds agree: sums of equal numbers in another order differ by less."""


@dataclass(slots=True)
class Results:
    """The computed tables that claims read, and the items behind their numbers."""

    tables: Mapping[str, Sequence[Number]]
    items: Items

    @classmethod
    def of(cls, grids: Sequence[Grid], store: Store) -> "Results":
        """Return the numbers of some tables; those of curves are computed from the items beside them."""
        items = Items(store)
        return cls({grid.name: [_filled(one, items) for one in grid_numbers(grid)] for grid in grids}, items)


def _filled(number: Number, items: Items) -> Number:
    """Return a number that lies beside a curve with its value, where the store has it; any other as it is."""
    if not number.beside_curve or number.cell is None or number.source is None:
        return number
    keys = number.cell.address.keys
    if not all(map(items.store.has, keys)):
        return number
    values = [value for key in keys if (value := items.value(number, key)) is not None]
    if len(values) < len(keys):
        return number
    return replace(number, value=statistics.fmean(values), n=len(items.of(keys[0], number.source.id)))


def evidence(claim: Claim, results: Results) -> Evidence:
    """Return the evidence of one claim out of what the kit computed; of one that is made of others, none yet.

    Raises:
        KitError: the items behind a number can't be read.
    """
    absent = [name for name in claim.tables() if name not in results.tables]
    if claim.not_printed:
        return nothing("no table of the kit measures it")
    if (claim.counts and not claim.counts.of) or (claim.quoted and not (claim.quoted.share or claim.quoted.gap)):
        return nothing("it speaks of the paper's own data sets alone")
    if absent:
        return nothing(f"{', '.join(absent)}: the store has no number of it")
    numbers = {name: results.tables[name] for name in claim.tables()}
    try:
        return _unknown(claim, numbers) or _of_numbers(claim, numbers, results.items)
    except RequestError as error:  # a base that nobody plays at a small scale has no cells
        return nothing(f"not every cell is in the table at this scale: {error}")


def _of_numbers(claim: Claim, numbers: Mapping[str, Sequence[Number]], items: Items) -> Evidence:
    """Return the evidence of a claim whose numbers are all there."""
    if claim.average:
        found = average(claim.average, _pairs(claim, numbers), items)
    elif claim.everywhere:
        found = printed.everywhere(claim.everywhere, _pairs(claim, numbers))
    elif claim.outcomes:
        found = printed.outcomes(claim.outcomes, numbers[claim.outcomes.table])
    elif claim.counts:
        found = counts(claim.counts, _pairs(claim, numbers)[0], items.store)
    elif claim.quoted:
        found = quoted(claim.quoted, numbers, items)
    else:
        found = arithmetic.evidence(claim, numbers)
    return found


def counts(check: Counts, pair: Pair, store: Store) -> Evidence:
    """Return the evidence that a step of evolution kept more on the way to one number than on the way to another."""
    more, fewer = (kept_rows(number, check.step, store) for number in (pair.better, pair.worse))
    if more is None or fewer is None:
        return nothing(f"the rows that step {check.step} of evolution kept are not in the store")
    return printed.count_evidence(more, fewer, paper.scalars()[check.more].unit)


def _unknown(claim: Claim, numbers: Mapping[str, Sequence[Number]]) -> Evidence | None:
    """Return why a claim can't be told, where a number that it needs is not computed; None where all are there."""
    needed = used(claim, numbers)
    missing = sum(one.value is None for one in needed)
    if not needed or missing:
        share = f"{missing} of its {len(needed)} numbers" if needed else "its numbers"
        cure = f"`kit reproduce {' '.join(claim.tables())}` computes them"
        return nothing(f"{share} of {', '.join(claim.tables())} are not computed; {cure}")
    if claim.sides() and not _pairs(claim, numbers):
        return nothing("both sides are one and the same result")
    return None


def used(claim: Claim, numbers: Mapping[str, Sequence[Number]]) -> list[Number]:
    """Return the numbers that a claim reads, as far as the tables have them."""
    if claim.sides():
        sides = [side for side in claim.sides() if all(numbers[name] for name in side.tables())]
        pairs = [pair for side in sides for pair in pairs_of(side, numbers, claim.columns())]
        return [number for pair in pairs[: 1 if claim.counts else None] for number in (pair.better, pair.worse)]
    at: Coordinates = claim.quoted.share.at if claim.quoted and claim.quoted.share else {}
    every = [one for name in claim.tables() for one in numbers[name]]
    columns = claim.columns() or list(dict.fromkeys(one.column for one in every))
    return [one for column in columns for one in at_point(every, at, column)]


def _pairs(claim: Claim, numbers: Mapping[str, Sequence[Number]]) -> list[Pair]:
    """Return the pairs of cells that a claim compares, without those that are one result, as of seeds as they stand."""
    pairs = printed.pairs_of_claim(claim, numbers)
    return [pair for pair in pairs if _keys(pair.better) != _keys(pair.worse)]


def _keys(number: Number) -> tuple[str, ...]:
    """Return the keys of the jobs that a number comes from."""
    return number.cell.address.keys if number.cell else ()


def average(check: Average, pairs: Sequence[Pair], items: Items) -> Evidence:
    """Return the evidence that cells are above others on average: paired over items, then over runs or replicates.

    With several training seeds on each side, ``SE^2 = SE_items^2 + s_A^2 / K_A + s_B^2 / K_B``; where the claim is on
    replicates like these, the wider of this interval and that over the replicates stands. With one seed, or with seeds
    that all agree, nothing shows the spread between runs but the replicates: then the wider of the two intervals
    stands, over the items and over the replicates, and one replicate of a tuned model decides nothing.
    """
    printed.check_one_unit(pairs)
    groups = grouped(pairs, check.over)
    means = [statistics.fmean(pair.difference for pair in group) for group in groups.values()]
    measure = measure_of(pairs[0].better)
    weights = [(pair, 1 / (len(groups) * len(group))) for group in groups.values() for pair in group]
    error = paired_error(weights, items)
    ahead = sum(pair.difference > 0 for pair in pairs)
    counted = "item" if error.items == 1 else "items"
    shown = Evidence(
        value=statistics.fmean(means),
        unit=measure.difference_unit,
        digits=measure.digits,
        n=len(means),
        of=printed.replicates_name(check.over, len(means)) if check.over else "cells",
        why=f"{ahead} of {len(pairs)} cells are ahead; paired over {error.items:,} {counted}, "
        f"SE {measure.text(error.stderr)}",
    )
    if not error.degrees:
        return replace(shown, verdict=UNKNOWN, why=f"{shown.why}; one item of a kind shows no spread")
    seeds = seed_variance(weights, items)
    if seeds is None and any(_stage(pair.better, items) == TRAINED for pair in pairs):
        return _one_seed(shown, error, means, check)
    found = _of_seeds(shown, error, seeds, measure)
    return _over_both(found, means) if seeds and check.replicates == "sample" else found


def _of_seeds(shown: Evidence, error: ItemError, seeds: tuple[float, float] | None, measure: Measure) -> Evidence:
    """Return evidence with the interval over items and training seeds; None for numbers that nothing was tuned for."""
    interval, p = over_items(shown.value or 0.0, *with_seeds(error, seeds))
    why = f"{shown.why}; training seeds add SE {measure.text(math.sqrt(seeds[0]))}" if seeds else shown.why
    test = "items and seeds" if seeds else "items"
    return replace(shown, interval=interval, test=test, p=max(p, error.lowest_p), why=why)


def _over_both(found: Evidence, means: Sequence[float]) -> Evidence:
    """Return evidence over items and seeds with the interval over the replicates, where that is wider."""
    spread, test, p = over_replicates(means)
    if spread is None or p is None or found.interval is None or found.p is None:
        return replace(found, why=f"{found.why}; it is about this {found.of} alone")
    wider = max((found.interval, spread), key=lambda one: one.high - one.low)
    why = f"{found.why}; other {found.of} would differ ({test} {p_text(p)})"
    return replace(found, interval=wider, test=f"{found.test}, {test}", p=max(found.p, p), why=why)


def with_seeds(error: ItemError, seeds: tuple[float, float] | None) -> tuple[float, float | None]:
    """Return the standard error over items and training seeds, and its degrees of freedom.

    Args:
        error: the error over items.
        seeds: variance that training seeds add, and its degrees of freedom; None where nothing was tuned.

    Source:
        Welch, Biometrika 34 (1947), 28-35, and Satterthwaite, Biometrics Bulletin 2 (1946), 110-114, for the degrees of
        freedom of a sum of variances.
    """
    variance, seed_degrees = seeds or (0.0, 1.0)
    total = error.stderr**2 + variance
    parts = error.stderr**4 / max(error.degrees, 1) + variance**2 / seed_degrees
    return math.sqrt(total), total**2 / parts if parts else None


def _one_seed(shown: Evidence, error: ItemError, means: Sequence[float], check: Average) -> Evidence:
    """Return evidence with the wider of the intervals over items and over replicates, which show the spread of runs."""
    interval, p = over_items(shown.value or 0.0, error.stderr, error.degrees)
    spread, test, spread_p = over_replicates(means)
    if check.replicates == "whole" or spread is None or spread_p is None:
        why = f"{shown.why}; {NO_SPREAD}; take several seeds"
        return replace(shown, interval=interval, verdict=UNKNOWN, why=why)
    why = f"{NO_SPREAD}; the {shown.of} show that between runs ({test} {p_text(spread_p)})"
    wider = max((interval, spread), key=lambda one: one.high - one.low)
    p = max(p, spread_p, error.lowest_p)
    return replace(shown, interval=wider, test=f"items, {test}", p=p, why=f"{shown.why}; {why}")


def paired_error(weights: Sequence[tuple[Pair, float]], items: Items) -> ItemError:
    """Return the standard error over items of a weighted sum of differences.

    Args:
        weights: pairs of cells, each with its weight in the sum.
        items: the per-item scores.
    """
    sets: dict[str, dict[str, float]] = {}
    for pair, weight in weights:
        for number, sign in ((pair.better, weight), (pair.worse, -weight)):
            found = sets.setdefault(number.items, {})
            for id, influence in items.influences(number).items():
                found[id] = found.get(id, 0.0) + sign * influence
    return error_of(sets)


def seed_variance(weights: Sequence[tuple[Pair, float]], items: Items) -> tuple[float, float] | None:
    """Return the variance that training seeds add to a weighted sum, and its degrees of freedom; None if none is known.

    A seed that makes a better model lifts all columns that are counted from its answers, so the numbers of one model
    are summed run by run, each with its weight. The spread of these sums between runs is pooled for each side and set
    of columns, over all models with several seeds; a set whose models have one seed each makes the whole unknown,
    and so do seeds that all agree: with few items that happens, and is no proof that none would differ.
    """
    models: dict[tuple[str, str, int], list[tuple[Number, float, list[float]]]] = {}
    for pair, weight in weights:
        for side, number in (("better", pair.better), ("worse", pair.worse)):
            runs = _runs(number, items)
            models.setdefault((side, repr(sorted(number.at.items())), len(runs)), []).append((number, weight, runs))
    pools: dict[tuple[str, ...], list[tuple[float, list[float]]]] = {}
    for (side, _, _), numbers in models.items():
        whole = math.fsum(weight for _, weight, _ in numbers)
        weighted = [[weight / whole * value for value in runs] for _, weight, runs in numbers]
        means = [math.fsum(parts) for parts in zip(*weighted, strict=True)]
        pools.setdefault((side, *sorted(number.column for number, _, _ in numbers)), []).append((whole, means))
    variances, degrees = [], []
    for members in pools.values():
        several = [means for _, means in members if len(means) > 1]
        if not several:
            return None
        spread = pooled_spread(several)
        degrees.append(spread.degrees)
        variances += [(whole * spread.value) ** 2 / len(means) for whole, means in members]
    whole = math.fsum(variances)
    return (whole, min(degrees)) if whole > ROUNDING else None


def _runs(number: Number, items: Items) -> list[float]:
    """Return a number's value in each of its runs, in its unit."""
    assert number.cell is not None
    values = [items.value(number, key) for key in number.cell.address.keys]
    return [value for value in values if value is not None]


def _stage(number: Number, items: Items) -> str:
    """Return the stage that a number comes from."""
    assert number.cell is not None
    return items.store.get(number.cell.address.keys[0]).job.stage


def quoted(check: Quoted, numbers: Mapping[str, Sequence[Number]], items: Items) -> Evidence:
    """Return whether our number agrees with the one that the text quotes, with what chance leaves to ours."""
    scalar = paper.scalars()[check.scalar] if check.scalar else None
    wanted = scalar.value if scalar else check.value
    assert wanted is not None
    low, high = arithmetic.band(wanted, (scalar.qualifier if scalar else None) or check.qualifier)
    pairs = [pair for side in check.gap.of for pair in pairs_of(side, numbers, [check.gap.column])] if check.gap else []
    if check.gap and check.gap.relative and not all(pair.worse.value for pair in pairs):
        return nothing("a number is 0, of which nothing is a part")
    found = _share(check.share, numbers) if check.share else _gaps(check, pairs, items)
    inside = all(low <= interval.low and interval.high <= high for _, interval in found)
    outside = any(interval.high < low or interval.low > high for _, interval in found)
    verdict: Verdict = HOLDS if inside else FAILS if outside else UNKNOWN
    texts = ", ".join(f"{value:.2f} [{interval.low:.2f}, {interval.high:.2f}]" for value, interval in found)
    why = f"wanted {low:g} to {high:g}, found {texts}"
    if any(_stage(pair.better, items) == TRAINED and seed_variance([(pair, 1.0)], items) is None for pair in pairs):
        verdict, why = UNKNOWN, f"{why}; {NO_SPREAD}; take several seeds"
    return Evidence(
        value=statistics.fmean(value for value, _ in found),
        unit="%" if check.share or (check.gap and check.gap.relative) else "points",
        interval=found[0][1] if len(found) == 1 else None,
        n=len(found),
        verdict=verdict,
        why=why,
    )


def _share(share: Share, numbers: Mapping[str, Sequence[Number]]) -> list[tuple[float, Interval]]:
    """Return a share of counted rows, percent, with its Wilson interval."""
    table = numbers[share.table]
    counts = [one.value or 0.0 for column in share.whole for one in at_point(table, share.at, column)]
    (part,) = at_point(table, share.at, share.part)
    right, whole = round(part.value or 0.0), max(1, round(math.fsum(counts)))
    interval = wilson(right, whole, CONFIDENCE)
    scaled = Interval(low=100 * interval.low, high=100 * interval.high, confidence=interval.confidence)
    return [(100 * right / whole, scaled)]


def _gaps(check: Quoted, pairs: Sequence[Pair], items: Items) -> list[tuple[float, Interval]]:
    """Return each difference of a column's pairs with its interval over items and, where several ran, training seeds.

    A relative one is percent of the lower number, which counts as known.
    """
    gap = check.gap
    assert gap is not None
    found = []
    for pair in pairs:
        stderr, degrees = with_seeds(paired_error([(pair, 1.0)], items), seed_variance([(pair, 1.0)], items))
        scale = 100 / (pair.worse.value or math.inf) if gap.relative else 1.0
        interval, _ = over_items(scale * pair.difference, abs(scale) * stderr, degrees)
        found.append((scale * pair.difference, interval))
    return found
