"""Outcomes of checks, the verdicts on numbers, the names of the cells that they speak of, and their JSON."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, TypeAlias

from kit.catalogue.axes import Coordinates, value_text
from kit.report import Cell, Grid
from kit.report.curves import CurveCell
from kit.report.escapes import plain_json

SCHEMA = 2
"""Version of the JSON document; 1 had ``within`` for ``match``, and no numbers beside a verdict."""
MATCH, OFF, CANNOT_TELL, MISSING = "match", "off", "cannot tell", "missing"
VERDICTS = (MATCH, OFF, CANNOT_TELL, MISSING)
"""Verdicts on a number that is compared with another, in the order in which they are counted."""
Outcome: TypeAlias = Literal["go", "no", "cannot tell"]
EXIT_CODES: Mapping[Outcome, int] = {"go": 0, "no": 1, "cannot tell": 3}
"""Outcome of a verification -> exit code of the command; 2 is a request that was wrong."""
Place = tuple[frozenset[tuple[str, str | float]], str]
"""Place of a number in a table: its coordinates, and the metric's id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A cell's number beside the one that it is compared with, in the unit of its measure."""

    against: str
    """Source of the other number: ``paper`` or ``recorded``."""
    unit: str
    ours: float | None
    """Our number, the mean of all runs; ``None`` while it is missing."""
    wanted: float | None
    """The paper's number, or the recorded one; ``None`` where there is none."""
    n: int | None = None
    """Units behind our number."""
    stderr: float | None = None
    """Standard error of our number over its rows."""
    runs: int = 0
    """Number of runs behind our number, one for each training seed."""
    interval: tuple[float, float] | None = None
    """The difference ours minus wanted, from and to: at the paper's numbers its 95 % interval, at recorded ones what
    the allowed units would make of it."""
    smallest: float | None = None
    """The smallest difference that this comparison could have told from none."""
    allowed: float | None = None
    """The most that a match may differ by: the benchmark's margin, or the allowed units."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one check, with its reason."""

    check: str
    """``stored``, ``unharmed``, ``alive``; ``expected`` for a recorded number; at the paper's scale ``cell`` for a
    number, ``paper`` for a whole table and ``claim`` for a claim of the paper."""
    table: str
    """Name of the table or figure."""
    what: str
    """The cell, or the artifact."""
    passed: bool
    """Whether it is as it should be. A ``cell`` passes unless it is missing: ``paper`` judges the whole table."""
    detail: str
    """The numbers, and why they get this verdict; or why the check fails."""
    verdict: str = ""
    """One of :data:`VERDICTS` for what was compared with something; else empty."""
    numbers: Numbers | None = None
    """The numbers that were compared; ``None`` where the check is about something else."""

    @property
    def outcome(self) -> Outcome:
        """The check's part in the outcome of all: a failed one says no, or that it can't be told."""
        if self.passed:
            return "go"
        return "cannot tell" if self.verdict == CANNOT_TELL else "no"


class Checked(Protocol):
    """A finding on a table of results or of printed settings, as far as reports need it."""

    @property
    def check(self) -> str:
        """Return the name of the check, as JSON and JUnit have it."""

    @property
    def what(self) -> str:
        """Return the name of what was checked, with its table's before the first comma."""

    @property
    def passed(self) -> bool:
        """Return whether it is as it should be."""

    @property
    def detail(self) -> str:
        """Return the numbers and the reason of the outcome."""

    @property
    def verdict(self) -> str:
        """Return the verdict where something was compared, else nothing."""


def outcome_of(finding: Checked) -> Outcome:
    """Return what one finding says; a printed setting is right or wrong, a result may be one that can't be told."""
    if isinstance(finding, Finding):
        return finding.outcome
    return "go" if finding.passed else "no"


def outcome(findings: Iterable[Checked]) -> Outcome:
    """Return the outcome of all checks: one no is a no; else one that can't be told leaves it open."""
    found = {outcome_of(finding) for finding in findings}
    return "no" if "no" in found else "cannot tell" if "cannot tell" in found else "go"


def table_of(finding: Checked) -> str:
    """Return the name of the table that a finding is about."""
    return finding.table if isinstance(finding, Finding) else finding.what.partition(", ")[0]


def is_number(finding: Checked) -> bool:
    """Return whether a finding is about one cell or curve, not about a whole table or a claim."""
    return isinstance(finding, Finding) and finding.check in ("cell", "expected") and finding.verdict in VERDICTS


def counts(findings: Sequence[Checked]) -> dict[str, dict[str, int]]:
    """Return for each table with compared numbers how many cells and curves have each verdict."""
    found: dict[str, Counter[str]] = {}
    for finding in findings:
        if is_number(finding):
            found.setdefault(table_of(finding), Counter())[finding.verdict] += 1
    return {table: {verdict: count[verdict] for verdict in VERDICTS} for table, count in found.items()}


def counts_text(count: Mapping[str, int]) -> str:
    """Return counts of verdicts as text: ``30 match, 1 off, 0 cannot tell, 1 missing``."""
    return ", ".join(f"{count[verdict]} {verdict}" for verdict in VERDICTS)


def compares_with_paper(grid: Grid) -> bool:
    """Return whether a table is compared with the paper: it prints it, and each of its models plays itself."""
    return grid.table.paper is not None and (grid.scale == "paper" or not grid.players())


def place(at: Coordinates, column: str) -> Place:
    """Return the place of a cell, which no other cell of its table has."""
    return frozenset(at.items()), column


def named_cells(grid: Grid) -> Iterator[tuple[str, Cell]]:
    """Yield each cell with its name in messages: table, row, column."""
    for line in grid.lines:
        for cell, column in zip(line.cells, grid.columns, strict=True):
            yield ", ".join([grid.name, *line.names(), column.name]), cell


def named_curves(grid: Grid) -> Iterator[tuple[str, CurveCell]]:
    """Yield each curve that an experiment gives, with its name in messages: table, coordinates, column."""
    for cell in grid.curves:
        if cell.address.keys:
            yield ", ".join([grid.name, *map(value_text, cell.address.at.values()), cell.column.name]), cell


def as_json(scale: str | None, tables: Sequence[str], findings: Sequence[Checked]) -> str:
    """Return findings as one JSON document.

    Args:
        scale: the scale of the tables with results; ``None`` if there are none.
        tables: full name of every table that was checked.
        findings: :class:`Finding` of tables with results, :class:`kit.check.settings.Setting` of printed settings.
    """
    whole = outcome(findings)
    document = {
        "schema": SCHEMA,
        "scale": scale,
        "tables": list(tables),
        "outcome": whole,
        "exit_code": EXIT_CODES[whole],
        "passed": whole == "go",
        "counts": counts(findings),
        "findings": [_record(finding) for finding in findings],
    }
    return plain_json(document)


def _record(finding: Any) -> dict[str, Any]:
    """Return one finding as a JSON object."""
    return {**asdict(finding), "table": table_of(finding), "outcome": outcome_of(finding)}
