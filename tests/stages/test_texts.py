"""Stages in which a model writes text, with the fake engine: a row that is too long is counted and stops no other."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kit import prompts
from kit.engines import fake
from kit.reading.jsonlines import read_objects
from kit.stages import answer, evolve, respond

TEXT: dict[str, Any] = {
    "seed": 42,
    "sampling": {"max_tokens": 64},
    "prompts": "kit",
    "engine": {"name": "fake", "max_model_len": 512},
}
ROWS = {"seeds": "s", "format": "alpaca", "rows": None}


class Context:
    rank, world, source, mirror = 0, 1, {}, None
    engine = staticmethod(fake.open)

    def pack(self, name: str, ids: Sequence[str], folder: Path | None = None) -> Any:
        return prompts.only(prompts.load(name, folder), ids)

    def generate(self, requests: Sequence[Any], engine: Any, sampling: Any) -> Any:
        return engine.generate(requests, sampling)

    def progress(self, done: int, total: int, tokens: int = 0) -> None:
        pass


@pytest.mark.parametrize(
    ("stage", "params", "file"),
    [
        pytest.param(
            evolve,
            ROWS | {"scenario": "evol_instruct", "round": 1, "breadth": True},
            "instructions.jsonl",
            id="evolve",
        ),
        pytest.param(respond, ROWS, "pairs.jsonl", id="respond"),
        pytest.param(answer, {"benchmark": "gsm8k", "rows": None}, "completions.jsonl", id="answer"),
    ],
)
def test_a_row_that_is_too_long_is_counted(stage: Any, params: dict[str, Any], file: str, tmp_path: Path) -> None:
    # One evolved row of more than 4,095 tokens ended the job that was to answer 52,002, on every rerun.
    long = "word " * 600
    (tmp_path / "in").mkdir()
    if stage is answer:
        problems = [{"question": text, "answer": "#### 1"} for text in ("One?", long, "Two?")]
        (tmp_path / "in" / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    else:
        seeds = [{"instruction": text, "input": "", "output": ""} for text in ("One.", long, "Two.")]
        (tmp_path / "in" / "seeds.json").write_text(json.dumps(seeds))
    inputs = dict.fromkeys(("seeds", "data"), tmp_path / "in") | {"model": tmp_path / "m"}
    summary = stage.run(TEXT | params, inputs, tmp_path, Context())
    reasons = [row["finish_reason"] for _, row in read_objects(tmp_path / file)]
    assert (len(reasons), reasons[1], summary.facts["too_long"]) == (3, "too_long", 1)
    assert "too_long" not in (reasons[0], reasons[2])


CHATS = [
    {"instruction": "One.", "system": "Be brief.", "history": [["Hi", "Ho"]], "output": "1", "source": "web"},
    {"instruction": "Say \ud83d hi.", "input": "\ufeffTwo", "output": ""},
]
BEFORE = {"system": "Be brief.", "history": [["Hi", "Ho"]]}


class Asked(Context):
    """Keeps the chats that the engine was given; its texts are half a character each."""

    def __init__(self) -> None:
        self.chats: list[list[tuple[str, str]]] = []

    def engine(self, model: Path, settings: Any) -> Any:  # type: ignore[override]
        made = fake.open(model, settings)
        answer = made.generate

        def generate(requests: Sequence[Any], *more: Any) -> list[Any]:
            self.chats += [[(turn.role, turn.content) for turn in request.turns] for request in requests]
            return [replace(found, text="\ud83d") for found in answer(requests, *more)]

        made.generate = generate  # type: ignore[method-assign]
        return made


def test_system_and_history_go_through_evolving_into_the_chat_that_is_answered(tmp_path: Path) -> None:
    # both were dropped, exit code 0; half a character ended the first job that read it in a traceback
    for name in ("in", "evolved", "pairs"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "seeds.json").write_text(json.dumps(CHATS))
    inputs = {"seeds": tmp_path / "in", "model": tmp_path / "m"}
    scenario = {"scenario": "evol_instruct", "round": 1, "breadth": True}
    context = Asked()
    facts = evolve.run(TEXT | ROWS | scenario, inputs, tmp_path / "evolved", context).facts
    names = ("with_system", "with_history", "unread_fields", "half_characters", "byte_order_marks")
    assert [facts[name] for name in names] == [1, 1, {"source": 1}, 1, 1]
    assert (facts["outputs_left_out"], facts["broken_characters"]) == (1, 2)
    # the evolver sees the instruction alone
    assert [len(chat) for chat in context.chats] == [1, 1]
    assert "Say \ufffd hi." in context.chats[1][0][1]
    first, second = [row for _, row in read_objects(tmp_path / "evolved" / "instructions.jsonl")]
    assert {name: first[name] for name in BEFORE} == BEFORE
    assert "system" not in second and second["input"] == "Two"

    context = Asked()
    inputs = {"instructions": tmp_path / "evolved", "model": tmp_path / "m"}
    facts = respond.run(TEXT | ROWS, inputs, tmp_path / "pairs", context).facts
    assert [facts[name] for name in names] == [1, 1, {}, 2, 0]
    assert (facts["outputs_replaced"], facts["broken_characters"]) == (0, 2)
    assert context.chats[0][:3] == [("system", "Be brief."), ("user", "Hi"), ("assistant", "Ho")]
    assert context.chats[0][3] == ("user", context.chats[0][3][1]) and "\ufffd" in context.chats[0][3][1]
    assert len(context.chats[1]) == 1
    first, second = [row for _, row in read_objects(tmp_path / "pairs" / "pairs.jsonl")]
    assert ({name: first[name] for name in BEFORE}, first["output"]) == (BEFORE, "\ud83d")
    assert not {"system", "history"} & set(second)


def test_an_adapter_answers_in_the_models_place(tmp_path: Path) -> None:
    problems = [{"question": text, "answer": "#### 1"} for text in ("One?", "Two?")]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "problems.jsonl").write_text("".join(json.dumps(row) + "\n" for row in problems))
    params = TEXT | {"benchmark": "gsm8k", "rows": None, "engine": TEXT["engine"] | {"lora_rank": 8}}
    texts = {}
    for name, adapter in {
        "base": {},
        "one": {"adapter": tmp_path / "one"},
        "two": {"adapter": tmp_path / "two"},
    }.items():
        (tmp_path / f"out-{name}").mkdir()
        inputs = {"model": tmp_path / "m", "data": tmp_path / "in"} | adapter
        answer.run(params, inputs, tmp_path / f"out-{name}", Context())
        rows = read_objects(tmp_path / f"out-{name}" / "completions.jsonl")
        texts[name] = tuple(row["text"] for _, row in rows)
    assert len(set(texts.values())) == 3
