"""``kit verify --budget``: decide one claim within so many hours, block by block, and print the path."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kit.cli import check_mirror, say, say_json, store_to_plan
from kit.errors import KitError, RequestError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from kit.budget.path import Look, Rules
    from kit.budget.study import Study
    from kit.run.execute import Listener
    from kit.run.launch import Options

Budget = Annotated[
    float | None,
    typer.Option("--budget", help="Decide --claim within so many GPU-hours (CPU-hours where a scale has no GPU)"),
]
ClaimName = Annotated[
    str, typer.Option("--claim", help="With --budget: id of the claim, as `kit claims --json` has it")
]
Seeds = Annotated[int, typer.Option("--seeds", help="With --budget: training seeds that may be used")]
Alpha = Annotated[float, typer.Option("--alpha", help="With --budget: probability of a wrong stop that is accepted")]
AboutWhat = Annotated[
    str,
    typer.Option("--about", help="With --budget: decide about `runs` like these, or about these `models` alone"),
]
Simulate = Annotated[
    int, typer.Option("--simulate", help="With --budget: run nothing, simulate so many paths on the printed numbers")
]
SEEDS = 3
"""Training seeds that may be used, by default."""
ALPHA = 0.05
"""Probability of a wrong stop that is accepted, by default."""
EXIT_CODES = {"holds": 0, "does not hold": 1, "cannot tell": 3}
"""Verdict -> exit code, as in `kit verify`."""
STYLES = {"holds": "green", "does not hold": "bold red", "cannot tell": "yellow"}
"""Verdict -> its colour."""
MOST_SIMULATED = 1_000_000
"""Most paths that one command simulates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The options of ``kit verify`` that belong to a budget."""

    budget: float | None
    claim: str
    scale: str
    store: Path
    mirror: Path | None
    runtime: str
    about: str = "runs"
    seeds: int = SEEDS
    alpha: float = ALPHA
    simulate: int = 0
    json: bool = False
    dry_run: bool = False
    yes: bool = False
    unsafe: bool = False

    @property
    def is_asked_for(self) -> bool:
        """Whether any of the options is given."""
        return (
            self.budget is not None
            or any((self.claim, self.simulate, self.dry_run, self.yes, self.mirror, self.unsafe))
            or (self.about, self.seeds, self.alpha, self.runtime) != ("runs", SEEDS, ALPHA, "local")
        )


def decide(asked: Request, others: Sequence[str]) -> None:
    """Decide a claim within a budget, or show how it would be done; exits with the verdict's code.

    Args:
        asked: the options.
        others: names of further arguments of ``kit verify`` that are given, which do not go with a budget.

    Raises:
        RequestError: an option is missing, wrong or does not go with the others; or what `kit reproduce` refuses.
    """
    from kit.budget.path import Rules
    from kit.budget.study import make_study

    budget, about = check_options(asked, others)
    store = store_to_plan(asked.store)
    study = make_study(asked.claim, asked.scale, asked.seeds, store)
    rules = Rules(alpha=asked.alpha, budget=budget, about=about)
    if asked.simulate:
        say_simulated(study, rules, asked.simulate)
    elif asked.dry_run:
        say_plan(study, rules, json=asked.json)
    else:
        sys.exit(EXIT_CODES[run_study(study, rules, asked)])


def check_options(asked: Request, others: Sequence[str]) -> "tuple[float, Any]":
    """Return the hours, and what is to be decided about, after a check of all options.

    Raises:
        RequestError: an option is missing, wrong, or does not go with the others.
    """
    from kit.budget.evidence import check_alpha
    from kit.budget.path import ABOUT
    from kit.budget.study import check_request
    from kit.plan.options import check_choice

    if asked.budget is None or not asked.claim:
        found, wanted = ("--claim", "--budget HOURS") if asked.claim else ("--budget", "--claim ID")
        if asked.budget is None and not asked.claim:
            found, wanted = "--dry-run, --yes, --simulate, --seeds and the like", "--budget HOURS and --claim ID"
        raise RequestError(f"{found}: wanted {wanted} as well; `kit claims` lists the claims")
    if others:
        raise RequestError(
            f"--budget: decides one claim, whose tables it knows; leave out {', '.join(others)}, or call "
            "`kit verify` without --budget"
        )
    check_request(asked.budget, asked.seeds)
    check_alpha(asked.alpha)
    check_choice("--about", asked.about, ABOUT)
    if not 0 <= asked.simulate <= MOST_SIMULATED:
        raise RequestError(
            f"--simulate: found {asked.simulate:,}, wanted a number of paths, {MOST_SIMULATED:,} at most"
        )
    if asked.simulate and asked.about != "runs":
        raise RequestError("--simulate: draws no items, which --about models is decided by; take --about runs")
    if asked.simulate and (asked.json or asked.dry_run):
        other = "--json" if asked.json else "--dry-run"
        raise RequestError(f"--simulate: prints lines on paths that are drawn; leave out {other}")
    check_mirror(asked.mirror)
    return asked.budget, asked.about


def run_study(study: "Study", rules: "Rules", asked: Request) -> str:
    """Run blocks until the claim is decided or the budget is spent, print the path, and return the verdict."""
    from kit.budget.kept import keep_order
    from kit.budget.path import Look, follow
    from kit.budget.study import Runner
    from kit.report import terminal
    from kit.store import Store

    console = terminal.console()
    options = prepare(study, rules, asked)
    store, path = Store.open(asked.store), list[Look]()
    keep_order(store, study.claim.id, study.plan.scale, study.blocks)
    with progress(console, study, rules, quiet=asked.json) as listen:
        runner = Runner(study, store, options, listen)
        try:
            path.extend(follow(study.blocks, study.expected, rules, runner))
        except KitError as error:
            fault = f"block {len(path) + 1}: {error}; what is done stays, and the same command goes on from there"
            raise KitError(fault) from error
    verdict = path[-1].verdict(rules.about, rules.alpha) if path else "cannot tell"
    if asked.json:
        say_json(as_json(study, rules, path, verdict))
        return verdict
    print_path(console, study, rules, path)
    return verdict


@contextmanager
def progress(console: "Console", study: "Study", rules: "Rules", *, quiet: bool) -> "Iterator[Listener]":
    """Give a listener that shows jobs as they run; one that shows nothing where a document is printed."""
    from kit.report import terminal

    if quiet:
        yield lambda *_: None
        return
    with terminal.Live(console, len(study.jobs(study.affordable(rules.budget)))) as live:
        yield live


def prepare(study: "Study", rules: "Rules", asked: Request) -> "Options":
    """Return how workers start, after the checks that `kit reproduce` makes before a run.

    Raises:
        RequestError: hardware, disk or the runtime lacks something, or nobody confirmed more than one GPU-hour.
    """
    from kit.cli.judging import say_estimate
    from kit.cli.running import check_costs, find_containers
    from kit.run.launch import Options
    from kit.store import Store

    missing = study.jobs(study.affordable(rules.budget))
    containers = find_containers(study.plan, missing, asked.runtime, asked.mirror)
    store: Store = Store.open(asked.store)
    check_costs(missing, store, study.plan.scale, ask=not asked.yes)
    say_estimate(missing)
    return Options(
        store=store.root,
        mirror=asked.mirror,
        unsafe_exec=asked.unsafe,
        containers=containers,
        request=study.plan.request(),
    )


def say_plan(study: "Study", rules: "Rules", *, json: bool) -> None:
    """Print the blocks in their order, with what they cost; or the same as a JSON document."""
    from kit.report import terminal

    if json:
        say_json(as_json(study, rules, [], "cannot tell"))
        return
    console = terminal.console()
    print_question(console, study, rules)
    table = new_table("hours", "in all", "budget")
    spent, affordable = 0.0, len(study.affordable(rules.budget))
    for number, block in enumerate(study.blocks, 1):
        spent += block.hours
        inside = "fits" if number <= affordable else "beyond"
        table.add_row(*block_texts(number, block), f"{block.hours:,.2f}", f"{spent:,.2f}", inside)
    console.print(table)
    print_ahead(console, study, rules, [])


def print_path(console: "Console", study: "Study", rules: "Rules", path: "Sequence[Look]") -> None:
    """Print each block with its cost and evidence, the verdict, and what is left where nothing is decided."""
    from rich.text import Text

    print_question(console, study, rules)
    table = new_table("points", "hours", "spent", "runs: holds | not", "models: holds | not", "decision")
    for look in path:
        verdict = look.verdict(rules.about, rules.alpha)
        points = "\n".join(f"{one.difference:+.2f}" for one in look.seen)
        evidence = [f"{found[1]:.3g} | {found[-1]:.3g}" for found in (look.runs, look.models)]
        decision = Text("go on" if verdict == "cannot tell" else verdict, style=STYLES[verdict])
        hours = (f"{look.block.hours:,.2f}", f"{look.spent:,.2f}")
        table.add_row(*block_texts(look.number, look.block), points, *hours, *evidence, decision)
    console.print(table)
    print_verdict(console, study, rules, path)


def print_question(console: "Console", study: "Study", rules: "Rules") -> None:
    """Print the claim, what is asked of it, and when the path ends."""
    from rich.text import Text

    from kit.report.escapes import plain

    where = f"{study.claim.id}, scale {study.plan.scale}: {study.claim.says}"
    about = "training runs like these" if rules.about == "runs" else "the very models that are trained"
    stop = (
        f"Decided about {about} where the evidence reaches {1 / rules.alpha:,.4g}: wrong with a probability of "
        f"{rules.alpha:g} at most, on either side. Budget: {rules.budget:,.4g} {study.unit}, as estimated."
    )
    for line in (where, stop):
        console.print(Text(plain(line)), soft_wrap=True)


def print_verdict(console: "Console", study: "Study", rules: "Rules", path: "Sequence[Look]") -> None:
    """Print the verdict with the hours spent; where nothing is decided, what is left and what it would cost."""
    from rich.text import Text

    from kit.report.escapes import plain

    verdict = path[-1].verdict(rules.about, rules.alpha) if path else "cannot tell"
    spent = path[-1].spent if path else 0.0
    blocks = "1 block" if len(path) == 1 else f"{len(path)} blocks"
    text = f"{verdict}, after {blocks} and {spent:,.2f} of {study.hours:,.2f} {study.unit} that all blocks cost"
    console.print(Text(text, style=STYLES[verdict]), soft_wrap=True)
    if verdict == "cannot tell":
        print_ahead(console, study, rules, path)
    else:
        console.print(Text(plain(reach(study, rules, path, verdict))), soft_wrap=True)
    if study.plan.scale != "paper":
        console.print(Text("Other models play the paper's at this scale: the verdict is about the players."))


def reach(study: "Study", rules: "Rules", path: "Sequence[Look]", verdict: str) -> str:
    """Return a sentence that says what the verdict is about: such replicates, these settings, or these models."""
    if rules.about == "models":
        side = "higher" if verdict == "holds" else "lower"
        return f"The verdict is about the models at hand: for one pair of them at least, the claimed side is {side}."
    check = study.claim.average
    names = " and ".join(check.over) if check and check.replicates == "sample" else ""
    if names and all(look.is_of_first_seeds for look in path):
        return f"Each {names} was run once: the verdict is about values of {names} like these."
    return "The verdict is about further training runs of these settings."


def print_ahead(console: "Console", study: "Study", rules: "Rules", path: "Sequence[Look]") -> None:
    """Print how many blocks are left, what they cost, and how many the printed difference is expected to take."""
    from rich.text import Text

    from kit.budget.path import ahead

    evidence = path[-1].runs if path else {1: 1.0, -1: 1.0}
    left = ahead(study.blocks, len(path), evidence, study.expected, rules.alpha)
    blocks = "1 block" if left.blocks == 1 else f"{left.blocks} blocks"
    lines = [f"Left: {blocks}, {left.hours:,.2f} {study.unit}; the next costs {left.next_hours:,.2f}."]
    if not left.blocks:
        lines = ["Left: nothing; more --seeds give more blocks."]
    elif left.wanted is None and rules.about == "runs":
        lines.append("They are expected not to decide it, if runs differ by what the paper prints; more --seeds may.")
    elif left.wanted is not None and rules.about == "runs":
        lines.append(
            f"If runs differ by what the paper prints ({study.expected.effect:+.2f} points on average), about "
            f"{left.wanted} of them, {left.wanted_hours:,.2f} {study.unit}, decide it."
        )
    for line in lines:
        console.print(Text(line), soft_wrap=True)


def new_table(*columns: str) -> "Table":
    """Return a table of blocks with further columns of numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("block", justify="right")
    table.add_column("step", overflow="fold")
    table.add_column("jobs", justify="right")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def block_texts(number: int, block: Any) -> tuple[str, str, str]:
    """Return the number of a block, its steps with their benchmarks, and how many jobs it has to run."""
    from kit.report.escapes import plain

    steps = "\n".join(f"{plain(step.name)}: {', '.join(step.benchmarks)}" for step in block.steps)
    return str(number), steps, str(len(block.keys))


def say_simulated(study: "Study", rules: "Rules", runs: int) -> None:
    """Print how simulated paths end: where each step differs as the paper prints it, and where none does."""
    from kit.budget.simulate import as_printed, nothing, simulate

    say(f"{study.claim.id}, scale {study.plan.scale}, {runs:,} paths within {rules.budget:,.4g} {study.unit}")
    for name, truth in (("as the paper prints", as_printed(study.steps)), ("no difference", nothing(study.steps))):
        found = simulate(study.blocks, study.expected, rules, truth, runs=runs, seed=1)
        shares = ", ".join(f"{verdict} {100 * found.share(verdict):.1f} %" for verdict in found.verdicts)
        say(f"{name}: {shares}; {found.mean_hours:,.2f} of {study.hours:,.2f} {study.unit} on average")


def as_json(study: "Study", rules: "Rules", path: "Sequence[Look]", verdict: str) -> dict[str, Any]:
    """Return the blocks, the path and the verdict as one document."""
    blocks = [
        {"steps": [step.name for step in block.steps], "jobs": list(block.keys), "hours": block.hours}
        for block in study.blocks
    ]
    looks = [
        {
            "block": look.number,
            "differences": [one.difference for one in look.seen],
            "spent": look.spent,
            "runs": {"holds": look.runs[1], "does not hold": look.runs[-1]},
            "models": {"holds": look.models[1], "does not hold": look.models[-1]},
        }
        for look in path
    ]
    return {
        "schema": 1,
        "claim": study.claim.id,
        "scale": study.plan.scale,
        "about": rules.about,
        "alpha": rules.alpha,
        "budget": rules.budget,
        "unit": study.unit,
        "verdict": verdict,
        "blocks": blocks,
        "path": looks,
    }
