"""Named checks on a finished table, each with the reason it fails.

At the paper's scale a number is compared with the paper's cell; at any other with the value that was recorded in
``manifests/expected/<scale>`` when that scale last changed. Only the paper's scale can say "reproduced".
"""

import json
import math
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kit.catalogue import manifests_folder
from kit.errors import KitError
from kit.plan import Plan
from kit.report import Cell, Grid, make_grid, plain
from kit.store import Store

if TYPE_CHECKING:
    from rich.console import Console

Z = 1.96
"""Two-sided 95 %: one cell in twenty lies outside by chance alone."""
OTHER_CPU_FLIPS = 0.02
"""Share of a cell's units, at least one, that may turn out differently on another CPU: kernels sum in another order, a
greedy text forks at a near tie, and an answer changes."""
PRINTED_ROUNDING = 0.005
"""Half of the last digit that the paper prints, percentage points."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check."""

    check: str
    """``stored``, ``unharmed``, ``alive``, ``expected`` or ``paper``."""
    what: str
    """The cell, or the artifact."""
    passed: bool
    detail: str
    """Found, wanted, tolerance; or why it fails."""


def check(plan: Plan, store: Store) -> list[Finding]:
    """Every check on every table of the plan."""
    found: list[Finding] = []
    for name in plan.tables:
        grid = make_grid(name, plan, store)
        found += stored(name, plan, store)
        found += unharmed(name, plan, store)
        found += alive(grid)
        found += against_paper(grid) if plan.scale == "paper" else against_expected(grid)
    return found


def stored(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """Each cell's job is done."""
    missing = [plan.jobs[key].id for key in _grades(name, plan) if not store.has(key)]
    detail = f"not done: {', '.join(missing)}; run `kit reproduce`" if missing else f"{len(_grades(name, plan))} graded"
    yield Finding(check="stored", what=name, passed=not missing, detail=detail)


def unharmed(name: str, plan: Plan, store: Store) -> Iterator[Finding]:
    """What the table was made from hashes to what its heads say."""
    keys = [key for key in sorted(plan.needs(_grades(name, plan))) if store.has(key)]
    faults = [f"{plan.jobs[key].id}: {fault}" for key in keys for fault in store.check(key)]
    detail = "; ".join(faults) if faults else f"{len(keys)} artifacts hash to what they say"
    yield Finding(check="unharmed", what=name, passed=not faults, detail=detail)


def alive(grid: Grid) -> Iterator[Finding]:
    """No column is all 0 or all 100: such a column measures the pipeline's breakage, not the models."""
    for index, column in enumerate(grid.columns):
        values = [line.cells[index].percent for line in grid.lines]
        known = [value for value in values if value is not None]
        dead = bool(known) and (max(known) == 0 or min(known) == 100)
        detail = ", ".join(f"{value:.1f}" for value in known) or "no value"
        what = f"{grid.name}, {column.name}"
        yield Finding(check="alive", what=what, passed=bool(known) and not dead, detail=detail)


def against_paper(grid: Grid) -> Iterator[Finding]:
    """Ours and the paper's differ by no more than two runs of the same models would."""
    for line, cell in _cells(grid):
        if cell.percent is None or cell.reference is None or cell.result is None:
            continue
        tolerance = paper_tolerance(cell.reference, cell.percent, cell.result.n)
        passed = abs(cell.percent - cell.reference) <= tolerance
        verdict = "reproduced" if passed else "off"
        detail = f"{verdict}: {cell.percent:.2f}, the paper prints {cell.reference:.2f}, tolerance ±{tolerance:.2f}"
        yield Finding(check="paper", what=line, passed=passed, detail=detail)


def paper_tolerance(reference: float, ours: float, n: int) -> float:
    """How far two independent runs over ``n`` items may lie apart, percentage points.

    ``1.96 * sqrt(se_reference^2 + se_ours^2)``, both binomial, plus what the paper's rounding hides.
    """
    spread = math.sqrt(sum(p * (100 - p) / n for p in (reference, ours)))
    return Z * spread + PRINTED_ROUNDING


def against_expected(grid: Grid) -> Iterator[Finding]:
    """Ours and the recorded value differ by no more than another CPU explains."""
    path = expected_path(grid)
    if not path.exists():
        yield Finding(
            check="expected",
            what=grid.name,
            passed=True,
            detail=f"no values are recorded for scale {grid.scale}; `kit verify --record` writes them",
        )
        return
    expected = tomllib.loads(path.read_text(encoding="utf-8"))["cells"]
    for line, cell in _cells(grid):
        wanted = expected.get(cell_name(cell))
        if cell.result is None or cell.percent is None:
            continue
        if wanted is None:
            yield Finding(check="expected", what=line, passed=False, detail=f"{path.name} has no value for this cell")
            continue
        tolerance = expected_tolerance(wanted["percent"], wanted["n"])
        same_n = wanted["n"] == cell.result.n
        passed = same_n and abs(cell.percent - wanted["percent"]) <= tolerance
        detail = f"{cell.percent:.2f}, recorded {wanted['percent']:.2f}, tolerance ±{tolerance:.2f}"
        detail += "" if same_n else f"; over {cell.result.n} units, recorded over {wanted['n']}"
        yield Finding(check="expected", what=line, passed=passed, detail=detail)


def expected_tolerance(percent: float, n: int) -> float:
    """How far another CPU may lie from a recorded value, percentage points.

    The machine that recorded it is met exactly; on another, near ties may fall the other way. Allowed: the share
    :data:`OTHER_CPU_FLIPS` of ``n`` units, at least one, or one binomial standard error over ``n`` if that is more.
    """
    flips = 100 * max(1, math.ceil(OTHER_CPU_FLIPS * n)) / n
    return max(flips, math.sqrt(percent * (100 - percent) / n)) + 1e-9


def record(plan: Plan, store: Store) -> list[Path]:
    """Write what the store has as the values expected from now on.

    Raises:
        KitError: a cell is missing; half a table is no reference.
    """
    written = []
    for name in plan.tables:
        grid = make_grid(name, plan, store)
        lines = [
            f"# Written by `kit verify --record` at scale {grid.scale}; value in percent, units behind it.",
            "schema = 1",
        ]
        lines += ["", "[cells]"]
        for what, cell in _cells(grid):
            if cell.percent is None or cell.result is None:
                raise KitError(f"{what}: not computed yet; only a whole table can be recorded")
            lines.append(f'"{cell_name(cell)}" = {{ percent = {cell.percent:.4f}, n = {cell.result.n} }}')
        path = expected_path(grid)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        written.append(path)
    return written


def expected_path(grid: Grid) -> Path:
    """Where a scale's recorded values are."""
    return manifests_folder() / "expected" / grid.scale / f"{grid.name}.toml"


def cell_name(cell: Cell) -> str:
    """A cell's name in the recorded file: ``evolver/base/column``."""
    return f"{cell.address.evolver}/{cell.address.base}/{cell.address.column}"


def as_json(plan: Plan, findings: list[Finding]) -> str:
    """One JSON document."""
    document = {
        "schema": 1,
        "scale": plan.scale,
        "tables": list(plan.tables),
        "passed": all(finding.passed for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def show(console: "Console", plan: Plan, findings: list[Finding]) -> None:
    """One line a check, and what it all means."""
    from rich.text import Text

    for finding in findings:
        mark = ("ok  ", "green") if finding.passed else ("FAIL", "bold red")
        console.print(
            Text.assemble(mark, f"  {finding.check:9} {plain(finding.what)}: {plain(finding.detail)}"), soft_wrap=True
        )
    failed = sum(not finding.passed for finding in findings)
    recorded = any(finding.check == "expected" and "recorded " in finding.detail for finding in findings)
    console.print(
        Text(f"{len(findings)} checks, {failed} failed. {verdict(plan, failed, recorded)}", style="bold"),
        soft_wrap=True,
    )


def verdict(plan: Plan, failed: int, recorded: bool) -> str:
    """What the checks say together; "reproduced" is said of the paper's scale alone."""
    if plan.scale == "paper":
        return (
            "The paper's cells are reproduced within tolerance."
            if not failed
            else "Some of the paper's cells are not reproduced."
        )
    if failed:
        return f"Scale {plan.scale} does not give what was recorded."
    if not recorded:
        return f"Nothing is recorded for scale {plan.scale} to compare with; it says nothing about the paper's numbers."
    return f"Scale {plan.scale} gives what was recorded; it says nothing about the paper's numbers."


def _grades(name: str, plan: Plan) -> list[str]:
    return list(dict.fromkeys(address.key for address in plan.cells[name]))


def _cells(grid: Grid) -> Iterator[tuple[str, Cell]]:
    for line in grid.lines:
        for cell, column in zip(line.cells, grid.columns, strict=True):
            yield f"{grid.name}, {line.evolver}, {line.base}, {column.name}", cell
