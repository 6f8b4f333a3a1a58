"""Stage ``evolve``: rows that a step wrote are checked, and texts are counted; with no row left nothing is asked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kit.engines import TOO_LONG
from kit.errors import KitError
from kit.records import Completion, Instruction, Pair, write_rows
from kit.scenarios import Made, Step
from kit.stages import evolve, respond

KEPT = Instruction(id="s/0", instruction="a")
MADE: dict[str, tuple[Made, str]] = {
    "lost": (Made(rows=[KEPT]), "of 3 rows 1 were written and 0 left out for a reason; count the others in "
             "Made.dropped"),
    "counted in part": (Made(rows=[KEPT], dropped={"short": 1}), "of 3 rows 1 were written and 1 left out for a "
                        "reason; count the others in Made.dropped"),
    "a type": (Made(rows=[Pair(id="s/0", instruction="a", output="b")]), "wrote a row of type Pair, wanted "
               "Instruction (makes)"),
    "below none": (Made(rows=[], dropped={"short": -3}), "dropped: found 'short': -3, wanted a reason and a count"),
    "a share": (Made(rows=[], dropped={"short": 3.0}), "dropped: found 'short': 3.0, wanted a reason and a count"),
    "no reason": (Made(rows=[], dropped={None: 3}), "dropped: found None: 3, wanted a reason and a count"),
}  # fmt: skip


@pytest.mark.parametrize("made, message", MADE.values(), ids=list(MADE))
def test_rows_that_are_not_what_the_step_says(made: Made, message: str):
    # they were left out in silence, or could not be read by the next step
    with pytest.raises(KitError) as caught:
        evolve.check_made(made, 3, Step(run=lambda *_: made), "step s")
    assert str(caught.value) == f"step s: {message}"
    evolve.check_made(Made(rows=[KEPT], dropped={"short": 2, "long": 0}), 3, Step(run=lambda *_: made), "step s")
    # one that makes other things of its rows says how many it expects
    evolve.check_made(Made(rows=[KEPT]), 3, Step(run=lambda *_: made, expects=lambda counts: 1), "step s")


def test_texts_are_counted_in_the_step_that_writes_them():
    # a row that keeps its finish_reason was counted again in each later step, and a row left out was not counted
    ends = ["length", "length", TOO_LONG, "stop"]
    texts = [
        Completion(id=f"s/{n}", text="\ufffd" * (n == 3), tokens=n, finish_reason=end) for n, end in enumerate(ends)
    ]
    engine = SimpleNamespace(fingerprint={"engine": "none"})
    context: Any = SimpleNamespace(engine=lambda *_: engine, generate=lambda *_: texts)
    params = {"engine": {}, "sampling": {}}
    tools = evolve.StepTools("s", Step(run=lambda *_: Made(rows=[])), params, {"model": Path("m")}, context)
    assert tools.facts() == {
        "tokens": 0, "cut_at_limit": 0, "too_long": 0, "broken_characters": 0, "engine": {"engine": "none"}
    }  # fmt: skip
    assert tools.generate([]) == texts
    facts = {"tokens": 6, "cut_at_limit": 2, "too_long": 1, "broken_characters": 1, "engine": {"engine": "none"}}
    assert tools.facts() == facts


def test_where_every_row_is_left_out_no_responder_is_started(tmp_path: Path):
    # the model was loaded for nothing, and the training behind it failed without saying which step left the rows out
    (tmp_path / "0123456789abcdef").mkdir()
    write_rows(tmp_path / "0123456789abcdef" / "instructions.jsonl", [])
    context: Any = object()
    with pytest.raises(KitError) as caught:
        respond.run({}, {"instructions": tmp_path / "0123456789abcdef"}, tmp_path, context)
    assert str(caught.value) == (
        "no instruction is left to respond to; how many were left out, and why: kit store show 0123456789"
    )
