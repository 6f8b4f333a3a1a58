"""Rewards of instructions and responses, and diversity: what is shown, what is embedded, and what a row's score is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from kit import prompts
from kit.errors import KitError, RequestError
from kit.metrics import Option, Rewrite, ScoreSettings, diversity, instruction_reward, options_with, reward
from kit.metrics._rewards import Rewarder
from kit.metrics._sums import results
from kit.prompts import fill
from kit.records import Instruction, Pair, Score, Turn
from kit.rewards import Reward

PACK = prompts.load("kit")
BEFORE = Instruction(id="s/0", instruction="Name a {river}.")
AFTER = Instruction(id="s/0", instruction="Name a river in Asia.", operator="deepen")
ROW = Rewrite(id="s/0", before=BEFORE, after=AFTER)


def options(metric: str, **given: Option) -> dict[str, Option]:
    return options_with(metric, given, "test")


def asked(way: str, instruction: str) -> str:
    return fill(PACK.chat(f"evol_instruct.{way}"), {"instruction": instruction})[0].content


SHOWN = {
    "the paper's": ({}, asked("deepen", "Name a {river}.")),
    "the repository's": ({"instruction_inside_the_prompt": "after"}, asked("deepen", "Name a river in Asia.")),
    "another operator": ({"operator": "concretize"}, asked("concretize", "Name a {river}.")),
}


@pytest.mark.parametrize(("given", "question"), SHOWN.values(), ids=list(SHOWN))
def test_the_evolution_prompt_asks_and_the_evolved_instruction_answers(given: dict[str, Option], question: str):
    chat = instruction_reward.chat_of(ROW, PACK, options("instruction_reward", **given))
    assert chat == (Turn(role="user", content=question), Turn(role="assistant", content="Name a river in Asia."))


def rewrite(text: str, operator: str) -> Rewrite:
    return Rewrite(id="s/0", before=BEFORE, after=Instruction(id="s/0", instruction=text, operator=operator))


@pytest.mark.parametrize(
    ("row", "reason"),
    [(rewrite(" \n", "deepen"), "empty text"), (rewrite("x", "join"), "no operator of Evol-Instruct")],
    ids=["empty", "another scenario's"],
)
def test_rows_without_a_reward(row: Rewrite, reason: str):
    assert instruction_reward.chat_of(row, PACK, options("instruction_reward")) == reason


def test_the_question_of_a_pair_and_what_came_before():
    pair = Pair(
        id="p", instruction="Sort.", input="3 1 2", output="1 2 3", system="Be brief.", history=(("Hi", "Yes?"),)
    )
    turns = [("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Sort.\n3 1 2")]
    wanted = (*(Turn(role=role, content=text) for role, text in turns), Turn(role="assistant", content="1 2 3"))
    assert reward.chat_of(pair) == wanted
    assert reward.chat_of(Pair(id="p", instruction="Sort.", output="")) == "empty text"


class Counting:
    """A reward model whose rewards are the numbers of characters of the last turns, up to ten."""

    fingerprint: Mapping[str, Any] = {"device": "cpu"}
    max_tokens = 10

    def rewards(self, chats: Mapping[str, Sequence[Turn]], progress: Any) -> list[Reward]:
        lengths = [len(chat[-1].content) for chat in chats.values()]
        progress(len(lengths))
        return [Reward(value=float(length) if length <= 10 else None, tokens=length) for length in lengths]

    def token_count(self, text: str) -> int:
        return len(text)


def test_each_row_has_a_reward_or_a_reason_in_its_place():
    told: list[int] = []
    texts = {"a": "four", "b": "", "c": "more than ten", "d": "six..."}
    scores = Rewarder(
        Counting(), "reward", lambda row: (Turn(role="assistant", content=row.text),) if row.text else "empty"
    )
    found = scores.score([SimpleNamespace(id=id, text=text) for id, text in texts.items()], told.append)
    assert found == [
        Score(id="a", values={"reward": 4.0}, facts={"tokens": 4, "chat_tokens": 4}),
        Score(id="b", skipped="empty"),
        Score(id="c", skipped="chat of more than 10 tokens", facts={"tokens": 13, "chat_tokens": 13}),
        Score(id="d", values={"reward": 6.0}, facts={"tokens": 6, "chat_tokens": 6}),
    ]
    assert told == [4, 4]
    (result,) = results(found, reward.METRICS)
    assert (result.value, result.n, result.failures) == (5.0, 2, {"chat of more than 10 tokens": 1, "empty": 1})


def scored(value: float | None, tokens: int) -> Score:
    values = {} if value is None else {"instruction_reward": value}
    return Score(id=f"s/{tokens}", values=values, skipped="" if values else "too long", facts={"tokens": tokens})


SCALED = {  # mean tokens of the two with a reward: 20
    "none": [2.0, -1.0],
    "times_tokens": [2.0 * 10 / 20, -1.0 * 30 / 20],
    "per_token": [2.0 / 10 * 20, -1.0 / 30 * 20],
}


@pytest.mark.parametrize(("scaling", "wanted"), SCALED.items(), ids=list(SCALED))
def test_scaling_by_length(scaling: str, wanted: list[float]):
    scores = [scored(2.0, 10), scored(None, 5000), scored(-1.0, 30)]
    found = instruction_reward.finish(scores, options("instruction_reward", length_scaling=scaling))
    assert [score.values.get("instruction_reward") for score in found] == pytest.approx([wanted[0], None, wanted[1]])
    assert found[1] == scores[1]


# diversity


class Letters:
    """An embedder whose vectors count three letters."""

    fingerprint: Mapping[str, Any] = {"device": "cpu"}
    max_tokens = 12

    def embed(self, texts: Sequence[str], progress: Any) -> Any:
        progress(len(texts))
        counts = [[text.count(letter) for letter in "abc"] for text in texts]
        return SimpleNamespace(vectors=np.array(counts, dtype=np.float32), tokens=tuple(map(len, texts)))


def instruction(id: str, text: str, material: str = "") -> Instruction:
    return Instruction(id=id, instruction=text, input=material)


def distances(rows: Sequence[Instruction], **given: Option) -> list[Score]:
    return diversity.Diversity(Letters(), options("diversity", **given)).score(rows, lambda done: None)


def test_a_row_is_as_far_as_its_nearest_other():
    rows = [
        instruction("r/0", "aa", "b"),
        instruction("r/1", " "),
        instruction("r/2", "aa", "bbb"),
        instruction("r/3", "aa", "b"),
    ]
    assert distances(rows) == [
        Score(
            id="r/0",
            values={"neighbour_distance": 0.0, "repeat_share": 1.0},
            facts={"neighbour": "r/3", "tokens": 4},
        ),
        Score(id="r/1", skipped="empty text"),
        Score(
            id="r/2",
            values={"neighbour_distance": 4.0, "repeat_share": 0.0},
            facts={"neighbour": "r/0", "tokens": 6},
        ),
        Score(
            id="r/3",
            values={"neighbour_distance": 0.0, "repeat_share": 1.0},
            facts={"neighbour": "r/0", "tokens": 4},
        ),
    ]


def test_instructions_alone_and_another_threshold():
    rows = [instruction("r/0", "a", "b" * 9), instruction("r/1", "aa", "c" * 20)]
    found = distances(rows, text="instruction", repeat_threshold=1.5)
    assert [score.values for score in found] == [{"neighbour_distance": 1.0, "repeat_share": 1.0}] * 2


def test_a_text_that_is_cut_says_so():
    found = distances([instruction("r/0", "a" * 13), instruction("r/1", "a" * 12)])
    assert [score.facts.get("cut_at") for score in found] == [12, None]


def test_its_curves_are_densities():
    scores = distances([instruction(f"r/{n}", "a" * n) for n in (0, 1, 2, 4)][1:])
    found = {curve.curve: curve for curve in diversity.curves([], scores, {})}
    assert sorted(found) == ["neighbour_density", "neighbour_histogram"]
    assert found["neighbour_histogram"].y[-1] == pytest.approx(100.0)  # two of three, at 1; the other lies beyond
    assert {name: curve.n for name, curve in found.items()} == {"neighbour_density": 3, "neighbour_histogram": 2}
    assert all(curve.fault() is None for curve in found.values())


@pytest.mark.parametrize("distance, curves", [(0.5, ["neighbour_histogram"]), (1.5, [])], ids=["inside", "beyond"])
def test_distances_that_are_alike_have_no_density(distance: float, curves: list[str]):
    scores = [Score(id=f"r/{n}", values={"neighbour_distance": distance, "repeat_share": 0.0}) for n in range(3)]
    assert [curve.curve for curve in diversity.curves([], scores, {})] == curves


# errors, before a model is loaded or a text embedded

ERRORS = {
    "one text": (
        lambda: distances([instruction("r/0", "a"), instruction("r/1", "")]),
        "diversity: 1 of 2 rows with a text; wanted two or more",
    ),
    "a way to embed": (
        lambda: diversity.open(Path("m"), ScoreSettings(options=options("diversity", text="instructions"))),
        "diversity: text: no way to embed named 'instructions'; did you mean 'instruction'?",
    ),
    "an instruction inside": (
        lambda: instruction_reward.open(
            Path("m"),
            ScoreSettings(options=options("instruction_reward", instruction_inside_the_prompt="befor"), pack=PACK),
        ),
        "instruction_reward: instruction_inside_the_prompt: no value 'befor'; did you mean 'before'?",
    ),
    "a scaling": (
        lambda: instruction_reward.open(
            Path("m"), ScoreSettings(options=options("instruction_reward", length_scaling="per_tokens"), pack=PACK)
        ),
        "instruction_reward: length_scaling: no value 'per_tokens'; did you mean 'per_token'?",
    ),
    "an option": (
        lambda: options("diversity", threshold=0.1),
        "test: diversity takes no option 'threshold'; did you mean 'repeat_threshold'?",
    ),
    "a type": (
        lambda: options("diversity", repeat_threshold="low"),
        "test.repeat_threshold: found 'low', wanted a number, such as 0.05",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=list(ERRORS))
def test_what_gives_no_score(act: Any, message: str):
    with pytest.raises((RequestError, KitError)) as caught:
        act()
    assert str(caught.value) == message
