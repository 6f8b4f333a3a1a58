"""Numbers on a figure's axes against the data: one rule has to give the ends of all of its panels.

The authors' figures label an axis from the whole number below the smallest value less a margin to the one above the
largest value plus a margin; the margins are the same in each panel. That is read off the numbers: the data of
Table 11 and margins of 4 and 3 give all eight panels of Figure 3.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import ceil, floor

from kit.audit.findings import Finding
from kit.audit.sheets import Sheet

MARGINS = range(11)
Margins = tuple[int, int]


def tick_findings(sheets: Sequence[Sheet]) -> tuple[list[Finding], int]:
    """Return the series whose data one rule does not lead to the figure's axes, and the number of panels compared."""
    found, compared = [], 0
    for sheet in sheets:
        if not sheet.ticks or not sheet.known:
            continue
        compared += len(sheet.ticks)
        margins, fitting = best_margins(sheet)
        if len(fitting) < len(sheet.ticks):
            found.append(_finding(sheet, margins, fitting, sheets))
    return found, compared


def best_margins(sheet: Sheet) -> tuple[Margins, list[str]]:
    """Return the margins that give the ends of the most panels, and these panels."""
    ends = _ends(sheet)
    ranked = ((margins, _fitting(sheet, ends, margins)) for margins in product(MARGINS, MARGINS))
    return max(ranked, key=lambda one: len(one[1]))


def _ends(sheet: Sheet) -> dict[str, tuple[float, float]]:
    """Return the smallest and the largest value of each panel."""
    columns = {id: [line.cells[id].value for line in sheet.lines if id in line.cells] for id in sheet.ticks}
    return {id: (min(values), max(values)) for id, values in columns.items() if values}


def _fitting(sheet: Sheet, ends: Mapping[str, tuple[float, float]], margins: Margins) -> list[str]:
    """Return the panels whose axis has these margins."""
    return [
        id
        for id, (low, high) in ends.items()
        if (floor(low - margins[0]), ceil(high + margins[1])) == (sheet.ticks[id][0], sheet.ticks[id][-1])
    ]


def _finding(sheet: Sheet, margins: Margins, fitting: Sequence[str], sheets: Sequence[Sheet]) -> Finding:
    """Return the finding of a series that gives other axes than the figure has."""
    ends = _ends(sheet)
    left = [id for id in sheet.ticks if id not in fitting]
    reasons = [
        f"{id} from {ends[id][0]:g} to {ends[id][1]:g} would have {floor(ends[id][0] - margins[0])} to "
        f"{ceil(ends[id][1] + margins[1])}, and has {sheet.ticks[id][0]:g} to {sheet.ticks[id][-1]:g}"
        for id in left
        if id in ends
    ]
    return Finding(
        check="ticks",
        table=sheet.label,
        columns=tuple(left),
        printed=tuple(f"{sheet.ticks[id][0]:g} to {sheet.ticks[id][-1]:g}" for id in left),
        why=f"{len(fitting)} of {len(sheet.ticks)} axes begin {margins[0]} below the data and end {margins[1]} above, "
        f"in whole numbers; {'; '.join(reasons)}",
        sure="likely",
        could_be=tuple(_others(sheet, sheets)),
    )


def _others(sheet: Sheet, sheets: Sequence[Sheet]) -> Iterator[str]:
    """Yield the series of the same figure whose data fit every axis."""
    for other in sheets:
        if other.name == sheet.name and other is not sheet and other.known:
            _, fitting = best_margins(other)
            if len(fitting) == len(other.ticks):
                yield f"the figure was drawn from {other.series} ({other.source}): all {len(fitting)} axes fit it"
