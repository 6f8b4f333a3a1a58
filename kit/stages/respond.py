"""Instructions -> pairs of instruction and response."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling, request_seed
from kit.files.texts import broken
from kit.prompts import Pack, fill
from kit.records import Instruction, Pair, Turn, write_rows
from kit.stages import Context, Planning, Summary, decided, incoming

VERSION = 1
WORKER = "text"
PROMPTS = ("respond.with_input", "respond.without_input")
"""Templates it asks with."""


def plan(at: Point, kit: Planning) -> str:
    """Plan the responses to the instructions of the point's round."""
    name, sampling = kit.player(at.setting.responder), decided(at.setting.respond)
    longest = kit.capped("respond.max_tokens", sampling.max_tokens, kit.scale.limits.respond_max_tokens)
    origin = kit.instructions(at)
    inputs = {origin.role: origin.key, "model": kit.model(name, chat=True)}
    asked, prompts = kit.wording(kit.scale.prompts, PROMPTS)
    params = {
        "seed": at.setting.seed,
        "sampling": {**sampling.model_dump(), "max_tokens": longest},
        **origin.params,
        **asked,
        **kit.engine(name),
    }
    return kit.job(
        "respond",
        kit.name(at, "seeds", "evolver", "round"),
        params,
        inputs | prompts,
        plugins=kit.engine_version(),
        resources=kit.writing(name, origin.rows, longest),
        rows=origin.rows,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``pairs.jsonl`` (:class:`~kit.records.Pair`): the trimmed replies, none filtered."""
    came = incoming(params, inputs)
    rows = came.rows
    pack = context.pack(params["prompts"], PROMPTS, inputs.get("prompts"))
    requests = [
        Request(id=row.id, turns=ask(row, pack), seed=request_seed(params["seed"], "respond", row.id)) for row in rows
    ]
    engine = context.engine(inputs["model"], EngineSettings(**params["engine"]))
    replies = context.generate(requests, engine, Sampling(**params["sampling"]))
    pairs = [
        Pair(
            id=row.id,
            instruction=row.instruction,
            input=row.input,
            system=row.system,
            history=row.history,
            output=reply.text.strip(),
            finish_reason=reply.finish_reason,
        )
        for row, reply in zip(rows, replies, strict=True)
    ]
    if context.rank == 0:
        write_rows(out / "pairs.jsonl", pairs)
    return Summary(
        rows=len(pairs),
        facts={
            "tokens": sum(reply.tokens for reply in replies),
            "cut_at_limit": sum(reply.finish_reason == "length" for reply in replies),
            "too_long": sum(reply.finish_reason == TOO_LONG for reply in replies),
            "empty": sum(not pair.output for pair in pairs),
            "broken_characters": sum(broken(pair.output) for pair in pairs),
            **came.facts(),
            "outputs_replaced": sum(bool(row.output.strip()) for row in rows),
            "engine": engine.fingerprint,
        },
    )


def ask(row: Instruction, pack: Pack) -> tuple[Turn, ...]:
    """The chat that asks for a response: system prompt and history as they are, then one of two variants.

    The wording goes by whether there is an input; it is put around the instruction alone.
    """
    if row.input:
        asked = fill(pack.chat("respond.with_input"), {"instruction": row.instruction, "input": row.input})
    else:
        asked = fill(pack.chat("respond.without_input"), {"instruction": row.instruction})
    return (*row.turns_before(), *asked)
