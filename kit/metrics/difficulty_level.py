"""Difficulty of an instruction in five levels, as a judge rates it (figure 2 of the paper).

    "Name a river."  ->  the judge's reply "very easy"  ->  {"very_easy": 1, "easy": 0, ..., "very_hard_share": 0}

The judge sees the instruction alone, without its input. A reply counts if, without blanks around it, it is one of the
five labels in lower case; others are left out, and counted by reason. A judge that is too small to write one is asked
for the likelihoods of the labels (:func:`kit.judges.local.by_labels`).

Authors' scripts: HypherX/Evolution-Analysis @7595feb, ``Evol_Instruct/eval_complex_rate.py`` and
``Plot_figure/plot_bar.py``.
"""

from collections.abc import Mapping, Sequence

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
LABELS = ("very easy", "easy", "medium", "hard", "very hard")
"""Levels in the order of their difficulty, as the judge is asked to write them."""
SHARE = "very_hard_share"
"""Id of the share of instructions that are very hard."""
METRICS: Mapping[str, Measure] = {
    **{
        label.replace(" ", "_"): Measure(
            title=label.capitalize(), unit="items", digits=0, counts="instructions", kind="count"
        )
        for label in LABELS
    },
    SHARE: Measure(title="Very hard, share", counts="instructions"),
}
KEEPS: Mapping[str, Keeps] = {}
OPTIONS: Mapping[str, Option] = {}
JUDGE_PROMPTS = ("difficulty.level",)
NO_LABEL = "reply is none of the five levels"
"""Reason of a row whose reply does not count."""
REPLY_TOKENS = 4
"""Tokens of a level, and of the reply's end."""


def questions(rows: Sequence[Instruction], pack: Pack, options: Mapping[str, Option]) -> list[Question]:
    """Return one question a row, with the row's id."""
    del options
    return [Question(id=row.id, turns=asked_about(row, pack, *JUDGE_PROMPTS), labels=LABELS) for row in rows]


def reply_tokens(options: Mapping[str, Option]) -> int:
    """Return about how many tokens a judge writes for one row."""
    del options
    return REPLY_TOKENS


def label(question: Question, reply: str) -> str:
    """Return the level that a reply is; empty for any other reply, one in capitals too."""
    said = reply.strip()
    return said if said in question.labels else ""


def judged(rows: Sequence[Instruction], verdicts: Mapping[str, Verdict], options: Mapping[str, Option]) -> list[Score]:
    """Return one score a row: 1 for its level and 0 for the others, or the reason why its reply does not count."""
    del options
    return [_score(row.id, verdict_on(row.id, verdicts)) for row in rows]


def _score(id: str, verdict: Verdict) -> Score:
    if verdict.label not in LABELS:
        return Score(id=id, skipped=reason_without(verdict, NO_LABEL))
    values = {label.replace(" ", "_"): float(label == verdict.label) for label in LABELS}
    return Score(id=id, values={**values, SHARE: values["very_hard"]})
