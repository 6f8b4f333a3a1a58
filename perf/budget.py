"""Simulate `kit verify --budget` on the paper's numbers: hours until a claim is decided, and how often that is wrong.

    python perf/budget.py [--runs 10000] [--seeds 3] [--claims evol-instruct-qwen,...] [--items 1000]

Prints three Markdown tables, which docs/budget.md keeps. Nothing is run: the plans are those of scale `paper`, with the
hours that `kit plan` estimates, and the differences of steps are drawn. Their noise is that of two training seeds with
the widest spread that anybody measured, and of items that the two sides answer independently of each other at the
shares that the paper prints (kit.budget.expected). Ends with 1 if a share of wrong stops is above alpha by more than
three of its standard errors.
"""

import argparse
import math
import random
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this folder is no place to import from

from kit.budget.evidence import Models, Observed  # noqa: E402
from kit.budget.expected import WHOLE  # noqa: E402
from kit.budget.order import Block, plan_blocks  # noqa: E402
from kit.budget.path import Rules  # noqa: E402
from kit.budget.simulate import (  # noqa: E402
    Ends,
    Truth,
    as_printed,
    centred,
    nothing,
    of_parts,
    random_blocks,
    simulate,
    walk,
)
from kit.budget.steps import Step  # noqa: E402
from kit.budget.study import Study, make_study  # noqa: E402
from kit.catalogue.claims import read_claims  # noqa: E402
from kit.claims.evidence import FAILS, HOLDS  # noqa: E402
from kit.comparing.verdicts import WIDEST_SEED_SPREAD  # noqa: E402
from kit.errors import RequestError  # noqa: E402
from kit.store import Store  # noqa: E402

ALPHA = 0.05
PLENTY = 1e9
"""Hours that are always enough."""


@dataclass(frozen=True)
class Options:
    """Numbers of the command line."""

    runs: int
    seeds: int
    items: int
    claims: Sequence[str]


def studies(options: Options) -> list[Study]:
    """Return the studies of the claims at scale paper, with an empty store; those that steps can't decide are none."""
    found = []
    names = options.claims or [claim.id for claim in read_claims().claim if claim.average]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store")
        for name in names:
            try:
                found.append(make_study(name, "paper", options.seeds, store))
            except RequestError as error:
                print(f"left out: {error}", file=sys.stderr)
    return found


def randomly(study: Study, truth: Truth, options: Options) -> Ends:
    """Return how paths end whose steps are drawn at random, each path in an order of its own."""
    source, found = random.Random(1), Ends()
    for _ in range(max(1, options.runs // 10)):
        blocks = random_blocks(study.steps, study.costs, source)
        verdict, hours = walk(blocks, study.expected, Rules(alpha=ALPHA, budget=PLENTY), truth, source)
        found.verdicts[verdict] += 1
        found.hours.append(hours)
    return found


def planned(study: Study, truth: Truth, options: Options) -> Ends:
    """Return how paths end in the planned order."""
    return over(study, study.blocks, truth, options)


def of_first_seeds(study: Study) -> list[Block]:
    """Return the blocks of the first training seed: each setting once."""
    return [block for block in study.blocks if all(step.seed == 0 for step in block.steps)]


def over(study: Study, blocks: Sequence[Block], truth: Truth, options: Options) -> Ends:
    """Return how paths over some blocks end."""
    rules = Rules(alpha=ALPHA, budget=PLENTY)
    return simulate(blocks, study.expected, rules, truth, runs=options.runs, seed=1)


def without_blocks(study: Study, truth: Truth, options: Options) -> Ends:
    """Return how paths end that take the cheapest information of any part first, and look after each step."""
    steps = [replace(step, part="all") for step in study.steps]
    blocks = plan_blocks(steps, study.costs, study.expected.effect)
    rules = Rules(alpha=ALPHA, budget=PLENTY)
    return simulate(blocks, study.expected, rules, truth, runs=max(1, options.runs // 10), seed=1)


def hours_table(found: Sequence[Study], options: Options) -> None:
    """Print for each claim how many hours its decision takes, against random order and everything."""
    print("| claim | effect | noise | one seed | all seeds | planned | holds | random | holds |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for study in found:
        one_seed, truth = sum(block.hours for block in of_first_seeds(study)), as_printed(study.steps)
        ours, others = planned(study, truth, options), randomly(study, truth, options)
        print(
            f"| {study.claim.id} | {study.expected.effect:+.2f} | {study.expected.noise:.2f} | {one_seed:,.0f} | "
            f"{study.hours:,.0f} | {ours.mean_hours:,.0f} | {share(ours.share(HOLDS))} | {others.mean_hours:,.0f} | "
            f"{share(others.share(HOLDS))} |"
        )
    print()


def share(value: float) -> str:
    """Return a share as percent with one digit."""
    return f"{WHOLE * value:.1f}"


def too_many(value: float, runs: int) -> bool:
    """Return whether a share of wrong stops is above alpha by more than three standard errors."""
    return value > ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / runs)


def wrong_table(found: Sequence[Study], options: Options) -> bool:
    """Print how often paths stop wrongly where no difference is there on average; return whether that is too often.

    Promised are the first four columns; the last two show what would go wrong without blocks, and what is not promised.
    """
    heads = ("none differs", "each step leans", "these bases lean", "such bases lean, 1 seed")
    print(f"| claim | {' | '.join(heads)} | these bases lean, no blocks | such bases lean, all seeds |")
    print("| --- | " + " | ".join(["---:"] * 6) + " |")
    failed = False
    for study in found:
        these, such = (of_parts(study.steps, is_whole=is_whole) for is_whole in (True, False))
        promised = [planned(study, truth, options) for truth in (nothing(study.steps), centred(study.steps), these)]
        promised.append(over(study, of_first_seeds(study), such, options))
        failed |= any(too_many(ends.share(verdict), ends.runs) for ends in promised for verdict in (HOLDS, FAILS))
        ends = [*promised, without_blocks(study, these, options), planned(study, such, options)]
        cells = [f"{share(one.share(HOLDS))}, {share(one.share(FAILS))}" for one in ends]
        print(f"| {study.claim.id} | {' | '.join(cells)} |", flush=True)
    print()
    return failed


def items_table(study: Study, options: Options) -> bool:
    """Print how often evidence about the models at hand decides, by what it is taken for; return whether too often."""
    steps = [step for step in study.steps if step.seed == 0]
    print(f"{study.claim.id}, {len(steps)} pairs of models, {options.items:,} paths:\n")
    print("| truth | stops for a side |\n| --- | ---: |")
    failed = False
    for name, spread in (("no pair of models differs", 0.0), ("seeds spread, the mean over them is 0", 1.0)):
        source, stops = random.Random(1), 0
        for _ in range(options.items):
            models = Models(len(steps), ALPHA)
            seen = [items_of(step, spread, source) for step in steps]
            models.update([step.name for step in steps], seen)
            stops += max(models.wealth.values()) >= 1 / ALPHA
        value = stops / options.items
        failed |= not spread and too_many(value, options.items)
        print(f"| {name} | {share(value)} |")
    print()
    return failed


def items_of(step: Step, spread: float, source: random.Random) -> Observed:
    """Draw the items of a step: its models differ by two training seeds, and in items of their own."""
    items = {}
    for benchmark in step.benchmarks:
        cell = next(cell for cell in step.cells if cell.benchmark == benchmark)
        better, worse = (value / WHOLE for value in cell.printed or (50.0, 50.0))
        discordant = better * (1 - worse) + worse * (1 - better)
        lean = source.gauss(0.0, spread * math.sqrt(2) * WIDEST_SEED_SPREAD.value) / WHOLE
        weights = [(discordant + lean) / 2, (discordant - lean) / 2, 1 - discordant]
        drawn = source.choices((1.0, -1.0, 0.0), [max(0.0, weight) for weight in weights], k=cell.rows)
        items[benchmark] = {str(number): value for number, value in enumerate(drawn)}
    return Observed(replicate=step.replicate, weight=len(step.cells), difference=0.0, items=items)


def main() -> int:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--items", type=int, default=1000)
    parser.add_argument("--claims", default="")
    given = parser.parse_args()
    claims = [name for name in given.claims.split(",") if name]
    options = Options(given.runs, given.seeds, given.items, claims)
    found = studies(options)
    hours_table(found, options)
    failed = wrong_table(found, options)
    code = [study for study in found if study.claim.id == "evol-instruct-code"]
    failed |= any(items_table(study, options) for study in code)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
