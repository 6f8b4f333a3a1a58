"""The path to a decision: block after block until the evidence suffices or the hours are spent."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from kit.budget.evidence import Models, Observed, Runs
from kit.budget.expected import Expected
from kit.budget.order import Block
from kit.claims.evidence import FAILS, HOLDS, UNKNOWN, Verdict

About: TypeAlias = Literal["runs", "models"]
ABOUT: tuple[About, ...] = ("runs", "models")
"""Subjects of a decision: training runs like these, or the very models that were trained."""
Read: TypeAlias = Callable[[Block], Sequence[Observed]]
"""Function that has a block's jobs run and returns what each of its steps gave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The evidence on both questions after one block."""

    number: int
    """Number of the block, from 1."""
    block: Block
    seen: tuple[Observed, ...]
    spent: float
    """Estimated hours so far."""
    runs: Mapping[int, float]
    """Sign -> evidence about training runs like these."""
    models: Mapping[int, float]
    """Sign -> evidence about the models that were trained."""

    @property
    def is_of_first_seeds(self) -> bool:
        """Whether no step of the block repeats a setting with another training seed."""
        return all(step.seed == 0 for step in self.block.steps)

    def evidence(self, about: About) -> Mapping[int, float]:
        """Return the evidence by which the claim is decided."""
        return self.runs if about == "runs" else self.models

    def verdict(self, about: About, alpha: float) -> Verdict:
        """Return what the evidence allows to say after this block."""
        found = self.evidence(about)
        reached = [sign for sign in found if found[sign] >= 1 / alpha]
        if not reached:
            return UNKNOWN
        return HOLDS if max(reached, key=found.__getitem__) > 0 else FAILS


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Rules by which a path stops."""

    alpha: float
    """Probability of a wrong stop that is accepted, on either side."""
    budget: float
    """Hours that may be spent."""
    about: About = "runs"


def follow(blocks: Sequence[Block], expected: Expected, rules: Rules, read: Read) -> Iterator[Look]:
    """Yield the evidence after each block, until it decides, or the next block does not fit into the budget.

    Args:
        blocks: the blocks in their order, fixed before.
        expected: what the printed numbers let expect, for the bets.
        rules: when to stop.
        read: has a block's jobs run, and returns what each of its steps gave.
    """
    runs, models = Runs(expected), Models(sum(len(block.steps) for block in blocks), rules.alpha)
    spent = 0.0
    for number, block in enumerate(blocks, 1):
        if not fits(spent, block, rules.budget):
            return
        seen = tuple(read(block))
        spent += block.hours
        runs.update(seen)
        models.update([step.name for step in block.steps], seen)
        look = Look(number=number, block=block, seen=seen, spent=spent, runs=dict(runs.wealth), models=models.wealth)
        yield look
        if look.verdict(rules.about, rules.alpha) != UNKNOWN:
            return


def fits(spent: float, block: Block, budget: float) -> bool:
    """Return whether a block may begin: what it costs fits into what is left, but for errors of rounding."""
    return spent + block.hours <= budget * (1 + 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ahead:
    """Blocks and hours that are left of a claim that is not decided."""

    blocks: int
    """Blocks that are left."""
    hours: float
    """Hours of them all."""
    next_hours: float
    """Hours of the next one; 0 where none is left."""
    wanted: int | None
    """Blocks after which the evidence is expected to decide, if the truth is what the paper prints; None if more than
    there are, or if the paper prints no difference."""
    wanted_hours: float


def ahead(blocks: Sequence[Block], done: int, evidence: Mapping[int, float], expected: Expected, alpha: float) -> Ahead:
    """Return what is left after so many blocks, and how far the printed difference would lead.

    A bet ``l`` on a step whose counted difference has the mean ``m`` and the mean square ``q`` adds ``l m - l^2 q / 2``
    to the log evidence, to second order; with the best bet that is ``m^2 / 2q``.
    """
    left = blocks[done:]
    mean = min(1.0, abs(expected.effect) / expected.scale)
    growth = mean * mean / (2 * (mean * mean + (expected.noise / expected.scale) ** 2))
    log = math.log(max(evidence.get(1 if expected.effect > 0 else -1, 1.0), 1e-300))
    wanted, hours = None, 0.0
    for number, block in enumerate(left, 1):
        hours += block.hours
        log += growth * len({step.replicate for step in block.steps})
        if growth and log >= math.log(1 / alpha):
            wanted = number
            break
    return Ahead(
        blocks=len(left),
        hours=sum(block.hours for block in left),
        next_hours=left[0].hours if left else 0.0,
        wanted=wanted,
        wanted_hours=hours if wanted else 0.0,
    )
