"""Cells of two gradings compared over the items that both have: how far each moved, and whether by more than noise.

A difference is tested on the items themselves, paired: exactly by McNemar's test where each item is right or wrong, by
a permutation of the differences' signs otherwise. The units of one row stand and fall together, so a row is one
difference. The p values of all cells of a comparison are one family, adjusted by Holm's method.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kit.comparing.exact import mcnemar, sign_permutation
from kit.comparing.families import holm
from kit.comparing.intervals import paired_difference
from kit.differences.items import Items, Units
from kit.measures import Measure
from kit.measures.estimates import ESTIMATES
from kit.measures.estimates import Item as Scored

ALPHA = 0.05
"""Chance, over all cells of a comparison together, that one is called moved where nothing but noise differs."""
SEED, DRAWS = 0, 10_000
"""Seed and number of draws of the permutations that are too many to be gone through."""
MCNEMAR, PERMUTATION = "exact McNemar", "sign permutation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One number of two gradings, over the items that both have."""

    id: str
    """Id of the gradings' job."""
    metric: str
    measure: Measure
    items: int
    """Items compared."""
    units: int
    """Units behind the number: for IFEval's instructions more than items."""
    before: float
    """The number of the first side, as stored: a share from 0 to 1."""
    after: float
    stderr: float | None
    """Standard error of the difference, paired over items and clustered by rows; None of one item."""
    risen: tuple[str, ...]
    """Ids of the items whose score is higher on the second side, in the first side's order."""
    fallen: tuple[str, ...]
    test: str
    p: float
    """The test's two-sided p value."""
    adjusted: float = 1.0
    """The p value after Holm's method over the comparison's cells."""
    is_binary: bool = False
    """Whether each item is right or wrong."""

    @property
    def difference(self) -> float:
        """The second side's number minus the first's, as stored."""
        return self.after - self.before

    @property
    def moved(self) -> bool:
        """Whether the score of any item differs."""
        return bool(self.risen or self.fallen)

    @property
    def beyond_noise(self) -> bool:
        """Whether it moved by more than chance alone would explain."""
        return self.moved and self.adjusted < ALPHA


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Counts of items that two gradings are not compared over."""

    only_before: int = 0
    """Items that the first side has alone."""
    only_after: int = 0
    repeated_before: int = 0
    """Ids that stand more than once on the first side."""
    repeated_after: int = 0
    unlike: int = 0
    """Items that one side judged in other units, or by other metrics, than the other."""

    def parts(self) -> list[str]:
        """Return a phrase for each count that is not 0."""
        phrases = {
            "only in A": self.only_before,
            "only in B": self.only_after,
            "more than once in A": self.repeated_before,
            "more than once in B": self.repeated_after,
            "judged by other metrics or units": self.unlike,
        }
        return [f"{count:,} {phrase}" for phrase, count in phrases.items() if count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two gradings compared: their cells, and what was left out."""

    cells: tuple[Cell, ...] = ()
    left_out: LeftOut = field(default_factory=LeftOut)


def compare(
    id: str, before: Items, after: Items, measures: Mapping[str, Measure], stored: Mapping[str, tuple[float, float]]
) -> Comparison:
    """Compare two gradings' items by id.

    Args:
        id: id of the gradings' job, or a name for two files.
        before: items of the first side.
        after: items of the second side.
        measures: metric -> its measure; what is not among them is held to be a share, or a mean where it has parts.
        stored: metric -> the numbers that the two gradings hold themselves. A mean over groups can't be had of the
            items alone, which don't say their groups: where every item is compared, these stand in its place.
    """
    common = [name for name in before.by_id if name in after.by_id]
    metrics = list(dict.fromkeys(metric for name in common for metric in before.by_id[name].scores))
    unlike: set[str] = {name for name in common if set(before.by_id[name].scores) != set(after.by_id[name].scores)}
    cells = []
    for metric in metrics:
        pairs: dict[str, tuple[Units, Units]] = {}
        for name in common:
            one, other = before.by_id[name].scores.get(metric), after.by_id[name].scores.get(metric)
            if one and other and one[1] == other[1]:
                pairs[name] = one, other
            elif one or other:
                unlike.add(name)
        if pairs:
            whole = all(len(pairs) == _count(side, metric) for side in (before, after))
            measure = _measure(metric, measures.get(metric), pairs)
            cells.append(
                _cell(
                    id,
                    metric,
                    measure,
                    pairs,
                    stored.get(metric) if whole and measure.kind == "mean over groups" else None,
                )
            )
    left_out = LeftOut(
        only_before=len(before.by_id) - len(common),
        only_after=len(after.by_id) - len(common),
        repeated_before=len(before.repeated),
        repeated_after=len(after.repeated),
        unlike=len(unlike),
    )
    return Comparison(cells=tuple(cells), left_out=left_out)


def _count(items: Items, metric: str) -> int:
    """Return the number of items that a metric judges."""
    return sum(metric in item.scores for item in items.by_id.values())


def _measure(metric: str, known: Measure | None, pairs: Mapping[str, tuple[Units, Units]]) -> Measure:
    """Return a metric's measure; one that the kit does not know is a share, or a mean where parts are right."""
    whole = all(total == int(total) and 0 <= total <= units for pair in pairs.values() for total, units in pair)
    if known and (whole or known.kind not in ("share", "count")):
        return known
    return Measure(title=metric) if whole else Measure(title=metric, unit="", digits=4, kind="mean")


def _cell(
    id: str,
    metric: str,
    measure: Measure,
    pairs: Mapping[str, tuple[Units, Units]],
    stored: tuple[float, float] | None,
) -> Cell:
    """Return one number of two gradings, with its test."""
    sides = [[pair[side] for pair in pairs.values()] for side in (0, 1)]
    before, after = stored or tuple(_value(measure, side) for side in sides)
    binary = all(units == 1 and total in (0, 1) for side in sides for total, units in side)
    differences = [_score(measure, other) - _score(measure, one) for one, other in pairs.values()]
    risen = tuple(name for name, difference in zip(pairs, differences, strict=True) if difference > 0)
    fallen = tuple(name for name, difference in zip(pairs, differences, strict=True) if difference < 0)
    p = mcnemar(len(fallen), len(risen)) if binary else 1.0
    if not binary and (risen or fallen):
        p = sign_permutation(differences, SEED, DRAWS)
    return Cell(
        id=id,
        metric=metric,
        measure=measure,
        items=len(pairs),
        units=sum(units for _, units in sides[0]),
        before=before,
        after=after,
        stderr=_stderr(measure, list(pairs), *sides),
        risen=risen,
        fallen=fallen,
        test=MCNEMAR if binary else PERMUTATION,
        p=p,
        is_binary=binary,
    )


def _value(measure: Measure, side: Sequence[Units]) -> float:
    """Return the number of some items; of a mean over groups, whose groups are not known here, the share of all."""
    return ESTIMATES[measure.kind]([Scored(total=total, units=units) for total, units in side], measure.bounds).value


def _score(measure: Measure, units: Units) -> float:
    """Return what a row adds to its measure: units right, or the mean of its units."""
    return units[0] if measure.kind in ("share", "count") else units[0] / units[1]


def _stderr(measure: Measure, names: Sequence[str], before: Sequence[Units], after: Sequence[Units]) -> float | None:
    """Return the standard error of the difference; each unit of a row has the row's mean, and the row is a cluster."""
    if len(names) < 2:
        return None
    repeats = [1 if measure.kind == "mean" else units for _, units in before]
    one, other = (
        [total / units for (total, units), count in zip(side, repeats, strict=True) for _ in range(count)]
        for side in (before, after)
    )
    clusters = [name for name, count in zip(names, repeats, strict=True) for _ in range(count)]
    found = paired_difference(one, other, clusters).stderr
    return found * len(clusters) if measure.kind == "count" else found


def adjusted(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons with the p values of all their cells adjusted as one family."""
    places = {
        f"{number}/{index}": cell.p for number, one in enumerate(comparisons) for index, cell in enumerate(one.cells)
    }
    found = holm(places) if places else {}
    return [
        replace(
            one,
            cells=tuple(replace(cell, adjusted=found[f"{number}/{index}"]) for index, cell in enumerate(one.cells)),
        )
        for number, one in enumerate(comparisons)
    ]
