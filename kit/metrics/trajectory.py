"""Trajectory keywords: in how many different ways an evolver finds that it could make instructions harder.

    the evolver's list:  "Add a time limit"      ->  the judge: "time constraint"  ->  {"trajectory_keywords": 2.0}
                         "Ask for two reasons"   ->  the judge: "more reasons"

The evolver is asked as in Auto Evol-Instruct. Of its reply all text before the heading of the second part is taken, and
of that each line but those that name the first part; a judge gives each line a short phrase. The number of an evolver
is that of its different phrases over all rows: a row counts those that no row before it has. The judge is greedy, so
that a line which stands several times is asked about once.

Paper 3.3 and figure 18; HypherX/Evolution-Analysis @7595feb, Auto_Evol_Instruct/extract_method_list.py and
extract_keywords.py. The paper says that equal phrases count once, and not when two are equal; the authors' code counts
each line. The option ``equal`` has both.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kit.engines import TOO_LONG
from kit.errors import KitError, RequestError, did_you_mean, shown
from kit.files.texts import HALF
from kit.measures import Measure
from kit.metrics import Keeps, Option, Reads, Role
from kit.prompts import Pack, fill
from kit.records import Json, Probe, Question, Score, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """The form of a reply's first part, as a prompt asks for it."""

    second: str
    """Start of the second part's heading, which ends the first."""
    first: tuple[str, ...]
    """Texts one of which a line has that names the first part; it is no way to evolve."""
    between: str = ""
    """Text between ways that stand on one line; empty where each has its own."""


VERSION = 1
JUDGE_ASKS = 1
READS: Reads = "probes"
ROLE: Role = ""
WHOLE = True
SCENARIO, TEMPERATURE, TOP_P = "auto_evol_instruct", 0.7, 0.95
METRICS: Mapping[str, Measure] = {
    "trajectory_keywords": Measure(
        title="Different ways to evolve", unit="keywords", digits=0, kind="count", counts="rows"
    )
}
KEEPS: Mapping[str, Keeps] = {}
OPTIONS: Mapping[str, Option] = {"equal": "folded", "blank_lines": True}
"""``equal``: ``folded`` counts phrases that are the same without case and blanks around them once; ``never`` counts
each line. ``blank_lines``: whether the judge is asked about those too, as in the authors' code."""
EQUAL = ("folded", "never")
PROMPT = "keywords.extract"
JUDGE_PROMPTS = (PROMPT,)
LABELS = ("constraint", "detail", "example", "format", "reason")
"""Phrases whose likelihoods a judge is asked for that writes no reply."""
# https://github.com/HypherX/Evolution-Analysis/blob/7595feb5155caf3da63f982a1f507304a60415a1/Auto_Evol_Instruct/extract_keywords.py
FORMS: Mapping[str, Form] = {
    "kit": Form(second="### Plan", first=("### Ways",), between=";"),
    "paper": Form(second="Step 2", first=("Step 1", "Method List")),
}
"""Prompt pack -> the form in which its template asks for ways."""
QUESTIONS_A_ROW = 8
"""Lines of a list, about."""
REPLY_TOKENS = 6
"""Tokens of a phrase, about."""

UNASKED = "too long to be asked"
NO_PART = "no heading of the second part"


def reply_tokens(options: Mapping[str, Option]) -> int:
    """Return about how many tokens a judge writes for one line."""
    del options
    return REPLY_TOKENS


def judge_prompts(options: Mapping[str, Option]) -> Sequence[str]:
    """Return the id of the template that asks for a phrase.

    Raises:
        RequestError: the option ``equal`` has a value that is not known.
    """
    if options["equal"] not in EQUAL:
        raise RequestError(
            f"metrics.trajectory.options.equal: found {shown(options['equal'])}, wanted {' or '.join(EQUAL)}"
            f"{did_you_mean(str(options['equal']), EQUAL)}"
        )
    return JUDGE_PROMPTS


def ways(row: Probe, options: Mapping[str, Option]) -> list[str]:
    """Return the lines of a reply's first part, stripped, without those that name it.

    Args:
        row: the evolver's reply.
        options: ``blank_lines`` says whether empty ones are among them.

    Raises:
        RequestError: it was asked for in the words of a pack whose headings are not known.
    """
    form = _form(row)
    part = row.text.strip().partition(form.second)[0]
    lines = [line.strip() for line in (part.replace(form.between, "\n") if form.between else part).splitlines()]
    ways = [line for line in lines if not any(name in line for name in form.first)]
    return ways if options["blank_lines"] else [line for line in ways if line]


def fault_of(row: Probe) -> str:
    """Return why nothing can be taken of a reply; empty where its first part has an end."""
    if row.finish_reason == TOO_LONG:
        return UNASKED
    return "" if _form(row).second in row.text else NO_PART


def _form(row: Probe) -> Form:
    """Return the form that the prompt behind a row's reply asks for.

    Raises:
        RequestError: it is not known for the row's prompt pack.
    """
    if row.prompts not in FORMS:
        raise RequestError(
            f"trajectory: {row.id}: asked for in the words of the prompt pack {shown(row.prompts)}, whose form is "
            f"not known; known for {', '.join(FORMS)}; add it to FORMS of metrics/trajectory.py"
        )
    return FORMS[row.prompts]


def _asked(rows: Sequence[Probe], options: Mapping[str, Option]) -> Iterator[tuple[Probe, list[tuple[str, str]]]]:
    """Yield each row with its lines; each line with the id of its question, that of the first equal line of all."""
    known: dict[str, str] = {}
    for row in rows:
        lines = [] if fault_of(row) else ways(row, options)
        yield row, [(line, known.setdefault(line, f"{row.id}#{number}")) for number, line in enumerate(lines)]


def questions(rows: Sequence[Probe], pack: Pack, options: Mapping[str, Option]) -> list[Question]:
    """Return one question for each line that differs from all before it; any phrase may be its answer.

    Raises:
        KitError: no reply has a first part with a line; the message has the reasons.
    """
    template = pack.chat(PROMPT)
    lines = {id: line for _, asked in _asked(rows, options) for line, id in asked}
    if not lines:
        faults = [fault_of(row) or "no line in the first part" for row in rows]
        reasons = ", ".join(f"{faults.count(fault):,} {fault}" for fault in dict.fromkeys(faults))
        raise KitError(
            f"trajectory: of {len(rows):,} replies none lists ways to evolve: {reasons}; the evolver is asked as the "
            "scenario asks, and auto_evol_instruct asks for such a list; more tokens a reply may help "
            "(evolve_max_tokens of the scale)"
        )
    # a judge's tokenizer takes no half of a character, which a model can write
    texts = {id: HALF.sub("\N{REPLACEMENT CHARACTER}", line) for id, line in lines.items()}
    return [
        Question(id=id, turns=fill(template, {"instruction": text}), labels=LABELS, is_open=True)
        for id, text in texts.items()
    ]


def label(question: Question, reply: str) -> str:
    """Return the phrase that a reply gives: all of it, on one line."""
    del question
    return " ".join(reply.split())


def judged(rows: Sequence[Probe], verdicts: Mapping[str, Verdict], options: Mapping[str, Option]) -> list[Score]:
    """Return the number of each row's phrases that no row before it has; they stand beside it.

    Raises:
        KitError: a line has no verdict.
    """
    scores: list[Score] = []
    seen: set[str] = set()
    for row, asked in _asked(rows, options):
        if fault := fault_of(row):
            scores.append(Score(id=row.id, skipped=fault))
            continue
        found: list[Json] = []
        for line, id in asked:
            phrase = _phrase(id, line, verdicts)
            if phrase and (options["equal"] == "never" or phrase.casefold() not in seen):
                found.append(phrase)
            seen.add(phrase.casefold())
        values = {"trajectory_keywords": float(len(found))}
        scores.append(Score(id=row.id, values=values, facts={"keywords": found}))
    return scores


def _phrase(id: str, line: str, verdicts: Mapping[str, Verdict]) -> str:
    """Return the phrase for a line; empty where the judge's reply has none.

    Raises:
        KitError: the line has no verdict.
    """
    if id not in verdicts:
        raise KitError(
            f"no verdict on {id} ({shown(line)}) among {len(verdicts):,}: they are on other replies; remove them and "
            "run again"
        )
    return verdicts[id].label
