"""Rows of a user's file with their scores: the fields that each gets, and what is said of those that have none."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from typing import TYPE_CHECKING, Any

from kit.errors import one_line
from kit.files.numbers import SKIPPED
from kit.measures import PERCENT

if TYPE_CHECKING:
    from kit.files.onebyone import ReadRow
    from kit.files.rowfiles import RowFile
    from kit.measures import Measure
    from kit.records import Score

TURNS = "_turns"
"""End of the name of the field with a list of numbers, one for each of the assistant's turns."""
MOST_SHOWN = 20
"""Rows that are printed with their reason; the file and the JSON document have all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """The rows of a file, and their scores by one metric."""

    metric: str
    """Name of the metric's file."""
    version: int
    """Version of the metric."""
    numbers: Sequence[str]
    """Ids of the numbers that are written."""
    measures: "Mapping[str, Measure]"
    """Id of a number -> its unit."""
    origin: "RowFile"
    rows: "Sequence[ReadRow]"
    scores: "Mapping[str, Score]"
    """Position of a row, or ``<row>/<turn>`` -> its score."""
    dropped: frozenset[int] = frozenset()
    """Positions of rows that are left out of the file, as an option asks for."""

    def kept(self) -> list[int]:
        """Return the positions of the rows that are written."""
        return [position for position in range(len(self.rows)) if position not in self.dropped]

    def fields(self, position: int) -> dict[str, Any]:
        """Return the fields that a row gets: a number each, or the reason why not; lists for the turns of a chat.

        Fields of an earlier run that no longer hold are emptied.
        """
        record, fault = self.origin.records[position][1], self.fault(position)
        values = self.values(position)
        found: dict[str, Any] = {}
        for number in self.numbers:
            if number in values or number in record:
                found[number] = values.get(number)
        turns = list(self.turns(position))
        if turns:
            for number in self.numbers:
                found[f"{number}{TURNS}"] = [turn.values.get(number) for turn in turns]
        name = f"{self.metric}{SKIPPED}"
        if fault or name in record:
            found[name] = fault
        if any(turn.skipped for turn in turns):
            found[f"{self.metric}{TURNS}{SKIPPED}"] = [turn.skipped for turn in turns]
        return found

    def values(self, position: int) -> "Mapping[str, float]":
        """Return a row's numbers by id; of a chat of several turns those of the whole."""
        score = self.scores.get(str(position))
        return {} if score is None else score.values

    def turns(self, position: int) -> "Iterator[Score]":
        """Yield the scores of the assistant's turns of a chat; nothing for a row of one turn."""
        turn = 1
        while (score := self.scores.get(f"{position}/{turn}")) is not None:
            yield score
            turn += 1

    def fault(self, position: int) -> str:
        """Return the reason why a row has no score; empty where it has one."""
        if self.rows[position].fault:
            return self.rows[position].fault
        score = self.scores.get(str(position))
        return score.skipped if score else ""

    def faults(self) -> list[tuple[str, str]]:
        """Return place and reason of each row, and of each turn, that has no score."""
        found = []
        for position, row in enumerate(self.rows):
            if fault := self.fault(position):
                found.append((row.where, fault))
            turns = enumerate(self.turns(position), 1)
            found += [(f"{row.where}: turn {number}", turn.skipped) for number, turn in turns if turn.skipped]
        return found

    def notes(self) -> list[tuple[str, str]]:
        """Return place and note of each row that was scored and is odd."""
        scored = (row for position, row in enumerate(self.rows) if not self.fault(position))
        return [(row.where, note) for row in scored for note in row.notes]

    def scored(self) -> int:
        """Return how many rows have a score."""
        return sum(bool(self.values(position)) for position in range(len(self.rows)))

    def mean(self, number: str) -> float:
        """Return the mean of a number over the rows that have it."""
        found = [values[number] for values in map(self.values, range(len(self.rows))) if number in values]
        return fsum(found) / len(found)

    def to_json(self, written: str) -> dict[str, Any]:
        """Return the JSON document that ``--json`` prints."""
        there = [number for number in self.numbers if any(number in score.values for score in self.scores.values())]
        return {
            "schema": 1,
            "metric": self.metric,
            "version": self.version,
            "rows": len(self.rows),
            "scored": self.scored(),
            "means": {number: self.mean(number) for number in there},
            "not_scored": [{"where": where, "reason": reason} for where, reason in self.faults()],
            "notes": [{"where": where, "note": note} for where, note in self.notes()],
            "dropped": sorted(self.dropped),
            "written": written,
        }

    def lines(self) -> Iterator[str]:
        """Yield the printed lines: the mean of each number, as the fields hold it, rows without a score, odd rows."""
        for number in self.numbers:
            if not any(number in self.values(position) for position in range(len(self.rows))):
                continue
            unit = self.measures[number].unit
            yield f"{number:32} mean {self.mean(number):.6g} {unit if unit != PERCENT else ''}".rstrip()
        yield from self._some("not scored", self.faults(), f"; the field {self.metric}{SKIPPED} has all reasons")
        yield from self._some("scored, but odd", self.notes(), "; --json prints all of them")

    def _some(self, what: str, rows: Sequence[tuple[str, str]], rest: str) -> Iterator[str]:
        """Yield a line for each of the first of some rows, and one on the others."""
        for where, reason in rows[:MOST_SHOWN]:
            yield f"{what}: {where}: {one_line(reason, 300)}"
        if len(rows) > MOST_SHOWN:
            yield f"{what}: {len(rows) - MOST_SHOWN:,} more{rest}"

    def last_line(self, left_out: str) -> str:
        """Return the last line: rows with a score, and rows that an option leaves out.

        Args:
            left_out: the option.
        """
        parts = [f"{self.scored():,} of {len(self.rows):,} rows scored by {self.metric} v{self.version}"]
        parts += [f"{len(self.dropped):,} left out ({left_out})"] if self.dropped else []
        return ", ".join(parts)
