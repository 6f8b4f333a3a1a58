"""Difficulty of an instruction as a number of 0 to 100, as a judge rates it (table 13 of the paper).

    "Name a river."  ->  the judge's reply "5"  ->  {"difficulty_score": 5.0}

The judge sees the instruction alone, without its input. Its score is the mean over the replies that are a number, of 0
to 100; other numbers, and other replies, are left out and counted by reason.

There are two ways to ask, by the option ``wording``: ``score`` asks for one overall number, as the authors' script
does, and the whole reply has to be the number; ``reasons`` asks what the user wants and which knowledge it takes before
the number, as figure 19 of the paper does, and the reply's last line has to be the number.

A judge that is too small to write a number is asked for the likelihoods of five: :data:`LABELS`. As these are compared
with their mean over the set (:func:`kit.judges.local.by_labels`), they tell instructions of one set apart; means of two
sets are not to be compared.

Authors' script: HypherX/Evolution-Analysis @7595feb, ``Evol_Instruct/eval_complex_score.py``.
"""

import re
from collections.abc import Mapping, Sequence

from kit.errors import RequestError, did_you_mean, shown
from kit.measures import Measure
from kit.metrics import Keeps, Option, Reads, Role
from kit.metrics._judged import asked_about, reason_without, verdict_on
from kit.prompts import Pack
from kit.records import Instruction, Question, Score, Verdict

VERSION = 1
JUDGE_ASKS = 1
READS: Reads = "instructions"
ROLE: Role = ""
WHOLE = False
LOWEST, HIGHEST = 0.0, 100.0
METRICS: Mapping[str, Measure] = {
    "difficulty_score": Measure(
        title="Difficulty", unit="points", kind="mean", counts="instructions", lowest=LOWEST, highest=HIGHEST
    )
}
KEEPS: Mapping[str, Keeps] = {"difficulty_score": "highest"}
OPTIONS: Mapping[str, Option] = {"wording": "score"}
WORDINGS: Mapping[str, str] = {"score": "difficulty.score", "reasons": "difficulty.reasons"}
"""Value of the option -> the template that asks."""
JUDGE_PROMPTS = tuple(WORDINGS.values())
REPLY_TOKENS: Mapping[str, int] = {"score": 4, "reasons": 120}
"""Value of the option -> about how many tokens a reply has."""
REASONED = "#reasons"
"""End of the ids of questions that ask for reasons before the number."""
LABELS = ("10", "30", "50", "70", "90")
"""Numbers whose likelihoods a small judge is asked for: the middle of each fifth of the range."""
NO_NUMBER = "reply is no number"
"""Reason of a row whose reply does not count."""
OUT_OF_RANGE = "number is not from 0 to 100"
"""Reason of a row whose reply is another number."""
NUMBER = re.compile(r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,2})?", re.ASCII)
"""A number as people and models write it: no ``nan``, no ``inf``, no blanks, nothing beside it."""


def judge_prompts(options: Mapping[str, Option]) -> Sequence[str]:
    """Return the template that the wording asks with.

    Raises:
        RequestError: there is no such wording.
    """
    wording = str(options["wording"])
    if wording not in WORDINGS:
        raise RequestError(
            f"difficulty_score: option wording: found {shown(wording)}, wanted {' or '.join(WORDINGS)}"
            f"{did_you_mean(wording, WORDINGS)}"
        )
    return (WORDINGS[wording],)


def reply_tokens(options: Mapping[str, Option]) -> int:
    """Return about how many tokens a judge writes for one row."""
    return REPLY_TOKENS[str(options["wording"])]


def questions(rows: Sequence[Instruction], pack: Pack, options: Mapping[str, Option]) -> list[Question]:
    """Return one question a row; any number may be its answer."""
    (template,) = judge_prompts(options)
    return [
        Question(id=_id(row, options), turns=asked_about(row, pack, template), labels=LABELS, is_open=True)
        for row in rows
    ]


def label(question: Question, reply: str) -> str:
    """Return the number of 0 to 100 that a reply gives, as text; empty where it gives none."""
    value = number_in(question.id, reply)
    return f"{value:.15g}" if value is not None and LOWEST <= value <= HIGHEST else ""


def number_in(id: str, reply: str) -> float | None:
    """Return the number that a reply gives, in or out of the range; None where it gives none.

    Args:
        id: id of the question, which says whether reasons were asked for.
        reply: the judge's text, without its thoughts.
    """
    said = reply.strip()
    if id.endswith(REASONED):
        said = said.rpartition("\n")[2].strip()
    return float(said) if NUMBER.fullmatch(said) else None


def judged(rows: Sequence[Instruction], verdicts: Mapping[str, Verdict], options: Mapping[str, Option]) -> list[Score]:
    """Return one score a row: the number of its reply, or the reason why the reply does not count."""
    return [_score(row.id, verdict_on(_id(row, options), verdicts)) for row in rows]


def _score(id: str, verdict: Verdict) -> Score:
    if verdict.label:
        return Score(id=id, values={"difficulty_score": float(verdict.label)})
    is_number = number_in(verdict.id, verdict.text) is not None
    return Score(id=id, skipped=OUT_OF_RANGE if is_number else reason_without(verdict, NO_NUMBER))


def _id(row: Instruction, options: Mapping[str, Option]) -> str:
    """Return the id of the question about a row."""
    return row.id + (REASONED if options["wording"] == "reasons" else "")
