"""Top-token probability: means of texts worked out by hand, the density of all positions, and its messages."""

import math
from pathlib import Path

import pytest

from kit.engines import TOO_LONG
from kit.errors import RequestError
from kit.metrics import CurvedMetric, Option, ScoreSettings, load, token_prob
from kit.metrics._sums import results
from kit.records import Probe, Score, read_rows, write_rows

ALL: dict[str, Option] = {"positions": "all"}
FIRST: dict[str, Option] = {"positions": "first-5"}
SEVEN = [0.5, 0.25, 1.0, 0.75, 0.5, 0.0625, 0.125]


def probe(*probabilities: float, id: str = "s/0", finish_reason: str = "stop") -> Probe:
    return Probe(id=id, text="said", probabilities=probabilities, finish_reason=finish_reason, prompts="kit")


def scored(options: dict[str, Option], *rows: Probe) -> list[Score]:
    seen: list[int] = []
    found = token_prob.open(None, ScoreSettings(options=options)).score(rows, seen.append)
    assert seen == [len(rows)]
    return found


@pytest.mark.parametrize(
    ("options", "row", "wanted"),
    [
        # (0.5 + 0.25 + 1 + 0.75 + 0.5 + 0.0625 + 0.125) / 7 = 3.1875 / 7
        pytest.param(ALL, probe(*SEVEN), 0.45535714285714285, id="every position"),
        # (0.5 + 0.25 + 1 + 0.75 + 0.5) / 5
        pytest.param(FIRST, probe(*SEVEN), 0.6, id="five at most"),
        pytest.param(FIRST, probe(0.5, 1.0), 0.75, id="fewer than five"),
        pytest.param(ALL, probe(1.0), 1.0, id="one token"),
    ],
)
def test_the_mean_of_a_text(options: dict[str, Option], row: Probe, wanted: float) -> None:
    assert scored(options, row) == [Score(id="s/0", values={"token_prob": wanted})]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(probe(finish_reason=TOO_LONG), "too long to be asked", id="never asked"),
        pytest.param(probe(), "no token was written", id="nothing written"),
    ],
)
def test_texts_without_a_token_have_a_reason(row: Probe, reason: str) -> None:
    assert scored(ALL, row, probe(0.5, id="s/1")) == [
        Score(id="s/0", skipped=reason),
        Score(id="s/1", values={"token_prob": 0.5}),
    ]


def test_the_number_of_a_set() -> None:
    rows = [probe(0.5), probe(0.5, 1.0, id="s/1"), probe(id="s/2")]
    # the mean of 0.5 and 0.75; each row weighs alike, whatever its length: sqrt(2 * 0.125^2 / (1 * 2)) = 0.125
    (result,) = results(scored(ALL, *rows), token_prob.METRICS)
    assert (result.value, result.stderr, result.n, result.unit) == (0.625, 0.125, 2, "rows")
    assert result.failures == {"no token was written": 1}


def test_the_density_is_that_of_all_positions_of_all_rows() -> None:
    rows = [probe(0.2, 0.4), probe(0.9, 0.95, 1.0, 0.99, 0.5, 0.1, id="s/1")]
    values = [0.2, 0.4, 0.9, 0.95, 1.0, 0.99, 0.5]
    (curve,) = token_prob.curves(rows, [], FIRST)
    assert (curve.curve, len(curve.x), curve.x[0], curve.x[-1]) == ("token_prob_density", 100, 0.0, 0.99)
    mean = sum(values) / 7
    width = math.sqrt(sum((value - mean) ** 2 for value in values) / 6) * 7**-0.2
    wanted = [
        sum(math.exp(-(((x - value) / width) ** 2) / 2) for value in values) / (7 * width * math.sqrt(2 * math.pi))
        for x in curve.x
    ]
    assert curve.y == pytest.approx(wanted, rel=1e-9)
    assert curve.n == 7
    assert min(curve.error) > 0
    assert isinstance(load("token_prob"), CurvedMetric)


@pytest.mark.parametrize(
    "rows",
    [pytest.param([probe()], id="no token"), pytest.param([probe(0.5, 0.5), probe(0.5, id="s/1")], id="all alike")],
)
def test_values_without_a_spread_have_no_curve(rows: list[Probe]) -> None:
    assert token_prob.curves(rows, [], ALL) == []


def test_a_value_that_is_not_known() -> None:
    with pytest.raises(RequestError) as caught:
        token_prob.open(None, ScoreSettings(options={"positions": "first5"}))
    assert str(caught.value) == (
        "token_prob: options.positions: found 'first5', wanted 'all' (the paper's) or 'first-5' (the authors' code); "
        "did you mean 'first-5'?"
    )


def test_rows_come_back_from_their_file(tmp_path: Path) -> None:
    rows = [probe(*SEVEN), probe(id="s/1", finish_reason=TOO_LONG)]
    write_rows(tmp_path / "probes.jsonl", rows)
    assert [list(row.probabilities) for row in read_rows(tmp_path / "probes.jsonl", Probe)] == [SEVEN, []]
