"""kit/metrics/ifd.py and length.py: ratios of losses, what the paper's Table 15 prints, lengths without the input."""

import math
import tomllib
from pathlib import Path
from typing import Any

import pytest

from kit.errors import RequestError
from kit.metrics import ScoreSettings, ifd, length, metric_with, options_with
from kit.metrics._sums import results
from kit.records import Pair, Score
from kit.scoring.pairs import PairLosses, ScoringSettings
from tests.scoring.conftest import letters, scoring_model, table_model

ROOT = Path(__file__).resolve().parents[2]
ROWS = [
    Pair(id="0", instruction="ab", output="ba"),
    Pair(id="1", instruction="", output="ba"),
    Pair(id="2", instruction="aa", input="b", output="abb"),
]
BITS = math.log(2)


def scorer(**options: Any) -> ifd.Ifd:
    return ifd.Ifd(scoring_model(table_model(), letters()), ScoringSettings(), **({"only_below_1": False} | options))


def test_scores_worked_out_by_hand():
    # The losses are those of tests/scoring/test_pairs.py: 1, 7/3, 3 and 8/3, 7/4, 3/2 bits.
    said: list[int] = []
    first, empty, second = scorer().score(ROWS, said.append)
    assert first.values == pytest.approx(
        {
            "ifd": 7 / 9,
            "ic_ifd": 7 / 9 / BITS,
            "instruction_ppl": BITS,
            "instruction_perplexity": 2,
            "response_loss": 3 * BITS,
            "response_loss_after_instruction": 7 / 3 * BITS,
        },
        rel=1e-6,
    )
    assert second.values["ifd"] == pytest.approx(7 / 6, rel=1e-6)
    assert second.values["ic_ifd"] == pytest.approx(7 / 6 / (8 / 3 * BITS), rel=1e-6)
    assert second.values["instruction_perplexity"] == pytest.approx(2 ** (8 / 3), rel=1e-6)
    assert second.facts == {"instruction_tokens": 4, "response_tokens": 4}
    assert empty == Score(
        id="1", skipped="the instruction is empty", facts={"instruction_tokens": 0, "response_tokens": 0}
    )
    assert said[-1] == 3


def test_the_first_codes_cut_is_an_option():
    kept, _, cut = scorer(only_below_1=True).score(ROWS, lambda _done: None)
    assert kept.values["ifd"] < 1
    assert (cut.values, cut.skipped) == ({}, "its IFD is not below 1")


LOSSES = [PairLosses(question=q, answer_given_question=ga, answer=a) for q, ga, a in ((2.0, 1.0, 4.0), (0.5, 3.0, 2.0))]


def test_ic_ifd_is_ifd_over_the_instructions_loss():
    for losses in LOSSES:
        values = ifd.score_of("x", losses).values
        assert values["ic_ifd"] == values["ifd"] / values["instruction_ppl"]
        assert values["ifd"] * values["response_loss"] == pytest.approx(values["response_loss_after_instruction"])


def test_a_sets_number_is_the_mean_of_the_rows_ratios():
    scores = [ifd.score_of(str(number), losses) for number, losses in enumerate(LOSSES)]
    scores.append(Score(id="2", skipped="the response is empty"))
    found = {result.metric: result for result in results(scores, ifd.METRICS)}
    assert list(found) == list(ifd.METRICS)
    assert found["ifd"].value == (0.25 + 1.5) / 2  # the ratio of the means is 4 / 6
    assert found["ic_ifd"].value == (0.125 + 3.0) / 2
    assert (found["ifd"].n, found["ifd"].failures) == (2, {"the response is empty": 1})
    # 156 %: more than all, which a share can't be
    assert all(result.is_sound(ifd.METRICS[result.metric]) for result in found.values())


def test_table_15_is_in_percent_and_its_two_numbers_go_together():
    printed = tomllib.loads((ROOT / "manifests" / "paper" / "table-15.toml").read_text(encoding="utf-8"))
    for column in printed["column"][:2]:
        measure = ifd.METRICS[column["id"]]
        assert (column["unit"], measure.unit, measure.digits, measure.kind) == ("percent", "percent", 2, "mean")
    for row in printed["row"]:
        # IC-IFD is IFD over L(Q), so that their ratio lies between the least and the largest L(Q): 1 to 4 nats a token.
        assert 1 < row["values"]["ifd"] / row["values"]["ic_ifd"] < 4


def test_a_loss_without_an_exponent_has_the_largest():
    values = ifd.score_of("x", PairLosses(question=5000.0, answer_given_question=1.0, answer=1.0)).values
    assert math.isfinite(values["instruction_perplexity"])


def test_a_folder_is_opened_with_its_options(tiny: Path):
    opened = ifd.open(tiny, ScoreSettings(options=options_with("ifd", {"boundary": "exact"}, "x")))
    (score,) = opened.score([Pair(id="a", instruction="Count.", output="1 2")], lambda _done: None)
    assert score.values["ic_ifd"] == score.values["ifd"] / score.values["instruction_ppl"]
    assert opened.fingerprint["layout"] == "packed"
    with pytest.raises(RequestError) as caught:
        ifd.open(tiny, ScoreSettings(options=options_with("ifd", {"boundary": "begin"}, "x")))
    assert str(caught.value) == f"{tiny}: no boundary named 'begin'; known: authors, exact"
    with pytest.raises(RequestError) as caught:
        options_with("ifd", {"boundry": "exact"}, "metrics.ifd.options")
    assert str(caught.value) == "metrics.ifd.options: ifd takes no option 'boundry'; did you mean 'boundary'?"


def test_numbers_to_select_by():
    assert [metric_with(number, "x") for number in ("ifd", "ic_ifd", "instruction_ppl")] == ["ifd"] * 3
    assert metric_with("instruction_length", "x") == "length"
    assert ifd.KEEPS == {
        "ifd": "highest", "ic_ifd": "highest", "instruction_ppl": "lowest", "instruction_perplexity": "lowest",
    }  # fmt: skip


def test_length_is_that_of_the_instruction_without_its_input(monkeypatch):
    monkeypatch.setattr(length, "AT_ONCE", 2)
    counted, said = length.Length(letters(begin=True)), []
    rows = [*ROWS, Pair(id="3", instruction="a\ud83d", output="b")]
    found = counted.score(rows, said.append)
    assert [one.values for one in found] == [
        {"instruction_length": 2.0}, {"instruction_length": 0.0}, {"instruction_length": 2.0}, {}
    ]  # fmt: skip
    assert found[3].skipped == "a text holds half a character, which no tokenizer takes"
    assert said == [2, 4]
