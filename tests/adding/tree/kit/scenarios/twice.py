"""A scenario in one file: it asks for each instruction to be said twice."""

from dataclasses import replace

from kit.engines import Request
from kit.prompts import fill
from kit.scenarios import Made, Step, Tools, Work

VERSION = 3


def say_twice(work: Work, tools: Tools) -> Made:
    asked = [
        Request(
            id=row.id,
            turns=fill(tools.pack.chat("twice"), {"instruction": row.instruction}),
            seed=work.params["seed"],
        )
        for row in work.rows
    ]
    replies = tools.generate(asked)
    return Made(rows=[replace(row, instruction=reply.text) for row, reply in zip(work.rows, replies, strict=True)])


STEPS = {"say_twice": Step(run=say_twice, prompts=("twice",))}
