"""FollowBench: instructions that get one more constraint on each of five levels; rules or a judge decide.

    {"example_id": 1, "category": "format", "source": "quora", "level": 1,
     "instruction": "Name three rivers. Use a numbered list.", "target": ""}

164 items of six kinds on five levels, 820 instructions: 350 are decided by rules (``_followbench_rules.py``), 470 by a
judge (``_followbench_judge.py``). Both protocols have the same rules; ``default`` takes white space off the ends
of an answer, and asks a judge about one constraint at a time. Official grader, at the commit of its data:
https://github.com/YJiangcm/FollowBench/tree/6278f4c1377b4eafab737267b8b21acd52ea0e52/code

A number is the mean of the six kinds, each of which weighs alike, as in the paper's table:

- HSR (hard satisfaction rate), on each level and on average: items whose answer meets all constraints.
- SSR (soft satisfaction rate): the share of its constraints that an answer meets; by a rule, all or none.
- CSL (consistent satisfaction levels): how many levels in a row, from the first, an item's answers meet in full.

Averages and CSL belong to an item and not to one of its levels, so they stand in the grade of level 5: answers to one
item resemble each other, and the standard error counts them together.

FollowBench's code wants a person to mend a judge's reply that it can't read, and until then takes one off the count for
it. Here none of such an answer's constraints are met, and the reason says why.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kit.benchmarks import UNREADABLE
from kit.benchmarks import _followbench_items as items
from kit.benchmarks import _followbench_judge as judge
from kit.benchmarks._files import choose
from kit.benchmarks._followbench_items import KINDS, LEVELS, by_item, has_rule
from kit.benchmarks._followbench_rules import rule_of
from kit.benchmarks._reading_time import graded
from kit.errors import KitError
from kit.measures import Measure
from kit.prompts import Pack
from kit.records import Grade, Problem, Question, Turn, Verdict

VERSION = 1
ASKS = 1
JUDGE_ASKS = 1
DATASET = "followbench"
FILES = tuple(map(items.file_name, KINDS))
ITEM_ROWS = len(LEVELS)
PROMPTS: tuple[str, ...] = ()
JUDGE_PROMPTS: Mapping[str, Sequence[str]] = {
    "kit": (judge.CONSTRAINT, judge.LIST),
    "followbench": tuple(f"followbench.{kind}.{level}" for kind in KINDS if kind != "example" for level in LEVELS),
}
SOURCE = "https://github.com/YJiangcm/FollowBench/blob/6278f4c1377b4eafab737267b8b21acd52ea0e52/code/gpt4_based_evaluation.py"
OVER_KINDS: Final = "mean over groups"
METRICS: Mapping[str, Measure] = {
    **{f"followbench_hsr_l{n}": Measure(title=f"FollowBench L{n}", counts="prompts", kind=OVER_KINDS) for n in LEVELS},
    "followbench_hsr_avg": Measure(title="FollowBench Avg", counts="prompts", kind=OVER_KINDS),
    **{
        f"followbench_ssr_l{n}": Measure(title=f"FollowBench SSR L{n}", counts="constraints", kind=OVER_KINDS)
        for n in LEVELS
    },
    "followbench_ssr_avg": Measure(title="FollowBench SSR Avg", counts="prompts", kind=OVER_KINDS),
    "followbench_csl": Measure(
        title="FollowBench CSL", unit="levels", counts="items", kind=OVER_KINDS, lowest=0.0, highest=float(len(LEVELS))
    ),
}
RUNS_CODE = False
BLANK = "a blank answer"
"""The reason of an answer that nobody is asked about."""


def read(path: Path) -> list[Problem]:
    """Read the problems of the folder with the six official files, or of one of them; see :mod:`._followbench_items`.

    Raises:
        RequestError: a file is missing or not of that format, or an item lacks a level or has one twice.
    """
    return items.read(path)


def group(problem: Problem) -> str:
    """Return the kind of a problem's constraints."""
    return str(problem.data["kind"])


def turns(problem: Problem, pack: Pack) -> tuple[Turn, ...]:
    """Return the instruction alone, whatever the pack: a word around it could keep or break a constraint."""
    del pack
    return (Turn(role="user", content=problem.data["instruction"]),)


def is_judged(problem: Problem) -> bool:
    """Return whether a judge decides a problem, and no rule."""
    return not has_rule(problem)


def question_count(rows: int, protocol: str) -> int:
    """Return about how many questions so many problems give: 470 of 820 are judged, once or on each constraint."""
    judged = rows * 470 // 820
    return judged * sum(LEVELS) // len(LEVELS) if protocol == "default" else judged


def questions(problems: Sequence[Problem], texts: Sequence[str], pack: Pack, protocol: str) -> list[Question]:
    """Return what the judge is asked about the answers that no rule decides.

    Raises:
        RequestError: no such protocol, an item lacks a level, or the pack lacks a template.
    """
    ask = choose({"paper": judge.list_question, "default": judge.constraint_questions}, protocol)
    by_item(problems)
    asked = [pair for pair in zip(problems, texts, strict=True) if not has_rule(pair[0])]
    return [question for problem, text in asked for question in ask(problem, text, pack)]


def label(question: Question, reply: str) -> str:
    """Return the label that a reply gives: a list of YES and NO for a whole level, Yes or No for one constraint."""
    return judge.list_label(question, reply) if question.labels[0].startswith("[") else judge.word_label(reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """The number of a level's constraints that an answer meets, and who says so."""

    count: int
    words: str = ""
    """The judge's word for each constraint; empty where a rule decided."""
    reason: str = ""
    """Reason why they are not all."""


def grade_judged(
    problems: Sequence[Problem], texts: Sequence[str], verdicts: Mapping[str, Verdict], protocol: str
) -> list[Grade]:
    """Return one grade a text, in the order of the problems.

    Raises:
        RequestError: no such protocol, or an item lacks a level.
        KitError: a question has no verdict.
    """
    read_verdicts = choose({"paper": _met_by_list, "default": _met_by_words}, protocol)
    levels_of = by_item(problems)
    met = _met_by_rules(problems, texts, protocol)
    for problem, text in zip(problems, texts, strict=True):
        if problem.id not in met:
            met[problem.id] = read_verdicts(problem, text, verdicts)
    whole = {levels[-1].id: _item_scores(levels, met) for levels in levels_of.values()}
    return [
        Grade(
            id=problem.id,
            scores={**_level_scores(problem, met[problem.id].count), **whole.get(problem.id, {})},
            answer=met[problem.id].words,
            reason=met[problem.id].reason,
        )
        for problem in problems
    ]


def _met_by_rules(problems: Sequence[Problem], texts: Sequence[str], protocol: str) -> dict[str, Met]:
    """Return what the rules decide, by the problem's id; texts may be hostile, so a process of its own reads them."""
    ruled = [(problem, text) for problem, text in zip(problems, texts, strict=True) if has_rule(problem)]
    if not ruled:
        return {}
    grades = graded(
        rule_reader, protocol, [one for one, _ in ruled], [text for _, text in ruled], lambda _: {"": [0, 1]}
    )
    return {
        problem.id: Met(count=problem.data["level"] if grade.scores[""][0] else 0, reason=grade.reason)
        for (problem, _), grade in zip(ruled, grades, strict=True)
    }


def rule_reader(protocol: str) -> Callable[[Problem, str], Grade]:
    """Return the grader of one text by its problem's rule.

    Raises:
        RequestError: no such protocol.
    """
    strips = choose({"paper": False, "default": True}, protocol)

    def decide(problem: Problem, text: str) -> Grade:
        data = problem.data
        rule = rule_of(data["kind"], data["source"], data["example_id"])
        assert rule, problem.id
        meets = rule(text.strip() if strips else text, data["target"], data["level"])
        return Grade(id=problem.id, scores={"": [int(meets), 1]}, reason="" if meets else f"rule: {_rule_name(data)}")

    return decide


def _rule_name(data: Mapping[str, object]) -> str:
    """Return the name of a problem's rule: its source, or the kind whose items have rules of their own."""
    return str(data["kind"] if data["kind"] in ("example", "format") else data["source"])


def _verdict(id: str, verdicts: Mapping[str, Verdict]) -> str:
    """Return the label of a question.

    Raises:
        KitError: there is no verdict on it.
    """
    if id not in verdicts:
        raise KitError(f"followbench: no verdict on the question {id}; are the verdicts those of these answers?")
    return verdicts[id].label


def _met_by_list(problem: Problem, text: str, verdicts: Mapping[str, Verdict]) -> Met:
    """Return what a list of words for the whole level says."""
    del text
    return _met(judge.words_of(_verdict(problem.id, verdicts)) or [""] * problem.data["level"])


def _met_by_words(problem: Problem, text: str, verdicts: Mapping[str, Verdict]) -> Met:
    """Return what one word for each constraint says; a blank text, about which nobody was asked, meets none."""
    if not text.strip():
        return Met(count=0, reason=BLANK)
    return _met([_verdict(judge.part_id(problem, step), verdicts) for step in range(1, problem.data["level"] + 1)])


def _met(words: Sequence[str]) -> Met:
    """Return what the words for the constraints say; an empty one could not be read, and its constraint is not met."""
    met = [word in (judge.YES, judge.MET) for word in words]
    unmet = [step for step, one in enumerate(met, start=1) if not one]
    reason = f"constraint {unmet[0]} of {len(words)}" if unmet else ""
    return Met(count=sum(met), words=", ".join(words), reason=UNREADABLE if "" in words else reason)


def _level_scores(problem: Problem, count: int) -> dict[str, list[float]]:
    """Return the scores of one level."""
    level = problem.data["level"]
    return {f"followbench_hsr_l{level}": [int(count == level), 1], f"followbench_ssr_l{level}": [count, level]}


def _item_scores(levels: Sequence[Problem], met: Mapping[str, Met]) -> dict[str, list[float]]:
    """Return the scores of an item over all its levels."""
    counts = [(met[problem.id].count, int(problem.data["level"])) for problem in levels]
    hard = [count == level for count, level in counts]
    return {
        "followbench_hsr_avg": [sum(hard), len(hard)],
        "followbench_ssr_avg": [sum(count / level for count, level in counts), len(counts)],
        "followbench_csl": [hard.index(False) if False in hard else len(hard), 1],
    }
