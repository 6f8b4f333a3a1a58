"""AlpacaFarm: 805 instructions; a judge compares each answer with that of text-davinci-003, or of another model.

    {"dataset": "helpful_base", "instruction": "Name a river.", "output": "Danube.", "generator": "text_davinci_003"}

Official judging (tatsu-lab/alpaca_eval), whose verdicts :func:`read_annotations` takes over:
https://github.com/tatsu-lab/alpaca_eval/blob/bbbd596e5a0951490bf3ee751c966fcbcb44a82b/src/alpaca_eval/metrics/winrate.py

Protocol ``paper`` judges as the authors' script does (HypherX/Evolution-Analysis @7595feb, ``Evol_Instruct/judge.py``):
one question a prompt, the tested answer always first, and a label counts wherever in the reply it stands. The first
answer tends to be preferred, whatever it says. So ``default`` asks in both orders, takes the last label of each reply,
and calls only that a win, or a loss, in which the two agree.

What the labels are is read off the last lines of the template, each between apostrophes: one says that the first answer
is better, one that it is worse, one neither. So each pack may have its own words for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from kit.benchmarks import UNREADABLE
from kit.benchmarks._files import choose, problems
from kit.errors import RequestError, one_line, shown
from kit.files.rowfiles import objects
from kit.measures import Measure
from kit.prompts import Pack, fill
from kit.reading.textfiles import read_text
from kit.records import Grade, Problem, Question, Turn, Verdict

VERSION = 1
ASKS = 1
JUDGE_ASKS = 1
DATASET = "alpacafarm"
PROMPTS = ("respond.with_input", "respond.without_input")
JUDGE_PROMPTS = ("pairwise.judge",)
SOURCE = (
    "https://github.com/tatsu-lab/alpaca_eval/blob/bbbd596e5a0951490bf3ee751c966fcbcb44a82b/"
    "src/alpaca_eval/metrics/winrate.py"
)
METRICS: Mapping[str, Measure] = {
    "alpacafarm_win": Measure(title="AlpacaFarm win", unit="prompts", digits=0, counts="prompts", kind="count"),
    "alpacafarm_tie": Measure(title="AlpacaFarm tie", unit="prompts", digits=0, counts="prompts", kind="count"),
    "alpacafarm_lose": Measure(title="AlpacaFarm lose", unit="prompts", digits=0, counts="prompts", kind="count"),
    "alpacafarm_win_rate": Measure(title="AlpacaFarm win rate", counts="prompts", kind="mean", lowest=0.0, highest=1.0),
}
"""The rate has a tie as half a win, as the official one does."""
RUNS_CODE = False
ORDERS: Mapping[str, Sequence[str]] = {"paper": ("",), "default": ("#first", "#second")}
"""Protocol -> what the ids of a problem's questions end with: the place of the tested answer; one order has no name."""
BETTER, WORSE, EQUAL = "better", "worse", "equal"
"""Words by which labels are told: a label says that the first answer is ``better`` or ``worse``, or neither."""
PREFERENCES: Mapping[float, str] = {1: WORSE, 2: BETTER, 0: EQUAL, 1.5: EQUAL}
"""An annotation's ``preference`` -> what it says of the tested answer, which is ``output_2`` there."""
POINTS = {"win": 1.0, "tie": 0.5, "lose": 0.0}


def read(path: Path) -> list[Problem]:
    """Read the problems, each with the answer that it is compared with; the id is the position.

    Raises:
        RequestError: not that format, or the file is empty.
    """
    found = problems(path, {"instruction": str, "output": str}, "id")
    for problem in found:
        if not isinstance(problem.data.get("input") or "", str):
            raise RequestError(
                f"{one_line(str(path))}: problem {problem.id}: 'input': found {shown(problem.data['input'])}, wanted a "
                "text, or nothing"
            )
    return found


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the chat that asks a problem: the template by which the training pairs' responses were asked for."""
    values = {"instruction": problem.data["instruction"], "input": problem.data.get("input") or ""}
    return fill(pack.chat("respond.with_input" if values["input"] else "respond.without_input"), values)


def against(problems: Sequence[Problem], texts: Sequence[str]) -> list[Problem]:
    """Return the problems, each with another model's answer in the place of text-davinci-003's."""
    return [replace(one, data={**one.data, "output": text}) for one, text in zip(problems, texts, strict=True)]


def questions(problems: Sequence[Problem], texts: Sequence[str], pack: Pack, protocol: str) -> list[Question]:
    """Return one question a problem (``paper``), or two, the answers in either order (``default``).

    Raises:
        RequestError: no such protocol, or the template does not end with three labels.
    """
    template = pack.chat(*JUDGE_PROMPTS)
    labels = labels_of(template[-1].content, pack.name)
    found = []
    orders = choose(ORDERS, protocol)
    for order in orders:
        for problem, text in zip(problems, texts, strict=True):
            asked = "\n".join(filter(None, (problem.data["instruction"], problem.data.get("input"))))
            first, second = (problem.data["output"], text) if order == "#second" else (text, problem.data["output"])
            values = {"user_query": asked, "assistant1": first, "assistant2": second}
            group = problem.id if len(orders) > 1 else ""
            turns = fill(template, values)
            named = _mirrored(labels) if order == "#second" else labels
            found.append(Question(id=f"{problem.id}{order}", turns=turns, labels=named, group=group))
    return found


def question_count(rows: int, protocol: str) -> int:
    """Return how many questions so many problems give."""
    return rows * len(choose(ORDERS, protocol))


def labels_of(template: str, pack: str) -> tuple[str, ...]:
    """Return the labels of a template, which stand on its last lines between apostrophes.

    Args:
        template: its last turn.
        pack: name of its pack, for messages.

    Raises:
        RequestError: they are not three, one with ``better``, one with ``worse`` and one with neither.
    """
    lines = [line.strip() for line in template.strip().splitlines()[-3:]]
    labels = tuple(line[1:-1] for line in lines if len(line) > 2 and line[0] == line[-1] == "'")
    if sorted(map(meaning, labels)) != sorted((BETTER, WORSE, EQUAL)):
        raise RequestError(
            f"prompt pack {pack!r}: {JUDGE_PROMPTS[0]}: found {shown(list(labels))} on its last three lines, wanted "
            f"three labels between apostrophes: one with {BETTER!r}, one with {WORSE!r}, one with neither"
        )
    return labels


def _mirrored(labels: Sequence[str]) -> tuple[str, ...]:
    """Return labels in the order in which they say of the second answer what the given ones say of the first."""
    by_meaning = {meaning(label): label for label in labels}
    other = {BETTER: WORSE, WORSE: BETTER, EQUAL: EQUAL}
    return tuple(by_meaning[other[meaning(label)]] for label in labels)


def meaning(label: str) -> str:
    """Return what a label says of the first answer: better, worse or equal."""
    return BETTER if BETTER in label else WORSE if WORSE in label else EQUAL


def label(question: Question, reply: str) -> str:
    """Return a reply's label, or an empty text where it has none.

    In one order it is the first of better, worse, equal that stands anywhere, as in the authors' script; in two, it is
    the label that stands last, in upper or lower case.
    """
    if not question.id.endswith(tuple(ORDERS["default"])):
        order = (BETTER, WORSE, EQUAL)
        ranked = sorted(question.labels, key=lambda one: order.index(meaning(one)))
        return next((one for one in ranked if one in reply), "")
    places = {one: reply.casefold().rfind(one.casefold()) for one in question.labels}
    last = max(places, key=places.__getitem__)
    return last if places[last] >= 0 else ""


def grade_judged(
    problems: Sequence[Problem], texts: Sequence[str], verdicts: Mapping[str, Verdict], protocol: str
) -> list[Grade]:
    """Return one grade a text, in the order of the problems; what is neither won nor lost is a tie."""
    del texts
    found = []
    for problem in problems:
        said = [verdicts[f"{problem.id}{order}"].label for order in orders_of(problem, verdicts, protocol)]
        outcome, reason = outcome_of(said)
        scores = {f"alpacafarm_{name}": [int(name == outcome), 1] for name in POINTS}
        found.append(
            Grade(
                id=problem.id,
                scores={**scores, "alpacafarm_win_rate": [POINTS[outcome], 1]},
                answer=outcome,
                reason=reason,
            )
        )
    return found


def orders_of(problem: Problem, verdicts: Mapping[str, Verdict], protocol: str) -> Sequence[str]:
    """Return the orders in which a problem was judged: the protocol's, or one where a verdict has none in its id."""
    return ORDERS["paper"] if problem.id in verdicts else choose(ORDERS, protocol)


def outcome_of(labels: Sequence[str]) -> tuple[str, str]:
    """Return win, tie or lose, and why it is no win; empty labels are replies that could not be read.

    Args:
        labels: the verdict with the tested answer first, and the one with it second, if there are two.
    """
    said = [meaning(one) if one else "" for one in labels]
    if len(said) > 1 and said[1] in (BETTER, WORSE):  # the tested answer stands second there
        said[1] = BETTER if said[1] == WORSE else WORSE
    if all(one == BETTER for one in said):
        return "win", ""
    if all(one == WORSE for one in said):
        return "lose", "the other answer is better"
    if not all(said):
        return "tie", UNREADABLE
    return "tie", "neither is better" if len(set(said)) == 1 else "the two orders disagree"


def read_annotations(path: Path, problems: Sequence[Problem], texts: Sequence[str]) -> list[Verdict]:
    """Return the verdicts of alpaca_eval's ``annotations.json`` on its ``output_2``, one a problem, in their order.

    Raises:
        RequestError: not that format, an annotation compares other answers, or a problem has none or too many.
    """
    name, places = one_line(str(path)), _places(problems)
    answers = {problem.id: text for problem, text in zip(problems, texts, strict=True)}
    found: dict[str, Verdict] = {}
    for where, row in objects(path) if read_text(path).strip() else []:
        if not isinstance(row.get("instruction"), str) or "preference" not in row:
            raise RequestError(f"{where}: wanted the fields 'instruction' and 'preference', as alpaca_eval writes them")
        said = row["preference"]
        if said is not None and (type(said) not in (int, float) or said not in PREFERENCES):
            raise RequestError(f"{where}: 'preference': found {shown(said)}, wanted 1, 2, or 0 or 1.5 for a tie")
        if not (ids := places.get(row["instruction"])):
            continue
        id = next((id for id in ids if id not in found), "")
        if not id:
            raise RequestError(f"{where}: problem {ids[-1]} stands twice; wanted the verdicts on one model's answers")
        _check_answer(where, row, answers[id])
        found[id] = Verdict(id=id, label="" if said is None else PREFERENCES[said], model=str(row.get("annotator", "")))
    if missing := [problem.id for problem in problems if problem.id not in found]:
        raise RequestError(
            f"{name}: {len(missing):,} of {len(problems):,} problems have no annotation, the first is {missing[0]}"
        )
    return [found[problem.id] for problem in problems]


def _places(problems: Sequence[Problem]) -> dict[str, list[str]]:
    """Return what alpaca_eval calls a problem's instruction -> ids; an input stands below it, after an empty line."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        parts = (problem.data["instruction"], problem.data.get("input"))
        found.setdefault("\n\n".join(filter(None, parts)), []).append(problem.id)
    return found


def _check_answer(where: str, row: Mapping[str, object], text: str) -> None:
    """Check that an annotation is on the text that is graded, where it holds the texts that it compares.

    Raises:
        RequestError: it is on another, or has the text as the one that it compares with.
    """
    first, second = row.get("output_1"), row.get("output_2")
    if not isinstance(second, str) or second.strip() == text.strip():
        return
    if isinstance(first, str) and first.strip() == text.strip():
        raise RequestError(f"{where}: 'output_1' is the answer that is graded; wanted it as 'output_2'")
    raise RequestError(f"{where}: 'output_2' is not the answer that is graded; are the verdicts another model's?")
