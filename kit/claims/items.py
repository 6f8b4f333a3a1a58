"""Influence of each item on a number of the store: the errors of any sum of numbers follow from it, paired by item.

A number is a function of its items' scores; the influence of an item is how far the number moves, to first order, by
that item's score not being the expected one. Influences add up as the numbers do, so those of a claim's mean
difference are the sums over its cells, each with its weight: what two sides answer alike cancels (paired differences),
the units of one item and the columns of one benchmark stay together (clusters), and so do the bases that answer the
same items. For one pair of cells this is the paired standard error of Miller, "Adding error bars to evals" (arXiv
2411.00640).
"""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kit import registry
from kit.benchmarks import Grouped
from kit.claims.numbers import Number
from kit.comparing.intervals import paired_difference
from kit.errors import KitError, shown
from kit.measures import PERCENT, Kind
from kit.records import Grade, Score, read_rows
from kit.stages import SCORES, data_path
from kit.store import Artifact, Store

GRADES = "grades.jsonl"
"""The file of a grading with a row for each item."""
Scored = tuple[str, float, float]
"""Id of an item, units right or sum of scores, units judged."""


@dataclass(slots=True)
class Items:
    """Per-item scores behind the numbers of a store; each file is read once."""

    store: Store
    rows: dict[str, dict[str, list[Scored]]] = field(default_factory=dict)
    """Key -> metric -> its items."""
    groups: dict[str, dict[str, str]] = field(default_factory=dict)
    """Key -> item -> its group."""

    def of(self, key: str, metric: str) -> list[Scored]:
        """Return the items of one metric of one job, in the order of the file.

        Raises:
            KitError: the artifact has no per-item file, or it was changed.
        """
        if key not in self.rows:
            artifact = self.store.get(key)
            self.rows[key] = _read_scores(artifact, self.store)
        return self.rows[key].get(metric, [])

    def group_of(self, key: str) -> Mapping[str, str]:
        """Return the group of each item of a grading, for means over groups.

        Raises:
            KitError: the problems of the grading are not in the store.
        """
        if key not in self.groups:
            job = self.store.get(key).job
            benchmark = registry.load("benchmarks", str(job.params["benchmark"]))
            problems = benchmark.read(data_path(self.store.get(job.inputs["data"]).folder))
            assert isinstance(benchmark, Grouped)
            self.groups[key] = {problem.id: benchmark.group(problem) for problem in problems}
        return self.groups[key]

    def value(self, number: Number, key: str) -> float | None:
        """Return one run's value of a number in its unit, out of its items; None where there are none."""
        parts = [self._metric_value(number, key, metric) for metric in metrics_of(number)]
        known = [part for part in parts if part is not None]
        return math.fsum(known) / len(known) if known and len(known) == len(parts) else None

    def _metric_value(self, number: Number, key: str, metric: str) -> float | None:
        assert number.cell is not None
        items = self.of(key, metric)
        kind = number.cell.measure.kind
        groups = self.group_of(key) if kind == "mean over groups" and items else {}
        return number.cell.measure.in_unit(item_value(items, kind, groups)) if items else None

    def influences(self, number: Number) -> dict[str, float]:
        """Return the influence of each item on a number, in its unit: the mean over its runs and its metrics.

        Raises:
            KitError: the items of a run can't be read, or a run has none.
        """
        assert number.cell is not None
        measure, keys, found = number.cell.measure, number.cell.address.keys, dict[str, float]()
        metrics = metrics_of(number)
        scale = (100.0 if measure.unit == PERCENT else 1.0) / (len(keys) * len(metrics))
        for key in keys:
            for metric in metrics:
                items = self.of(key, metric)
                if not items:
                    raise KitError(f"{number.name()}: {key[:12]} has no item of {metric}; run its job again")
                groups = self.group_of(key) if measure.kind == "mean over groups" else {}
                for id, influence in item_influences(items, measure.kind, groups).items():
                    found[id] = found.get(id, 0.0) + scale * influence
        return found


def metrics_of(number: Number) -> Sequence[str]:
    """Return the metrics that a number is the mean of; one, as a rule."""
    assert number.source is not None
    return number.source.mean_of or (number.source.id,)


def _read_scores(artifact: Artifact, store: Store) -> dict[str, list[Scored]]:
    """Return the items of each metric of an artifact of stage ``grade`` or ``score``.

    Raises:
        KitError: the file is missing, was changed, or holds what neither stage writes.
    """
    name = SCORES if artifact.job.stage == "score" else GRADES
    os.close(store.open_file(artifact, name, checked=True))
    path: Path = artifact.folder / name
    found: dict[str, list[Scored]] = {}
    try:
        for id, metric, total, units in _rows(path):
            if type(total) not in (int, float) or units < 0 or type(id) is not str:
                raise ValueError
            if units:
                found.setdefault(metric, []).append((id, float(total), float(units)))
    except (TypeError, ValueError) as error:
        raise KitError(f"{path}: a row is none of a grading; remove {artifact.folder} and run again") from error
    return found


def _rows(path: Path) -> Iterator[tuple[str, str, float, float]]:
    """Yield id, metric, units right and units judged of each row of a per-item file; a score is one unit."""
    if path.name == GRADES:
        for grade in read_rows(path, Grade):
            for metric, (total, units) in dict(grade.scores).items():
                yield grade.id, metric, total, units
        return
    for score in read_rows(path, Score):
        for metric, value in dict(score.values).items():
            yield score.id, metric, value, 1.0


def item_value(items: Sequence[Scored], kind: Kind, groups: Mapping[str, str]) -> float:
    """Return a number of items, as stored: the estimate of :mod:`kit.measures.estimates`, without its error."""
    if kind == "count":
        return math.fsum(total for _, total, _ in items)
    if kind == "share":
        return math.fsum(total for _, total, _ in items) / math.fsum(units for _, _, units in items)
    if kind == "mean":
        return math.fsum(total / units for _, total, units in items) / len(items)
    members = _by_group(items, groups)
    return math.fsum(item_value(group, "share", {}) for group in members.values()) / len(members)


def item_influences(items: Sequence[Scored], kind: Kind, groups: Mapping[str, str]) -> dict[str, float]:
    """Return the influence of each item on a number, as stored; they add up to 0.

    Share ``p = sum(t) / sum(u)``: ``(t_i - p u_i) / sum(u)``. Count: the same without the division. Mean of n scores:
    ``(s_i - mean) / n``. Mean over G groups: that of the share of the item's own group, divided by G.
    """
    if kind == "mean over groups":
        members = _by_group(items, groups)
        found: dict[str, float] = {}
        for group in members.values():
            for id, influence in item_influences(group, "share", {}).items():
                found[id] = influence / len(members)
        return found
    if kind == "mean":
        mean = item_value(items, kind, groups)
        return {id: (total / units - mean) / len(items) for id, total, units in items}
    whole = math.fsum(units for _, _, units in items)
    share = math.fsum(total for _, total, _ in items) / whole
    divisor = whole if kind == "share" else 1.0
    return {id: (total - share * units) / divisor for id, total, units in items}


def _by_group(items: Sequence[Scored], groups: Mapping[str, str]) -> dict[str, list[Scored]]:
    """Return the items by their group, each group in the order of the items.

    Raises:
        KitError: an item has no group.
    """
    members: dict[str, list[Scored]] = {}
    for item in items:
        if item[0] not in groups:
            raise KitError(f"item {shown(item[0])} is no problem of the data set that was graded; run its job again")
        members.setdefault(groups[item[0]], []).append(item)
    return members


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemError:
    """Standard error of a number over its items."""

    stderr: float
    items: int
    """Items behind it, of all sets."""
    degrees: float
    """Degrees of freedom: those of the smallest set, which has the least to tell of its spread; 0 for one item."""

    @property
    def lowest_p(self) -> float:
        """The lowest two-sided p that an exact test over so many items can have, were they all to agree."""
        return min(1.0, 2.0 * 0.5 ** min(self.items, 1000))


def error_of(sets: Mapping[str, Mapping[str, float]]) -> ItemError:
    """Return the standard error that summed influences give: ``sqrt(n / (n - 1) * sum(influence^2))`` for each set.

    Args:
        sets: name of a set of items -> item -> its influence on the claim's number; sets are independent of each other.
    """
    squares = []
    for influences in sets.values():
        scaled = [len(influences) * value for value in influences.values()]
        if len(scaled) > 1:
            squares.append(paired_difference(scaled, [0.0] * len(scaled), None).stderr ** 2)
    sizes = list(map(len, sets.values()))
    return ItemError(stderr=math.sqrt(math.fsum(squares)), items=sum(sizes), degrees=min(sizes) - 1)
