"""Compare a table with the paper's: a verdict for each cell, and one for the table out of them."""

from collections.abc import Iterator, Mapping, Sequence

from kit.catalogue import paper
from kit.catalogue.margins import Margin, margin_of
from kit.catalogue.views import Column
from kit.check.findings import (
    CANNOT_TELL,
    MATCH,
    MISSING,
    OFF,
    VERDICTS,
    Finding,
    Numbers,
    named_cells,
    named_curves,
)
from kit.check.verdicts import Judged, Spreads, judge
from kit.comparing.families import holm
from kit.report import Cell, Grid

FAMILY_CHANCE = 0.05
"""Probability that chance alone calls any of a table's numbers off, after Holm."""
MOST = 0.5
"""Part of a table's numbers of which more have to match for it to be reproduced, or be off for it not to be."""
Judgements = Sequence[tuple[Cell, Judged | None]]
"""Each cell that the paper prints, with its verdict; None where it is not computed."""


def against_paper(grid: Grid, spreads: Spreads, margins: Mapping[str, Margin]) -> Iterator[Finding]:
    """Give each cell its verdict beside the paper's, and then the table.

    Args:
        grid: the table.
        spreads: spread of each number between training seeds, where several ran.
        margins: margin of each benchmark.
    """
    if grid.table.paper is None:
        return
    printed = paper.table(grid.table.paper).of_series(grid.table.series)
    judgements: list[tuple[Cell, Judged | None]] = []
    for (what, cell), column in zip(named_cells(grid), _columns(grid), strict=True):
        if cell.is_blank:
            continue
        if cell.reference is None:
            if not _left_blank(printed, cell):
                detail = f"manifests/paper/{grid.table.paper} has no such cell: a name has changed"
                yield Finding(check="cell", table=grid.name, what=what, passed=False, detail=detail)
            continue
        judged = None
        if cell.result is not None:
            margin = margin_of(margins, column.benchmark, cell.measure, cell.result.n)
            judged = judge(cell, column.benchmark, spreads.get((column.benchmark, column.id)), margin)
        judgements.append((cell, judged))
        yield _on_cell(grid.name, what, cell, judged)
    yield from curves_without_numbers(grid)
    yield whole_table(grid, judgements)


def _columns(grid: Grid) -> Iterator[Column]:
    """Yield the column of each cell, row by row."""
    for _ in grid.lines:
        yield from grid.columns


def _on_cell(table: str, what: str, cell: Cell, judged: Judged | None) -> Finding:
    """Return the finding on one cell, which fails only if it is missing: the whole table is judged by its counts."""
    if judged:
        return Finding(
            check="cell",
            table=table,
            what=what,
            passed=True,
            detail=judged.detail,
            verdict=judged.verdict,
            numbers=judged.numbers,
        )
    numbers = Numbers(against="paper", unit=cell.measure.unit, ours=None, wanted=cell.reference)
    return Finding(
        check="cell",
        table=table,
        what=what,
        passed=False,
        detail=f"not computed; the paper prints {cell.measure.text(cell.reference or 0.0)}",
        verdict=MISSING,
        numbers=numbers,
    )


def curves_without_numbers(grid: Grid) -> Iterator[Finding]:
    """Yield for each curve that it can't be told: the paper draws curves, and prints none of their numbers."""
    for what, cell in named_curves(grid):
        missing = len(cell.runs) < len(cell.address.keys)
        yield Finding(
            check="cell",
            table=grid.name,
            what=what,
            passed=not missing,
            detail="not computed" if missing else "the paper draws this curve, and prints none of its numbers",
            verdict=MISSING if missing else CANNOT_TELL,
            numbers=Numbers(against="paper", unit=cell.measure.y.unit, ours=None, wanted=None, runs=len(cell.runs)),
        )


def whole_table(grid: Grid, judgements: Judgements) -> Finding:
    """Return the verdict on a table: off if a number is, after Holm, or most are; a match if most of its numbers are.

    Cells whose numbers come from the same answers count once (:func:`of_answers`). That no number is off says nothing:
    the numbers of which it can't be told count neither for the table nor against it. Most are more than half: where
    chance calls each off in one table of twenty, it calls most off in one of ten at most, whatever they share (Markov).
    """
    found = of_answers(judgements)
    verdicts = [verdict for verdict, _ in found.values()]
    count = {verdict: verdicts.count(verdict) for verdict in VERDICTS}
    adjusted = holm({name: p for name, (_, p) in found.items()}) if found else {}
    off = sum(p < FAMILY_CHANCE for p in adjusted.values())
    most = MOST * len(found)
    is_off = off > 0 or count[OFF] > most
    verdict = MISSING if count[MISSING] else OFF if is_off else MATCH if count[MATCH] > most else CANNOT_TELL
    if not found:
        detail = "no cell was compared"
    else:
        counted = ", ".join(f"{number} {name}" for name, number in count.items())
        detail = f"{counted} of {len(found)} numbers (columns that share answers count once); {off} off after Holm"
    return Finding(
        check="paper", table=grid.name, what=grid.name, passed=verdict == MATCH, detail=detail, verdict=verdict
    )


def of_answers(judgements: Judgements) -> dict[str, tuple[str, float]]:
    """Return for each set of answers the verdict of the columns counted from them, and its p.

    They match if all do: each alone has to be shown the same. They are off if one is, at its p times their number
    (Bonferroni, which holds however they depend on each other).
    """
    groups: dict[tuple[str, ...], list[Judged | None]] = {}
    for cell, one in judgements:
        groups.setdefault(cell.address.keys, []).append(one)
    found: dict[str, tuple[str, float]] = {}
    for number, members in enumerate(groups.values()):
        judged = [member for member in members if member]
        verdicts = {member.verdict for member in judged}
        p = min([1.0, *(len(judged) * member.p for member in judged)])
        if len(judged) < len(members):
            verdict = MISSING
        elif OFF in verdicts and p < FAMILY_CHANCE:
            verdict = OFF
        else:
            verdict = MATCH if verdicts == {MATCH} else CANNOT_TELL
        found[str(number)] = verdict, p
    return found


def _left_blank(printed: paper.PaperTable, cell: Cell) -> bool:
    """Return whether the paper has this row, and prints no number in this column (none, or a word)."""
    row = printed.row_at(cell.address.at)
    return row is not None and not isinstance(row.values.get(cell.address.printed or cell.address.column), int | float)
