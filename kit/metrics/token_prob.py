"""Top-token probability: how sure an evolver is of each token that it writes while it evolves.

At temperature 0 the token that is written is the likeliest one, so that its probability is the top one. The paper looks
at every output position; the authors' code at 7595feb keeps five of each reply at most. Paper 4, figure 5;
HypherX/Evolution-Analysis @7595feb, Evol_Instruct/get_response_prob.py and Plot_figure/plot_logprob.py (the density of
all positions of all replies, drawn at places from 0 to 0.99; the mean is the kit's own number).
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kit.engines import TOO_LONG
from kit.errors import RequestError, did_you_mean, shown
from kit.measures import CurveMeasure, Measure, Quantity
from kit.measures.densities import clustered_density
from kit.metrics import Keeps, Option, Progress, Reads, Role, ScoreSettings
from kit.records import Curve, Probe, Score

VERSION = 1
READS: Reads = "probes"
ROLE: Role = ""
WHOLE = False
SCENARIO, TEMPERATURE, TOP_P = "evol_instruct", 0.0, 1.0
METRICS = {
    "token_prob": Measure(
        title="Probability of the top token", unit="", digits=3, kind="mean", counts="rows", lowest=0.0, highest=1.0
    )
}
KEEPS: Mapping[str, Keeps] = {}
FIRST: Mapping[str, int | None] = {"all": None, "first-5": 5}
"""Value of the option ``positions`` -> number of output positions that count; None for all."""
OPTIONS: Mapping[str, Option] = {"positions": "all"}
CURVES = {
    "token_prob_density": CurveMeasure(
        title="Density of the top token's probability",
        x=Quantity(title="Probability", unit="", digits=2),
        y=Quantity(title="Density", unit="", digits=2),
    )
}
PLACES = tuple(round(0.01 * number, 2) for number in range(100))
"""Places from 0 to 0.99, as in the authors' plot, which has 1,000 of them."""

UNASKED = "too long to be asked"
EMPTY = "no token was written"


def open(model: Path | None, settings: ScoreSettings) -> "TokenProbability":  # noqa: A001 - every metric's verb
    """Return the scorer; no model is loaded: the evolver has written already.

    Raises:
        RequestError: the option ``positions`` has a value that is not known.
    """
    del model
    return TokenProbability(positions_of(settings.options))


def positions_of(options: Mapping[str, Option]) -> int | None:
    """Return how many output positions of a text count; None for all.

    Raises:
        RequestError: the option has a value that is not known.
    """
    value = options["positions"]
    if value not in FIRST:
        raise RequestError(
            f"token_prob: options.positions: found {shown(value)}, wanted 'all' (the paper's) or 'first-5' (the "
            f"authors' code){did_you_mean(str(value), FIRST)}"
        )
    return FIRST[str(value)]


class TokenProbability:
    """Takes the mean over the positions of each text."""

    def __init__(self, positions: int | None) -> None:
        self.fingerprint: Mapping[str, Any] = {}
        self._positions = positions

    def score(self, rows: Sequence[Probe], progress: Progress) -> list[Score]:
        """Return the mean probability of each row's tokens."""
        found = [self._score(row) for row in rows]
        progress(len(found))
        return found

    def _score(self, row: Probe) -> Score:
        counted = row.probabilities[: self._positions]
        if not counted:
            return Score(id=row.id, skipped=UNASKED if row.finish_reason == TOO_LONG else EMPTY)
        return Score(id=row.id, values={"token_prob": math.fsum(counted) / len(counted)})


def curves(rows: Sequence[Probe], scores: Sequence[Score], options: Mapping[str, Option]) -> list[Curve]:
    """Return the density over all positions of all rows; none where no two probabilities differ.

    The rows are independent, the positions of one row are not: its error is that of rows.
    """
    del scores
    positions = positions_of(options)
    texts = [row.probabilities[:positions] for row in rows]
    if len({value for text in texts for value in text}) < 2:
        return []
    density, error = clustered_density(texts, PLACES)
    values = sum(len(text) for text in texts)
    return [Curve(curve="token_prob_density", x=PLACES, y=tuple(density), error=tuple(error), n=values)]
