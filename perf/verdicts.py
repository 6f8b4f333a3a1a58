"""Simulate verdicts and early stops on the paper's benchmarks: how often they are wrong, and what they can tell.

    python perf/verdicts.py [--repeats 600] [--runs 10000] [--spread 1.0] [--turned 0.10] [--as-shares]

Prints three Markdown tables, which docs/statistics.md keeps. For each benchmark column, n and the shares are those that
manifests/paper prints. A run: of its items, 2d are coins and the others are settled, so that a share d turns between
two runs of one model; all coins of a run lean to one side together, which moves its share by a standard deviation of
``--spread`` points. Both are stated for shares of 50 %, and scale with 4p(1 - p), as a shift in log odds does.
Ends with 1 if a share of wrong verdicts or wrong stops is above 5 % by more than three of its standard errors.
"""

import argparse
import math
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[0] = str(ROOT)  # this folder is no place to import from

from kit.catalogue import paper  # noqa: E402
from kit.comparing.intervals import Spread, pooled_spread  # noqa: E402
from kit.comparing.sequential import EProcess  # noqa: E402
from kit.comparing.shares import pooled_angles, spread_at  # noqa: E402
from kit.comparing.verdicts import WIDEST_SEED_SPREAD, decide, shares_of_own_items  # noqa: E402

ROUNDING = 0.005
"""Half of the last digit that the paper prints, points."""
CELLS = 12
"""Cells of one column whose spread is pooled: two evolvers and six base models."""
SEEDS = (1, 2, 3, 5)
"""Training seeds of ours, beside the paper's one."""
SHIFTS = (3.0, 6.0, 10.0)
"""True differences between our number and the paper's, points."""
ALPHA = 0.05
"""Share of wrong verdicts, and of wrong stops, that is promised."""
UNIT = 100.0
"""A share of 1 in percent."""


@dataclass(frozen=True)
class Column:
    """A benchmark's number: its name, units behind it, and all shares of it that the paper prints."""

    name: str
    n: int
    printed: tuple[float, ...]


@dataclass(frozen=True)
class Options:
    """Numbers of the command line: how much to simulate, and how two runs of one truth differ."""

    repeats: int
    runs: int
    spread: float
    """Standard deviation of what moves all items of a run together, points, for shares of 50 %."""
    turned: float
    """Share of items that turn between two runs of one model, for shares of 50 %."""
    margin: float
    seed: int
    as_shares: bool


@dataclass(frozen=True)
class Share:
    """A part of the simulated cells or runs, 0 to 1, with its standard error."""

    value: float
    stderr: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Share":
        """Return the mean over repeats; cells of one repeat share a spread, so the repeats are what is independent."""
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        return cls(statistics.fmean(values), spread / math.sqrt(len(values)))

    def text(self) -> str:
        """Return the share as percent with one digit."""
        return f"{UNIT * self.value:.1f}"


def columns() -> list[Column]:
    """Return the shares of n units that the paper's tables print, one column for each benchmark and way to count."""
    found: dict[str, tuple[int, list[float]]] = {}
    for name in paper.names():
        table = paper.table(name)
        for column in table.column:
            values = [row.values.get(column.id) for row in table.row]
            shares = [float(v) for v in values if isinstance(v, int | float) and 0 < v < UNIT]
            if column.benchmark and column.n and column.unit == "percent" and column.metric != "mean_score" and shares:
                words = (column.benchmark, column.metric, column.level, column.mode)
                known = found.setdefault(" ".join(dict.fromkeys(str(word) for word in words if word)), (column.n, []))
                known[1].extend(shares)
    return [Column(name, n, tuple(values)) for name, (n, values) in sorted(found.items())]


def draw(truth: np.ndarray, n: int, options: Options, runs: int, source: np.random.Generator) -> np.ndarray:
    """Return the shares of several runs of each truth, percent, shape (truths, runs)."""
    p = truth[:, None] / UNIT
    uneven = 4 * p * (1 - p)
    coins = np.round(2 * options.turned * uneven * n).astype(int)
    leans = source.normal(0.0, 1.0, (len(truth), runs)) * options.spread / UNIT / (2 * options.turned)
    right = source.binomial(coins, np.clip(0.5 + leans, 0, 1))
    return UNIT * np.clip(p * n - coins / 2 + right, 0, n).round() / n


def verdicts_of(
    ours: np.ndarray, theirs: Sequence[float], n: int, pooled: Spread | None, options: Options
) -> Iterator[str]:
    """Yield the verdict of each cell: with the pooled spread, or with the widest spread that anybody measured."""
    for runs, printed in zip(ours.tolist(), theirs, strict=True):
        reference = round(float(printed), 2)
        spread, items, widest = pooled, None, None
        if pooled and not options.as_shares:
            spread = spread_at(pooled, (statistics.fmean(runs) + reference) / 2, UNIT)
        if pooled is None:
            items, widest = shares_of_own_items(runs[0], reference, n, UNIT), WIDEST_SEED_SPREAD
        found = decide(
            runs, reference, margin=options.margin, rounding=ROUNDING, spread=spread, items=items, widest=widest
        )
        yield found.verdict


def spread_of(ours: np.ndarray, options: Options) -> Spread | None:
    """Return the spread pooled over cells, as angles or as shares, or None where there is none to see."""
    if ours.shape[1] < 2:
        return None
    found = pooled_spread(ours.tolist()) if options.as_shares else pooled_angles(ours.tolist(), UNIT)
    return found if found.value > 0 else None


def band(ours: np.ndarray, theirs: np.ndarray, n: int) -> np.ndarray:
    """Return 1.96 standard errors of the difference of two binomial shares of n items each, points."""
    return 1.96 * np.sqrt((ours * (UNIT - ours) + theirs * (UNIT - theirs)) / n) + ROUNDING


def simulate(column: Column, seeds: int, options: Options, source: np.random.Generator) -> dict[str, Share]:
    """Return how large a part of the cells gets each verdict, by ``<verdict> <shift>``.

    With one seed: ``off`` by the widest spread that anybody measured, ``other cells`` by a spread that twelve other
    cells with two seeds gave, ``band`` by the unpaired binomial band of two runs that have items of their own.
    """
    parts: dict[str, list[float]] = {}
    for _ in range(options.repeats):
        truth = source.choice(column.printed, CELLS)
        ours = draw(truth, column.n, options, seeds, source)
        spread = spread_of(ours, options)
        others = draw(source.choice(column.printed, CELLS), column.n, options, 2, source) if seeds == 1 else ours
        for shift in (0.0, *SHIFTS):
            moved = np.where(truth < UNIT / 2, truth + shift, truth - shift)
            theirs = draw(moved, column.n, options, 1, source)[:, 0]
            found = list(verdicts_of(ours, theirs, column.n, spread, options))
            words = {f"{verdict} {shift:g}": found.count(verdict) for verdict in ("off", "match")}
            if seeds == 1:
                borrowed = list(verdicts_of(ours, theirs, column.n, spread_of(others, options), options))
                beyond = np.abs(ours[:, 0] - theirs) > band(ours[:, 0], theirs, column.n)
                words |= {f"other cells {shift:g}": borrowed.count("off"), f"band {shift:g}": int(beyond.sum())}
            for word, count in words.items():
                parts.setdefault(word, []).append(count / CELLS)
    return {word: Share.of(values) for word, values in parts.items()}


def stops(  # noqa: PLR0917
    n: int, gap: float, runs: int, setting: str, options: Options, source: np.random.Generator
) -> tuple[Share, float]:
    """Return the share of runs of an e-process that stop, and the mean part of the items that those had seen.

    Args:
        n: items.
        gap: difference of the two shares, 0 to 1; at least half as many items more turn.
        runs: number of simulated runs.
        setting: ``drawn``: each item on its own; ``fixed``: exactly so many items of each kind, in random order.
        options: what to simulate.
        source: of random numbers.
    """
    turned = max(options.turned, 1.5 * gap)
    seen: list[float] = []
    for _ in range(runs):
        if setting == "fixed":
            wins, losses = round(n * (turned + gap) / 2), round(n * (turned - gap) / 2)
        else:
            wins, losses, _ = source.multinomial(n, [(turned + gap) / 2, (turned - gap) / 2, 1 - turned])
        signs = np.repeat([1, -1], [wins, losses])
        source.shuffle(signs)
        process = EProcess(ALPHA)
        for count, sign in enumerate(signs.tolist(), 1):  # items that did not turn leave wealth and bet as they are
            process.update(sign)
            if process.has_stopped:
                seen.append(count / len(signs))
                break
    part = len(seen) / runs
    return Share(part, math.sqrt(part * (1 - part) / runs)), statistics.fmean(seen or [math.nan])


def print_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a Markdown table."""
    print("", f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |", sep="\n")
    for row in rows:
        print(f"| {' | '.join(row)} |", flush=True)


def verdict_tables(found: Sequence[Column], options: Options) -> list[Share]:
    """Print how often cells are off for one truth and for truths that differ; return the shares that are to be 5 %."""
    source = np.random.default_rng(options.seed)
    wrong, powers, promised = [], [], []
    for column in found:
        by_seeds = {seeds: simulate(column, seeds, options, source) for seeds in SEEDS}
        one = by_seeds[1]
        ways: Mapping[str, tuple[Mapping[str, Share], str]] = {
            "1, none known": (one, "off"),
            "1, of other cells": (one, "other cells"),
            **{str(seeds): (by_seeds[seeds], "off") for seeds in SEEDS[1:]},
        }
        off = [shares[f"{word} 0"] for shares, word in ways.values()]
        promised += off
        printed = f"{min(column.printed):.1f} to {max(column.printed):.1f}"
        matches = [by_seeds[seeds]["match 0"].text() for seeds in SEEDS[1:]]
        head = [column.name, f"{column.n:,}"]
        wrong.append([*head, printed, one["band 0"].text(), *(share.text() for share in off), *matches])
        told = [
            " / ".join(f"{UNIT * shares[f'{word} {shift:g}'].value:.0f}" for shift in SHIFTS)
            for shares, word in ways.values()
        ]
        powers.append([*head, *told])
    names = ["1 seed, none known", "1, of other cells", *(f"{seeds} seeds" for seeds in SEEDS[1:])]
    matched = [f"match, {seeds} seeds" for seeds in SEEDS[1:]]
    print_table(["number", "n", "printed, %", "off, item band", *(f"off, {name}" for name in names), *matched], wrong)
    print_table(["off, %, at 3 / 6 / 10 points", "n", *names], powers)
    return promised


def stop_table(found: Sequence[Column], options: Options) -> list[Share]:
    """Print how often an e-process stops, where nothing differs and where something does; return the first shares."""
    source = np.random.default_rng(options.seed + 1)
    sizes: dict[int, dict[str, None]] = {}
    for column in found:
        sizes.setdefault(column.n, {})[column.name.split()[0]] = None
    rows, promised = [], []
    for n, names in sorted(sizes.items()):
        wrong = [stops(n, 0.0, options.runs, setting, options, source)[0] for setting in ("drawn", "fixed")]
        promised += wrong
        right = [stops(n, shift / UNIT, options.runs // 20, "fixed", options, source) for shift in SHIFTS]
        told = [f"{UNIT * share.value:.0f}, {UNIT * seen:.0f}" if share.value else "0, -" for share, seen in right]
        rows.append([", ".join(names), f"{n:,}", *(f"{UNIT * share.value:.2f}" for share in wrong), *told])
    heads = [f"{shift:g} points: stops %, items seen %" for shift in SHIFTS]
    print_table(["benchmark", "n", "wrong stops %, items drawn", "wrong stops %, fixed items", *heads], rows)
    return promised


def main() -> int:
    """Simulate, print, and return 0 if no share of wrong verdicts or wrong stops is above what was promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=600, help="columns of 12 cells for each number of seeds")
    parser.add_argument("--runs", type=int, default=10_000, help="runs of the e-process where nothing differs")
    parser.add_argument("--spread", type=float, default=1.0, help="points by which all items of a run move together")
    parser.add_argument("--turned", type=float, default=0.10, help="share of items that turn between two runs")
    parser.add_argument("--margin", type=float, default=2.0, help="margin of a match, points")
    parser.add_argument("--seed", type=int, default=13, help="seed of all draws")
    parser.add_argument("--as-shares", action="store_true", help="pool the spread of shares as they are, not as angles")
    options = Options(**vars(parser.parse_args()))
    print(", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in asdict(options).items()))
    found = columns()
    promised = verdict_tables(found, options) + stop_table(found, options)
    above = sum(share.value > ALPHA + 3 * share.stderr for share in promised)
    worst = max(share.value for share in promised)
    print(f"\n{len(promised)} shares of wrong verdicts and stops, the highest {UNIT * worst:.1f} %;", end=" ")
    print(f"{above} above 5 % by more than three standard errors")
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
