"""Evol-Instruct: assignment of operators, requests to the evolver, and the use of its replies."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit import prompts
from kit.engines import Request
from kit.records import Completion, Instruction
from kit.scenarios import Work, evol_instruct
from kit.stages import evolve, respond

PACK = prompts.load("kit")
C, D, K, R, B = "add_constraint", "deepen", "concretize", "add_reasoning_steps", "breadth"
# (item_index + round) mod M, both from 0; M = 4, or 5 with breadth: worked out by hand for items 0 to 5
OPERATORS = {
    "depth, first round": (1, False, [C, D, K, R, C, D]),
    "depth, second round": (2, False, [D, K, R, C, D, K]),
    "depth, third round": (3, False, [K, R, C, D, K, R]),
    "breadth, first round": (1, True, [C, D, K, R, B, C]),
    "breadth, second round": (2, True, [D, K, R, B, C, D]),
    "breadth, third round": (3, True, [K, R, B, C, D, K]),
}
ROWS = [Instruction(id=f"s/{n}", instruction=f"Task {n}.", input=f"material {n}") for n in range(6)]


class Model:
    """Tools of a step whose model answers ``  reply to ID \\n`` and keeps its requests."""

    pack = PACK

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def sandbox(self) -> Any:
        pytest.fail("no code is run")

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked = list(requests)
        return [Completion(id=r.id, text=f"  reply to {r.id} \n", finish_reason="stop") for r in requests]


def one_round(round: int, breadth: bool, rows: Sequence[Instruction] = ROWS) -> tuple[list[Instruction], Model]:
    model = Model()
    params: dict[str, Any] = {"round": round, "breadth": breadth, "seed": 42}
    return list(evol_instruct.rewrite(Work(rows=rows, params=params), model).rows), model


@pytest.mark.parametrize("round, breadth, wanted", OPERATORS.values(), ids=list(OPERATORS))
def test_operators_are_assigned(round: int, breadth: bool, wanted: list[str]):
    evolved, _ = one_round(round, breadth)
    assert [row.operator for row in evolved] == wanted


def test_the_trimmed_reply_replaces_the_instruction_and_the_input_is_kept():
    evolved, _ = one_round(1, True)
    assert evolved[4] == Instruction(
        id="s/4", instruction="reply to s/4", input="material 4", operator=B, finish_reason="stop"
    )


def test_nothing_is_filtered():
    class Silent(Model):
        def generate(self, requests: Sequence[Request]) -> list[Completion]:
            return [Completion(id=request.id, text=" ", finish_reason="length") for request in requests]

    work = Work(rows=ROWS, params={"round": 1, "breadth": False, "seed": 42})
    evolved = evol_instruct.rewrite(work, Silent()).rows
    assert [row.instruction for row in evolved] == [""] * 6
    assert {row.finish_reason for row in evolved} == {"length"}


def test_the_evolver_sees_the_instruction_and_not_the_input():
    _, model = one_round(1, True)
    for row, request in zip(ROWS, model.asked, strict=True):
        assert [turn.role for turn in request.turns] == ["user"]
        assert row.instruction in request.turns[0].content
        assert row.input not in request.turns[0].content


def test_the_seed_of_a_request_does_not_depend_on_other_requests():
    _, all_rows = one_round(1, True)
    _, last_alone = one_round(1, True, ROWS[5:])
    _, next_round = one_round(2, True)
    seeds = [request.seed for request in all_rows.asked]
    assert len(set(seeds)) == 6
    assert last_alone.asked[0].seed == seeds[5]
    assert not set(seeds) & {request.seed for request in next_round.asked}


class Context:
    """A stage's context with the fake engine and the kit's wording."""

    rank, world, source, mirror = 0, 1, {}, None

    def engine(self, model: Path, settings: Any) -> Any:
        from kit.engines import fake

        return fake.open(model, settings)

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Any:
        return prompts.only(prompts.load(name, folder), ids)

    def generate(self, requests: Sequence[Any], engine: Any, sampling: Any) -> Any:
        return engine.generate(requests, sampling)

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        pass


ENGINE = {"name": "fake", "dtype": "float32"}
TEXT = {"seed": 42, "sampling": {"max_tokens": 64}, "prompts": "kit", "engine": ENGINE}


def run_round(tmp_path: Path, round: int, inputs: dict[str, Path]) -> Path:
    out = tmp_path / f"round-{round}"
    out.mkdir()
    params = {"scenario": "evol_instruct", "round": round, "breadth": True, **TEXT}
    if "seeds" in inputs:
        params |= {"seeds": "s", "format": "alpaca", "rows": 3}
    summary = evolve.run(params, {"model": tmp_path / "m", **inputs}, out, Context())  # type: ignore[arg-type]
    assert (summary.rows, summary.facts["engine"]) == (3, {"engine": "fake"})
    return out


def test_three_rounds_and_the_responses(tmp_path: Path):
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "s.json").write_text(
        '[{"instruction": "a", "input": "x"}, {"instruction": "b"}, {"instruction": "c"}, {"instruction": "d"}]'
    )
    folder = run_round(tmp_path, 1, {"seeds": tmp_path / "seeds"})
    for round in (2, 3):
        folder = run_round(tmp_path, round, {"instructions": folder})
    (out := tmp_path / "pairs").mkdir()
    respond.run(TEXT, {"model": tmp_path / "m", "instructions": folder}, out, Context())  # type: ignore[arg-type]
    from kit.records import Pair, read_rows

    last, pairs = read_rows(folder / "instructions.jsonl", Instruction), read_rows(out / "pairs.jsonl", Pair)
    assert [row.operator for row in last] == [K, R, B]
    assert [(row.id, row.input) for row in last] == [("s/0", "x"), ("s/1", ""), ("s/2", "")]
    assert [(pair.id, pair.instruction, pair.input) for pair in pairs] == [
        (row.id, row.instruction, row.input) for row in last
    ]
    assert all(pair.output == pair.output.strip() != "" for pair in pairs)


@pytest.mark.parametrize("given, variant", [("", "without_input"), ("x", "with_input")])
def test_the_response_prompt_has_a_variant_for_an_input(given: str, variant: str):
    turns = respond.chat_of(Instruction(id="1", instruction="Do it.", input=given), PACK)
    template = PACK.chat(f"respond.{variant}")
    filled = [turn.content.replace("{instruction}", "Do it.").replace("{input}", given) for turn in template]
    assert [turn.content for turn in turns] == filled
