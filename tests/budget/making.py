"""Steps, plans and studies made by hand for the tests of ``kit.budget``."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.budget.evidence import Observed
from kit.budget.order import Block
from kit.budget.steps import CellPair, Step
from kit.budget.study import Study, make_study
from kit.catalogue.scales import Hardware
from kit.claims.numbers import Number
from kit.measures import Measure
from kit.plan import CellAddress, Plan
from kit.report import Cell
from kit.store import Job, Store


def number(printed: float | None, column: str = "gsm8k") -> Number:
    """Return one side's number, which the paper prints so."""
    address = CellAddress(at={}, column=column, keys=())
    cell = Cell(address=address, result=None, reference=printed, measure=Measure())
    return Number(table="table-2", at={}, column=column, value=None, unit="percent", cell=cell)


def cell(better: float | None = None, worse: float | None = None, rows: int = 100, **fields: str) -> CellPair:
    """Return a pair of cells; ``fields`` are its keys, benchmark and column."""
    column = fields.get("column", "gsm8k")
    return CellPair(
        better=number(better, column),
        worse=number(worse, column),
        better_key=fields.get("better_key", "better"),
        worse_key=fields.get("worse_key", "worse"),
        benchmark=fields.get("benchmark", column),
        column=column,
        rows=rows,
    )


def step(name: str, part: str = "p", seed: int = 0, cells: Sequence[CellPair] | None = None) -> Step:
    """Return a step whose replicate is the first letter of its name and whose gradings are named after it."""
    own = cell(50.0, 50.0, better_key=f"{name} better", worse_key=f"{name} worse")
    return Step(name=name, part=part, replicate=name[0], seed=seed, cells=tuple(cells or [own]))


def seen(*differences: float, replicates: str = "abcdef", weights: Sequence[float] = ()) -> list[Observed]:
    """Return what the steps of a block gave, each of another replicate."""
    return [
        Observed(replicate=replicates[place], weight=weights[place] if weights else 1.0, difference=difference)
        for place, difference in enumerate(differences)
    ]


def block(*steps: Step, hours: float = 1.0) -> Block:
    """Return a block that has these steps."""
    return Block(steps=steps, hours=hours, keys=())


def plan_of(
    hours: Mapping[str, float], inputs: Mapping[str, Sequence[str]], *, gpus: int = 8
) -> tuple[Plan, dict[str, str]]:
    """Return a plan of jobs with these GPU-hours, each after its inputs, and the key of each job's name."""
    plan = Plan(scale="paper", hardware=Hardware(gpus=gpus, gpu_memory_gib=80, memory_gib=1, machine="m"))
    keys: dict[str, str] = {}
    for name, cost in hours.items():
        job = Job(
            id=name,
            stage="sft",
            version="1",
            environment="cpu",
            lock="",
            params={"name": name},
            inputs={each: keys[each] for each in inputs.get(name, ())},
            resources={"gpu_hours": cost, "wall_s": 7200 * cost},
        )
        keys[name] = job.key
        plan.jobs[job.key] = job
    return plan, keys


def study(claim: str, scale: str, folder: Path, seeds: int = 1) -> tuple[Study, Store]:
    """Return the study of a claim of the kit, with an empty store."""
    store = Store.open(folder / "store")
    return make_study(claim, scale, seeds, store), store
