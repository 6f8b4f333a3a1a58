"""AutoIF on real constraints, real queries and texts that a real model wrote, through the real sandbox."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from kit.engines import Request
from kit.errors import KitError
from kit.files.seeds import read_instructions
from kit.prompts import Templates, load
from kit.records import Completion, Instruction
from kit.registry import PACKAGE
from kit.sandbox import Sandbox, open_sandbox
from kit.scenarios import Work, autoif
from kit.scenarios._autoif_rows import WithFunctions, WithSamples

RULE: dict[str, Any] = {"threshold": 0.8, "minimum_functions": 1, "minimum_cases": 1}
ASKED_PLAINLY = Templates(
    name="p", templates={id: load("kit").chat(id)[:1] for id in (autoif.WRITE_CONSTRAINTS, autoif.WRITE_CHECKS)}
)
"""The kit's prompts without the opened turns of the assistant, which recorded texts don't continue."""


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with open_sandbox(workers=2) as opened:
        yield opened


class Recorded:
    """Tools of a step whose model gives recorded texts."""

    def __init__(self, sandbox: Sandbox, texts: Sequence[str] = ()) -> None:
        self.pack = ASKED_PLAINLY
        self.opened = sandbox
        self.texts = texts
        self.asked: list[Request] = []
        self.told: list[tuple[int, int]] = []

    def progress(self, done: int, total: int) -> None:
        self.told.append((done, total))

    def sandbox(self) -> Sandbox:
        return self.opened

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked = list(requests)
        return [Completion(id=one.id, text=text) for one, text in zip(requests, self.texts, strict=True)]


def work(rows: Sequence[Any], sides: Sequence[Sequence[Any]] = (), side: int = 0, **options: Any) -> Work:
    return Work(rows=rows, params={"round": 1, "seed": 42, "options": options}, sides=sides or [rows], side=side)


@pytest.mark.shared
def test_real_constraints_go_all_the_way(shared: Path, sandbox: Sandbox) -> None:
    data = shared / "data"
    seeds = read_instructions(data / "autoif/seed_instruction.txt", "lines", "constraints")
    assert (len(seeds), seeds[-1].id) == (36, "constraints/35")
    # the recorded lines are those that a model wrote in this step, where they are rows as they stand
    reply = (data / "autoif/sample_data/augment_instructions.txt").read_text(encoding="utf-8")
    model = Recorded(sandbox, [reply])
    rows = autoif.write_constraints(work(seeds, times=1), model).rows
    assert all(seed.instruction in model.asked[0].turns[0].content for seed in seeds)
    assert len(rows) == len(reply.split("\n")) + 36
    assert [row.instruction for row in rows[-36:]] == [seed.instruction for seed in seeds]

    # the recorded samples, of other constraints than these, eight each
    text = (data / "autoif/sample_data/eval_func_rft.jsonl").read_text(encoding="utf-8")
    records = [json.loads(line) for line in text.splitlines()]
    given = [Instruction(id=f"r/{n}", instruction=record["instruction"]) for n, record in enumerate(records)]
    model = Recorded(sandbox, [text for record in records for text in record["gpt-answer"]])
    sampled = autoif.write_checks(work(given, samples=8), model).rows
    assert [row.samples for row in sampled if isinstance(row, WithSamples)] == [one["gpt-answer"] for one in records]
    made = autoif.keep_checked(work(sampled, **RULE), model)
    kept = [row for row in made.rows if isinstance(row, WithFunctions)]
    assert len(kept) + sum(made.dropped.values()) == len(records)
    assert kept
    for row in kept:
        assert row.cases
        assert all(
            function in [json.loads(_block(text))["func"].strip() for text in _samples(sampled, row)]
            for function in row.functions
        )

    # real queries: the smaller side keeps all of its own, and the two sides have different ones
    queries = read_instructions(data / "sharegpt/ShareGPT_V3_filtered_500.json", "first-turns", "queries")
    assert len(queries) == 500
    sides = [kept, kept[:1]]
    options = {"equal_size": "constraints", "queries": 16}
    drawn = [autoif.draw(work(sides[side], sides, side, **options), model).rows for side in (0, 1)]
    assert [len(rows) for rows in drawn] == [1, 1]
    joined = [
        autoif.join(
            Work(
                rows=drawn[side],
                params={"round": 1, "seed": 42, "options": options},
                sides=drawn,
                side=side,
                data={"queries": queries},
            ),
            model,
        ).rows
        for side in (0, 1)
    ]
    assert [len(rows) for rows in joined] == [16, 16]
    assert {row.input for row in joined[0]} != {row.input for row in joined[1]}
    assert all(20 < len(row.input) < 300 for rows in joined for row in rows)
    assert len(autoif.check_data({"queries": queries}, options)) == 352


def _samples(rows: Sequence[Any], kept: WithFunctions) -> list[str]:
    """Return those texts of a constraint that hold a block of JSON."""
    (row,) = [row for row in rows if row.id == kept.id]
    return [text for text in row.samples if _is_json(_block(text))]


def _block(text: str) -> str:
    """Return the first fenced block of a text."""
    return text.partition("```json")[2].partition("```")[0].strip()


def _is_json(text: str) -> bool:
    """Return whether a text is JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def fenced(func: str, *cases: tuple[str, bool]) -> str:
    """Return a text with a block of JSON as a model is asked for it."""
    held = {"func": func, "cases": [{"input": text, "output": value} for text, value in cases]}
    return f"Here it is:\n```json\n{json.dumps(held)}\n```\nDone."


UPPER = fenced("def evaluate(response):\n    return response.isupper()", ("ABC", True), ("abc", False))
WRONG = fenced("def evaluate(response):\n    return True", ("abc", True))


def test_constraints_are_kept_by_what_agrees(sandbox: Sandbox) -> None:
    rows = [
        WithSamples(id="a", instruction="capitals", samples=[UPPER, WRONG, "no code"]),
        WithSamples(id="b", instruction="nothing", samples=["no code"] * 3),
        WithSamples(id="c", instruction="capitals", samples=[UPPER]),
    ]
    made = autoif.keep_checked(work(rows, **RULE), Recorded(sandbox))
    kept = [row for row in made.rows if isinstance(row, WithFunctions)]
    assert [(row.id, len(row.functions)) for row in kept] == [("c", 1)]
    assert kept[0].cases == [{"input": "ABC", "output": True}, {"input": "abc", "output": False}]
    assert sum(made.dropped.values()) == 2
    lenient = autoif.keep_checked(work(rows, **{**RULE, "threshold": 0.6}), Recorded(sandbox))
    assert [row.id for row in lenient.rows] == ["a", "c"]
    strict: dict[str, Any] = RULE | {"minimum_functions": 2}
    with pytest.raises(KitError, match=r"^step cross_check: none of the 2 constraints is left: "):
        autoif.keep_checked(work(rows[1:], **strict), Recorded(sandbox))


def test_a_side_that_keeps_nothing_ends_with_an_error(sandbox: Sandbox) -> None:
    rows = [WithSamples(id=str(n), instruction="a", samples=["no code", "```json\n{\n```"]) for n in range(3)]
    with pytest.raises(KitError) as caught:
        autoif.keep_checked(work(rows, **RULE), Recorded(sandbox))
    assert str(caught.value) == (
        "step cross_check: none of the 3 constraints is left: no function that loads 3; of what was written for them "
        "were left out: text without a block of JSON 3, text with broken JSON 3. Have more written (options times and "
        "samples, or longer texts: max_tokens), lower the options threshold, minimum_functions or minimum_cases, or "
        "take another evolver"
    )


def test_the_bundled_constraints_and_queries() -> None:
    bundled = PACKAGE / "bundled"
    constraints = [row.instruction for row in read_instructions(bundled / "mini-constraints.txt", "lines", "c")]
    assert len(set(constraints)) == len(constraints) == 8
    chats = json.loads((bundled / "mini-sharegpt.json").read_text(encoding="utf-8"))
    assert (len(chats), sum(len(chat["conversations"]) > 2 for chat in chats)) == (24, 6)
    queries = read_instructions(bundled / "mini-sharegpt.json", "first-turns", "queries")
    assert len(queries) == 23  # one begins with an answer
    assert len(set(autoif.check_data({"queries": queries}, {"queries": 16}))) == 22  # one is too short
