"""Auto Evol-Instruct: what is asked, what is kept of a reply, what is dropped and why, and the draw."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from kit import prompts
from kit.engines import Request
from kit.errors import RequestError
from kit.prompts import Templates
from kit.records import Completion, Instruction, Turn
from kit.scenarios import Work, auto_evol_instruct, steps_of
from kit.scenarios.auto_evol_instruct import Rewritten

PACK = prompts.load("kit")
AUTHORS = os.environ.get("KIT_AUTHORS_DIR", "")
KIT, PAPER = "### Final task", "#Finally Rewritten Instruction#:"
SEEDS = [Instruction(id=f"s/{n}", instruction=f"Task {n}.", input=f"material {n}", output="old") for n in range(3)]


class Model:
    """Tools of a step whose model gives the same replies to whatever it is asked, and keeps its requests."""

    def __init__(self, *replies: str, finish_reason: str = "stop", pack: Any = PACK) -> None:
        self.replies, self.finish_reason, self.pack = replies, finish_reason, pack
        self.asked: list[Request] = []

    def sandbox(self) -> Any:
        pytest.fail("no code is run")

    def generate(self, requests: Sequence[Request]) -> list[Completion]:
        self.asked = list(requests)
        return [
            Completion(id=request.id, text=text, finish_reason=self.finish_reason)
            for request, text in zip(requests, self.replies, strict=True)
        ]


def rewritten(model: Model, rows: Sequence[Instruction] = SEEDS, round: int = 1) -> list[Any]:
    work = Work(rows=rows, params={"round": round, "breadth": False, "seed": 42})
    return list(auto_evol_instruct.rewrite(work, model).rows)


def replied(reply: str, finish_reason: str = "stop", heading: str = KIT, id: str = "s/0") -> Rewritten:
    return Rewritten(
        id=id,
        instruction="old",
        input="material",
        history=(("a", "b"),),
        system="be kind",
        operator="planned",
        finish_reason=finish_reason,
        reply=reply.strip(),
        heading=heading,
    )


def extracted(*rows: Rewritten) -> tuple[list[str], dict[str, int]]:
    made = auto_evol_instruct.extract(Work(rows=rows, params={}), Model())
    return [row.instruction for row in made.rows], dict(made.dropped)


def test_the_steps_are_jobs_of_their_own_and_a_model_is_at_work_in_the_first_alone():
    found = {name: (step.worker, step.sides, step.makes) for name, step in steps_of("auto_evol_instruct").items()}
    assert found == {
        "rewrite": ("text", "own", Rewritten),
        "extract": ("cpu", "own", Instruction),
        "draw": ("cpu", "all", Instruction),
    }


def test_the_evolver_sees_the_instruction_and_not_the_input():
    model = Model("a", "b", "c")
    rewritten(model)
    for row, request in zip(SEEDS, model.asked, strict=True):
        assert [turn.role for turn in request.turns] == ["user", "assistant"]
        assert row.instruction in request.turns[0].content
        assert not any(row.input in turn.content for turn in request.turns)


def test_a_whole_reply_is_kept_with_what_goes_with_the_instruction():
    rows = [Instruction(id="s/7", instruction="Do.", input="x", output="y", system="z", history=(("a", "b"),))]
    assert rewritten(Model(f" {KIT}\nNew. \n", finish_reason="length"), rows) == [
        Rewritten(
            id="s/7",
            instruction="Do.",
            input="x",
            system="z",
            history=(("a", "b"),),
            operator="planned",
            finish_reason="length",
            reply=f"{KIT}\nNew.",
            heading=KIT,
        )
    ]


def test_the_seed_of_a_request_is_that_of_its_row():
    whole, last, again = Model("a", "b", "c"), Model("c"), Model("a", "b", "c")
    rewritten(whole)
    rewritten(last, SEEDS[2:])
    rewritten(again, round=2)
    seeds = [request.seed for request in whole.asked]
    assert len(set(seeds)) == 3
    assert last.asked[0].seed == seeds[2]
    assert not set(seeds) & {request.seed for request in again.asked}


# reply, heading, what is kept. The reply is trimmed, and what follows the heading is kept as it stands
KEPT = {
    "four parts": (f"a\n### Draft\nb\n{KIT}\nNew task.", KIT, "New task."),
    "several lines": (f"{KIT}\nOne.\n\nTwo.\n", KIT, "One.\n\nTwo."),
    "blank line below": (f"{KIT}\n\n  New.  ", KIT, "\n  New."),
    "a second heading": (f"{KIT}\nNew.\n{KIT}\nNewer.", KIT, f"New.\n{KIT}\nNewer."),
    "text beside the first": (f"{KIT} is next.\n{KIT}\nNew.", KIT, "New."),
    "the paper's heading": (f"Step 4:\n{PAPER}\nNew task.", PAPER, "New task."),
    "in a sentence": (f"It ends in {KIT}\nNew.", KIT, "New."),
}


@pytest.mark.parametrize("reply, heading, kept", KEPT.values(), ids=list(KEPT))
def test_what_follows_the_heading_is_the_new_instruction(reply: str, heading: str, kept: str):
    assert extracted(replied(reply, heading=heading)) == ([kept], {})


def test_what_goes_with_an_instruction_is_carried_over_and_its_output_is_not():
    made = auto_evol_instruct.extract(Work(rows=[replied(f"{KIT}\nNew.", "length")], params={}), Model())
    assert made.rows == [
        Instruction(
            id="s/0",
            instruction="New.",
            input="material",
            system="be kind",
            history=(("a", "b"),),
            operator="planned",
            finish_reason="length",
        )
    ]


NO, CUT, SAME, NOTHING, UNASKED = (
    "no heading of the fourth part",
    "cut at the token limit before the heading of the fourth part",
    "no line break after the heading of the fourth part",
    "nothing after the heading of the fourth part",
    "too long to be asked",
)
DROPPED = {
    "empty": ("", "stop", KIT, NO),
    "no heading": ("### Draft\nNew.", "stop", KIT, NO),
    "another pack's heading": (f"{PAPER}\nNew.", "stop", KIT, NO),
    "another's of the kit's": (f"{KIT}\nNew.", "stop", PAPER, NO),
    "a half heading": ("### Final\nNew.", "stop", KIT, NO),
    "cut": ("### Draft\nNew.", "length", KIT, CUT),
    "cut in the heading": ("### Draft\nNew.\n### Final ta", "length", KIT, CUT),
    "cut behind the heading": (f"### Draft\nNew.\n{KIT}", "length", KIT, NOTHING),
    "beside the heading": (f"{KIT} New.", "stop", KIT, SAME),
    "a colon too many": (f"{KIT}:\nNew.", "stop", KIT, SAME),
    "a blank behind the heading": (f"{KIT} \nNew.", "stop", KIT, SAME),
    "nothing": (f"### Draft\nNew.\n{KIT}\n \n", "stop", KIT, NOTHING),
    "too long": ("", "too_long", KIT, UNASKED),
}


@pytest.mark.parametrize("reply, finish_reason, heading, reason", DROPPED.values(), ids=list(DROPPED))
def test_a_reply_without_a_fourth_part_is_dropped_for_a_reason(
    reply: str, finish_reason: str, heading: str, reason: str
):
    kept = replied(f"{KIT}\nNew.", id="s/1")
    assert extracted(replied(reply, finish_reason, heading), kept) == (["New."], {reason: 1})


def test_reasons_are_counted():
    rows = [replied(reply, reason) for reply, reason in (("", "stop"), ("a", "stop"), ("a", "length"))]
    assert extracted(*rows, replied(f"{KIT}\nNew.")) == (["New."], {NO: 2, CUT: 1})


NONE_KEPT = {
    "no heading": (
        [replied("a"), replied("", "too_long"), replied("b")],
        "of this evolver's 3 replies on s none is kept: 2 no heading of the fourth part, 1 too long to be asked; "
        "wanted '### Final task' on a line of its own and the new instruction below it; a larger evolver keeps to the "
        "form",
    ),
    "cut": (
        [replied("a", "length"), replied("a", "length"), replied(f"{KIT} New.")],
        "of this evolver's 3 replies on s none is kept: 2 cut at the token limit before the heading of the fourth "
        "part, 1 no line break after the heading of the fourth part; wanted '### Final task' on a line of its own and "
        "the new instruction below it; more tokens a reply (max_tokens of evolve, evolve_max_tokens of the scale, "
        "--max-tokens), or a larger evolver keeps to the form",
    ),
}


@pytest.mark.parametrize("rows, message", NONE_KEPT.values(), ids=list(NONE_KEPT))
def test_an_evolver_of_whom_nothing_is_kept_is_an_error(rows: list[Rewritten], message: str):
    with pytest.raises(RequestError) as caught:
        extracted(*rows)
    assert str(caught.value) == message


def test_no_rows_are_no_error():
    assert extracted() == ([], {})


def pack(name: str, text: str) -> Templates:
    return Templates(name=name, templates={"auto_evol_instruct.evolve": (Turn(role="user", content=text),)})


BAD_PACKS = {
    "opencompass": (
        pack("opencompass", f"{KIT} {{instruction}}"),
        "prompt pack 'opencompass': auto_evol_instruct.evolve: the heading by which a rewrite is found in a reply is "
        "not known; known for kit, paper; add it to HEADINGS of scenarios/auto_evol_instruct.py",
    ),
    "no template": (
        Templates(name="kit", templates={}),
        "prompt pack 'kit' has no template 'auto_evol_instruct.evolve'; none is known; a manifest may name another "
        "pack for this job",
    ),
}


@pytest.mark.parametrize("bad, message", BAD_PACKS.values(), ids=list(BAD_PACKS))
def test_a_pack_whose_heading_is_not_known_is_told_before_a_model_is_asked(bad: Templates, message: str):
    model = Model("a", "b", "c", pack=bad)
    with pytest.raises(RequestError) as caught:
        rewritten(model)
    assert (str(caught.value), model.asked) == (message, [])


@pytest.mark.parametrize("name", ["kit", "paper"])
def test_a_packs_template_asks_for_the_heading_that_is_looked_for(name: str):
    if name == "paper" and not AUTHORS:
        pytest.skip("KIT_AUTHORS_DIR does not name a folder with the authors' files")
    template, heading = auto_evol_instruct.template_of(prompts.load(name, Path(AUTHORS) if name == "paper" else None))
    assert heading in template[0].content


def test_the_kits_template_opens_the_first_part_and_its_example_has_all_four():
    asked, opened = PACK.chat("auto_evol_instruct.evolve")
    assert (opened.role, opened.content) == ("assistant", "### Ways")
    parts = [line for line in asked.content.splitlines() if line.startswith("### ")]
    assert parts == ["### Ways", "### Plan", "### Draft", KIT] * 2


def test_the_papers_template_is_asked_as_it_stands():
    model = Model("a", "b", "c", pack=pack("paper", f"Reply with {PAPER} to {{instruction}}"))
    assert {row.heading for row in rewritten(model)} == {PAPER}
    assert [turn.content for turn in model.asked[1].turns] == [f"Reply with {PAPER} to Task 1."]


def test_the_larger_side_is_drawn_down_and_counted():
    large = [Instruction(id=f"s/{n}", instruction=f"a{n}") for n in range(7)]
    small = [Instruction(id=f"s/{n}", instruction=f"b{n}") for n in range(4, 9)]
    made = [
        auto_evol_instruct.draw(
            Work(rows=side, params={"seed": 42, "round": 1}, sides=[large, small], side=place), Model()
        )
        for place, side in enumerate((large, small))
    ]
    assert [len(one.rows) for one in made] == [5, 5]
    assert made[1].rows == small
    assert [dict(one.dropped) for one in made] == [
        {"not drawn, for sides of equal size": 2},
        {"not drawn, for sides of equal size": 0},
    ]


@pytest.mark.parametrize("rows, kept", [(1, 1), (8, 6), (7473, 5829), (20022, 15617), (52002, 40562)])
def test_rows_that_are_expected(rows: int, kept: int):
    assert auto_evol_instruct.expected([rows]) == kept
