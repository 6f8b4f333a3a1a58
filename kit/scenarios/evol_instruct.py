"""Evol-Instruct: each round rewrites each instruction once, by an operator that is assigned, not drawn.

Protocol: paper A.1, figures 10-12; HypherX/Evolution-Analysis @7595feb, Evol_Instruct/evol_instruct.py.
"""

from kit.engines import Request, request_seed
from kit.prompts import fill
from kit.records import Instruction
from kit.scenarios import Made, Step, Tools, Work

VERSION = 1
DEPTH = ("add_constraint", "deepen", "concretize", "add_reasoning_steps")
BREADTH = "breadth"
PROMPTS = tuple(f"evol_instruct.{way}" for way in (*DEPTH, BREADTH))


def operators(breadth: bool) -> tuple[str, ...]:
    """Return the operators in the order of the authors' code: four in depth, and breadth last where it is used."""
    return (*DEPTH, BREADTH) if breadth else DEPTH


def assigned(index: int, round: int, breadth: bool) -> str:
    """Return the operator of one item: ``(item_index + round) mod M``, the item's position and the round both from 0.

    Both evolvers meet the same operator on the same item, so that a comparison compares evolvers alone.
    """
    known = operators(breadth)
    return known[(index + round) % len(known)]


def rewrite(work: Work, tools: Tools) -> Made:
    """Rewrite each instruction: the trimmed reply takes its place, what goes with it is kept, nothing is filtered."""
    params, rows = work.params, work.rows
    ways = [assigned(index, params["round"] - 1, params["breadth"]) for index in range(len(rows))]
    requests = [
        Request(
            id=row.id,
            turns=fill(tools.pack.chat(f"evol_instruct.{way}"), {"instruction": row.instruction}),
            seed=request_seed(params["seed"], "evolve", params["round"], row.id),
        )
        for row, way in zip(rows, ways, strict=True)
    ]
    evolved = [
        Instruction(
            id=row.id,
            instruction=reply.text.strip(),
            input=row.input,
            system=row.system,
            history=row.history,
            operator=way,
            finish_reason=reply.finish_reason,
        )
        for row, way, reply in zip(rows, ways, tools.generate(requests), strict=True)
    ]
    return Made(rows=evolved)


STEPS = {"rewrite": Step(run=rewrite, prompts=PROMPTS)}
