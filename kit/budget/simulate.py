"""Simulation of paths under a known truth: how often they end how, and what they cost."""

import math
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kit.budget.evidence import Observed
from kit.budget.expected import Expected, variance
from kit.budget.order import Block, Costs, by_part
from kit.budget.path import Rules, follow
from kit.budget.steps import Step
from kit.claims.evidence import FAILS, HOLDS, UNKNOWN, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """True mean difference of each step, and what runs add to it."""

    means: Mapping[str, float]
    """Name of a step -> its true difference, points."""
    replicate_spread: float = 0.0
    """Standard deviation between replicates, points: drawn once for each replicate of a path, for all its steps."""
    is_whole: bool = False
    """Whether the replicates are all there are: then what is drawn for them has the mean 0 in each path."""


def as_printed(steps: Sequence[Step]) -> Truth:
    """Return a truth in which each step has the difference that the paper prints, of every seed alike."""
    means = {}
    for step in steps:
        printed = [pair[0] - pair[1] for cell in step.cells if (pair := cell.printed)]
        means[step.name] = statistics.fmean(printed) if printed else 0.0
    return Truth(means=means)


def centred(steps: Sequence[Step]) -> Truth:
    """Return a truth with the printed differences less their mean: some steps lean one way, others the other way."""
    printed = as_printed(steps)
    whole = sum(len(step.cells) for step in steps)
    mean = math.fsum(len(step.cells) * printed.means[step.name] for step in steps) / whole
    return Truth(means={name: value - mean for name, value in printed.means.items()})


def of_parts(steps: Sequence[Step], *, is_whole: bool) -> Truth:
    """Return a truth without a difference on average, in which whole parts lean as the printed ones do.

    The steps of a part have one mean, and the rest of the printed spread is that between replicates.

    Args:
        steps: the steps.
        is_whole: whether the replicates are all there are, so that their mean is 0; else a sample of a population
            whose mean is 0.
    """
    printed, groups = centred(steps), by_part(steps)
    means, rest = {}, dict[str, list[float]]()
    for members in groups.values():
        mean = statistics.fmean(printed.means[step.name] for step in members)
        for step in members:
            means[step.name] = mean
            if step.seed == 0:
                rest.setdefault(step.replicate, []).append(printed.means[step.name] - mean)
    over = [statistics.fmean(values) for values in rest.values()]
    spread = statistics.stdev(over) if len(over) > 1 else 0.0
    return Truth(means=means, replicate_spread=spread, is_whole=is_whole)


def nothing(steps: Sequence[Step]) -> Truth:
    """Return a truth in which no step has a difference."""
    return Truth(means={step.name: 0.0 for step in steps})


@dataclass(slots=True)
class Ends:
    """Verdicts and hours of simulated paths."""

    verdicts: dict[Verdict, int] = field(default_factory=lambda: {HOLDS: 0, FAILS: 0, UNKNOWN: 0})
    hours: list[float] = field(default_factory=list)
    """Hours of each path."""

    @property
    def runs(self) -> int:
        """The number of paths that were simulated."""
        return len(self.hours)

    def share(self, verdict: Verdict) -> float:
        """Return the share of the paths that ended with this verdict."""
        return self.verdicts[verdict] / self.runs

    @property
    def mean_hours(self) -> float:
        """Mean hours of a path, decided or not."""
        return statistics.fmean(self.hours)


def walk(
    blocks: Sequence[Block], expected: Expected, rules: Rules, truth: Truth, source: random.Random
) -> tuple[Verdict, float]:
    """Return how one path ends under a truth, and its hours; only differences of steps are drawn, no items."""
    replicates = dict.fromkeys(step.replicate for block in blocks for step in block.steps)
    leans = {replicate: source.gauss(0.0, truth.replicate_spread) for replicate in replicates}
    middle = statistics.fmean(leans.values()) if truth.is_whole and leans else 0.0

    def read(block: Block) -> list[Observed]:
        """Draw what the steps of a block give."""
        seen = []
        for step in block.steps:
            mean = truth.means[step.name] + leans[step.replicate] - middle
            difference = source.gauss(mean, math.sqrt(variance(step)))
            seen.append(Observed(replicate=step.replicate, weight=len(step.cells), difference=difference))
        return seen

    verdict, spent = UNKNOWN, 0.0
    for look in follow(blocks, expected, rules, read):
        verdict, spent = look.verdict(rules.about, rules.alpha), look.spent
    return verdict, spent


def simulate(blocks: Sequence[Block], expected: Expected, rules: Rules, truth: Truth, *, runs: int, seed: int) -> Ends:
    """Return how so many paths over the same blocks end."""
    source, found = random.Random(seed), Ends()
    for _ in range(runs):
        verdict, hours = walk(blocks, expected, rules, truth, source)
        found.verdicts[verdict] += 1
        found.hours.append(hours)
    return found


def random_blocks(steps: Sequence[Step], costs: Costs, source: random.Random) -> list[Block]:
    """Return blocks with one step of each part, drawn at random, whatever they cost."""
    left = by_part(steps)
    for members in left.values():
        source.shuffle(members)
    done: set[str] = set()
    blocks = []
    for chosen in zip(*left.values(), strict=False):
        keys: list[str] = []
        for step in chosen:
            new = costs.left(step, done)
            done.update(new)
            keys += new
        blocks.append(Block(steps=chosen, hours=costs.of(keys), keys=tuple(keys)))
    return blocks
