"""Auto Evol-Instruct: the evolver lists ways to rewrite an instruction, plans, rewrites and reviews, all in one reply.

The fourth part of the reply is the new instruction; replies without it are dropped, so evolvers keep unlike numbers of
rows, and for each seed set the side that kept more is drawn down to the other. The stage that improves the prompt
itself is left out, as in the paper.

Protocol: paper 3.3, A.1, figure 15; HypherX/Evolution-Analysis @7595feb, Auto_Evol_Instruct/auto_evol_instruct.py and
filter_data.py.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from kit.engines import TOO_LONG, Request, request_seed
from kit.errors import RequestError, shown
from kit.prompts import Pack, fill
from kit.records import Instruction, Turn
from kit.scenarios import Made, Step, Tools, Work
from kit.scenarios._equal import equal_draw

VERSION = 1
PROMPT = "auto_evol_instruct.evolve"
OPERATOR = "planned"
"""Operator of every row: the method is the evolver's own."""
# https://github.com/HypherX/Evolution-Analysis/blob/7595feb5155caf3da63f982a1f507304a60415a1/Auto_Evol_Instruct/auto_evol_instruct.py
HEADINGS = {"kit": "### Final task", "paper": "#Finally Rewritten Instruction#:"}
"""Prompt pack -> the heading of the fourth part, in the words in which its template asks for it."""
SHARE_KEPT = 0.78
"""Share of replies that is expected to have a fourth part, for estimates: the paper trains on 77.9 % of Alpaca, 83.0 %
of GSM8K and 77.6 % of CodeAlpaca."""

NO_HEADING = "no heading of the fourth part"
CUT = "cut at the token limit before the heading of the fourth part"
NO_LINE_BREAK = "no line break after the heading of the fourth part"
NOTHING = "nothing after the heading of the fourth part"
UNASKED = "too long to be asked"
NOT_DRAWN = "not drawn, for sides of equal size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten(Instruction):
    """An instruction with the evolver's reply to it; the instruction is still the old one."""

    reply: str
    """The whole reply, trimmed: four labelled parts, if the evolver kept to the form."""
    heading: str
    """The heading of the fourth part that it was asked for."""


def rewrite(work: Work, tools: Tools) -> Made:
    """Ask the evolver for the four parts, once for each instruction; the input field is not shown."""
    template, heading = template_of(tools.pack)
    params, rows = work.params, work.rows
    requests = [
        Request(
            id=row.id,
            turns=fill(template, {"instruction": row.instruction}),
            seed=request_seed(params["seed"], "evolve", params["round"], row.id),
        )
        for row in rows
    ]
    replies = [
        Rewritten(
            id=row.id,
            instruction=row.instruction,
            input=row.input,
            system=row.system,
            history=row.history,
            operator=OPERATOR,
            finish_reason=reply.finish_reason,
            reply=reply.text.strip(),
            heading=heading,
        )
        for row, reply in zip(rows, tools.generate(requests), strict=True)
    ]
    return Made(rows=replies)


def template_of(pack: Pack) -> tuple[Sequence[Turn], str]:
    """Return a pack's template, and the heading that it asks to be put before the fourth part.

    Raises:
        RequestError: the pack has no such template, or its heading is not known.
    """
    template = pack.chat(PROMPT)
    if pack.name not in HEADINGS:
        raise RequestError(
            f"prompt pack {pack.name!r}: {PROMPT}: the heading by which a rewrite is found in a reply is not known; "
            f"known for {', '.join(HEADINGS)}; add it to HEADINGS of scenarios/auto_evol_instruct.py"
        )
    return template, HEADINGS[pack.name]


def extract(work: Work, tools: Tools) -> Made:
    """Keep of each reply what stands in its fourth part, and drop the replies that have none, counted by reason.

    Raises:
        RequestError: no reply has a fourth part.
    """
    del tools
    rows, dropped = [], Counter[str]()
    for row in work.rows:
        if fault := fault_of(row):
            dropped[fault] += 1
            continue
        rows.append(
            Instruction(
                id=row.id,
                instruction=fourth_part(row.reply, row.heading),
                input=row.input,
                system=row.system,
                history=row.history,
                operator=row.operator,
                finish_reason=row.finish_reason,
            )
        )
    if work.rows and not rows:
        raise RequestError(nothing_kept(work.rows, dropped))
    return Made(rows=rows, dropped=dropped)


def fourth_part(reply: str, heading: str) -> str:
    """Return what follows the first heading that ends its line, untouched; empty if there is none.

    As in the authors' code, a heading with text beside it is passed over.
    """
    return reply.partition(f"{heading}\n")[2]


def fault_of(row: Rewritten) -> str:
    """Return the reason why a reply has no fourth part; empty if it has one."""
    if row.finish_reason == TOO_LONG:
        return UNASKED
    if fourth_part(row.reply, row.heading):
        return ""
    if row.heading not in row.reply:
        return CUT if row.finish_reason == "length" else NO_HEADING
    # a reply is trimmed, so that a heading with nothing after it is its end
    return NOTHING if row.reply.endswith(row.heading) else NO_LINE_BREAK


def nothing_kept(rows: Sequence[Rewritten], dropped: Counter[str]) -> str:
    """Return the message for an evolver of whose replies none has a fourth part."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
    seeds = rows[0].id.rpartition("/")[0]
    cure = "a larger evolver keeps to the form"
    if dropped[CUT]:
        cure = f"more tokens a reply (max_tokens of evolve, evolve_max_tokens of the scale, --max-tokens), or {cure}"
    return (
        f"of this evolver's {len(rows):,} replies on {seeds} none is kept: {reasons}; wanted {shown(rows[0].heading)} "
        f"on a line of its own and the new instruction below it; {cure}"
    )


def draw(work: Work, tools: Tools) -> Made:
    """Draw as many rows as the evolver with the fewest has kept."""
    del tools
    rows = equal_draw(work.sides, work.side, work.params["seed"])
    return Made(rows=rows, dropped={NOT_DRAWN: len(work.rows) - len(rows)})


def expected(counts: Sequence[int]) -> int:
    """Return how many of a side's replies are expected to have a fourth part."""
    return max(1, round(SHARE_KEPT * counts[0]))


STEPS = {
    "rewrite": Step(run=rewrite, prompts=(PROMPT,), makes=Rewritten),
    "extract": Step(run=extract, worker="cpu", expects=expected),
    "draw": Step(run=draw, worker="cpu", sides="all", expects=min),
}
