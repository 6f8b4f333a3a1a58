"""The whole comparison of two runs or two files: its verdict and exit code, its lines, and its JSON."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kit.catalogue.views import measures_of
from kit.differences.cells import ALPHA, Cell, Comparison, adjusted, compare
from kit.differences.items import Items, Units, check_unchanged, stored_items
from kit.differences.runs import Measured, Run, pair
from kit.differences.stages import StageDifference, first_differences
from kit.differences.texts import Beginning, excerpts, stored_texts
from kit.errors import KitError, RequestError, listed, one_line
from kit.measures import Measure
from kit.report import stored_results

NOTHING_MOVED, MOVED, CANNOT_TELL = 0, 1, 3
"""Exit codes; 2 is a wrong request."""
MOST_IDS = 4
"""Ids that one line lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turned:
    """One item whose score differs, with both texts' beginnings."""

    of: str
    """Id of the gradings' job, or the name of two files."""
    id: str
    changes: Mapping[str, tuple[Units, Units]]
    """Title of a metric -> the item's score on both sides; none where two texts differ that nobody graded."""
    before: Beginning | None = None
    after: Beginning | None = None
    reasons: tuple[str, str] = ("", "")
    """Reasons of the grader, on both sides."""

    def how(self) -> str:
        """Return how its scores differ: ``right -> wrong (GSM8K)``."""
        ways: dict[str, list[str]] = {}
        for title, (one, other) in self.changes.items():
            ways.setdefault(f"{_score_text(one)} -> {_score_text(other)}", []).append(title)
        return "; ".join(f"{way} ({', '.join(titles)})" for way, titles in ways.items()) or "other texts"

    def to_json(self) -> dict[str, Any]:
        """Return the item as a JSON object."""
        before, after = (one.text if one else None for one in (self.before, self.after))
        changes = {title: [list(one), list(other)] for title, (one, other) in self.changes.items()}
        return {"of": self.of, "id": self.id, "scores": changes, "reasons": self.reasons, "A": before, "B": after}


def _score_text(units: Units) -> str:
    """Return a score in words: ``right``, ``wrong``, ``2 of 3``, or the number."""
    total, judged = units
    if judged == 1 and total in (0, 1):
        return "right" if total else "wrong"
    return f"{total:g} of {judged}" if judged > 1 and total == int(total) else f"{total / judged:.4g}"


@dataclass(slots=True, kw_only=True)
class Report:
    """Two sides compared, with all that differs."""

    names: tuple[str, str]
    """Names of the two sides, which are called A and B."""
    comparisons: list[Comparison] = field(default_factory=list)
    """Gradings that were compared over their items."""
    ids: list[str] = field(default_factory=list)
    """Their ids."""
    same: list[str] = field(default_factory=list)
    """Ids of the gradings that are the same on both sides, byte for byte."""
    only: tuple[list[str], list[str]] | None = None
    """Ids of the gradings that one side has alone; None for two files."""
    stages: list[StageDifference] = field(default_factory=list)
    turned: list[Turned] = field(default_factory=list)
    """Items whose score differs: those of cells that moved the most clearly first."""
    faults: list[str] = field(default_factory=list)
    """Reasons why a part could not be compared."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what was compared."""
    texts: tuple[int, int] | None = None
    """Texts that differ, and texts compared, where two files of completions hold no grades."""

    def cells(self) -> list[Cell]:
        """Return all cells that were compared over items, the clearest moves first."""
        found = [cell for one in self.comparisons for cell in one.cells]
        return sorted(found, key=lambda cell: (not cell.moved, cell.adjusted, cell.p, cell.id, cell.metric))

    @property
    def exit_code(self) -> int:
        """The exit code: 0 if no cell moved beyond noise, 1 if one did, 3 if it can't be told."""
        if any(cell.beyond_noise for one in self.comparisons for cell in one.cells):
            return MOVED
        return CANNOT_TELL if self.faults else NOTHING_MOVED

    def verdict(self) -> str:
        """Return the last line: how many cells moved, and how many by more than noise."""
        cells = self.cells()
        if self.texts:
            text = f"{self.texts[0]:,} of {_count(self.texts[1], 'text')} differ"
            return f"Cannot tell whether scores moved: {text}." if self.faults else f"Nothing moved: {text}."
        moved, beyond = sum(cell.moved for cell in cells), sum(cell.beyond_noise for cell in cells)
        if not cells and not self.same:
            return "Cannot tell: no cell was compared."
        text = f"{moved} of {_count(len(cells), 'cell')} moved, {beyond} beyond noise (p < {ALPHA} after Holm)"
        if not cells:
            text = f"{_count(len(self.same), 'grading')} the same, byte for byte"
        if self.exit_code == CANNOT_TELL:
            return f"Cannot tell: {text}; {_count(len(self.faults), 'part')} could not be compared."
        return f"{text}." if cells else f"Nothing moved: {text}."

    def to_json(self) -> dict[str, Any]:
        """Return the JSON document, with every cell and every item that turned."""
        return {
            "schema": 1,
            "A": self.names[0],
            "B": self.names[1],
            "exit_code": self.exit_code,
            "verdict": self.verdict(),
            "cells": [_cell_json(cell) for cell in self.cells()],
            "same": self.same,
            "only_A": self.only[0] if self.only else [],
            "only_B": self.only[1] if self.only else [],
            "left_out": {id: asdict(one.left_out) for id, one in zip(self.ids, self.comparisons, strict=True)},
            "stages": [asdict(one) for one in self.stages],
            "turned": [one.to_json() for one in self.turned],
            "cannot_compare": self.faults,
            "notes": self.notes,
        }


def _cell_json(cell: Cell) -> dict[str, Any]:
    """Return a cell as a JSON object, its numbers in the unit of its measure."""
    unit = cell.measure.in_unit
    return {
        "id": cell.id,
        "metric": cell.metric,
        "unit": cell.measure.unit,
        "items": cell.items,
        "n": cell.units,
        "A": unit(cell.before),
        "B": unit(cell.after),
        "difference": unit(cell.difference),
        "stderr": None if cell.stderr is None else unit(cell.stderr),
        "risen": list(cell.risen),
        "fallen": list(cell.fallen),
        "test": cell.test,
        "p": cell.p,
        "p_holm": cell.adjusted,
        "verdict": _word(cell),
    }


def _word(cell: Cell) -> str:
    """Return the verdict on one cell."""
    return "beyond noise" if cell.beyond_noise else "within noise" if cell.moved else "same"


def _count(number: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def compare_runs(before: Run, after: Run, *, stages: bool = True) -> Report:
    """Compare two runs: their cells over items, the items that turned, and the first stage that differs.

    Args:
        before: the first run.
        after: the second.
        stages: whether the jobs behind them are compared.

    Raises:
        RequestError: no grading of one has its like in the other.
    """
    pairing = pair(before, after)
    report = Report(names=(before.name, after.name), only=(pairing.only_before, pairing.only_after))
    report.faults += [*before.faults, *after.faults]
    report.notes += list(_notes(before, after))
    for one, other in pairing.both:
        alike = one.artifact.files.get(one.rows_file) == other.artifact.files.get(one.rows_file) is not None
        try:
            if alike:
                check_unchanged(one)
                check_unchanged(other)
                report.same.append(one.id)
                continue
            items = stored_items(one), stored_items(other)
        except KitError as error:
            report.faults.append(str(error))
            continue
        _add(report, one, other, items)
    report.comparisons = adjusted(report.comparisons)
    if stages:
        report.stages = first_differences(pairing.both)
    _sort_turned(report)
    return report


def _notes(before: Run, after: Run) -> Iterator[str]:
    """Yield sentences on what the two sides have beside what is compared."""
    for letter, run in (("A", before), ("B", after)):
        if run.older:
            yield f"{letter}: {_count(run.older, 'grading')} left out: of one id the latest counts"
        if run.missing:
            yield f"{letter}: {_count(len(run.missing), 'grading')} not done: {listed(run.missing, MOST_IDS)}"


def _add(report: Report, one: Measured, other: Measured, items: tuple[Items, Items]) -> None:
    """Compare two gradings and add them to a report."""
    measures = _measures(one.plugin)
    found = compare(one.id, *items, measures, _stored_values(one, other, measures))
    if not found.cells:
        parts = ", ".join(found.left_out.parts()) or "there is none"
        report.faults.append(f"{one.id}: no item of it is graded alike on both sides; {parts}")
    changes = turned_items(one.id, *items, found)
    ids = {item.id for item in changes}
    texts = [stored_texts(side, ids) if ids else {} for side in (one, other)]
    report.turned += [with_texts(item, *texts) for item in changes]
    report.comparisons.append(found)
    report.ids.append(one.id)


def _measures(plugin: str) -> Mapping[str, Measure]:
    """Return the measures of a benchmark or metric; none of one that this kit does not have."""
    try:
        return measures_of(plugin)
    except RequestError:
        return {}


def _stored_values(one: Measured, other: Measured, measures: Mapping[str, Measure]) -> dict[str, tuple[float, float]]:
    """Return the numbers that two gradings hold, by metric; none where a file of theirs can't be read."""
    try:
        found = [stored_results(side.store, side.key, measures) for side in (one, other)]
    except KitError:
        return {}
    return {name: (found[0][name].value, found[1][name].value) for name in found[0].keys() & found[1].keys()}


def turned_items(of: str, before: Items, after: Items, comparison: Comparison) -> list[Turned]:
    """Return the items whose score differs in a comparison's cells, the largest change first, without texts."""
    changes: dict[str, dict[str, tuple[Units, Units]]] = {}
    for cell in comparison.cells:
        for id in (*cell.risen, *cell.fallen):
            pair = before.by_id[id].scores[cell.metric], after.by_id[id].scores[cell.metric]
            changes.setdefault(id, {})[cell.measure.title or cell.metric] = pair
    place = {id: number for number, id in enumerate(before.by_id)}

    def largest(id: str) -> float:
        return max(abs(other[0] / other[1] - one[0] / one[1]) for one, other in changes[id].values())

    return [
        Turned(of=of, id=id, changes=changes[id], reasons=(before.by_id[id].reason, after.by_id[id].reason))
        for id in sorted(changes, key=lambda id: (-largest(id), place[id]))
    ]


def with_texts(item: Turned, before: Mapping[str, Beginning], after: Mapping[str, Beginning]) -> Turned:
    """Return an item with the beginnings of its texts."""
    return Turned(
        of=item.of,
        id=item.id,
        changes=item.changes,
        reasons=item.reasons,
        before=before.get(item.id),
        after=after.get(item.id),
    )


def _sort_turned(report: Report) -> None:
    """Put the items of the gradings whose cells moved the most clearly first."""
    order = dict[str, int]()
    for number, cell in enumerate(report.cells()):
        order.setdefault(cell.id, number)
    report.turned.sort(key=lambda item: order[item.of])


def lines(report: Report, items: int) -> Iterator[str]:
    """Yield the lines that a comparison prints; texts of models are escaped, other names are the caller's to escape.

    Args:
        report: the comparison.
        items: items that are shown with their texts.
    """
    yield f"A: {one_line(report.names[0])}"
    yield f"B: {one_line(report.names[1])}"
    if report.only is not None:
        compared = len(report.comparisons) + len(report.same)
        yield f"{_count(compared, 'grading')} compared, {len(report.same)} of them the same, byte for byte"
    for letter, ids in zip("AB", report.only or ([], []), strict=True):
        if ids:
            yield f"only in {letter}: {_count(len(ids), 'grading')}: {listed(ids, MOST_IDS)}"
    yield from report.notes
    for id, one in zip(report.ids, report.comparisons, strict=True):
        if parts := one.left_out.parts():
            yield f"{one_line(id)}: items left out: {', '.join(parts)}"
    yield from _stage_lines(report.stages)
    yield from _cell_lines(report)
    yield from _item_lines(report, items)
    for fault in report.faults:
        yield f"cannot compare: {fault}"
    yield ""
    yield report.verdict()


def _stage_lines(stages: Sequence[StageDifference]) -> Iterator[str]:
    """Yield the first stages that differ, then those that differ of themselves after them."""
    for heading, first in (("First stage that differs:", True), ("After it, of themselves:", False)):
        found = [one for one in stages if one.is_first is first]
        if found:
            yield ""
            yield heading
        for one in found:
            jobs = f"{_count(len(one.jobs), 'job')}: {listed(one.jobs, MOST_IDS)}"
            same = f"; wrote the same bytes in {one.same_bytes} of {one.made}" if one.same_bytes else ""
            yield f"  {one.stage}: {', '.join(change.text() for change in one.changes)} ({jobs}{same})"


def _cell_lines(report: Report) -> Iterator[str]:
    """Yield a line for each cell that moved, and one that counts the others."""
    cells = report.cells()
    moved = [cell for cell in cells if cell.moved]
    if moved:
        yield ""
        yield f"Cells that moved (paired over items, Holm over {_count(len(cells), 'cell')}):"
    for cell in moved:
        yield f"  {_word(cell)}: {one_line(cell.id)}, {cell.measure.title or cell.metric}"
        yield f"      {cell_text(cell)}"
    if still := len(cells) - len(moved):
        yield f"{_count(still, 'cell')} did not move"


def cell_text(cell: Cell) -> str:
    """Return a cell's numbers: both sides, the difference with its error, what turned, and the test's p."""
    measure = cell.measure
    before, after, apart = map(measure.in_unit, (cell.before, cell.after, cell.difference))
    error = "" if cell.stderr is None else f"±{measure.short_text(measure.in_unit(cell.stderr))} "
    unit = f" {measure.difference_unit}" if measure.difference_unit else ""
    words = ("wrong -> right", "right -> wrong") if cell.is_binary else ("higher", "lower")
    return (
        f"{measure.text(before)} -> {measure.text(after)}, {measure.signed_text(apart)}{unit} "
        f"{error}over {_count(cell.items, 'item')}: {len(cell.risen)} {words[0]}, "
        f"{len(cell.fallen)} {words[1]}; p = {cell.adjusted:.2g} after Holm ({cell.test} {cell.p:.2g})"
    )


def _item_lines(report: Report, most: int) -> Iterator[str]:
    """Yield the first items that turned, with both texts, and how many more there are."""
    shown = report.turned[:most]
    if shown:
        yield ""
        yield "Texts that differ:" if report.texts else "Items that turned:"
    for number, item in enumerate(shown):
        if number == 0 or item.of != shown[number - 1].of:
            yield f"  {one_line(item.of)}"
        yield f"    {one_line(item.id, 60)}: {item.how()}"
        for letter, text, reason in zip("AB", excerpts(item.before, item.after), item.reasons, strict=True):
            yield f"      {letter}: {text}" + (f"  [{one_line(reason, 80)}]" if reason else "")
    if more := len(report.turned) - len(shown):
        total = len(report.turned)
        verb = "differ" if report.texts else "turned"
        yield f"{more:,} more {verb}; --items {total} shows all {total:,}, --json has them too"
