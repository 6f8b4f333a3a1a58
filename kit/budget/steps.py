"""The steps by which a claim can be decided: pairs of trained models, with the cells that the claim reads of them."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kit.catalogue.axes import coordinates_text, value_text
from kit.catalogue.claims import Average, Claim, ClaimsFile
from kit.claims.numbers import Number, Pair, grid_numbers, pairs_of, units_of
from kit.errors import RequestError, did_you_mean, listed, shown
from kit.measures import PERCENT
from kit.plan import Plan
from kit.report import Grid
from kit.store import Job

TRAINED = "grade"
"""Stage whose numbers come from a trained model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellPair:
    """One number of both sides of a claim, of one training seed each."""

    better: Number
    worse: Number
    better_key: str
    """Key of the grading on the side that is claimed to be higher."""
    worse_key: str
    benchmark: str
    column: str
    rows: int
    """Problems that both sides answer at this scale."""

    @property
    def printed(self) -> tuple[float, float] | None:
        """The two numbers that the paper prints here, percent; None where it prints none."""
        assert self.better.cell is not None and self.worse.cell is not None
        better, worse = self.better.cell.reference, self.worse.cell.reference
        return None if better is None or worse is None else (better, worse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One pair of trained models, and what the claim reads of them."""

    name: str
    part: str
    """Its tables and coordinates, without the replicate: the steps of a part stand for one another."""
    replicate: str
    """Its value on the axes that the claim goes over; steps of one replicate may lean to one side together."""
    seed: int
    """Place of its training seed among those of the plan, from 0."""
    cells: tuple[CellPair, ...]

    @property
    def id(self) -> str:
        """A hash of the gradings that it needs: the same step in another plan has the same."""
        return hashlib.sha256("\n".join(self.keys).encode()).hexdigest()[:16]

    @property
    def keys(self) -> list[str]:
        """The gradings that it needs, each once."""
        return list(dict.fromkeys(key for cell in self.cells for key in (cell.better_key, cell.worse_key)))

    @property
    def benchmarks(self) -> list[str]:
        """The benchmarks that it reads, each once."""
        return list(dict.fromkeys(cell.benchmark for cell in self.cells))


def find_claim(file: ClaimsFile, id: str) -> tuple[Claim, Average]:
    """Return the claim with this id, and its check.

    Raises:
        RequestError: there is no such claim, or it is no average that steps could decide.
    """
    claims = {claim.id: claim for claim in file.claim}
    able = [claim.id for claim in file.claim if claim.average]
    if id not in claims:
        raise RequestError(f"--claim: no claim is named {shown(id)}{did_you_mean(id, able)}")
    found = claims[id]
    if found.all_of:
        raise RequestError(f"--claim {id}: is made of others; decide each by itself: {listed(found.all_of)}")
    if found.average is None:
        raise RequestError(
            f"--claim {id}: its check is {found.kind!r}, which arithmetic decides; wanted one that asks whether cells "
            f"are above others on average, as {able[0]}; `kit claims` judges the others"
        )
    return found, found.average


def steps_of(claim: Claim, check: Average, plan: Plan, grids: Mapping[str, Grid]) -> list[Step]:
    """Return the steps of a claim, in the order of its tables and seeds.

    Args:
        claim: the claim.
        check: what it asks of the averages.
        plan: plan of the claim's tables, with all training seeds that may be used.
        grids: table -> its numbers, filled or not.

    Raises:
        RequestError: its numbers come from no trained model, are no shares, or have no cells at this scale.
    """
    numbers = {name: grid_numbers(grid) for name, grid in grids.items()}
    pairs = [pair for side in check.of for pair in pairs_of(side, numbers, check.columns)]
    _check(claim, pairs, plan)
    found: dict[tuple[str, ...], list[CellPair]] = {}
    for pair in pairs:
        for seed, keys in enumerate(zip(_keys(pair.better), _keys(pair.worse), strict=False)):
            if keys[0] == keys[1]:
                continue  # one result on both sides, as of seeds as they stand
            models = [_model(plan.jobs, key) for key in keys]
            found.setdefault((str(seed), *models), []).append(_cell_pair(pair, keys, plan))
    steps = [_step(check, int(place[0]), cells) for place, cells in found.items()]
    if not steps:
        raise RequestError(f"--claim {claim.id}: both sides are one and the same result at scale {plan.scale}")
    return steps


def _check(claim: Claim, pairs: Sequence[Pair], plan: Plan) -> None:
    """Check that a claim's numbers are shares of problems that trained models answered.

    Raises:
        RequestError: there is none, or they are something else.
    """
    if not pairs:
        raise RequestError(
            f"--claim {claim.id}: no two of its cells are in {listed(claim.tables())} at scale {plan.scale}; take a "
            "larger --scale"
        )
    stages = {plan.jobs[key].stage for pair in pairs for key in (*_keys(pair.better), *_keys(pair.worse))}
    units = list(units_of(pairs))
    if stages != {TRAINED} or units != [PERCENT]:
        fault = f"in {listed(units)}" if stages == {TRAINED} else "of instruction sets, which nothing is trained for"
        raise RequestError(
            f"--claim {claim.id}: found numbers {fault}; wanted shares, in percent, that trained models reach on "
            "benchmarks; `kit claims` judges it from what is in the store"
        )


def _keys(number: Number) -> tuple[str, ...]:
    """Return the gradings behind a number, one for each training seed."""
    assert number.cell is not None
    return number.cell.address.keys


def _model(jobs: Mapping[str, Job], key: str) -> str:
    """Return the key of the trained model that a grading is about."""
    inputs = jobs[jobs[key].inputs["completions"]].inputs
    return inputs.get("adapter", inputs["model"])


def _cell_pair(pair: Pair, keys: tuple[str, str], plan: Plan) -> CellPair:
    assert pair.better.source is not None
    return CellPair(
        better=pair.better,
        worse=pair.worse,
        better_key=keys[0],
        worse_key=keys[1],
        benchmark=pair.better.source.benchmark,
        column=pair.better.column,
        rows=int(plan.jobs[keys[0]].resources.get("rows", 0)),
    )


def _step(check: Average, seed: int, cells: Sequence[CellPair]) -> Step:
    """Return the step of one pair of models: its part, its replicate and its name."""
    first, other = cells[0].better, cells[0].worse
    shared = {axis: value for axis, value in first.at.items() if other.at.get(axis) == value}
    rest = {axis: value for axis, value in first.at.items() if axis not in check.over}
    part = ", ".join(filter(None, (first.table, coordinates_text(rest))))
    over = ", ".join(value_text(first.at[axis]) for axis in check.over)
    tables = list(dict.fromkeys((first.table, other.table)))
    name = ", ".join([*tables, *map(value_text, shared.values()), f"seed {seed + 1}"])
    whole = check.replicates == "whole"
    return Step(
        name=name,
        part=f"{part}, {over}" if whole and over else part,
        replicate=name if whole else over,
        seed=seed,
        cells=tuple(cells),
    )
