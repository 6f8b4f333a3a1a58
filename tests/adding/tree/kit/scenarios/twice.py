"""A scenario in one file: it asks for each instruction to be said twice."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kit.engines import Request
from kit.prompts import Pack, fill
from kit.records import Instruction
from kit.scenarios import Generate

VERSION = 3
PROMPTS = ("twice",)


def evolve(rows: Sequence[Instruction], params: Mapping[str, Any], pack: Pack, generate: Generate) -> list[Instruction]:
    asked = [
        Request(id=row.id, turns=fill(pack.chat("twice"), {"instruction": row.instruction}), seed=params["seed"])
        for row in rows
    ]
    return [replace(row, instruction=reply.text) for row, reply in zip(rows, generate(asked), strict=True)]
