"""Instruction-following difficulty: how much less a response surprises a model once it has read the instruction.

With L the mean loss of a text's tokens under the scoring model, nats a token, Q the instruction with its input and A
the response, both without a chat template::

    IFD = L(A|Q) / L(A)        IC-IFD = L(A|Q) / (L(Q) L(A)) = IFD / L(Q)

A set's number is the mean of its rows' ratios, not the ratio of their means. ``instruction_ppl`` is L(Q) as it is, by
which the authors sort; ``instruction_perplexity`` is exp(L(Q)).

Source:
    arXiv 2412.11231, equations 1 and 2; HypherX/Evolution-Analysis @7595feb, Evol_Instruct/eval_loss.py.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from kit.measures import Measure
from kit.metrics import Keeps, Option, Progress, Reads, Role, ScoreSettings
from kit.records import Pair, Score
from kit.scoring.pairs import PairLosses, ScoringModel, ScoringSettings, open_model, score_pairs

VERSION = 2
READS: Reads = "pairs"
ROLE: Role = "scorer"
WHOLE = False
METRICS = {
    "ifd": Measure(title="IFD", kind="mean", counts="rows", lowest=0.0),
    "ic_ifd": Measure(title="IC-IFD", kind="mean", counts="rows", lowest=0.0),
    "instruction_ppl": Measure(
        title="Instruction PPL, L(Q)", unit="nats/token", digits=4, kind="mean", counts="rows", lowest=0.0
    ),
    "instruction_perplexity": Measure(
        title="Instruction perplexity, exp L(Q)", unit="", digits=2, kind="mean", counts="rows", lowest=1.0
    ),
    "response_loss": Measure(
        title="Response alone, L(A)", unit="nats/token", digits=4, kind="mean", counts="rows", lowest=0.0
    ),
    "response_loss_after_instruction": Measure(
        title="Response after instruction, L(A|Q)", unit="nats/token", digits=4, kind="mean", counts="rows", lowest=0.0
    ),
}
KEEPS: Mapping[str, Keeps] = {
    "ifd": "highest",
    "ic_ifd": "highest",
    "instruction_ppl": "lowest",
    "instruction_perplexity": "lowest",
}
OPTIONS: Mapping[str, Option] = {"boundary": "authors", "only_below_1": False}
"""``boundary``: the rule of :mod:`kit.scoring.boundaries` for where the response begins. ``only_below_1``: leave out
rows with an IFD of 1 or more, as the first IFD code does (MingLiiii/Cherry_LLM) and the paper does not."""
NOT_BELOW_1 = "its IFD is not below 1"
LARGEST = 700.0
"""The largest loss whose exponent is taken as it is; a float ends a little above."""


def open(model: Path | None, settings: ScoreSettings) -> "Ifd":  # noqa: A001 - the verb that every metric has
    """Load the scoring model of a folder.

    Raises:
        RequestError: the folder is no model whose losses can be computed, or an option has an unknown value.
    """
    assert model is not None, "a scorer has a folder"
    chosen = ScoringSettings(
        dtype=settings.dtype, boundary=str(settings.options["boundary"]), max_tokens=settings.max_tokens
    )
    return Ifd(open_model(model, chosen), chosen, only_below_1=bool(settings.options["only_below_1"]))


class Ifd:
    """Scores pairs by their losses under one model."""

    def __init__(self, model: ScoringModel, settings: ScoringSettings, *, only_below_1: bool) -> None:
        self.fingerprint = model.fingerprint
        self._model = model
        self._settings = settings
        self._only_below_1 = only_below_1

    def score(self, rows: Sequence[Pair], progress: Progress) -> list[Score]:
        """Return one score a pair, in the order of the pairs; a pair that can't be scored has a reason."""
        losses = score_pairs(self._model, rows, self._settings, progress)
        return [score_of(row.id, one, only_below_1=self._only_below_1) for row, one in zip(rows, losses, strict=True)]


def score_of(id: str, losses: PairLosses, *, only_below_1: bool = False) -> Score:
    """Return the score of one pair from its losses.

    Args:
        id: of the pair.
        losses: its mean losses, or the reason why it has none.
        only_below_1: leave it out where its IFD is 1 or more.
    """
    facts = {"instruction_tokens": losses.question_tokens, "response_tokens": losses.answer_tokens}
    if losses.skipped:
        return Score(id=id, skipped=losses.skipped, facts=facts)
    ifd = losses.answer_given_question / losses.answer
    if only_below_1 and ifd >= 1:
        return Score(id=id, skipped=NOT_BELOW_1, facts=facts)
    values = {
        "ifd": ifd,
        "ic_ifd": ifd / losses.question,
        "instruction_ppl": losses.question,
        "instruction_perplexity": math.exp(min(losses.question, LARGEST)),
        "response_loss": losses.answer,
        "response_loss_after_instruction": losses.answer_given_question,
    }
    return Score(id=id, values=values, facts=facts)
