"""Rows and cells that stand in two places: where one run is printed twice they must agree, elsewhere they should not.

How likely two unrelated runs print the same number is estimated on the high side: both are taken to be equally good.
Then the difference of their counts has a mean of 0 and the variance d n, d the share of items that one has right and
the other wrong; its most likely value is 0, with a chance of 1 / sqrt(2 pi d n).
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from math import comb, exp, log, pi, sqrt

from kit.audit.counts import Number
from kit.audit.findings import Finding, Sureness, sureness
from kit.audit.sheets import Column, Line, Run, Sheet

TURNED = 0.2
"""Share of items that one of two equally good models has right and the other wrong: our estimate, no measurement. Half
of it would make equal counts 1.4 times as likely."""
LAST_OF_FOUR = 0.1
"""Chance that instruction-level loose is equal too where IFEval's other three are: its residual spread over the paper's
rows is 2.9 instructions, so that 1 / (2 sqrt(pi) 2.9) = 0.098 (tests/audit/test_repeated.py computes it)."""
FEWEST_EQUAL = 2
"""Equal cells of two rows that are looked at; one is common."""
MOST_PAIRS = 2_000
"""Most pairs of rows whose chance is computed, those with the most equal cells first."""
NEAR = 20
"""Counts within which two cells are near: of near pairs one in 41 is equal where each difference is as likely."""
LEVELS_NEAR = 1000
"""Hundredths within which two levels' means are near: ten points, about one and a half steps from level to level."""
Place = tuple[Sheet, Line]


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell that two prints of one run do not agree in."""

    place: Place
    other: Place
    column: str
    places: Sequence[Place]
    """All places that print this run."""


def repeated_rows(sheets: Sequence[Sheet]) -> tuple[list[Finding], int]:
    """Return the pairs of rows with more equal cells than chance gives, and the number of pairs that were compared."""
    places = list(_distinct(sheets))
    pairs, found = comb(len(places), 2) - _known_repeats(places), []
    alike = sorted(_equal_cells(places).items(), key=lambda pair: -len(pair[1]))
    for (one, two), equal in alike[:MOST_PAIRS]:
        if len(equal) < FEWEST_EQUAL:
            break
        first, second = places[one], places[two]
        if _is_one_row(first, second):
            continue
        common = _common(first, second)
        expected = pairs * tail(*_by_answers(first[1], common, equal))
        if sure := sureness(expected):
            found.append(_repeat((first, second), equal, len(common), sure, f"{expected:.1g} of {pairs}"))
    return found, pairs


def _equal_cells(places: Sequence[Place]) -> dict[tuple[int, int], list[str]]:
    """Return the columns in which two rows print the same number, by the rows' numbers."""
    found: dict[tuple[int, int], list[str]] = {}
    same: dict[tuple[str, str, Number], list[int]] = {}
    for number, (sheet, line) in enumerate(places):
        for column in sheet.columns:
            if column.id in line.cells and is_compared(column):
                same.setdefault((column.id, column.benchmark, line.cells[column.id]), []).append(number)
    for (id, _, _), numbers in same.items():
        for pair in combinations(numbers, 2):
            found.setdefault(pair, []).append(id)
    return found


def _repeat(places: tuple[Place, Place], equal: Sequence[str], common: int, sure: Sureness, chance: str) -> Finding:
    """Return the finding of two rows that print the same numbers."""
    (sheet, line), (other_sheet, other) = places
    return Finding(
        check="repeated",
        table=sheet.label,
        rows=(line.name, other.name if sheet is other_sheet else f"{other_sheet.label}: {other.name}"),
        columns=tuple(equal),
        printed=tuple(line.cells[id].text for id in equal),
        why=f"two runs agree in {len(equal)} of the {common} cells that both print",
        sure=sure,
        chance=f"{chance} pairs of rows agree so much by chance, estimated on the high side",
        could_be=("a row copied and not filled in", "one run printed under two names", "chance"),
        also=() if sheet is other_sheet else (other_sheet.label,),
    )


def _distinct(sheets: Sequence[Sheet]) -> Iterator[Place]:
    """Yield every row once: of rows that print one run only the first."""
    seen = set()
    for sheet in sheets:
        for line in sheet.lines:
            printed = sum(column.id in line.cells for column in sheet.columns if is_compared(column))
            if printed >= FEWEST_EQUAL and (line.run is None or line.run not in seen):
                yield sheet, line
            seen.add(line.run)


def _is_one_row(first: Place, second: Place) -> bool:
    """Return whether two rows of one's own tables have one name, as of a baseline that stands in each of them."""
    return first[1].run is second[1].run is None and first[1].name == second[1].name and first[0] is not second[0]


def _known_repeats(places: Sequence[Place]) -> int:
    """Return the number of pairs of rows that are not compared, see :func:`_is_one_row`."""
    return sum(comb(times, 2) for times in Counter(line.name for _, line in places if line.run is None).values())


def _by_answers(line: Line, common: Sequence[Column], equal: Sequence[str]) -> tuple[dict[str, float], list[str]]:
    """Return chance and agreement of columns; those of one n may grade the same answers, and count as one column.

    Any one of them may be the one that agrees, so that their chances are added. IFEval's columns have roles, and their
    own chances.
    """
    groups: dict[str, list[Column]] = {}
    for column in common:
        groups.setdefault(column.id if column.role or not column.n else f"n = {column.n}", []).append(column)
    chances, agreeing = dict[str, float](), list[str]()
    for name, columns in groups.items():
        chances[name] = min(0.5, sum(equal_by_chance(line.cells[column.id], column) for column in columns))
        agreeing += [name] * any(column.id in equal for column in columns)
    return chances, agreeing


def is_compared(column: Column) -> bool:
    """Return whether equal cells of a column say something: shares and means of shares, and no means of columns."""
    return bool(column.units) and not column.role.startswith("mean of")


def _common(first: Place, second: Place) -> list[Column]:
    """Return the columns that both rows print."""
    shared = set(_same_columns(first, second))
    return [column for column in first[0].columns if column.id in shared and is_compared(column)]


def equal_by_chance(cell: Number, column: Column) -> float:
    """Return the chance that another run, as good as this one, prints the same number; see the module."""
    if column.role == "instruction loose":
        return LAST_OF_FOUR
    units, share = column.units, min(max(cell.value / 100, 0.0), 1.0)
    turned = max(min(TURNED, 2 * share * (1 - share)), 1 / units)
    step = max(100 / units if column.n else 0.0, 1 / cell.unit)
    return min(0.5, step / 100 / sqrt(2 * pi * turned / units))


def tail(chances: Mapping[str, float], equal: Sequence[str]) -> float:
    """Return the chance of columns that agree at least as improbably as these, over all sets of columns.

    The weight of a column is the logarithm of its chance: the sets are ranked by what their agreement would take.
    """
    least = sum(_weight(chances[id]) for id in equal)
    return sum(likely for weight, likely in _weights(tuple(sorted(chances.values()))) if weight >= least)


def _weight(chance: float) -> int:
    """Return the weight of a column in hundredths."""
    return round(-100 * log(chance))


@lru_cache(maxsize=256)
def _weights(chances: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    """Return each weight that a set of columns can have, and its chance."""
    reached = {0: 1.0}
    for chance in chances:
        following: dict[int, float] = {}
        for weight, likely in reached.items():
            following[weight] = following.get(weight, 0.0) + likely * (1 - chance)
            more = weight + _weight(chance)
            following[more] = following.get(more, 0.0) + likely * chance
        reached = following
    return tuple(reached.items())


# one run in two tables


def shared_rows(sheets: Sequence[Sheet]) -> tuple[list[Finding], int]:
    """Return where two prints of one run differ, and the number of cells that stand twice by design."""
    runs: dict[Run, list[Place]] = {}
    for sheet in sheets:
        for line in sheet.lines:
            if line.run is not None:
                runs.setdefault(line.run, []).append((sheet, line))
    compared, differing = 0, dict[tuple[str, str], list[Difference]]()
    for places in runs.values():
        for number, place in enumerate(places):
            other = _reference(places[:number], place[0])
            for column in _same_columns(place, other) if other else ():
                compared += 1
                if other and place[1].cells[column] != other[1].cells[column]:
                    pair = (place[0].label, other[0].label)
                    differing.setdefault(pair, []).append(Difference(place, other, column, places))
    return [_difference(cells, sheets) for cells in differing.values()], compared


def _reference(before: Sequence[Place], sheet: Sheet) -> Place | None:
    """Return the place with which a print of a run is compared: of the same figure, else the first one."""
    same = [place for place in before if place[0].name == sheet.name]
    return next(iter([*same, *before]), None)


def _same_columns(first: Place, second: Place) -> Iterator[str]:
    """Yield the columns that both rows print."""
    others = {(column.id, column.benchmark) for column in second[0].columns}
    for column in first[0].columns:
        if (column.id, column.benchmark) in others and column.id in first[1].cells and column.id in second[1].cells:
            yield column.id


def _difference(cells: Sequence[Difference], sheets: Sequence[Sheet]) -> Finding:
    """Return the finding of two tables that print different numbers of the same runs."""
    sheet, other = cells[0].place[0], cells[0].other[0]
    order = {line.name: index for index, line in enumerate(sheet.lines)}
    cells = sorted(cells, key=lambda one: (one.column, order[one.place[1].name]))
    printed = [
        f"{one.place[1].name}, {one.column}: {one.place[1].cells[one.column].text}, "
        f"{one.other[1].cells[one.column].text} in {other.label}"
        for one in cells
    ]
    also = dict.fromkeys(
        place[0].label
        for one in cells
        for place in (one.other, *one.places)
        if place[0] is not sheet and one.column in place[1].cells
    )
    return Finding(
        check="shared",
        table=sheet.label,
        rows=tuple(dict.fromkeys(one.place[1].name for one in cells)),
        columns=tuple(dict.fromkeys(one.column for one in cells)),
        printed=tuple(printed),
        why=f"both are said to print the same runs, and {len(cells)} cells differ from those of {other.label}",
        sure="certain",
        could_be=(*_elsewhere(cells, sheets), "the runs of an earlier or a later state of the work"),
        also=tuple(also),
    )


def _elsewhere(cells: Sequence[Difference], sheets: Sequence[Sheet]) -> Iterator[str]:
    """Yield where the differing numbers of a column stand as well: in other rows, or another series of the figure."""
    sheet, other = cells[0].place[0], cells[0].other[0]
    for column in dict.fromkeys(one.column for one in cells):
        lines = [one.place[1] for one in cells if one.column == column]
        values = [line.cells[column] for line in lines]
        rows = {line.cells[column]: line.name for line in other.lines if column in line.cells}
        if all(value in rows for value in values):
            moved = ", ".join(f"{value.text} stands at {rows[value]}" for value in values)
            yield f"{column}: the same numbers in other rows; in {other.label} {moved}"
        for series in sheets:
            drawn = {line.name: line.cells.get(column) for line in series.lines}
            same = all(drawn.get(line.name) == line.cells[column] for line in lines)
            if same and series.name == sheet.name and series is not sheet:
                yield f"{column}: all {len(values)} are those of the series {series.series}, row by row"


# cells that stand twice in one table


def repeated_cells(sheets: Sequence[Sheet]) -> Iterator[Finding]:
    """Yield notes on columns with more equal cells within one evolver's rows than chance gives."""
    groups = [
        (sheet, column, [line for line in sheet.lines if line.block == block and column.id in line.cells])
        for sheet in sheets
        for column in sheet.columns
        for block in dict.fromkeys(line.block for line in sheet.lines)
        if column.n and sheet.known
    ]
    for sheet, column, lines in groups:
        cells = [line.cells[column.id] for line in lines]
        times = Counter(cells)
        repeats = len(cells) - len(times)
        expected = _near_pairs([cell.value for cell in cells], 100 * NEAR / column.n) / (2 * NEAR + 1)
        likely = at_least(repeats, expected) * len(groups)
        if repeats >= FEWEST_EQUAL and sureness(likely):
            twice = [line for line in lines if times[line.cells[column.id]] > 1]
            whose = " of the same evolver's" if twice[0].block else ""
            yield Finding(
                check="repeated",
                table=sheet.label,
                rows=tuple(line.name for line in twice),
                columns=(column.id,),
                printed=tuple(line.cells[column.id].text for line in twice),
                why=f"{repeats} cells of a column repeat another{whose}; chance gives {expected:.2g}",
                sure="possible",
                chance=f"{likely:.1g} of {len(groups)} such groups of rows have as many by chance",
                could_be=("a cell copied from the row above", "chance"),
            )


def _near_pairs(values: Sequence[float], within: float) -> int:
    """Return how many pairs of numbers differ by so much at most."""
    ranked = sorted(values)
    return sum(bisect_right(ranked, value + within + 1e-9) - place - 1 for place, value in enumerate(ranked))


def at_least(seen: int, expected: float) -> float:
    """Return the chance of so many events or more, where so many are expected (Poisson)."""
    below, term = 0.0, exp(-expected)
    for k in range(seen):
        below += term
        term *= expected / (k + 1)
    return max(0.0, 1.0 - below)


def equal_levels(sheets: Sequence[Sheet]) -> Iterator[Finding]:
    """Yield notes on rows in which two levels of a benchmark print the same mean."""
    for sheet in sheets:
        levels = [column for column in sheet.columns if column.role.startswith("level ")]
        pairs = [
            (line, a, b)
            for line in sheet.lines
            for a, b in combinations(levels, 2)
            if a.id in line.cells and b.id in line.cells
        ]
        gaps = [(line, a, b, abs(line.cells[a.id].digits - line.cells[b.id].digits)) for line, a, b in pairs]
        expected = sum(gap <= LEVELS_NEAR for *_, gap in gaps) / (2 * LEVELS_NEAR + 1)
        for line, a, b, gap in gaps:
            if gap == 0 and sureness(expected):
                yield Finding(
                    check="repeated",
                    table=sheet.label,
                    rows=(line.name,),
                    columns=(a.id, b.id),
                    printed=(line.cells[a.id].text, line.cells[b.id].text),
                    why="two levels of one row print the same mean",
                    sure="possible",
                    chance=f"{expected:.2g} of {len(pairs)} pairs of levels in this table do so by chance",
                    could_be=("one level typed twice", "chance"),
                )
