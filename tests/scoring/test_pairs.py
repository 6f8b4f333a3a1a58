"""kit/scoring/pairs.py: three rows worked out by hand, the authors' three calls, and rows that can't be scored."""

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from kit.errors import RequestError
from kit.records import Pair
from kit.scoring import pairs as scoring
from kit.scoring.pairs import PairLosses, ScoringSettings, open_model, score_pairs
from tests.scoring.conftest import letters, scoring_model, table_model

BITS = math.log(2)


def pair(instruction: str, output: str, material: str = "", id: str = "x") -> Pair:
    return Pair(id=id, instruction=instruction, input=material, output=output)


BY_HAND = {
    # a b | break b a: after a, b has 1/2. After b, the break has 1/2; after it b 1/8; after b, a 1/8. Alone: 1/8.
    "no begin token": (False, pair("ab", "ba"), (1, 7 / 3, 3), (2, 3)),
    # a a break b | break a b b: 1/4, 1/8, 1/8. Then 1/2, 1/8, 1/2, 1/4. Alone: 1/2, 1/4.
    "with an input": (False, pair("aa", "abb", "b"), (8 / 3, 7 / 4, 3 / 2), (4, 4)),
    # <s> a | break b: after <s>, a has 1/2. Then 1/8, 1/8. Alone, <s> b: 1/4.
    "begin token": (True, pair("a", "b"), (1, 3, 2), (2, 2)),
}


@pytest.mark.parametrize("boundary", ["authors", "exact"])
@pytest.mark.parametrize(("begin", "row", "bits", "tokens"), BY_HAND.values(), ids=list(BY_HAND))
def test_rows_worked_out_by_hand(begin, row, bits, tokens, boundary):
    settings = ScoringSettings(boundary=boundary)
    (found,) = score_pairs(scoring_model(table_model(), letters(begin=begin)), [row], settings)
    losses = (found.question, found.answer_given_question, found.answer)
    assert losses == pytest.approx([value * BITS for value in bits], rel=1e-6)
    assert (found.question_tokens, found.answer_tokens, found.skipped) == (*tokens, "")


def words(count: int, seed: int = 4) -> list[Pair]:
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(
            rng.choice(["count", "to", "three", "rivers", "of", "é", "\n"]) for _ in range(rng.randint(2, 14))
        )

    return [pair(text(), text(), text() if n % 3 == 0 else "", id=f"row/{n}") for n in range(count)]


def authors_way(model: Any, tokenizer: Any, row: Pair) -> tuple[float, float, float]:
    """Three calls with all logits, one row at a time, in fp64."""
    question = f"{row.instruction}\n{row.input}" if row.input else row.instruction
    joint = torch.tensor([tokenizer(f"{question}\n{row.output}").input_ids])
    response = torch.tensor([tokenizer(row.output).input_ids])
    length = len(tokenizer(question).input_ids)
    asked, answered = joint.clone(), joint.clone()
    asked[0, length:] = answered[0, :length] = -100
    calls = [(joint, asked), (joint, answered), (response, response)]
    with torch.inference_mode():
        return tuple(float(model(input_ids=ids, labels=labels).loss) for ids, labels in calls)


@pytest.fixture(scope="module")
def wanted(layered: Any) -> list[tuple[float, float, float]]:
    model, tokenizer = layered
    found = [authors_way(model.double(), tokenizer, row) for row in words(20)]
    model.float()
    return found


def losses(found: list[PairLosses]) -> list[tuple[float, float, float]]:
    return [(one.question, one.answer_given_question, one.answer) for one in found]


@pytest.mark.parametrize("budget", [1, 300, 100_000])
@pytest.mark.parametrize("window", [3, 1024])
def test_neither_batches_nor_parts_change_a_loss(monkeypatch, layered, wanted, budget, window):
    monkeypatch.setattr(scoring, "WINDOW", window)
    model = scoring_model(*layered, tokens_per_batch=budget)
    said: list[int] = []
    found = score_pairs(model, words(20), ScoringSettings(), said.append)
    for one, right in zip(losses(found), wanted, strict=True):
        assert one == pytest.approx(right, rel=1e-5)
    assert said == sorted(said)
    assert said[-1] == 20


def test_order_and_ranks_change_no_loss(layered, wanted):
    model, rows = scoring_model(*layered), words(20)
    backwards = losses(score_pairs(model, rows[::-1], ScoringSettings()))[::-1]
    # What two ranks are given: stage `score` cuts the rows in two.
    apart = [one for part in (rows[:10], rows[10:]) for one in losses(score_pairs(model, part, ScoringSettings()))]
    for one, other, right in zip(backwards, apart, wanted, strict=True):
        assert one == pytest.approx(right, rel=1e-5)
        assert other == pytest.approx(right, rel=1e-5)


SKIPPED = {
    "empty instruction": (pair("", "ab"), scoring.NO_QUESTION, (0, 0)),
    "empty response": (pair("ab", ""), scoring.NO_RESPONSE, (0, 0)),
    "half a character": (pair("ab", "a\ud83d"), scoring.HALF_CHARACTER, (0, 0)),
    "instruction of one token": (pair("a", "ab"), scoring.UNSCORED_QUESTION, (1, 3)),
    "response of one token": (pair("ab", "a"), scoring.UNSCORED_RESPONSE, (2, 2)),
    "too long for the model": (pair("ab", "a" * 70), scoring.TOO_LONG, (2, 71)),
    "too long for the limit": (pair("ab", "a" * 50), scoring.TOO_LONG, (2, 51)),
}


def test_rows_that_cannot_be_scored_have_a_reason_in_their_place():
    rows = [pair("ab", "ba"), *(row for row, *_ in SKIPPED.values()), pair("aa", "abb", "b")]
    found = score_pairs(scoring_model(table_model(), letters()), rows, ScoringSettings(max_tokens=40))
    assert [(one.skipped, (one.question_tokens, one.answer_tokens)) for one in found[1:-1]] == [
        (reason, tokens) for _, reason, tokens in SKIPPED.values()
    ]
    assert all(math.isnan(one.answer) for one in found[1:-1])
    assert losses([found[0], found[-1]]) == [
        pytest.approx([value * BITS for value in BY_HAND[name][2]], rel=1e-6)
        for name in ("no begin token", "with an input")
    ]


def test_a_token_that_the_model_has_no_embedding_for():
    tokenizer = letters()
    tokenizer.add_tokens(["c"])
    (found,) = score_pairs(scoring_model(table_model(), tokenizer), [pair("ab", "bc")], ScoringSettings())
    assert (found.skipped, found.question_tokens, found.answer_tokens) == (scoring.UNKNOWN_TOKEN, 2, 3)


class Certain:
    """Losses as a model would give them that is certain of every token, or of none."""

    def __init__(self, value: float) -> None:
        self.value = value

    def losses(self, rows: Any, progress: Any = None) -> list[torch.Tensor]:
        return [torch.full((row.scored,), self.value) for row in rows]


@pytest.mark.parametrize(
    ("value", "reason"), [(0.0, scoring.ZERO), (math.nan, scoring.NOT_FINITE), (math.inf, scoring.NOT_FINITE)]
)
def test_losses_that_nothing_can_be_divided_by(value, reason):
    model = scoring_model(table_model(), letters())
    odd = scoring.ScoringModel(
        losses=Certain(value), tokenizer=model.tokenizer, longest=64, embedding_rows=4, fingerprint={}
    )
    (found,) = score_pairs(odd, [pair("ab", "ba")], ScoringSettings())
    assert (found.skipped, found.question_tokens) == (reason, 2)


def test_no_rows_no_losses():
    assert score_pairs(scoring_model(table_model(), letters()), [], ScoringSettings()) == []


def test_a_folder_is_opened_checked_and_scored(tiny: Path, layered, wanted):
    model = open_model(tiny, ScoringSettings(boundary="exact"))
    assert (model.longest, model.fingerprint["layout"], model.fingerprint["dtype"]) == (512, "packed", "float32")
    found = score_pairs(model, words(20), ScoringSettings(boundary="exact"))
    for one, right in zip(losses(found), wanted, strict=True):  # one token a byte: nothing is joined
        assert one == pytest.approx(right, rel=1e-5)


def test_a_boundary_that_is_not_known_is_refused_before_anything_is_loaded(tmp_path: Path):
    with pytest.raises(RequestError) as caught:
        open_model(tmp_path, ScoringSettings(boundary="offsets"))
    assert str(caught.value) == f"{tmp_path}: no boundary named 'offsets'; known: authors, exact"


def test_memory_does_not_grow_with_the_rows(monkeypatch):
    # The most rows that are there as tokens at a time, whatever their number.
    monkeypatch.setattr(scoring, "WINDOW", 8)
    model = scoring_model(table_model(), letters())
    seen: list[int] = []
    real = model.losses.losses

    def watched(rows: Any, progress: Any = None) -> Any:
        seen.append(len(rows))
        return real(rows, progress)

    monkeypatch.setattr(model.losses, "losses", watched)
    assert len(score_pairs(model, [pair("ab", "ba")] * 50, ScoringSettings())) == 50
    assert max(seen) == 16
