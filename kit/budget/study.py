"""A claim that is to be decided: its steps and blocks, and what runs them."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from kit.budget.evidence import Observed
from kit.budget.expected import Expected, expected
from kit.budget.grades import observe
from kit.budget.kept import read_order
from kit.budget.order import Block, Costs, in_gpu_hours, plan_blocks
from kit.budget.path import fits
from kit.budget.steps import Step, find_claim, steps_of
from kit.catalogue.claims import Claim, read_claims
from kit.claims.items import Items
from kit.errors import KitError, RequestError, listed, shown
from kit.plan import Plan
from kit.plan.planning import plan_tables
from kit.report import make_grid
from kit.run.execute import Listener, Outcome, execute
from kit.run.launch import Options
from kit.run.needs import to_run
from kit.store import Job, Store

MOST_SEEDS = 20
"""Most training seeds of one experiment; each of them is planned, whether it is needed or not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A claim, and all that could be run to decide it, in order."""

    claim: Claim
    plan: Plan
    steps: list[Step]
    expected: Expected
    costs: Costs
    blocks: list[Block]

    @property
    def unit(self) -> str:
        """The unit of the hours: of GPUs, or of CPUs where the scale has no GPU."""
        return "GPU-hours" if in_gpu_hours(self.plan) else "CPU-hours"

    @property
    def hours(self) -> float:
        """Hours that all blocks cost together."""
        return sum(block.hours for block in self.blocks)

    def jobs(self, blocks: Sequence[Block]) -> list[Job]:
        """Return the jobs of some blocks that the store lacked, in the order of the plan."""
        keys = {key for block in blocks for key in block.keys}
        return [job for key, job in self.plan.jobs.items() if key in keys]

    def affordable(self, budget: float) -> list[Block]:
        """Return the first blocks that fit into a budget together."""
        spent, found = 0.0, list[Block]()
        for block in self.blocks:
            if not fits(spent, block, budget):
                break
            spent += block.hours
            found.append(block)
        return found


def check_request(budget: float, seeds: int) -> None:
    """Check the numbers that a user gives for a study.

    Raises:
        RequestError: the hours are no number of 0 or more, or the seeds are too few or too many.
    """
    if not (math.isfinite(budget) and budget >= 0):
        raise RequestError(f"--budget: found {shown(budget)}, wanted hours, 0 or more; 0 uses what the store has")
    if not 1 <= seeds <= MOST_SEEDS:
        raise RequestError(f"--seeds: found {shown(seeds)}, wanted 1 to {MOST_SEEDS} training seeds of each setting")


def make_study(id: str, scale: str, seeds: int, store: Store) -> Study:
    """Return the study of a claim at a scale, with what the store has at no cost.

    Raises:
        RequestError: there is no such claim or scale, or steps can't decide the claim.
        KitError: the order that an earlier call kept can't be read.
    """
    claim, check = find_claim(read_claims(), id)
    plan = plan_tables(claim.tables(), scale, seeds)
    unseen = Store(store.root / "nothing")  # what is planned may depend on no result
    grids = {name: make_grid(name, plan, unseen) for name in plan.tables}
    steps = steps_of(claim, check, plan, grids)
    kept = read_order(store, claim.id, plan.scale)
    return study_of(claim, plan, steps, {key for key in plan.jobs if store.has(key)}, kept)


def study_of(
    claim: Claim, plan: Plan, steps: list[Step], known: Collection[str], kept: Sequence[Sequence[str]] = ()
) -> Study:
    """Return the study of a claim's steps, where some jobs of the plan are done.

    Args:
        claim: the claim.
        plan: plan of its tables.
        steps: its steps.
        known: keys of the jobs that are done.
        kept: ids of the steps of each block that an earlier call kept.
    """
    wanted, costs = expected(steps), Costs(plan, steps, known)
    blocks = plan_blocks(steps, costs, wanted.effect, kept)
    return Study(claim=claim, plan=plan, steps=steps, expected=wanted, costs=costs, blocks=blocks)


class Runner:
    """Runs the jobs of one block after another, and reads what their steps gave."""

    def __init__(self, study: Study, store: Store, options: Options, listen: Listener) -> None:
        self.study = study
        self.store = store
        self.options = options
        self.listen = listen
        self.outcomes: list[Outcome] = []
        """How the jobs of each block ended, in order."""

    def __call__(self, block: Block) -> list[Observed]:
        """Run the jobs of a block that the store lacks, and return what each of its steps gave.

        Raises:
            KitError: a job failed; what is done stays, and the same request goes on from there.
        """
        jobs = {job.key: job for job in self.study.jobs([block])}
        if jobs:  # and what gave back the files that they need
            plan = self.study.plan
            needed = plan.needs(jobs)
            there = {key: job for key, job in plan.jobs.items() if key in needed}
            jobs = {key: there[key] for key in to_run(there, self.store)}
            outcome = execute(jobs, self.store, self.options, self.listen)
            self.outcomes.append(outcome)
            if outcome.failed or outcome.blocked:
                names = listed([jobs[key].id for key in outcome.failed]) or "none by itself"
                reason = next(iter(outcome.failed.values()), "a job waits for one that is not part of the run")
                raise KitError(f"failed: {names}: {reason}")
        items = Items(self.store)
        return [observe(step, items) for step in block.steps]
