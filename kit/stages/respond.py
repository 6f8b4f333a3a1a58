"""Stage ``respond``: a model responds to instructions; it writes pairs of instruction and response."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kit.catalogue.points import Point
from kit.engines import TOO_LONG, EngineSettings, Request, Sampling, request_seed
from kit.errors import KitError
from kit.files.texts import broken
from kit.prompts import Pack, fill
from kit.records import Instruction, Pair, Turn, write_rows
from kit.scenarios import response_prompt
from kit.stages import Context, Planning, Summary, given_sampling, input_instructions

VERSION = 1
WORKER = "text"
PROMPTS = ("respond.with_input", "respond.without_input")
"""Names of the prompt templates."""


def plan(point: Point, planner: Planning) -> str:
    """Plan the responses to the instructions of the point's round."""
    responder, sampling = planner.player(point.setting.responder), given_sampling(point.setting.respond)
    max_tokens = planner.capped("respond.max_tokens", sampling.max_tokens, planner.scale.limits.respond_max_tokens)
    origin = planner.instructions(point)
    inputs = {origin.role: origin.key, "model": planner.model(responder, chat=True)}
    own = response_prompt(point.setting.scenario) if point.setting.scenario else ""
    prompt_params, prompt_inputs = planner.prompts(planner.scale.prompts, [own] if own else PROMPTS)
    params = {
        "seed": point.setting.seed,
        "sampling": {**sampling.model_dump(), "max_tokens": max_tokens},
        **origin.params,
        **prompt_params,
        **({"template": own} if own else {}),
        **planner.engine_params(responder),
    }
    return planner.job(
        "respond",
        planner.job_name(point, "seeds", "evolver", "round"),
        params,
        inputs | prompt_inputs,
        plugins=planner.engine_version(),
        resources=planner.generation_cost(responder, origin.rows, max_tokens),
        rows=origin.rows,
    )


def run(params: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, context: Context) -> Summary:
    """Write ``pairs.jsonl`` (:class:`~kit.records.Pair`): every reply, without the white space around it.

    Raises:
        KitError: the steps of evolution left every row out.
    """
    reading = input_instructions(params, inputs)
    rows = reading.rows
    if not rows:  # told before a model is loaded for nothing
        raise KitError(
            "no instruction is left to respond to; how many were left out, and why: "
            f"kit store show {inputs['instructions'].name[:10]}"
        )
    own = params.get("template", "")
    pack = context.pack(params["prompts"], [own] if own else PROMPTS, inputs.get("prompts"))
    requests = [
        Request(id=row.id, turns=chat_of(row, pack, own), seed=request_seed(params["seed"], "respond", row.id))
        for row in rows
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
            **reading.facts(),
            "outputs_replaced": sum(bool(row.output.strip()) for row in rows),
            "engine": engine.fingerprint,
        },
    )


def chat_of(row: Instruction, pack: Pack, template: str = "") -> tuple[Turn, ...]:
    """Return the chat that asks for a response: system prompt and history unchanged, then the instruction.

    There are two templates, one for instructions with an input and one for those without. Only the instruction and its
    input go into the template.

    Args:
        row: the instruction.
        pack: the templates.
        template: id of a scenario's own template in the place of the two. It calls the instruction ``instruction`` or
            ``constraint``, and its input ``input`` or ``query``.
    """
    if template:
        texts = {"instruction": row.instruction, "constraint": row.instruction, "input": row.input, "query": row.input}
        prompt = fill(pack.chat(template), texts)
    elif row.input:
        prompt = fill(pack.chat("respond.with_input"), {"instruction": row.instruction, "input": row.input})
    else:
        prompt = fill(pack.chat("respond.without_input"), {"instruction": row.instruction})
    return (*row.turns_before(), *prompt)
