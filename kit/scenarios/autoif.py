"""AutoIF: a model writes constraints for answers, and functions that check them; what agrees with itself is kept.

The constraints that are left are joined with queries of users: a row's instruction is the constraint, its input the
query.

Protocol: paper 3.2, A.1, A.2; HypherX/Evolution-Analysis @7595feb, AutoIF/1_RFT.py to 4_Concat_ShareGPT.py.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from kit.engines import Request, request_seed
from kit.errors import KitError, RequestError, shown
from kit.prompts import fill
from kit.records import Instruction, Turn
from kit.scenarios import Amount, Made, Step, Tools, Work
from kit.scenarios._autoif_rows import WithFunctions, WithSamples
from kit.scenarios._cross_check import Checked, Rule, cross_check
from kit.scenarios._equal import equal_draw

VERSION = 1
ROUNDS = 1
"""Most rounds: what comes out is no set of constraints that a second round could begin with."""
RESPONSE_PROMPT = "autoif.respond"
WRITE_CONSTRAINTS, WRITE_CHECKS = "autoif.write_constraints", "autoif.write_checks"
ASKED_FOR = 50
"""Number of constraints that one prompt asks for."""
CONSTRAINT_TOKENS = 16
"""Tokens of one constraint, for estimates."""
SHORTEST, LONGEST = 20, 300
"""Lengths that a query lies between, in characters; neither is allowed itself."""
KEPT_SHARE = 0.12
"""Share of the constraints that is expected to be kept: the paper's evolvers kept 780 and 420 of some 5,000."""


def write_constraints(work: Work, tools: Tools) -> Made:
    """Send one prompt with all seed constraints several times; every line of a reply is a constraint, the seeds follow.

    No line is left out, not an empty one either, and none is compared with another.

    Raises:
        RequestError: a seed constraint has more than its text.
    """
    if more := [row.id for row in work.rows if row.input or row.system or row.history]:
        raise RequestError(
            f"{len(more):,} of {len(work.rows):,} seed constraints have an input, a system prompt or a history, first "
            f"{shown(more[0])}; autoif reads the instruction alone, wanted constraints without the others"
        )
    seed, times = work.params["seed"], work.params["options"]["times"]
    turns = fill(
        tools.pack.chat(WRITE_CONSTRAINTS), {"seed_instructions": "\n".join(row.instruction for row in work.rows)}
    )
    requests = [
        Request(id=f"reply-{number}", turns=turns, seed=request_seed(seed, "autoif", "constraints", number))
        for number in range(times)
    ]
    written = [
        Instruction(
            id=f"{reply.id}/{place}", instruction=line, operator="write_constraints", finish_reason=reply.finish_reason
        )
        for reply in tools.generate(requests)
        for place, line in enumerate(constraints_in(_opened(turns) + reply.text))
    ]
    return Made(rows=[*written, *(Instruction(id=row.id, instruction=row.instruction) for row in work.rows)])


def constraints_in(reply: str) -> list[str]:
    """Return every line of a reply, without dashes and blanks at both ends."""
    return [line.strip("- \t\r") for line in reply.split("\n")]


def write_checks(work: Work, tools: Tools) -> Made:
    """Have several texts written for each constraint, each with a request seed of its own."""
    seed, samples = work.params["seed"], work.params["options"]["samples"]
    template = tools.pack.chat(WRITE_CHECKS)
    requests = [
        Request(
            id=f"{row.id}/{number}",
            turns=fill(template, {"instruction": row.instruction}),
            seed=request_seed(seed, "autoif", "checks", row.id, number),
        )
        for row in work.rows
        for number in range(samples)
    ]
    texts = iter(tools.generate(requests))
    opened = _opened(template)
    rows = [
        WithSamples(
            id=row.id,
            instruction=row.instruction,
            operator=row.operator,
            finish_reason=row.finish_reason,
            samples=[opened + next(texts).text for _ in range(samples)],
        )
        for row in work.rows
    ]
    return Made(rows=rows)


def _opened(turns: Sequence[Turn]) -> str:
    """Return the beginning of the reply that a template gives the model; empty where it opens none."""
    return turns[-1].content if turns[-1].role == "assistant" else ""


def keep_checked(work: Work, tools: Tools) -> Made:
    """Keep the constraints for which a check function agrees with enough of the cases that were written for them.

    Raises:
        KitError: no constraint is left.
    """
    options = work.params["options"]
    rule = Rule(
        threshold=options["threshold"],
        minimum_functions=options["minimum_functions"],
        minimum_cases=options["minimum_cases"],
    )
    found = cross_check([row.samples for row in work.rows], tools.sandbox(), rule, tools.progress)
    rows = [_with_functions(row, checked) for row, checked in zip(work.rows, found, strict=True) if checked.functions]
    dropped = Counter(checked.reason for checked in found if not checked.functions)
    if not rows:
        within = Counter[str]()
        for checked in found:
            within.update(checked.left_out)
        raise KitError(
            f"step cross_check: none of the {len(work.rows):,} constraints is left: {_counts(dropped)}; of what was "
            f"written for them were left out: {_counts(within)}. Have more written (options times and samples, or "
            "longer texts: max_tokens), lower the options threshold, minimum_functions or minimum_cases, or take "
            "another evolver"
        )
    return Made(rows=rows, dropped=dropped)


def _with_functions(row: WithSamples, checked: Checked) -> WithFunctions:
    """Return a constraint with the functions and cases that were kept for it."""
    return WithFunctions(
        id=row.id,
        instruction=row.instruction,
        operator=row.operator,
        functions=list(checked.functions),
        cases=[{"input": case.input, "output": case.output} for case in checked.cases],
    )


def _counts(reasons: Mapping[str, int]) -> str:
    """Return reasons with their counts as a text; "nothing" if there are none."""
    ordered = sorted(reasons.items(), key=lambda item: -item[1])
    return ", ".join(f"{reason} {count:,}" for reason, count in ordered) or "nothing"


def draw(work: Work, tools: Tools) -> Made:
    """Keep as many constraints of each side as the side with the fewest has, where that is the rule."""
    del tools
    if work.params["options"]["equal_size"] != "constraints":
        return Made(rows=work.rows)
    rows = equal_draw(work.sides, work.side, work.params["seed"])
    return Made(rows=rows, dropped={"more constraints than another evolver has": len(work.rows) - len(rows)})


def join(work: Work, tools: Tools) -> Made:
    """Join each constraint with some queries, drawn without replacement, so that two sides have different queries.

    Raises:
        RequestError: there are fewer queries of a fitting length than one constraint takes.
    """
    del tools
    options, seed = work.params["options"], work.params["seed"]
    queries = check_data(work.data, options)
    sides = [joined(rows, queries, options["queries"], seed, place) for place, rows in enumerate(work.sides)]
    own = sides[work.side]
    rows = equal_draw(sides, work.side, seed) if options["equal_size"] == "records" else own
    return Made(rows=rows, dropped={"more records than another evolver has": len(own) - len(rows)})


def check_data(data: Mapping[str, Sequence[Instruction]], options: Mapping[str, Any]) -> list[str]:
    """Return the queries of a fitting length, of which there have to be enough for one constraint.

    Raises:
        RequestError: there are fewer.
    """
    queries = [text for row in data["queries"] if SHORTEST < len(text := query_of(row)) < LONGEST]
    if len(queries) < options["queries"]:
        raise RequestError(
            f"queries: {len(queries):,} of {len(data['queries']):,} have {SHORTEST + 1} to {LONGEST - 1} characters, "
            f"and each constraint takes {options['queries']:,}; give more queries, or lower the option queries"
        )
    return queries


def query_of(row: Instruction) -> str:
    """Return a query: what a user said first, with the material that it is about."""
    first = row.history[0][0] if row.history else row.instruction
    return f"{first}\n{row.input}" if row.input and not row.history else first


def joined(rows: Sequence[Instruction], queries: Sequence[str], count: int, seed: int, side: int) -> list[Instruction]:
    """Return each constraint with ``count`` queries; which ones, its id, its side and the seed decide.

    Args:
        rows: constraints of one side.
        queries: all queries.
        count: number of queries that each constraint is joined with.
        seed: seed of the draws.
        side: place of the side.
    """
    found = []
    for row in rows:
        places = Random(request_seed(seed, "queries", side, row.id)).sample(range(len(queries)), count)
        found += [
            Instruction(
                id=f"{row.id}/{number}", instruction=row.instruction, input=queries[place], operator=row.operator
            )
            for number, place in enumerate(places)
        ]
    return found


def _written_constraints(counts: Sequence[int], own: int, options: Mapping[str, Any]) -> Amount:
    """Return the expected numbers of :func:`write_constraints`."""
    lines = min(ASKED_FOR, options["max_tokens"] // CONSTRAINT_TOKENS)
    return Amount(texts=options["times"], rows=options["times"] * lines + counts[own])


def _written_checks(counts: Sequence[int], own: int, options: Mapping[str, Any]) -> Amount:
    """Return the expected numbers of :func:`write_checks`."""
    return Amount(texts=counts[own] * options["samples"], rows=counts[own])


def _kept(counts: Sequence[int], own: int, options: Mapping[str, Any]) -> Amount:
    """Return the expected numbers of :func:`keep_checked`."""
    del options
    return Amount(texts=0, rows=max(1, round(KEPT_SHARE * counts[own])))


def _drawn(counts: Sequence[int], own: int, options: Mapping[str, Any]) -> Amount:
    """Return the expected numbers of :func:`draw`."""
    return Amount(texts=0, rows=min(counts) if options["equal_size"] == "constraints" else counts[own])


def _joined(counts: Sequence[int], own: int, options: Mapping[str, Any]) -> Amount:
    """Return the expected numbers of :func:`join`."""
    count = min(counts) if options["equal_size"] == "records" else counts[own]
    return Amount(texts=0, rows=count * options["queries"])


EQUAL_SIZE = {"equal_size": "constraints"}
STEPS = {
    "constraints": Step(
        run=write_constraints, prompts=(WRITE_CONSTRAINTS,), options={"times": 100}, amount=_written_constraints
    ),
    "checks": Step(
        run=write_checks, prompts=(WRITE_CHECKS,), options={"samples": 8}, amount=_written_checks, makes=WithSamples
    ),
    "cross_check": Step(
        run=keep_checked,
        worker="sandbox",
        options={"threshold": 0.8, "minimum_functions": 1, "minimum_cases": 1},
        amount=_kept,
        makes=WithFunctions,
    ),
    "draw": Step(run=draw, worker="cpu", sides="all", options=EQUAL_SIZE, amount=_drawn, makes=WithFunctions),
    "join": Step(
        run=join,
        worker="cpu",
        sides="all",
        data=("queries",),
        options={"queries": 16, **EQUAL_SIZE},
        amount=_joined,
    ),
}
