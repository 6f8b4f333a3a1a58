"""The last line of a command; facts that no stage writes are reported in a sentence."""

import re
from types import SimpleNamespace
from typing import Any

import pytest

from kit.cli import outcomes
from kit.errors import KitError

FACTS: dict[str, Any] = {
    "examples": 4,
    "steps": 2,
    "loss_first": 2.5,
    "loss_last": 1.25,
    "truncated": 0,
    "dropped": {},
    "empty_responses": 0,
}


def test_a_line_from_a_stages_facts() -> None:
    assert outcomes.trained(FACTS, 512) == "tuned on 4 pairs in 2 steps, loss 2.500 to 1.250"


@pytest.mark.parametrize(
    "change, found",
    [
        ({"examples": "four"}, "ValueError"),
        ({"loss_last": None}, "TypeError"),
        ({"dropped": ["a"]}, "AttributeError"),
        ({"unread_fields": 7}, "AttributeError"),
    ],
)
def test_facts_of_another_type_are_reported(change: dict[str, Any], found: str) -> None:
    # A head that somebody planted in a shared store ended `kit sft` in a traceback, after the work was done.
    with pytest.raises(KitError, match=rf"^an artifact's facts are not those of its stage: {found}: .*kit store check"):
        outcomes.trained({**FACTS, **change}, 512)


def test_missing_facts_are_reported() -> None:
    few = {name: value for name, value in FACTS.items() if name != "steps"}
    with pytest.raises(KitError, match=re.escape("KeyError: 'steps'; `kit store check`")):
        outcomes.trained(few, 512)


def evolved(round: int, **facts: Any) -> Any:
    return SimpleNamespace(job=SimpleNamespace(params={"round": round}), facts=facts)


def test_a_round_of_several_steps_is_told_as_one() -> None:
    dropped = {"too short": 2, "no answer": 1}
    artifacts = [
        evolved(1, cut_at_limit=3, too_long=0, with_system=1),
        evolved(1, dropped=dropped),
        evolved(2, cut_at_limit=1, too_long=4),
        evolved(2, dropped={"too short": 1}),
    ]
    assert outcomes.cut(artifacts, 64) == ", cut at 64 tokens (--max-tokens): 3 in round 1, 1 in round 2"
    assert outcomes.written(artifacts, 9, None) == (
        ", 1 with a system prompt, 4 too long to be asked, 3 left out: too short, 1 left out: no answer"
    )
