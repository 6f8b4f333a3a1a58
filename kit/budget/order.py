"""The order of steps, in blocks with one step of each part: the most information per hour first.

It is fixed before the first result, from costs and printed numbers alone.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from kit.budget.expected import information
from kit.budget.steps import Step
from kit.plan import Plan
from kit.store import Job

FREE_HOURS = 1e-6
"""Hours that a step is taken to cost at least, so that what is in the store comes first, most informative first."""
SECONDS_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Steps after which the evidence is looked at: one of each part."""

    steps: tuple[Step, ...]
    hours: float
    """Estimated cost of those of its jobs that neither the store nor an earlier block has."""
    keys: tuple[str, ...]
    """Keys of those jobs, in the order of the plan."""


def in_gpu_hours(plan: Plan) -> bool:
    """Return whether a plan's hours are those of GPUs; else of CPUs, as the cost estimate counts them."""
    return plan.hardware.gpus > 0


def hours_of(job: Job, *, gpus: bool) -> float:
    """Return the estimated GPU-hours of a job, or its CPU-hours where the scale has no GPU."""
    if gpus:
        return float(job.resources.get("gpu_hours", 0))
    return float(job.resources.get("wall_s", 0)) / SECONDS_PER_HOUR


class Costs:
    """Costs of steps, given the jobs that are done."""

    def __init__(self, plan: Plan, steps: Sequence[Step], known: Collection[str]) -> None:
        gpus = in_gpu_hours(plan)
        self.order = {key: place for place, key in enumerate(plan.jobs)}
        self.hours = {key: hours_of(job, gpus=gpus) for key, job in plan.jobs.items()}
        self.needs = {step.name: self._needs(plan, step, known) for step in steps}

    @staticmethod
    def _needs(plan: Plan, step: Step, known: Collection[str]) -> frozenset[str]:
        """Return the jobs that a step needs and that are not known; what only a known job needs is not needed."""
        found: set[str] = set()
        waiting = list(step.keys)
        while waiting:
            key = waiting.pop()
            if key not in found and key not in known:
                found.add(key)
                waiting.extend(plan.jobs[key].inputs.values())
        return frozenset(found)

    def left(self, step: Step, done: Collection[str]) -> list[str]:
        """Return the jobs of a step that are not done, in the order of the plan."""
        return sorted((key for key in self.needs[step.name] if key not in done), key=self.order.__getitem__)

    def of(self, keys: Sequence[str]) -> float:
        """Return the hours of some jobs."""
        return sum(self.hours[key] for key in keys)


def plan_blocks(steps: Sequence[Step], costs: Costs, effect: float, kept: Sequence[Sequence[str]] = ()) -> list[Block]:
    """Return the blocks in their order, until a part has no step left.

    First come the blocks that an earlier call kept (ids of their steps), as far as the steps are the same.

    In each block, each part gives the step with the most information per hour (:func:`kit.budget.expected.information`,
    and jobs that are done or that an earlier step needs cost nothing), among those of the lowest training seed: another
    replicate comes before another seed. Steps of one block are of different replicates where there are enough.
    """
    left = by_part(steps)
    done: set[str] = set()
    blocks: list[Block] = []
    known = _known(steps, kept)
    while all(left.values()):
        chosen: list[Step] = []
        keys: list[str] = []
        for part, candidates in left.items():
            taken = {step.replicate for step in chosen}
            step = known[len(blocks)].get(part) if len(blocks) < len(known) else None
            step = step or _best(candidates, taken, costs, done, effect)
            candidates.remove(step)
            chosen.append(step)
            new = costs.left(step, done)
            done.update(new)
            keys += new
        in_order = tuple(sorted(keys, key=costs.order.__getitem__))
        blocks.append(Block(steps=tuple(chosen), hours=costs.of(in_order), keys=in_order))
    return blocks


def _known(steps: Sequence[Step], kept: Sequence[Sequence[str]]) -> list[dict[str, Step]]:
    """Return the kept blocks whose steps are all among these, by part, up to the first that has another."""
    ids, parts = {step.id: step for step in steps}, {step.part for step in steps}
    found: list[dict[str, Step]] = []
    used = set[str]()
    for block in kept:
        members = {ids[id].part: ids[id] for id in block if id in ids and id not in used}
        if members.keys() != parts or len(block) != len(parts):
            break
        found.append(members)
        used.update(block)
    return found


def by_part(steps: Sequence[Step]) -> dict[str, list[Step]]:
    """Return the steps by their part, in the order given."""
    found: dict[str, list[Step]] = {}
    for step in steps:
        found.setdefault(step.part, []).append(step)
    return found


def _best(
    candidates: Sequence[Step], taken: Collection[str], costs: Costs, done: Collection[str], effect: float
) -> Step:
    """Return the step of a part that tells most per hour, of the lowest seed and of a replicate not yet taken."""
    seed = min(step.seed for step in candidates)
    lowest = [step for step in candidates if step.seed == seed]
    fresh = [step for step in lowest if step.replicate not in taken] or lowest

    def value(step: Step) -> float:
        return information(step, effect or 1.0) / max(FREE_HOURS, costs.of(costs.left(step, done)))

    return max(fresh, key=value)  # the first of several


def expected_costs(blocks: Sequence[Block]) -> Mapping[int, float]:
    """Return the hours that the first so many blocks cost together, by their number."""
    found, total = {0: 0.0}, 0.0
    for number, block in enumerate(blocks, 1):
        total += block.hours
        found[number] = total
    return found
