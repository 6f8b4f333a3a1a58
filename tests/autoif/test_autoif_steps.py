"""AutoIF's steps: what is asked, with which seeds, what becomes of the replies, the draw and the join."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from kit import prompts
from kit.engines import Request
from kit.errors import RequestError
from kit.prompts import fingerprint, pins
from kit.records import Completion, Instruction
from kit.scenarios import Made, Work, autoif
from kit.scenarios._autoif_rows import WithFunctions, WithSamples
from kit.stages import respond

PACK = prompts.load("kit")
SEEDS = [Instruction(id=f"constraints/{n}", instruction=text) for n, text in enumerate(("Use no digits", "Say 'yes'"))]
QUERIES = [Instruction(id=f"queries/{n}", instruction=f"Question {n} about a thing that matters") for n in range(40)]
KEPT = [WithFunctions(id=f"reply-0/{n}", instruction=f"rule {n}", functions=[], cases=[]) for n in range(6)]


class Model:
    """Tools of a step whose model gives one text for every request and keeps the requests."""

    def __init__(self, text: str = "a\n- b -\n\n") -> None:
        self.asked: list[Request] = []
        self.text = text
        self.pack = PACK

    def sandbox(self) -> Any:
        return "the sandbox"

    def progress(self, done: int, total: int) -> None:
        raise AssertionError((done, total))

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked = list(requests)
        return [Completion(id=one.id, text=self.text, finish_reason="stop") for one in requests]


def work(rows: Sequence[Any], *, seed: int = 42, side: int = 0, **options: Any) -> Work:
    """Return the work of a step whose side has these rows, and whose other side has the first two of them."""
    sides = [rows, rows[:2]] if side == 0 else [rows[:2], rows]
    params = {"round": 1, "seed": seed, "options": options}
    return Work(rows=rows, params=params, sides=sides, side=side, data={"queries": QUERIES})


@pytest.mark.parametrize(
    ("reply", "lines"),
    [
        pytest.param("- a\n- b", ["a", "b"], id="dashes"),
        pytest.param("Here are some:\n\n- a", ["Here are some:", "", "a"], id="a lead-in and an empty line count"),
        pytest.param("--- a - b ---\r\n\tc", ["a - b", "c"], id="both ends alone"),
        pytest.param("a\na", ["a", "a"], id="twice the same"),
        pytest.param("", [""], id="nothing"),
        pytest.param("1. a\u2028b", ["1. a\u2028b"], id="no other line break, no number taken off"),
    ],
)
def test_lines_of_a_reply(reply: str, lines: list[str]) -> None:
    assert autoif.constraints_in(reply) == lines


def test_one_prompt_is_sent_several_times_and_the_seeds_follow() -> None:
    model = Model()
    made = autoif.write_constraints(work(SEEDS, times=3), model)
    assert len({request.seed for request in model.asked}) == len(model.asked) == 3
    assert len({request.turns for request in model.asked}) == 1
    assert "Use no digits\nSay 'yes'" in model.asked[0].turns[0].content
    texts = [row.instruction for row in made.rows]
    assert texts == ["a", "b", "", ""] * 3 + ["Use no digits", "Say 'yes'"]
    assert [row.id for row in made.rows][3:6] == ["reply-0/3", "reply-1/0", "reply-1/1"]
    assert [row.id for row in made.rows][-2:] == ["constraints/0", "constraints/1"]
    assert len({row.id for row in made.rows}) == len(made.rows)


MORE: dict[str, dict[str, Any]] = {
    "an input": {"input": "x"},
    "a system prompt": {"system": "x"},
    "a history": {"history": (("a", "b"),)},
}


@pytest.mark.parametrize("more", MORE.values(), ids=list(MORE))
def test_a_constraint_is_its_text_alone(more: dict[str, Any]) -> None:
    # what else a row held was lost without a word
    rows, model = [*SEEDS, replace(SEEDS[0], id="constraints/2", **more)], Model()
    with pytest.raises(RequestError) as caught:
        autoif.write_constraints(work(rows, times=1), model)
    assert str(caught.value) == (
        "1 of 3 seed constraints have an input, a system prompt or a history, first 'constraints/2'; autoif reads the "
        "instruction alone, wanted constraints without the others"
    )
    assert model.asked == []


def test_a_row_brings_its_own_request_seed() -> None:
    model = Model()
    made = autoif.write_checks(work(SEEDS, samples=8), model)
    seeds = {request.id: request.seed for request in model.asked}
    assert len(set(seeds.values())) == len(seeds) == 16
    assert [row.id for row in made.rows] == [row.id for row in SEEDS]
    # neither the rows beside it nor the number of samples change what a sample is asked with
    autoif.write_checks(work(SEEDS[1:], samples=3), model)
    assert [(one.id, one.seed) for one in model.asked] == [
        (f"constraints/1/{n}", seeds[f"constraints/1/{n}"]) for n in range(3)
    ]
    autoif.write_checks(work(SEEDS, samples=8, seed=43), model)
    assert not {request.seed for request in model.asked} & set(seeds.values())


def test_what_a_template_opens_is_part_of_the_sample() -> None:
    opened = PACK.chat(autoif.WRITE_CHECKS)[-1]
    assert opened.role == "assistant"
    made = autoif.write_checks(work(SEEDS, samples=1), Model(" and more"))
    assert [row.samples for row in made.rows if isinstance(row, WithSamples)] == [[f"{opened.content} and more"]] * 2
    model = Model("```json")
    model.pack = prompts.Templates(name="p", templates={autoif.WRITE_CHECKS: PACK.chat(autoif.WRITE_CHECKS)[:1]})
    (row,) = autoif.write_checks(work(SEEDS[:1], samples=1), model).rows
    assert isinstance(row, WithSamples)
    assert row.samples == ["```json"]


@pytest.mark.parametrize("place", range(3))
def test_rows_of_the_scenarios_own_go_through_a_file(place: int) -> None:
    row = (
        WithSamples(id="a", instruction="b", samples=["c"]),
        WithFunctions(id="a", instruction="b", functions=["d"], cases=[{"input": "e", "output": True}]),
        KEPT[0],
    )[place]
    assert type(row).from_json(row.to_json()) == row


def drawn(rows: Sequence[Any], rule: str = "constraints", **more: Any) -> Made:
    return autoif.draw(work(rows, equal_size=rule, **more), Model())


def test_the_draw_depends_on_the_seed_and_the_sets_alone() -> None:
    made = drawn(KEPT)
    ids = [row.id for row in made.rows]
    assert len(ids) == 2
    assert made.dropped == {"more constraints than another evolver has": 4}
    assert ids == sorted(ids)
    assert {row.id for row in drawn(KEPT[::-1], side=1).rows} == {row.id for row in drawn(KEPT, side=1).rows}
    assert len({tuple(row.id for row in drawn(KEPT, seed=seed).rows) for seed in range(20)}) > 3
    assert [row.id for row in drawn(KEPT[:2]).rows] == [row.id for row in KEPT[:2]]
    assert drawn(KEPT, "records").rows == KEPT


def joined(rows: Sequence[Any], rule: str = "constraints", queries: int = 5, **more: Any) -> Made:
    return autoif.join(work(rows, equal_size=rule, queries=queries, **more), Model())


def test_each_constraint_gets_different_queries() -> None:
    made = joined(KEPT)
    assert len(made.rows) == 30
    assert [row.instruction for row in made.rows] == [row.instruction for row in KEPT for _ in range(5)]
    groups = [tuple(row.input for row in made.rows[at : at + 5]) for at in range(0, 30, 5)]
    assert all(len(set(group)) == 5 for group in groups)
    assert len(set(groups)) == 6
    assert len({row.id for row in made.rows}) == 30
    assert all(type(row) is Instruction for row in made.rows)


def test_the_sides_have_different_queries() -> None:
    first, second = (joined(KEPT, side=side) for side in (0, 1))
    same = [one.input == other.input for one, other in zip(first.rows, second.rows, strict=True)]
    assert [row.id for row in first.rows] == [row.id for row in second.rows]
    assert sum(same) < 5
    # a row's queries depend on no other row
    assert joined(KEPT[2:]).rows == first.rows[10:]
    assert joined(KEPT, seed=43).rows != first.rows


def test_records_are_drawn_after_the_join() -> None:
    whole, made = joined(KEPT), joined(KEPT, "records")
    assert len(made.rows) == 10  # the other side has two constraints
    assert made.dropped == {"more records than another evolver has": 20}
    places = [whole.rows.index(row) for row in made.rows]
    assert places == sorted(places)
    assert len({row.instruction for row in made.rows}) > 2  # constraints would be two
    assert [row.id for row in joined(KEPT[:2], "records", side=1).rows] == [row.id for row in joined(KEPT[:2]).rows]


@pytest.mark.parametrize(
    ("row", "query"),
    [
        (Instruction(id="q", instruction="What?"), "What?"),
        (Instruction(id="q", instruction="What is it?", input="a stone"), "What is it?\na stone"),
        (Instruction(id="q", instruction="And then?", history=(("First?", "Yes."),)), "First?"),
    ],
    ids=["alone", "with an input", "of several turns"],
)
def test_the_query_is_what_was_said_first(row: Instruction, query: str) -> None:
    assert autoif.query_of(row) == query


LENGTHS = [Instruction(id=f"q/{n}", instruction="x" * n) for n in (20, 21, 299, 300)]


def test_queries_are_between_two_lengths() -> None:
    assert [len(text) for text in autoif.check_data({"queries": LENGTHS}, {"queries": 2})] == [21, 299]
    with pytest.raises(RequestError) as caught:
        autoif.join(replace(work(KEPT, equal_size="constraints", queries=3), data={"queries": LENGTHS}), Model())
    assert str(caught.value) == (
        "queries: 2 of 4 have 21 to 299 characters, and each constraint takes 3; give more queries, or lower the "
        "option queries"
    )


@pytest.mark.parametrize(
    ("name", "counts", "options", "texts", "rows"),
    [
        ("constraints", [36, 36], {"times": 100, "max_tokens": 2048}, 100, 5036),
        ("constraints", [8, 8], {"times": 2, "max_tokens": 160}, 2, 28),
        ("checks", [5036, 5036], {"samples": 8}, 40288, 5036),
        ("cross_check", [5036, 5036], {}, 0, 604),
        ("cross_check", [2, 2], {}, 0, 1),
        ("draw", [780, 420], {"equal_size": "constraints"}, 0, 420),
        ("draw", [780, 420], {"equal_size": "records"}, 0, 780),
        ("join", [420, 420], {"equal_size": "constraints", "queries": 16}, 0, 6720),
        ("join", [780, 420], {"equal_size": "records", "queries": 16}, 0, 6720),
    ],
)
def test_expected_numbers(name: str, counts: list[int], options: dict[str, Any], texts: int, rows: int) -> None:
    amount = autoif.STEPS[name].amount
    assert amount is not None
    found = amount(counts, 0, options)
    assert (found.texts, found.rows) == (texts, rows)


def test_each_steps_rows_are_what_the_next_one_reads() -> None:
    made = [step.makes for step in autoif.STEPS.values()]
    assert made == [Instruction, WithSamples, WithFunctions, WithFunctions, Instruction]
    for (_, before), (name, _) in pairwise(autoif.STEPS.items()):
        assert (before.makes is WithFunctions) == (name in ("draw", "join"))


def test_a_response_is_asked_for_with_constraint_and_query_in_one_turn() -> None:
    row = Instruction(id="a", instruction="Use no {query}s", input="What is {constraint}?", history=(("b", "c"),))
    *before, turn = respond.chat_of(row, PACK, autoif.RESPONSE_PROMPT)
    (template,) = PACK.chat("autoif.respond")
    assert [one.content for one in before] == ["b", "c"]
    assert turn.role == "user"
    assert turn.content.count("Use no {query}s") == turn.content.count("What is {constraint}?") == 1
    assert "strictly" in template.content
    assert turn.content != respond.chat_of(row, PACK)[-1].content


@pytest.mark.parametrize("id", [autoif.WRITE_CONSTRAINTS, autoif.WRITE_CHECKS, autoif.RESPONSE_PROMPT])
def test_both_packs_have_the_prompts(id: str) -> None:
    own = {"kit": fingerprint("kit", [id]), "paper": fingerprint("paper", [id])}
    assert own["kit"] != own["paper"]
    (pin,) = [pin for pin in pins.read("paper").prompts if pin.id == id]
    text = PACK.chat(id)[0].content
    assert all(f"{{{name}}}" in text for name in pin.placeholders)
